/* SPDX-License-Identifier: MIT */
/*
 * The event loop: one thread, on io_uring or, where that is switched off, on epoll. Nothing else in
 * the broker waits for descriptors, and nothing here ticks: with no event and no timer due the
 * process sleeps.
 *
 * A watch is named by a number, never by a pointer: an event that arrives after loop_cancel() finds
 * another generation in its slot and is dropped. Nothing in the kernel points into memory of a
 * caller, so a handler may cancel and free anything, itself included, at once.
 *
 * Any number of watches may share a descriptor; each is called. A descriptor stays open until its
 * last watch is cancelled, and may be closed on the line after that. A watch whose descriptor went
 * away before is lost: on epoll it is never called again. After loop_cancel() the file behind a
 * descriptor is let go at once on epoll, and on io_uring when the loop waits next: until then a
 * closed listening socket still takes connections, which nobody answers.
 *
 * In each round a watch is called once (one that accepts: at most LOOP_ACCEPT_MAX times on epoll),
 * then all others have their turn, and then the timers that are due: a busy descriptor starves
 * nobody.
 */
#ifndef DAEMON_LOOP_H
#define DAEMON_LOOP_H

#include <stdint.h>

struct loop;

#define LOOP_NONE 0 /* no watch */
#define LOOP_ACCEPT_MAX 16

/*
 * What a loop waits with. The daemon takes the name of one from $PINBROKER_LOOP, for tests;
 * reading the environment is its business, not the loop's.
 */
enum loop_kind {
	LOOP_AUTO, /* io_uring; epoll only if io_uring_setup(2) says that it is switched off */
	LOOP_IO_URING,
	LOOP_EPOLL,
};

/* @events: POLLIN, POLLHUP … as poll(2). Called again for as long as the condition holds. */
typedef void (*loop_ready_fn)(uint32_t events, void *arg);

/*
 * @fd: a new connection, owned by the callee, close-on-exec and not blocking; or -errno, once in a
 * round for as long as it lasts: who cannot help it cancels. -EMFILE comes on io_uring also while
 * nobody connects; there, nothing comes of a socket that somebody shut down (epoll: -EINVAL).
 */
typedef void (*loop_accept_fn)(int fd, void *arg);

/* The timer is gone when it is called, and its number with it: forget it, or set another. */
typedef void (*loop_timer_fn)(void *arg);

/**
 * loop_kind_parse() - the kind that a name means
 * @name: "io_uring", "epoll"; "auto", "" or NULL for LOOP_AUTO
 *
 * Return: 0; -EINVAL for another name.
 */
int loop_kind_parse(const char *name, enum loop_kind *ret_kind);

/**
 * loop_new() - an empty loop, to be run by the thread that made it
 *
 * On io_uring the ring starts disabled and is then restricted to the operations that the loop uses,
 * for good: seccomp does not see what goes through a ring.
 *
 * Return: 0; -ENOMEM; -errno of io_uring_setup(2) (where it is switched off -EPERM, -EACCES or
 * -ENOSYS, and only if LOOP_IO_URING is asked for); -errno of a kernel that has io_uring and
 * refuses to restrict it, or cannot wait with a timeout (-ENOSYS); -errno of epoll_create1(2).
 */
int loop_new(enum loop_kind kind, struct loop **ret_loop);

/* Cancels every watch and timer; the descriptors are the callers'. NULL is fine. */
void loop_free(struct loop *loop);
void loop_freep(struct loop **loop);

/* "io_uring" or "epoll". */
const char *loop_backend_name(const struct loop *loop);

/**
 * loop_watch() - call fn while fd is ready
 * @fd: borrowed until loop_cancel()
 * @events: POLLIN and the like; POLLERR and POLLHUP always come
 * @ret_watch: the watch's number, never LOOP_NONE
 *
 * Return: 0; -ENOMEM, or -errno of epoll_ctl(2), with nothing watched. What is no descriptor is
 * -EBADF on epoll, and told by POLLERR on io_uring.
 */
int loop_watch(struct loop *loop, int fd, uint32_t events, loop_ready_fn fn, void *arg,
	       uint64_t *ret_watch);

/* As loop_watch(), for connections to a listening socket, which is O_NONBLOCK. */
int loop_accept(struct loop *loop, int fd, loop_accept_fn fn, void *arg, uint64_t *ret_watch);

/**
 * loop_after() - call fn once, after a time of CLOCK_MONOTONIC
 * @ms: 0: in the next round, never at once
 *
 * Timers that are due together are called in the order of their times, then as they were made.
 *
 * Return: 0; -ENOMEM with nothing set.
 */
int loop_after(struct loop *loop, uint32_t ms, loop_timer_fn fn, void *arg, uint64_t *ret_watch);

/* Ends a watch or timer and sets it to LOOP_NONE; fine on LOOP_NONE. fn is not called again. */
void loop_cancel(struct loop *loop, uint64_t *watch);

/**
 * loop_run() - serve until loop_stop()
 *
 * Return: 0; -errno when the ring or the epoll descriptor itself fails.
 */
int loop_run(struct loop *loop);

/* Makes loop_run() return after the handler at hand; what else is ready waits for the next run. */
void loop_stop(struct loop *loop);

#endif
