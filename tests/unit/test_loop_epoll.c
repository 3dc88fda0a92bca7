/* SPDX-License-Identifier: MIT */
/*
 * Where epoll is not what the loop promises: one descriptor and its number. The rules are the same
 * on io_uring and tested there, too.
 */
#include "daemon/loop_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/child.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

struct swap {
	struct loop *loop;
	int fd; /* owned */
	uint64_t watch;
	unsigned int n_calls;
	struct swap *other;
	struct spot *heir; /* gets the other's number */
};

/* Whichever of the two is called first: the other's descriptor is closed and its number reused. */
static void swap_ready(uint32_t events, void *arg)
{
	struct swap *swap = arg, *other = swap->other;
	int number = other->fd;

	(void)events;
	swap->n_calls++;
	loop_cancel(swap->loop, &swap->watch);
	loop_cancel(swap->loop, &other->watch);
	fd_closep(&other->fd);
	CU_ASSERT_EQUAL_FATAL(dup3(swap->heir->fd, number, O_CLOEXEC), number);
	fd_closep(&swap->heir->fd);
	swap->heir->fd = number;
	spot_watch(swap->heir);
}

static void reused_number_of_a_descriptor_misses(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct spot heir, always;
	struct swap swaps[2];

	if (!loop_fixture_init(&loop))
		return;
	spot_init(&heir, loop, false);
	for (size_t i = 0; i < 2; i++) {
		swaps[i] = (struct swap){.loop = loop, .other = &swaps[1 - i], .heir = &heir};
		swaps[i].fd = eventfd(1, EFD_CLOEXEC);
		CU_ASSERT_EQUAL_FATAL(loop_watch(loop, swaps[i].fd, POLLIN, swap_ready, &swaps[i],
						 &swaps[i].watch),
				      0);
	}
	spot_init(&always, loop, true);
	always.stop_at = 5;
	spot_watch(&always);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(swaps[0].n_calls + swaps[1].n_calls, 1);
	CU_ASSERT_EQUAL(heir.n_calls, 0);
	spot_fini(&always);
	spot_set(&heir); /* it is watched all the same */
	heir.stop_at = 1;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(heir.n_calls, 1);
	spot_fini(&heir);
	fd_closep(&swaps[0].fd);
	fd_closep(&swaps[1].fd);
}

/*
 * Against the rules: it is closed before its watch ends, and epoll keeps what somebody else has
 * open. What took over the number is not called for it.
 */
static void descriptor_closed_too_early_misses(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct spot early, heir, always;
	int kept_fd;

	if (!loop_fixture_init(&loop))
		return;
	spot_init(&early, loop, true);
	spot_init(&heir, loop, false);
	spot_init(&always, loop, true);
	spot_watch(&early);
	kept_fd = fcntl(early.fd, F_DUPFD_CLOEXEC, 0);
	CU_ASSERT_EQUAL_FATAL(dup3(heir.fd, early.fd, O_CLOEXEC), early.fd);
	fd_closep(&heir.fd);
	heir.fd = STEAL_FD(early.fd);
	loop_cancel(loop, &early.watch);
	spot_watch(&heir);
	spot_watch(&always);
	always.stop_at = 5;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(early.n_calls + heir.n_calls, 0);
	spot_fini(&heir);
	spot_fini(&always);
	fd_closep(&kept_fd);
}

/* The first one takes the event and makes the third: that is not called, the second one may be. */
static void new_watch_of_a_descriptor_misses_the_old_event(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct spot first, second, third, always;

	if (!loop_fixture_init(&loop))
		return;
	spot_init(&first, loop, true);
	second = third = (struct spot){.loop = loop, .fd = first.fd};
	first.quiet = true;
	first.adds = &third;
	spot_watch(&first);
	spot_watch(&second);
	spot_init(&always, loop, true);
	spot_watch(&always);
	always.stop_at = 5;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(first.n_calls, 1);
	CU_ASSERT_EQUAL(third.n_calls, 0);
	loop_cancel(loop, &first.watch);
	spot_set(&second);
	third.stop_at = 1; /* and is for the next */
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(third.n_calls, 1);
	loop_cancel(loop, &second.watch);
	loop_cancel(loop, &third.watch);
	spot_fini(&first);
	spot_fini(&always);
}

