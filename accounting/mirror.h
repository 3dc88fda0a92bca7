/* SPDX-License-Identifier: MIT */
/*
 * The arithmetic of the mirror: what the limits of a cgroup should be, by what its sessions may
 * have and have, and by what is charged to it. Pure. Bytes; every sum saturates.
 *
 * Pinned bytes are not memory: the same RAM mapped twice is pinned twice and charged once, and huge
 * pages are charged to hugetlb. So what is pinned is never taken for what is charged.
 */
#ifndef ACCOUNTING_MIRROR_H
#define ACCOUNTING_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounting/policy.h"

#define MIRROR_HUGE_MAX 4 /* sizes of huge pages */
#define MIRROR_NO_LIMIT UINT64_MAX

/* One session, or the sum of all that share a cgroup. */
struct mirror_share {
	/* Of those that are protected. */
	uint64_t pinned;
	uint64_t protect_headroom;
	/* Of those that are capped. */
	uint64_t memory; /* limit ÷ factor: what the guest may have */
	uint64_t besides; /* headroom and buffers of a migration */
	size_t n, n_protected, n_capped; /* sessions */
};

/* What a session's numbers mean for the mirror. */
struct mirror_session {
	enum policy_mirror mode;
	uint64_t limit;
	unsigned int factor; /* how often guest RAM is mapped: limits_factor() */
	uint64_t headroom;
	uint64_t migration_buffers; /* per device; POLICY_UNLIMITED */
	size_t n_devices;
	uint64_t pinned; /* UINT64_MAX: not known: it is not protected */
};

/* What is charged to a cgroup. */
struct mirror_usage {
	uint64_t current; /* memory.current */
	uint64_t anon, shmem;
	uint64_t huge[MIRROR_HUGE_MAX];
	bool huge_in_memory; /* huge pages are part of current */
};

/* What its limits should be. */
struct mirror_limits {
	bool min, max; /* there is a value for it; max: and for those of huge pages */
	bool raised; /* more is in use than memory.max should be: that is to be looked at again */
	uint64_t memory_min;
	uint64_t memory_max;
	uint64_t huge_max[MIRROR_HUGE_MAX];
};

/* Adds a session; of mode TRACK as if it were BOTH. With buffers without a bound there is no cap.
 */
void mirror_add(struct mirror_share *share, const struct mirror_session *session);

/**
 * mirror_limits() - the formulas
 * @huge_size: bytes, 0 behind the last one
 *
 * memory.min = min(pinned, what of memory is charged and in use) + headroom. Above what is pinned
 * with a headroom, as protection is proportional: with memory.min = pinned just a half of the
 * working set was pushed out.
 *
 * memory.max = limit ÷ factor, less what is in huge pages, + headroom + buffers, and never below
 * current: the kernel would kill for it. hugetlb.SIZE.max = limit ÷ factor, less what is in other
 * sizes and what anon + shmem have beyond headroom and buffers: together they stay below the limit.
 * Only if all sessions of the cgroup are capped.
 *
 * Values are multiples of 4 KiB, those of huge pages of their size.
 */
void mirror_limits(const struct mirror_share *share, const struct mirror_usage *usage,
		   const uint64_t huge_size[static MIRROR_HUGE_MAX],
		   struct mirror_limits *ret_limits);

/*
 * What is to be written, given what was there before anybody wrote: never less protection than
 * that, and no looser maximum, but at least what is in use.
 */
uint64_t mirror_min_over(uint64_t wanted, uint64_t original);
uint64_t mirror_max_under(uint64_t wanted, uint64_t original, uint64_t current);

#endif
