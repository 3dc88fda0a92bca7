/* SPDX-License-Identifier: MIT */
/*
 * Orders: what is asked of a live session. Each names it by its id; to whom it is nobody's
 * business there is no such session.
 */
#ifndef DAEMON_ORDER_H
#define DAEMON_ORDER_H

struct peer;
struct proto_header;

/* Handlers; see request.c. */
int order_set(struct peer *peer, const struct proto_header *header, const void *body);
int order_attach(struct peer *peer, const struct proto_header *header, const void *body);
int order_adopt(struct peer *peer, const struct proto_header *header, const void *body);
int order_close(struct peer *peer, const struct proto_header *header, const void *body);
int order_revoke(struct peer *peer, const struct proto_header *header, const void *body);

#endif
