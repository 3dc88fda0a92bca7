/* SPDX-License-Identifier: MIT */
/* Watches and accepted connections, on either backend. */
#include "daemon/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

#define MANY 5000 /* more than the ring's queues hold */

static void called_while_ready(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct spot ready, idle;

	if (!loop_fixture_init(&loop))
		return;
	spot_init(&ready, loop, true);
	spot_init(&idle, loop, false);
	ready.stop_at = 5;
	spot_watch(&idle);
	spot_watch(&ready);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(ready.n_calls, 5);
	CU_ASSERT_EQUAL(ready.events, POLLIN);
	CU_ASSERT_EQUAL(idle.n_calls, 0);
	ready.stop_at = 7; /* a second run goes on where the first ended */
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(ready.n_calls, 7);
	spot_fini(&ready);
	spot_fini(&idle);
}

static void taken_event_is_not_repeated(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct spot once, always;

	if (!loop_fixture_init(&loop))
		return;
	spot_init(&once, loop, true);
	spot_init(&always, loop, true);
	once.quiet = true;
	always.stop_at = 10;
	spot_watch(&once);
	spot_watch(&always);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(once.n_calls, 1);
	spot_fini(&once);
	spot_fini(&always);
}

static void hang_up_is_told(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	int pair[2];
	struct spot spot;

	if (!loop_fixture_init(&loop))
		return;
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	spot = (struct spot){.loop = loop, .fd = pair[0], .stop_at = 1};
	spot_watch(&spot);
	fd_closep(&pair[1]);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_TRUE(spot.events & POLLHUP);
	spot_fini(&spot);
}

static void cancelled_is_not_called(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct spot spot, always;
	uint64_t none = LOOP_NONE;

	if (!loop_fixture_init(&loop))
		return;
	spot_init(&spot, loop, true);
	spot_init(&always, loop, true);
	always.stop_at = 3;
	spot_watch(&spot);
	spot_watch(&always);
	loop_cancel(loop, &spot.watch); /* before the kernel has seen it */
	loop_cancel(loop, &spot.watch); /* LOOP_NONE by now */
	loop_cancel(loop, &none);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(spot.n_calls, 0);
	spot_fini(&spot);
	spot_fini(&always);
}

/* Both are ready in one batch: the second's event is stale when its turn comes. */
static void stale_event_is_dropped(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct spot spots[3], heir;

	if (!loop_fixture_init(&loop))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(spots); i++) {
		spot_init(&spots[i], loop, true);
		spot_watch(&spots[i]);
	}
	spot_init(&heir, loop, false); /* gets the slot of one that is ended, and is not ready */
	spots[0].cancels = &spots[1];
	spots[0].n_cancels = 1;
	spots[0].adds = &heir;
	spots[2].stop_at = 4;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_TRUE(spots[0].n_calls > 0);
	CU_ASSERT_EQUAL(spots[1].n_calls, 0);
	CU_ASSERT_EQUAL(heir.n_calls, 0);
	for (size_t i = 0; i < ARRAY_SIZE(spots); i++)
		spot_fini(&spots[i]);
	spot_fini(&heir);
}

static void handler_may_end_itself(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct spot self, next, always;

	if (!loop_fixture_init(&loop))
		return;
	spot_init(&self, loop, true);
	spot_init(&next, loop, true); /* made by the handler: takes over its slot */
	spot_init(&always, loop, true);
	self.cancels = &self;
	self.n_cancels = 1;
	self.adds = &next;
	next.quiet = true; /* and is watched once, not twice */
	always.stop_at = 20;
	spot_watch(&self);
	spot_watch(&always);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(self.n_calls, 1);
	CU_ASSERT_EQUAL(self.watch, LOOP_NONE);
	CU_ASSERT_EQUAL(next.n_calls, 1);
	spot_fini(&self);
	spot_fini(&next);
	spot_fini(&always);
}

