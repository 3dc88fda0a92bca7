/* SPDX-License-Identifier: GPL-2.0 */
/* Readings that nobody asks for: a session's timer runs while it may have less than it reserved. */
#ifndef BPF_TIMER_BPF_H
#define BPF_TIMER_BPF_H

#include "bpf/recount.bpf.h"

#define TIMER_NS (20 * NSEC_PER_MSEC)
#define TIMER_LATER_NS (1000 * NSEC_PER_MSEC)
#define TIMER_MAPPINGS 2000 /* more are not read in a timer, for as long as the daemon may */

static __always_inline void timer_start(struct gate_session *s, struct gate_body *body, __u64 ns)
{
	if (!READ(s->timer) && !atomic_cas(&s->timer, 0, 1))
		bpf_timer_start(&body->timer, ns, 0);
}

/* The daemon reads it, once a second at most. */
static __always_inline void timer_large(__u32 slot, struct gate_session *s)
{
	__u64 now_ns = bpf_ktime_get_ns();

	if (now_ns - READ(s->large_ns) < TIMER_LATER_NS && READ(s->large_ns))
		return;
	s->large_ns = now_ns;
	event_send(slot, s, GATE_EVENT_LARGE);
}

/* Something is inside, or nobody knows what is there: looks again until that is over. */
static int timer_fired(void *map, __u32 *key, struct gate_body *body)
{
	__u32 slot = *key;
	struct gate_session *s = session_at(slot);
	__u64 again = 0, mappings;
	bool stale, settling;

	if (!s)
		return 0;
	atomic_set(&s->timer, 0); /* whoever enters from here on sets it again */
	control_fired(slot, GATE_PROGRAM_TIMER);
	if (READ(s->bits) & GATE_CLOSED || !READ(s->id))
		return 0;
	mappings = GATE_USED_MAPPINGS(READ(s->used));
	if (op_inside(slot, 0))
		again = TIMER_NS;
	settling = rule_is_new(slot);
	stale = settling || READ(s->dirty) || READ(s->used) != READ(s->read_used);
	if (READ(s->suspect) ||
	    (stale && bpf_ktime_get_ns() - READ(s->read_ns) >= TIMER_LATER_NS)) {
		if (mappings > TIMER_MAPPINGS) {
			timer_large(slot, s);
		} else if (!atomic_cas(&s->frozen, 0, 1)) {
			recount(slot, 0, 0);
			atomic_set(&s->frozen, 0);
		}
	}
	if (READ(s->suspect) && mappings <= TIMER_MAPPINGS)
		again = TIMER_NS;
	else if (!again && (READ(s->suspect) || READ(s->dirty) || settling))
		again = TIMER_LATER_NS;
	if (again)
		timer_start(s, body, again);
	return 0;
}

#endif
