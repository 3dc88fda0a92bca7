/* SPDX-License-Identifier: MIT */
/* When the mirror looks and writes, and what a cgroup has then; above fake cgroups. */
#include "daemon/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/policy.h"
#include "common/cleanup.h"
#include "daemon/loop.h"
#include "daemon/mirror_private.h"
#include "daemon/owner.h"
#include "tests/unit/captured.h"
#include "tests/unit/mirror_fixture.h"
#include "tests/unit/record_fixture.h"
#include "tests/unit/suite.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define MANY 100

/* A process in a cgroup of a tree, and what happened. */
struct stage {
	struct mirror_fixture m;
	struct fake_cgroup *top, *target;
	struct child child;
	struct owner *owner;
	size_t n_written; /* into the target's memory.min */
};

static void stage_written(struct fake_cgroup *group, enum cgm_key key, uint64_t before, void *arg)
{
	struct stage *s = arg;

	(void)before;
	s->n_written += group == s->target && key == CGM_MEMORY_MIN;
}

static bool stage_init(struct stage *s, bool manager)
{
	memset(s, 0, sizeof(*s));
	if (!mirror_fixture_init(&s->m, manager))
		return false;
	s->m.cgroups.arg = s;
	s->m.cgroups.written = stage_written;
	s->top = fake_cgroups_add(&s->m.cgroups, "/top");
	s->target = fake_cgroups_add(&s->m.cgroups, "/top/vm");
	s->target->unit = manager;
	s->target->usage = (struct cgm_usage){.current = 2 * GIB, .anon = GIB, .shmem = GIB};
	s->owner = mirror_fixture_owner(&s->m, &s->child, s->target);
	s->m.pinned_each = GIB;
	return true;
}

static void stage_fini(struct stage *s)
{
	(void)child_end(&s->child); /* also after a failure */
	mirror_fixture_fini(&s->m);
}

/* Millisecond by millisecond. */
static void stage_pass(struct stage *s, unsigned int ms)
{
	while (ms--) {
		mirror_fixture_pass(&s->m, 1);
		mirror_fixture_jobs(&s->m);
	}
}

static size_t n_recorded(const struct stage *s)
{
	return record_fixture_count(s->m.f.broker->record, RECORD_LIMIT);
}

/* Whether nothing is changed any more, and nothing is going on. */
static void check_idle(const struct stage *s)
{
	CU_ASSERT_EQUAL(s->target->value[CGM_MEMORY_MIN], 0);
	CU_ASSERT_EQUAL(s->target->value[CGM_MEMORY_MAX], CGM_NO_LIMIT);
	CU_ASSERT_EQUAL(s->target->value[CGM_HUGE_MAX_FIRST], CGM_NO_LIMIT);
	CU_ASSERT_EQUAL(s->top->value[CGM_MEMORY_MIN], 0);
	CU_ASSERT_EQUAL(n_recorded(s), 0);
	CU_ASSERT_EQUAL(s->m.f.broker->mirror->queue.timer, LOOP_NONE);
}

/* The session ends, and nothing of it is left. */
static void stage_end(struct stage *s, struct session *session)
{
	mirror_fixture_end(&s->m, session);
	mirror_fixture_settle(&s->m);
	check_idle(s);
	stage_fini(s);
}

static void limits_come_and_go_with_the_session(void)
{
	struct session *session;
	struct stage s;

	if (!stage_init(&s, false))
		return;
	session = mirror_fixture_session(&s.m, s.owner, 4 * GIB);
	mirror_fixture_settle(&s.m);
	CU_ASSERT_EQUAL(s.target->value[CGM_MEMORY_MIN], GIB + 512 * MIB);
	CU_ASSERT_EQUAL(s.target->value[CGM_MEMORY_MAX], 4 * GIB + 512 * MIB);
	CU_ASSERT_EQUAL(s.target->value[CGM_HUGE_MAX_FIRST], 4 * GIB - (2 * GIB - 512 * MIB));
	CU_ASSERT_EQUAL(s.top->value[CGM_MEMORY_MIN], GIB + 512 * MIB);
	CU_ASSERT_EQUAL(s.top->value[CGM_MEMORY_MAX], CGM_NO_LIMIT);
	CU_ASSERT_EQUAL(n_recorded(&s), 4);
	stage_end(&s, session);
}

