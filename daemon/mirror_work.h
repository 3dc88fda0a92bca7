/* SPDX-License-Identifier: MIT */
/*
 * What the mirror does in the worker's thread: looks at cgroups, and writes limits. A job has all
 * it needs, and what it found is in it when it is done.
 */
#ifndef DAEMON_MIRROR_WORK_H
#define DAEMON_MIRROR_WORK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup/manager.h"
#include "cgroup/place.h"
#include "daemon/worker.h"

struct mirror;

/* What only the thread uses. */
struct mirror_tools {
	struct cgm_tree *tree;
	struct cgm_manager *manager; /* NULL: process 1 is not systemd */
};

/* Processes of sessions, ascending; shared by the jobs that need them. */
struct mirror_pids {
	atomic_uint refs;
	size_t n;
	pid_t pids[];
};

/* Room for n; none is in it. Return: NULL: no memory. */
struct mirror_pids *mirror_pids_new(size_t n);
struct mirror_pids *mirror_pids_ref(struct mirror_pids *pids);
void mirror_pids_unref(struct mirror_pids *pids); /* NULL is fine */

/* Files that tell of events; -1: none. */
struct mirror_watch_fds {
	int events, pressure; /* owned */
};

/*
 * A look at the target of a process, or at a cgroup that is known.
 *
 * In: who it is for, and a process or a name. Out: err, and the rest where that is 0.
 */
struct mirror_look {
	struct worker_job job; /* first */
	const struct mirror_tools *tools;
	struct mirror *mirror; /* for done() */
	uint64_t session; /* likewise: whose target is looked for */
	uint64_t id; /* likewise: of a cgroup that is known */
	pid_t pid; /* 0: what place.target says, or its id alone */
	uint64_t inode; /* of its pidfd */
	/* Owned; where the process was when place.target was found for it: so it is, if it is still
	 * there. NULL: that is to be found. Out: where it is. */
	char *cgroup;
	bool judge; /* without a process: also whether place.target is one */
	struct mirror_pids *pids; /* a reference */
	bool ask_unit, open_watches;
	int err; /* -ESRCH: the process has exited; -ENOENT, -ESTALE: the cgroup is gone; -errno */
	struct cgm_place place;
	struct cgm_limits limits;
	struct cgm_usage usage;
	bool has_unit; /* systemd's: unit */
	char unit[CGM_UNIT_MAX];
	struct mirror_watch_fds watches;
};

/* Of a process, or of a cgroup. Return: NULL: no memory. */
struct mirror_look *mirror_look_new(const struct mirror_tools *tools, struct mirror *mirror);
void mirror_look_free(struct mirror_look *look);
void mirror_look_work(struct worker_job *job);

/* One limit to be written. */
struct mirror_order {
	enum cgm_key key;
	uint64_t value; /* in; out: what was written */
	int err;
};

struct mirror_write {
	struct worker_job job; /* first */
	const struct mirror_tools *tools;
	struct mirror *mirror;
	bool has_unit;
	struct cgm_name name;
	char unit[CGM_UNIT_MAX];
	size_t n;
	struct mirror_order orders[CGM_KEYS];
};

void mirror_write_work(struct worker_job *job);

/* Writes one limit, through whoever owns the cgroup. Also for mirror_purge(), without a thread. */
int mirror_write_order(const struct mirror_tools *tools, const struct cgm_name *name,
		       const char *unit, struct mirror_order *order);

#endif
