/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ioctls that are inside the kernel. A session has GATE_OPS places for them; one that begins takes
 * a place and leaves it when its end was seen, or is proved by the thread's saved registers.
 */
#ifndef BPF_OP_BPF_H
#define BPF_OP_BPF_H

#include "bpf/expected.bpf.h"
#include "bpf/maps.bpf.h"

#define OP_FREE 0
#define OP_BUSY 1 /* somebody writes it */

/*
 * gate_op.seen, of a MAP: its true length was; it was not even read before (the fallback). Of an
 * UNMAP, in the fallback: what it took away is given back; that happens now; it must not be.
 */
#define OP_SEEN 1
#define OP_UNREAD 2
#define OP_CREDITS 3
#define OP_VOID 4

#define IOMMUFD_CMD(nr) (((__u32)';' << 8) | (nr))
#define CMD_DESTROY IOMMUFD_CMD(0x80)
#define CMD_IOAS_ALLOC IOMMUFD_CMD(0x81)
#define CMD_IOAS_COPY IOMMUFD_CMD(0x83)
#define CMD_IOAS_MAP IOMMUFD_CMD(0x85)
#define CMD_IOAS_UNMAP IOMMUFD_CMD(0x86)
#define CMD_VFIO_IOAS IOMMUFD_CMD(0x88)
#define CMD_HWPT_ALLOC IOMMUFD_CMD(0x89)
#define CMD_FAULT_QUEUE_ALLOC IOMMUFD_CMD(0x8e)
#define CMD_IOAS_MAP_FILE IOMMUFD_CMD(0x8f)
#define CMD_VIOMMU_ALLOC IOMMUFD_CMD(0x90)
#define CMD_VDEVICE_ALLOC IOMMUFD_CMD(0x91)
#define CMD_IOAS_CHANGE_PROCESS IOMMUFD_CMD(0x92)
#define CMD_VEVENTQ_ALLOC IOMMUFD_CMD(0x93)
#define CMD_HW_QUEUE_ALLOC IOMMUFD_CMD(0x94)
#define CMD_TEST IOMMUFD_CMD(0xa0)
#define CMD_DEVICE_BIND IOMMUFD_CMD(118)
#define CMD_DEVICE_ATTACH IOMMUFD_CMD(119)
#define CMD_DEVICE_DETACH IOMMUFD_CMD(120)

static __always_inline bool cmd_maps(__u32 cmd)
{
	return cmd == CMD_IOAS_MAP || cmd == CMD_IOAS_MAP_FILE;
}

/* Whether areas may come or go: only while nobody does such a thing is a reading that of a moment.
 */
static __always_inline bool cmd_changes_areas(__u32 cmd)
{
	return cmd_maps(cmd) || cmd == CMD_IOAS_COPY || cmd == CMD_IOAS_UNMAP ||
	       cmd == CMD_DESTROY || cmd == CMD_TEST;
}

/* Who watches is told once, and asks again before it reads: no change is missed in between. */
static __always_inline void session_changed(__u32 slot, struct gate_session *s)
{
	if (READ(s->bits) & GATE_WATCHED && atomic_and(&s->bits, ~GATE_WATCHED) & GATE_WATCHED)
		event_send(slot, s, GATE_EVENT_CHANGED);
}

/*
 * Accounts for the end of an operation. The order is: what makes the session stricter first, then
 * the place is free; a reading that finds it free finds the rest, too. Whoever watches comes last:
 * what it reads has this operation in it.
 */
static __always_inline void op_end(__u32 slot, struct gate_session *s, struct gate_op *op,
				   __u64 number)
{
	__u32 cmd;

	if (atomic_cas(&op->state, number, OP_BUSY) != number)
		return; /* the thread itself and a reading that proved its end may meet here */
	cmd = op->cmd;
	if (cmd_maps(cmd) && op->seen != OP_SEEN) {
		atomic_add(&s->suspect, 1);
		atomic_add(&s->n_unseen, -1);
	}
	if (cmd == CMD_IOAS_COPY) {
		atomic_add(&s->suspect, 1);
		atomic_add(&s->n_copies, -1);
	}
	if (cmd == CMD_DEVICE_BIND || cmd == CMD_TEST)
		atomic_add(&s->suspect, 1);
	atomic_add(&s->dirty, 1);
	atomic_set(&op->state, OP_FREE);
	session_changed(slot, s);
}

