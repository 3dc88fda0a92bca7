/* SPDX-License-Identifier: MIT */
/*
 * RLIMIT_MEMLOCK of an owner: by one rule, memlock_rule(), kept right at each change of a session.
 * The value before the first change is remembered, and put back only where the value is still ours.
 * All of it is in the record before it is done: whoever starts after a kill knows what was set.
 */
#ifndef DAEMON_MEMLOCK_H
#define DAEMON_MEMLOCK_H

#include <stdbool.h>
#include <sys/resource.h>

struct owner;

/**
 * memlock_limit() - bring an owner's limit in line with its sessions and its uid's
 * @force: if nothing is left to be mapped: also if the process has lowered its limit since
 *
 * Return: 0; -ESRCH: it has exited; -errno of prlimit(2), with nothing changed.
 */
int memlock_limit(struct owner *owner, bool force);

/* Puts back what was there before the first change; a failure is logged. @force: as above */
void memlock_restore(struct owner *owner, bool force);

/* What a daemon before this one recorded of the limit of an owner, and what it may have set since.
 */
void memlock_revive(struct owner *owner);

bool memlock_equal(const struct rlimit *a, const struct rlimit *b);

#endif
