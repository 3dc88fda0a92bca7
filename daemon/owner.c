/* SPDX-License-Identifier: MIT */
#include "daemon/owner.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accounting/ledger.h"
#include "accounting/limits.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/sys.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/loop.h"
#include "daemon/procfs.h"
#include "daemon/record.h"
#include "daemon/session.h"

#define OWNER_BUCKETS 4096

struct owner_table {
	struct broker *broker; /* borrowed */
	struct owner *owners[OWNER_BUCKETS]; /* by inode */
	struct owner *by_uid[OWNER_BUCKETS];
};

int owner_table_new(struct broker *broker, struct owner_table **ret_table)
{
	struct owner_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->broker = broker;
	*ret_table = table;
	return 0;
}

static void owner_link_session(struct owner *owner, struct session *session)
{
	session_set_owner(owner->broker->sessions, session, owner, owner->inode);
	session->next_owned = owner->sessions;
	owner->sessions = session;
}

void owner_add_session(struct owner *owner, struct session *session)
{
	assert(!session->owner);
	owner_link_session(owner, session);
}

/* The session and its record name the owner until one of the next two is through. */
static void owner_unlink_session(struct session *session)
{
	struct session **slot = &session->owner->sessions;

	while (*slot != session)
		slot = &(*slot)->next_owned;
	*slot = session->next_owned;
	session->next_owned = NULL;
}

static void owner_remove_session(struct session *session)
{
	struct owner *owner = session->owner;

	owner_unlink_session(session);
	session_set_owner(owner->broker->sessions, session, NULL, 0);
}

/* At no moment without an owner in the record: such a session would end at a restart. */
static void owner_take_session(struct owner *owner, struct session *session)
{
	owner_unlink_session(session);
	owner_link_session(owner, session);
}

static void owner_link(struct owner_table *table, struct owner *owner)
{
	struct owner **inode = &table->owners[owner->inode % OWNER_BUCKETS];
	struct owner **uid = &table->by_uid[owner->uid % OWNER_BUCKETS];

	owner->next = *inode;
	*inode = owner;
	owner->next_uid = *uid;
	if (*uid)
		(*uid)->link_uid = &owner->next_uid;
	owner->link_uid = uid;
	*uid = owner;
}

static void owner_unlink(struct owner_table *table, struct owner *owner)
{
	struct owner **slot = &table->owners[owner->inode % OWNER_BUCKETS];

	while (*slot != owner)
		slot = &(*slot)->next;
	*slot = owner->next;
	*owner->link_uid = owner->next_uid;
	if (owner->next_uid)
		owner->next_uid->link_uid = owner->link_uid;
}

/* Leaves its limit and the record alone. */
static void owner_free(struct owner *owner)
{
	owner_unlink(owner->broker->owners, owner);
	loop_cancel(owner->broker->loop, &owner->watch);
	fd_closep(&owner->pidfd);
	free(owner);
}

void owner_table_free(struct owner_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < OWNER_BUCKETS; i++) {
		while (table->owners[i]) {
			for (struct session *s = table->owners[i]->sessions; s; s = s->next_owned)
				s->owner = NULL;
			owner_free(table->owners[i]);
		}
	}
	free(table);
}

struct owner *owner_find(struct owner_table *table, uint64_t inode)
{
	struct owner *owner = table->owners[inode % OWNER_BUCKETS];

	while (owner && owner->inode != inode)
		owner = owner->next;
	return owner;
}

/*
 * What the pid has. It may be somebody else's by now: good enough to decide by, as a change that
 * comes of it is checked.
 */
static int owner_read(const struct owner *owner, struct rlimit *ret_now)
{
	return owner->broker->sys->prlimit(owner->pid, RLIMIT_MEMLOCK, NULL, ret_now);
}

/* prlimit(2) by pid, believed only if the process behind the pidfd was there all the time. */
static int owner_write(const struct owner *owner, const struct rlimit *wanted)
{
	const struct sys_ops *sys = owner->broker->sys;
	struct rlimit old = {0}, now;
	int err = sys->prlimit(owner->pid, RLIMIT_MEMLOCK, wanted, &old);

	if (err)
		return err;
	if (!procfs_exited(owner->pidfd))
		return 0;
	/* The pid may be somebody else's by now: take back what that one got from us. */
	if (owner_read(owner, &now) == 0 && now.rlim_cur == wanted->rlim_cur &&
	    now.rlim_max == wanted->rlim_max)
		(void)sys->prlimit(owner->pid, RLIMIT_MEMLOCK, &old, NULL); /* it exited too */
	return -ESRCH;
}

