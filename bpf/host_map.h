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

/* iommufd_ctx.account_mode (enum iopt_pages_account_mode): with any other the user is charged. */
#define HOST_ACCOUNT_TASK 2

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
