/* SPDX-License-Identifier: MIT */
/*
 * A hierarchy of cgroups in memory, in place of cgroup/ (--wrap, see the Makefile): limits, what is
 * charged, who is where, and calls that fail as a test says. It reclaims nothing and kills nobody.
 */
#ifndef TESTS_UNIT_FAKE_CGROUPS_H
#define TESTS_UNIT_FAKE_CGROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup/manager.h"
#include "cgroup/place.h"

#define FAKE_CGROUPS_MAX 64
#define FAKE_CGROUPS_PROCESSES 64
#define FAKE_CGROUPS_HUGE (UINT64_C(2) << 20) /* the one size there is */

enum fake_cgroups_call {
	FAKE_CGROUPS_SET,
	FAKE_CGROUPS_LOOK,
	FAKE_CGROUPS_MAKE,
	FAKE_CGROUPS_MOVE,
	FAKE_CGROUPS_REMOVE,
};

struct fake_cgroup {
	uint64_t id; /* 0: none, or removed */
	char path[128];
	uint64_t value[CGM_KEYS];
	struct cgm_usage usage;
	struct cgm_usage told; /* when somebody read it last */
	bool others; /* somebody else's process is in it */
	bool unit; /* systemd's; the unit is called as its path */
	int populated_fd; /* owned; its reader is told when it becomes empty; -1 */
};

struct fake_cgroups {
	struct fake_cgroup groups[FAKE_CGROUPS_MAX];
	struct {
		pid_t pid; /* 0: none */
		struct fake_cgroup *group;
	} processes[FAKE_CGROUPS_PROCESSES];
	uint64_t last_id;
	size_t n_sets, n_looks; /* calls, also those that fail */
	bool manager; /* process 1 is systemd */
	bool no_huge; /* no cgroup has files of huge pages */
	int set_err; /* of each write; 0: it does not fail */
	/* A call is to fail with -errno; 0: it is not. NULL: none is. */
	int (*fails)(enum fake_cgroups_call call, const struct fake_cgroup *group, void *arg);
	/* A limit was written. NULL: nobody wants to know. */
	void (*written)(struct fake_cgroup *group, enum cgm_key key, uint64_t before, void *arg);
	void *arg;
};

/* From here on it is there. */
void fake_cgroups_begin(struct fake_cgroups *cgroups);

/* It is not, and no descriptor of it is open. */
void fake_cgroups_end(struct fake_cgroups *cgroups);

/* With memory.min = 0, all else unlimited; made as the kernel would, whoever made the one above. */
struct fake_cgroup *fake_cgroups_add(struct fake_cgroups *cgroups, const char *path);

/* NULL: there is none. */
struct fake_cgroup *fake_cgroups_find(struct fake_cgroups *cgroups, const char *path);

/* Nobody is in it or below. */
void fake_cgroups_drop(struct fake_cgroup *group);

/* Puts a process there; NULL: it exits. Who waits for the last to leave is told. */
void fake_cgroups_put(struct fake_cgroups *cgroups, pid_t pid, struct fake_cgroup *group);

/* Whether there is anybody in it or below. */
bool fake_cgroups_populated(const struct fake_cgroups *cgroups, const struct fake_cgroup *group);

#endif
