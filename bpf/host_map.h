/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the programs that look at the whole host write: one record after the other. Fixed widths, no
 * holes. Pages are the kernel's.
 */
#ifndef BPF_HOST_MAP_H
#define BPF_HOST_MAP_H

#include <linux/types.h>

enum host_kind {
	HOST_CONTEXT = 1, /* a file of iommufd */
	HOST_CDEV, /* of a VFIO device; object: the context it is bound to, 0: to none */
	HOST_CONTAINER, /* /dev/vfio/vfio, with VFIO's type1 behind it, or nothing yet */
};

/* host_file.flags */
#define HOST_READ (1U << 0) /* the figures are there; other files of the object have none */
#define HOST_PART (1U << 1) /* and may not be all: it changed meanwhile, or is too large */

/* enum iopt_pages_account_mode, of a context and of what is mapped through it. */
#define HOST_ACCOUNT_NONE 0 /* whoever mapped it had CAP_IPC_LOCK */
#define HOST_ACCOUNT_USER 1
#define HOST_ACCOUNT_TASK 2

#define HOST_PAYERS 8 /* told of each context; the last one stands for all others, too */

enum host_payer_kind {
	HOST_PAYER_NONE,
	HOST_PAYER_LIVES,
	HOST_PAYER_GONE, /* it has exited: its pid may be another's */
	HOST_PAYER_OTHERS, /* all that have no place of their own: uid and accounting say nothing */
};

/* To whom what is mapped through a context is charged. */
struct host_payer {
	__u64 pages; /* mapped; those in several areas once */
	__u64 pinned;
	__u64 cgroup; /* id of its own in the v2 hierarchy; 0: several, or the kernel has none */
	__u32 pid; /* it may have exited; 0: no such payer, or several processes */
	__u32 uid; /* of the user_struct */
	__u32 mappings;
	__u16 accounting;
	__u16 used; /* enum host_payer_kind */
};

/* A descriptor of a process. */
struct host_file {
	__u32 kind; /* enum host_kind */
	__u32 flags;
	__u32 pid;
	__u32 uid; /* real, in the initial namespace, as all here */
	__u64 object; /* address of the context or the container */
	__u64 session; /* id; 0: the file is none of a session */
	__u64 pages; /* mapped; those in several areas once */
	__u64 pinned;
	__u64 orphaned; /* of those pinned: the process that mapped them is gone */
	__u64 mappings;
	__u32 accounting; /* of a context */
	__u32 zero;
	char comm[16];
	struct host_payer payers[HOST_PAYERS];
};

/* A process with memory, if anything is locked or pinned in it or for its user. */
struct host_task {
	__u32 pid;
	__u32 uid;
	__u64 mm; /* address; processes may share it */
	__u64 pinned; /* mm_struct.pinned_vm */
	__u64 locked; /* mm_struct.locked_vm */
	__u64 user_locked; /* user_struct.locked_vm */
	__u32 user; /* user_struct.uid */
	__u32 zero;
	char comm[16];
};

#endif
