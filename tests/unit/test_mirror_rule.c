/* SPDX-License-Identifier: MIT */
/*
 * What is written into cgroups, against a model: sessions come, go and change, processes move,
 * cgroups vanish, what is charged grows and shrinks, somebody else sets limits, writes fail, the
 * worker takes its time, and the daemon is killed between any two steps and started again, all in
 * the order that a seed gives. Each write is looked at when it is made; now and then all comes to
 * rest, and every limit is what the formulas say; at the end, what it was.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "accounting/mirror.h"
#include "accounting/policy.h"
#include "common/cleanup.h"
#include "daemon/loop.h"
#include "daemon/mirror_plan.h"
#include "daemon/mirror_private.h"
#include "daemon/owner.h"
#include "daemon/record.h"
#include "tests/unit/mirror_fixture.h"
#include "tests/unit/record_fixture.h"
#include "tests/unit/suite.h"

#define MIB (UINT64_C(1) << 20)
#define KEYS (CGM_HUGE_MAX_FIRST + 1) /* there is one size of huge pages */
#define PROCESSES 6
#define SESSIONS 10
#define STEPS 6000
#define RUNS 4
#define EVERY_MS 100

/* Those above first, then the targets. */
static const char *const paths[] = {"/m",      "/n",         "/m/p", "/m/p/t1",
				    "/m/p/t2", "/m/t\\x2d3", "/n/t4"};
#define CGROUPS ARRAY_SIZE(paths)
#define TARGETS_FIRST 3

struct model_limit {
	uint64_t theirs; /* what somebody other than the broker set last */
	bool locked; /* while the broker had another: it is left alone */
	uint64_t written_ms;
};

struct model_session {
	struct session *session; /* NULL: none */
	uint64_t id;
	size_t process; /* its owner */
	uint64_t pinned;
};

struct model {
	struct mirror_fixture m;
	uint64_t seed;
	uint64_t n_theirs; /* values that somebody else has set */
	struct fake_cgroup *cgroups[CGROUPS];
	struct model_limit limits[FAKE_CGROUPS_MAX][KEYS];
	struct child children[PROCESSES];
	struct model_session sessions[SESSIONS];
	unsigned int faults; /* of 64 writes fail */
	bool hard; /* one failed that is not tried again by itself */
	unsigned int dies_in; /* writes; 0: it does not */
	bool dead; /* the daemon is: nothing of what it does happens any more */
	size_t n_writes, n_faults, n_kills, n_rests; /* so that a run has all of them */
};