static void watch_side(struct spot *side, uint32_t events)
{
	CU_ASSERT_EQUAL_FATAL(
		loop_watch(side->loop, side->fd, events, spot_ready, side, &side->watch), 0);
}

static void watches_of_one_descriptor_are_apart(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct spot reader, writer;
	int pair[2];

	if (!loop_fixture_init(&loop))
		return;
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	reader = writer = (struct spot){.loop = loop, .fd = pair[0]};
	watch_side(&reader, POLLIN);
	watch_side(&writer, POLLOUT);
	writer.stop_at = 3;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(writer.events, POLLOUT);
	CU_ASSERT_EQUAL(reader.n_calls, 0);
	CU_ASSERT_EQUAL(send(pair[1], "x", 1, 0), 1);
	reader.stop_at = 2;
	writer.stop_at = 0;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(reader.events, POLLIN);
	CU_ASSERT_EQUAL(writer.events, POLLOUT);
	loop_cancel(loop, &reader.watch); /* the first one goes, the other stays */
	writer.stop_at = writer.n_calls + 2;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(reader.n_calls, 2);
	watch_side(&reader, POLLIN);
	loop_cancel(loop, &writer.watch);
	reader.stop_at = 4;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(reader.n_calls, 4);
	spot_fini(&reader);
	fd_closep(&pair[1]);
}

/* More are always ready than are served in one go, on either backend. */
static void busy_descriptors_starve_nobody(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	static struct spot busy[600];
	struct spot late;
	unsigned int most;

	if (!loop_fixture_init(&loop))
		return;
	spot_init(&late, loop, false);
	spot_watch(&late);
	for (size_t i = 0; i < ARRAY_SIZE(busy); i++) {
		spot_init(&busy[i], loop, true);
		spot_watch(&busy[i]);
	}
	busy[0].sets = &late; /* when all have been called once */
	busy[0].stop_at = 50; /* too late */
	late.stop_at = 1;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(late.n_calls, 1);
	CU_ASSERT(spot_sum(busy, ARRAY_SIZE(busy), &most) >= ARRAY_SIZE(busy));
	CU_ASSERT(most <= 3);
	spot_fini(&late);
	for (size_t i = 0; i < ARRAY_SIZE(busy); i++)
		spot_fini(&busy[i]);
}

static const struct bad_fd {
	const char *name;
	bool regular; /* a file, else closed */
	int epoll_err;
	uint32_t uring_events;
} bad_fds[] = {
	{"no descriptor", false, -EBADF, POLLERR},
	{"a regular file", true, -EPERM, POLLIN},
};

/* What failed is given back: the loop does not grow. */
static void what_cannot_be_watched_is_told(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct spot always;
	uint32_t n_slots;

	if (!loop_fixture_init(&loop))
		return;
	spot_init(&always, loop, true);
	spot_watch(&always); /* the first watch makes the table */
	loop_cancel(loop, &always.watch);
	n_slots = loop->n_slots;
	for (size_t i = 0; i < 100 * ARRAY_SIZE(bad_fds); i++) {
		const struct bad_fd *c = &bad_fds[i % ARRAY_SIZE(bad_fds)];
		struct spot bad = {.loop = loop, .fd = open("/proc/self/exe", O_RDONLY)};

		CU_ASSERT_FATAL(bad.fd >= 0);
		if (!c->regular)
			CU_ASSERT_EQUAL(close(bad.fd), 0);
		bad.stop_at = 1;

		int err = loop_watch(loop, bad.fd, POLLIN, spot_ready, &bad, &bad.watch);

		CHECK(c->name, err == (loop_fixture_on_epoll() ? c->epoll_err : 0));
		CHECK(c->name, !bad.watch == !!err);
		CHECK(c->name, err || loop_run(loop) == 0);
		CHECK(c->name, err || bad.events == c->uring_events);
		loop_cancel(loop, &bad.watch);
		if (c->regular)
			fd_closep(&bad.fd);
	}
	CU_ASSERT_EQUAL(loop->n_slots, n_slots);
	spot_watch(&always);
	always.stop_at = 2;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	spot_fini(&always);
}

