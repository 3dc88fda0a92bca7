/* SPDX-License-Identifier: MIT */
/*
 * One cgroup: named by its path, known by its id (the inode of its directory, never used twice in
 * one boot). A path alone proves nothing: a cgroup may be removed and another made in its place, so
 * each call takes both and fails with -ESTALE where they do not fit.
 */
#ifndef CGROUP_GROUP_H
#define CGROUP_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup/tree.h"

struct cgm_name {
	uint64_t id;
	char path[CGM_PATH_MAX]; /* "/a/b", from the root of the hierarchy */
};

/* Limits that are mirrored, one file each. Bytes; CGM_NO_LIMIT: "max". */
enum cgm_key {
	CGM_MEMORY_MIN,
	CGM_MEMORY_MAX,
	CGM_HUGE_MAX_FIRST, /* hugetlb.SIZE.max, in the order of cgm_tree_huge_sizes() */
	CGM_KEYS = CGM_HUGE_MAX_FIRST + CGM_HUGE_MAX,
};

/* "memory.min", "hugetlb.2MB.max"; for messages. */
void cgm_key_name(const struct cgm_tree *tree, enum cgm_key key, char ret_name[static 32]);

struct cgm_limits {
	uint64_t value[CGM_KEYS];
	bool known[CGM_KEYS]; /* false: there is no such file here */
};

/* What is charged. Bytes. */
struct cgm_usage {
	uint64_t current; /* memory.current */
	uint64_t anon;
	uint64_t shmem;
	uint64_t huge[CGM_HUGE_MAX]; /* hugetlb.SIZE.current; 0: no such file */
};

/**
 * cgm_group_find() - the path of a cgroup that is known by its id only
 *
 * Walks the whole hierarchy: for starts and ends. Return: 0; -ENOENT: it is gone; -errno.
 */
int cgm_group_find(const struct cgm_tree *tree, uint64_t id, struct cgm_name *ret_name);

/* The id of what is at a path now. Return: 0; -ENOENT; -errno. */
int cgm_group_name(const struct cgm_tree *tree, const char *path, struct cgm_name *ret_name);

/*
 * A file that is not there is not known, or nothing is in use. Return: 0; -ENOENT, -ESTALE: the
 * cgroup is gone; -errno.
 */
int cgm_group_limits(const struct cgm_tree *tree, const struct cgm_name *name,
		     struct cgm_limits *ret_limits);
int cgm_group_usage(const struct cgm_tree *tree, const struct cgm_name *name,
		    struct cgm_usage *ret_usage);

/**
 * cgm_group_set() - write a limit
 *
 * A maximum below what is in use is raised to it, by a reading right before: the kernel would
 * reclaim and then kill. *ret_value is what was written: up to whole pages, so that the same is
 * read from there.
 *
 * Return: 0; -ENOENT, -ESTALE: the cgroup is gone; -ENODATA: it has no such limit; -EACCES, -EBUSY,
 * -EINVAL, -errno of write(2).
 */
int cgm_group_set(const struct cgm_tree *tree, const struct cgm_name *name, enum cgm_key key,
		  uint64_t value, uint64_t *ret_value);

/* @pid: 0 for one that our pid namespace does not show. Return: true to go on. */
typedef bool (*cgm_process_fn)(pid_t pid, void *arg);

/**
 * cgm_group_processes() - every process in a cgroup and below, each once, ascending
 *
 * Return: 0; -ECANCELED: fn ended it; -E2BIG: there are too many of them, or of cgroups; -ENOENT,
 * -ESTALE; -EOPNOTSUPP: it is a threaded one, whose processes are those of its domain;
 * -ENAMETOOLONG: some below have no path; -errno.
 */
int cgm_group_processes(const struct cgm_tree *tree, const struct cgm_name *name, cgm_process_fn fn,
			void *arg);

/*
 * Events of a cgroup, as the kernel counts them from its making (memory.events).
 */
struct cgm_events {
	uint64_t max; /* how often usage was about to go over memory.max */
	uint64_t oom;
	uint64_t oom_kill; /* processes killed */
};

/**
 * cgm_events_open() - memory.events of a cgroup; poll(2) says POLLPRI when it changes
 *
 * That the cgroup is removed wakes nobody.
 *
 * Return: 0 with a descriptor that the caller closes; -ENOENT, -ESTALE; -ENODATA: it has no such
 * file; -errno.
 */
int cgm_events_open(const struct cgm_tree *tree, const struct cgm_name *name, int *ret_fd);

/* Does not block; the next change is told again after it. Return: 0; -ENODEV: it is gone; -errno.
 */
int cgm_events_read(int fd, struct cgm_events *ret_events);

/**
 * cgm_populated_open() - cgroup.events: poll(2) says POLLPRI when the last process has left it and
 * what is below, or the first one has come
 *
 * Return: as cgm_events_open().
 */
int cgm_populated_open(const struct cgm_tree *tree, const struct cgm_name *name, int *ret_fd);

/**
 * cgm_pressure_open() - POLLPRI whenever its processes stalled for memory for stall_ms within a
 * second
 * @stall_ms: 1 to 1000
 *
 * Poll for POLLPRI, and close it when there is POLLERR: the cgroup is gone. Return: as
 * cgm_events_open(); -EOPNOTSUPP: this kernel has no PSI; -EINVAL.
 */
int cgm_pressure_open(const struct cgm_tree *tree, const struct cgm_name *name,
		      unsigned int stall_ms, int *ret_fd);

#endif
