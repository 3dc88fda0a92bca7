/* SPDX-License-Identifier: MIT */
#include "accounting/limits.h"

uint64_t limits_add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

uint64_t limits_mul(uint64_t a, uint64_t b)
{
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static uint64_t limits_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

unsigned int limits_factor(bool viommu, size_t n_devices)
{
	return viommu && n_devices > 1 ? (unsigned int)n_devices : 1;
}

uint64_t limits_auto(uint64_t memory, unsigned int factor)
{
	return limits_add(limits_mul(memory, factor), LIMITS_AUTO_EXTRA);
}

uint64_t limits_needed(uint64_t memory, unsigned int factor)
{
	return limits_add(limits_mul(memory, factor), LIMITS_FIRMWARE);
}

uint64_t limits_mappings_auto(uint64_t memory, unsigned int factor)
{
	uint64_t per_ioas = limits_max(LIMITS_MAPPINGS_MIN, memory / (2ULL << 20) + 512);

	return limits_mul(per_ioas, factor);
}

uint64_t limits_memlock(const struct limits_memlock *parts)
{
	uint64_t sessions = limits_max(parts->task_sum, parts->user_sum);

	return limits_add(limits_add(parts->locked_besides, parts->extra), sessions);
}
