/* SPDX-License-Identifier: MIT */
/* A process that a session is for, or lives with: a requester, or one that a requester names. */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/procfs.h"

struct peer;
struct proto_process;

struct process {
	int pidfd;
	pid_t pid;
	uid_t uid; /* real and effective */
	gid_t *gids; /* primary first, then supplementary */
	size_t n_gids;
};

/* Nothing is in it: process_fini() does nothing. */
#define PROCESS_INIT         \
	{                    \
		.pidfd = -1, \
	}

/* The requester; everything in it is borrowed from the peer. */
struct process process_of_peer(const struct peer *peer);

/**
 * process_open() - the process that a requester names
 * @named: its fields are within their rules (common/proto.h)
 * @ret_process: owned by the caller: process_fini()
 *
 * Return: 0; -ESRCH: it has exited, or another one has its pid; -EPERM: its real and effective ids
 * differ; -errno.
 */
int process_open(const struct proto_process *named, struct process *ret_process);

/* Frees what process_open() gave, and empties it. */
void process_fini(struct process *process);

/**
 * process_capable() - as procfs_capable(), believed
 *
 * Return: 0; -ESRCH: it has exited; -errno.
 */
int process_capable(const struct process *process, bool *ret_capable);

/**
 * process_cgroup() - as procfs_cgroup(), believed
 *
 * Return: 0; -ENODATA: it is in none; -ESRCH: it has exited; -errno.
 */
int process_cgroup(const struct process *process, char ret_cgroup[static PROCFS_CGROUP_MAX]);

/* Why process_open() failed, to follow "process 1 cannot be the owner: ". */
const char *process_strerror(int err);

/* SIGKILL. Return: 0; -ESRCH: it has exited; -EPERM. */
int process_kill(int pidfd);

#endif