/* All at once: handlers add watches, so slots move while they run. */
static void many_events_at_once_are_all_served(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	static struct spot spots[2 * MANY];
	struct spot first;
	unsigned int most;

	if (!loop_fixture_init(&loop))
		return;
	spot_init(&first, loop, true);
	for (size_t i = 0; i < ARRAY_SIZE(spots); i++)
		spots[i] = (struct spot){.loop = loop, .fd = first.fd};
	for (size_t i = 0; i < MANY; i++) {
		spots[i].cancels = &spots[i];
		spots[i].n_cancels = 1;
		spots[i].adds = &spots[MANY + i];
		spot_watch(&spots[i]);
	}
	spots[2 * MANY - 1].stop_at = 1;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(spot_sum(spots, MANY, &most), MANY);
	CU_ASSERT_EQUAL(most, 1);
	CU_ASSERT_EQUAL(spots[2 * MANY - 1].n_calls, 1);
	for (size_t i = 0; i < ARRAY_SIZE(spots); i++)
		loop_cancel(loop, &spots[i].watch);
	first.stop_at = 2; /* and it works on */
	spot_watch(&first);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(first.n_calls, 2);
	spot_fini(&first);
}

/* One handler ends thousands of watches whose completions are there already. */
static void one_handler_may_end_all_others(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	static struct spot spots[MANY];
	struct spot first;
	unsigned int most;

	if (!loop_fixture_init(&loop))
		return;
	spot_init(&first, loop, true);
	spot_watch(&first);
	for (size_t i = 0; i < MANY; i++) {
		spots[i] = (struct spot){.loop = loop, .fd = first.fd};
		spot_watch(&spots[i]);
	}
	first.cancels = spots;
	first.n_cancels = MANY;
	first.stop_at = 3;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(first.n_calls, 3);
	(void)spot_sum(spots, MANY, &most);
	CU_ASSERT_TRUE(most <= 1); /* those that were served before the first one was */
	spot_fini(&first);
}

/* Watches come and go; each number is its own, and the slots of the gone are used again. */
static void numbers_are_not_reused(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	uint64_t seen[1000], stale;
	struct spot idle, always;

	if (!loop_fixture_init(&loop))
		return;
	spot_init(&idle, loop, false);
	spot_init(&always, loop, true);
	spot_watch(&always);
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		spot_watch(&idle);
		seen[i] = idle.watch;
		for (size_t k = 0; k < i; k++)
			CU_ASSERT_FATAL(seen[k] != seen[i]);
		stale = seen[i / 2];
		if (i / 2 < i)
			loop_cancel(loop, &stale); /* ends nothing: that watch is gone */
		always.n_calls = 0;
		always.stop_at = 1;
		CU_ASSERT_EQUAL_FATAL(loop_run(loop), 0);
		loop_cancel(loop, &idle.watch);
	}
	CU_ASSERT_EQUAL(idle.n_calls, 0);
	spot_fini(&idle);
	spot_fini(&always);
}

static void count_call(void *arg)
{
	++*(unsigned int *)arg;
}

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

/* Fails the nth time that a table grows; whoever is refused tries again. Returns the refusals. */
static unsigned int run_short_of_memory(struct loop *loop, unsigned int nth)
{
	static struct spot spots[200];
	unsigned int n_refused = 0, n_fired = 0, most;
	uint64_t timer = LOOP_NONE;

	loop_fixture_fail_growth(nth);
	for (size_t i = 0; i < ARRAY_SIZE(spots); i++) {
		struct spot *spot = &spots[i];
		int err;

		spot_init(spot, loop, true);
		spot->quiet = true;
		while ((err = loop_watch(loop, spot->fd, POLLIN, spot_ready, spot, &spot->watch)) ==
		       -ENOMEM) {
			CU_ASSERT_EQUAL(spot->watch, LOOP_NONE);
			n_refused++;
		}
		CU_ASSERT_EQUAL(err, 0);
		while ((err = loop_after(loop, 0, count_call, &n_fired, &timer)) == -ENOMEM)
			n_refused++;
		CU_ASSERT_EQUAL(err, 0);
	}
	loop_fixture_fail_growth(0);

	struct spot last;

	CU_ASSERT_EQUAL(loop_after(loop, 0, stop_loop, loop, &timer), 0); /* after the others */
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	spot_init(&last, loop, true);
	last.stop_at = 20;
	spot_watch(&last);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(n_fired, ARRAY_SIZE(spots));
	CU_ASSERT_EQUAL(spot_sum(spots, ARRAY_SIZE(spots), &most), ARRAY_SIZE(spots));
	CU_ASSERT_EQUAL(most, 1);
	spot_fini(&last);
	for (size_t i = 0; i < ARRAY_SIZE(spots); i++)
		spot_fini(&spots[i]);
	return n_refused;
}

