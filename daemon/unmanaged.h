/* SPDX-License-Identifier: MIT */
/*
 * Contexts that nobody here handed out, where unmanaged = limit: the gate adopts them by itself
 * (bpf/gate_pool.h), and the daemon gives each the limits of the policy that matches the process it
 * was adopted for, if there is one, and tells of them. All that it knows of one is in its slot.
 */
#ifndef DAEMON_UNMANAGED_H
#define DAEMON_UNMANAGED_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/gate.h"
#include "common/proto.h"

struct broker;
struct gate_context;
struct peer;

/* What the kernel says: of one in the pool, or GATE_NOTICE_POOL and GATE_NOTICE_POOL_FULL. */
void unmanaged_event(struct broker *broker, uint32_t slot, uint64_t id, enum gate_notice notice);

/* At all that are there. */
void unmanaged_look(struct broker *broker);

/* Whether a peer may see it: root, and its user. */
bool unmanaged_shows(const struct peer *peer, const struct gate_context *context);

/* One that a peer may see. Return: its slot; GATE_NO_SLOT: there is none. */
uint32_t unmanaged_find(const struct peer *peer, uint64_t id, struct gate_context *ret_context);

/* What all of them have pinned, in bytes, as far as the gate knows them. */
uint64_t unmanaged_pinned(const struct broker *broker);

enum proto_state unmanaged_state(const struct broker *broker, uint32_t slot,
				 const struct gate_context *context);

/*
 * Orders to one; the request is within its rules. Whatever else may be ordered to a session is
 * refused by unmanaged_refuse(). Return: what the handler returns.
 */
int unmanaged_set(struct peer *peer, const struct proto_header *header,
		  const struct proto_set *set);
int unmanaged_revoke(struct peer *peer, const struct proto_header *header,
		     const struct proto_revoke *request);
int unmanaged_refuse(struct peer *peer, const struct proto_header *header, uint64_t id);

#endif
