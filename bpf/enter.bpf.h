/* SPDX-License-Identifier: GPL-2.0 */
/* How an ioctl is let in: it takes its place and reserves what it needs, or is refused. */
#ifndef BPF_ENTER_BPF_H
#define BPF_ENTER_BPF_H

#include "bpf/asleep.bpf.h"
#include "bpf/recount.bpf.h"
#include "bpf/timer.bpf.h"

/*
 * How long an ioctl tries: by time, as each try may lose to another thread that reads, and gets on
 * by that. Whoever holds up a session pays with the processor's time of its own threads.
 */
#define ENTER_TRIES 4096
#define ENTER_NS (3000 * NSEC_PER_MSEC)
#define ENTER_FULL_NS (100 * NSEC_PER_MSEC) /* so long the fallback takes a session for full */

/* One try to let an ioctl in; the words are those of recount.bpf.h. */
struct enter {
	__u64 used;
	__u64 number;
	__u32 slot;
	__u32 cmd;
	__u32 objects;
	__s32 ret;
	__u32 seen; /* OP_UNREAD, or nothing yet */
	__u64 until_ns; /* 0: it has not waited yet */
	struct keep keep;
};

/*
 * A COPY may make one more area of each that others make while it is inside: a MAP reserves one for
 * each COPY, a COPY all that is there for each COPY.
 */
static __always_inline __u64 enter_used(const struct gate_session *s, const struct enter *enter,
					__u32 n_copies)
{
	__u64 mappings;

	if (cmd_maps(enter->cmd))
		return enter->used + n_copies;
	if (enter->cmd != CMD_IOAS_COPY)
		return enter->used;
	mappings = GATE_USED_MAPPINGS(READ(s->used)) * n_copies;
	if (mappings > GATE_MAPPINGS_MAX)
		mappings = GATE_MAPPINGS_MAX;
	return enter->used < mappings ? enter->used : mappings;
}

/*
 * Reserves, after the place says what. A COPY counts itself in n_copies before it looks at used; a
 * MAP adds to used before it looks at n_copies for the last time: one of them sees the other. A MAP
 * that finds one more gives back, and is tried again.
 */
static __always_inline int enter_take(struct gate_session *s, struct gate_op *op,
				      const struct enter *enter)
{
	__u32 n_copies = READ(s->n_copies);
	int ret;

	op->used = enter_used(s, enter, n_copies);
	ret = session_take(enter->slot, op->used, enter->objects);
	if (ret || !cmd_maps(enter->cmd) || READ(s->n_copies) <= n_copies)
		return ret;
	atomic_add(&s->used, -op->used);
	return -EAGAIN;
}

/* Of what credit_asleep() left. There may be more, unless what is there already is too much. */
static __always_inline int enter_take_asleep(struct gate_session *s, struct gate_op *op,
					     const struct enter *enter)
{
	int ret = enter_take(s, op, enter);

	return ret && !asleep_full(enter->slot, s, op->used) ? -EAGAIN : ret;
}

/* From the first wait on; who need not wait, which is nearly everybody, looks at no clock. */
static __always_inline void enter_waits(struct enter *enter)
{
	if (enter->until_ns)
		return;
	enter->until_ns = bpf_ktime_get_ns() + ENTER_NS;
	keep_begin(&enter->keep);
}

/* A reading makes room, or what is known while others sleep; frozen is held. */
static __always_inline int enter_read(struct gate_session *s, struct gate_op *op,
				      struct enter *enter, bool sleeps)
{
	int ret = -EAGAIN;

	enter_waits(enter);
	if (sleeps)
		wait_quiet_giving_way(enter->slot, enter->number, QUIET_WAIT_NS);
	else
		wait_running_on(enter->slot, enter->number);
	if (recount(enter->slot, enter->number, 1)) {
		ret = READ(s->bits) & GATE_POISONED ? -EPERM : enter_take(s, op, enter);
		if (gate_skippable && (ret == -ENOMEM || ret == -ENOSPC))
			s->full_ns = bpf_ktime_get_ns();
		return ret;
	}
	if (sleeps)
		return -EAGAIN;
	if (credit_asleep(enter->slot, enter->number))
		ret = enter_take_asleep(s, op, enter);
	if (ret == -EAGAIN)
		wait_quiet_on(enter->slot, enter->number);
	return ret;
}