static void out_of_memory_changes_nothing(void)
{
	unsigned int n_refused = 1, nth = 1;

	for (; n_refused; nth++) {
		CLEANUP(loop_freep) struct loop *loop = NULL;

		if (!loop_fixture_init(&loop))
			return;
		n_refused = run_short_of_memory(loop, nth);
		CU_ASSERT(n_refused <= 1);
	}
	CU_ASSERT(nth > 4); /* slots and timers grow twice at the least */
}

/* A listening socket in the abstract namespace, and who has connected. */
struct door {
	struct loop *loop;
	int fd; /* owned */
	uint64_t watch;
	struct sockaddr_un address;
	socklen_t size;
	int accepted[64]; /* owned */
	size_t n_accepted;
	unsigned int n_errors;
	int err; /* the last one */
	size_t stop_at;
};

static void door_init(struct door *door, struct loop *loop)
{
	*door = (struct door){.loop = loop, .size = sizeof(door->address)};
	door->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	door->address.sun_family = AF_UNIX;
	CU_ASSERT_FATAL(door->fd >= 0);
	/* Without a name the kernel gives it one that nobody has. */
	CU_ASSERT_EQUAL_FATAL(
		bind(door->fd, (const struct sockaddr *)&door->address, sizeof(sa_family_t)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(door->fd, 64), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(door->fd, (struct sockaddr *)&door->address, &door->size),
			      0);
}

static void door_fini(struct door *door)
{
	loop_cancel(door->loop, &door->watch);
	for (size_t i = 0; i < door->n_accepted; i++)
		fd_closep(&door->accepted[i]);
	fd_closep(&door->fd);
}

static int door_knock(const struct door *door)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(connect(fd, (const struct sockaddr *)&door->address, door->size), 0);
	return fd;
}

static void door_accepted(int fd, void *arg)
{
	struct door *door = arg;

	if (fd < 0) {
		door->err = fd;
		door->n_errors++;
		return;
	}
	CU_ASSERT_FATAL(door->n_accepted < ARRAY_SIZE(door->accepted));
	CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CU_ASSERT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
	door->accepted[door->n_accepted++] = fd;
	if (door->n_accepted == door->stop_at)
		loop_stop(door->loop);
}

/* A door that is opened when clients stand before it. */
static void door_init_before(struct door *door, struct loop *loop, loop_accept_fn accepted,
			     int *clients, size_t n_clients)
{
	door_init(door, loop);
	for (size_t i = 0; i < n_clients; i++)
		clients[i] = door_knock(door);
	CU_ASSERT_EQUAL(loop_accept(loop, door->fd, accepted, door, &door->watch), 0);
}

static void door_fini_after(struct door *door, int *clients, size_t n_clients)
{
	door_fini(door);
	for (size_t i = 0; i < n_clients; i++)
		fd_closep(&clients[i]);
}

static void every_connection_is_accepted(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	int clients[5], n_fds = suite_count_fds();
	struct door door;

	if (!loop_fixture_init(&loop))
		return;
	door_init(&door, loop);
	CU_ASSERT_EQUAL(loop_accept(loop, door.fd, door_accepted, &door, &door.watch), 0);
	for (size_t i = 0; i < 2; i++)
		clients[i] = door_knock(&door);
	door.stop_at = 2;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	for (size_t i = 2; i < 5; i++) /* and those that come later */
		clients[i] = door_knock(&door);
	door.stop_at = 5;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(door.n_accepted, 5);
	door_fini_after(&door, clients, ARRAY_SIZE(clients));
	loop_free(STEAL(loop));
	CU_ASSERT_EQUAL(suite_count_fds(), n_fds);
}

