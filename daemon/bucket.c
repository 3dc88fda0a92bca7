/* SPDX-License-Identifier: MIT */
#include "daemon/bucket.h"

unsigned int bucket_take(struct bucket *bucket, unsigned int size, unsigned int rate,
			 uint64_t now_ms)
{
	/* A thousandth per ms and unit of the rate. */
	uint64_t refill = (now_ms - bucket->refilled_ms) * rate;
	unsigned int n = bucket->n_refused + 1;

	bucket->refilled_ms = now_ms;
	bucket->spent = bucket->spent > refill ? bucket->spent - refill : 0;
	bucket->n_refused = n;
	if (size && bucket->spent + 1000 > (uint64_t)size * 1000)
		return 0;
	bucket->n_refused = 0;
	if (size)
		bucket->spent += 1000;
	return n;
}