/* A change each 100 µs, for two seconds. */
static void changes_are_gathered(void)
{
	struct session *session;
	struct stage s;
	size_t n;

	if (!stage_init(&s, false))
		return;
	session = mirror_fixture_session(&s.m, s.owner, 4 * GIB);
	mirror_fixture_settle(&s.m);
	mirror_fixture_pass(&s.m, 1000);
	n = s.n_written;
	s.m.cgroups.n_looks = 0;
	for (int ms = 0; ms < 2000; ms++) {
		for (int i = 0; i < 10; i++) {
			s.m.pinned_each = GIB + (uint64_t)(ms % 97) * MIB;
			mirror_changed(s.m.f.broker->mirror, session);
		}
		mirror_fixture_pass(&s.m, 1);
		mirror_fixture_jobs(&s.m);
	}
	CU_ASSERT(s.n_written - n >= 15 && s.n_written - n <= 20);
	CU_ASSERT(s.m.cgroups.n_looks <= 3 * 20); /* the session, and the one above */
	s.m.pinned_each = GIB / 2;
	mirror_changed(s.m.f.broker->mirror, session);
	stage_pass(&s, 200);
	CU_ASSERT_EQUAL(s.target->value[CGM_MEMORY_MIN], GIB);
	mirror_fixture_settle(&s.m);
	CU_ASSERT_EQUAL(s.top->value[CGM_MEMORY_MIN], GIB);
	stage_end(&s, session);
}

/* The worker is in a write that does not end: one look waits for it, however much happens. */
static void jobs_do_not_pile_up(void)
{
	const struct worker_job *job;
	struct session *session;
	struct stage s;
	size_t n = 0;

	if (!stage_init(&s, false))
		return;
	session = mirror_fixture_session(&s.m, s.owner, 4 * GIB);
	for (int i = 0; i < MANY; i++) {
		mirror_fixture_pass(&s.m, 100);
		mirror_changed(s.m.f.broker->mirror, session);
	}
	for (job = s.m.todo; job; job = job->next)
		n++;
	CU_ASSERT_EQUAL(n, 1);
	CU_ASSERT_EQUAL(s.m.f.broker->mirror->queue.timer, LOOP_NONE);
	stage_end(&s, session);
}

/* A write that was late is no reason for the next one to come sooner. */
static void rate_holds_behind_a_late_write(void)
{
	struct session *session;
	struct stage s;
	size_t n;

	if (!stage_init(&s, false))
		return;
	session = mirror_fixture_session(&s.m, s.owner, 4 * GIB);
	mirror_fixture_pass(&s.m, 10);
	CU_ASSERT_TRUE(mirror_fixture_work(&s.m) && mirror_fixture_tell(&s.m)); /* the look */
	mirror_fixture_pass(&s.m, 0);
	CU_ASSERT_PTR_NOT_NULL(s.m.todo); /* the write */
	s.m.pinned_each = GIB / 2;
	mirror_changed(s.m.f.broker->mirror, session);
	mirror_fixture_pass(&s.m, 99); /* it waits for others */
	n = s.n_written;
	mirror_fixture_jobs(&s.m);
	CU_ASSERT_EQUAL(s.n_written, n + 1);
	stage_pass(&s, 99);
	CU_ASSERT_EQUAL(s.n_written, n + 1);
	mirror_fixture_settle(&s.m);
	CU_ASSERT_EQUAL(s.target->value[CGM_MEMORY_MIN], GIB);
	stage_end(&s, session);
}

