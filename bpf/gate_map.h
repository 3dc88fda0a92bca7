/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the gate's programs share with the daemon: memory that both have mapped. Fixed widths, no
 * holes. It outlives the daemon: a change of anything here is a change of GATE_ABI.
 */
#ifndef BPF_GATE_MAP_H
#define BPF_GATE_MAP_H

#include <linux/types.h>

#define GATE_ABI 7 /* a daemon takes over no other */
#define GATE_SELF_TEST 0 /* the slot of the self-test's context */
#define GATE_FILES_PER_SESSION 4 /* on average: capacity is reserved at each grant */
#define GATE_POOL_SLOT 1 /* the first of those for contexts that nobody here handed out */
#define GATE_POOL 256 /* so many */
#define GATE_FIRST_SESSION (GATE_POOL_SLOT + GATE_POOL)
#define GATE_CALLERS 8 /* processes at a time that are told of */
#define GATE_MAPPINGS_MAX ((1ULL << 24) - 1)
#define GATE_MAPPINGS_LIMIT (4ULL << 20) /* "unlimited": what one reading gets through */
#define GATE_PAGES_MAX ((1ULL << 40) - 1) /* 4 PiB */

/*
 * Ids of contexts in the pool. No session has one: its id is a time in microseconds. Alone it is
 * none yet: a program has taken the slot and is filling it.
 */
#define GATE_ADOPTED (1ULL << 63)

#define GATE_POLICY_SIZE 72 /* of a name, with its end */

/* What a session has, in one word, so that it changes as one: pages << 24 | mappings. */
#define GATE_USED(pages, mappings) ((pages) << 24 | (mappings))
#define GATE_USED_PAGES(used) ((used) >> 24)
#define GATE_USED_MAPPINGS(used) ((used)&GATE_MAPPINGS_MAX)

/*
 * gate_session.bits: set once, by either side, and kept until the slot is given up. Bit 0 may be
 * set in sessions of before, and means nothing.
 */
#define GATE_REVOKED (1U << 1) /* daemon: nothing new, only UNMAP and DESTROY */
#define GATE_POISONED (1U << 2) /* programs: more was found than was reserved; as revoked */
#define GATE_CLOSED (1U << 3) /* programs: the kernel releases the context */
#define GATE_EIGHTY (1U << 4) /* programs: at 80% of a limit, and not below 75% since */
#define GATE_TESTER (1U << 5) /* daemon: the test command passes */
#define GATE_SLIPPED (1U << 6) /* programs; daemon: cleared when told */
#define GATE_WATCHED (1U << 7) /* daemon: the next change is to be told; programs: it is */
#define GATE_BROUGHT (1U << 8) /* programs: what its context came with is not within the limits */

/*
 * gate_session.plug: a device that nobody expects is to be bound to the session's context, and a
 * thread waits in the kernel for the daemon's word. Programs take it from NONE and bring it back
 * there; the daemon, which may come too late, answers what it was asked: the number of the question
 * is in the other bits.
 */
#define GATE_PLUG_NONE 0U
#define GATE_PLUG_FILLING 1U /* programs: somebody writes down which device */
#define GATE_PLUG_ASKED 2U /* programs */
#define GATE_PLUG_ANSWERED 3U /* daemon: if the session may have it, it is expected now */
#define GATE_PLUG_STATE 3U /* mask */
#define GATE_PLUG_NEXT 4U /* between the numbers of two questions */

#define GATE_NAME_MAX 40 /* of a device, with NUL: a PCI address or an mdev UUID, NUL-filled */

/* A process that has made an ioctl. The programs put it there, the daemon takes it away. */
struct gate_seen {
	__u64 inode; /* of its pidfd; 0: not written yet, or the kernel has none (before 6.9) */
	__u32 pid; /* 0: free */
	__u32 zero;
};

struct gate_session {
	__u64 id; /* daemon, in the pool programs; 0: the slot is free */
	__u64 max_pages;
	__u64 max_mappings; /* at most GATE_MAPPINGS_MAX */
	__u64 max_objects;
	__u64 ctx; /* struct iommufd_ctx; 0: none enrolled */
	__u64 used; /* GATE_USED(): never below what is mapped, but for racers */
	__u64 objects;
	__u32 bits; /* GATE_REVOKED ... */
	__u32 n_files; /* enrolled and not yet released by the kernel */
	/* Between the programs. */
	__u32 frozen; /* somebody reads the truth: nobody reserves */
	/* How often since a reading; 0: not at all. */
	__u32 suspect; /* something may be mapped that nobody saw: read before anything else */
	__u32 dirty; /* used may be too high: read before a refusal */
	__u32 shared; /* some pages may be in several areas: UNMAP says nothing about them */
	__u32 timer; /* it is set */
	__u32 n_copies; /* IOAS_COPY inside */
	__u32 n_unseen; /* MAP inside, the true length of which was not seen yet */
	__u32 breaks; /* what voids a reading */
	__u64 next_op;
	/* The last valid reading. */
	__u64 read_used; /* GATE_USED() */
	__u64 read_objects;
	__u64 read_pinned; /* pages */
	__u64 read_ns; /* CLOCK_MONOTONIC; 0: none yet */
	__u64 read_changes; /* of what is below, before it was taken */
	__u64 peak_pinned; /* pages; of all readings */
	/* Counts. */
	__u64 denied;
	__u64 kills;
	__u64 recounts;
	__u64 busy; /* readings that found no quiet moment */
	__u64 changes; /* ioctls that may have changed something, also if nobody saw their end */
	__u64 n_enrolled; /* daemon: files, also those that are released */
	__u64 eighty_ns; /* programs: when that was told last */
	__u64 large_ns; /* likewise, GATE_EVENT_LARGE */
	__u64 full_ns; /* programs, of the fallback: a reading said then that there is no room */
	__u64 crowd_ns; /* as eighty_ns, GATE_EVENT_CALLER without room for one more */
	__u64 plug_ns; /* daemon: nobody asks before that; CLOCK_MONOTONIC */
	__u32 plug; /* GATE_PLUG_NONE ... */
	__u32 plug_pid; /* whose question it is */
	char plug_name[GATE_NAME_MAX];
	struct gate_seen callers[GATE_CALLERS];
};

