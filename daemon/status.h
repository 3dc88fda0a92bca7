/* SPDX-License-Identifier: MIT */
/* Status: what this broker is, what holds here, and the sums against their limits. */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H

struct peer;
struct proto_header;

/* Handler of PROTO_STATUS; see request.c. */
int status_serve(struct peer *peer, const struct proto_header *header, const void *body);

#endif
