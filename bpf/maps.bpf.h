/* SPDX-License-Identifier: GPL-2.0 */
/* The maps of the gate, and how its programs get at them. */
#ifndef BPF_MAPS_BPF_H
#define BPF_MAPS_BPF_H

#include "bpf/core_types.h"

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/gate_map.h"

#define EPERM 1
#define ENOENT 2
#define ESRCH 3
#define EAGAIN 11
#define ENOMEM 12
#define EFAULT 14
#define EBUSY 16
#define EEXIST 17
#define ENODEV 19
#define EINVAL 22
#define ENOTTY 25
#define ENOSPC 28

#define GATE_OPS 16 /* a power of two: threads inside the ioctls of one session at a time */
#define GATE_CDEVS 16 /* as the protocol has devices in a session */
#define GATE_STACK 64 /* deeper than any red-black tree of GATE_MAPPINGS_MAX areas */
#define NSEC_PER_MSEC 1000000ULL

/* Several sources become one object: what each of them defines here is one, too. */
#define SHARED __weak

/* Set by the daemon before the programs are loaded. */
const volatile __u32 SHARED gate_generation;
const volatile __u32 SHARED gate_page_shift = 12;
const volatile __u32 SHARED gate_skippable; /* the fallback: not by LSM programs */
const volatile __u32 SHARED gate_keeps_cpu; /* bpf_preempt_disable() is there */

/*
 * One ioctl that is inside the kernel, as far as is known.
 *
 * state: 0 free, 1 somebody is writing it, else the number of the operation, which is never used
 * twice in a slot. Whoever moves it off
 * its number (compare and swap) is the one to account for its end. The saved user registers are
 * those of the thread at entry: as long as they are the same it is perhaps still inside.
 */
struct gate_op {
	__u64 state;
	__u64 used; /* GATE_USED() that is reserved for it */
	__u32 objects;
	__u32 cmd;
	__u32 seen; /* OP_SEEN ... */
	__s32 pid;
	__u64 task; /* address */
	__u64 regs; /* address of its struct pt_regs */
	__u64 ax, ip, di, si, dx;
};

/* A reading of the truth in the making. */
struct gate_walk {
	__u64 root; /* of the xarray of objects */
	__u64 index, last;
	__u64 parts, pinned_parts; /* of pages: see walk_share() */
	__u64 pages, pinned, mappings, objects;
	__u64 halfway; /* pages of areas that are being made, or taken down */
	__u32 shared; /* areas whose pages others may have, too */
	__u32 invalid; /* WALK_WRONG ... */
	__u32 depth;
	__u32 done;
	__u32 locked; /* somebody is about to change a tree; the fallback alone asks */
	__u32 zero;
	__u64 stack[GATE_STACK]; /* struct rb_node: subtrees to be read */
};

/* An operation whose thread was found not to run. */
struct gate_sleeper {
	__u64 number; /* 0: there was none in its place */
	__u64 switches; /* how often its thread had given up a processor */
};

/* All that are inside, none of whom runs. Two sums: nobody has looked at the limits for each yet.
 */
struct gate_asleep {
	struct gate_sleeper of[GATE_OPS];
	__u64 pages, mappings; /* that are reserved, and may not be in the trees yet */
};

/* What is not shared with the daemon. */
struct gate_body {
	struct bpf_timer timer;
	struct gate_op ops[GATE_OPS];
	__u64 cdevs[GATE_CDEVS]; /* struct file; 0: none */
	struct gate_walk walk; /* whoever holds gate_session.frozen, as what follows */
	struct gate_asleep asleep;
};

/* Which session a file is of. */
struct gate_file {
	__u32 slot;
	__u16 cdev;
	__u16 expected; /* a cdev that came as such: its place in the table + 1; 0: no */
};

