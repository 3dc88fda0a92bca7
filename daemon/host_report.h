/* SPDX-License-Identifier: MIT */
/* The answer to host: who has what pinned and locked on the whole host. */
#ifndef DAEMON_HOST_REPORT_H
#define DAEMON_HOST_REPORT_H

struct peer;
struct proto_header;

/* Handler of PROTO_HOST; see request.c. */
int host_report(struct peer *peer, const struct proto_header *header, const void *body);

#endif
