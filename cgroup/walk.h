/* SPDX-License-Identifier: MIT */
/* For cgroup/ alone: every cgroup of a part of the hierarchy. */
#ifndef CGROUP_WALK_H
#define CGROUP_WALK_H

#include "cgroup/group.h"

/* Return: 0 to go on; anything else ends the walk. */
typedef int (*cgm_walk_fn)(const struct cgm_name *name, void *arg);

/**
 * cgm_walk() - a cgroup, and all below it
 *
 * Those that come and go meanwhile may be seen or not. Return: 0; what fn returned; -ENAMETOOLONG:
 * all was seen but what has no path; -ENOMEM; -errno: what could not be looked into.
 */
int cgm_walk(const struct cgm_tree *tree, const struct cgm_name *from, cgm_walk_fn fn, void *arg);

#endif
