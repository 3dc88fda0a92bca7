/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What the programs tell who listens. Fixed widths, no holes; read by the daemon that loaded them.
 */
#ifndef BPF_TRACE_EVENT_H
#define BPF_TRACE_EVENT_H

#include <linux/types.h>

#define TRACE_UNKNOWN (~0ULL)

enum trace_kind {
	TRACE_OPEN, /* a context, by whoever: it is no session's yet, or never */
	TRACE_MAP,
	TRACE_COPY,
	TRACE_UNMAP, /* bytes: that are gone */
	TRACE_CHARGE, /* to whom the kernel charges */
	TRACE_UNCHARGE,
	TRACE_BIND, /* a cdev to the context */
	TRACE_ATTACH, /* a cdev to an address space */
	TRACE_RELEASE, /* the context, and all that was mapped through it */
	TRACE_MIGRATE, /* bytes, mappings: the states a device goes from and to; id: 0 */
	/* Only the gate itself knows of these. */
	TRACE_DENY,
	TRACE_RECOUNT,
	TRACE_POISON,
	TRACE_KILL, /* SIGKILL to a racer */
	TRACE_KINDS,
};

/* Why a TRACE_DENY. */
enum trace_why {
	TRACE_WHY_NONE,
	TRACE_WHY_BYTES,
	TRACE_WHY_MAPPINGS,
	TRACE_WHY_OBJECTS,
	TRACE_WHY_COMMAND, /* none that a session may give */
	TRACE_WHY_STATE, /* revoked, poisoned, or on its way out */
	TRACE_WHY_DEVICE, /* bound to a context that is not its session's */
	TRACE_WHY_BUSY, /* too many at once */
	TRACE_WHYS,
};

struct trace_event {
	__u64 id; /* of the session; 0: of none */
	__u64 ns; /* CLOCK_MONOTONIC, at its end */
	__u64 took_ns; /* this and the next two: TRACE_UNKNOWN */
	__u64 bytes;
	__u64 mappings;
	__u32 kind; /* enum trace_kind */
	__s32 result; /* 0; -errno */
	__u32 why; /* enum trace_why */
	__u32 pid; /* 0: nobody's doing, as a timer's */
	char comm[16];
	char device[40]; /* the name of a device; "" */
};

#endif
