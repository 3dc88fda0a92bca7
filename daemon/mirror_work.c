/* SPDX-License-Identifier: MIT */
#include "daemon/mirror_work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "daemon/procfs.h"

#define MIRROR_STALL_MS 100 /* of a second: told as pressure */

struct mirror_pids *mirror_pids_new(size_t n)
{
	struct mirror_pids *pids = malloc(sizeof(*pids) + n * sizeof(pid_t));

	if (!pids)
		return NULL;
	atomic_init(&pids->refs, 1);
	pids->n = 0;
	return pids;
}

struct mirror_pids *mirror_pids_ref(struct mirror_pids *pids)
{
	(void)atomic_fetch_add(&pids->refs, 1);
	return pids;
}

void mirror_pids_unref(struct mirror_pids *pids)
{
	if (pids && atomic_fetch_sub(&pids->refs, 1) == 1)
		free(pids);
}

struct mirror_look *mirror_look_new(const struct mirror_tools *tools, struct mirror *mirror)
{
	struct mirror_look *look = calloc(1, sizeof(*look));

	if (!look)
		return NULL;
	look->job.work = mirror_look_work;
	look->tools = tools;
	look->mirror = mirror;
	look->watches = (struct mirror_watch_fds){-1, -1};
	return look;
}

void mirror_look_free(struct mirror_look *look)
{
	if (!look)
		return;
	mirror_pids_unref(look->pids);
	cgm_place_fini(&look->place);
	free(look->cgroup);
	fd_closep(&look->watches.events);
	fd_closep(&look->watches.pressure);
	free(look);
}

/* The cgroup of the process that was meant, and of no other with its pid. */
static int mirror_look_cgroup(const struct mirror_look *look,
			      char ret_cgroup[static PROCFS_CGROUP_MAX])
{
	CLEANUP(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, look->pid, 0);
	struct stat st;
	int err;

	if (pidfd < 0 || fstat(pidfd, &st) < 0)
		return -errno;
	if (st.st_ino != look->inode)
		return -ESRCH;
	err = procfs_cgroup(look->pid, ret_cgroup);
	return procfs_exited(pidfd) ? -ESRCH : err;
}

static int mirror_look_find(struct mirror_look *look, const char *cgroup)
{
	return cgm_place_find(look->tools->tree, cgroup, look->pids ? look->pids->pids : NULL,
			      look->pids ? look->pids->n : 0, &look->place);
}

static int mirror_look_place(struct mirror_look *look)
{
	char cgroup[PROCFS_CGROUP_MAX];
	int err = mirror_look_cgroup(look, cgroup);

	if (err)
		return err == -EINVAL ? -ESRCH : err; /* a thread's pid by now */
	if (look->cgroup && strcmp(look->cgroup, cgroup) == 0)
		return 0;
	free(look->cgroup);
	look->cgroup = strdup(cgroup);
	return look->cgroup ? mirror_look_find(look, cgroup) : -ENOMEM;
}

/* A path without an id, an id without a path, or both, which the first reading compares. */
static int mirror_look_name(struct mirror_look *look)
{
	const struct cgm_tree *tree = look->tools->tree;
	struct cgm_name *name = &look->place.target;
	struct cgm_name found;
	int err = 0;

	if (name->path[0] && name->id && !look->judge)
		return 0;
	err = name->id ? cgm_group_find(tree, name->id, &found)
		       : cgm_group_name(tree, name->path, &found);
	if (!err)
		*name = found;
	return !err && look->judge ? mirror_look_find(look, found.path) : err;
}

/* Without events, or without a manager that answers, the rest is worth having. */
static void mirror_look_besides(struct mirror_look *look)
{
	const struct mirror_tools *tools = look->tools;
	const struct cgm_name *name = &look->place.target;

	if (look->ask_unit && tools->manager)
		look->has_unit = cgm_manager_unit(tools->manager, name, look->unit) == 0;
	if (!look->open_watches)
		return;
	if (cgm_events_open(tools->tree, name, &look->watches.events))
		look->watches.events = -1;
	if (cgm_pressure_open(tools->tree, name, MIRROR_STALL_MS, &look->watches.pressure))
		look->watches.pressure = -1;
}

void mirror_look_work(struct worker_job *job)
{
	struct mirror_look *look = container_of(job, struct mirror_look, job);
	const struct cgm_tree *tree = look->tools->tree;

	look->err = look->pid ? mirror_look_place(look) : mirror_look_name(look);
	if (look->err || look->place.verdict == CGM_ROOT || look->place.verdict == CGM_TOO_DEEP)
		return;
	look->err = cgm_group_limits(tree, &look->place.target, &look->limits);
	if (!look->err)
		look->err = cgm_group_usage(tree, &look->place.target, &look->usage);
	if (!look->err)
		mirror_look_besides(look);
}

int mirror_write_order(const struct mirror_tools *tools, const struct cgm_name *name,
		       const char *unit, struct mirror_order *order)
{
	struct cgm_usage usage;
	int err;

	if (!unit || !tools->manager || order->key >= CGM_HUGE_MAX_FIRST)
		return cgm_group_set(tools->tree, name, order->key, order->value, &order->value);
	/* As cgm_group_set() does: the manager writes whatever it is told. */
	err = cgm_group_usage(tools->tree, name, &usage);
	if (err)
		return err;
	if (order->key == CGM_MEMORY_MAX && order->value < usage.current)
		order->value = usage.current;
	return cgm_manager_set(tools->manager, unit, order->key, order->value);
}

void mirror_write_work(struct worker_job *job)
{
	struct mirror_write *write = container_of(job, struct mirror_write, job);

	for (size_t i = 0; i < write->n; i++)
		write->orders[i].err =
			mirror_write_order(write->tools, &write->name,
					   write->has_unit ? write->unit : NULL, &write->orders[i]);
}