/* What a slot of the pool has besides, in an array of its own; programs, unless it says daemon. */
struct gate_adopted {
	__u64 inode; /* of the pidfd of the process that called; 0: the kernel has none */
	__u32 pid;
	__u32 uid; /* its real one */
	__u32 judged; /* daemon: it has looked for a policy */
	__u32 writers; /* gate_change inside: the slot is nobody else's meanwhile */
	char policy[GATE_POLICY_SIZE]; /* daemon; "": none */
};

/* One, in an array of its own. */
struct gate_control {
	__u32 abi;
	__u32 generation; /* of the object whose programs act; others but before return at once */
	__u64 iommufd_fops; /* the address of iommufd_fops; 0: not known yet, nothing is gated */
	__u64 cdev_fops; /* of vfio_device_fops; 0: no cdev was enrolled yet */
	__u64 fired; /* 1 << enum gate_program, on the self-test's session */
	__u64 lost; /* events that did not fit */
	__u32 unmanaged; /* enum gate_unmanaged */
	__u32 before; /* the generation before: its LSM programs, where still attached, act, too */
	__u64 unmanaged_denied;
	__u64 build; /* of the object whose programs act: a hash; 0: not known */
	__u32 kill_slipped; /* what slipped through a gate that can be skipped is as a racer's */
	__u32 pool_news; /* programs: GATE_EVENT_POOL is sent; daemon: it looks */
	/* What a context in the pool begins with. */
	__u64 unmanaged_pages;
	__u64 unmanaged_mappings;
	__u64 unmanaged_objects;
	__u64 limited_ns; /* since when unmanaged is GATE_UNMANAGED_LIMIT, CLOCK_MONOTONIC */
	__u64 full; /* programs: ioctls refused as no slot of the pool was left */
	__u64 full_ns; /* and when that was told last */
};

enum gate_unmanaged {
	GATE_UNMANAGED_ALLOW,
	GATE_UNMANAGED_DENY,
	GATE_UNMANAGED_LIMIT,
};

/* Bits of gate_control.fired. */
enum gate_program {
	GATE_PROGRAM_IOCTL, /* lsm.s/file_ioctl, or the fallback in its place */
	GATE_PROGRAM_COMPAT,
	GATE_PROGRAM_RELEASE,
	GATE_PROGRAM_FREE,
	GATE_PROGRAM_MAP, /* from here on they may be skipped */
	GATE_PROGRAM_MAP_FILE,
	GATE_PROGRAM_UNMAP,
	GATE_PROGRAM_OVER,
	GATE_PROGRAM_TIMER,
	GATE_PROGRAMS,
};

enum gate_event_kind {
	GATE_EVENT_ENDED, /* every file of the session is released */
	GATE_EVENT_POISONED,
	GATE_EVENT_EIGHTY,
	GATE_EVENT_SLIPPED, /* more is mapped than is allowed, where the gate can be skipped */
	GATE_EVENT_LARGE, /* suspect, and too large to be read in a timer: the daemon shall */
	GATE_EVENT_CALLER, /* gate_session.callers has one more */
	GATE_EVENT_POOL, /* of no slot: some of the pool were taken or given back */
	GATE_EVENT_FULL, /* likewise: one was wanted, and none left for the user; id: its uid */
	GATE_EVENT_CHANGED, /* an ioctl that may have changed something is over */
	GATE_EVENT_PLUG, /* gate_session.plug, or the last file of an expected device is released */
};

/* Only wakes the daemon: what holds is in the session's slot. */
struct gate_event {
	__u32 kind; /* enum gate_event_kind */
	__u32 slot;
	__u64 id; /* of the session */
	__u32 pid; /* of the process in whose ioctl it was found; 0: the timer */
	__u32 zero;
};

/* The argument of the programs that the daemon runs itself (BPF_PROG_RUN). */
struct gate_call {
	__u32 slot;
	__s32 fd; /* gate_enrol: a file of the daemon */
	__u32 cdev; /* gate_enrol: it is a VFIO cdev, not an iommufd */
	__s32 err; /* out */
	__u32 wait; /* gate_read: for a quiet moment; else one look */
	/* gate_read: out */
	__u32 exact; /* nothing was inside: the session's reading is new */
	__u64 used;
	__u64 pinned; /* pages */
	__u64 objects;
};

/* Likewise, of gate_change: what the daemon writes of a context in the pool. */
struct gate_change {
	__u64 id; /* of the context; another's is left alone */
	__u32 slot;
	__s32 err; /* out */
	__u64 max_pages;
	__u64 max_mappings;
	__u64 max_objects;
	__u32 bits; /* GATE_REVOKED, or nothing */
	__u32 judged; /* with policy; else that stays as it is */
	char policy[GATE_POLICY_SIZE];
};

#endif
