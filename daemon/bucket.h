/* SPDX-License-Identifier: MIT */
/*
 * A token bucket: so many at once, and so many a second. It bounds what a uid may ask, and the
 * lines of the log that strangers can cause; those who found it empty are counted, so that the next
 * line can speak for them.
 */
#ifndef DAEMON_BUCKET_H
#define DAEMON_BUCKET_H

#include <stdint.h>

/* Full when it is all zero. */
struct bucket {
	uint64_t spent; /* thousandths of what is not refilled yet */
	uint64_t refilled_ms;
	unsigned int n_refused; /* since one was let through */
};

/**
 * bucket_take() - take one
 * @size: of the bucket; 0: no limit
 * @rate: what comes back per second
 * @now_ms: CLOCK_MONOTONIC
 *
 * Return: 0: it is empty; else how many asked since one was let through, this one included.
 */
unsigned int bucket_take(struct bucket *bucket, unsigned int size, unsigned int rate,
			 uint64_t now_ms);

#endif