/*
 * Whether a reading could find something gone. That dirty says nothing is no proof: the kernel may
 * have skipped who sees that an ioctl is over, and its thread may not have come back since. Where
 * it may skip who sees one begin, too, nothing at all is known of that one, and only a reading says
 * that there is no room. Not each time: who asks on and on would be inside for most of the time,
 * and whoever is there is why others are skipped.
 */
static __always_inline bool enter_may_gain(const struct gate_session *s, const struct enter *enter)
{
	if (gate_skippable && bpf_ktime_get_ns() - READ(s->full_ns) > ENTER_FULL_NS)
		return true;
	return READ(s->dirty) || op_giving(enter->slot, enter->number) || READ(s->dirty);
}

/* With room for it, or after a reading that made room; frozen is not held. */
static __always_inline int enter_reserve(struct gate_session *s, struct gate_op *op,
					 struct enter *enter, bool sleeps)
{
	int ret;

	if (!READ(s->suspect)) {
		ret = enter_take(s, op, enter);
		if (ret == 0 || ret == -EAGAIN || !enter_may_gain(s, enter))
			return ret;
	}
	if (atomic_cas(&s->frozen, 0, 1))
		return -EAGAIN; /* another reads */
	ret = enter_read(s, op, enter, sleeps);
	atomic_set(&s->frozen, 0);
	return ret;
}

/* Who is killed comes back at once. */
static __always_inline bool is_dying(void)
{
	const struct task_struct *task = bpf_get_current_task_btf();

	return BPF_CORE_READ(task, pending.signal.sig[0]) & 1ULL << (SIGKILL - 1);
}

enum enter_last {
	ENTER_LAST = 1,
	ENTER_KEPT, /* and it has kept its processor for too long */
};

static __always_inline int last_of(const struct enter *enter, __u64 now_ns, __u32 i)
{
	return now_ns > enter->until_ns || i == ENTER_TRIES - 1 || is_dying() ? ENTER_LAST : 0;
}

/* Return: enum enter_last; 0: it is not the last try. */
static __always_inline int enter_is_last(struct enter *enter, __u32 i, bool sleeps)
{
	struct keep *keep = &enter->keep;
	__u64 now_ns;

	if (!enter->until_ns)
		return 0;
	now_ns = bpf_ktime_get_ns();
	if (sleeps)
		return last_of(enter, now_ns, i);
	keep->until_ns = keep_on(keep->until_ns, keep->switches);
	return keep->until_ns ? last_of(enter, now_ns, i) : ENTER_KEPT;
}

static __always_inline long enter_try(__u32 i, struct enter *enter, bool sleeps)
{
	struct gate_session *s = session_at(enter->slot);
	struct gate_body *body = body_at(enter->slot);
	struct gate_op *op;
	int last;

	if (!s || !body)
		return 1;
	if (READ(s->frozen) || i)
		enter_waits(enter);
	wait_unfrozen(enter->slot, s, sleeps);
	last = enter_is_last(enter, i, sleeps);
	enter->number = op_begin(enter->slot, enter->cmd, enter->used, enter->objects, enter->seen);
	if (!enter->number) {
		op_inside(enter->slot, 0); /* ends whose end was not seen: there is room */
		enter_waits(enter);
		wait_a_moment(sleeps);
		return last != 0;
	}
	op = op_at(body, enter->number);
	if (READ(s->frozen)) {
		/* Who has kept its processor for too long is told to come back, and ends none. */
		if (!last || (last == ENTER_KEPT && (enter->used || enter->objects))) {
			op_abandon(s, op, enter->number);
			return last != 0;
		}
		/*
		 * A large session is read for long, and nobody shall be refused for that: this one
		 * goes on, and that reading shall not count. One that has looked at breaks already
		 * is at its end: it takes what it read for what there is only if nothing was
		 * reserved meanwhile, and what it read was there before this begins.
		 */
		atomic_add(&s->breaks, 1);
	}
	/* Not before it has its place and nobody reads: a reading that ends clears it. */
	if (enter->cmd == CMD_IOAS_COPY)
		atomic_set(&s->shared, 1);
	if (!enter->used && !enter->objects) {
		if (READ(s->suspect) && !atomic_cas(&s->frozen, 0, 1)) {
			wait_quiet(enter->slot, enter->number, QUIET_WAIT_NS, sleeps);
			recount(enter->slot, enter->number, 1);
			atomic_set(&s->frozen, 0);
		}
		enter->ret = 0;
		return 1;
	}
	enter->ret = enter_reserve(s, op, enter, sleeps);
	if (enter->ret)
		op_abandon(s, op, enter->number);
	return last != 0 || enter->ret != -EAGAIN;
}

