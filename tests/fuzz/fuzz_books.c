/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/fuzz_books.h"

#include <string.h>

#include "accounting/ledger.h"
#include "accounting/policy.h"
#include "daemon/broker.h"
#include "daemon/memlock.h"
#include "daemon/owner.h"
#include "daemon/record.h"
#include "daemon/session.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_broker.h"
#include "tests/fuzz/fuzz_kernel.h"
#include "tests/fuzz/fuzz_process.h"

/* For each session that there is. A declaration takes no parentheses. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define FOR_EACH_SESSION(s, broker) \
	for (const struct session *s = session_after((broker)->sessions, 0); s; s = (s)->newer)
/* NOLINTEND(bugprone-macro-parentheses) */

/* The record */

static void check_claims(const struct broker *broker, const struct session *session)
{
	size_t n = 0;

	for (const struct session_claim *c = session->claims; c; c = c->next_claim, n++) {
		const struct record_device *body = &record_at(broker->record, c->slot)->device;

		FUZZ_CHECK(c->session == session && body->session == session->id);
		FUZZ_CHECK(body->group == c->group && strcmp(body->name, c->name) == 0);
	}
	FUZZ_CHECK(n == session->n_devices && n <= PROTO_DEVICES_MAX);
}

static void check_session(const struct broker *broker, const struct session *s)
{
	const struct record_session *body = &record_at(broker->record, s->slot)->session;
	const struct session_numbers *numbers = &body->numbers[body->which];

	FUZZ_CHECK(s->id && session_find(broker->sessions, s->id) == s);
	FUZZ_CHECK(s->state == SESSION_PENDING ? s->reserved != SESSION_RESERVED_NOT
					       : s->owner != NULL);
	FUZZ_CHECK(!s->owner || (s->owner->broker == broker && body->owner == s->owner->inode));
	FUZZ_CHECK(!s->handoff || (s->state == SESSION_PENDING && !s->owner));
	FUZZ_CHECK(body->id == s->id && body->uid == s->uid && proto_name_valid(s->name));
	FUZZ_CHECK(body->state == s->state && body->accounting == s->accounting);
	FUZZ_CHECK(numbers->limit == s->share.limit && numbers->charged == s->share.charged);
	FUZZ_CHECK(numbers->max_mappings == s->max_mappings);
	FUZZ_CHECK(numbers->max_objects == s->max_objects);
	FUZZ_CHECK(numbers->migration_buffers == s->migration_buffers);
	FUZZ_CHECK(body->extra_memlock == s->extra_memlock);
	FUZZ_CHECK(strcmp(body->name, s->name) == 0 && strcmp(body->policy, s->policy) == 0);
	check_claims(broker, s);
}

static size_t owned(const struct owner *owner)
{
	size_t n = 0;

	for (const struct session *s = owner->sessions; s; s = s->next_owned, n++)
		FUZZ_CHECK(s->owner == owner);
	return n;
}

static void check_owner(const struct owner *owner, const struct record_owner *body)
{
	FUZZ_CHECK((pid_t)body->pid == owner->pid && body->uid == owner->uid);
	FUZZ_CHECK((body->changed != 0) == owner->changed);
	FUZZ_CHECK((body->exempt != 0) == owner->exempt);
	FUZZ_CHECK(body->locked_besides == owner->locked_besides);
	if (!owner->changed)
		return;
	FUZZ_CHECK(body->ours == owner->ours.rlim_cur && body->ours == owner->ours.rlim_max);
	FUZZ_CHECK(body->original_cur == owner->original.rlim_cur);
	FUZZ_CHECK(body->original_max == owner->original.rlim_max);
}

/*
 * Counts the entries of each kind. Every owner that there is must have one, so that these are all.
 * Most of the record is free: the fuzzer is not to count how often we find that.
 */
__attribute__((noinline, no_sanitize("coverage"))) static void
check_entries(const struct broker *broker, size_t ret_n[static RECORD_KINDS])
{
	size_t n_entries, n_owned = 0;
	const struct fuzz_entry *entries = fuzz_broker_entries(&n_entries);

	for (size_t i = 0; i < n_entries; i++) {
		const struct owner *owner;

		if (entries[i].kind == RECORD_FREE)
			continue;
		FUZZ_CHECK(entries[i].kind < RECORD_KINDS);
		ret_n[entries[i].kind]++;
		if (entries[i].kind != RECORD_OWNER)
			continue;
		owner = owner_find(broker->owners, entries[i].body.owner.inode);
		FUZZ_CHECK(owner && owner->slot == i && owner->sessions);
		check_owner(owner, &entries[i].body.owner);
		n_owned += owned(owner);
	}
	FUZZ_CHECK(ret_n[RECORD_OWNER] == fuzz_kernel_watches());
	FOR_EACH_SESSION(s, broker)
	n_owned += !s->owner;
	FUZZ_CHECK(n_owned == session_count(broker->sessions));
}

/* The ledger */

struct sums {
	const struct broker *broker;
	uint64_t n_sessions;
};

