/* SPDX-License-Identifier: MIT */
/*
 * What the service manager passes at the start: its listening socket, and from its descriptor store
 * (FileDescriptorStoreMax= of systemd.service(5)) what a daemon before had it keep.
 *
 * That is, first, the gate: whoever has descriptors of its links and maps keeps its programs in the
 * kernel, also while no daemon runs, and whatever becomes of their pins in bpffs. Without a service
 * manager, or with one that keeps nothing, the pins alone do, and everything here does nothing.
 *
 * A name in the store is FDSTORE_PREFIX and a name of bpf/gate_spare.h.
 *
 * Second, sockets that sessions are handed off at (daemon/handoff.h), some of them, so that the
 * gate has its room: the others, and all where nobody keeps any, are passed again by who has them.
 * Their name is FDSTORE_HANDOFF and the session's id.
 */
#ifndef DAEMON_FDSTORE_H
#define DAEMON_FDSTORE_H

#include <stdbool.h>
#include <stdint.h>

struct fdstore;
struct gate;

#define FDSTORE_PREFIX "pinbroker-gate/" /* no ':', which ends a name in $LISTEN_FDNAMES */

#define FDSTORE_HANDOFF "pinbroker-handoff/"
#define FDSTORE_HANDOFFS_MAX 32

/**
 * fdstore_new() - take what was passed: the environment does not say it any more
 *
 * What is neither a socket nor kept for us is said and closed.
 *
 * Return: 0; -EINVAL: there is more than one socket, or $LISTEN_FDS is no number; -ENOMEM; -errno.
 */
int fdstore_new(struct fdstore **ret_store);

/* NULL is fine, here and in what follows: nothing was passed, and nobody keeps anything. */
void fdstore_free(struct fdstore *store);
void fdstore_freep(struct fdstore **store);

/* Whatever socket was passed, once; owned by the caller. -1: none. */
int fdstore_take_socket(struct fdstore *store);

/**
 * fdstore_restore() - pin again what is kept and not pinned any more, before the gate is opened
 * @dir: of the pins
 *
 * What it has done, and what was none of the gate, is logged. The descriptors are closed.
 *
 * Return: 0; -errno: a gate is kept that could not be pinned, or not all of it: it acts, and nobody
 * can look into it. What is unseen stays.
 */
int fdstore_restore(struct fdstore *store, const char *dir);

/*
 * Has the service manager close what is not of this gate, and not unseen, and keep everything of
 * the gate that is not kept yet; or nothing of it, where there is no room for all. What the gate
 * replaces must be pinned until then. Failures are logged.
 */
void fdstore_fill(struct fdstore *store, const struct gate *gate);

/* A session's socket as it was passed, once; owned by the caller. -1: none. */
int fdstore_take_handoff(struct fdstore *store, uint64_t id);

/* Has it kept, if there is room. Return: whether it may be, and is to be dropped. */
bool fdstore_keep_handoff(struct fdstore *store, uint64_t id, int fd);

/* One that may be kept, or was passed, is not needed any more. */
void fdstore_drop_handoff(struct fdstore *store, uint64_t id);

/* Likewise all that were passed and that nobody took. */
void fdstore_drop_handoffs(struct fdstore *store);

#endif
