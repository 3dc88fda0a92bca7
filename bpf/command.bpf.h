/* SPDX-License-Identifier: GPL-2.0 */
/* What an ioctl asks for: the class of its command, and what counts of its argument. */
#ifndef BPF_COMMAND_BPF_H
#define BPF_COMMAND_BPF_H

#include "bpf/op.bpf.h"

#define IOMMUFD_TYPE(cmd) ((cmd) >> 8 & 0xff)

enum gate_class {
	CLASS_PASS, /* changes nothing that counts */
	CLASS_UNKNOWN,
	CLASS_MAP,
	CLASS_COPY,
	CLASS_CREATE,
	CLASS_SHRINK,
	CLASS_BIND,
	CLASS_TEST,
};

static __always_inline enum gate_class class_of_iommufd(__u32 cmd)
{
	if (IOMMUFD_TYPE(cmd) != ';')
		return CLASS_PASS; /* any file's (FIONREAD), or no command: iommufd says so */
	switch (cmd) {
	case CMD_IOAS_MAP:
	case CMD_IOAS_MAP_FILE:
		return CLASS_MAP;
	case CMD_IOAS_COPY:
		return CLASS_COPY;
	case CMD_IOAS_UNMAP:
	case CMD_DESTROY:
		return CLASS_SHRINK;
	case CMD_IOAS_ALLOC:
	case CMD_HWPT_ALLOC:
	case CMD_FAULT_QUEUE_ALLOC:
	case CMD_VIOMMU_ALLOC:
	case CMD_VDEVICE_ALLOC:
	case CMD_VEVENTQ_ALLOC:
	case CMD_HW_QUEUE_ALLOC:
		return CLASS_CREATE;
	case CMD_TEST:
		return CLASS_TEST;
	case CMD_VFIO_IOAS:
		return CLASS_UNKNOWN;
	}
	/* ALLOW_IOVAS to CHANGE_PROCESS that are not above: they read, or change what is no area.
	 */
	return cmd > CMD_DESTROY && cmd <= CMD_IOAS_CHANGE_PROCESS ? CLASS_PASS : CLASS_UNKNOWN;
}

/* Whether something is there afterwards that was not before, or nobody knows. */
static __always_inline bool class_adds(enum gate_class class)
{
	return class != CLASS_PASS && class != CLASS_SHRINK;
}

static __always_inline enum gate_class class_of(__u32 cmd, __u32 cdev)
{
	if (!cdev)
		return class_of_iommufd(cmd);
	switch (cmd) {
	case CMD_DEVICE_BIND:
		return CLASS_BIND;
	case CMD_DEVICE_ATTACH:
		return CLASS_CREATE;
	case CMD_DEVICE_DETACH: /* with the last device the kernel unpins, and drops its own hwpt */
		return CLASS_SHRINK;
	}
	return CLASS_PASS;
}

/* The fields that count of a command's argument: read once, and judged by what the kernel sees. */
struct gate_argument {
	__u64 address; /* or start, in a file */
	__u64 length;
	__s32 fd;
	__u32 unread; /* nothing is known of it */
	__u32 odd; /* parts of pages */
};

#define ARGUMENT_WORDS 5
#define ARGUMENT_FIXED_IOVA 1 /* of the flags of MAP and COPY */

/* Where the fields are, and not a byte more than the kernel reads: behind may be no memory. */
static __always_inline __u32 argument_offset(enum gate_class class)
{
	return class == CLASS_BIND ? 8 : 0;
}

static __always_inline __u32 argument_size(enum gate_class class)
{
	return class == CLASS_BIND ? 8 : ARGUMENT_WORDS * 8;
}

static __always_inline __u64 page_mask(void)
{
	return (1ULL << gate_page_shift) - 1;
}

/*
 * An area of a part of a page is as dear as any other, and a COPY of few pages would make many:
 * without a device the kernel allows that, and no VMM needs it.
 */
static __always_inline void argument_take(enum gate_class class, const __u64 *words,
					  struct gate_argument *ret)
{
	__u64 mask = page_mask(), flags = words[0] >> 32;

	if (class == CLASS_BIND) {
		ret->fd = (__s32)words[0];
		return;
	}
	if (class == CLASS_COPY) { /* length, dst_iova, src_iova */
		ret->length = words[2];
		ret->odd = !!((words[2] | words[4]) & mask);
		if (flags & ARGUMENT_FIXED_IOVA && words[3] & mask)
			ret->odd = 1;
		return;
	}
	ret->address = words[2]; /* user_va or start, length, iova */
	ret->length = words[3];
	ret->odd = !!((words[2] | words[3]) & mask);
	if (flags & ARGUMENT_FIXED_IOVA && words[4] & mask)
		ret->odd = 1;
}

static __always_inline __u64 pages_of(__u64 address, __u64 length)
{
	__u64 mask = page_mask(), pages;

	if (length >> gate_page_shift >= GATE_PAGES_MAX)
		return GATE_PAGES_MAX;
	pages = ((address & mask) + length + mask) >> gate_page_shift;
	return pages < GATE_PAGES_MAX ? pages : GATE_PAGES_MAX;
}

/*
 * Reads the fields that count. A program that may sleep reads what the kernel will read. One that
 * may not fails on a page that nobody has touched yet: then a COPY is taken for the largest there
 * is, and a MAP for one of no length, until its true length is seen.
 */
static __always_inline int argument_read(enum gate_class class, __u64 arg, bool sleeps,
					 struct gate_argument *ret)
{
	const void *from = (const void *)(arg + argument_offset(class));
	__u64 words[ARGUMENT_WORDS] = {0};

	if (class != CLASS_MAP && class != CLASS_COPY && class != CLASS_BIND)
		return 0;
	if (sleeps) {
		if (bpf_copy_from_user(words, argument_size(class), from))
			return -EFAULT; /* as the kernel would say */
	} else if (bpf_probe_read_user(words, argument_size(class), from)) {
		if (class == CLASS_BIND)
			return -EFAULT;
		ret->length = class == CLASS_COPY ? ~0ULL : 0;
		ret->unread = 1;
		return 0;
	}
	argument_take(class, words, ret);
	return 0;
}

#endif
