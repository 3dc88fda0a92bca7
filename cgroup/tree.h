/* SPDX-License-Identifier: MIT */
/*
 * The cgroup v2 hierarchy of this host, and what holds for all of it. Everything in cgroup/ may
 * block: in reclaim, behind a lock that somebody holds for long, for a service manager that does
 * not answer. Nothing of it is called by a thread that others wait for.
 */
#ifndef CGROUP_TREE_H
#define CGROUP_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CGM_HUGE_MAX 4 /* sizes of huge pages that a processor has; arm64 has 4 */
#define CGM_PATH_MAX 4096
#define CGM_NO_LIMIT UINT64_MAX /* "max" */

struct cgm_tree;

/**
 * cgm_tree_open() - find the hierarchy and start libcgroup
 *
 * Return: 0; -ENOTSUP: this host has the memory controller in cgroups v1 (also beside v2, hybrid);
 * -ENODEV: it is in none that is mounted; -EXDEV: not the whole hierarchy is mounted there, only
 * what is below one of its cgroups; -ENOMEM; -errno.
 */
int cgm_tree_open(struct cgm_tree **ret_tree);

/* NULL is fine. */
void cgm_tree_close(struct cgm_tree *tree);
void cgm_tree_closep(struct cgm_tree **tree);

/* The sizes that the hugetlb controller knows, in bytes, ascending. Return: how many. */
size_t cgm_tree_huge_sizes(const struct cgm_tree *tree, uint64_t ret_sizes[static CGM_HUGE_MAX]);

/*
 * Whether huge pages are charged to memory, too (mount option memory_hugetlb_accounting): they are
 * part of memory.current then. A remount changes it, so it is read anew each time.
 */
bool cgm_tree_huge_in_memory(const struct cgm_tree *tree);

/* For the other files of cgroup/: the mount point, O_PATH; borrowed. */
int cgm_tree_fd(const struct cgm_tree *tree);

#endif
