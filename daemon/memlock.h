/* SPDX-License-Identifier: MIT */
/*
 * RLIMIT_MEMLOCK of an owner: by one rule, memlock_rule(), kept right at each change of a session.
 * The value before the first change is remembered, and put back only where the value is still ours.
 * All of it is in the record before it is done: whoever starts after a kill knows what was set.
 */
#ifndef DAEMON_MEMLOCK_H
#define DAEMON_MEMLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

struct owner;
struct process;

/* The kernel's default RLIMIT_MEMLOCK since 5.16 (include/uapi/linux/resource.h, MLOCK_LIMIT). */
#define MEMLOCK_BESIDES_MAX (8ULL << 20)

/**
 * memlock_limit() - bring an owner's limit in line with its sessions and its uid's
 * @force: if nothing is left to be mapped: also if the process has lowered its limit since
 *
 * Return: 0; -ESRCH: it has exited; -errno of prlimit(2), with nothing changed.
 */
int memlock_limit(struct owner *owner, bool force);

/*
 * The value of a process that began as a child of another owner's may be one that was set for that:
 * what it goes back to is what the other's goes back to. Before its own limit is set first.
 */
void memlock_inherit(struct owner *owner, const struct owner *from);

/* Puts back what was there before the first change; a failure is logged. @force: as above */
void memlock_restore(struct owner *owner, bool force);

/* What a daemon before this one recorded of the limit of an owner, and what it may have set since.
 */
void memlock_revive(struct owner *owner);

/**
 * memlock_besides() - what a process that is to be an owner has locked besides its sessions
 * @less_pinned: what it has pinned is a session's, and in task mode counts as locked
 *
 * Believed up to what the kernel lets anybody lock: a process may have inherited a limit that was
 * raised by us, and what it locks under it must not raise the next one. More is extra-memlock.
 *
 * Return: bytes; 0 where /proc does not say.
 */
uint64_t memlock_besides(const struct process *process, bool less_pinned);

bool memlock_equal(const struct rlimit *a, const struct rlimit *b);

#endif
