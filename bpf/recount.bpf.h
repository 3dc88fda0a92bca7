/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reservations, and the reading that corrects them.
 *
 * gate_session.used is what is reserved: an ioctl adds before the kernel begins, and only what is
 * proved takes away. A reading is good if nobody was inside while it was taken: an ioctl takes its
 * place first and then looks at frozen; a reading sets frozen first and then looks at the places.
 * Both are fully ordered, so at least one sees the other.
 */
#ifndef BPF_RECOUNT_BPF_H
#define BPF_RECOUNT_BPF_H

#include "bpf/trace.bpf.h"
#include "bpf/wait.bpf.h"
#include "bpf/walk.bpf.h"

#define SIGKILL 9
#define RULE_NEW_NS (60000 * NSEC_PER_MSEC)
#define EIGHTY_NS (10000 * NSEC_PER_MSEC)

static long walk_step(__u32 i, void *arg)
{
	struct gate_body *body = body_at(*(__u32 *)arg);

	return body ? walk_one(&body->walk, NULL) : 1;
}

/* Fills in the session's struct gate_walk. Its caller holds gate_session.frozen. */
__noinline int walk_session(__u32 slot)
{
	struct gate_session *s = session_at(slot);
	struct gate_body *body = body_at(slot);
	const struct iommufd_ctx *ctx;
	struct gate_walk *w;

	if (!s || !body)
		return 0;
	w = &body->walk;
	ctx = (const void *)s->ctx;
	walk_begin(w, ctx);
	bpf_loop(WALK_STEPS, walk_step, &slot, 0);
	/* Somebody who creates an object may have made the tree lower: nodes are freed then. */
	if (!w->done || (__u64)BPF_CORE_READ(ctx, objects.xa_head) != w->root)
		w->invalid |= WALK_WRONG;
	return 0;
}

/* More is mapped than was reserved, or a device is bound elsewhere: somebody raced. */
static __always_inline void session_poison(__u32 slot, struct gate_session *s, bool kill)
{
	__u32 nobody = kill ? 0 : TRACE_NOBODY;

	if (!(atomic_or(&s->bits, GATE_POISONED) & GATE_POISONED)) {
		event_send(slot, s, GATE_EVENT_POISONED);
		if (READ(trace_on))
			trace_tell(slot, TRACE_POISON | nobody, 0, TRACE_UNKNOWN, TRACE_UNKNOWN);
	}
	if (kill) {
		atomic_add(&s->kills, 1);
		bpf_send_signal(SIGKILL);
		if (READ(trace_on))
			trace_tell(slot, TRACE_KILL, 0, TRACE_UNKNOWN, TRACE_UNKNOWN);
	}
}

static __always_inline bool control_kills_slipped(void)
{
	const struct gate_control *control = control_get();

	return control && READ(control->kill_slipped);
}

static __always_inline bool is_within(const struct gate_session *s, __u64 used)
{
	return GATE_USED_PAGES(used) <= s->max_pages && GATE_USED_MAPPINGS(used) <= s->max_mappings;
}

/*
 * More is there than was reserved. Where the gate is never skipped that is a racer's. Where it can
 * be, it may be an ioctl that nobody saw: it counts when it is above the limits, and what it counts
 * for is the administrator's choice, as an honest caller's ioctl may be skipped, too. What a test
 * command maps was not reserved, either, and must only stay within the limits.
 */
static __always_inline void session_excess(__u32 slot, struct gate_session *s, __u64 used,
					   bool kill)
{
	if (is_within(s, used) && (gate_skippable || READ(s->bits) & GATE_TESTER))
		return;
	if (!gate_skippable || control_kills_slipped())
		session_poison(slot, s, kill);
	else if (!(atomic_or(&s->bits, GATE_SLIPPED) & GATE_SLIPPED))
		event_send(slot, s, GATE_EVENT_SLIPPED);
}

/*
 * Whether each device of the session is bound to its context, or to none. Where VFIO is a module
 * that came later it has none: see gate_enrol.
 */
static __always_inline bool cdevs_are_ours(const struct gate_session *s, struct gate_body *body)
{
	if (!bpf_core_field_exists(struct vfio_device_file, iommufd))
		return true;
	for (int i = 0; i < GATE_CDEVS; i++) {
		struct file *file = (void *)READ(body->cdevs[i]);
		struct vfio_device_file *df;
		__u64 bound;

		if (!file)
			continue;
		df = BPF_CORE_READ(file, private_data);
		bound = (__u64)BPF_CORE_READ(df, iommufd);
		if (bound && bound != s->ctx)
			return false;
	}
	return true;
}

