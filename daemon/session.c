/* SPDX-License-Identifier: MIT */
#include "daemon/session.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/log.h"

#define SESSION_BUCKETS 4096 /* a power of two; 10,000 sessions are still found at once */

struct session_table {
	struct ledger *ledger; /* borrowed from the broker */
	struct session *oldest, *newest;
	size_t n;
	uint64_t last_id;
	struct session *by_id[SESSION_BUCKETS];
	struct session *by_name[SESSION_BUCKETS];
	struct session_claim *claims[SESSION_BUCKETS];
};

/* Allowed successors. */
static const uint8_t session_next[] = {
	[SESSION_PENDING] = BIT(SESSION_ACTIVE),
	[SESSION_ACTIVE] = 0,
};
static_assert(ARRAY_SIZE(session_next) == SESSION_STATES, "one row per state");

int session_table_new(struct ledger *ledger, struct session_table **ret_table)
{
	struct session_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->ledger = ledger;
	*ret_table = table;
	return 0;
}

void session_table_free(struct session_table *table)
{
	if (!table)
		return;
	while (table->oldest) {
		table->oldest->owner = NULL;
		session_free(table, table->oldest);
	}
	free(table);
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
	if (id <= table->last_id)
		id = table->last_id + 1;
	table->last_id = id;
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
	for (size_t i = 0; i < s->n_devices; i++) {
		struct session_claim *claim = &s->claims[i];
		size_t bucket = session_hash_claim(claim->group, claim->name);

		claim->next = table->claims[bucket];
		table->claims[bucket] = claim;
	}
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
	for (size_t i = 0; i < s->n_devices; i++) {
		struct session_claim *claim = &s->claims[i];
		struct session_claim **slot =
			&table->claims[session_hash_claim(claim->group, claim->name)];

		while (*slot != claim)
			slot = &(*slot)->next;
		*slot = claim->next;
	}
	table->n--;
}

int session_new(struct session_table *table, const struct session_plan *plan,
		struct session **ret_session)
{
	size_t size = sizeof(struct session) + plan->n_devices * sizeof(struct session_claim);
	CLEANUP(freep) struct session *s = calloc(1, size);
	int err;

	if (!s)
		return -ENOMEM;
	s->uid = plan->uid;
	s->accounting = plan->accounting;
	s->max_mappings = plan->max_mappings;
	s->extra_memlock = plan->policy->extra_memlock;
	(void)snprintf(s->policy, sizeof(s->policy), "%s", plan->policy->name); /* it fits */
	s->n_devices = plan->n_devices;
	for (size_t i = 0; i < plan->n_devices; i++) {
		s->claims[i].session = s;
		s->claims[i].group = plan->devices[i].group;
		memcpy(s->claims[i].name, plan->devices[i].name, DEVICE_NAME_MAX);
	}
	err = ledger_charge(table->ledger, s->uid, s->policy, plan->limit,
			    plan->accounting == POLICY_ACCOUNTING_USER, &s->share);
	if (err)
		return err;
	session_name(table, s->uid, plan->name, s->name);
	s->id = session_id(table);
	session_link(table, s);
	*ret_session = STEAL(s);
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
	assert(!session->owner);
	session_unlink(table, session);
	session_name_freed(table, session);
	ledger_uncharge(table->ledger, &session->share);
	free(session);
}

void session_enter(struct session *session, enum session_state state)
{
	assert(session_next[session->state] & BIT(state));
	log_debug("session %llx: state %d -> %d", (unsigned long long)session->id, session->state,
		  state);
	session->state = state;
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

size_t session_count(const struct session_table *table)
{
	return table->n;
}