/*
 * On io_uring the connection was taken off the backlog when the watch ended, and nobody else would
 * close it. On epoll it goes with the socket that it waits at.
 */
static void connection_for_a_closed_door_is_closed(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	int client, n_fds = suite_count_fds();
	struct spot first, last;
	struct door door;
	char byte;

	if (!loop_fixture_init(&loop))
		return;
	spot_init(&first, loop, true);
	spot_init(&last, loop, true);
	door_init(&door, loop);
	client = door_knock(&door);
	/* All are complete in the first batch, in this order. */
	spot_watch(&first);
	CU_ASSERT_EQUAL(loop_accept(loop, door.fd, door_accepted, &door, &door.watch), 0);
	spot_watch(&last);
	struct spot door_spot = {.watch = door.watch};
	first.cancels = &door_spot;
	first.n_cancels = 1;
	last.stop_at = 3;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(door.n_accepted, 0);
	spot_fini(&first);
	spot_fini(&last);
	door_fini(&door);
	loop_free(STEAL(loop));
	CU_ASSERT_EQUAL(suite_count_fds(), n_fds + 1); /* the client */
	if (loop_fixture_on_epoll())
		CU_ASSERT(recv(client, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET);
	CU_ASSERT_EQUAL(recv(client, &byte, 1, MSG_DONTWAIT), 0);
	fd_closep(&client);
}

static void connection_nobody_took_is_closed_with_the_loop(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	int client, n_fds = suite_count_fds();
	struct spot first;
	struct door door;

	if (!loop_fixture_init(&loop))
		return;
	spot_init(&first, loop, true);
	door_init(&door, loop);
	client = door_knock(&door);
	first.stop_at = 1; /* the connection is complete behind it */
	spot_watch(&first);
	CU_ASSERT_EQUAL(loop_accept(loop, door.fd, door_accepted, &door, &door.watch), 0);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(door.n_accepted, 0);
	spot_fini(&first);
	door_fini(&door);
	loop_free(STEAL(loop));
	fd_closep(&client);
	CU_ASSERT_EQUAL(suite_count_fds(), n_fds);
}

static void accept_is_bounded(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	int clients[LOOP_ACCEPT_MAX + 5];
	struct spot spot;
	struct door door;

	if (!loop_fixture_init(&loop))
		return;
	door_init_before(&door, loop, door_accepted, clients, ARRAY_SIZE(clients));
	spot_init(&spot, loop, true);
	spot_watch(&spot);
	spot.stop_at = 1;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	if (loop_fixture_on_epoll()) /* a ring has all of them as one batch of completions */
		CU_ASSERT_EQUAL(door.n_accepted, LOOP_ACCEPT_MAX);
	spot.stop_at = 10;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(door.n_accepted, ARRAY_SIZE(clients));
	CU_ASSERT_EQUAL(door.n_errors, 0); /* that nobody is left is none */
	spot_fini(&spot);
	door_fini_after(&door, clients, ARRAY_SIZE(clients));
}

static void door_once(int fd, void *arg)
{
	struct door *door = arg;

	door_accepted(fd, door);
	loop_cancel(door->loop, &door->watch);
}

static void accept_may_end_itself(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	int clients[5], n_fds = suite_count_fds();
	struct spot always;
	struct door door;

	if (!loop_fixture_init(&loop))
		return;
	door_init_before(&door, loop, door_once, clients, ARRAY_SIZE(clients));
	spot_init(&always, loop, true);
	spot_watch(&always);
	always.stop_at = 3;
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(door.n_accepted, 1);
	spot_fini(&always);
	door_fini_after(&door, clients, ARRAY_SIZE(clients));
	loop_free(STEAL(loop));
	CU_ASSERT_EQUAL(suite_count_fds(), n_fds);
}

/* Runs until the door's error came in some rounds; it comes once in each. */
static void expect_errors(struct door *door, int err)
{
	struct spot always;

	spot_init(&always, door->loop, true);
	spot_watch(&always);
	always.stop_at = 10;
	door->n_errors = 0;
	CU_ASSERT_EQUAL(loop_run(door->loop), 0);
	CU_ASSERT_EQUAL(door->err, err);
	CU_ASSERT(door->n_errors > 1 && door->n_errors <= always.n_calls + 1);
	spot_fini(&always);
}

/* No descriptor is left but one, for the spot of expect_errors(). */
static void no_descriptor_for_a_connection_is_told(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct rlimit original, few;
	struct door door;
	int client, fd;

	if (!loop_fixture_init(&loop))
		return;
	door_init(&door, loop);
	client = door_knock(&door);
	fd = fcntl(door.fd, F_DUPFD_CLOEXEC, 0); /* the lowest that is free */
	fd_closep(&fd);
	fd = fcntl(door.fd, F_DUPFD_CLOEXEC, 0);
	CU_ASSERT_FATAL(fd >= 0 && getrlimit(RLIMIT_NOFILE, &original) == 0);
	few = (struct rlimit){.rlim_cur = (rlim_t)fd + 1, .rlim_max = original.rlim_max};
	fd_closep(&fd);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &few), 0);
	CU_ASSERT_EQUAL(loop_accept(loop, door.fd, door_accepted, &door, &door.watch), 0);
	expect_errors(&door, -EMFILE);
	CU_ASSERT_EQUAL(door.n_accepted, 0);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &original), 0);
	door.stop_at = 1;
	CU_ASSERT_EQUAL(loop_run(loop), 0); /* and it is accepted when there is one */
	CU_ASSERT_EQUAL(door.n_accepted, 1);
	door_fini(&door);
	fd_closep(&client);
}

