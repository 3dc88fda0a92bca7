/* SPDX-License-Identifier: MIT */
/* What the files of a hand-off share. */
#ifndef DAEMON_HANDOFF_PRIVATE_H
#define DAEMON_HANDOFF_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/proto.h"
#include "daemon/bucket.h"

struct broker;
struct session;

#define HANDOFF_FAULT_MAX 256

/* Its connections that are being closed, however long that takes: it may be over before. */
struct handoff_crowd {
	struct broker *broker; /* borrowed */
	unsigned int n;
	bool left; /* the hand-off is over: the last one frees this */
};

struct handoff {
	struct broker *broker; /* borrowed */
	struct session *session; /* whose it is */
	int listen_fd; /* owned; -1: it was not passed to this daemon, or is not needed any more */
	int conn_fd; /* owned; of who has the context and is to say so; -1 */
	uint64_t watch; /* of listen_fd, or of conn_fd */
	uint64_t timer; /* ends a pause, or the time for that byte */
	uint64_t peer; /* who waits for the end of it (struct peer::number); 0: nobody */
	struct proto_header asked; /* by that one */
	struct handoff_crowd *crowd; /* owned; left to those that are being closed */
	struct bucket arrivals;
	struct bucket lines; /* of the log */
	char cgroup[PROTO_CGROUP_MAX]; /* of the receiver, or above it */
};

/* --- handoff.c */

/* It is the session's from here on. Return: 0; -ENOMEM. */
int handoff_new(struct broker *broker, struct session *session);

/* A line of the audit. @receiver: 0: none */
void handoff_tell(const struct handoff *handoff, const char *event, pid_t receiver,
		  const char *text);

/* From here on nobody gets through, whoever else has the socket. */
void handoff_shut(struct handoff *handoff);

/*
 * It is over, one way or the other, and freed. @fault: what who waits hears, a phrase after
 * "session 1 "; NULL: it was picked up
 */
void handoff_finish(struct handoff *handoff, const char *fault);

/* Why it is not what connections can be taken from; NULL: it is. */
const char *handoff_socket_fault(int fd);

/* --- handoff_record.c */

/* Its cgroup and deadline. Return: 0; -errno of record_add(). */
int handoff_record(const struct handoff *handoff);
void handoff_unrecord(const struct handoff *handoff);

/* --- handoff_listen.c */

/* Takes connections from its socket. Where that fails the session ends. */
void handoff_listen(struct handoff *handoff);

/* --- handoff_give.c */

/**
 * handoff_try() - give the context to who has connected, if that may have it
 * @conn_fd: set to -1 if it is kept
 * @ret_pid: whose; set where it is known, on failure, too
 *
 * Return: true: it was given away, or the session ended by that; false: the reason is in fault.
 */
bool handoff_try(struct handoff *handoff, int *conn_fd, pid_t *ret_pid,
		 char fault[static HANDOFF_FAULT_MAX]);

#endif