static __always_inline struct gate_mine *mine_of_thread(void)
{
	return bpf_task_storage_get(&gate_mine, bpf_get_current_task_btf(), 0,
				    BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/*
 * What this thread began before it has left: it is here, outside. Return: where it is to be
 * remembered what it begins now; NULL: no memory, so it must begin nothing.
 */
static __always_inline struct gate_mine *op_end_mine(void)
{
	struct gate_mine *mine = mine_of_thread();
	struct gate_op *op = op_of_mine(mine);
	struct gate_session *s;

	if (!op)
		return mine;
	s = session_at(mine->slot);
	if (s)
		op_end(mine->slot, s, op, mine->number);
	return mine;
}

/*
 * Takes a place for this thread. Return: the operation's number; 0: all places are taken. The
 * caller remembers it in the thread's struct gate_mine, which no other thread looks at: any time
 * before the kernel begins is early enough.
 */
__noinline __u64 op_begin(__u32 slot, __u32 cmd, __u64 used, __u32 objects, __u32 seen)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct gate_session *s = session_at(slot);
	struct gate_body *body = body_at(slot);
	__u32 at = bpf_get_smp_processor_id();
	struct gate_op *op = NULL;
	__u64 number;

	if (!s || !body)
		return 0;
	for (int i = 0; i < GATE_OPS; i++, at++) {
		op = &body->ops[at & (GATE_OPS - 1)];
		if (READ(op->state) == OP_FREE &&
		    atomic_cas(&op->state, OP_FREE, OP_BUSY) == OP_FREE)
			break;
		op = NULL;
	}
	if (!op)
		return 0;
	/* Never OP_FREE or OP_BUSY. */
	number = (atomic_add(&s->next_op, 1) + 1) * GATE_OPS + (at & (GATE_OPS - 1));
	op->used = used;
	op->objects = objects;
	op->cmd = cmd;
	op->seen = seen;
	op->pid = task->pid;
	op->task = (__u64)task;
	op->regs = (__u64)regs;
	op->ax = regs->orig_ax;
	op->ip = regs->ip;
	op->di = regs->di;
	op->si = regs->si;
	op->dx = regs->dx;
	if (cmd_maps(cmd))
		atomic_add(&s->n_unseen, 1);
	if (cmd == CMD_IOAS_COPY)
		atomic_add(&s->n_copies, 1);
	atomic_set(&op->state, number);
	return number;
}

/* Takes it back before the kernel has begun: nothing happened. */
static __always_inline void op_abandon(struct gate_session *s, struct gate_op *op, __u64 number)
{
	if (atomic_cas(&op->state, number, OP_BUSY) != number)
		return;
	if (cmd_maps(op->cmd))
		atomic_add(&s->n_unseen, -1);
	if (op->cmd == CMD_IOAS_COPY)
		atomic_add(&s->n_copies, -1);
	atomic_set(&op->state, OP_FREE);
}

/*
 * Whether its thread has left the ioctl: it has other user registers by now, is exiting, or is no
 * more. A thread gets new registers with each entry into the kernel; the same ones mean "perhaps".
 */
static __always_inline bool op_is_over(const struct gate_op *op)
{
	struct task_struct *task = (void *)op->task;
	struct pt_regs *regs = (void *)op->regs;
	unsigned int flags = 0;
	int pid = 0;

	if (bpf_core_read(&pid, sizeof(pid), &task->pid) || pid != op->pid ||
	    bpf_core_read(&flags, sizeof(flags), &task->flags) || flags & PF_EXITING)
		return true;
	return BPF_CORE_READ(regs, orig_ax) != op->ax || BPF_CORE_READ(regs, ip) != op->ip ||
	       BPF_CORE_READ(regs, di) != op->di || BPF_CORE_READ(regs, si) != op->si ||
	       BPF_CORE_READ(regs, dx) != op->dx;
}

/* Whether a thread runs, or has just begun to: what it did before is seen by who reads this. */
static __always_inline bool task_runs(const struct task_struct *task)
{
	if (!bpf_core_field_exists(task->on_cpu))
		return false; /* the only processor is this one */
	return BPF_CORE_READ(task, on_cpu);
}

enum ops {
	OPS_CHANGE, /* areas */
	OPS_RUN, /* likewise, and their threads run */
	OPS_GIVE, /* take areas or objects away, and may have done so */
};

static __always_inline bool op_counts(const struct gate_op *op, enum ops which)
{
	if (which == OPS_GIVE)
		return op->cmd == CMD_IOAS_UNMAP || op->cmd == CMD_DESTROY ||
		       op->cmd == CMD_DEVICE_DETACH;
	return cmd_changes_areas(op->cmd) && (which == OPS_CHANGE || task_runs((void *)op->task));
}

/* Ends what is over. */
static __always_inline int ops_count(__u32 slot, __u64 besides, enum ops which)
{
	struct gate_session *s = session_at(slot);
	struct gate_body *body = body_at(slot);
	int n = 0;

	if (!s || !body)
		return 0;
	for (int i = 0; i < GATE_OPS; i++) {
		struct gate_op *op = &body->ops[i];
		__u64 number = READ(op->state);

		if (number == OP_FREE || number == besides)
			continue;
		if (number == OP_BUSY) { /* about to look at frozen, or about to be free */
			n += which != OPS_GIVE || op_counts(op, which);
			continue;
		}
		if (op_is_over(op))
			op_end(slot, s, op, number);
		else if (op_counts(op, which))
			n++;
	}
	return n;
}

/* How many operations are inside that change areas, besides the one with this number. */
__noinline int op_inside(__u32 slot, __u64 besides)
{
	return ops_count(slot, besides, OPS_CHANGE);
}

/* How many of them run, or are about to look at frozen. */
__noinline int op_running(__u32 slot, __u64 besides)
{
	return ops_count(slot, besides, OPS_RUN);
}

/* How many are inside that may have taken away by now what they are there for. */
__noinline int op_giving(__u32 slot, __u64 besides)
{
	return ops_count(slot, besides, OPS_GIVE);
}

/* Objects that whoever is inside may be creating, unseen by a reading. */
__noinline int op_objects(__u32 slot, __u64 besides)
{
	struct gate_body *body = body_at(slot);
	int n = 0;

	if (!body)
		return 0;
	for (int i = 0; i < GATE_OPS; i++) {
		struct gate_op *op = &body->ops[i];
		__u64 number = READ(op->state);

		if (number != OP_FREE && number != besides)
			n += op->objects;
	}
	return n;
}

#endif
