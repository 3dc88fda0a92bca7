/* SPDX-License-Identifier: MIT */
/* Reports: sessions as list and show give them. An ordinary user sees its own, root sees all. */
#ifndef DAEMON_REPORT_H
#define DAEMON_REPORT_H

struct peer;
struct proto_header;

/* Handlers of PROTO_LIST and PROTO_SHOW; see request.c. */
int report_list(struct peer *peer, const struct proto_header *header, const void *body);
int report_show(struct peer *peer, const struct proto_header *header, const void *body);

#endif
