/* SPDX-License-Identifier: MIT */
#include "daemon/session.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bpf/gate.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/record.h"

#define SESSION_MIB (UINT64_C(1) << 20)
#define SESSION_BUCKETS 4096 /* a power of two; 10,000 sessions are still found at once */

struct session_table {
	struct ledger *ledger; /* borrowed from the broker */
	struct record *record; /* likewise */
	struct session *oldest, *newest;
	size_t n;
	struct session *by_id[SESSION_BUCKETS];
	struct session *by_name[SESSION_BUCKETS];
	struct session_claim *claims[SESSION_BUCKETS];
};

/* Allowed successors. */
static const uint8_t session_next[] = {
	[SESSION_PENDING] = BIT(SESSION_ACTIVE),
	[SESSION_ACTIVE] = BIT(SESSION_REVOKED),
	[SESSION_REVOKED] = 0,
};
static_assert(ARRAY_SIZE(session_next) == SESSION_STATES, "one row per state");

int session_table_new(struct ledger *ledger, struct record *record,
		      struct session_table **ret_table)
{
	struct session_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->ledger = ledger;
	table->record = record;
	*ret_table = table;
	return 0;
}

/* FNV-1a: short keys, nothing an attacker gains by collisions but his own uid's time. */
static size_t session_hash(const void *key, size_t len, uint64_t seed)
{
	const unsigned char *bytes = key;
	uint64_t hash = 0xcbf29ce484222325ULL ^ seed;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
	return (hash ^ hash >> 32) % SESSION_BUCKETS;
}

static size_t session_hash_id(uint64_t id)
{
	return session_hash(&id, sizeof(id), 0);
}

static size_t session_hash_name(uid_t uid, const char *name)
{
	return session_hash(name, strlen(name), uid);
}

/* Devices of one group meet in one bucket; one without a group is found by its name. */
static size_t session_hash_claim(int group, const char *name)
{
	return group == DEVICE_NO_GROUP ? session_hash(name, strlen(name), 0)
					: session_hash(&group, sizeof(group), 1);
}

static struct session *session_by_name(const struct session_table *table, uid_t uid,
				       const char *name)
{
	struct session *s = table->by_name[session_hash_name(uid, name)];

	while (s && (s->uid != uid || strcmp(s->name, name) != 0))
		s = s->next_name;
	return s;
}

/* NAME, or NAME-2, NAME-3 … while another session of the uid has it; cut so that it fits. */
static void session_name(struct session_table *table, uid_t uid, const char *wanted,
			 char ret_name[static PROTO_NAME_MAX + 1])
{
	struct session *first = session_by_name(table, uid, wanted);
	unsigned int suffix = first && first->suffix > 1 ? first->suffix : 1;

	(void)snprintf(ret_name, PROTO_NAME_MAX + 1, "%s", wanted); /* cut as documented */
	while (session_by_name(table, uid, ret_name)) {
		char tail[16];
		int len = snprintf(tail, sizeof(tail), "-%u", ++suffix);

		(void)snprintf(ret_name, PROTO_NAME_MAX + 1, "%.*s%s", PROTO_NAME_MAX - len, wanted,
			       tail);
	}
	if (first)
		first->suffix = suffix;
}

/* Microseconds since 1970, made to grow: unique over restarts and readable in a log. */
static uint64_t session_id(struct session_table *table)
{
	struct timespec now;
	uint64_t id;

	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
	id = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	if (id <= *record_last_id(table->record))
		id = *record_last_id(table->record) + 1;
	*record_last_id(table->record) = id;
	return id;
}

static void session_link(struct session_table *table, struct session *s)
{
	size_t id = session_hash_id(s->id), name = session_hash_name(s->uid, s->name);

	s->older = table->newest;
	*(s->older ? &s->older->newer : &table->oldest) = s;
	table->newest = s;
	s->next_id = table->by_id[id];
	table->by_id[id] = s;
	s->next_name = table->by_name[name];
	table->by_name[name] = s;
	table->n++;
}

static void session_unlink(struct session_table *table, struct session *s)
{
	struct session **id = &table->by_id[session_hash_id(s->id)];
	struct session **name = &table->by_name[session_hash_name(s->uid, s->name)];

	*(s->older ? &s->older->newer : &table->oldest) = s->newer;
	*(s->newer ? &s->newer->older : &table->newest) = s->older;
	while (*id != s)
		id = &(*id)->next_id;
	*id = s->next_id;
	while (*name != s)
		name = &(*name)->next_name;
	*name = s->next_name;
	table->n--;
}

