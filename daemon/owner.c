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
#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/handoff.h"
#include "daemon/loop.h"
#include "daemon/memlock.h"
#include "daemon/mirror.h"
#include "daemon/payer.h"
#include "daemon/place.h"
#include "daemon/procfs.h"
#include "daemon/record.h"
#include "daemon/session.h"
#include "daemon/trace.h"
#include "daemon/warden.h"

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
	struct session **slot;

	if (!session->owner)
		return; /* an orphan */
	slot = &session->owner->sessions;
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
			payers_free(table->owners[i]);
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

bool owner_is_idle(const struct owner *owner)
{
	return !owner->sessions && !owner->payments;
}

void owner_put(struct owner *owner)
{
	if (!owner_is_idle(owner))
		return;
	memlock_restore(owner, false);
	record_drop(owner->broker->record, &owner->slot);
	owner_free(owner);
}

void owner_limit(struct owner *owner, bool force)
{
	int err = memlock_limit(owner, force);

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
		struct rlimit before;

		if (o->uid != uid || owner_is_idle(o) || (but && o == but))
			continue;
		before = o->ours;
		owner_limit(o, false);
		n += o->changed && !memlock_equal(&before, &o->ours);
	}
	if (n)
		owner_audit_siblings(table->broker, uid, n);
}

void owner_give_up(const struct session *session, bool force)
{
	if (session->owner)
		owner_limit(session->owner, force);
	payers_limit(session, force);
}

int owner_limit_session(struct session *session)
{
	struct owner *owner = session->owner;
	int err = memlock_limit(owner, false);

	payers_limit(session, false);
	if (!err && session->accounting == POLICY_ACCOUNTING_USER)
		owner_limit_siblings(owner->broker->owners, session->uid, owner);
	return err;
}

void owner_limit_orphan(struct broker *broker, const struct session *session)
{
	payers_limit(session, false);
	if (session->accounting == POLICY_ACCOUNTING_USER)
		owner_limit_siblings(broker->owners, session->uid, NULL);
}

int owner_move_session(struct session *session, struct owner *owner)
{
	struct owner *old = session->owner;
	int err;

	if (old == owner)
		return 0;
	owner_take_session(owner, session);
	err = memlock_limit(owner, false);
	if (err) {
		if (old)
			owner_take_session(old, session);
		else
			owner_remove_session(session);
		return err;
	}
	payers_promote(session, owner);
	if (!old)
		return 0;
	/* If it maps again it is told again. */
	warden_forget_caller(old->broker, session, old->inode);
	if (!owner_is_idle(old)) {
		owner_limit(old, true);
	} else {
		memlock_restore(old, true);
		owner_put(old);
	}
	return 0;
}

void owner_end_session(struct broker *broker, struct session *session)
{
	bool user_mode = session->accounting == POLICY_ACCOUNTING_USER;
	struct owner *owner = session->owner;
	uid_t uid = session->uid;

	handoff_end(session);
	if (owner)
		owner_remove_session(session);
	payers_leave(broker, session);
	mirror_end(broker->mirror, session);
	place_end(broker, session);
	warden_forget(broker, session);
	session_free(broker->sessions, session);
	if (owner && !owner_is_idle(owner))
		owner_limit(owner, false);
	if (user_mode)
		owner_limit_siblings(broker->owners, uid, owner);
}

static void owner_audit_end(const struct owner *owner, const struct session *session,
			    const char *event)
{
	struct audit audit UNINITIALIZED;

	trace_audit(owner->broker, event, session, NULL);
	audit_begin(&audit, owner->broker, event);
	audit_session(&audit, session);
	audit_text(&audit, "text", "its owner has exited");
	audit_end(&audit, LOG_LEVEL_INFO);
}

/* Who else has its descriptors goes on within its limits: it is an orphan. */
static void owner_leave_session(struct owner *owner, struct session *session)
{
	bool held = warden_holds(owner->broker, session);

	owner_audit_end(owner, session, held ? "orphaned" : "ended");
	if (held) {
		owner_remove_session(session);
		mirror_changed(owner->broker->mirror, session);
	} else {
		owner_end_session(owner->broker, session);
	}
}

/* The pidfd became readable: the process and all its threads are gone, and so are its limits. */
static void owner_exited(uint32_t events, void *arg)
{
	struct owner *owner = arg;

	(void)events;
	if (!procfs_exited(owner->pidfd)) /* a poll that failed: it is armed anew */
		return;
	payers_exited(owner);
	while (owner->sessions) {
		warden_forget_caller(owner->broker, owner->sessions, owner->inode);
		owner_leave_session(owner, owner->sessions);
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
		memlock_revive(*ret_owner);
	return err;
}

void owner_revived(struct owner_table *table)
{
	for (size_t i = 0; i < OWNER_BUCKETS; i++) {
		struct owner *next;

		for (struct owner *o = table->owners[i]; o; o = next) {
			next = o->next;
			if (!owner_is_idle(o))
				owner_limit(o, false);
			else
				owner_put(o);
		}
	}
}
