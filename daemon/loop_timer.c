/* SPDX-License-Identifier: MIT */
/*
 * The timers of a loop: a heap, and one timerfd that is set to the first of them. It is watched as
 * any other descriptor, on either backend, and not set while there is no timer.
 */
#include "daemon/loop_backend.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>

#include "common/cleanup.h"

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

static uint64_t loop_timers_now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

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

/*
 * Timers that handlers make now wait for the next round, however soon they are due: the others have
 * their turn first. What is left after loop_stop() keeps the timerfd readable.
 */
static void loop_timers_ready(uint32_t events, void *arg)
{
	struct loop *loop = arg;
	struct loop_timers *timers = &loop->timers;
	uint64_t now_ns = loop_timers_now_ns(), n_made = timers->serial;

	(void)events;
	while (timers->n_timers && timers->heap[0].due_ns <= now_ns &&
	       timers->heap[0].serial < n_made && !loop->stopped) {
		uint32_t slot = timers->heap[0].slot;
		struct loop_slot fired = loop->slots[slot];

		loop_timers_remove(loop, slot);
		loop_slot_release(loop, slot);
		fired.fn.timer(fired.arg);
	}
}

int loop_timers_init(struct loop *loop)
{
	struct loop_timers *timers = &loop->timers;

	timers->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (timers->fd < 0)
		return -errno;
	return loop_watch(loop, timers->fd, POLLIN, loop_timers_ready, loop, &timers->watch);
}

void loop_timers_fini(struct loop *loop)
{
	loop_cancel(loop, &loop->timers.watch);
	fd_closep(&loop->timers.fd);
	free(loop->timers.heap);
}

/* The timerfd is never read: setting it makes it unreadable, too. */
int loop_timers_set(struct loop *loop)
{
	struct loop_timers *timers = &loop->timers;
	uint64_t due_ns = timers->n_timers ? timers->heap[0].due_ns : 0; /* 0 disarms */
	struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(due_ns / NS_PER_S),
					       .tv_nsec = (long)(due_ns % NS_PER_S)}};

	if (due_ns == timers->set_ns)
		return 0;
	if (timerfd_settime(timers->fd, TFD_TIMER_ABSTIME, &spec, NULL) < 0)
		return -errno;
	timers->set_ns = due_ns;
	return 0;
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
	struct loop_timer timer = {.due_ns = loop_timers_now_ns() + ms * NS_PER_MS};
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