/* More than are looked at together; they change, and end, while they wait. */
static void all_have_their_turn(void)
{
	struct session *sessions[MANY];
	struct stage s;

	if (!stage_init(&s, false))
		return;
	s.m.f.policy->max_sessions = MANY;
	s.m.f.policy->headroom = 16 * MIB;
	for (int i = 0; i < MANY; i++)
		sessions[i] = mirror_fixture_session(&s.m, s.owner, MIB);
	mirror_fixture_pass(&s.m, 10);
	for (int i = 0; i < MANY; i++)
		mirror_changed(s.m.f.broker->mirror, sessions[i]);
	mirror_fixture_pass(&s.m, 10);
	for (int i = 0; i < MANY; i += 2)
		mirror_fixture_end(&s.m, sessions[i]);
	mirror_fixture_settle(&s.m);
	for (int i = 1; i < MANY; i += 2)
		CU_ASSERT_PTR_NOT_NULL(sessions[i]->view->group);
	CU_ASSERT_EQUAL(s.target->value[CGM_MEMORY_MIN], 2 * GIB + MANY / 2 * 16 * MIB);
	for (int i = 1; i < MANY; i += 2)
		mirror_fixture_end(&s.m, sessions[i]);
	mirror_fixture_settle(&s.m);
	check_idle(&s);
	stage_fini(&s);
}

/* A sanitizer sees a turn of what is gone. */
static void end_forgets_what_is_queued(void)
{
	struct stage s;

	if (!stage_init(&s, false))
		return;
	(void)mirror_fixture_session(&s.m, s.owner, GIB);
	mirror_fixture_pass(&s.m, 10);
	CU_ASSERT_TRUE(mirror_fixture_work(&s.m) && mirror_fixture_tell(&s.m)); /* two cgroups */
	(void)mirror_fixture_session(&s.m, s.owner, GIB);
	(void)mirror_fixture_session(&s.m, s.owner, GIB);
	CU_ASSERT_PTR_NOT_NULL(s.m.f.broker->mirror->queue.first->next->next);
	stage_fini(&s);
}

/* The same session, known to another daemon. */
static struct session *stage_restart(struct stage *s, const struct session *session)
{
	uint64_t id = session->id;
	struct session *found;

	mirror_fixture_restart(&s->m);
	found = session_find(s->m.f.broker->sessions, id);
	CU_ASSERT_PTR_NOT_NULL_FATAL(found);
	s->owner = found->owner;
	return found;
}

/* A maximum is raised to what is in use when it is written, and nobody lives to record that. */
static void raised_maximum_comes_back_after_a_kill(void)
{
	struct session *session;
	struct stage s;

	if (!stage_init(&s, false))
		return;
	session = mirror_fixture_session(&s.m, s.owner, GIB);
	mirror_fixture_pass(&s.m, 10);
	CU_ASSERT_TRUE(mirror_fixture_work(&s.m) && mirror_fixture_tell(&s.m)); /* the look */
	mirror_fixture_pass(&s.m, 0);
	s.target->usage.current = 3 * GIB;
	while (mirror_fixture_work(&s.m)) /* the write is told to nobody */
		;
	CU_ASSERT_EQUAL(s.target->value[CGM_MEMORY_MAX], 3 * GIB);
	session = stage_restart(&s, session);
	mirror_fixture_settle(&s.m);
	s.target->usage.current = GIB;
	mirror_changed(s.m.f.broker->mirror, session);
	mirror_fixture_settle(&s.m);
	CU_ASSERT_EQUAL(s.target->value[CGM_MEMORY_MAX], GIB + 512 * MIB);
	stage_end(&s, session);
}

/* The manager takes longer than is waited for, and does it then: it is the broker's. */
static void late_manager_is_no_stranger(void)
{
	struct session *session;
	struct stage s;

	if (!stage_init(&s, true))
		return;
	s.m.cgroups.set_err = -ETIMEDOUT;
	session = mirror_fixture_session(&s.m, s.owner, 4 * GIB);
	mirror_fixture_pass(&s.m, 10);
	mirror_fixture_jobs(&s.m);
	mirror_fixture_pass(&s.m, 0);
	mirror_fixture_jobs(&s.m);
	CU_ASSERT_EQUAL(s.target->value[CGM_MEMORY_MIN], 0);
	s.target->value[CGM_MEMORY_MIN] = GIB + 512 * MIB;
	s.m.cgroups.set_err = 0;
	mirror_fixture_settle(&s.m);
	CU_ASSERT_EQUAL(s.target->value[CGM_MEMORY_MAX], 4 * GIB + 512 * MIB);
	stage_end(&s, session);
}