/* Below 75% again: the next 80% are news. */
static __always_inline void session_note_less(struct gate_session *s, __u64 used)
{
	if (GATE_USED_PAGES(used) * 4 < s->max_pages * 3 &&
	    GATE_USED_MAPPINGS(used) * 4 < s->max_mappings * 3)
		atomic_and(&s->bits, ~GATE_EIGHTY);
}

static __always_inline void reading_store(struct gate_session *s, const struct gate_walk *w,
					  __u64 truth, __u64 changes)
{
	s->read_used = truth;
	s->read_objects = w->objects;
	s->read_pinned = w->pinned;
	if (w->pinned > s->peak_pinned)
		s->peak_pinned = w->pinned;
	s->read_ns = bpf_ktime_get_ns();
	s->read_changes = changes;
}

/*
 * Since contexts of others are limited nobody adds anything to one that was not adopted before. Who
 * was inside when the rule came is not known, and what he maps was not reserved: for a while nobody
 * is accused, and what is in the pool is looked at again.
 */
static __always_inline bool rule_is_new(__u32 slot)
{
	const struct gate_control *control = control_get();

	return slot_in_pool(slot) && control &&
	       bpf_ktime_get_ns() - READ(control->limited_ns) < RULE_NEW_NS;
}

/*
 * The first reading of a context that somebody else opened finds what it had before. It comes
 * first. One that the daemon opened begins with a reading.
 */
static __always_inline bool reading_may_accuse(__u32 slot, const struct gate_session *s)
{
	return s->read_ns && !rule_is_new(slot);
}

static __always_inline bool reading_accuses(const struct gate_walk *w, __u64 used)
{
	return w->pages > GATE_USED_PAGES(used) || w->mappings > GATE_USED_MAPPINGS(used);
}

enum recounted {
	RECOUNT_VOID, /* somebody was inside: nothing changed */
	RECOUNT_DONE,
	RECOUNT_GROWING, /* likewise; but somebody creates something, which may pin */
};

static __always_inline int reading_void(struct gate_session *s)
{
	atomic_add(&s->busy, 1);
	return RECOUNT_VOID;
}

static __always_inline int recount_now(__u32 slot, __u64 besides)
{
	struct gate_session *s = session_at(slot);
	struct gate_body *body = body_at(slot);
	__u32 breaks, suspect, dirty;
	__u64 used, truth, objects, creating, changes;
	const struct gate_walk *w;
	bool may_accuse;

	if (!s || !body)
		return RECOUNT_VOID;
	breaks = READ(s->breaks);
	changes = READ(s->changes); /* who is inside, and not counted in it yet, is found next */
	if (op_inside(slot, besides))
		return reading_void(s);
	suspect = READ(s->suspect);
	dirty = READ(s->dirty);
	used = READ(s->used);
	/*
	 * In this order. Whoever creates has a place, then reserves, then creates, then leaves:
	 * after this word he fails the exchange below; before it he still has his place in the next
	 * line, or has left it and the walk finds his object.
	 */
	objects = READ(s->objects);
	creating = op_objects(slot, besides);
	walk_session(slot);
	w = &body->walk;
	truth = GATE_USED(w->pages, w->mappings);
	/*
	 * Nobody is accused by one reading: who creates an object may stand in its way, and what
	 * was read was freed meanwhile.
	 */
	if (reading_accuses(w, used)) {
		walk_session(slot);
		if (GATE_USED(w->pages, w->mappings) != truth)
			return reading_void(s);
	}
	if (w->invalid || READ(s->breaks) != breaks || READ(s->bits) & GATE_CLOSED ||
	    atomic_cas(&s->used, used, truth) != used)
		return reading_void(s);
	/*
	 * Both stood while the walk went on: an UNMAP that would not wait must not be credited what
	 * is suspect. They are counters, so what BIND, or that UNMAP, added meanwhile stays.
	 */
	atomic_cas(&s->suspect, suspect, 0);
	atomic_cas(&s->dirty, dirty, 0);
	/* Devices bring objects past the gate: there the truth is simply taken. */
	atomic_cas(&s->objects, objects, w->objects + creating);
	atomic_set(&s->shared, w->shared);
	atomic_add(&s->recounts, 1);
	may_accuse = reading_may_accuse(slot, s);
	/* While somebody creates something there will be more to say. */
	reading_store(s, w, truth, creating ? changes - 1 : changes);
	session_note_less(s, truth);
	if (READ(s->bits) & GATE_BROUGHT && is_within(s, truth))
		atomic_and(&s->bits, ~GATE_BROUGHT);
	if (reading_accuses(w, used) && may_accuse)
		session_excess(slot, s, truth, false);
	if (!cdevs_are_ours(s, body))
		session_poison(slot, s, false);
	return creating ? RECOUNT_GROWING : RECOUNT_DONE;
}

