/* SPDX-License-Identifier: MIT */
/*
 * Sessions for contexts that somebody else opens, as libvirt does: share and devices are reserved
 * first, by whom it asks. The gate takes a context into the session at the first BIND of a device
 * of it, before anything is mapped (bpf/gate_expect.h); then it is active, and the process that did
 * that may become its owner. What does not come in time ends.
 *
 * Without a gate nothing says that it has come: it is whoever becomes the owner that has it.
 */
#ifndef DAEMON_RESERVE_H
#define DAEMON_RESERVE_H

#include <stdbool.h>
#include <stdint.h>

struct broker;
struct peer;
struct process;
struct proto_header;
struct session;

/* Handler of PROTO_RESERVE; see request.c. */
int reserve_open(struct peer *peer, const struct proto_header *header, const void *body);

/*
 * Something became of a session that is pending: from here on it is active, if it was reserved and
 * its context has come; or revoked, if it was given up meanwhile. Return: whether it is.
 */
bool reserve_bound(struct broker *broker, struct session *session);

/* One that is pending is given up: it ends, unless its context has come at this moment. */
void reserve_end(struct broker *broker, struct session *session);

/**
 * reserve_fault() - why a process may not become the owner of a session
 * @inode: of its pidfd
 *
 * Return: a phrase to follow "process 1 "; NULL: it may.
 */
const char *reserve_fault(const struct broker *broker, const struct session *session,
			  uint64_t inode);

/*
 * Sets the timer by which the first that is pending, reserved or handed off, ends.
 * Return: 0; -ENOMEM.
 */
int reserve_arm(struct broker *broker);

/* A process has become the owner. */
void reserve_owned(struct broker *broker, struct session *session);

/* At a start, after sessions know their slots, and who is handed off. Return: 0; -ENOMEM. */
int reserve_resume(struct broker *broker);

#endif
