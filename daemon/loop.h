/* SPDX-License-Identifier: MIT */
/*
 * The event loop: one thread, io_uring. Nothing else in the broker touches the ring.
 *
 * A watch is named by a number, never by a pointer: a completion that arrives after loop_cancel()
 * finds another generation in its slot and is dropped. No request points into memory of a caller,
 * so a handler may cancel and free anything, itself included, at once.
 */
#ifndef DAEMON_LOOP_H
#define DAEMON_LOOP_H

#include <stdint.h>

struct loop;

#define LOOP_NONE 0 /* no watch */

/* @events: POLLIN, POLLHUP … as poll(2). Called again for as long as the condition holds. */
typedef void (*loop_ready_fn)(uint32_t events, void *arg);

/* @fd: a new connection, owned by the callee, close-on-exec and not blocking; or -errno. */
typedef void (*loop_accept_fn)(int fd, void *arg);

/**
 * loop_new() - an empty loop
 *
 * Return: 0; -ENOMEM; -errno of io_uring_setup(2) (-EPERM where it is switched off).
 */
int loop_new(struct loop **ret_loop);

/* Cancels every watch; their descriptors are the callers'. NULL is fine. */
void loop_free(struct loop *loop);
void loop_freep(struct loop **loop);

/**
 * loop_watch() - call fn while fd is ready
 * @fd: borrowed until loop_cancel()
 * @events: POLLIN and the like; POLLERR and POLLHUP always come
 * @ret_watch: the watch's number, never LOOP_NONE
 *
 * Return: 0; -ENOMEM with nothing watched.
 */
int loop_watch(struct loop *loop, int fd, uint32_t events, loop_ready_fn fn, void *arg,
	       uint64_t *ret_watch);

/* As loop_watch(), for connections to a listening socket. */
int loop_accept(struct loop *loop, int fd, loop_accept_fn fn, void *arg, uint64_t *ret_watch);

/* Ends a watch and sets it to LOOP_NONE; fine on LOOP_NONE. fn is not called again. */
void loop_cancel(struct loop *loop, uint64_t *watch);

/**
 * loop_run() - serve until loop_stop()
 *
 * Return: 0; -errno when the ring itself fails.
 */
int loop_run(struct loop *loop);

/* Makes loop_run() return after the events at hand. */
void loop_stop(struct loop *loop);

#endif