/*
 * Sets what is reserved to what is there. The caller holds frozen.
 * @besides: the caller's own operation, which has reserved nothing yet
 * @asked: by a thread that waits for it, after wait_quiet(); else it is the timer's
 *
 * Return: enum recounted
 */
__noinline int recount(__u32 slot, __u64 besides, __u32 asked)
{
	__u64 began = trace_begin(), mappings = TRACE_UNKNOWN;
	int counted = recount_now(slot, besides);
	const struct gate_session *s;

	if (!began)
		return counted;
	s = session_at(slot);
	if (counted && s)
		mappings = GATE_USED_MAPPINGS(s->read_used);
	trace_tell(slot, TRACE_RECOUNT | (asked ? 0 : TRACE_NOBODY), counted ? 0 : -EBUSY, mappings,
		   bpf_ktime_get_ns() - began);
	return counted;
}

/* At 80% of a limit the daemon is told, once until it was below 75%. */
static __always_inline void session_note_use(__u32 slot, struct gate_session *s, __u64 used)
{
	__u64 now_ns;

	if (GATE_USED_PAGES(used) * 5 < s->max_pages * 4 &&
	    GATE_USED_MAPPINGS(used) * 5 < s->max_mappings * 4)
		return;
	if (READ(s->bits) & GATE_EIGHTY || atomic_or(&s->bits, GATE_EIGHTY) & GATE_EIGHTY)
		return;
	now_ns = bpf_ktime_get_ns();
	if (now_ns - READ(s->eighty_ns) < EIGHTY_NS && READ(s->eighty_ns))
		return; /* back and forth: nobody fills the log with that */
	s->eighty_ns = now_ns;
	event_send(slot, s, GATE_EVENT_EIGHTY);
}

struct take {
	__u64 used;
	__u32 slot;
	__s32 ret;
};

/* Never adds to take away again: that would refuse others in between. */
static long take_try(__u32 i, void *arg)
{
	struct take *take = arg;
	struct gate_session *s = session_at(take->slot);
	__u64 used, pages, mappings;

	if (!s)
		return 1;
	used = READ(s->used);
	pages = GATE_USED_PAGES(used) + GATE_USED_PAGES(take->used);
	mappings = GATE_USED_MAPPINGS(used) + GATE_USED_MAPPINGS(take->used);
	take->ret = mappings > s->max_mappings ? -ENOSPC : pages > s->max_pages ? -ENOMEM : 0;
	if (take->ret)
		return 1;
	if (atomic_cas(&s->used, used, used + take->used) != used) {
		take->ret = -EAGAIN;
		return 0; /* somebody else did: look again */
	}
	session_note_use(take->slot, s, used + take->used);
	return 1;
}

/* Objects are taken the same way; op_begin() has said how many. */
static __always_inline int take_objects(struct gate_session *s, __u32 n)
{
	if (!n)
		return 0;
	for (int i = 0; i < 64; i++) {
		__u64 objects = READ(s->objects);

		if (objects + n > s->max_objects)
			return -ENOSPC;
		if (atomic_cas(&s->objects, objects, objects + n) == objects)
			return 0;
	}
	return -EAGAIN;
}

/* Return: 0: reserved; -ENOSPC: mappings or objects; -ENOMEM: bytes; -EAGAIN. */
__noinline int session_take(__u32 slot, __u64 used, __u32 objects)
{
	struct gate_session *s = session_at(slot);
	struct take take = {.slot = slot, .used = used, .ret = -EAGAIN};

	if (!s)
		return -EPERM;
	if (READ(s->bits) & GATE_BROUGHT && !is_within(s, READ(s->used)))
		return GATE_USED_PAGES(READ(s->used)) > s->max_pages ? -ENOMEM : -ENOSPC;
	if (!used)
		return take_objects(s, objects);
	bpf_loop(1024, take_try, &take, 0);
	return take.ret;
}

#endif
