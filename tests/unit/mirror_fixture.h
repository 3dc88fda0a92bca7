/* SPDX-License-Identifier: MIT */
/*
 * A broker with its mirror, above fake cgroups: the worker's jobs are done and told one by one,
 * when the test says so, and time passes likewise.
 */
#ifndef TESTS_UNIT_MIRROR_FIXTURE_H
#define TESTS_UNIT_MIRROR_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/worker.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/child.h"
#include "tests/unit/fake_cgroups.h"

struct mirror_fixture {
	struct broker_fixture f;
	struct fake_cgroups cgroups;
	struct worker_job *todo, *done; /* first to last */
	bool started;
	uint64_t pinned_each; /* bytes that each session has pinned; UINT64_MAX: not known */
	/* Likewise, of one. NULL: as each. */
	uint64_t (*pinned)(uint64_t id, void *arg);
	/* A job was put; one was told. NULL: nobody wants to know. */
	void (*put)(struct worker_job *job, void *arg);
	void (*told)(void *arg);
	void *arg;
};

/*
 * As broker_fixture_init(), and with a mirror; its policy has cgroup-mirror = both, headroom = 512M
 * and migration-buffers = 256M. Return: false: the test was counted as skipped.
 */
bool mirror_fixture_init(struct mirror_fixture *m, bool manager);
void mirror_fixture_fini(struct mirror_fixture *m);

/* A process that is in a cgroup, an owner from here on; child_end() it. */
struct owner *mirror_fixture_owner(struct mirror_fixture *m, struct child *child,
				   struct fake_cgroup *group);

/* A session of that owner, mirrored from here on. */
struct session *mirror_fixture_session(struct mirror_fixture *m, struct owner *owner,
				       uint64_t limit);

/* It ends. */
void mirror_fixture_end(struct mirror_fixture *m, struct session *session);

/* The thread does the next job. Return: false: there is none. */
bool mirror_fixture_work(struct mirror_fixture *m);

/* The loop is told of the next job that is done. Return: false: there is none. */
bool mirror_fixture_tell(struct mirror_fixture *m);

/* All jobs, and those that come of them; no time passes. */
void mirror_fixture_jobs(struct mirror_fixture *m);

/* Time passes, and what is due by then is called. */
void mirror_fixture_pass(struct mirror_fixture *m, uint64_t ms);

/* Whether nothing is to be done, but for cgroups of which more is in use than there should be. */
bool mirror_fixture_rests(const struct mirror_fixture *m);

/* Until nothing is left to do, however long that is. Fails the test after many rounds. */
void mirror_fixture_settle(struct mirror_fixture *m);

/* The daemon is killed, and another one starts. Jobs in hand are lost. */
void mirror_fixture_restart(struct mirror_fixture *m);

#endif