static void never(void *arg)
{
	(void)arg;
	_exit(99); /* it is far, or was cancelled; in a child, see sleep_twice() */
}

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

/* How often the thread was put to sleep until something stops the loop; 0: it spins. */
static long count_sleeps(struct loop *loop)
{
	struct rusage before, after;

	if (getrusage(RUSAGE_THREAD, &before) < 0 || loop_run(loop) ||
	    getrusage(RUSAGE_THREAD, &after) < 0)
		return -1;
	return after.ru_nvcsw - before.ru_nvcsw;
}

/* With nothing to do, until a timerfd ends it. */
static long count_idle_sleeps(struct loop *loop)
{
	const struct itimerspec soon = {.it_value.tv_nsec = 100 * 1000 * 1000};
	struct spot end = {.loop = loop, .stop_at = 1};
	long n;

	end.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (end.fd < 0 || timerfd_settime(end.fd, 0, &soon, NULL) < 0)
		return -1;
	spot_watch(&end);
	n = count_sleeps(loop);
	spot_fini(&end);
	return n;
}

/* Until a timer of the loop. */
static long count_timer_sleeps(struct loop *loop)
{
	uint64_t soon;

	return loop_after(loop, 100, stop_loop, loop, &soon) ? -1 : count_sleeps(loop);
}

/* In a process of its own: rings that other tests have closed still wake this one. */
static int sleep_twice(void *arg)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	uint64_t cancelled, fired, far;
	struct spot idle, reader, writer;
	int pair[2];

	(void)arg;
	if (!loop_fixture_init(&loop) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	reader = writer = (struct spot){.loop = loop, .fd = pair[0], .stop_at = 1};
	watch_side(&reader, POLLIN);
	watch_side(&writer, POLLOUT);
	spot_init(&idle, loop, false);
	spot_watch(&idle);
	if (loop_run(loop) || loop_after(loop, 0, stop_loop, loop, &fired) ||
	    loop_after(loop, 1000 * 1000, never, NULL, &cancelled) ||
	    loop_after(loop, 3600 * 1000, never, NULL, &far) || loop_run(loop))
		return -1;
	loop_cancel(loop, &writer.watch); /* from here on what can be written to is nobody's */
	loop_cancel(loop, &cancelled);
	return count_idle_sleeps(loop) == 1 && count_timer_sleeps(loop) == 1 ? 0 : 1;
}

static void nothing_to_do_is_sleep(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct child child;

	if (!loop_fixture_init(&loop))
		return;
	child_run(&child, sleep_twice, NULL);
	CU_ASSERT_EQUAL(child_end(&child), 0);
}

#define TESTS(X)                                                                                   \
	X(reused_number_of_a_descriptor_misses, "an event misses a descriptor of the same number") \
	X(descriptor_closed_too_early_misses, "an event misses what took over a number")           \
	X(new_watch_of_a_descriptor_misses_the_old_event, "an event misses a watch made after it") \
	X(watches_of_one_descriptor_are_apart, "watches of one descriptor are apart")              \
	X(busy_descriptors_starve_nobody, "busy descriptors starve nobody")                        \
	X(what_cannot_be_watched_is_told, "what cannot be watched is told")                        \
	X(nothing_to_do_is_sleep, "a process with nothing to do sleeps")
TESTS(LOOP_FIXTURE_DEFINE)

static const CU_TestInfo tests[] = {TESTS(LOOP_FIXTURE_ROWS) CU_TEST_INFO_NULL};

const struct suite suite_loop_epoll = {"loop_epoll", tests};