/* It has not come to what it was told when that is to be put back: it is told so all the same. */
static void slow_manager_is_told_all(void)
{
	struct session *session;
	struct stage s;

	if (!stage_init(&s, true))
		return;
	session = mirror_fixture_session(&s.m, s.owner, 4 * GIB);
	mirror_fixture_settle(&s.m);
	s.target->value[CGM_MEMORY_MIN] = 0;
	s.n_written = 0;
	mirror_fixture_end(&s.m, session);
	mirror_fixture_settle(&s.m);
	CU_ASSERT_EQUAL(s.n_written, 1);
	check_idle(&s);
	stage_fini(&s);
}

static void stage_reload(struct stage *s, const char *top, uint64_t reserve)
{
	struct policy_set *set = s->m.f.broker->policies;

	free(set->top_cgroup);
	set->top_cgroup = strdup(top);
	CU_ASSERT_PTR_NOT_NULL_FATAL(set->top_cgroup);
	set->host_reserve_checked = true;
	set->host_reserve = reserve;
	mirror_reload(s->m.f.broker->mirror);
	mirror_fixture_settle(&s->m);
}

/* What all may have together, never below what is in use, and what was there comes back. */
static void top_has_what_the_reserve_leaves(void)
{
	struct stage s;

	if (!stage_init(&s, false))
		return;
	stage_reload(&s, "/top", 56 * GIB);
	CU_ASSERT_EQUAL(s.top->value[CGM_MEMORY_MAX], FIXTURE_MEM_TOTAL - 56 * GIB);
	CU_ASSERT_EQUAL(s.target->value[CGM_MEMORY_MAX], CGM_NO_LIMIT);
	s.top->usage.current = 220 * GIB;
	stage_reload(&s, "/top", 57 * GIB);
	CU_ASSERT_EQUAL(s.top->value[CGM_MEMORY_MAX], 220 * GIB);
	CU_ASSERT_EQUAL(s.m.f.broker->mirror->top->limits[CGM_MEMORY_MAX].wanted, 220 * GIB);
	s.top->usage.current = 0;
	stage_reload(&s, "/top", 58 * GIB);
	CU_ASSERT_EQUAL(s.top->value[CGM_MEMORY_MAX], FIXTURE_MEM_TOTAL - 58 * GIB);
	stage_reload(&s, "/top/vm", 58 * GIB);
	CU_ASSERT_EQUAL(s.top->value[CGM_MEMORY_MAX], CGM_NO_LIMIT);
	CU_ASSERT_EQUAL(s.target->value[CGM_MEMORY_MAX], FIXTURE_MEM_TOTAL - 58 * GIB);
	stage_reload(&s, "/gone", 58 * GIB);
	CU_ASSERT_EQUAL(captured_count("top-cgroup /gone cannot be used"), 1);
	check_idle(&s);
	stage_reload(&s, "", 0);
	check_idle(&s);
	stage_fini(&s);
}

static const CU_TestInfo tests[] = {
	{"limits come and go with the session", limits_come_and_go_with_the_session},
	{"changes are gathered, and the last one arrives", changes_are_gathered},
	{"jobs do not pile up behind one that blocks", jobs_do_not_pile_up},
	{"the rate holds behind a write that was late", rate_holds_behind_a_late_write},
	{"of many sessions all have their turn", all_have_their_turn},
	{"the end forgets what is queued", end_forgets_what_is_queued},
	{"a maximum that was raised comes back after a kill",
	 raised_maximum_comes_back_after_a_kill},
	{"what a late manager does is no stranger's", late_manager_is_no_stranger},
	{"a slow manager is told all", slow_manager_is_told_all},
	{"the top cgroup has what the reserve leaves", top_has_what_the_reserve_leaves},
	CU_TEST_INFO_NULL,
};

const struct suite suite_mirror = {"mirror", tests};
