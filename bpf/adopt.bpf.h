/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Contexts that nobody here handed out. With GATE_UNMANAGED_LIMIT the first ioctl that creates or
 * maps something adopts one: it gets a slot of the pool, with the limits that the daemon has left
 * in gate_control, whether that lives or not. From there on it is gated as a session's. What it had
 * mapped before is found by the reading that comes first, as it begins suspect.
 *
 * A slot is taken for as long as its id is not 0, and given back by whoever frees the file. The
 * daemon writes to one by gate_change only, which keeps it from being taken by another meanwhile.
 */
#ifndef BPF_ADOPT_BPF_H
#define BPF_ADOPT_BPF_H

#include "bpf/command.bpf.h"
#include "bpf/file.bpf.h"
#include "bpf/recount.bpf.h"
#include "bpf/task.bpf.h"

#define ADOPT_TRIES 8
#define FULL_NS (10000 * NSEC_PER_MSEC)

/* How the pool is used. */
struct share {
	__u32 uid;
	__u32 own; /* slots of that user */
	__u32 free;
	__u32 zero;
};

struct claim {
	__u32 slot; /* 0: none */
	__u32 busy; /* one was just being filled, or given back */
};

/* Not taken, for somebody or something of the context before is still there. */
static __always_inline bool slot_is_left(const struct gate_body *body,
					 const struct gate_adopted *adopted)
{
	for (int i = 0; i < GATE_OPS; i++)
		if (READ(body->ops[i].state) != OP_FREE)
			return false;
	return !READ(adopted->writers);
}

/*
 * Takes a free slot, and its frozen: a timer or a reading of the context before may still be there,
 * which has the one or a place among the operations. Whoever comes after finds frozen taken, and a
 * writer that its id is another.
 */
static long claim_try(__u32 i, void *arg)
{
	struct claim *claim = arg;
	__u32 slot = GATE_POOL_SLOT + i;
	struct gate_session *s = session_at(slot);
	struct gate_body *body = body_at(slot);
	struct gate_adopted *adopted = adopted_at(slot);
	__u64 id;

	if (!s || !body || !adopted)
		return 1;
	id = READ(s->id);
	if (id) {
		claim->busy |= id == GATE_ADOPTED;
		return 0;
	}
	claim->busy = 1;
	if (atomic_cas(&s->id, 0, GATE_ADOPTED))
		return 0;
	if (atomic_cas(&s->frozen, 0, 1)) {
		atomic_set(&s->id, 0);
		return 0;
	}
	if (!slot_is_left(body, adopted)) {
		atomic_set(&s->frozen, 0);
		atomic_set(&s->id, 0);
		return 0;
	}
	claim->slot = slot;
	return 1;
}

static long share_add(__u32 i, void *arg)
{
	struct share *share = arg;
	const struct gate_session *s = session_at(GATE_POOL_SLOT + i);
	const struct gate_adopted *adopted = adopted_at(GATE_POOL_SLOT + i);

	if (!s || !adopted)
		return 1;
	if (!READ(s->id))
		share->free++;
	else if (READ(adopted->uid) == share->uid)
		share->own++;
	return 0;
}

/*
 * No user gets more slots than it leaves free, one alone half of them, so that whoever comes next
 * finds some.
 *
 * @taken: 1: one of those that it has is new, and to be given back if it is too many. Threads of
 * one user that come at once have each taken one, and said whose it is, before they look: the last
 * to look sees all of them, so that never too many stay; two may both give way.
 */
static __always_inline bool share_is_used_up(__u32 uid, __u32 taken)
{
	struct share share = {.uid = uid};

	bpf_loop(GATE_POOL, share_add, &share, 0);
	return share.own >= share.free + 2 * taken;
}

/* The id and frozen say that it is ours; the numbering of operations goes on. */
static __always_inline void slot_fill(struct gate_session *s, __u64 ctx)
{
	const struct gate_control *control = control_get();
	__u64 next_op = s->next_op;

	__builtin_memset(&s->max_pages, 0,
			 offsetof(struct gate_session, frozen) -
				 offsetof(struct gate_session, max_pages));
	__builtin_memset(&s->suspect, 0,
			 offsetof(struct gate_session, callers) -
				 offsetof(struct gate_session, suspect));
	s->next_op = next_op;
	if (control) {
		s->max_pages = control->unmanaged_pages;
		s->max_mappings = control->unmanaged_mappings;
		s->max_objects = control->unmanaged_objects;
	}
	s->ctx = ctx;
	s->suspect = 1;
	s->n_files = 1;
}

static __always_inline void adopted_fill(__u32 slot)
{
	struct gate_adopted *adopted = adopted_at(slot);

	if (!adopted)
		return;
	adopted->inode = task_inode((void *)bpf_get_current_task());
	adopted->pid = bpf_get_current_pid_tgid() >> 32;
	adopted->judged = 0;
	__builtin_memset(adopted->policy, 0, sizeof(adopted->policy));
}

/* The time is another for each that has the slot, which is in the low bits. */
static __always_inline __u64 adopted_id(__u32 slot)
{
	_Static_assert(GATE_POOL == 256, "a byte of the id");
	return GATE_ADOPTED | (bpf_ktime_get_ns() & ~255ULL) | ((slot - GATE_POOL_SLOT) & 255);
}

