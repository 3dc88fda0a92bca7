/* SPDX-License-Identifier: MIT */
#include "tests/bench/samples.h"

#include <assert.h>
#include <err.h>
#include <stdlib.h>
#include <string.h>

void samples_add(struct samples *samples, double value)
{
	if (samples->n == samples->room) {
		samples->room = samples->room ? 2 * samples->room : 64;
		samples->values = reallocarray(samples->values, samples->room, sizeof(double));
		if (!samples->values)
			err(1, "samples");
	}
	samples->values[samples->n++] = value;
}

void samples_add_all(struct samples *samples, const struct samples *others)
{
	for (size_t i = 0; i < others->n; i++)
		samples_add(samples, others->values[i]);
}

static int value_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double samples_quantile(const struct samples *samples, double share)
{
	double *sorted = calloc(samples->n, sizeof(*sorted)), value;
	size_t rank = (size_t)((double)samples->n * share);

	assert(samples->n > 0);
	if (!sorted)
		err(1, "samples");
	memcpy(sorted, samples->values, samples->n * sizeof(*sorted));
	qsort(sorted, samples->n, sizeof(*sorted), value_compare);
	value = sorted[rank < samples->n ? rank : samples->n - 1];
	free(sorted);
	return value;
}

double samples_median(const struct samples *samples)
{
	return samples_quantile(samples, 0.5);
}

void samples_clear(struct samples *samples)
{
	samples->n = 0;
}

void samples_fini(struct samples *samples)
{
	free(samples->values);
	*samples = (struct samples){.values = NULL};
}
