/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the programs that hunt share with the daemon. Fixed widths, no holes. It outlives the
 * daemon: a change of struct hunt_marks is a change of GATE_ABI.
 */
#ifndef BPF_HUNT_MAP_H
#define BPF_HUNT_MAP_H

#include <linux/types.h>

#define HUNT_SLOTS 10752 /* more than there are in a gate; all of it is memory of the daemon */
#define HUNT_OF(uid) (1ULL << 32 | (uid))
#define HUNT_USERS 1024 /* a power of two */
#define HUNT_USER(uid) ((uid) & (HUNT_USERS - 1))

/*
 * Of a slot: who is hunted, as long as it is the same session's. The daemon takes whose away before
 * it changes id, and programs read id first: no session is taken for the one before it in its slot.
 */
struct hunt_mark {
	__u64 id; /* of the session */
	__u64 whose; /* HUNT_OF() whose processes die; 0: nobody's */
};

/* Mapped by both. */
struct hunt_marks {
	__u64 until_ns; /* CLOCK_MONOTONIC: when a look is to pause */
	__u64 spared; /* the daemon, by the inode of its pidfd */
	struct hunt_mark hunted[HUNT_SLOTS]; /* by slot */
	__u32 users[HUNT_USERS]; /* by HUNT_USER(): of how many sessions; never too few */
};

/* A descriptor of a session that is hunted. */
struct hunt_holder {
	__u64 id; /* of the session */
	__u64 inode; /* of the process's pidfd: a pid may be another's by the time it is used */
	__u32 pid; /* of the process */
	__u32 uid; /* real, in the initial namespace */
	__u32 slot;
	__u32 dying; /* it exits, or was killed before */
};

#endif
