/* SPDX-License-Identifier: MIT */
/*
 * The ledger: which limits are granted, summed per uid, per uid and policy, and for the host.
 * Charged before a session is kept, uncharged when it ends; free() asserts that all is back.
 */
#ifndef ACCOUNTING_LEDGER_H
#define ACCOUNTING_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ledger;

/* One session's share. Embedded in the session; zeroed means not charged. */
struct ledger_entry {
	struct ledger_user *user; /* borrowed from the ledger; NULL: not charged */
	struct ledger_share *share; /* likewise */
	uint64_t limit; /* bytes */
	uint64_t charged; /* bytes in the sums that admission asks for; at least limit */
	bool user_mode;
};

int ledger_new(struct ledger **ret_ledger);

/* Asserts that nothing is charged. */
void ledger_free(struct ledger *ledger);
void ledger_freep(struct ledger **ledger);

/**
 * ledger_charge() - take a share
 * @policy: name of the policy that granted it
 * @limit: bytes
 * @user_mode: the session is charged per user (IOMMU_OPTION_RLIMIT_MODE 0)
 * @ret_entry: not charged yet
 *
 * Return: 0; -ENOMEM, -EOVERFLOW (the host's sum would not fit) with nothing charged.
 */
int ledger_charge(struct ledger *ledger, uid_t uid, const char *policy, uint64_t limit,
		  bool user_mode, struct ledger_entry *ret_entry);

/* Gives a share back; nothing happens on an entry that is not charged. */
void ledger_uncharge(struct ledger *ledger, struct ledger_entry *entry);

/**
 * ledger_resize() - change a charged share
 * @limit: what it may map; of this is the sum in user mode
 * @charged: what it counts for in the other sums: more than limit while what was mapped under a
 *           higher one may still be pinned
 *
 * Return: 0; -EOVERFLOW (the host's sum would not fit) with nothing changed.
 */
int ledger_resize(struct ledger *ledger, struct ledger_entry *entry, uint64_t limit,
		  uint64_t charged);

/* What one uid has under one policy. Bytes. */
struct ledger_line {
	uid_t uid;
	const char *policy; /* borrowed */
	uint64_t n_sessions; /* of the uid under the policy */
	uint64_t sum; /* of all sessions of the uid */
	uint64_t user_mode_sum; /* of those in user mode */
};

/* Called for each line, in no order; false ends the walk. */
typedef bool (*ledger_line_fn)(const struct ledger_line *line, void *arg);

void ledger_walk(const struct ledger *ledger, ledger_line_fn fn, void *arg);

uint64_t ledger_host_sum(const struct ledger *ledger);
uint64_t ledger_user_sum(const struct ledger *ledger, uid_t uid);

/* Sum of the limits of the uid's user-mode sessions. */
uint64_t ledger_user_mode_sum(const struct ledger *ledger, uid_t uid);

/* How many sessions a uid has under a policy. */
uint64_t ledger_n_sessions(const struct ledger *ledger, uid_t uid, const char *policy);

#endif
