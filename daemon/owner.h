/* SPDX-License-Identifier: MIT */
/*
 * An owner: a process that sessions live with. Known by its pidfd, whose inode number names the
 * process for the whole boot (pidfs, 6.9); its pid is only for people and for calls that have no
 * pidfd form, and those are checked against the pidfd afterwards.
 *
 * Keeps RLIMIT_MEMLOCK of the process right, by one rule (memlock.h), at each open, end and
 * change of a session and with nobody touching a running VM by hand. The value before the first
 * change is remembered, and put back only where the value is still ours. All of it is in the
 * record before it is done. Exists while it has a session or is being given one.
 */
#ifndef DAEMON_OWNER_H
#define DAEMON_OWNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct broker;
struct owner_table;
struct payer;
struct session;

struct owner {
	struct owner *next; /* of the table's bucket of inodes */
	struct owner *next_uid, **link_uid; /* of its bucket of uids */
	struct broker *broker; /* borrowed */
	struct session *sessions;
	struct payer *payments; /* sessions of others that it maps through */
	uint64_t inode; /* of its pidfd */
	pid_t pid;
	uid_t uid;
	int pidfd; /* owned */
	uint64_t watch; /* for its exit */
	uint64_t locked_besides; /* bytes of mlock(2) when its first session was opened */
	bool exempt;
	struct rlimit original; /* of RLIMIT_MEMLOCK, before the first change */
	struct rlimit ours; /* what was set last */
	bool changed; /* original and ours are meaningful */
	uint32_t slot; /* of the record */
};

/* A process that is to be an owner. */
struct owner_plan {
	int pidfd; /* borrowed */
	pid_t pid;
	uid_t uid; /* the real one: by whose counter it is charged */
	uint64_t locked_besides; /* bytes that stay locked besides its sessions */
	/*
	 * It has CAP_IPC_LOCK, so that the kernel checks nothing for it: a manager that holds a
	 * session until another process adopts it. Its limit is left alone.
	 */
	bool exempt;
};

int owner_table_new(struct broker *broker, struct owner_table **ret_table);

/* Forgets every owner; their limits stay as they are, and so does the record. NULL is fine. */
void owner_table_free(struct owner_table *table);

/**
 * owner_get() - the owner that a process is, made if there is none
 * @plan: of one that exists pidfd and uid are looked at; it is exempt only if it still is
 *
 * Return: 0; -EPERM: it owns sessions as another uid; -ENOMEM, -EMFILE, -errno of record_add().
 * Nothing is made then.
 */
int owner_get(struct owner_table *table, const struct owner_plan *plan, struct owner **ret_owner);

/* It has no session, and pays for none. */
bool owner_is_idle(const struct owner *owner);

/* Frees an owner that is idle, putting its limit back. */
void owner_put(struct owner *owner);

/* Brings the limit of one in line with its sessions; a failure is its alone, and logged. */
void owner_limit(struct owner *owner, bool force);

/* The owner with this pidfd inode; NULL: none. */
struct owner *owner_find(struct owner_table *table, uint64_t inode);

void owner_add_session(struct owner *owner, struct session *session);

/**
 * owner_limit_session() - bring RLIMIT_MEMLOCK in line with a session that was added or changed
 *
 * Of its owner and its payers, and in user mode of every other owner of the uid: their pages are
 * charged to the same counter, each against its own limit.
 *
 * Return: 0; -ESRCH: the owner has exited; -errno of prlimit(2) on the owner. Siblings that fail
 * are logged. After an error the same call, with the session as it was, or owner_end_session()
 * puts right what was changed.
 */
int owner_limit_session(struct session *session);

/* The same for a session whose owner has exited: the other owners of its uid. */
void owner_limit_orphan(struct broker *broker, const struct session *session);

/**
 * owner_give_up() - bring limits in line after a session was revoked
 * @force: it is taken away, not given up: also if the process has lowered its limit since
 *
 * Of its owner and its payers: nobody else's depends on it. A failure is logged: the session is
 * revoked either way.
 */
void owner_give_up(const struct session *session, bool force);

/**
 * owner_move_session() - let a session live with another owner
 *
 * Return: 0, and the old owner is gone if it was its last session; -errno of owner_limit_session()
 * for the new one, with nothing changed.
 */
int owner_move_session(struct session *session, struct owner *owner);

/* Frees a session and brings the limits of those who stay in line. The owner stays. */
void owner_end_session(struct broker *broker, struct session *session);

/**
 * owner_revive() - an owner as a daemon before this one recorded it
 * @slot: of the record, of kind RECORD_OWNER; the owner's from here on
 *
 * Return: 0; -ESRCH: that process has exited; -errno. The slot is untouched then.
 */
int owner_revive(struct owner_table *table, uint32_t slot, struct owner **ret_owner);

/* After all sessions and payers are back: every owner's limit, and those that are idle go. */
void owner_revived(struct owner_table *table);

#endif
