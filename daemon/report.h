/* SPDX-License-Identifier: MIT */
/* Reports: sessions as list and show give them, to whom access_of() lets see them. */
#ifndef DAEMON_REPORT_H
#define DAEMON_REPORT_H

#include "common/proto.h"
#include "daemon/session.h"

struct broker;
struct peer;

/* The wire's word for its state. */
enum proto_state report_state(const struct broker *broker, const struct session *session);

/* Handlers of PROTO_LIST and PROTO_SHOW; see request.c. */
int report_list(struct peer *peer, const struct proto_header *header, const void *body);
int report_show(struct peer *peer, const struct proto_header *header, const void *body);

#endif
