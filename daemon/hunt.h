/* SPDX-License-Identifier: MIT */
/*
 * Hunts: processes of a session's user that have a descriptor of it are killed, until the kernel
 * has released the session. Those who fork are killed by that (bpf/hunt.bpf.c); the others are
 * looked for, among all processes there are, for all hunts at once. As a descriptor may be on its
 * way to somebody, one look follows the other: at once if somebody was found, else soon, then
 * seldom.
 *
 * The loop serves others after each slice of a look. Looks may take a few seconds together, and
 * then no more than a tenth of the time.
 */
#ifndef DAEMON_HUNT_H
#define DAEMON_HUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct broker;
struct hunt;
struct hunter;

/* What is hunted for. */
struct hunt_aim {
	uint64_t id; /* of the session */
	uint32_t slot; /* its slot in the gate */
	uid_t uid; /* whose processes are killed */
};

/* In the broker. */
struct hunts {
	struct hunter *hunter; /* owned; NULL: there is no gate */
	struct hunt **at; /* owned, as those in it; by slot; NULL: there is no gate */
	unsigned int n;
	struct hunt_look *look; /* owned; NULL: between two */
	uint64_t timer; /* for the next slice */
	uint64_t due_ms; /* when the next look begins */
	uint64_t debt_ms; /* what looks took, less a tenth of the time since */
	uint64_t debt_at_ms;
	unsigned int quiet; /* looks in a row that found nobody new */
	bool failed; /* the last one did, and that was logged */
};

/* Without a gate nothing is done. Return: 0; -ENOMEM; -errno of hunter_open(). */
int hunts_init(struct broker *broker);

/* What a daemon before did not bring to its end goes on; after sessions know their slots. */
void hunts_resume(struct broker *broker);

/* Those for contexts that nobody here handed out and that are released end. */
void hunts_settle(struct broker *broker);

/* Of all of them, while the loop is there. The next daemon goes on with them. */
void hunts_fini(struct broker *broker);

/* From the next turn of the loop on. Goes on if it is on. Return: 0; -ENOMEM; -ERANGE. */
int hunt_start(struct broker *broker, const struct hunt_aim *aim);

/**
 * hunt_now() - as hunt_start(), and the first slice at once: on most hosts a whole look
 *
 * Return: 0; -ENOMEM, -ERANGE; -errno of hunter_look() or hunter_read(): it goes on all the same.
 */
int hunt_now(struct broker *broker, const struct hunt_aim *aim);

bool hunt_is_on(const struct broker *broker, uint32_t slot, uint64_t id);

/* The session ends; fine without a hunt. */
void hunt_stop(struct broker *broker, uint32_t slot, uint64_t id);

#endif
