/* SPDX-License-Identifier: MIT */
/*
 * A peer: one connection, and who is at its other end by the kernel's word. A pid alone proves
 * nothing: the pidfd was made by the kernel at connect(2) and names that process for ever.
 */
#ifndef DAEMON_PEER_H
#define DAEMON_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "common/proto.h"
#include "daemon/lobby.h"

struct broker;
struct budget_user;
struct trace_listener;

/* What a connection is counted by, until its socket is closed, however long that takes. */
struct peer_account {
	struct broker *broker; /* borrowed */
	struct budget_user *user; /* NULL: not counted yet */
};

struct peer {
	struct peer *next, *prev; /* struct broker::peers */
	struct lobby_place lobby;
	struct broker *broker; /* borrowed */
	uint64_t number; /* no other peer's, for what is answered later */
	int fd; /* owned */
	bool sealed; /* no packet with descriptors can be in its queue: fdmsg_recv_plain() */
	bool passes; /* root: a packet may bring one */
	int passed_fd; /* owned; what came with the request in hand; -1: nothing */
	int pidfd; /* owned; of the process that connected */
	struct ucred cred; /* SO_PEERCRED: effective ids at connect */
	gid_t *gids; /* primary first, then supplementary; NULL: no policy has asked yet */
	size_t n_gids;
	struct peer_account *account; /* owned; by the closer once the peer is gone */
	struct trace_listener *listener; /* owned by the trace; NULL: it does not listen */
	uint64_t watch; /* of fd; LOOP_NONE during a pause */
	uint64_t pause; /* the timer that ends it */
};

/**
 * peer_new() - serve a connection
 * @fd: owned by the peer from here on, also on failure
 * @sealed: SO_PASSRIGHTS was off when it was connected
 *
 * The peer lives until its end hangs up, sends what is no message, does not take its answers, or
 * makes no first request in time (daemon/lobby.h).
 *
 * Return: 0; -EDQUOT: its uid has as many as it may, and was told so; -errno. On failure fd is
 * closed.
 */
int peer_new(struct broker *broker, int fd, bool sealed);

/* Hangs up. Its sessions live on. */
void peer_free(struct peer *peer);

/* Hangs up because of what it did or did not do; said in the log at most once a second. */
void peer_drop(struct peer *peer, int err);

/* What a request is answered with; everything is borrowed. */
struct peer_answer {
	const struct proto_header *request;
	enum proto_kind kind;
	struct iovec parts[2]; /* of the body */
	size_t n_parts;
	const int *fds;
	size_t n_fds;
};

/**
 * peer_send() - answer a request
 *
 * Return: 0; -EAGAIN: the peer does not take its answers; -errno of sendmsg(2). Nothing was sent
 * then, and the caller gives the peer up (by returning the error from its handler).
 */
int peer_send(const struct peer *peer, const struct peer_answer *answer);

#endif
