/* SPDX-License-Identifier: MIT */
/*
 * An owner: a process that sessions live with. Known by its pidfd, whose inode number names the
 * process for the whole boot (pidfs, 6.9); its pid is only for people and for calls that have no
 * pidfd form, and those are checked against the pidfd afterwards.
 *
 * Keeps RLIMIT_MEMLOCK of the process right: the value before the first change is remembered, and
 * put back only where the value is still ours. Exists while it has a session or is being given one.
 */
#ifndef DAEMON_OWNER_H
#define DAEMON_OWNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct broker;
struct owner_table;
struct session;

struct owner {
	struct owner *next; /* of the table's bucket */
	struct broker *broker; /* borrowed */
	struct session *sessions;
	uint64_t inode; /* of its pidfd */
	pid_t pid;
	uid_t uid;
	int pidfd; /* owned */
	uint64_t watch; /* for its exit */
	uint64_t locked_besides; /* bytes of mlock(2) when its first session was opened */
	struct rlimit original; /* of RLIMIT_MEMLOCK, before the first change */
	struct rlimit ours; /* what was set last */
	bool changed; /* original and ours are meaningful */
};

int owner_table_new(struct broker *broker, struct owner_table **ret_table);

/* Forgets every owner; their limits stay as they are. NULL is fine. */
void owner_table_free(struct owner_table *table);

/**
 * owner_get() - the owner that a process is, made if there is none
 * @pidfd: borrowed
 * @locked_besides: bytes that stay locked besides its sessions; used when it is made
 *
 * Return: 0; -EPERM: it owns sessions as another uid; -ENOMEM, -EMFILE, -errno. Nothing is made
 * then.
 */
int owner_get(struct owner_table *table, int pidfd, pid_t pid, uid_t uid, uint64_t locked_besides,
	      struct owner **ret_owner);

/* Frees an owner that has no session, putting its limit back. */
void owner_put(struct owner *owner);

void owner_add_session(struct owner *owner, struct session *session);

/**
 * owner_limit_session() - bring RLIMIT_MEMLOCK in line with a session that was just added
 *
 * Of its owner, and in user mode of every other owner of the uid: their pages are charged to the
 * same counter, each against its own limit.
 *
 * Return: 0; -ESRCH: the owner has exited; -errno of prlimit(2) on the owner. Siblings that fail
 * are logged. After an error owner_end_session() puts right what was changed.
 */
int owner_limit_session(struct session *session);

/* Frees a session and brings the limits of those who stay in line. The owner stays. */
void owner_end_session(struct broker *broker, struct session *session);

#endif
