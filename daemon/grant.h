/* SPDX-License-Identifier: MIT */
/*
 * A grant: from a request to descriptors in the peer's hands, or to a refusal with nothing left
 * behind. Each step has its undo; nothing is sent before everything else is done, and the broker
 * keeps none of what it sent.
 */
#ifndef DAEMON_GRANT_H
#define DAEMON_GRANT_H

#include "daemon/session.h"

struct peer;
struct peer_answer;
struct petition;
struct proto_header;

/* Handlers of PROTO_OPEN and PROTO_OPEN_FOR; see request.c. */
int grant_open(struct peer *peer, const struct proto_header *header, const void *body);
int grant_open_for(struct peer *peer, const struct proto_header *header, const void *body);

/* For daemon/reserve.c: what a session is made of; the answer, to which @answer brings descriptors;
 * and the line that tells of it. */
struct session_plan grant_plan(const struct petition *petition);
int grant_answer(const struct peer *peer, struct peer_answer *answer, const struct session *session,
		 const struct petition *petition);
void grant_audit(const struct peer *peer, const char *event, const struct session *session,
		 const struct petition *petition);

#endif