/* Takes a slot for the calling user. Return: it; -ENOSPC: none is free, or for it; -EAGAIN. */
static __always_inline int slot_take(void)
{
	__u32 uid = (__u32)bpf_get_current_uid_gid();
	struct claim claim = {0};
	struct gate_adopted *adopted;
	struct gate_session *s;

	if (share_is_used_up(uid, 0))
		return -ENOSPC;
	bpf_loop(GATE_POOL, claim_try, &claim, 0);
	if (!claim.slot)
		return claim.busy ? -EAGAIN : -ENOSPC;
	s = session_at(claim.slot);
	adopted = adopted_at(claim.slot);
	if (!s || !adopted)
		return -ENOSPC;
	atomic_set(&adopted->uid, uid);
	if (!share_is_used_up(uid, 1))
		return (int)claim.slot;
	atomic_set(&s->frozen, 0);
	atomic_set(&s->id, 0);
	return -ENOSPC;
}

/* Return: its slot; -ENOSPC: none is free, or for its user; -EAGAIN; -EEXIST: another thread did.
 */
static __always_inline int context_adopt(__u64 file, __u64 ctx)
{
	struct gate_file known = {0};
	struct gate_session *s;
	int slot = slot_take();
	long err;

	if (slot < 0)
		return slot;
	s = session_at((__u32)slot);
	if (!s)
		return -ENOSPC;
	slot_fill(s, ctx);
	adopted_fill((__u32)slot);
	known.slot = (__u32)slot;
	err = bpf_map_update_elem(&gate_files, &file, &known, BPF_NOEXIST);
	atomic_set(&s->frozen, 0);
	if (err) {
		atomic_set(&s->id, 0);
		return err == -EEXIST ? -EEXIST : err == -EBUSY ? -EAGAIN : -ENOSPC;
	}
	atomic_set(&s->id, adopted_id((__u32)slot));
	pool_tell();
	return slot;
}

/* Counted, and told now and then. */
static __always_inline void pool_refuse(void)
{
	struct gate_control *control = control_get();
	__u64 now_ns = bpf_ktime_get_ns();

	if (!control)
		return;
	atomic_add(&control->full, 1);
	if (now_ns - READ(control->full_ns) < FULL_NS && READ(control->full_ns))
		return;
	control->full_ns = now_ns;
	event_put(0, (__u32)bpf_get_current_uid_gid(), GATE_EVENT_FULL);
}

/*
 * Threads of one process may try at once, each with a slot in hand, and one of them be first: the
 * others give theirs back, so one that found none looks again. Return: the slot; -errno.
 */
static __always_inline int adopt(__u64 file, __u64 ctx, bool sleeps)
{
	int ret = -EAGAIN;

	for (int i = 0; i < ADOPT_TRIES; i++) {
		const struct gate_file *known;

		ret = context_adopt(file, ctx);
		if (ret > 0)
			return ret;
		known = bpf_map_lookup_elem(&gate_files, &file);
		if (known)
			return (int)known->slot;
		if (ret != -EAGAIN)
			break;
		wait_a_moment(sleeps);
	}
	if (ret == -ENOSPC)
		pool_refuse();
	return ret;
}

__noinline int adopt_giving_way(__u64 file, __u64 ctx)
{
	return adopt(file, ctx, true);
}

__noinline int adopt_on(__u64 file, __u64 ctx)
{
	return adopt(file, ctx, false);
}

/*
 * Where the fallback's program that is called when a file is freed was skipped, the address may be
 * another context's by now.
 */
static __always_inline bool adopted_before(const struct file *file, const struct gate_file *known)
{
	const struct gate_session *s = session_at(known->slot);

	if (!slot_in_pool(known->slot) || !s ||
	    (s->ctx == (__u64)file->private_data && !(READ(s->bits) & GATE_CLOSED)))
		return false;
	file_forget((__u64)file, known);
	return true;
}

static __always_inline long unmanaged_refuse(struct gate_control *control, int err)
{
	atomic_add(&control->unmanaged_denied, 1);
	return err;
}

/* Return: 1: it is to be adopted; 0: it may; -errno. */
static __always_inline long unmanaged_ioctl(struct gate_control *control, const struct file *file,
					    __u32 cmd, bool compat)
{
	__u32 mode = READ(control->unmanaged);
	enum gate_class class;

	if (mode == GATE_UNMANAGED_ALLOW || (__u64)file->f_op != control->iommufd_fops)
		return 0;
	class = class_of_iommufd(cmd);
	if (!class_adds(class))
		return 0;
	if (mode == GATE_UNMANAGED_DENY)
		return unmanaged_refuse(control, -EPERM);
	if (compat || class == CLASS_UNKNOWN || class == CLASS_TEST)
		return unmanaged_refuse(control, -ENOTTY); /* as in a session */
	return 1;
}

/* @sleeps: the program may; see SPIN(). Return: its slot; -errno. */
static __always_inline long unmanaged_adopt(struct gate_control *control, const struct file *file,
					    bool sleeps)
{
	__u64 ctx = (__u64)BPF_CORE_READ(file, private_data), address = address_of(file);
	int ret = sleeps ? adopt_giving_way(address, ctx) : adopt_on(address, ctx);

	return ret < 0 ? unmanaged_refuse(control, ret) : ret;
}

/* Of a slot that stays this context's until gate_adopted.writers is less. */
static __always_inline void slot_change(struct gate_session *s, struct gate_adopted *adopted,
					const struct gate_change *change)
{
	s->max_pages = change->max_pages;
	s->max_mappings = change->max_mappings;
	s->max_objects = change->max_objects;
	atomic_or(&s->bits, change->bits);
	if (!change->judged)
		return;
	__builtin_memcpy(adopted->policy, change->policy, sizeof(adopted->policy));
	adopted->judged = 1;
}

#endif
