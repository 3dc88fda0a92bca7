/* SPDX-License-Identifier: MIT */
/* Timers, on either backend. They end the loop by themselves: nothing here waits for a clock. */
#include "daemon/loop_backend.h"

#include <poll.h>
#include <time.h>

#include "common/cleanup.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

#define MANY 5000

/* The timers of a test, and the order that they are called in. */
struct clock {
	struct loop *loop;
	size_t n_called;
	size_t n_left; /* the loop stops when there are none */
	uint64_t last_due_ns;
	uint64_t last_serial;
};

/* One timer and what its handler does. */
struct alarm {
	struct clock *clock;
	uint64_t watch;
	uint64_t set_ns; /* a time not after it was made */
	uint32_t ms;
	uint64_t due_ns; /* as the loop sees it */
	uint64_t serial;
	size_t place; /* 1: called first; 0: not yet */
	struct alarm *cancels;
	unsigned int again; /* how often the handler sets it again */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void alarm_set(struct alarm *alarm);

static void alarm_end(struct alarm *alarm)
{
	struct clock *clock = alarm->clock;

	loop_cancel(clock->loop, &alarm->watch);
	if (--clock->n_left == 0)
		loop_stop(clock->loop);
}

static void alarm_called(void *arg)
{
	struct alarm *alarm = arg;
	struct clock *clock = alarm->clock;

	CU_ASSERT(now_ns() >= alarm->set_ns + alarm->ms * UINT64_C(1000000));
	CU_ASSERT(alarm->due_ns > clock->last_due_ns ||
		  (alarm->due_ns == clock->last_due_ns && alarm->serial > clock->last_serial));
	clock->last_due_ns = alarm->due_ns;
	clock->last_serial = alarm->serial;
	alarm->place = ++clock->n_called;
	if (alarm->cancels)
		alarm_end(STEAL(alarm->cancels));
	if (alarm->again) {
		alarm->again--;
		alarm_set(alarm);
		return;
	}
	alarm_end(alarm); /* its number is void: that ends nobody else */
}

/* What the loop knows of it. */
static const struct loop_timer *alarm_timer(const struct alarm *alarm)
{
	const struct loop *loop = alarm->clock->loop;
	union loop_tag tag = {.u64 = alarm->watch};
	const struct loop_timer *timer = &loop->timers.heap[loop->slots[tag.slot].heap_at];

	CU_ASSERT_EQUAL(timer->slot, tag.slot);
	return timer;
}

static void alarm_set(struct alarm *alarm)
{
	struct loop *loop = alarm->clock->loop;

	alarm->set_ns = now_ns();
	CU_ASSERT_EQUAL_FATAL(loop_after(loop, alarm->ms, alarm_called, alarm, &alarm->watch), 0);
	CU_ASSERT_NOT_EQUAL(alarm->watch, LOOP_NONE);

	alarm->due_ns = alarm_timer(alarm)->due_ns;
	alarm->serial = alarm_timer(alarm)->serial;
}

static void alarm_start(struct alarm *alarm, struct clock *clock, uint32_t ms)
{
	alarm->clock = clock;
	alarm->ms = ms;
	clock->n_left++;
	alarm_set(alarm);
}

static const struct order {
	const char *name;
	uint32_t ms[4];
	size_t places[4];
} orders[] = {
	{"as they were set", {0, 10, 20, 30}, {1, 2, 3, 4}},
	{"the other way round", {30, 20, 10, 0}, {4, 3, 2, 1}},
	{"mixed", {20, 0, 30, 10}, {3, 1, 4, 2}},
	{"all alike", {5, 5, 5, 5}, {1, 2, 3, 4}},
};

static void called_in_order(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;

	if (!loop_fixture_init(&loop))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		struct clock clock = {.loop = loop};
		struct alarm alarms[4] = {{0}};

		/* Were the thread stopped for 10 ms in here, the order would be another. */
		uint64_t begin_ns = now_ns();

		for (size_t k = 0; k < 4; k++)
			alarm_start(&alarms[k], &clock, orders[i].ms[k]);

		bool slow = now_ns() - begin_ns > 9 * UINT64_C(1000000);

		CU_ASSERT_EQUAL(clock.n_called, 0); /* never at once */
		CU_ASSERT_EQUAL(loop_run(loop), 0);
		for (size_t k = 0; k < 4; k++)
			CHECK(orders[i].name, slow || alarms[k].place == orders[i].places[k]);
		CHECK(orders[i].name, clock.n_called == 4);
	}
}

