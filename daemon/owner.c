/* SPDX-License-Identifier: MIT */
#include "daemon/owner.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "accounting/ledger.h"
#include "accounting/limits.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/sys.h"
#include "daemon/broker.h"
#include "daemon/loop.h"
#include "daemon/procfs.h"
#include "daemon/session.h"

#define OWNER_BUCKETS 4096

struct owner_table {
	struct broker *broker; /* borrowed */
	struct owner *owners[OWNER_BUCKETS]; /* by inode */
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

void owner_add_session(struct owner *owner, struct session *session)
{
	assert(!session->owner);
	session->owner = owner;
	session->next_owned = owner->sessions;
	owner->sessions = session;
}

static void owner_remove_session(struct session *session)
{
	struct session **slot = &session->owner->sessions;

	while (*slot != session)
		slot = &(*slot)->next_owned;
	*slot = session->next_owned;
	session->next_owned = NULL;
	session->owner = NULL;
}

static void owner_free(struct owner *owner)
{
	assert(!owner->sessions);
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
			struct owner *owner = table->owners[i];

			table->owners[i] = owner->next;
			while (owner->sessions)
				owner_remove_session(owner->sessions);
			owner_free(owner);
		}
	}
	free(table);
}

static struct owner **owner_slot(struct owner_table *table, uint64_t inode)
{
	struct owner **slot = &table->owners[inode % OWNER_BUCKETS];

	while (*slot && (*slot)->inode != inode)
		slot = &(*slot)->next;
	return slot;
}

static void owner_unlink(struct owner *owner)
{
	struct owner **slot = owner_slot(owner->broker->owners, owner->inode);

	assert(*slot == owner);
	*slot = owner->next;
}

/* prlimit(2) by pid, believed only if the process behind the pidfd was there all the time. */
static int owner_prlimit(const struct owner *owner, const struct rlimit *wanted,
			 struct rlimit *ret_old)
{
	const struct sys_ops *sys = owner->broker->sys;
	struct rlimit old = {0}, now;
	int err = sys->prlimit(owner->pid, RLIMIT_MEMLOCK, wanted, &old);

	if (err)
		return err;
	if (!procfs_exited(owner->pidfd)) {
		*ret_old = old;
		return 0;
	}
	/* The pid may be somebody else's by now: take back what that one got from us. */
	if (wanted && sys->prlimit(owner->pid, RLIMIT_MEMLOCK, NULL, &now) == 0 &&
	    now.rlim_cur == wanted->rlim_cur && now.rlim_max == wanted->rlim_max)
		(void)sys->prlimit(owner->pid, RLIMIT_MEMLOCK, &old, NULL); /* it exited too */
	return -ESRCH;
}

static void owner_restore(struct owner *owner)
{
	struct rlimit now;
	int err;

	if (!owner->changed)
		return;
	owner->changed = false;
	err = owner_prlimit(owner, NULL, &now);
	if (err == 0 && now.rlim_cur == owner->ours.rlim_cur &&
	    now.rlim_max == owner->ours.rlim_max)
		err = owner_prlimit(owner, &owner->original, &now);
	else if (err == 0)
		log_notice("RLIMIT_MEMLOCK of process %d was changed by somebody else: it stays",
			   (int)owner->pid);
	if (err && err != -ESRCH)
		log_warning("RLIMIT_MEMLOCK of process %d cannot be put back: %s", (int)owner->pid,
			    strerror(-err));
}

void owner_put(struct owner *owner)
{
	if (owner->sessions)
		return;
	owner_restore(owner);
	owner_unlink(owner);
	owner_free(owner);
}

/* Nothing is changed after an error. */
static int owner_limit(struct owner *owner)
{
	struct limits_memlock parts = {.locked_besides = owner->locked_besides};
	struct rlimit wanted, old = {0};
	int err;

	for (const struct session *s = owner->sessions; s; s = s->next_owned) {
		if (s->extra_memlock > parts.extra)
			parts.extra = s->extra_memlock;
		if (s->accounting == POLICY_ACCOUNTING_TASK)
			parts.task_sum = limits_add(parts.task_sum, s->share.limit);
	}
	parts.user_sum = ledger_user_mode_sum(owner->broker->ledger, owner->uid);
	wanted.rlim_cur = wanted.rlim_max = limits_memlock(&parts);
	if (owner->changed && owner->ours.rlim_cur == wanted.rlim_cur)
		return 0;
	err = owner_prlimit(owner, &wanted, &old);
	if (err)
		return err;
	if (!owner->changed)
		owner->original = old;
	owner->changed = true;
	owner->ours = wanted;
	return 0;
}

/* For those whose sessions stay as they are: a failure is theirs alone. */
static void owner_limit_logged(struct owner *owner)
{
	int err = owner_limit(owner);

	/* -ESRCH: its exit is on the way to the loop. */
	if (err && err != -ESRCH)
		log_warning("RLIMIT_MEMLOCK of process %d cannot be set: %s", (int)owner->pid,
			    strerror(-err));
}

/* Every owner of a uid that has a session, but one. */
static void owner_limit_siblings(struct owner_table *table, uid_t uid, const struct owner *but)
{
	for (size_t i = 0; i < OWNER_BUCKETS; i++)
		for (struct owner *o = table->owners[i]; o; o = o->next)
			if (o->uid == uid && o != but && o->sessions)
				owner_limit_logged(o);
}

int owner_limit_session(struct session *session)
{
	struct owner *owner = session->owner;
	int err = owner_limit(owner);

	if (!err && session->accounting == POLICY_ACCOUNTING_USER)
		owner_limit_siblings(owner->broker->owners, owner->uid, owner);
	return err;
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
		owner_limit_logged(owner);
	if (user_mode)
		owner_limit_siblings(broker->owners, uid, owner);
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

		log_info("session %llx (%s) ended: its owner %d has exited",
			 (unsigned long long)session->id, session->name, (int)owner->pid);
		owner_end_session(owner->broker, session);
	}
	owner_unlink(owner);
	owner_free(owner);
}

int owner_get(struct owner_table *table, int pidfd, pid_t pid, uid_t uid, uint64_t locked_besides,
	      struct owner **ret_owner)
{
	CLEANUP(freep) struct owner *owner = NULL;
	struct owner **slot;
	struct stat st;
	int err;

	if (fstat(pidfd, &st) < 0)
		return -errno;
	slot = owner_slot(table, st.st_ino);
	if (*slot) {
		if ((*slot)->uid != uid)
			return -EPERM;
		*ret_owner = *slot;
		return 0;
	}
	owner = calloc(1, sizeof(*owner));
	if (!owner)
		return -ENOMEM;
	*owner = (struct owner){.broker = table->broker,
				.inode = st.st_ino,
				.pid = pid,
				.uid = uid,
				.locked_besides = locked_besides};
	owner->pidfd = fcntl(pidfd, F_DUPFD_CLOEXEC, 0);
	if (owner->pidfd < 0)
		return -errno;
	err = loop_watch(table->broker->loop, owner->pidfd, POLLIN, owner_exited, owner,
			 &owner->watch);
	if (err) {
		fd_closep(&owner->pidfd);
		return err;
	}
	*slot = owner;
	*ret_owner = STEAL(owner);
	return 0;
}
