/* SPDX-License-Identifier: MIT */
/*
 * Hunts: processes of a session's user that have a descriptor of it are killed, until the kernel
 * has released the session. A descriptor may be on its way to somebody, and a process fork, so a
 * hunt goes on in passes: at first soon after each other, then seldom. One pass at a time, and all
 * of them together take no more than a tenth of the loop's time.
 */
#ifndef DAEMON_HUNT_H
#define DAEMON_HUNT_H

#include <stdint.h>

struct broker;
struct hunt;
struct session;

/* In the broker. */
struct hunts {
	struct hunt *first; /* owned */
	uint64_t timer; /* for the one that is due next */
	uint64_t not_before_ms; /* others have the loop until then */
};

/* From the next turn of the loop on. Goes on if it is on. Return: 0; -ENOMEM. */
int hunt_start(struct broker *broker, struct session *session);

/**
 * hunt_now() - a pass at once; the hunt goes on
 *
 * Return: 0; -ENOMEM, -errno of gate_holders(): nobody was killed.
 */
int hunt_now(struct broker *broker, struct session *session);

/* The session ends; fine without a hunt. */
void hunt_stop(struct broker *broker, struct session *session);

/* All of them, while the loop is there. */
void hunts_fini(struct broker *broker);

#endif
