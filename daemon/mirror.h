/* SPDX-License-Identifier: MIT */
/*
 * The mirror: what sessions may have and have, as limits of the cgroups their processes are in.
 * What is pinned cannot be reclaimed, and cgroups do not know it.
 *
 * It follows the gate (which tells of changes) and the orders, looks at cgroups and writes to them
 * in the worker's thread, at most once in MIRROR_EVERY_MS for each, and sleeps while nothing
 * changes. What was there before is in the record before it is changed, and comes back at the end.
 */
#ifndef DAEMON_MIRROR_H
#define DAEMON_MIRROR_H

#include <stdbool.h>

#include "common/proto.h"

struct broker;
struct mirror;
struct peer;
struct session;

#define MIRROR_EVERY_MS 100

/**
 * mirror_new() - before the sessions of before are back, and before sandbox_enter()
 *
 * Where the host has no cgroup hierarchy of version 2 alone nothing is mirrored, which is said
 * once.
 *
 * Return: 0; -ENOMEM; -errno of worker_new().
 */
int mirror_new(struct broker *broker, struct mirror **ret_mirror);

/* Limits stay as they are, and so does the record. NULL is fine, here and in what follows. */
void mirror_free(struct mirror *mirror);

/* After sandbox_enter(). Return: 0; -errno of worker_start(). */
int mirror_start(struct mirror *mirror);

/* The policies have changed. */
void mirror_reload(struct mirror *mirror);

/* A session was granted, or is back: from here on it is mirrored, if its policy says so. */
void mirror_begin(struct mirror *mirror, struct session *session);

/* All of before are back: what belongs to none of them is put right once they were looked at. */
void mirror_resumed(struct mirror *mirror);

/* Its numbers or processes changed. Cheap: it is looked at later. */
void mirror_changed(struct mirror *mirror, const struct session *session);

/* The same, of what it has mapped and pinned. */
void mirror_figures(struct mirror *mirror, const struct session *session);

/* What contexts have pinned that are no sessions. */
void mirror_others(struct mirror *mirror);

/* It is no more. */
void mirror_end(struct mirror *mirror, struct session *session);

/* Serves PROTO_MIRROR. */
int mirror_serve(struct peer *peer, const struct proto_header *header, const void *body);

/**
 * mirror_purge() - put back what a daemon before has changed in cgroups, while none runs
 * @socket_path: as broker_new() has it
 *
 * Return: 0, also if there is nothing; -EWOULDBLOCK: a daemon runs; -errno, what could be put back
 * was, and each failure was logged.
 */
int mirror_purge(const char *socket_path);

#endif
