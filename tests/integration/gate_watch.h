/* SPDX-License-Identifier: MIT */
/* A racer, which the gate kills, and who watches it: no holder of the context, so it lives. */
#ifndef TESTS_INTEGRATION_GATE_WATCH_H
#define TESTS_INTEGRATION_GATE_WATCH_H

#include <stdatomic.h>

#include "tests/integration/gate.h"

#define WATCH_IOVA (1UL << 30) /* where a racer maps: what is there before is far below */
#define WATCH_SMALL GATE_PAGE
#define WATCH_LARGE (32UL << 20)

/* What the racer has done so far; shared by both. */
struct watch {
	atomic_uint_fast64_t tries;
	atomic_uint_fast64_t larger; /* mapped more than what was to be seen */
	atomic_uint_fast64_t refused;
	atomic_int error; /* of the last refusal */
};

typedef void (*watch_race)(struct gate *gate, struct watch *watch);

/**
 * watch_run() - a racer in a child, while this process gives up its descriptors and watches
 * @race: what the child does; returns when it is over, and the child lives on as --mode says: it
 *        sleeps, or (spin) does not
 *
 * Three quarters of the limit are mapped before, by this process. Waits until the child is dead or,
 * from when the race is over, for --wait_ms. The child lives until this process ends. Facts: tries,
 * larger, refused, error, killed (0 or 1), after_ms (since it was over; 0: it never was).
 *
 * Return: 0; -errno.
 */
int watch_run(struct gate *gate, watch_race race);

/* Pages that the kernel says are pinned for this process; it must be attached for that. */
uint64_t watch_pinned_pages(void);

/* What is at WATCH_IOVA is unmapped. Return: pages, by the kernel. */
uint64_t watch_unmap(const struct gate *gate);

#endif
