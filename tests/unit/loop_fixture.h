/* SPDX-License-Identifier: MIT */
/*
 * Loops on either backend, and watches of eventfds, which are ready or not as a test says.
 *
 * The tests of a suite are a macro: #define TESTS(X) X(function, "rule") …, given to
 * LOOP_FIXTURE_DEFINE and, in the suite's table, to LOOP_FIXTURE_ROWS. A test that finds a backend
 * switched off is skipped there.
 */
#ifndef TESTS_UNIT_LOOP_FIXTURE_H
#define TESTS_UNIT_LOOP_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/loop.h"

#define LOOP_FIXTURE_DEFINE(fn, rule)                 \
	static void fn##_on_io_uring(void)            \
	{                                             \
		loop_fixture_set_kind(LOOP_IO_URING); \
		fn();                                 \
	}                                             \
	static void fn##_on_epoll(void)               \
	{                                             \
		loop_fixture_set_kind(LOOP_EPOLL);    \
		fn();                                 \
	}
#define LOOP_FIXTURE_ROWS(fn, rule) \
	{"io_uring: " rule, fn##_on_io_uring}, {"epoll: " rule, fn##_on_epoll},

/* What the test at hand runs on. */
void loop_fixture_set_kind(enum loop_kind kind);
bool loop_fixture_on_epoll(void);

/* false: the test is skipped. */
bool loop_fixture_init(struct loop **ret_loop);

/* The nth table that grows from now on finds no memory; 0: none does. */
void loop_fixture_fail_growth(unsigned int nth);

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
	const struct spot *sets; /* a spot that its second call makes ready */
	bool quiet; /* the handler takes the event: it is not called again for it */
};

void spot_init(struct spot *spot, struct loop *loop, bool ready);

/* Makes it ready. */
void spot_set(const struct spot *spot);

/* The handler. @arg: the spot */
void spot_ready(uint32_t events, void *arg);

void spot_watch(struct spot *spot);
void spot_fini(struct spot *spot);

/* How often all were called, and the one that was called most. */
unsigned int spot_sum(const struct spot *spots, size_t n, unsigned int *ret_max);

#endif
