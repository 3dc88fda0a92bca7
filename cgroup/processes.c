/* SPDX-License-Identifier: MIT */
/* The processes of a cgroup: who is in it, and below. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup/file.h"
#include "cgroup/group.h"
#include "cgroup/kin.h"
#include "cgroup/walk.h"
#include "common/cleanup.h"

#define PROCESSES_MAX 4096 /* a machine has some hundred: this bounds what one look takes */
#define PROCESSES_CGROUPS_MAX 2048

/* All are taken down first: one that moves meanwhile would be told twice, or be read twice. */
struct processes {
	const struct cgm_tree *tree;
	const struct cgm_name *from;
	size_t n_cgroups;
	pid_t *pids; /* owned */
	size_t n_pids;
	size_t max_pids;
};

static int processes_add(struct processes *all, pid_t pid)
{
	if (all->n_pids == PROCESSES_MAX)
		return -E2BIG;
	if (all->n_pids == all->max_pids) {
		const size_t max = all->max_pids ? 2 * all->max_pids : 64;
		pid_t *pids = reallocarray(all->pids, max, sizeof(*pids));

		if (!pids)
			return -ENOMEM;
		all->pids = pids;
		all->max_pids = max;
	}
	all->pids[all->n_pids++] = pid;
	return 0;
}

static int processes_read(struct processes *all, FILE *file)
{
	char line[32];

	errno = 0;
	while (fgets(line, sizeof(line), file)) {
		int err = processes_add(all, (pid_t)strtol(line, NULL, 10));

		if (err)
			return err;
	}
	if (!ferror(file))
		return 0;
	return errno == ENODEV ? -ENOENT : -errno;
}

static int processes_of(struct processes *all, const struct cgm_name *name)
{
	CLEANUP(fd_closep) int dir_fd = -1, fd = -1;
	CLEANUP(file_closep) FILE *file = NULL;
	int err = cgm_dir_open_name(all->tree, name, &dir_fd);

	if (err)
		return err;
	fd = cgm_file_open(dir_fd, "cgroup.procs", O_RDONLY);
	if (fd < 0)
		return fd;
	file = fdopen(fd, "r");
	if (!file)
		return -errno;
	(void)STEAL_FD(fd); /* the stream's now */
	return processes_read(all, file);
}

/* Below, one that is gone has none, and those of threaded ones are told by their domain. */
static int processes_visit(const struct cgm_name *name, void *arg)
{
	struct processes *all = arg;
	int err = all->n_cgroups++ < PROCESSES_CGROUPS_MAX ? processes_of(all, name) : -E2BIG;

	if (name == all->from)
		return err;
	return err == -ENOENT || err == -ESTALE || err == -EOPNOTSUPP ? 0 : err;
}

int cgm_group_processes(const struct cgm_tree *tree, const struct cgm_name *name, cgm_process_fn fn,
			void *arg)
{
	struct processes all = {.tree = tree, .from = name};
	int err = cgm_walk(tree, name, processes_visit, &all);

	if (!err && all.n_pids)
		qsort(all.pids, all.n_pids, sizeof(*all.pids), cgm_pid_compare);
	for (size_t i = 0; !err && i < all.n_pids; i++) {
		if (i && all.pids[i] == all.pids[i - 1])
			continue;
		if (!fn(all.pids[i], arg))
			err = -ECANCELED;
	}
	free(all.pids);
	return err;
}
