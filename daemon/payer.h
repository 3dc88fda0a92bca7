/* SPDX-License-Identifier: MIT */
/*
 * A payer: a process that maps through a session it does not own. A VMM that was started by its
 * manager, a child, whoever got the descriptor: the kernel charges what it maps to it, and
 * compares that with its own RLIMIT_MEMLOCK, which is kept right as the owner's is
 * (daemon/owner.h).
 *
 * The gate tells of a process at its first ioctl, which in a VMM maps nothing; whose first one does
 * may come too early. Without a gate there are no payers.
 */
#ifndef DAEMON_PAYER_H
#define DAEMON_PAYER_H

#include <stdbool.h>

struct broker;
struct owner;
struct session;

struct payer {
	struct payer *next; /* struct session::payers */
	struct payer *next_paid; /* struct owner::payments */
	struct session *session;
	struct owner *owner; /* the process; exists while it has one of these, or a session */
};

/* Whoever has called since it was looked last, and may have what the session has, gets it. */
void payers_look(struct broker *broker, struct session *session);

/* The same at a start: limits stay as they are until owner_revived(). */
void payers_link(struct broker *broker, struct session *session);

/* The session's numbers have changed, or it was revoked. @force: as in owner_give_up() */
void payers_limit(const struct session *session, bool force);

/* The session ends. */
void payers_leave(struct broker *broker, struct session *session);

/* The process has exited. */
void payers_exited(struct owner *owner);

/* It is the session's owner from now on. */
void payers_promote(struct session *session, const struct owner *owner);

/* Forgets them, and changes no limit. */
void payers_free(struct owner *owner);

#endif
