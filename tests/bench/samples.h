/* SPDX-License-Identifier: MIT */
/* Samples: numbers of one kind that were measured, and what is said of them. */
#ifndef TESTS_BENCH_SAMPLES_H
#define TESTS_BENCH_SAMPLES_H

#include <stddef.h>

struct samples {
	double *values; /* owned */
	size_t n;
	size_t room;
};

/* Exits when there is no memory. */
void samples_add(struct samples *samples, double value);

/* Likewise. */
void samples_add_all(struct samples *samples, const struct samples *others);

/* The smallest sample that at least this share of them (0 to 1) does not exceed. */
double samples_quantile(const struct samples *samples, double share);

double samples_median(const struct samples *samples);

/* Takes them out; the room stays. */
void samples_clear(struct samples *samples);

void samples_fini(struct samples *samples);

#endif
