/* SPDX-License-Identifier: MIT */
#include "accounting/ledger.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"

#define LEDGER_BUCKETS 256 /* uids with live sessions, not sessions */

/* One uid under one policy. */
struct ledger_share {
	struct ledger_share *next; /* struct ledger_user::shares */
	uint64_t n_sessions;
	char policy[];
};

/* One uid; exists while it has sessions. */
struct ledger_user {
	struct ledger_user *next; /* struct ledger::users */
	uid_t uid;
	uint64_t sum;
	uint64_t user_mode_sum;
	struct ledger_share *shares;
};

struct ledger {
	uint64_t sum;
	struct ledger_user *users[LEDGER_BUCKETS];
};

static struct ledger_user **ledger_user_slot(const struct ledger *ledger, uid_t uid)
{
	/* The caller decides whether what it finds may be written. */
	struct ledger *writable = (struct ledger *)(uintptr_t)ledger;
	struct ledger_user **slot = &writable->users[uid % LEDGER_BUCKETS];

	while (*slot && (*slot)->uid != uid)
		slot = &(*slot)->next;
	return slot;
}

static struct ledger_share **ledger_share_slot(struct ledger_user *user, const char *policy)
{
	struct ledger_share **slot = &user->shares;

	while (*slot && strcmp((*slot)->policy, policy) != 0)
		slot = &(*slot)->next;
	return slot;
}

int ledger_new(struct ledger **ret_ledger)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));

	if (!ledger)
		return -ENOMEM;
	*ret_ledger = ledger;
	return 0;
}

void ledger_free(struct ledger *ledger)
{
	if (!ledger)
		return;
	assert(ledger->sum == 0);
	for (size_t i = 0; i < LEDGER_BUCKETS; i++)
		assert(!ledger->users[i]);
	free(ledger);
}

void ledger_freep(struct ledger **ledger)
{
	ledger_free(*ledger);
}

/* A new user or share is linked only when both are there: failure leaves nothing behind. */
int ledger_charge(struct ledger *ledger, uid_t uid, const char *policy, uint64_t limit,
		  bool user_mode, struct ledger_entry *ret_entry)
{
	struct ledger_user **user_slot = ledger_user_slot(ledger, uid);
	CLEANUP(freep) struct ledger_user *fresh_user = NULL;
	struct ledger_user *user = *user_slot;
	uint64_t host_sum;

	/* No other sum is larger than the host's. */
	if (__builtin_add_overflow(ledger->sum, limit, &host_sum))
		return -EOVERFLOW;
	if (!user) {
		user = fresh_user = calloc(1, sizeof(*fresh_user));
		if (!user)
			return -ENOMEM;
		user->uid = uid;
	}

	struct ledger_share **share_slot = ledger_share_slot(user, policy);

	if (!*share_slot) {
		size_t len = strlen(policy) + 1;
		struct ledger_share *share = calloc(1, sizeof(*share) + len);

		if (!share)
			return -ENOMEM;
		memcpy(share->policy, policy, len);
		*share_slot = share;
	}
	if (fresh_user)
		*user_slot = STEAL(fresh_user);
	(*share_slot)->n_sessions++;
	user->sum += limit;
	user->user_mode_sum += user_mode ? limit : 0;
	ledger->sum = host_sum;
	*ret_entry = (struct ledger_entry){.user = user,
					   .share = *share_slot,
					   .limit = limit,
					   .charged = limit,
					   .user_mode = user_mode};
	return 0;
}

static void ledger_drop_share(struct ledger_user *user, struct ledger_share *share)
{
	struct ledger_share **slot = ledger_share_slot(user, share->policy);

	assert(*slot == share);
	*slot = share->next;
	free(share);
}

static void ledger_drop_user(struct ledger *ledger, struct ledger_user *user)
{
	struct ledger_user **slot = ledger_user_slot(ledger, user->uid);

	assert(*slot == user && user->sum == 0 && user->user_mode_sum == 0);
	*slot = user->next;
	free(user);
}

void ledger_uncharge(struct ledger *ledger, struct ledger_entry *entry)
{
	struct ledger_user *user = entry->user;
	uint64_t user_mode_limit = entry->user_mode ? entry->limit : 0;

	if (!user)
		return;
	assert(user->sum >= entry->charged && ledger->sum >= entry->charged);
	assert(user->user_mode_sum >= user_mode_limit && entry->share->n_sessions > 0);
	user->sum -= entry->charged;
	user->user_mode_sum -= user_mode_limit;
	ledger->sum -= entry->charged;
	if (--entry->share->n_sessions == 0)
		ledger_drop_share(user, entry->share);
	if (!user->shares)
		ledger_drop_user(ledger, user);
	*entry = (struct ledger_entry){.user = NULL};
}

int ledger_resize(struct ledger *ledger, struct ledger_entry *entry, uint64_t limit,
		  uint64_t charged)
{
	struct ledger_user *user = entry->user;
	uint64_t host_sum;

	assert(user && ledger->sum >= entry->charged && charged >= limit);
	if (__builtin_add_overflow(ledger->sum - entry->charged, charged, &host_sum))
		return -EOVERFLOW;
	user->sum = user->sum - entry->charged + charged;
	if (entry->user_mode)
		user->user_mode_sum = user->user_mode_sum - entry->limit + limit;
	ledger->sum = host_sum;
	entry->limit = limit;
	entry->charged = charged;
	return 0;
}

void ledger_walk(const struct ledger *ledger, ledger_line_fn fn, void *arg)
{
	for (size_t i = 0; i < LEDGER_BUCKETS; i++)
		for (const struct ledger_user *user = ledger->users[i]; user; user = user->next)
			for (const struct ledger_share *share = user->shares; share;
			     share = share->next) {
				const struct ledger_line line = {
					.uid = user->uid,
					.policy = share->policy,
					.n_sessions = share->n_sessions,
					.sum = user->sum,
					.user_mode_sum = user->user_mode_sum,
				};

				if (!fn(&line, arg))
					return;
			}
}

uint64_t ledger_host_sum(const struct ledger *ledger)
{
	return ledger->sum;
}

uint64_t ledger_user_sum(const struct ledger *ledger, uid_t uid)
{
	const struct ledger_user *user = *ledger_user_slot(ledger, uid);

	return user ? user->sum : 0;
}

uint64_t ledger_user_mode_sum(const struct ledger *ledger, uid_t uid)
{
	const struct ledger_user *user = *ledger_user_slot(ledger, uid);

	return user ? user->user_mode_sum : 0;
}

uint64_t ledger_n_sessions(const struct ledger *ledger, uid_t uid, const char *policy)
{
	struct ledger_user *user = *ledger_user_slot(ledger, uid);
	const struct ledger_share *share = user ? *ledger_share_slot(user, policy) : NULL;

	return share ? share->n_sessions : 0;
}
