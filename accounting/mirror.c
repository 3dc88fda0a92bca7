/* SPDX-License-Identifier: MIT */
#include "accounting/mirror.h"

#include "accounting/limits.h"

#define MIRROR_PAGE 4096ULL

static uint64_t mirror_less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t mirror_lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t mirror_larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t mirror_times(uint64_t a, uint64_t b)
{
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static uint64_t mirror_round_up(uint64_t bytes)
{
	return limits_add(bytes, MIRROR_PAGE - 1) & ~(MIRROR_PAGE - 1);
}

static void mirror_add_cap(struct mirror_share *share, const struct mirror_session *session)
{
	uint64_t buffers = mirror_times(session->n_devices, session->migration_buffers);
	unsigned int factor = session->factor ? session->factor : 1;

	share->memory = limits_add(share->memory, session->limit / factor);
	share->besides = limits_add(share->besides, limits_add(session->headroom, buffers));
	share->n_capped++;
}

static void mirror_add_protection(struct mirror_share *share, const struct mirror_session *session)
{
	share->pinned = limits_add(share->pinned, session->pinned);
	share->protect_headroom = limits_add(share->protect_headroom, session->headroom);
	share->n_protected++;
}

void mirror_add(struct mirror_share *share, const struct mirror_session *session)
{
	enum policy_mirror mode = session->mode;
	bool both = mode == POLICY_MIRROR_BOTH || mode == POLICY_MIRROR_TRACK;
	bool bounded = !session->n_devices || session->migration_buffers != POLICY_UNLIMITED;

	share->n++;
	if ((both || mode == POLICY_MIRROR_PROTECT) && session->pinned != UINT64_MAX)
		mirror_add_protection(share, session);
	if ((both || mode == POLICY_MIRROR_CAP) && bounded)
		mirror_add_cap(share, session);
}

static uint64_t mirror_huge_sum(const struct mirror_usage *usage)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < MIRROR_HUGE_MAX; i++)
		sum = limits_add(sum, usage->huge[i]);
	return sum;
}

static uint64_t mirror_memory_min(const struct mirror_share *share,
				  const struct mirror_usage *usage)
{
	uint64_t in_use = limits_add(usage->anon, usage->shmem);

	if (usage->huge_in_memory) /* else current would be larger than what protects it */
		in_use = limits_add(in_use, mirror_huge_sum(usage));
	return mirror_round_up(
		limits_add(mirror_lesser(share->pinned, in_use), share->protect_headroom));
}

static uint64_t mirror_memory_max(const struct mirror_share *share,
				  const struct mirror_usage *usage)
{
	uint64_t elsewhere = usage->huge_in_memory ? 0 : mirror_huge_sum(usage);

	return mirror_round_up(limits_add(mirror_less(share->memory, elsewhere), share->besides));
}

/* Rounded down, as the kernel does; what is in use is a multiple already. */
static uint64_t mirror_huge_max(const struct mirror_share *share, const struct mirror_usage *usage,
				size_t i, uint64_t size)
{
	uint64_t memory = limits_add(usage->anon, usage->shmem); /* cache makes room by itself */
	uint64_t room = mirror_less(share->memory, mirror_huge_sum(usage) - usage->huge[i]);

	room = mirror_less(room, mirror_less(memory, share->besides));
	return mirror_larger(room - room % size, usage->huge[i]);
}

void mirror_limits(const struct mirror_share *share, const struct mirror_usage *usage,
		   const uint64_t huge_size[static MIRROR_HUGE_MAX],
		   struct mirror_limits *ret_limits)
{
	*ret_limits = (struct mirror_limits){
		.min = share->n_protected > 0,
		.max = share->n && share->n_capped == share->n,
	};
	if (ret_limits->min)
		ret_limits->memory_min = mirror_memory_min(share, usage);
	if (!ret_limits->max)
		return;
	ret_limits->memory_max = mirror_memory_max(share, usage);
	ret_limits->raised = ret_limits->memory_max < usage->current;
	if (ret_limits->raised)
		ret_limits->memory_max = mirror_round_up(usage->current);
	for (size_t i = 0; i < MIRROR_HUGE_MAX && huge_size[i]; i++)
		ret_limits->huge_max[i] = mirror_huge_max(share, usage, i, huge_size[i]);
}

uint64_t mirror_min_over(uint64_t wanted, uint64_t original)
{
	return mirror_larger(wanted, original);
}

uint64_t mirror_max_under(uint64_t wanted, uint64_t original, uint64_t current)
{
	return mirror_larger(mirror_lesser(wanted, original), mirror_lesser(current, original));
}