static void session_link_claim(struct session_table *table, struct session *session,
			       struct session_claim *claim)
{
	size_t bucket = session_hash_claim(claim->group, claim->name);
	struct session_claim **place = &session->claims;

	while (*place && (*place)->nth <= claim->nth)
		place = &(*place)->next_claim;
	claim->next_claim = *place;
	*place = claim;
	claim->session = session;
	claim->next = table->claims[bucket];
	table->claims[bucket] = claim;
	session->n_devices++;
}

/* Where a session's last claim hangs; there is one. */
static struct session_claim **session_last_claim(struct session *session)
{
	struct session_claim **last = &session->claims;

	while ((*last)->next_claim)
		last = &(*last)->next_claim;
	return last;
}

/* Takes one out and frees it. */
static void session_forget_claim(struct session_table *table, struct session *session,
				 struct session_claim **at)
{
	struct session_claim *claim = *at;
	struct session_claim **slot = &table->claims[session_hash_claim(claim->group, claim->name)];

	while (*slot != claim)
		slot = &(*slot)->next;
	*slot = claim->next;
	*at = claim->next_claim;
	session->n_devices--;
	free(claim);
}

/* After those that there are. */
static uint32_t session_next_claim(struct session *session)
{
	return session->claims ? (*session_last_claim(session))->nth + 1 : 0;
}

int session_claim(struct session_table *table, struct session *session, const struct device *device)
{
	CLEANUP(freep) struct session_claim *claim = calloc(1, sizeof(*claim));
	union record_body body = {.device = {.session = session->id,
					     .group = device->group,
					     .nth = session_next_claim(session)}};
	int err;

	if (!claim)
		return -ENOMEM;
	claim->nth = body.device.nth;
	claim->group = device->group;
	memcpy(claim->name, device->name, DEVICE_NAME_MAX);
	memcpy(body.device.name, device->name, DEVICE_NAME_MAX);
	err = record_add(table->record, RECORD_DEVICE, &body, &claim->slot);
	if (err)
		return err;
	session_link_claim(table, session, STEAL(claim));
	return 0;
}

void session_unclaim(struct session_table *table, struct session *session)
{
	session_unclaim_device(table, session, *session_last_claim(session));
}

void session_unclaim_device(struct session_table *table, struct session *session,
			    const struct session_claim *claim)
{
	struct session_claim **at = &session->claims;

	while (*at != claim)
		at = &(*at)->next_claim;
	record_drop(table->record, &(*at)->slot);
	session_forget_claim(table, session, at);
}

/* Rounded up; what no machine has is the largest. */
static uint32_t session_mib(uint64_t bytes)
{
	uint64_t mib = bytes / SESSION_MIB + !!(bytes % SESSION_MIB);

	return mib < UINT32_MAX ? (uint32_t)mib : UINT32_MAX;
}

/* What of a session the record has. */
static void session_record(const struct session *s, struct record_session *ret_body)
{
	*ret_body = (struct record_session){
		.id = s->id,
		.extra_memlock = s->extra_memlock,
		.numbers = {session_numbers(s)},
		.uid = s->uid,
		.headroom_mib = session_mib(s->headroom),
		.state = (uint8_t)s->state,
		.accounting = (uint8_t)s->accounting,
		.mirror = (uint8_t)s->mirror,
		.factor = (uint8_t)s->factor,
		.reserved = (uint8_t)s->reserved,
	};
	memcpy(ret_body->name, s->name, sizeof(s->name));
	memcpy(ret_body->policy, s->policy, sizeof(s->policy));
}

/* Leaves the record alone. */
static void session_forget(struct session_table *table, struct session *session)
{
	while (session->claims)
		session_forget_claim(table, session, &session->claims);
	session_unlink(table, session);
	ledger_uncharge(table->ledger, &session->share);
	free(session);
}

void session_table_free(struct session_table *table)
{
	if (!table)
		return;
	while (table->oldest)
		session_forget(table, table->oldest);
	free(table);
}

/* Charged, named and in the record, but for its devices. */
static int session_reserve(struct session_table *table, const struct session_plan *plan,
			   struct session **ret_session)
{
	CLEANUP(freep) struct session *s = calloc(1, sizeof(*s));
	union record_body body;
	int err;

