/* SPDX-License-Identifier: MIT */
/*
 * A session: one iommufd context handed out, with its share of the limits and its devices.
 *
 * The table finds sessions by id, by uid and name, and by device or IOMMU group, and keeps them in
 * the order they were made. A session always has its share charged, its devices claimed and an
 * entry in the record, which every change reaches at once; it gets an owner when the grant is made.
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

struct handoff;
struct mirror_view;
struct owner;
struct payer;
struct record;
struct record_session;
struct session_table;

/*
 * PENDING  share and devices are reserved, nothing was sent. The grant moves it on, or frees it;
 *          one for a context that somebody else opens waits for that (daemon/reserve.h), and one
 *          that is handed off for who comes (daemon/handoff.h).
 * ACTIVE   the descriptors were sent; the owner has RLIMIT_MEMLOCK for it. Ends with the owner.
 * REVOKED  given up or taken away: its owner's RLIMIT_MEMLOCK has nothing for it any more, and it
 *          is not changed again. Share and devices stay, as the descriptors may. Ends likewise.
 *
 * The wire knows more states (enum proto_state); nothing enters them yet.
 */
enum session_state {
	SESSION_PENDING,
	SESSION_ACTIVE,
	SESSION_REVOKED,
	SESSION_STATES,
};

/* Share and devices are, and nothing else; until a process owns it. */
enum session_reserved {
	SESSION_RESERVED_NOT,
	SESSION_RESERVED_OTHERS, /* somebody else opens its context: daemon/reserve.h */
	SESSION_RESERVED_HANDOFF, /* who comes for it gets its context: daemon/handoff.h */
	SESSION_RESERVED_KINDS,
};

/* A device in a session. */
struct session_claim {
	struct session_claim *next; /* of the table's bucket */
	struct session_claim *next_claim; /* struct session::claims */
	struct session *session;
	uint32_t slot; /* of the record */
	int group; /* DEVICE_NO_GROUP: the name alone counts */
	uint32_t nth; /* of the session's: grows */
	bool migration_known; /* daemon/migration.h */
	uint32_t migration; /* enum proto_migration_state */
	char name[DEVICE_NAME_MAX];
};

/* What was said of it: events that its processes cause as often as they like fill no log. */
struct session_told {
	bool poisoned;
	uint64_t next_line_ms; /* of CLOCK_MONOTONIC; no line before that */
	uint64_t left_out; /* lines, since the last one */
	uint64_t next_read_ms; /* no reading for an event before that */
	uint64_t plug_window_ms; /* its end; daemon/plug.c, as the next two */
	unsigned int plugs; /* questions in it */
	unsigned int plug_turns; /* looks that are to come */
	uint64_t next_payer_ms; /* as next_line_ms, and left_out */
	uint64_t payers_left_out;
	uint64_t next_disorder_ms; /* likewise */
	uint64_t disorders_left_out;
};

struct session {
	struct session *newer, *older; /* the table's order */
	struct session *next_id; /* the table's buckets */
	struct session *next_name;
	struct session *next_owned; /* struct owner::sessions */
	struct owner *owner; /* borrowed; NULL while pending */
	struct payer *payers; /* others that map through it: daemon/payer.h */
	uint64_t id; /* grows; never used twice in one boot */
	uid_t uid; /* of the subject */
	enum session_state state;
	enum policy_accounting accounting; /* TASK or USER */
	struct ledger_entry share; /* the limit is in here */
	uint64_t max_mappings;
	uint64_t max_objects;
	uint64_t migration_buffers; /* bytes per device */
	uint64_t extra_memlock;
	uint64_t headroom; /* bytes, of its cgroup's limits, as the next three are for */
	enum policy_mirror mirror;
	unsigned int factor; /* how often guest RAM is mapped */
	struct mirror_view *view; /* owned by daemon/mirror.c; NULL: nothing is mirrored */
	bool placing; /* its owner is being put into a cgroup */
	enum session_reserved reserved;
	struct handoff *handoff; /* owned by daemon/handoff.c; NULL: it is not, or is over */
	uint64_t deadline_ms; /* of CLOCK_MONOTONIC; when it ends if it is pending still */
	unsigned int suffix; /* last one tried for this name; on the session that has it bare */
	uint32_t slot; /* of the record */
	uint32_t gate; /* its slot in the gate; GATE_NO_SLOT */
	struct session_told told;
	size_t n_devices;
	struct session_claim *claims; /* in the order they were given */
	char name[PROTO_NAME_MAX + 1];
	char policy[POLICY_NAME_MAX + 1];
};