/* To the nanosecond, which a test cannot ask for. */
static void same_time_is_called_as_made(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct clock clock = {.loop = NULL};
	struct alarm alarms[8] = {{0}};

	if (!loop_fixture_init(&loop))
		return;
	clock.loop = loop;
	for (size_t i = 0; i < ARRAY_SIZE(alarms); i++) {
		alarm_start(&alarms[i], &clock, 0);
		CU_ASSERT_PTR_EQUAL(alarm_timer(&alarms[i]), &loop->timers.heap[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(alarms); i++)
		loop->timers.heap[i].due_ns = alarms[i].due_ns = alarms[7].due_ns;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	for (size_t i = 0; i < ARRAY_SIZE(alarms); i++)
		CU_ASSERT_EQUAL(alarms[i].place, i + 1);
}

static void cancelled_is_not_called(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct alarm first = {0}, cancelled = {0}, last = {0};
	struct clock clock = {.loop = NULL};

	if (!loop_fixture_init(&loop))
		return;
	clock.loop = loop;
	alarm_start(&first, &clock, 0);
	alarm_start(&cancelled, &clock, 1);
	alarm_start(&last, &clock, 2);
	alarm_end(&cancelled);
	alarm_end(&first); /* also the one that the loop would wait for */
	CU_ASSERT_EQUAL(first.watch, LOOP_NONE);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(first.place + cancelled.place, 0);
	CU_ASSERT_EQUAL(last.place, 1);
}

/* Both are due at once. */
static void handler_may_cancel_the_next(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct alarm first = {0}, next = {0}, last = {0};
	struct clock clock = {.loop = NULL};

	if (!loop_fixture_init(&loop))
		return;
	clock.loop = loop;
	first.cancels = &next;
	alarm_start(&first, &clock, 0);
	alarm_start(&next, &clock, 0);
	alarm_start(&last, &clock, 0);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(first.place, 1);
	CU_ASSERT_EQUAL(next.place, 0);
	CU_ASSERT_EQUAL(last.place, 2);
}

/* Set again for no time at all, and others have their turn in between. */
static void handler_may_set_it_again(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct clock clock = {.loop = NULL};
	struct alarm alarm = {.again = 20};
	struct spot always;

	if (!loop_fixture_init(&loop))
		return;
	clock.loop = loop;
	spot_init(&always, loop, true);
	spot_watch(&always);
	alarm_start(&alarm, &clock, 0);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(clock.n_called, 21);
	CU_ASSERT(always.n_calls >= 20);
	spot_fini(&always);
}

/* Makes a timer of no time when it is first called. */
struct maker {
	struct spot spot;
	unsigned int n_before; /* how often it was called before the timer was */
};

static void maker_called(void *arg)
{
	struct maker *maker = arg;

	maker->n_before = maker->spot.n_calls;
	loop_stop(maker->spot.loop);
}

static void maker_ready(uint32_t events, void *arg)
{
	struct maker *maker = arg;
	uint64_t watch;

	spot_ready(events, &maker->spot);
	if (maker->spot.n_calls == 1)
		CU_ASSERT_EQUAL(loop_after(maker->spot.loop, 0, maker_called, maker, &watch), 0);
}

static void timer_of_an_event_waits_for_the_next_round(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct maker maker = {.n_before = 0};

	if (!loop_fixture_init(&loop))
		return;
	spot_init(&maker.spot, loop, true);
	CU_ASSERT_EQUAL_FATAL(
		loop_watch(loop, maker.spot.fd, POLLIN, maker_ready, &maker, &maker.spot.watch), 0);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(maker.n_before, 2);
	spot_fini(&maker.spot);
}

static uint32_t slot_of(uint64_t watch)
{
	return ((union loop_tag){.u64 = watch}).slot;
}

/* The slot of a timer that was called is another's: its number ends that one not. */
static void void_number_ends_nobody(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct alarm old = {0}, heir = {0};
	struct clock clock = {.loop = NULL};
	uint64_t stale;

	if (!loop_fixture_init(&loop))
		return;
	clock.loop = loop;
	alarm_start(&old, &clock, 0);
	stale = old.watch;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	alarm_start(&heir, &clock, 0);
	CU_ASSERT_EQUAL(slot_of(heir.watch), slot_of(stale));
	loop_cancel(loop, &stale);
	CU_ASSERT_EQUAL(stale, LOOP_NONE);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(heir.place, 2);
}

static void stop_leaves_the_others_for_the_next_run(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct alarm alarms[3] = {{0}};
	struct clock stops[3];

	if (!loop_fixture_init(&loop))
		return;
	for (size_t i = 0; i < 3; i++) {
		stops[i] = (struct clock){.loop = loop}; /* each is the last of its clock */
		alarm_start(&alarms[i], &stops[i], 0);
	}
	for (size_t i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(loop_run(loop), 0);
		for (size_t k = 0; k < 3; k++)
			CU_ASSERT_EQUAL(alarms[k].place, k <= i);
	}
}

/* Half of them are cancelled before, some by each other, some are set again: the order stays. */
static void many_are_called_in_order(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	static struct alarm alarms[MANY];
	struct clock clock = {.loop = NULL};
	uint64_t random = suite_seed("timers");
	size_t n_expected = MANY;

	if (!loop_fixture_init(&loop))
		return;
	clock.loop = loop;
	for (size_t i = 0; i < MANY; i++) {
		alarms[i] = (struct alarm){.again = suite_random(&random) % 3 == 0};
		n_expected += alarms[i].again;
		alarm_start(&alarms[i], &clock, suite_random(&random) % 30);
	}
	for (size_t i = 0; i < MANY; i++) {
		if (suite_random(&random) % 2) {
			n_expected -= 1 + alarms[i].again;
			alarm_end(&alarms[i]);
		}
	}
	CU_ASSERT_EQUAL(loop->timers.n_timers, clock.n_left);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(clock.n_called, n_expected);
	CU_ASSERT_EQUAL(loop->timers.n_timers, 0);
}

/* The longest time there is does not overflow, and a loop may go with timers set. */
static void far_timer_goes_with_the_loop(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct alarm far = {0}, near = {0};
	struct clock clock = {.loop = NULL}, other = {.loop = NULL};
	int n_fds = suite_count_fds();

	if (!loop_fixture_init(&loop))
		return;
	clock.loop = other.loop = loop;
	alarm_start(&far, &other, UINT32_MAX);
	alarm_start(&near, &clock, 1);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(near.place, 1);
	CU_ASSERT_EQUAL(far.place, 0);
	loop_free(STEAL(loop));
	CU_ASSERT_EQUAL(suite_count_fds(), n_fds);
}

#define TESTS(X)                                                                               \
	X(called_in_order, "timers are called in the order of their times, not before")        \
	X(same_time_is_called_as_made, "timers of the same time are called as they were made") \
	X(cancelled_is_not_called, "a cancelled timer is not called")                          \
	X(handler_may_cancel_the_next, "a handler may cancel another that is due, too")        \
	X(handler_may_set_it_again, "a handler may set its timer again")                       \
	X(timer_of_an_event_waits_for_the_next_round,                                          \
	  "a timer that an event makes waits for the next round")                              \
	X(void_number_ends_nobody, "the number of a timer that was called ends nobody")        \
	X(stop_leaves_the_others_for_the_next_run, "what is due after a stop is not lost")     \
	X(many_are_called_in_order, "many timers are called in order, cancelled ones are not") \
	X(far_timer_goes_with_the_loop, "a timer that is not due goes with the loop")
TESTS(LOOP_FIXTURE_DEFINE)

static const CU_TestInfo tests[] = {TESTS(LOOP_FIXTURE_ROWS) CU_TEST_INFO_NULL};

const struct suite suite_loop_timer = {"loop_timer", tests};