static void socket_that_does_not_listen_is_told(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct door shut, deaf = {0};

	if (!loop_fixture_init(&loop))
		return;
	deaf.loop = loop;
	deaf.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CU_ASSERT_EQUAL(loop_accept(loop, deaf.fd, door_accepted, &deaf, &deaf.watch), 0);
	expect_errors(&deaf, -EINVAL);
	door_fini(&deaf);
	door_init(&shut, loop);
	CU_ASSERT_EQUAL(loop_accept(loop, shut.fd, door_accepted, &shut, &shut.watch), 0);
	CU_ASSERT_EQUAL(shutdown(shut.fd, SHUT_RDWR), 0);
	if (loop_fixture_on_epoll()) /* which would report it for ever */
		expect_errors(&shut, -EINVAL);
	door_fini(&shut);
}

static void nothing_is_a_fine_loop(void)
{
	loop_free(NULL);
}

#define TESTS(X)                                                                                   \
	X(called_while_ready, "a handler is called while its descriptor is ready")                 \
	X(taken_event_is_not_repeated, "an event that was taken is not repeated")                  \
	X(hang_up_is_told, "a hang-up is told without being asked for")                            \
	X(cancelled_is_not_called, "a cancelled watch is not called, cancelling twice is fine")    \
	X(stale_event_is_dropped, "a stale event is dropped, also in a reused slot")               \
	X(handler_may_end_itself, "a handler may end its own watch and make another")              \
	X(many_events_at_once_are_all_served, "more events than the ring holds are all served")    \
	X(one_handler_may_end_all_others, "one handler may end all other watches")                 \
	X(numbers_are_not_reused, "the number of a watch is not used again")                       \
	X(out_of_memory_changes_nothing, "without memory nothing changes")                         \
	X(every_connection_is_accepted, "every connection is accepted")                            \
	X(connection_for_a_closed_door_is_closed, "a connection for a cancelled accept is closed") \
	X(connection_nobody_took_is_closed_with_the_loop,                                          \
	  "a connection nobody took is closed with the loop")                                      \
	X(accept_is_bounded, "many connections leave others their turn")                           \
	X(accept_may_end_itself, "an accept may end itself while more connect")                    \
	X(no_descriptor_for_a_connection_is_told, "no descriptor is told once a round")            \
	X(socket_that_does_not_listen_is_told, "a socket that does not listen is told")
TESTS(LOOP_FIXTURE_DEFINE)

static const CU_TestInfo tests[] = {
	TESTS(LOOP_FIXTURE_ROWS){"freeing no loop is fine", nothing_is_a_fine_loop},
	CU_TEST_INFO_NULL,
};

const struct suite suite_loop = {"loop", tests};