	if (!s)
		return -ENOMEM;
	s->gate = GATE_NO_SLOT;
	s->uid = plan->uid;
	s->accounting = plan->accounting;
	s->max_mappings = plan->max_mappings;
	s->max_objects = plan->policy->max_objects;
	s->migration_buffers = plan->policy->migration_buffers;
	s->extra_memlock = plan->policy->extra_memlock;
	s->headroom = plan->policy->headroom;
	s->mirror = plan->policy->mirror;
	s->factor = plan->factor;
	s->reserved = plan->reserved;
	(void)snprintf(s->policy, sizeof(s->policy), "%s", plan->policy->name); /* it fits */
	err = ledger_charge(table->ledger, s->uid, s->policy, plan->limit,
			    plan->accounting == POLICY_ACCOUNTING_USER, &s->share);
	if (err)
		return err;
	session_name(table, s->uid, plan->name, s->name);
	s->id = session_id(table);
	session_record(s, &body.session);
	err = record_add(table->record, RECORD_SESSION, &body, &s->slot);
	if (err) {
		ledger_uncharge(table->ledger, &s->share);
		return err;
	}
	session_link(table, s);
	*ret_session = STEAL(s);
	return 0;
}

int session_new(struct session_table *table, const struct session_plan *plan,
		struct session **ret_session)
{
	struct session *session;
	int err = session_reserve(table, plan, &session);

	if (err)
		return err;
	for (size_t i = 0; !err && i < plan->n_devices; i++)
		err = session_claim(table, session, &plan->devices[i]);
	if (err)
		session_free(table, session);
	else
		*ret_session = session;
	return err;
}

/* What is read from the file is checked like anything that was not made here. */
static bool session_record_valid(const struct record_session *body)
{
	return body->which < ARRAY_SIZE(body->numbers) &&
	       body->numbers[body->which].charged >= body->numbers[body->which].limit &&
	       body->id < UINT64_MAX && /* the next one's is above it */
	       body->state < SESSION_STATES && body->reserved < SESSION_RESERVED_KINDS &&
	       (body->accounting == POLICY_ACCOUNTING_TASK ||
		body->accounting == POLICY_ACCOUNTING_USER) &&
	       body->mirror <= POLICY_MIRROR_TRACK &&
	       proto_text_valid(body->name, sizeof(body->name)) && proto_name_valid(body->name) &&
	       proto_text_valid(body->policy, sizeof(body->policy));
}

int session_revive(struct session_table *table, uint32_t slot, struct session **ret_session)
{
	const struct record_session *body = &record_at(table->record, slot)->session;
	CLEANUP(freep) struct session *s = calloc(1, sizeof(*s));
	const struct session_numbers *numbers;
	int err;

	if (!s)
		return -ENOMEM;
	if (!session_record_valid(body))
		return -EBADMSG;
	if (table->newest && body->id <= table->newest->id)
		return -EEXIST;
	numbers = &body->numbers[body->which];
	s->gate = GATE_NO_SLOT;
	s->id = body->id;
	s->uid = body->uid;
	s->state = (enum session_state)body->state;
	s->reserved = (enum session_reserved)body->reserved;
	s->accounting = (enum policy_accounting)body->accounting;
	s->max_mappings = numbers->max_mappings;
	s->max_objects = numbers->max_objects;
	s->migration_buffers = numbers->migration_buffers;
	s->extra_memlock = body->extra_memlock;
	s->headroom = body->headroom_mib * SESSION_MIB;
	s->mirror = (enum policy_mirror)body->mirror;
	s->factor = body->factor;
	s->slot = slot;
	memcpy(s->name, body->name, sizeof(s->name));
	memcpy(s->policy, body->policy, sizeof(s->policy));
	/* At its largest, then as it is: the second cannot fail. */
	err = ledger_charge(table->ledger, s->uid, s->policy, numbers->charged,
			    s->accounting == POLICY_ACCOUNTING_USER, &s->share);
	if (err)
		return err;
	(void)ledger_resize(table->ledger, &s->share, numbers->limit, numbers->charged);
	if (s->id > *record_last_id(table->record))
		*record_last_id(table->record) = s->id;
	session_link(table, s);
	*ret_session = STEAL(s);
	return 0;
}

static bool session_record_device_valid(const struct record_device *body)
{
	char name[DEVICE_NAME_MAX];

	return proto_text_valid(body->name, sizeof(body->name)) && !device_name(body->name, name) &&
	       strcmp(body->name, name) == 0;
}

