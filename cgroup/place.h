/* SPDX-License-Identifier: MIT */
/*
 * Where a process is, and where it can be put. Limits are set on the nearest ancestor with the
 * memory controller; that is its target if nobody else's processes are in it.
 */
#ifndef CGROUP_PLACE_H
#define CGROUP_PLACE_H

#include <sys/types.h>

#include "cgroup/group.h"

#define CGM_DEPTH_MAX 32 /* ancestors of a target; deeper ones are no targets */

/* Why there is no target. */
enum cgm_verdict {
	CGM_TARGET, /* there is one */
	CGM_ROOT, /* only the root of the hierarchy has the controller there */
	CGM_LOGIN, /* a login's scope, or the session manager's own cgroup */
	CGM_OTHERS, /* somebody else's process is in it: struct cgm_place::other */
	CGM_TOO_DEEP,
	CGM_CROWD, /* too many processes or cgroups are in it to look at each */
	CGM_VERDICTS,
};

struct cgm_place {
	enum cgm_verdict verdict;
	bool machine; /* a machine's scope by libvirt's layout: whatever is in it belongs to it */
	struct cgm_name target; /* but for CGM_ROOT and CGM_TOO_DEEP */
	pid_t other;
	size_t n_above; /* ancestors of the target that have memory.min, from the nearest on */
	struct cgm_name *above; /* the caller frees */
};

/**
 * cgm_place_find() - the target of a process
 * @path: its cgroup
 * @pids: processes of sessions, ascending; those they started, and theirs, are no others either
 *
 * Return: 0; -ENOENT: there is no such cgroup (any more); -ENOMEM; -errno.
 */
int cgm_place_find(const struct cgm_tree *tree, const char *path, const pid_t *pids, size_t n_pids,
		   struct cgm_place *ret_place);
void cgm_place_fini(struct cgm_place *place);

/* "the cgroup of a login is never written: /user.slice"; one line, with names as they are. */
void cgm_place_reason(const struct cgm_place *place, char *ret_text, size_t size);

/**
 * cgm_place_make() - a cgroup and those above it, with memory and hugetlb switched on down to it
 *
 * Return: 0, also if it is there; -EBUSY: one above has processes; -ENOTSUP: a threaded one is
 * above; -ENODATA: one above does not have the memory controller to give; -ENAMETOOLONG: more than
 * CGM_DEPTH_MAX above; -EINVAL: the root; -EACCES: also directly below the root, whose directory
 * its owner may not write (mode 0555) without CAP_DAC_OVERRIDE; -errno. What was made on the way is
 * removed again, the controllers stay switched on.
 */
int cgm_place_make(const struct cgm_tree *tree, const char *path, struct cgm_name *ret_name);

/* Puts a process there. Return: 0; -ESRCH; -ENOENT, -ESTALE; -errno. */
int cgm_place_move(const struct cgm_tree *tree, const struct cgm_name *name, pid_t pid);

/*
 * Removes it. Return: 0, also if it is gone; -EBUSY: somebody is in it, or a cgroup below; -errno.
 */
int cgm_place_remove(const struct cgm_tree *tree, const struct cgm_name *name);

#endif