static bool owner_limits_equal(const struct rlimit *a, const struct rlimit *b)
{
	return a->rlim_cur == b->rlim_cur && a->rlim_max == b->rlim_max;
}

static rlim_t owner_lesser(rlim_t a, rlim_t b)
{
	return a < b ? a : b;
}

/*
 * Remembers what the limit goes back to: the value before the first change. What somebody else set
 * since then counts, as far as the process could not have set it itself: it can always lower both
 * values, and must not come out of a session with more than it went in with.
 */
static void owner_remember(struct owner *owner, const struct rlimit *now)
{
	struct record_owner *body = &record_at(owner->broker->record, owner->slot)->owner;

	if (owner->changed && owner_limits_equal(now, &owner->ours))
		return;
	if (!owner->changed || now->rlim_max > owner->ours.rlim_max) {
		owner->original = *now;
	} else {
		owner->original.rlim_cur = owner_lesser(owner->original.rlim_cur, now->rlim_cur);
		owner->original.rlim_max = owner_lesser(owner->original.rlim_max, now->rlim_max);
	}
	body->original_cur = owner->original.rlim_cur;
	body->original_max = owner->original.rlim_max;
}

/* Recorded before it is done: a value that is either ours or next is ours after a kill. */
static int owner_set(struct owner *owner, rlim_t value)
{
	struct record_owner *body = &record_at(owner->broker->record, owner->slot)->owner;
	const struct rlimit wanted = {.rlim_cur = value, .rlim_max = value};
	int err;

	body->next = value;
	record_barrier();
	body->changed = true;
	err = owner_write(owner, &wanted);
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
static bool owner_put_back(const struct owner *owner, const struct rlimit *now, bool force,
			   struct rlimit *ret_wanted)
{
	bool lowered = now->rlim_max < owner->ours.rlim_max;

	if (now->rlim_max > owner->ours.rlim_max || (lowered && !force))
		return false;
	*ret_wanted = owner->original;
	if (lowered)
		ret_wanted->rlim_max = owner_lesser(now->rlim_max, owner->original.rlim_max);
	if (now->rlim_cur != owner->ours.rlim_cur)
		ret_wanted->rlim_cur =
			lowered ? owner_lesser(now->rlim_cur, ret_wanted->rlim_cur) : now->rlim_cur;
	ret_wanted->rlim_cur = owner_lesser(ret_wanted->rlim_cur, ret_wanted->rlim_max);
	return true;
}

/* A change that no grant or order tells of: of those beside it, or back to what was. */
static void owner_audit(const struct owner *owner, const struct rlimit *from,
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
static void owner_restore(struct owner *owner, bool force)
{
	struct rlimit now, wanted;
	int err;

	if (!owner->changed)
		return;
	err = owner_read(owner, &now);
	if (err == 0 && !owner_put_back(owner, &now, force, &wanted)) {
		log_notice("RLIMIT_MEMLOCK of process %d was changed by somebody else: it stays",
			   (int)owner->pid);
		return;
	}
	if (err == 0)
		err = owner_write(owner, &wanted);
	if (err == 0)
		owner_audit(owner, &now, &wanted);
	else if (err != -ESRCH)
		log_warning("RLIMIT_MEMLOCK of process %d cannot be put back: %s", (int)owner->pid,
			    strerror(-err));
	owner->changed = false;
	record_at(owner->broker->record, owner->slot)->owner.changed = false;
}

void owner_put(struct owner *owner)
{
	if (owner->sessions)
		return;
	owner_restore(owner, false);
	record_drop(owner->broker->record, &owner->slot);
	owner_free(owner);
}

/*
 * The rule: what it has locked besides + extra-memlock + the larger of its task-mode sessions and
 * its uid's user-mode sessions. A revoked session gives its owner nothing; in user mode its pages
 * are on the counter of the uid as long as they are pinned, and so in the sum of the others.
 *
 * Return: false: nothing is to be mapped by it any more.
 */
static bool owner_rule(const struct owner *owner, rlim_t *ret_value)
{
	struct limits_memlock parts = {.locked_besides = owner->locked_besides};
	uint64_t of_others = 0;
	bool live = false;

	for (const struct session *s = owner->sessions; s; s = s->next_owned) {
		if (s->state == SESSION_REVOKED)
			continue;
		live = true;
		if (s->extra_memlock > parts.extra)
			parts.extra = s->extra_memlock;
		if (s->accounting == POLICY_ACCOUNTING_TASK)
			parts.task_sum = limits_add(parts.task_sum, s->share.limit);
		else if (s->uid != owner->uid) /* held for another: charged to itself for now */
			of_others = limits_add(of_others, s->share.limit);
	}
	parts.user_sum =
		limits_add(ledger_user_mode_sum(owner->broker->ledger, owner->uid), of_others);
	*ret_value = limits_memlock(&parts);
	return live;
}

/* Nothing is changed after an error. */
static int owner_limit(struct owner *owner, bool force)
{
	struct rlimit now;
	rlim_t value;
	int err;

	if (owner->exempt)
		return 0;
	if (!owner_rule(owner, &value)) {
		owner_restore(owner, force);
		return 0;
	}
	err = owner_read(owner, &now);
	if (err)
		return err;
	owner_remember(owner, &now);
	if (owner->changed && now.rlim_cur == value && now.rlim_max == value &&
	    owner->ours.rlim_cur == value)
		return 0;
	return owner_set(owner, value);
}

/* For those whose sessions stay as they are: a failure is theirs alone. */
static void owner_limit_logged(struct owner *owner, bool force)
{
	int err = owner_limit(owner, force);

	/* -ESRCH: its exit is on the way to the loop. */
	if (err && err != -ESRCH)
		log_warning("RLIMIT_MEMLOCK of process %d cannot be set: %s", (int)owner->pid,
			    strerror(-err));
}

/* One line for all: their number is in the hands of whoever makes one more. */
static void owner_audit_siblings(const struct broker *broker, uid_t uid, uint64_t n)
{
	struct audit audit UNINITIALIZED;

	audit_begin(&audit, broker, "siblings");
	audit_number(&audit, "owner_uid", uid);
	audit_number(&audit, "processes", n);
	audit_number(&audit, "user_mode_sum", ledger_user_mode_sum(broker->ledger, uid));
	audit_end(&audit, LOG_LEVEL_INFO);
}

/* Every owner of a uid that has a session, but one. */
static void owner_limit_siblings(struct owner_table *table, uid_t uid, const struct owner *but)
{
	uint64_t n = 0;

	for (struct owner *o = table->by_uid[uid % OWNER_BUCKETS]; o; o = o->next_uid) {
		const struct rlimit before = o->ours;

		if (o->uid != uid || o == but || !o->sessions)
			continue;
		owner_limit_logged(o, false);
		n += o->changed && !owner_limits_equal(&before, &o->ours);
	}
	if (n)
		owner_audit_siblings(table->broker, uid, n);
}

void owner_give_up(struct owner *owner, bool force)
{
	owner_limit_logged(owner, force);
}

int owner_limit_session(struct session *session)
{
	struct owner *owner = session->owner;
	int err = owner_limit(owner, false);

	if (!err && session->accounting == POLICY_ACCOUNTING_USER)
		owner_limit_siblings(owner->broker->owners, session->uid, owner);
	return err;
}

int owner_move_session(struct session *session, struct owner *owner)
{
	struct owner *old = session->owner;
	int err;

	if (old == owner)
		return 0;
	owner_take_session(owner, session);
	err = owner_limit(owner, false);
	if (err) {
		owner_take_session(old, session);
		return err;
	}
	if (old->sessions) {
		owner_limit_logged(old, true);
	} else {
		owner_restore(old, true);
		owner_put(old);
	}
	return 0;
}

void owner_end_session(struct broker *broker, struct session *session)
{
	bool user_mode = session->accounting == POLICY_ACCOUNTING_USER;
	struct owner *owner = session->owner;
	uid_t uid = session->uid;

	if (owner)
		owner_remove_session(session);
	session_free(broker->sessions, session);
	if (owner && owner->sessions)
		owner_limit_logged(owner, false);
	if (user_mode)
		owner_limit_siblings(broker->owners, uid, owner);
}

static void owner_audit_end(const struct owner *owner, const struct session *session)
{
	struct audit audit UNINITIALIZED;

	audit_begin(&audit, owner->broker, "ended");
	audit_session(&audit, session);
	audit_text(&audit, "text", "its owner has exited");
	audit_end(&audit, LOG_LEVEL_INFO);
}

/* The pidfd became readable: the process and all its threads are gone, and so are its limits. */
static void owner_exited(uint32_t events, void *arg)
{
	struct owner *owner = arg;

	(void)events;
	if (!procfs_exited(owner->pidfd)) /* a poll that failed: it is armed anew */
		return;
	while (owner->sessions) {
		struct session *session = owner->sessions;

		owner_audit_end(owner, session);
		owner_end_session(owner->broker, session);
	}
	record_drop(owner->broker->record, &owner->slot);
	owner_free(owner);
}

/* Takes over *pidfd and links a copy of what is there; the slot is the caller's affair. */
static int owner_new(struct owner_table *table, const struct owner *like, int *pidfd,
		     struct owner **ret_owner)
{
	CLEANUP(freep) struct owner *owner = calloc(1, sizeof(*owner));
	int err;

	if (!owner)
		return -ENOMEM;
	*owner = *like;
	owner->broker = table->broker;
	err = loop_watch(table->broker->loop, *pidfd, POLLIN, owner_exited, owner, &owner->watch);
	if (err)
		return err;
	owner->pidfd = STEAL_FD(*pidfd);
	owner_link(table, owner);
	*ret_owner = STEAL(owner);
	return 0;
}

static int owner_make(struct owner_table *table, const struct owner_plan *plan, uint64_t inode,
		      struct owner **ret_owner)
{
	CLEANUP(fd_closep) int pidfd = fcntl(plan->pidfd, F_DUPFD_CLOEXEC, 0);
	const union record_body body = {.owner = {.inode = inode,
						  .locked_besides = plan->locked_besides,
						  .pid = (uint32_t)plan->pid,
						  .uid = plan->uid,
						  .exempt = plan->exempt}};
	struct owner owner = {.inode = inode,
			      .pid = plan->pid,
			      .uid = plan->uid,
			      .locked_besides = plan->locked_besides,
			      .exempt = plan->exempt};
	int err;

	if (pidfd < 0)
		return -errno;
	err = record_add(table->broker->record, RECORD_OWNER, &body, &owner.slot);
	if (err)
		return err;
	err = owner_new(table, &owner, &pidfd, ret_owner);
	if (err)
		record_drop(table->broker->record, &owner.slot);
	return err;
}

int owner_get(struct owner_table *table, const struct owner_plan *plan, struct owner **ret_owner)
{
	struct owner *owner;
	struct stat st;

	if (fstat(plan->pidfd, &st) < 0)
		return -errno;
	owner = owner_find(table, st.st_ino);
	if (!owner)
		return owner_make(table, plan, st.st_ino, ret_owner);
	if (owner->uid != plan->uid)
		return -EPERM;
	/* It may have had the capability when it opened for another, and has it no more. */
	owner->exempt = owner->exempt && plan->exempt;
	record_at(table->broker->record, owner->slot)->owner.exempt = owner->exempt;
	*ret_owner = owner;
	return 0;
}

/*
 * The daemon before may have been killed just before a change or after it: what it was setting is
 * ours, too, and a value that is (or is back to) the original was not changed. By the hard value,
 * as in owner_put_back(). Recorded as such: the next thing that is being set takes its place.
 */
static void owner_revive_limit(struct owner *owner)
{
	struct record_owner *body = &record_at(owner->broker->record, owner->slot)->owner;
	struct rlimit now;

	owner->original.rlim_cur = body->original_cur;
	owner->original.rlim_max = body->original_max;
	owner->ours.rlim_cur = owner->ours.rlim_max = body->ours;
	/* A kill between the two leaves what prlimit(2) would never take. */
	owner->original.rlim_cur = owner_lesser(owner->original.rlim_cur, owner->original.rlim_max);
	owner->changed = body->changed;
	if (!body->changed || owner_read(owner, &now))
		return;
	if (owner_limits_equal(&now, &owner->original)) {
		owner->changed = false;
		body->changed = false;
	} else if (now.rlim_max == body->next) {
		owner->ours.rlim_cur = owner->ours.rlim_max = body->ours = body->next;
	}
}

int owner_revive(struct owner_table *table, uint32_t slot, struct owner **ret_owner)
{
	struct record_owner *body = &record_at(table->broker->record, slot)->owner;
	struct owner owner = {.inode = body->inode,
			      .pid = (pid_t)body->pid,
			      .uid = body->uid,
			      .locked_besides = body->locked_besides,
			      .exempt = body->exempt,
			      .slot = slot};
	CLEANUP(fd_closep) int pidfd = -1;
	struct stat st;
	int err;

	if (owner.pid <= 0 || owner_find(table, owner.inode))
		return -EBADMSG;
	pidfd = (int)syscall(SYS_pidfd_open, owner.pid, 0);
	if (pidfd < 0 || fstat(pidfd, &st) < 0)
		return -errno;
	if (st.st_ino != owner.inode) /* the pid is another process's by now */
		return -ESRCH;
	err = owner_new(table, &owner, &pidfd, ret_owner);
	if (!err)
		owner_revive_limit(*ret_owner);
	return err;
}

void owner_revived(struct owner_table *table)
{
	for (size_t i = 0; i < OWNER_BUCKETS; i++) {
		struct owner *next;

		for (struct owner *o = table->owners[i]; o; o = next) {
			next = o->next;
			if (o->sessions)
				owner_limit_logged(o, false);
			else
				owner_put(o);
		}
	}
}
