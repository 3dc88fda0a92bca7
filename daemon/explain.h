/* SPDX-License-Identifier: MIT */
/* Explain: the decision that open would make, with every number it came from; nothing is done. */
#ifndef DAEMON_EXPLAIN_H
#define DAEMON_EXPLAIN_H

struct peer;
struct proto_header;

/* Handler of PROTO_EXPLAIN; see request.c. */
int explain_serve(struct peer *peer, const struct proto_header *header, const void *body);

#endif