/* What a session is made of. */
struct session_plan {
	uid_t uid;
	const char *name; /* valid; the table makes it unique for the uid */
	const struct policy *policy;
	enum policy_accounting accounting;
	uint64_t limit; /* bytes */
	uint64_t max_mappings;
	unsigned int factor; /* as struct session has it */
	const struct device *devices;
	size_t n_devices;
	enum session_reserved reserved;
};

int session_table_new(struct ledger *ledger, struct record *record,
		      struct session_table **ret_table);

/* Frees every session too; the owners are told nothing, and the record keeps what it has. */
void session_table_free(struct session_table *table);

/**
 * session_new() - reserve a session
 * @plan: admission was passed
 * @ret_session: owned by the table until session_free()
 *
 * Return: 0; -ENOMEM, -EOVERFLOW of ledger_charge(), -errno of record_add(), with nothing reserved.
 */
int session_new(struct session_table *table, const struct session_plan *plan,
		struct session **ret_session);

/**
 * session_revive() - a session as a daemon before this one recorded it
 * @slot: of the record, of kind RECORD_SESSION; the session's from here on
 *
 * In the order of their ids. Its devices come with session_revive_device(), its owner with
 * session_set_owner().
 *
 * Return: 0; -EEXIST: the id is there, or is not above all others; -ENOMEM, -EOVERFLOW. The slot
 * is untouched then.
 */
int session_revive(struct session_table *table, uint32_t slot, struct session **ret_session);
int session_revive_device(struct session_table *table, struct session *session, uint32_t slot);

/* Gives share and devices back. It must not be linked to an owner any more. NULL is fine. */
void session_free(struct session_table *table, struct session *session);

/* The only writer of session->state; asserts that the change is allowed. */
void session_enter(struct session_table *table, struct session *session, enum session_state state);

/* The only writer of session->owner; @inode: of its pidfd, 0 with NULL. */
void session_set_owner(struct session_table *table, struct session *session, struct owner *owner,
		       uint64_t inode);

/* A process owns it, as it would if it had been handed out. */
void session_unreserve(struct session_table *table, struct session *session);

/* New numbers; those that stay as they are included. In the record as they are here. */
struct session_numbers {
	uint64_t limit; /* bytes */
	uint64_t charged; /* bytes in the sums; at least limit */
	uint64_t max_mappings;
	uint64_t max_objects;
	uint64_t migration_buffers; /* bytes per device */
};

struct session_numbers session_numbers(const struct session *session);

/**
 * session_set_numbers() - change any of a session's numbers
 *
 * All at once, also in the record: a kill leaves the old ones or the new ones.
 *
 * Return: 0; -EOVERFLOW of ledger_resize(), with nothing changed.
 */
int session_set_numbers(struct session_table *table, struct session *session,
			const struct session_numbers *numbers);

/**
 * session_claim() - one more device
 *
 * Return: 0; -ENOMEM, -errno of record_add(), with nothing claimed.
 */
int session_claim(struct session_table *table, struct session *session,
		  const struct device *device);

/* Takes back the device that was claimed last. */
void session_unclaim(struct session_table *table, struct session *session);

/* Takes back any device of the session. */
void session_unclaim_device(struct session_table *table, struct session *session,
			    const struct session_claim *claim);

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

/* The claim of a device by its name; NULL: it is none of this session's. */
struct session_claim *session_claim_own(const struct session *session, const char *name);

/* The claim of a device by its name alone; NULL: it is in no session. */
struct session_claim *session_claim_named(const struct session_table *table, const char *name);

size_t session_count(const struct session_table *table);

#endif
