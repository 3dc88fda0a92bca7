/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Room that is found while others are inside, none of whom runs.
 *
 * A program of the fallback cannot sleep, and where the kernel does not preempt it keeps its
 * processor from whom it waits for. But who does not run changes no tree, and a reading that goes
 * on meanwhile is that of a moment: not of what will be there, but never too little, if what those
 * who map have reserved is added, and what areas that are halfway there are at most. It lowers what
 * is reserved to that, and says nothing else: no figure is told by it, nobody is accused, and the
 * next reading is as necessary as before.
 */
#ifndef BPF_ASLEEP_BPF_H
#define BPF_ASLEEP_BPF_H

#include "bpf/recount.bpf.h"

/*
 * What it took away may be missing from the trees by now, and must not be given back once more.
 * Return: 0; -EBUSY: it is about to.
 */
static __always_inline int unmap_void(struct gate_op *op)
{
	return atomic_cas(&op->seen, 0, OP_VOID) == OP_CREDITS ? -EBUSY : 0;
}

/*
 * One that is inside, and sleeps. A DESTROY takes areas along that no tree has any more, a COPY or
 * test command adds any number of them.
 *
 * Return: 0; -EBUSY: it runs, or does such a thing.
 */
static __always_inline int sleeper_note(struct gate_body *body, struct gate_op *op, __u64 *ret)
{
	const struct task_struct *task = (void *)op->task;
	__u64 switches = task_switches(task);

	if (task_runs(task))
		return -EBUSY;
	if (cmd_maps(op->cmd)) {
		if (READ(op->seen) != OP_SEEN)
			body->asleep_used += op->used;
	} else if (op->cmd != CMD_IOAS_UNMAP || unmap_void(op)) {
		return -EBUSY;
	}
	*ret = switches + 1;
	return 0;
}

/* Return: how many are inside, all of whom sleep; -EBUSY */
__noinline int sleepers_note(__u32 slot, __u64 besides)
{
	struct gate_body *body = body_at(slot);
	int n = 0;

	if (!body)
		return -EBUSY;
	body->asleep_used = 0;
	for (int i = 0; i < GATE_OPS; i++) {
		struct gate_op *op = &body->ops[i];
		__u64 number = READ(op->state);

		body->asleep[i] = 0;
		if (number == OP_FREE || number == besides)
			continue;
		if (number == OP_BUSY)
			return -EBUSY;
		if (!cmd_changes_areas(op->cmd))
			continue;
		if (sleeper_note(body, op, &body->asleep[i]) || READ(op->state) != number)
			return -EBUSY;
		n++;
	}
	return n;
}

/*
 * How many of them have not run since. First whether they run: who has come and gone meanwhile has
 * been counted before that is to be seen. Whoever took a place since then is not among them.
 */
__noinline int sleepers_left(__u32 slot, __u64 besides)
{
	struct gate_body *body = body_at(slot);
	int n = 0;

	if (!body)
		return -EBUSY;
	for (int i = 0; i < GATE_OPS; i++) {
		struct gate_op *op = &body->ops[i];
		const struct task_struct *task = (void *)op->task;
		__u64 number = READ(op->state);

		if (number == OP_FREE || number == OP_BUSY || number == besides || !body->asleep[i])
			continue;
		if (!task_runs(task) && body->asleep[i] == task_switches(task) + 1)
			n++;
	}
	return n;
}

/* Pages that several areas have are told apart by their number of areas alone. */
static __always_inline bool walk_is_bound(const struct gate_walk *w)
{
	return w->done && !(w->invalid & ~WALK_HALFWAY) && !w->shared && !w->locked;
}

/* Of each the least that is known to be enough. */
static __always_inline __u64 used_least(__u64 used, __u64 pages, __u64 mappings)
{
	if (pages > GATE_USED_PAGES(used))
		pages = GATE_USED_PAGES(used);
	if (mappings > GATE_USED_MAPPINGS(used))
		mappings = GATE_USED_MAPPINGS(used);
	return GATE_USED(pages, mappings);
}

/*
 * The caller holds frozen; its own operation has reserved nothing.
 *
 * Return: 1: what is reserved is as little as can be said now; 0: it is as it was.
 */
__noinline int credit_asleep(__u32 slot, __u64 besides)
{
	struct gate_session *s = session_at(slot);
	struct gate_body *body = body_at(slot);
	__u32 breaks;
	__u64 used, least;
	int n;

	if (!s || !body || READ(s->suspect) || READ(s->n_copies))
		return 0;
	breaks = READ(s->breaks);
	used = READ(s->used);
	n = sleepers_note(slot, besides);
	if (n < 0)
		return 0;
	walk_session(slot);
	if (!walk_is_bound(&body->walk) || sleepers_left(slot, besides) != n ||
	    READ(s->breaks) != breaks || READ(s->suspect) || READ(s->bits) & GATE_CLOSED)
		return 0;
	least = used_least(
		used, body->walk.pages + body->walk.halfway + GATE_USED_PAGES(body->asleep_used),
		body->walk.mappings + GATE_USED_MAPPINGS(body->asleep_used));
	return atomic_cas(&s->used, used, least) == used;
}

/* Whether there is no room for @used, whatever becomes of those who sleep: of the walk just taken.
 */
static __always_inline bool asleep_full(__u32 slot, const struct gate_session *s, __u64 used)
{
	const struct gate_body *body = body_at(slot);

	return body && (body->walk.pages + GATE_USED_PAGES(used) > s->max_pages ||
			body->walk.mappings + GATE_USED_MAPPINGS(used) > s->max_mappings);
}

#endif
