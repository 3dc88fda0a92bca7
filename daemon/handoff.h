/* SPDX-License-Identifier: MIT */
/*
 * A hand-off: a session whose context goes to the first process of its uid in a cgroup, or below
 * it, that connects to a socket, as KubeVirt's launcher does: it reads one byte with one
 * descriptor, and answers with one byte. Then it is the session's owner, and the socket is shut
 * down for everybody.
 *
 * Root binds the socket and passes it, listening, and may pass it again: to the next daemon, which
 * knows the session by its record. Share and devices are reserved from the beginning; the context
 * is opened when somebody has come for it.
 *
 * Who connects may be anybody, and what they send is never taken: one connection in a round, and
 * not more than some in a second. Others than the right one are closed, and cost nothing else; who
 * makes that take long keeps others from this socket, and from no other.
 */
#ifndef DAEMON_HANDOFF_H
#define DAEMON_HANDOFF_H

struct broker;
struct handoff;
struct peer;
struct proto_header;
struct session;

/* Handlers of PROTO_HANDOFF and PROTO_PASS; see request.c. */
int handoff_open(struct peer *peer, const struct proto_header *header, const void *body);
int handoff_pass(struct peer *peer, const struct proto_header *header, const void *body);

/* The session ends, whatever came of its hand-off; fine on one without. */
void handoff_end(struct session *session);

/* At a start, when all sessions are back: those that nobody came for wait on. Return: 0; -ENOMEM.
 */
int handoff_resume(struct broker *broker);

/* The daemon ends: the socket stays where it was passed from. */
void handoff_free(struct handoff *handoff);

#endif
