/* SPDX-License-Identifier: MIT */
/* What must hold between any two requests: every book of the broker tells the same. */
#ifndef TESTS_FUZZ_FUZZ_BOOKS_H
#define TESTS_FUZZ_FUZZ_BOOKS_H

struct broker;

/*
 * Every session has an owner, its share in the ledger's sums, its claims, and one entry in the
 * record for itself, each device and each owner, which say what it is; there are no others.
 */
void fuzz_books_check(const struct broker *broker);

/* No device, and no IOMMU group, is in two sessions, and no sum is above its limit. */
void fuzz_books_check_policy(const struct broker *broker);

/* RLIMIT_MEMLOCK of each process is what its sessions make it, or what it was. */
void fuzz_books_check_limits(const struct broker *broker);

/* Nothing is granted, charged or watched. */
void fuzz_books_check_idle(const struct broker *broker);

#endif
