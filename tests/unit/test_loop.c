/* SPDX-License-Identifier: MIT */
/* The loop with eventfds, which are ready or not as a test says, and with real connections. */
#include "daemon/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define MANY 5000 /* more than the ring's queues hold */

/* One watch and what its handler does. */
struct spot {
	struct loop *loop;
	int fd; /* owned */
	uint64_t watch;
	unsigned int n_calls;
	uint32_t events; /* of the last call */
	unsigned int stop_at; /* loop_stop() in this call; 0: never */
	struct spot *cancels; /* watches that the handler ends, NULL: none */
	size_t n_cancels;
	struct spot *adds; /* a watch that the handler makes in its first call */
	bool quiet; /* the handler takes the event: it is not called again for it */
};

static bool loop_init(struct loop **ret_loop)
{
	int err = loop_new(ret_loop);

	if (!err)
		return true;
	suite_skip(strerror(-err)); /* no io_uring */
	return false;
}

static void spot_ready(uint32_t events, void *arg)
{
	struct spot *spot = arg;
	uint64_t value;

	spot->n_calls++;
	spot->events = events;
	if (spot->quiet)
		CU_ASSERT_EQUAL(read(spot->fd, &value, sizeof(value)), (ssize_t)sizeof(value));
	if (spot->n_calls == spot->stop_at)
		loop_stop(spot->loop);
	for (size_t i = 0; i < spot->n_cancels; i++)
		loop_cancel(spot->loop, &spot->cancels[i].watch);
	if (spot->adds && spot->n_calls == 1)
		CU_ASSERT_EQUAL(loop_watch(spot->loop, spot->adds->fd, POLLIN, spot_ready,
					   spot->adds, &spot->adds->watch),
				0);
}

static void spot_init(struct spot *spot, struct loop *loop, bool ready)
{
	*spot = (struct spot){.loop = loop, .fd = eventfd(ready, EFD_CLOEXEC | EFD_NONBLOCK)};
	CU_ASSERT_FATAL(spot->fd >= 0);
}

static void spot_watch(struct spot *spot)
{
	CU_ASSERT_EQUAL_FATAL(
		loop_watch(spot->loop, spot->fd, POLLIN, spot_ready, spot, &spot->watch), 0);
	CU_ASSERT_NOT_EQUAL(spot->watch, LOOP_NONE);
}

static void spot_fini(struct spot *spot)
{
	loop_cancel(spot->loop, &spot->watch);
	CU_ASSERT_EQUAL(spot->watch, LOOP_NONE);
	fd_closep(&spot->fd);
}

static void called_while_ready(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct spot ready, idle;

	if (!loop_init(&loop))
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

	if (!loop_init(&loop))
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

	if (!loop_init(&loop))
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

	if (!loop_init(&loop))
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

/* Both are complete in one batch: the second's completion is stale when its turn comes. */
static void stale_completion_is_dropped(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct spot spots[3], heir;

	if (!loop_init(&loop))
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

	if (!loop_init(&loop))
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

static unsigned int sum_calls(const struct spot *spots, size_t n, unsigned int *ret_max)
{
	unsigned int sum = 0;

	*ret_max = 0;
	for (size_t i = 0; i < n; i++) {
		sum += spots[i].n_calls;
		if (spots[i].n_calls > *ret_max)
			*ret_max = spots[i].n_calls;
	}
	return sum;
}

/* All at once: handlers add watches, so slots move while they run. */
static void many_events_at_once_are_all_served(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	static struct spot spots[2 * MANY];
	struct spot first;
	unsigned int most;

	if (!loop_init(&loop))
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
	CU_ASSERT_EQUAL(sum_calls(spots, MANY, &most), MANY);
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

	if (!loop_init(&loop))
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
	(void)sum_calls(spots, MANY, &most);
	CU_ASSERT_TRUE(most <= 1); /* those that were served before the first one was */
	spot_fini(&first);
}

/* Watches come and go; each number is its own, and the slots of the gone are used again. */
static void numbers_are_not_reused(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	uint64_t seen[1000], stale;
	struct spot idle, always;

	if (!loop_init(&loop))
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

/* A listening socket in the abstract namespace, and who has connected. */
struct door {
	struct loop *loop;
	int fd; /* owned */
	uint64_t watch;
	struct sockaddr_un address;
	socklen_t size;
	int accepted[8]; /* owned */
	size_t n_accepted;
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

	CU_ASSERT_FATAL(fd >= 0 && door->n_accepted < ARRAY_SIZE(door->accepted));
	CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CU_ASSERT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
	door->accepted[door->n_accepted++] = fd;
	if (door->n_accepted == door->stop_at)
		loop_stop(door->loop);
}

static void every_connection_is_accepted(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	int clients[5], n_fds = suite_count_fds();
	struct door door;

	if (!loop_init(&loop))
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
	door_fini(&door);
	for (size_t i = 0; i < 5; i++)
		fd_closep(&clients[i]);
	loop_free(STEAL(loop));
	CU_ASSERT_EQUAL(suite_count_fds(), n_fds);
}

/* The connection was taken off the backlog when the watch ended: nobody else would close it. */
static void connection_for_a_closed_door_is_closed(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	int client, n_fds = suite_count_fds();
	struct spot first, last;
	struct door door;
	char byte;

	if (!loop_init(&loop))
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
	CU_ASSERT_EQUAL(recv(client, &byte, 1, MSG_DONTWAIT), 0);
	fd_closep(&client);
}

static void connection_nobody_took_is_closed_with_the_loop(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;
	int client, n_fds = suite_count_fds();
	struct spot first;
	struct door door;

	if (!loop_init(&loop))
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

static void nothing_is_a_fine_loop(void)
{
	loop_free(NULL);
}

static const CU_TestInfo tests[] = {
	{"a handler is called while its descriptor is ready", called_while_ready},
	{"an event that was taken is not repeated", taken_event_is_not_repeated},
	{"a hang-up is told without being asked for", hang_up_is_told},
	{"a cancelled watch is not called, cancelling twice is fine", cancelled_is_not_called},
	{"a stale completion is dropped, also in a reused slot", stale_completion_is_dropped},
	{"a handler may end its own watch and make another", handler_may_end_itself},
	{"more events at once than the ring holds are all served",
	 many_events_at_once_are_all_served},
	{"one handler may end all other watches", one_handler_may_end_all_others},
	{"the number of a watch is not used again", numbers_are_not_reused},
	{"every connection is accepted", every_connection_is_accepted},
	{"a connection for a cancelled accept is closed", connection_for_a_closed_door_is_closed},
	{"a connection nobody took is closed with the loop",
	 connection_nobody_took_is_closed_with_the_loop},
	{"freeing no loop is fine", nothing_is_a_fine_loop},
	CU_TEST_INFO_NULL,
};

const struct suite suite_loop = {"loop", tests};
