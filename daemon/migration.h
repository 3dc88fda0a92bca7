/* SPDX-License-Identifier: MIT */
/*
 * In which state of a migration the devices of sessions are, as far as the trace has seen it, and
 * whether they go through it in order: devices that may reach each other must all have come to
 * RUNNING_P2P before the first one is stopped, or one writes to another that stands still and whose
 * state is copied already (include/uapi/linux/vfio.h).
 */
#ifndef DAEMON_MIGRATION_H
#define DAEMON_MIGRATION_H

#include <stdint.h>

struct broker;
struct session_claim;
struct session_table;

/* A device was bound: then it runs. */
void migration_bound(struct session_claim *claim);

/* A driver has said which state its device is in. */
void migration_is(struct session_claim *claim, uint32_t state);

/**
 * migration_step() - a device goes from one state to the next
 * @from, @to: enum proto_migration_state, as the driver has them: from is what it is in
 *
 * Return: another device of its session that still runs as this one is stopped, or was not seen to
 * do anything else; NULL: there is none, or what it did before could not be seen.
 */
const struct session_claim *migration_step(struct session_claim *claim, uint32_t from, uint32_t to);

/* Logs that @other was not quiet when @stopped was stopped, but not each time. */
void migration_audit(const struct broker *broker, const struct session_claim *stopped,
		     const struct session_claim *other);

/* Nobody looks any more. */
void migration_forget(struct session_table *sessions);

#endif
