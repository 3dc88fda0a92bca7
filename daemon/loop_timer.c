/* SPDX-License-Identifier: MIT */
/* The timers of a loop: a heap. The backend waits no longer than until the first is due. */
#include "daemon/loop_backend.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/clock.h"

static bool loop_timer_before(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->serial < b->serial;
}

static void loop_timers_put(struct loop *loop, uint32_t at, const struct loop_timer *timer)
{
	loop->timers.heap[at] = *timer;
	loop->slots[timer->slot].heap_at = at;
}

/* The place at is empty: moves others until the timer fits in, towards the top or the bottom. */
static void loop_timers_sift(struct loop *loop, uint32_t at, const struct loop_timer *timer)
{
	struct loop_timers *timers = &loop->timers;

	while (at > 0 && loop_timer_before(timer, &timers->heap[(at - 1) / 2])) {
		loop_timers_put(loop, at, &timers->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (uint32_t child; (child = 2 * at + 1) < timers->n_timers; at = child) {
		if (child + 1 < timers->n_timers &&
		    loop_timer_before(&timers->heap[child + 1], &timers->heap[child]))
			child++;
		if (!loop_timer_before(&timers->heap[child], timer))
			break;
		loop_timers_put(loop, at, &timers->heap[child]);
	}
	loop_timers_put(loop, at, timer);
}

void loop_timers_remove(struct loop *loop, uint32_t slot)
{
	struct loop_timers *timers = &loop->timers;
	uint32_t at = loop->slots[slot].heap_at;
	struct loop_timer last = timers->heap[--timers->n_timers];

	if (at < timers->n_timers)
		loop_timers_sift(loop, at, &last);
}

uint64_t loop_timers_wait_ns(const struct loop *loop)
{
	const struct loop_timers *timers = &loop->timers;
	uint64_t now_ns;

	if (!timers->n_timers)
		return LOOP_FOREVER;
	now_ns = clock_ns(CLOCK_MONOTONIC);
	return timers->heap[0].due_ns > now_ns ? timers->heap[0].due_ns - now_ns : 0;
}

/*
 * Timers that handlers made in this round wait for the next one, however soon they are due: the
 * others have their turn first. So does what is left after loop_stop(). The clock is read once:
 * what comes due while handlers take their time has its turn in the next round, too.
 */
void loop_timers_serve(struct loop *loop, uint64_t first_new)
{
	struct loop_timers *timers = &loop->timers;
	uint64_t now_ns;

	if (!timers->n_timers || loop->stopped)
		return;
	now_ns = clock_ns(CLOCK_MONOTONIC);
	while (timers->n_timers && timers->heap[0].due_ns <= now_ns &&
	       timers->heap[0].serial < first_new && !loop->stopped) {
		uint32_t slot = timers->heap[0].slot;
		struct loop_slot fired = loop->slots[slot];

		loop_timers_remove(loop, slot);
		loop_slot_release(loop, slot);
		fired.fn.timer(fired.arg);
	}
}

static int loop_timers_reserve(struct loop_timers *timers)
{
	uint32_t n = timers->n_room ? timers->n_room * 2 : 16;
	struct loop_timer *heap;

	if (timers->n_timers < timers->n_room)
		return 0;
	heap = reallocarray(timers->heap, n, sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	timers->heap = heap;
	timers->n_room = n;
	return 0;
}

int loop_after(struct loop *loop, uint32_t ms, loop_timer_fn fn, void *arg, uint64_t *ret_watch)
{
	const struct loop_slot slot = {.op = LOOP_OP_TIMER, .fd = -1, .fn.timer = fn, .arg = arg};
	struct loop_timers *timers = &loop->timers;
	struct loop_timer timer = {.due_ns = clock_ns(CLOCK_MONOTONIC) + ms * LOOP_NS_PER_MS};
	int err = loop_timers_reserve(timers);

	if (!err)
		err = loop_slot_take(loop, &slot, &timer.slot);
	if (err)
		return err;
	timer.serial = timers->serial++;
	loop_timers_sift(loop, timers->n_timers++, &timer);
	*ret_watch = loop_tag_of(loop, timer.slot).u64;
	return 0;
}
