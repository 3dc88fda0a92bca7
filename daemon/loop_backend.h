/* SPDX-License-Identifier: MIT */
/*
 * What the files of the loop share; its users see loop.h.
 *
 * loop.c owns the slots, one for each watch and timer. loop_timer.c owns the timers. A backend
 * waits, until the first of those at the longest, and calls the handlers of what is ready through
 * loop_call(). Slots move when a handler adds a watch: after loop_call() no pointer into them is
 * good.
 */
#ifndef DAEMON_LOOP_BACKEND_H
#define DAEMON_LOOP_BACKEND_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/loop.h"

#define LOOP_NO_SLOT UINT32_MAX
#define LOOP_FOREVER UINT64_MAX /* a time to wait */
#define LOOP_NS_PER_S UINT64_C(1000000000)
#define LOOP_NS_PER_MS UINT64_C(1000000)

enum loop_op {
	LOOP_OP_NONE, /* a free slot; of a completion: nobody waits for it */
	LOOP_OP_POLL,
	LOOP_OP_ACCEPT,
	LOOP_OP_TIMER,
};

/* The number of a watch, and sqe->user_data. */
union loop_tag {
	uint64_t u64;
	struct {
		uint32_t slot;
		uint32_t gen : 24, op : 8;
	};
};
static_assert(sizeof(union loop_tag) == 8, "fits user_data");

struct loop_slot {
	uint32_t gen : 24, op : 8;
	int fd; /* borrowed from whoever watches; -1: a timer, or free */
	uint32_t events;
	uint32_t next; /* of the free slots; on epoll: of the watches of fd */
	uint32_t prev; /* on epoll: of the watches of fd */
	uint32_t heap_at; /* of a timer: where it is in the heap */
	uint64_t round; /* on epoll: the one that it was made in */
	union {
		loop_ready_fn ready;
		loop_accept_fn accept;
		loop_timer_fn timer;
	} fn;
	void *arg;
};

struct loop_timer {
	uint64_t due_ns; /* CLOCK_MONOTONIC */
	uint64_t serial; /* of two that are due at the same time the lower one is first */
	uint32_t slot;
};

struct loop_timers {
	struct loop_timer *heap; /* owned; the first one is due first */
	uint32_t n_timers;
	uint32_t n_room;
	uint64_t serial; /* the next timer's */
};

struct loop {
	const struct loop_backend *backend;
	void *impl; /* the backend's; NULL until open() */
	struct loop_slot *slots;
	uint32_t n_slots;
	uint32_t free; /* first free slot; n_slots: none */
	struct loop_timers timers;
	bool stopped;
};

struct loop_backend {
	const char *name;

	/* Sets loop->impl; -errno with nothing opened. */
	int (*open)(struct loop *loop);

	/* After open(), before the first watch. An error is final: no other backend is tried. */
	int (*start)(struct loop *loop);

	void (*close)(struct loop *loop);

	/* Begins to watch for a slot; -errno with nothing watched. */
	int (*arm)(struct loop *loop, uint32_t slot);

	/* The slot is given up next. */
	void (*disarm)(struct loop *loop, uint32_t slot);

	/*
	 * Waits for an event, for wait_ns (0: not at all, LOOP_FOREVER: no end) and maybe a little
	 * longer, but not less. Calls the handlers of what is ready, each once, and returns when
	 * all had their turn or the loop is stopped. -errno when the backend itself fails.
	 */
	int (*serve)(struct loop *loop, uint64_t wait_ns);
};

extern const struct loop_backend loop_backend_uring;
extern const struct loop_backend loop_backend_epoll;

/* What names the watch in a slot. */
union loop_tag loop_tag_of(const struct loop *loop, uint32_t slot);

/* The slot that a tag names if it still is the same watch, or NULL. */
struct loop_slot *loop_slot_of(const struct loop *loop, union loop_tag tag);

/**
 * loop_slot_take() - a slot for a watch or timer, not armed
 * @filled: all but the generation
 *
 * Return: 0; -ENOMEM.
 */
int loop_slot_take(struct loop *loop, const struct loop_slot *filled, uint32_t *ret_slot);

/* Whoever still knows its number misses from now on. */
void loop_slot_release(struct loop *loop, uint32_t slot);

/**
 * loop_call() - call the handler of a watch that is there
 * @res: events for LOOP_OP_POLL; a connection or -errno for LOOP_OP_ACCEPT
 *
 * Return: whether it still is there.
 */
bool loop_call(struct loop *loop, union loop_tag tag, int res);

/* How long it is until the first timer is due; LOOP_FOREVER: there is none. */
uint64_t loop_timers_wait_ns(const struct loop *loop);

/**
 * loop_timers_serve() - call the handlers of the timers that are due, until the loop is stopped
 * @first_new: the serial that the next timer had when the round began; later ones are not called
 */
void loop_timers_serve(struct loop *loop, uint64_t first_new);

/* Takes a timer out of the heap; its slot is the caller's to release. */
void loop_timers_remove(struct loop *loop, uint32_t slot);

#endif
