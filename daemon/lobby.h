/* SPDX-License-Identifier: MIT */
/*
 * The lobby: peers that have not made a request yet, in the order they came. Each has the same time
 * for it, so the first one is the next that is due, and one timer does for all. It is set only
 * while somebody waits: connections that have been used cost the sleeping broker nothing.
 */
#ifndef DAEMON_LOBBY_H
#define DAEMON_LOBBY_H

#include <stdint.h>

struct peer;

#define LOBBY_WAIT_MS 10000 /* documented in pinbrokerd(8) */
#define LOBBY_DROPS_MAX 16 /* in one round of the loop: the others wait meanwhile */

struct lobby {
	struct peer *first, *last; /* borrowed; by due_ms */
	uint64_t timer; /* LOOP_NONE while nobody is in */
	uint32_t wait_ms;
};

/* Where a peer is in it. */
struct lobby_place {
	struct peer *next, *prev;
	uint64_t due_ms; /* of CLOCK_MONOTONIC; 0: it is not in */
};

/**
 * lobby_enter() - give a new peer its time; whoever lets it pass is dropped
 *
 * Nobody is above it: a connection of root's that says nothing takes a place as any other does.
 *
 * Return: 0; -ENOMEM, and it is not in.
 */
int lobby_enter(struct peer *peer);

/* It has made a request, or is going. Fine if it is not in. */
void lobby_leave(struct peer *peer);

#endif
