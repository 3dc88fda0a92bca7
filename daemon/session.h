/* SPDX-License-Identifier: MIT */
/*
 * A session: one iommufd context handed out, with its share of the limits and its devices.
 *
 * The table finds sessions by id, by uid and name, and by device or IOMMU group, and keeps them in
 * the order they were made. A session always has its share charged and its devices claimed; it
 * gets an owner when the grant is made.
 */
#ifndef DAEMON_SESSION_H
#define DAEMON_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "accounting/ledger.h"
#include "accounting/policy.h"
#include "common/device.h"
#include "common/proto.h"

struct owner;
struct session_table;

/*
 * PENDING  share and devices are reserved, nothing was sent. The grant moves it on, or frees it.
 * ACTIVE   the descriptors were sent; the owner has RLIMIT_MEMLOCK for it. Ends with the owner.
 *
 * The wire knows more states (enum proto_state); nothing enters them yet.
 */
enum session_state {
	SESSION_PENDING,
	SESSION_ACTIVE,
	SESSION_STATES,
};

/* A device in a session. */
struct session_claim {
	struct session_claim *next; /* of the table's bucket */
	struct session *session;
	int group; /* DEVICE_NO_GROUP: the name alone counts */
	char name[DEVICE_NAME_MAX];
};

struct session {
	struct session *newer, *older; /* the table's order */
	struct session *next_id; /* the table's buckets */
	struct session *next_name;
	struct session *next_owned; /* struct owner::sessions */
	struct owner *owner; /* borrowed; NULL while pending */
	uint64_t id; /* grows; never used twice in one boot */
	uid_t uid; /* of the subject */
	enum session_state state;
	enum policy_accounting accounting; /* TASK or USER */
	struct ledger_entry share; /* the limit is in here */
	uint64_t max_mappings;
	uint64_t extra_memlock;
	unsigned int suffix; /* last one tried for this name; on the session that has it bare */
	size_t n_devices;
	char name[PROTO_NAME_MAX + 1];
	char policy[POLICY_NAME_MAX + 1];
	struct session_claim claims[];
};

/* What a session is made of. */
struct session_plan {
	uid_t uid;
	const char *name; /* valid; the table makes it unique for the uid */
	const struct policy *policy;
	enum policy_accounting accounting;
	uint64_t limit; /* bytes */
	uint64_t max_mappings;
	const struct device *devices;
	size_t n_devices;
};

int session_table_new(struct ledger *ledger, struct session_table **ret_table);

/* Frees every session too; the owners are told nothing. */
void session_table_free(struct session_table *table);

/**
 * session_new() - reserve a session
 * @plan: admission was passed
 * @ret_session: owned by the table until session_free()
 *
 * Return: 0; -ENOMEM, -EOVERFLOW of ledger_charge(), with nothing reserved.
 */
int session_new(struct session_table *table, const struct session_plan *plan,
		struct session **ret_session);

/* Gives share and devices back. It must not be linked to an owner any more. NULL is fine. */
void session_free(struct session_table *table, struct session *session);

/* The only writer of session->state; asserts that the change is allowed. */
void session_enter(struct session *session, enum session_state state);

struct session *session_find(const struct session_table *table, uint64_t id);

/* The first session made after id (which may have ended); 0: the first of all. NULL: none. */
struct session *session_after(const struct session_table *table, uint64_t id);

/**
 * session_claim_find() - who has a device, or a member of its IOMMU group?
 *
 * Return: the claim, NULL when nobody.
 */
const struct session_claim *session_claim_find(const struct session_table *table,
					       const struct device *device);

size_t session_count(const struct session_table *table);

#endif
