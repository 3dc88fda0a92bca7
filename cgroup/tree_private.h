/* SPDX-License-Identifier: MIT */
/* What only the files of cgroup/ know of the hierarchy, and its tests, which make one of a
 * directory. */
#ifndef CGROUP_TREE_PRIVATE_H
#define CGROUP_TREE_PRIVATE_H

#include <stdio.h>
#include <sys/types.h>

#include "cgroup/tree.h"

struct cgm_tree {
	int fd; /* owned: the mount point, O_PATH */
	dev_t dev; /* of everything in it: what is mounted on top of a cgroup is none */
	char *point; /* owned: the mount point's path, which libcgroup puts before each name */
	size_t n_huge;
	uint64_t huge[CGM_HUGE_MAX];
};

/* What /proc/self/mountinfo says of cgroups. */
struct cgm_mounts {
	bool v1; /* there is a hierarchy of version 1 */
	bool v2; /* one of version 2 is at the place asked for */
	bool whole; /* from its root on, not from a cgroup below */
	bool huge_in_memory;
};

/* @at: where version 2 is looked for. Return: 0; -errno. */
int cgm_mounts_read(FILE *mountinfo, const char *at, struct cgm_mounts *ret_mounts);

/* The sizes that the kernel's directory of them has, ascending, the first CGM_HUGE_MAX. */
size_t cgm_huge_sizes_read(int dir_fd, uint64_t ret_sizes[static CGM_HUGE_MAX]);

#endif
