/* SPDX-License-Identifier: MIT */
/*
 * Whose turn it is: what has to be done at a time, in that order, by one timer of the loop. With
 * nothing to do there is no timer.
 */
#ifndef DAEMON_MIRROR_TURN_H
#define DAEMON_MIRROR_TURN_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct mirror_turn;

typedef void (*mirror_turn_fn)(struct mirror_turn *turn);

/* Embedded in what has turns. */
struct mirror_turn {
	struct mirror_turn *next, *prev; /* of the queue, earliest first */
	uint64_t due_ms; /* of CLOCK_MONOTONIC */
	bool queued;
	mirror_turn_fn run;
};

struct mirror_queue {
	struct loop *loop; /* borrowed */
	struct mirror_turn *first, *last;
	uint64_t timer;
	uint64_t timer_ms; /* when it is due */
};

/* Cancels the timer; the turns are their owners'. */
void mirror_queue_fini(struct mirror_queue *queue);

/* At a time, or at the earlier one that it has. It is not queued when it is run. */
void mirror_turn_set(struct mirror_queue *queue, struct mirror_turn *turn, uint64_t due_ms);

/* Not at all. */
void mirror_turn_cancel(struct mirror_queue *queue, struct mirror_turn *turn);

#endif