static long enter_try_giving_way(__u32 i, void *arg)
{
	return enter_try(i, arg, true);
}

static long enter_try_on(__u32 i, void *arg)
{
	return enter_try(i, arg, false);
}

static __always_inline void denied(__u32 slot, struct gate_session *s, enum trace_why why, int err,
				   __u64 bytes)
{
	atomic_add(&s->denied, 1);
	if (READ(trace_on))
		trace_tell(slot, TRACE_WORD(TRACE_DENY, why), err, bytes, TRACE_UNKNOWN);
}

static __always_inline void enter_denied(const struct enter *enter, struct gate_session *s)
{
	__u64 bytes = TRACE_UNKNOWN;
	enum trace_why why = TRACE_WHY_STATE;

	if (cmd_maps(enter->cmd))
		bytes = GATE_USED_PAGES(enter->used) << gate_page_shift;
	if (enter->ret == -ENOMEM)
		why = TRACE_WHY_BYTES;
	else if (enter->ret == -ENOSPC)
		why = enter->used ? TRACE_WHY_MAPPINGS : TRACE_WHY_OBJECTS;
	else if (enter->ret == -EAGAIN)
		why = TRACE_WHY_BUSY;
	denied(enter->slot, s, why, enter->ret, bytes);
}

static __always_inline long enter_with(__u32 slot, __u32 cmd, __u64 used, __u32 objects, __u32 seen,
				       bool sleeps)
{
	struct enter enter = {.slot = slot,
			      .cmd = cmd,
			      .used = used,
			      .objects = objects,
			      .ret = -EAGAIN,
			      .seen = seen};
	struct gate_session *s = session_at(slot);
	struct gate_body *body = body_at(slot);

	if (!s || !body)
		return -EPERM;
	bpf_loop(ENTER_TRIES, sleeps ? enter_try_giving_way : enter_try_on, &enter, 0);
	timer_start(s, body, TIMER_NS);
	atomic_add(&s->changes, 1);
	if (!enter.ret)
		return (long)enter.number;
	enter_denied(&enter, s);
	return enter.ret;
}

__noinline long enter_giving_way(__u32 slot, __u32 cmd, __u64 used, __u32 objects, __u32 seen)
{
	return enter_with(slot, cmd, used, objects, seen, true);
}

__noinline long enter_on(__u32 slot, __u32 cmd, __u64 used, __u32 objects, __u32 seen)
{
	return enter_with(slot, cmd, used, objects, seen, false);
}

/*
 * @sleeps: the program may; see SPIN()
 *
 * Return: the operation's number: go on; -errno: refused, and counted.
 */
static __always_inline long session_enter(__u32 slot, __u32 cmd, __u64 used, __u32 objects,
					  __u32 seen, bool sleeps)
{
	return sleeps ? enter_giving_way(slot, cmd, used, objects, seen)
		      : enter_on(slot, cmd, used, objects, seen);
}

#endif
