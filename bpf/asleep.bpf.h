/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Room that is found while others are inside, none of whom runs.
 *
 * A program of the fallback cannot sleep, and where the kernel does not preempt it keeps its
 * processor from whom it waits for. But who does not run changes no tree, and a reading that goes
 * on meanwhile is that of a moment: not of what will be there, but never too little, if what those
 * who map have reserved is added, and what areas that are halfway there are at most. It lowers what
 * is reserved to that, and says nothing else: no figure is told by it, nobody is accused, and the
 * next reading is as necessary as before. No page may be in two areas: those are told apart by
 * their number of areas, which the ones that are halfway there have no part in, or a part too much.
 */
#ifndef BPF_ASLEEP_BPF_H
#define BPF_ASLEEP_BPF_H

#include "bpf/recount.bpf.h"

/* More are not read by who keeps its processor meanwhile. */
#define ASLEEP_MAPPINGS 65535

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
 * test command adds any number of them, and what a MAP adds whose argument was not read is not
 * known.
 *
 * Return: 0; -EBUSY: it runs, or does such a thing.
 */
static __always_inline int sleeper_note(struct gate_asleep *asleep, struct gate_sleeper *sleeper,
					struct gate_op *op)
{
	const struct task_struct *task = (void *)op->task;
	__u32 seen = READ(op->seen);

	sleeper->switches = task_switches(task);
	if (task_runs(task))
		return -EBUSY;
	if (cmd_maps(op->cmd)) {
		if (seen == OP_UNREAD)
			return -EBUSY;
		if (seen != OP_SEEN) {
			asleep->pages += GATE_USED_PAGES(op->used);
			asleep->mappings += GATE_USED_MAPPINGS(op->used);
		}
		return 0;
	}
	return op->cmd != CMD_IOAS_UNMAP || unmap_void(op) ? -EBUSY : 0;
}

/* Return: how many are inside, all of whom sleep; -EBUSY */
__noinline int sleepers_note(__u32 slot, __u64 besides)
{
	struct gate_body *body = body_at(slot);
	struct gate_asleep *asleep;
	int n = 0;

	if (!body)
		return -EBUSY;
	asleep = &body->asleep;
	asleep->pages = asleep->mappings = 0;
	for (int i = 0; i < GATE_OPS; i++) {
		struct gate_op *op = &body->ops[i];
		__u64 number = READ(op->state);

		asleep->of[i].number = 0;
		if (number == OP_FREE || number == besides)
			continue;
		if (number == OP_BUSY)
			return -EBUSY;
		if (!cmd_changes_areas(op->cmd))
			continue;
		if (sleeper_note(asleep, &asleep->of[i], op) || READ(op->state) != number)
			return -EBUSY;
		asleep->of[i].number = number;
		n++;
	}
	return n;
}

/*
 * How many of them are where they were, and have not run since. First whether they run: who has
 * come and gone meanwhile has been counted before that is to be seen. Then once more who is there:
 * another thread may have the place by now.
 */
__noinline int sleepers_left(__u32 slot)
{
	struct gate_body *body = body_at(slot);
	int n = 0;

	if (!body)
		return -EBUSY;
	for (int i = 0; i < GATE_OPS; i++) {
		const struct gate_sleeper *sleeper = &body->asleep.of[i];
		struct gate_op *op = &body->ops[i];
		const struct task_struct *task = (void *)op->task;

		if (sleeper->number && !task_runs(task) &&
		    task_switches(task) == sleeper->switches && READ(op->state) == sleeper->number)
			n++;
	}
	return n;
}

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
	if (GATE_USED_MAPPINGS(used) > ASLEEP_MAPPINGS)
		return 0;
	n = sleepers_note(slot, besides);
	if (n < 0)
		return 0;
	walk_session(slot);
	if (!walk_is_bound(&body->walk) || sleepers_left(slot) != n || READ(s->breaks) != breaks ||
	    READ(s->suspect) || READ(s->bits) & GATE_CLOSED)
		return 0;
	least = used_least(used, body->walk.pages + body->walk.halfway + body->asleep.pages,
			   body->walk.mappings + body->asleep.mappings);
	return atomic_cas(&s->used, used, least) == used;
}

/*
 * Whether there is no room for @used even if no page comes of those who map, by the walk just
 * taken; areas that are halfway there count as such. What is about to be unmapped is there until
 * that ioctl returns: it is its caller's yet.
 */
static __always_inline bool asleep_full(__u32 slot, const struct gate_session *s, __u64 used)
{
	const struct gate_body *body = body_at(slot);

	return body && (body->walk.pages + GATE_USED_PAGES(used) > s->max_pages ||
			body->walk.mappings + GATE_USED_MAPPINGS(used) > s->max_mappings);
}

#endif