static bool check_line(const struct ledger_line *line, void *arg)
{
	uint64_t n = 0, sum = 0, user_mode_sum = 0;
	struct sums *sums = arg;

	FOR_EACH_SESSION(s, sums->broker)
	{
		if (s->uid != line->uid)
			continue;
		sum += s->share.charged;
		user_mode_sum += s->accounting == POLICY_ACCOUNTING_USER ? s->share.limit : 0;
		n += strcmp(s->policy, line->policy) == 0;
	}
	FUZZ_CHECK(n > 0 && line->n_sessions == n && line->sum == sum);
	FUZZ_CHECK(line->user_mode_sum == user_mode_sum);
	sums->n_sessions += n;
	return true;
}

void fuzz_books_check(const struct broker *broker)
{
	struct sums sums = {.broker = broker};
	size_t n_entries[RECORD_KINDS] = {0}, n = 0, n_devices = 0;
	uint64_t sum = 0;

	FOR_EACH_SESSION(s, broker)
	{
		check_session(broker, s);
		sum += s->share.charged;
		n_devices += s->n_devices;
		n++;
	}
	FUZZ_CHECK(n == session_count(broker->sessions) && sum == ledger_host_sum(broker->ledger));
	ledger_walk(broker->ledger, check_line, &sums);
	FUZZ_CHECK(sums.n_sessions == n);
	/* Each has its own, seen above: as many as there are means that there are no others. */
	check_entries(broker, n_entries);
	FUZZ_CHECK(n_entries[RECORD_SESSION] == n && n_entries[RECORD_DEVICE] == n_devices);
}

/* Policy */

static void check_exclusive(const struct session *a, const struct session *b)
{
	for (const struct session_claim *x = a->claims; x; x = x->next_claim) {
		FUZZ_CHECK(strcmp(x->name, FUZZ_DEVICE_HOST) != 0);
		for (const struct session_claim *y = b->claims; y; y = y->next_claim) {
			if (x == y)
				continue;
			FUZZ_CHECK(strcmp(x->name, y->name) != 0);
			FUZZ_CHECK(a == b || x->group == DEVICE_NO_GROUP || x->group != y->group);
		}
	}
}

void fuzz_books_check_policy(const struct broker *broker)
{
	FUZZ_CHECK(ledger_host_sum(broker->ledger) < broker->mem_total);
	FOR_EACH_SESSION(a, broker)
	{
		const struct device device = {.group = a->claims ? a->claims->group : 0};

		FUZZ_CHECK(ledger_user_sum(broker->ledger, a->uid) <= FUZZ_USER_LIMIT_MAX);
		FUZZ_CHECK(!a->claims ||
			   session_claim_find(broker->sessions, &device)->session == a);
		FOR_EACH_SESSION(b, broker)
		check_exclusive(a, b);
	}
}

/* Limits */

/* The rule of daemon/owner.h once more. */
static uint64_t rule(const struct broker *broker, const struct owner *owner, bool *ret_live)
{
	uint64_t task = 0, user = 0, extra = 0;

	*ret_live = false;
	FOR_EACH_SESSION(s, broker)
	{
		bool live = s->owner == owner && s->state == SESSION_ACTIVE;

		if (s->accounting == POLICY_ACCOUNTING_USER && (s->uid == owner->uid || live))
			user += s->share.limit;
		if (!live)
			continue;
		*ret_live = true;
		task += s->accounting == POLICY_ACCOUNTING_TASK ? s->share.limit : 0;
		extra = s->extra_memlock > extra ? s->extra_memlock : extra;
	}
	return owner->locked_besides + extra + (task > user ? task : user);
}

void fuzz_books_check_limits(const struct broker *broker)
{
	const struct rlimit before = fuzz_process_limit_before();

	for (unsigned int i = 0; i < FUZZ_PROCESSES; i++) {
		const struct fuzz_process *p = fuzz_process_at(i);
		const struct owner *owner =
			owner_find(broker->owners, FUZZ_INODE(i, p->generation));
		bool live = false;
		uint64_t wanted = owner ? rule(broker, owner, &live) : 0;

		if (p->exited || p->excused)
			continue;
		FUZZ_CHECK(owner || p->limit.rlim_max <= before.rlim_max);
		if (p->lowered)
			continue;
		if (live && !owner->exempt)
			FUZZ_CHECK(p->limit.rlim_cur == wanted && p->limit.rlim_max == wanted);
		else
			FUZZ_CHECK(p->limit.rlim_cur == before.rlim_cur &&
				   p->limit.rlim_max == before.rlim_max);
		FUZZ_CHECK(!owner || owner->locked_besides <= MEMLOCK_BESIDES_MAX);
	}
}

static bool check_no_line(const struct ledger_line *line, void *arg)
{
	(void)arg;
	FUZZ_CHECK(!line->policy); /* there is none */
	return false;
}

void fuzz_books_check_idle(const struct broker *broker)
{
	FUZZ_CHECK(session_count(broker->sessions) == 0 && ledger_host_sum(broker->ledger) == 0);
	ledger_walk(broker->ledger, check_no_line, NULL);
	FUZZ_CHECK(fuzz_kernel_watches() == 0);
	fuzz_books_check(broker);
}
