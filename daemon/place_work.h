/* SPDX-License-Identifier: MIT */
/* How cgroups for sessions are made and removed, in the worker's thread. */
#ifndef DAEMON_PLACE_WORK_H
#define DAEMON_PLACE_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "accounting/policy.h"
#include "cgroup/place.h"
#include "common/proto.h"
#include "daemon/mirror_work.h"
#include "daemon/worker.h"

struct broker;

#define PLACE_LEVELS 4 /* the parent, its policies, their users, the session */

/* A cgroup for a session, and its owner into it. */
struct place_making {
	struct worker_job job; /* first */
	const struct mirror_tools *tools;
	struct broker *broker; /* for done() */
	uint64_t peer; /* likewise: struct peer::number */
	struct proto_header header; /* likewise: of the request */
	/* In. */
	uint64_t session;
	uid_t uid;
	pid_t pid;
	uint64_t inode; /* of the pidfd */
	char parent[CGM_PATH_MAX];
	char policy[POLICY_NAME_MAX + 1];
	char name[PROTO_NAME_MAX + 1];
	/* Out. */
	int err;
	char fault[256];
	size_t n_levels; /* that are there, from the parent down */
	struct place_level {
		uint64_t id; /* of the cgroup */
		bool made; /* also after an error: it is to be removed */
	} levels[PLACE_LEVELS];
	bool kept; /* by systemd, which has made them and removes them */
	struct cgm_name place; /* the last one */
};

void place_making_work(struct worker_job *job);

/* One of them goes; there is one of these for each that is to. */
struct place_removal {
	struct worker_job job; /* first */
	const struct mirror_tools *tools;
	struct broker *broker;
	uint64_t id; /* of the cgroup */
	bool listens; /* whether fd is wanted */
	int err; /* -EBUSY: somebody is in it, and fd tells when that changes */
	int fd; /* owned; -1 */
	/* The loop's. */
	struct place_removal *next; /* struct mirror::removals */
	uint64_t watch; /* of fd */
	bool busy; /* it is in the worker's hands */
	bool again; /* and to be tried once more */
};

/* Not in anybody's hands yet. Return: NULL: no memory. */
struct place_removal *place_removal_new(const struct mirror_tools *tools, struct broker *broker,
					uint64_t id);
void place_removal_work(struct worker_job *job);

#endif
