/* SPDX-License-Identifier: MIT */
#include "daemon/memlock.h"

#include <errno.h>
#include <string.h>

#include "accounting/ledger.h"
#include "accounting/limits.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/sys.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/owner.h"
#include "daemon/payer.h"
#include "daemon/process.h"
#include "daemon/procfs.h"
#include "daemon/record.h"
#include "daemon/session.h"

/*
 * What the pid has. It may be somebody else's by now: good enough to decide by, as a change that
 * comes of it is checked.
 */
static int memlock_read(const struct owner *owner, struct rlimit *ret_now)
{
	return owner->broker->sys->prlimit(owner->pid, RLIMIT_MEMLOCK, NULL, ret_now);
}

/* prlimit(2) by pid, believed only if the process behind the pidfd was there all the time. */
static int memlock_write(const struct owner *owner, const struct rlimit *wanted)
{
	const struct sys_ops *sys = owner->broker->sys;
	struct rlimit old = {0}, now;
	int err = sys->prlimit(owner->pid, RLIMIT_MEMLOCK, wanted, &old);

	if (err)
		return err;
	if (!procfs_exited(owner->pidfd))
		return 0;
	/* The pid may be somebody else's by now: take back what that one got from us. */
	if (memlock_read(owner, &now) == 0 && now.rlim_cur == wanted->rlim_cur &&
	    now.rlim_max == wanted->rlim_max)
		(void)sys->prlimit(owner->pid, RLIMIT_MEMLOCK, &old, NULL); /* it exited too */
	return -ESRCH;
}

bool memlock_equal(const struct rlimit *a, const struct rlimit *b)
{
	return a->rlim_cur == b->rlim_cur && a->rlim_max == b->rlim_max;
}

static rlim_t memlock_lesser(rlim_t a, rlim_t b)
{
	return a < b ? a : b;
}

/*
 * Remembers what the limit goes back to: the value before the first change. What somebody else set
 * since then counts, as far as the process could not have set it itself: it can always lower both
 * values, and must not come out of a session with more than it went in with.
 */
static void memlock_remember(struct owner *owner, const struct rlimit *now)
{
	struct record_owner *body = &record_at(owner->broker->record, owner->slot)->owner;

	if (owner->changed && memlock_equal(now, &owner->ours))
		return;
	if (!owner->changed || now->rlim_max > owner->ours.rlim_max) {
		owner->original = *now;
	} else {
		owner->original.rlim_cur = memlock_lesser(owner->original.rlim_cur, now->rlim_cur);
		owner->original.rlim_max = memlock_lesser(owner->original.rlim_max, now->rlim_max);
	}
	body->original_cur = owner->original.rlim_cur;
	body->original_max = owner->original.rlim_max;
}

/* Recorded before it is done: a value that is either ours or next is ours after a kill. */
static int memlock_set(struct owner *owner, rlim_t value)
{
	struct record_owner *body = &record_at(owner->broker->record, owner->slot)->owner;
	const struct rlimit wanted = {.rlim_cur = value, .rlim_max = value};
	int err;

	body->next = value;
	record_barrier();
	body->changed = true;
	err = memlock_write(owner, &wanted);
	if (err) {
		body->changed = owner->changed;
		return err;
	}
	body->ours = value;
	owner->ours = wanted;
	owner->changed = true;
	return 0;
}

/*
 * By the hard value, which is still ours or not. The soft one a process may lower by itself: it
 * keeps that, and does not keep the hard one for it. It may lower the hard one, too: from whom
 * something is taken away (force) that does not help, and what only the privileged can do stays.
 */
static bool memlock_put_back(const struct owner *owner, const struct rlimit *now, bool force,
			     struct rlimit *ret_wanted)
{
	bool lowered = now->rlim_max < owner->ours.rlim_max;

	if (now->rlim_max > owner->ours.rlim_max || (lowered && !force))
		return false;
	*ret_wanted = owner->original;
	if (lowered)
		ret_wanted->rlim_max = memlock_lesser(now->rlim_max, owner->original.rlim_max);
	if (now->rlim_cur != owner->ours.rlim_cur)
		ret_wanted->rlim_cur = lowered ? memlock_lesser(now->rlim_cur, ret_wanted->rlim_cur)
					       : now->rlim_cur;
	ret_wanted->rlim_cur = memlock_lesser(ret_wanted->rlim_cur, ret_wanted->rlim_max);
	return true;
}

/* Back to what was, which no grant or order tells of. */
static void memlock_audit(const struct owner *owner, const struct rlimit *from,
			  const struct rlimit *to)
{
	struct audit audit UNINITIALIZED;

	audit_begin(&audit, owner->broker, "memlock");
	audit_number(&audit, "owner", (uint64_t)owner->pid);
	audit_number(&audit, "owner_uid", owner->uid);
	audit_number(&audit, "from", from->rlim_cur);
	audit_number(&audit, "from_hard", from->rlim_max);
	audit_number(&audit, "to", to->rlim_cur);
	audit_number(&audit, "to_hard", to->rlim_max);
	audit_end(&audit, LOG_LEVEL_INFO);
}

