/* SPDX-License-Identifier: MIT */
/*
 * Cgroups that the broker makes: for a session's owner, by its own request (`run --cgroup`), below
 * the cgroup-parent of its policy, then a level for the policy and one for the user. With systemd
 * they are slices and a scope. Removed when the session is over and nobody is in them any more.
 */
#ifndef DAEMON_PLACE_H
#define DAEMON_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/proto.h"

struct broker;
struct mirror;
struct peer;
struct session;

/* Serves PROTO_PLACE: the answer comes when the owner is there. */
int place_serve(struct peer *peer, const struct proto_header *header, const void *body);

/* Whether the broker made it. @id: of a cgroup */
bool place_is_ours(const struct broker *broker, uint64_t id);

/* Whether it made one for a session. */
bool place_has(const struct broker *broker, const struct session *session);

/* The session is over: what was made for it goes. */
void place_end(struct broker *broker, const struct session *session);

/* After a start: what sessions of before have left. */
void place_sweep(struct broker *broker);

/* Nothing is removed any more; what is in the worker's hands is dropped there. */
void place_fini(struct mirror *mirror);

#endif
