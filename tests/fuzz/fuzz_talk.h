/* SPDX-License-Identifier: MIT */
/*
 * One request of one process, and everything that must hold of its answer: there is at most one, it
 * is well-formed, and nobody got what is not for him.
 */
#ifndef TESTS_FUZZ_FUZZ_TALK_H
#define TESTS_FUZZ_FUZZ_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct broker;
struct msghdr;

/* A byte of the serial, which is the requester's: what the world does during the request. */
enum fuzz_serial {
	FUZZ_SERIAL_NTH, /* struct fuzz_fault::nth */
	FUZZ_SERIAL_FAULT, /* enum fuzz_fault_kind, and << 2 which error, enum fuzz_who, after */
	FUZZ_SERIAL_WHO, /* enum fuzz_who, and FUZZ_WHO_* */
	FUZZ_SERIAL_EVENT, /* enum fuzz_event, and << 3 whose or which; comes before it */
};

enum {
	FUZZ_WHO_NO_CRED = 8,
	FUZZ_WHO_OTHER_PID = 16, /* of SCM_CREDENTIALS */
	FUZZ_WHO_OTHER_UID = 32,
	FUZZ_WHO_NO_PID = 64, /* another pid namespace */
	FUZZ_WHO_BEFORE = 128, /* who had that pid before */
};

enum fuzz_event {
	FUZZ_EVENT_NONE,
	FUZZ_EVENT_LOOP, /* learns of every exit */
	FUZZ_EVENT_EXIT,
	FUZZ_EVENT_REUSE,
	FUZZ_EVENT_LOWER,
	FUZZ_EVENT_RESTART,
	FUZZ_EVENT_RELOAD,
	FUZZ_EVENT_EXIT_LOOP,
	FUZZ_EVENTS,
};

/* Connects everybody. */
void fuzz_talk_begin(struct broker *broker);

/* Serves one packet. Returns whether it was answered and not refused. */
bool fuzz_talk_serve(const char *packet, size_t len);

/* Whether somebody asked for a session, or an event was made, since fuzz_talk_begin(). */
bool fuzz_talk_changed(void);

/* Root lists everything, and asks for the status: every session is there. */
void fuzz_talk_list_all(void);

/* struct sys_ops::sendmsg(), fuzz_send_fn */
ssize_t fuzz_talk_sent(const struct msghdr *msg, int flags, void *arg);

/* fuzz_kill_fn */
void fuzz_talk_killed(uint64_t inode);

#endif