/* What stays as somebody else set it is still known, for one who takes it away later. */
void memlock_restore(struct owner *owner, bool force)
{
	struct rlimit now, wanted;
	int err;

	if (!owner->changed)
		return;
	err = memlock_read(owner, &now);
	if (err == 0 && !memlock_put_back(owner, &now, force, &wanted)) {
		log_notice("RLIMIT_MEMLOCK of process %d was changed by somebody else: it stays",
			   (int)owner->pid);
		return;
	}
	if (err == 0)
		err = memlock_write(owner, &wanted);
	if (err == 0)
		memlock_audit(owner, &now, &wanted);
	else if (err != -ESRCH)
		log_warning("RLIMIT_MEMLOCK of process %d cannot be put back: %s", (int)owner->pid,
			    strerror(-err));
	owner->changed = false;
	record_at(owner->broker->record, owner->slot)->owner.changed = false;
}

/* One session that it maps through. Return: false: nothing is to be mapped through that. */
static bool memlock_count(const struct owner *owner, const struct session *session,
			  struct limits_memlock *parts, uint64_t *of_others)
{
	if (session->state == SESSION_REVOKED)
		return false;
	if (session->extra_memlock > parts->extra)
		parts->extra = session->extra_memlock;
	if (session->accounting == POLICY_ACCOUNTING_TASK)
		parts->task_sum = limits_add(parts->task_sum, session->share.limit);
	else if (session->uid != owner->uid) /* held for another: charged to itself for now */
		*of_others = limits_add(*of_others, session->share.limit);
	return true;
}

/*
 * The rule: what it has locked besides + extra-memlock + the larger of its task-mode sessions and
 * its uid's user-mode sessions. A revoked session gives its owner nothing; in user mode its pages
 * are on the counter of the uid as long as they are pinned, and so in the sum of the others.
 *
 * Return: false: nothing is to be mapped by it any more.
 */
static bool memlock_rule(const struct owner *owner, rlim_t *ret_value)
{
	struct limits_memlock parts = {.locked_besides = owner->locked_besides};
	uint64_t of_others = 0;
	bool live = false;

	for (const struct session *s = owner->sessions; s; s = s->next_owned)
		live |= memlock_count(owner, s, &parts, &of_others);
	for (const struct payer *p = owner->payments; p; p = p->next_paid)
		if (p->session->owner != owner) /* else it is about to be its owner */
			live |= memlock_count(owner, p->session, &parts, &of_others);
	parts.user_sum =
		limits_add(ledger_user_mode_sum(owner->broker->ledger, owner->uid), of_others);
	*ret_value = limits_memlock(&parts);
	return live;
}

void memlock_inherit(struct owner *owner, const struct owner *from)
{
	struct record_owner *body = &record_at(owner->broker->record, owner->slot)->owner;
	struct rlimit now;

	if (owner->changed || owner->exempt || !from->changed || memlock_read(owner, &now) ||
	    !memlock_equal(&now, &from->ours))
		return;
	/* Never more than it has: it may have lowered its limit to just that by itself. */
	owner->original.rlim_cur = memlock_lesser(from->original.rlim_cur, now.rlim_cur);
	owner->original.rlim_max = memlock_lesser(from->original.rlim_max, now.rlim_max);
	owner->ours = from->ours;
	owner->changed = true;
	body->original_cur = owner->original.rlim_cur;
	body->original_max = owner->original.rlim_max;
	body->ours = body->next = from->ours.rlim_cur;
	record_barrier();
	body->changed = true;
}

/* Nothing is changed after an error. */
int memlock_limit(struct owner *owner, bool force)
{
	struct rlimit now;
	rlim_t value;
	int err;

	if (owner->exempt)
		return 0;
	if (!memlock_rule(owner, &value)) {
		memlock_restore(owner, force);
		return 0;
	}
	err = memlock_read(owner, &now);
	if (err)
		return err;
	memlock_remember(owner, &now);
	if (owner->changed && now.rlim_cur == value && now.rlim_max == value &&
	    owner->ours.rlim_cur == value)
		return 0;
	return memlock_set(owner, value);
}

uint64_t memlock_besides(const struct process *process, bool less_pinned)
{
	struct procfs_locked locked;

	if (procfs_locked(process->pid, &locked) || procfs_exited(process->pidfd) ||
	    locked.locked == UINT64_MAX)
		return 0;
	if (less_pinned)
		locked.locked -= locked.pinned < locked.locked ? locked.pinned : locked.locked;
	return locked.locked < MEMLOCK_BESIDES_MAX ? locked.locked : MEMLOCK_BESIDES_MAX;
}

/*
 * The daemon before may have been killed just before a change or after it: what it was setting is
 * ours, too, and a value that is (or is back to) the original was not changed. By the hard value,
 * as in memlock_put_back(). Recorded as such: the next thing that is being set takes its place.
 */
void memlock_revive(struct owner *owner)
{
	struct record_owner *body = &record_at(owner->broker->record, owner->slot)->owner;
	struct rlimit now;

	owner->original.rlim_cur = body->original_cur;
	owner->original.rlim_max = body->original_max;
	owner->ours.rlim_cur = owner->ours.rlim_max = body->ours;
	/* A kill between the two leaves what prlimit(2) would never take. */
	owner->original.rlim_cur = body->original_cur =
		memlock_lesser(owner->original.rlim_cur, owner->original.rlim_max);
	owner->changed = body->changed;
	if (!body->changed || memlock_read(owner, &now))
		return;
	if (memlock_equal(&now, &owner->original)) {
		owner->changed = false;
		body->changed = false;
	} else if (now.rlim_max == body->next) {
		owner->ours.rlim_cur = owner->ours.rlim_max = body->ours = body->next;
	}
}