int session_revive_device(struct session_table *table, struct session *session, uint32_t slot)
{
	const struct record_device *body = &record_at(table->record, slot)->device;
	struct session_claim *claim;

	if (!session_record_device_valid(body) || session->n_devices == PROTO_DEVICES_MAX)
		return -EBADMSG;
	claim = calloc(1, sizeof(*claim));
	if (!claim)
		return -ENOMEM;
	claim->slot = slot;
	claim->group = body->group;
	claim->nth = body->nth;
	memcpy(claim->name, body->name, sizeof(claim->name));
	session_link_claim(table, session, claim);
	return 0;
}

/* The number of NAME-3 is free again: the next NAME may have it. */
static void session_name_freed(const struct session_table *table, const struct session *session)
{
	const char *dash = strrchr(session->name, '-');
	char base[PROTO_NAME_MAX + 1];
	struct session *first;
	unsigned long suffix;

	if (!dash)
		return;
	suffix = strtoul(dash + 1, NULL, 10);
	(void)snprintf(base, sizeof(base), "%.*s", (int)(dash - session->name), session->name);
	first = session_by_name(table, session->uid, base);
	if (first && suffix > 1 && suffix <= first->suffix)
		first->suffix = (unsigned int)suffix - 1;
}

void session_free(struct session_table *table, struct session *session)
{
	if (!session)
		return;
	assert(!session->owner && !session->payers);
	/* First the session: devices of none are dropped at a start, one without its devices is
	 * not. */
	record_drop(table->record, &session->slot);
	while (session->claims)
		session_unclaim(table, session);
	session_name_freed(table, session);
	session_forget(table, session);
}

void session_enter(struct session_table *table, struct session *session, enum session_state state)
{
	assert(session_next[session->state] & BIT(state));
	log_debug("session %llx: state %d -> %d", (unsigned long long)session->id, session->state,
		  state);
	session->state = state;
	record_at(table->record, session->slot)->session.state = (uint8_t)state;
}

void session_set_owner(struct session_table *table, struct session *session, struct owner *owner,
		       uint64_t inode)
{
	session->owner = owner;
	record_at(table->record, session->slot)->session.owner = inode;
}

void session_unreserve(struct session_table *table, struct session *session)
{
	session->reserved = SESSION_RESERVED_NOT;
	record_at(table->record, session->slot)->session.reserved = SESSION_RESERVED_NOT;
}

struct session_numbers session_numbers(const struct session *session)
{
	return (struct session_numbers){
		.limit = session->share.limit,
		.charged = session->share.charged,
		.max_mappings = session->max_mappings,
		.max_objects = session->max_objects,
		.migration_buffers = session->migration_buffers,
	};
}

int session_set_numbers(struct session_table *table, struct session *session,
			const struct session_numbers *numbers)
{
	struct record_session *body = &record_at(table->record, session->slot)->session;
	int err = ledger_resize(table->ledger, &session->share, numbers->limit, numbers->charged);

	if (err)
		return err;
	session->max_mappings = numbers->max_mappings;
	session->max_objects = numbers->max_objects;
	session->migration_buffers = numbers->migration_buffers;
	/* Those that do not count yet, until the one store that makes them count. */
	body->numbers[!body->which] = *numbers;
	atomic_store(&body->which, !body->which);
	return 0;
}

struct session *session_find(const struct session_table *table, uint64_t id)
{
	struct session *s = table->by_id[session_hash_id(id)];

	while (s && s->id != id)
		s = s->next_id;
	return s;
}

struct session *session_after(const struct session_table *table, uint64_t id)
{
	struct session *s = id ? session_find(table, id) : NULL;

	if (s)
		return s->newer;
	/* Ids grow with the order: only after one that has ended is a walk needed. */
	for (s = table->oldest; s && s->id <= id; s = s->newer)
		;
	return s;
}

const struct session_claim *session_claim_find(const struct session_table *table,
					       const struct device *device)
{
	const struct session_claim *claim =
		table->claims[session_hash_claim(device->group, device->name)];

	for (; claim; claim = claim->next)
		if (device->group == DEVICE_NO_GROUP ? strcmp(claim->name, device->name) == 0
						     : claim->group == device->group)
			return claim;
	return NULL;
}

struct session_claim *session_claim_own(const struct session *session, const char *name)
{
	for (struct session_claim *c = session->claims; c; c = c->next_claim)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

/* Those of a group are found by the group: names are asked for seldom. */
struct session_claim *session_claim_named(const struct session_table *table, const char *name)
{
	struct session_claim *claim = NULL;

	for (const struct session *s = table->oldest; !claim && s; s = s->newer)
		claim = session_claim_own(s, name);
	return claim;
}

size_t session_count(const struct session_table *table)
{
	return table->n;
}