static uint64_t pick(struct model *m, uint64_t n)
{
	return suite_random(&m->seed) % n;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static struct model_limit *model_limit(struct model *m, const struct fake_cgroup *group,
				       enum cgm_key key)
{
	return &m->limits[group - m->m.cgroups.groups][key];
}

static struct mirror_group *model_group(const struct model *m, uint64_t id)
{
	struct mirror_group *group = m->m.f.broker->mirror->groups[id % MIRROR_BUCKETS];

	while (group && group->name->id != id)
		group = group->next;
	return group;
}

static uint64_t usage_of(const struct cgm_usage *usage, enum cgm_key key)
{
	if (key == CGM_MEMORY_MIN)
		return 0;
	return key == CGM_MEMORY_MAX ? usage->current : usage->huge[0];
}

/* --- what holds for each write */

static void model_written(struct fake_cgroup *group, enum cgm_key key, uint64_t before, void *arg)
{
	struct model *m = arg;
	struct model_limit *limit = model_limit(m, group, key);
	uint64_t value = group->value[key], in_use = usage_of(&group->usage, key);
	const uint64_t now_ms = broker_now_ms();

	(void)before;
	m->n_writes++;
	CHECK(group->path, value >= lesser(in_use, limit->theirs) || key == CGM_MEMORY_MIN);
	if (key == CGM_MEMORY_MIN)
		CHECK(group->path, value >= limit->theirs);
	else
		CHECK(group->path, value <= larger(limit->theirs, in_use));
	CHECK(group->path, !limit->locked);
	CHECK(group->path, !limit->written_ms || now_ms >= limit->written_ms + EVERY_MS);
	CHECK(group->path, value % 4096 == 0 || value == CGM_NO_LIMIT);
	limit->written_ms = now_ms;
}

/* Nothing is ordered below what was in use when that was read; the record has it before. */
static void model_put(struct worker_job *job, void *arg)
{
	struct model *m = arg;
	const struct mirror_write *write = container_of(job, struct mirror_write, job);
	const struct mirror_group *group;
	const struct fake_cgroup *cgroup;

	if (job->work != mirror_write_work)
		return;
	group = model_group(m, write->name.id);
	CU_ASSERT_PTR_NOT_NULL_FATAL(group);
	cgroup = fake_cgroups_find(&m->m.cgroups, write->name.path);
	if (cgroup && cgroup->id != write->name.id)
		cgroup = NULL;
	for (size_t i = 0; i < write->n; i++) {
		const struct mirror_order *order = &write->orders[i];
		uint32_t slot = group->limits[order->key].slot;

		CU_ASSERT_FATAL(slot != RECORD_NONE);
		CU_ASSERT_EQUAL(record_at(m->m.f.broker->record, slot)->limit.next, order->value);
		if (cgroup)
			CHECK(cgroup->path,
			      order->value >= lesser(usage_of(&group->usage, order->key),
						     model_limit(m, cgroup, order->key)->theirs));
	}
}

static int model_fails(enum fake_cgroups_call call, const struct fake_cgroup *group, void *arg)
{
	static const int errors[] = {-EBUSY, -EACCES, -EINVAL, -EAGAIN};
	struct model *m = arg;
	int err;

	(void)group;
	if (call == FAKE_CGROUPS_SET && m->dies_in && !--m->dies_in)
		m->dead = true;
	if (m->dead)
		return -EIO;
	if (pick(m, 64) >= m->faults)
		return 0;
	if (call == FAKE_CGROUPS_LOOK)
		return pick(m, 4) ? 0 : -EIO;
	err = errors[pick(m, ARRAY_SIZE(errors))];
	m->hard |= err == -EACCES || err == -EINVAL;
	m->n_faults++;
	return err;
}

static uint64_t model_pinned(uint64_t id, void *arg)
{
	const struct model *m = arg;

	for (size_t i = 0; i < SESSIONS; i++)
		if (m->sessions[i].session && m->sessions[i].id == id)
			return m->sessions[i].pinned;
	return UINT64_MAX;
}

/* --- steps: the kernel, and others */

/* What is charged never is above a limit: that is reclaimed, or somebody killed. */
static void model_squeeze(struct fake_cgroup *group)
{
	struct cgm_usage *usage = &group->usage;

	usage->current = lesser(usage->current, group->value[CGM_MEMORY_MAX]);
	usage->huge[0] = lesser(usage->huge[0], group->value[CGM_HUGE_MAX_FIRST]);
	usage->anon = lesser(usage->anon, usage->current);
	usage->shmem = lesser(usage->shmem, usage->current - usage->anon);
}

static void step_charge(struct model *m, struct fake_cgroup *group)
{
	group->usage = (struct cgm_usage){
		.current = pick(m, 2000) * 4096 + (pick(m, 4) ? 0 : pick(m, 100) * MIB),
		.anon = pick(m, 1000) * 4096,
		.shmem = pick(m, 1000) * 4096,
		.huge = {pick(m, 20) * FAKE_CGROUPS_HUGE},
	};
	model_squeeze(group);
}

/* What the record has of a limit; NULL: nothing. */
static const struct record_limit *model_record(const struct model *m,
					       const struct fake_cgroup *cgroup, enum cgm_key key)
{
	struct record *record = m->m.f.broker->record;
	uint32_t slot = RECORD_NONE;

	while ((slot = record_next(record, RECORD_LIMIT, slot)) != RECORD_NONE) {
		const struct record_limit *body = &record_at(record, slot)->limit;

		if (body->cgroup == cgroup->id && body->key == key)
			return body;
	}
	return NULL;
}

/* What the broker does not know any more: it begins with that anew. */
static void model_forget(void *arg)
{
	struct model *m = arg;

	for (size_t i = 0; i < CGROUPS; i++)
		for (enum cgm_key key = 0; key < KEYS; key++)
			if (!model_group(m, m->cgroups[i]->id) &&
			    !model_record(m, m->cgroups[i], key)) {
				model_limit(m, m->cgroups[i], key)->locked = false;
				model_limit(m, m->cgroups[i], key)->written_ms = 0;
			}
}

/* Whether the broker is about to write, or was when it was killed: who sets a limit then is late.
 */
static bool model_is_going_on(const struct model *m, const struct fake_cgroup *cgroup,
			      const struct record_limit *body)
{
	const struct mirror_group *group = model_group(m, cgroup->id);

	return m->m.done || (group && (group->busy || group->fresh)) ||
	       (body && body->next != body->ours);
}

static void step_somebody_else(struct model *m, struct fake_cgroup *group)
{
	enum cgm_key key = (enum cgm_key)pick(m, KEYS);
	const uint64_t unit = key >= CGM_HUGE_MAX_FIRST ? FAKE_CGROUPS_HUGE : 4096;
	const struct record_limit *body = model_record(m, group, key);
	struct model_limit *limit = model_limit(m, group, key);

	if (model_is_going_on(m, group, body))
		return;
	/* Beyond what the formulas come to, or not, and nothing that the record has. */
	do
		limit->theirs = (++m->n_theirs + pick(m, 2) * 1000000) * unit;
	while (body && (limit->theirs == body->ours || limit->theirs == body->next ||
			limit->theirs == body->before || limit->theirs == body->original));
	group->value[key] = limit->theirs;
	limit->locked |= body != NULL;
	model_squeeze(group);
}

static struct fake_cgroup *pick_target(struct model *m)
{
	return m->cgroups[TARGETS_FIRST + pick(m, CGROUPS - TARGETS_FIRST)];
}

static void model_add(struct model *m, size_t i)
{
	struct fake_cgroup *group = fake_cgroups_add(&m->m.cgroups, paths[i]);

	group->unit = m->m.cgroups.manager && i % 2 == 0;
	m->cgroups[i] = group;
	for (enum cgm_key key = 0; key < KEYS; key++)
		*model_limit(m, group, key) = (struct model_limit){.theirs = group->value[key]};
}

/* It is removed, and another made by its name. */
static void step_vanish(struct model *m)
{
	size_t i = TARGETS_FIRST + pick(m, CGROUPS - TARGETS_FIRST);
	struct fake_cgroup *group = m->cgroups[i], *to = pick_target(m);

	if (to == group)
		return;
	for (size_t k = 0; k < PROCESSES; k++)
		if (m->m.cgroups.processes[k].group == group)
			m->m.cgroups.processes[k].group = to;
	fake_cgroups_drop(group);
	model_add(m, i);
}

/* --- steps: sessions */

static struct owner *model_owner(struct model *m, size_t process)
{
	const struct owner_plan plan = {.pidfd = m->children[process].pidfd,
					.pid = m->children[process].pid,
					.uid = getuid()};
	struct owner *owner = NULL;

	CU_ASSERT_EQUAL_FATAL(owner_get(m->m.f.broker->owners, &plan, &owner), 0);
	return owner;
}

static void step_open(struct model *m, struct model_session *s)
{
	static const enum policy_mirror modes[] = {POLICY_MIRROR_PROTECT, POLICY_MIRROR_CAP,
						   POLICY_MIRROR_BOTH, POLICY_MIRROR_BOTH,
						   POLICY_MIRROR_TRACK};
	struct policy *policy = m->m.f.policy;

	policy->mirror = modes[pick(m, ARRAY_SIZE(modes))];
	policy->headroom = pick(m, 8) * MIB;
	s->process = pick(m, PROCESSES);
	s->pinned = pick(m, 10) ? pick(m, 30) * MIB : UINT64_MAX;
	s->session =
		mirror_fixture_session(&m->m, model_owner(m, s->process), (8 + pick(m, 64)) * MIB);
	s->id = s->session->id;
}

static void step_end(struct model *m, struct model_session *s)
{
	mirror_fixture_end(&m->m, STEAL(s->session));
}

static void step_change(struct model *m, struct model_session *s)
{
	struct session_numbers numbers = session_numbers(s->session);

	if (pick(m, 2)) {
		s->pinned = pick(m, 30) * MIB;
	} else {
		numbers.limit = numbers.charged = (8 + pick(m, 64)) * MIB;
		CU_ASSERT_EQUAL(session_set_numbers(m->m.f.broker->sessions, s->session, &numbers),
				0);
	}
	mirror_changed(m->m.f.broker->mirror, s->session);
}

static void step_restart(struct model *m)
{
	mirror_fixture_restart(&m->m);
	m->dead = m->hard = false;
	m->dies_in = 0;
	m->n_kills++;
	for (size_t i = 0; i < SESSIONS; i++) {
		struct model_session *s = &m->sessions[i];

		if (s->session)
			s->session = session_find(m->m.f.broker->sessions, s->id);
	}
	for (size_t i = 0; i < CGROUPS; i++)
		for (enum cgm_key key = 0; key < KEYS; key++) {
			struct model_limit *limit = model_limit(m, m->cgroups[i], key);
			const struct record_limit *body = model_record(m, m->cgroups[i], key);

			/* What the daemon before has not come to see. */
			limit->locked = body && body->original != limit->theirs;
			limit->written_ms = 0;
		}
}

static void step_work(struct model *m)
{
	(void)mirror_fixture_work(&m->m); /* there may be nothing to do */
	if (m->dead)
		step_restart(m);
}

/* --- at rest */

/* Where a session's limits are; they stay there when others come. */
static uint64_t model_target(const struct model *m, const struct model_session *s)
{
	struct record *record = m->m.f.broker->record;
	uint32_t slot = RECORD_NONE;

	while ((slot = record_next(record, RECORD_TARGET, slot)) != RECORD_NONE)
		if (record_at(record, slot)->target.session == s->id)
			return record_at(record, slot)->target.cgroup;
	return 0;
}

/* What a target's sessions come to. Return: whether it is to be kept there. */
static bool model_formulas(const struct model *m, const struct fake_cgroup *group,
			   struct mirror_limits *ret_limits)
{
	const struct mirror_usage usage = {.current = group->usage.current,
					   .anon = group->usage.anon,
					   .shmem = group->usage.shmem,
					   .huge = {group->usage.huge[0]}};
	const uint64_t huge_size[MIRROR_HUGE_MAX] = {FAKE_CGROUPS_HUGE};
	struct mirror_share share = {.n = 0};
	bool keeps = false;

	for (size_t i = 0; i < SESSIONS; i++) {
		const struct model_session *s = &m->sessions[i];

		if (!s->session || m->m.cgroups.processes[s->process].group != group ||
		    (group->others && model_target(m, s) != group->id))
			continue;
		keeps |= s->session->mirror != POLICY_MIRROR_TRACK;
		mirror_add(&share, &(struct mirror_session){
					   .mode = s->session->mirror == POLICY_MIRROR_TRACK
							   ? POLICY_MIRROR_OFF
							   : s->session->mirror,
					   .limit = s->session->share.limit,
					   .factor = 1,
					   .headroom = s->session->headroom,
					   .pinned = s->pinned});
	}
	mirror_limits(&share, &usage, huge_size, ret_limits);
	return keeps;
}

static void check_limit(struct model *m, const struct fake_cgroup *group, enum cgm_key key,
			bool wants, uint64_t wanted)
{
	const struct model_limit *limit = model_limit(m, group, key);
	const struct mirror_group *known = model_group(m, group->id);
	uint64_t expected = limit->theirs;

	if (known && group->value[key] == expected && known->limits[key].now != expected)
		return; /* nobody is told that it is another: it is not seen before the next look */
	if (wants && !limit->locked && key == CGM_MEMORY_MIN)
		expected = larger(wanted, limit->theirs);
	else if (wants && !limit->locked)
		expected = larger(lesser(wanted, limit->theirs),
				  lesser(usage_of(&group->usage, key), limit->theirs));
	CHECK(group->path, group->value[key] == expected);
}

static void check_at_rest(struct model *m)
{
	uint64_t below[TARGETS_FIRST] = {0};

	for (size_t i = TARGETS_FIRST; i < CGROUPS; i++) {
		const struct fake_cgroup *group = m->cgroups[i];
		struct mirror_limits limits;
		bool keeps = model_formulas(m, group, &limits);

		check_limit(m, group, CGM_MEMORY_MIN, keeps && limits.min, limits.memory_min);
		check_limit(m, group, CGM_MEMORY_MAX, keeps && limits.max, limits.memory_max);
		check_limit(m, group, CGM_HUGE_MAX_FIRST, keeps && limits.max, limits.huge_max[0]);
		if (model_limit(m, group, CGM_MEMORY_MIN)->locked)
			keeps = false; /* nothing is protected that would have to be above it */
		for (size_t k = 0; keeps && limits.min && k < TARGETS_FIRST; k++)
			if (strncmp(paths[i], paths[k], strlen(paths[k])) == 0)
				below[k] += limits.memory_min;
	}
	for (size_t k = 0; k < TARGETS_FIRST; k++) {
		check_limit(m, m->cgroups[k], CGM_MEMORY_MIN, below[k], below[k]);
		check_limit(m, m->cgroups[k], CGM_MEMORY_MAX, false, 0);
	}
	CU_ASSERT(mirror_fixture_rests(&m->m));
	CU_ASSERT(!m->m.todo && !m->m.done);
}

/* Nothing fails any more, and who has changed is looked at once more. */
static void step_rest(struct model *m)
{
	unsigned int faults = m->faults;

	m->faults = m->dies_in = 0;
	mirror_fixture_settle(&m->m);
	if (m->hard)
		step_restart(m);
	for (size_t i = 0; i < SESSIONS; i++)
		if (m->sessions[i].session)
			mirror_changed(m->m.f.broker->mirror, m->sessions[i].session);
	mirror_fixture_settle(&m->m);
	check_at_rest(m);
	m->faults = faults;
	m->n_rests++;
}

/* --- all of it */

static void step_session(struct model *m)
{
	struct model_session *s = &m->sessions[pick(m, SESSIONS)];

	if (!s->session)
		step_open(m, s);
	else if (pick(m, 4))
		step_change(m, s);
	else
		step_end(m, s);
}

static void step_kernel(struct model *m)
{
	struct fake_cgroup *group = m->cgroups[pick(m, CGROUPS)];

	switch (pick(m, 8)) {
	case 0:
		step_vanish(m);
		return;
	case 1:
		fake_cgroups_put(&m->m.cgroups, m->children[pick(m, PROCESSES)].pid,
				 pick_target(m));
		return;
	case 2:
		pick_target(m)->others = !pick(m, 4);
		return;
	case 3:
	case 4:
		step_somebody_else(m, group);
		return;
	default:
		step_charge(m, group);
	}
}

static void model_step(struct model *m)
{
	switch (pick(m, 32)) {
	case 0:
		if (!pick(m, 8))
			step_rest(m);
		return;
	case 1:
		if (!pick(m, 4))
			step_restart(m);
		return;
	case 2:
		m->dies_in = (unsigned int)pick(m, 10);
		return;
	case 3:
	case 4:
	case 5:
		step_session(m);
		return;
	case 6:
	case 7:
	case 8:
		step_kernel(m);
		return;
	case 9:
	case 10:
	case 11:
	case 12:
		mirror_fixture_pass(&m->m, pick(m, 60));
		return;
	default:
		if (pick(m, 2))
			step_work(m);
		else
			(void)mirror_fixture_tell(&m->m); /* there may be nothing to tell */
	}
}

static bool model_init(struct model *m, bool manager)
{
	uint64_t seed = m->seed;

	memset(m, 0, sizeof(*m));
	m->seed = seed;
	if (!mirror_fixture_init(&m->m, manager))
		return false;
	m->m.f.policy->max_sessions = SESSIONS;
	m->m.pinned = model_pinned;
	m->m.put = model_put;
	m->m.told = model_forget;
	m->m.arg = m->m.cgroups.arg = m;
	m->m.cgroups.fails = model_fails;
	m->m.cgroups.written = model_written;
	for (size_t i = 0; i < CGROUPS; i++)
		model_add(m, i);
	for (size_t i = 0; i < PROCESSES; i++)
		(void)mirror_fixture_owner(&m->m, &m->children[i], pick_target(m));
	return true;
}

/* Everything is as it was, or as somebody else said. */
static void model_fini(struct model *m)
{
	for (size_t i = 0; i < SESSIONS; i++)
		if (m->sessions[i].session)
			step_end(m, &m->sessions[i]);
	step_rest(m);
	CU_ASSERT_EQUAL(record_fixture_count(m->m.f.broker->record, RECORD_LIMIT), 0);
	for (size_t i = 0; i < CGROUPS; i++)
		for (enum cgm_key key = 0; key < KEYS; key++)
			CHECK(paths[i], m->cgroups[i]->value[key] ==
						model_limit(m, m->cgroups[i], key)->theirs);
	CU_ASSERT(m->n_writes > 100 && m->n_kills && m->n_rests > 1);
	CU_ASSERT(m->n_faults || !m->faults);
	for (size_t i = 0; i < PROCESSES; i++)
		CU_ASSERT_EQUAL(child_end(&m->children[i]), 0);
	mirror_fixture_fini(&m->m);
}

static void model_run(bool manager)
{
	static struct model m;

	m.seed = suite_seed("mirror rule");
	for (unsigned int run = 0; run < RUNS; run++) {
		if (!model_init(&m, manager))
			return;
		m.faults = run * 6;
		for (int i = 0; i < STEPS; i++)
			model_step(&m);
		model_fini(&m);
	}
}

static void rule_holds_by_the_kernel(void)
{
	model_run(false);
}

static void rule_holds_by_systemd(void)
{
	model_run(true);
}

static const CU_TestInfo tests[] = {
	{"the rule holds at each step, whatever happens", rule_holds_by_the_kernel},
	{"and where systemd writes some of it", rule_holds_by_systemd},
	CU_TEST_INFO_NULL,
};

const struct suite suite_mirror_rule = {"mirror_rule", tests};
