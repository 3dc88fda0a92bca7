/* SPDX-License-Identifier: MIT */
/*
 * A grant: from a request to descriptors in the peer's hands, or to a refusal with nothing left
 * behind. Each step has its undo; nothing is sent before everything else is done, and the broker
 * keeps none of what it sent.
 */
#ifndef DAEMON_GRANT_H
#define DAEMON_GRANT_H

struct peer;
struct proto_header;

/* Handlers of PROTO_OPEN and PROTO_OPEN_FOR; see request.c. */
int grant_open(struct peer *peer, const struct proto_header *header, const void *body);
int grant_open_for(struct peer *peer, const struct proto_header *header, const void *body);

#endif