/* The operation that a thread began last. */
struct gate_mine {
	__u64 number; /* 0: none; its place in gate_body.ops is in the low bits */
	__u32 slot;
	__u32 zero;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gate_control);
} gate_control SHARED SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set before loading, as the next two */
	__type(key, __u32);
	__type(value, struct gate_session);
} gate_sessions SHARED SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, GATE_POOL);
	__type(key, __u32);
	__type(value, struct gate_adopted);
} gate_adopted SHARED SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gate_body);
} gate_bodies SHARED SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	/* struct file, until the kernel frees it; for as long, of one that others opened, its
	 * context */
	__type(key, __u64);
	__type(value, struct gate_file);
} gate_files SHARED SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct gate_mine);
} gate_mine SHARED SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} gate_events SHARED SEC(".maps");

static __always_inline struct gate_control *control_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&gate_control, &zero);
}

static __always_inline struct gate_session *session_at(__u32 slot)
{
	return bpf_map_lookup_elem(&gate_sessions, &slot);
}

static __always_inline struct gate_body *body_at(__u32 slot)
{
	return bpf_map_lookup_elem(&gate_bodies, &slot);
}

/* Or it is a session's. */
static __always_inline bool slot_in_pool(__u32 slot)
{
	return slot - GATE_POOL_SLOT < GATE_POOL;
}

/* NULL: it is a session's. */
static __always_inline struct gate_adopted *adopted_at(__u32 slot)
{
	__u32 at = slot - GATE_POOL_SLOT;

	return bpf_map_lookup_elem(&gate_adopted, &at);
}

/* Fully ordered, all of them: the kernel's returning atomics are. */
#define atomic_cas(at, old, new) __sync_val_compare_and_swap((at), (old), (new))
#define atomic_add(at, n) __sync_fetch_and_add((at), (n))
#define atomic_and(at, bits) __sync_fetch_and_and((at), (bits))
#define atomic_or(at, bits) __sync_fetch_and_or((at), (bits))
#define atomic_set(at, value) __sync_lock_test_and_set((at), (value))

#define READ(x) (*(const volatile __typeof__(x) *)&(x))

/* A word that the compiler must not reason about: the verifier would lose what it knows. */
#define opaque(x) asm volatile("" : "+r"(x))

/* Its place is in the number. */
static __always_inline struct gate_op *op_at(struct gate_body *body, __u64 number)
{
	return &body->ops[number & (GATE_OPS - 1)];
}

/* The operation that a thread is in, if it still is known as such. */
static __always_inline struct gate_op *op_of_mine(const struct gate_mine *mine)
{
	struct gate_body *body;
	struct gate_op *op;

	if (!mine || !mine->number)
		return NULL;
	body = body_at(mine->slot);
	if (!body)
		return NULL;
	op = op_at(body, mine->number);
	return READ(op->state) == mine->number ? op : NULL;
}

static __always_inline struct gate_op *op_of_thread(__u32 *ret_slot)
{
	struct gate_mine *mine = bpf_task_storage_get(&gate_mine, bpf_get_current_task_btf(), 0, 0);
	struct gate_op *op = op_of_mine(mine);

	if (op)
		*ret_slot = mine->slot;
	return op;
}

/* The self-test wants to know who was called. */
static __always_inline void control_fired(__u32 slot, enum gate_program program)
{
	struct gate_control *control;

	if (slot != GATE_SELF_TEST)
		return;
	control = control_get();
	if (control)
		atomic_or(&control->fired, 1ULL << program);
}

static __always_inline void event_put(__u32 slot, __u64 id, __u32 kind)
{
	struct gate_control *control = control_get();
	struct gate_event event = {
		.kind = kind,
		.slot = slot,
		.id = id,
		.pid = kind == GATE_EVENT_LARGE ? 0 : bpf_get_current_pid_tgid() >> 32,
	};

	if (bpf_ringbuf_output(&gate_events, &event, sizeof(event), 0) && control)
		atomic_add(&control->lost, 1);
}

static __always_inline void event_send(__u32 slot, const struct gate_session *s, __u32 kind)
{
	event_put(slot, s->id, kind);
}

#endif
