/* SPDX-License-Identifier: MIT */
/*
 * The loop on epoll, level-triggered. epoll takes a descriptor once, the loop any number of times:
 * the watches of a descriptor are a list, and what epoll knows is the list's events together. No
 * descriptor is duplicated for that, because there may be none to be had when it matters most.
 *
 * An event carries the descriptor's number and how often that was registered before: one that was
 * fetched before its number was closed and used again is dropped.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "daemon/loop_backend.h"

#define LOOP_EPOLL_EVENTS 64 /* per round; the kernel puts what it reported last in its queue */

static_assert(EPOLLIN == POLLIN && EPOLLPRI == POLLPRI && EPOLLOUT == POLLOUT &&
		      EPOLLERR == POLLERR && EPOLLHUP == POLLHUP && EPOLLRDHUP == POLLRDHUP,
	      "epoll's events are poll's");

/* epoll_event.data */
union loop_epoll_tag {
	uint64_t u64;
	struct {
		uint32_t fd;
		uint32_t gen;
	};
};
static_assert(sizeof(union loop_epoll_tag) == 8, "fits epoll_data");

/* A descriptor, found by its number; registered while it has watches. */
struct loop_epoll_fd {
	uint32_t first, last; /* of its watches, in the order they came; or LOOP_NO_SLOT */
	uint32_t gen; /* of the registration */
	uint32_t events; /* what is registered: all that its watches want, maybe more */
};

struct loop_epoll {
	int epoll_fd; /* owned */
	struct loop_epoll_fd *fds;
	uint32_t n_fds;
	uint32_t cursor; /* the watch to look at next, while a list is walked */
	uint64_t round; /* which epoll_wait() the events at hand are from */
};

static int loop_epoll_open(struct loop *loop)
{
	CLEANUP(freep) struct loop_epoll *epoll = calloc(1, sizeof(*epoll));

	if (!epoll)
		return -ENOMEM;
	epoll->cursor = LOOP_NO_SLOT;
	epoll->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll->epoll_fd < 0)
		return -errno;
	loop->impl = STEAL(epoll);
	return 0;
}

static int loop_epoll_start(struct loop *loop)
{
	(void)loop; /* nothing to restrict: seccomp sees the calls of this one */
	return 0;
}

static void loop_epoll_close(struct loop *loop)
{
	struct loop_epoll *epoll = loop->impl;

	fd_closep(&epoll->epoll_fd);
	free(epoll->fds);
	free(epoll);
}

static int loop_epoll_reserve(struct loop_epoll *epoll, uint32_t fd)
{
	uint32_t n = epoll->n_fds ? epoll->n_fds : 64;
	struct loop_epoll_fd *fds;

	if (fd < epoll->n_fds)
		return 0;
	while (n <= fd)
		n *= 2;
	fds = reallocarray(epoll->fds, n, sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	for (uint32_t i = epoll->n_fds; i < n; i++)
		fds[i] = (struct loop_epoll_fd){.first = LOOP_NO_SLOT, .last = LOOP_NO_SLOT};
	epoll->fds = fds;
	epoll->n_fds = n;
	return 0;
}

static int loop_epoll_ctl(struct loop_epoll *epoll, int op, uint32_t fd, uint32_t events)
{
	union loop_epoll_tag tag = {.fd = fd, .gen = epoll->fds[fd].gen};
	struct epoll_event event = {.events = events, .data.u64 = tag.u64};

	if (epoll_ctl(epoll->epoll_fd, op, (int)fd, &event) < 0)
		return -errno;
	epoll->fds[fd].events = events;
	return 0;
}

static int loop_epoll_arm(struct loop *loop, uint32_t slot)
{
	struct loop_slot *s = &loop->slots[slot];
	struct loop_epoll *epoll = loop->impl;
	uint32_t fd = (uint32_t)s->fd;
	struct loop_epoll_fd *at;
	int err;

	if (s->fd < 0)
		return -EBADF;
	err = loop_epoll_reserve(epoll, fd);
	if (err)
		return err;
	at = &epoll->fds[fd];
	if (at->first == LOOP_NO_SLOT)
		err = loop_epoll_ctl(epoll, EPOLL_CTL_ADD, fd, s->events);
	else if (s->events & ~at->events)
		err = loop_epoll_ctl(epoll, EPOLL_CTL_MOD, fd, at->events | s->events);
	if (err)
		return err;
	s->round = epoll->round;
	s->prev = at->last;
	s->next = LOOP_NO_SLOT;
	*(at->last == LOOP_NO_SLOT ? &at->first : &loop->slots[at->last].next) = slot;
	at->last = slot;
	return 0;
}

/* What epoll reports more than the others want is cut when it does, see loop_epoll_trim(). */
static void loop_epoll_disarm(struct loop *loop, uint32_t slot)
{
	const struct loop_slot *s = &loop->slots[slot];
	struct loop_epoll *epoll = loop->impl;
	struct loop_epoll_fd *at = &epoll->fds[s->fd];

	if (epoll->cursor == slot)
		epoll->cursor = s->next;
	*(s->prev == LOOP_NO_SLOT ? &at->first : &loop->slots[s->prev].next) = s->next;
	*(s->next == LOOP_NO_SLOT ? &at->last : &loop->slots[s->next].prev) = s->prev;
	if (at->first != LOOP_NO_SLOT)
		return;
	/* Fails only if somebody closed it before, against the rules: nothing to be done. */
	(void)loop_epoll_ctl(epoll, EPOLL_CTL_DEL, (uint32_t)s->fd, 0);
	at->gen++;
}

/*
 * Bounded: others wait. The connections that are left are reported again. A socket that was shut
 * down says -EAGAIN to who does not wait (AF_UNIX) and hangs up for ever: that must be told.
 */
static void loop_epoll_accept(struct loop *loop, union loop_tag tag, uint32_t events)
{
	bool more = true;

	for (unsigned int i = 0; more && i < LOOP_ACCEPT_MAX && !loop->stopped; i++) {
		int fd =
			accept4(loop->slots[tag.slot].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		int err = fd < 0 ? -errno : 0;

		if (err == -EAGAIN && i == 0 && events & (EPOLLERR | EPOLLHUP))
			err = -EINVAL; /* what accept4() says to who waits */
		if (err == -EAGAIN || err == -EINTR)
			return;
		more = loop_call(loop, tag, err ? err : fd) && !err; /* an error once a round */
	}
}

/* Registers less where a watch that wanted more is gone: epoll would report that for ever. */
static void loop_epoll_trim(struct loop *loop, uint32_t fd)
{
	struct loop_epoll *epoll = loop->impl;
	const struct loop_epoll_fd *at = &epoll->fds[fd];
	uint32_t events = 0;

	for (uint32_t i = at->first; i != LOOP_NO_SLOT; i = loop->slots[i].next)
		events |= loop->slots[i].events;
	if (events != at->events) /* of what is registered it cannot fail */
		(void)loop_epoll_ctl(epoll, EPOLL_CTL_MOD, fd, events);
}

/*
 * Handlers may add and cancel watches of this very descriptor. The cursor is moved on by whoever
 * cancels the watch it is at; a watch that was made after the event was fetched is passed over.
 */
static void loop_epoll_dispatch(struct loop *loop, const struct epoll_event *event)
{
	union loop_epoll_tag fd_tag = {.u64 = event->data.u64};
	struct loop_epoll *epoll = loop->impl;
	const struct loop_epoll_fd *at = &epoll->fds[fd_tag.fd];

	if (at->first == LOOP_NO_SLOT || at->gen != fd_tag.gen)
		return;
	loop_epoll_trim(loop, fd_tag.fd);
	epoll->cursor = at->first;
	while (epoll->cursor != LOOP_NO_SLOT && !loop->stopped) {
		const struct loop_slot *s = &loop->slots[epoll->cursor];
		union loop_tag tag = loop_tag_of(loop, epoll->cursor);
		uint32_t events = event->events & (s->events | EPOLLERR | EPOLLHUP);

		epoll->cursor = s->next;
		if (!events || s->round == epoll->round)
			continue;
		if (s->op == LOOP_OP_ACCEPT)
			loop_epoll_accept(loop, tag, events);
		else
			(void)loop_call(loop, tag, (int)events); /* stays registered */
	}
	epoll->cursor = LOOP_NO_SLOT;
}

/*
 * Rounded up: a wait that ends just before a timer is due would be followed by many of no length.
 * After the longest there is, of 24 days, the loop waits again.
 */
static int loop_epoll_ms(uint64_t wait_ns)
{
	uint64_t wait_ms = wait_ns / LOOP_NS_PER_MS + (wait_ns % LOOP_NS_PER_MS != 0);

	if (wait_ns == LOOP_FOREVER)
		return -1;
	return wait_ms < INT_MAX ? (int)wait_ms : INT_MAX;
}

/* What was fetched and not served when the loop is stopped is reported again at the next run. */
static int loop_epoll_serve(struct loop *loop, uint64_t wait_ns)
{
	struct loop_epoll *epoll = loop->impl;
	struct epoll_event events[LOOP_EPOLL_EVENTS];
	int n = epoll_wait(epoll->epoll_fd, events, ARRAY_SIZE(events), loop_epoll_ms(wait_ns));

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	epoll->round++;
	for (int i = 0; i < n && !loop->stopped; i++)
		loop_epoll_dispatch(loop, &events[i]);
	return 0;
}

const struct loop_backend loop_backend_epoll = {
	.name = "epoll",
	.open = loop_epoll_open,
	.start = loop_epoll_start,
	.close = loop_epoll_close,
	.arm = loop_epoll_arm,
	.disarm = loop_epoll_disarm,
	.serve = loop_epoll_serve,
};
