/* SPDX-License-Identifier: MIT */
#include "tests/unit/mirror_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accounting/policy.h"
#include "bpf/gate.h"
#include "common/cleanup.h"
#include "daemon/loop.h"
#include "daemon/mirror_private.h"
#include "daemon/owner.h"
#include "daemon/warden.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

#define SETTLE_MAX 100000

static struct mirror_fixture *active; /* NULL: the worker and the warden are themselves */

static void start_mirror(struct mirror_fixture *m)
{
	struct broker *broker = m->f.broker;

	CU_ASSERT_EQUAL_FATAL(mirror_new(broker, &broker->mirror), 0);
	for (struct session *s = session_after(broker->sessions, 0); s; s = s->newer)
		mirror_begin(broker->mirror, s);
	mirror_resumed(broker->mirror);
	CU_ASSERT_EQUAL_FATAL(mirror_start(broker->mirror), 0);
}

bool mirror_fixture_init(struct mirror_fixture *m, bool manager)
{
	*m = (struct mirror_fixture){.pinned_each = UINT64_MAX};
	if (!broker_fixture_init(&m->f))
		return false;
	active = m;
	fake_clock_stop(CLOCK_MONOTONIC);
	fake_cgroups_begin(&m->cgroups);
	m->cgroups.manager = manager;
	m->f.policy->mirror = POLICY_MIRROR_BOTH;
	m->f.policy->headroom = UINT64_C(512) << 20;
	m->f.policy->migration_buffers = UINT64_C(256) << 20;
	start_mirror(m);
	return true;
}

void mirror_fixture_fini(struct mirror_fixture *m)
{
	mirror_free(m->f.broker->mirror);
	m->f.broker->mirror = NULL;
	fake_cgroups_end(&m->cgroups);
	broker_fixture_fini(&m->f);
	CU_ASSERT(!m->todo && !m->done);
	fake_clock_reset();
	active = NULL;
}

struct owner *mirror_fixture_owner(struct mirror_fixture *m, struct child *child,
				   struct fake_cgroup *group)
{
	struct owner *owner = broker_fixture_owner(&m->f, getuid(), child);

	fake_cgroups_put(&m->cgroups, child->pid, group);
	return owner;
}

struct session *mirror_fixture_session(struct mirror_fixture *m, struct owner *owner,
				       uint64_t limit)
{
	struct broker *broker = m->f.broker;
	struct session *session =
		broker_fixture_session(&m->f, owner->uid, "vm", POLICY_ACCOUNTING_TASK, limit);

	owner_add_session(owner, session);
	session_enter(broker->sessions, session, SESSION_ACTIVE);
	mirror_begin(broker->mirror, session);
	return session;
}

void mirror_fixture_end(struct mirror_fixture *m, struct session *session)
{
	struct owner *owner = session->owner;

	owner_end_session(m->f.broker, session);
	if (owner && owner_is_idle(owner))
		owner_put(owner);
}

/* --- the worker */

static void queue_append(struct worker_job **at, struct worker_job *job)
{
	while (*at)
		at = &(*at)->next;
	job->next = NULL;
	*at = job;
}

static struct worker_job *queue_shift(struct worker_job **first)
{
	struct worker_job *job = *first;

	if (job)
		*first = job->next;
	return job;
}

bool mirror_fixture_work(struct mirror_fixture *m)
{
	struct worker_job *job = m->started ? queue_shift(&m->todo) : NULL;

	if (!job)
		return false;
	job->work(job);
	queue_append(&m->done, job);
	return true;
}

bool mirror_fixture_tell(struct mirror_fixture *m)
{
	struct worker_job *job = queue_shift(&m->done);

	if (!job)
		return false;
	job->done(job);
	if (m->told)
		m->told(m->arg);
	return true;
}

void mirror_fixture_jobs(struct mirror_fixture *m)
{
	while (mirror_fixture_work(m) || mirror_fixture_tell(m))
		;
}

/* --- time */

void mirror_fixture_pass(struct mirror_fixture *m, uint64_t ms)
{
	struct spot always;

	fake_clock_add(CLOCK_MONOTONIC, (int64_t)ms);
	spot_init(&always, m->f.broker->loop, true);
	always.stop_at = 2; /* timers come behind the first call */
	spot_watch(&always);
	CU_ASSERT_EQUAL(loop_run(m->f.broker->loop), 0);
	spot_fini(&always);
}

/*
 * Cgroups of which more is in use than there should be: they are looked at again and again. One
 * that is due sooner than for that has something else to do yet.
 */
static size_t raised_groups(const struct mirror *mirror)
{
	const uint64_t soon_ms = broker_now_ms() + MIRROR_EVERY_MS;
	size_t n = 0;

	for (size_t i = 0; i < MIRROR_BUCKETS; i++)
		for (const struct mirror_group *g = mirror->groups[i]; g; g = g->next)
			n += g->raised && g->turn.queued && g->turn.due_ms > soon_ms;
	return n;
}

bool mirror_fixture_rests(const struct mirror_fixture *m)
{
	const struct mirror *mirror = m->f.broker->mirror;
	size_t n = 0;

	for (const struct mirror_turn *t = mirror->queue.first; t; t = t->next)
		n++;
	return n == raised_groups(mirror) && !!mirror->queue.timer == (n > 0);
}

void mirror_fixture_settle(struct mirror_fixture *m)
{
	const struct mirror_queue *queue = &m->f.broker->mirror->queue;
	unsigned int n = 0;

	for (mirror_fixture_jobs(m); !mirror_fixture_rests(m) && n < SETTLE_MAX; n++) {
		const uint64_t now_ms = broker_now_ms();

		mirror_fixture_pass(m, queue->timer_ms > now_ms ? queue->timer_ms - now_ms : 0);
		mirror_fixture_jobs(m);
	}
	CU_ASSERT(n < SETTLE_MAX);
}

void mirror_fixture_restart(struct mirror_fixture *m)
{
	mirror_free(m->f.broker->mirror);
	m->f.broker->mirror = NULL;
	broker_fixture_restart(&m->f);
	start_mirror(m);
}

/* What the linker makes of the names; nothing else calls them.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
#define WRAP(type, name, params)   \
	type __real_##name params; \
	type __wrap_##name params;

WRAP(int, worker_new, (struct loop * loop, struct worker **ret_worker))
WRAP(int, worker_start, (struct worker * worker))
WRAP(void, worker_put, (struct worker * worker, struct worker_job *job))
WRAP(bool, worker_free, (struct worker * worker, worker_fn drop))
WRAP(bool, warden_watch, (const struct broker *broker, const struct session *session))
WRAP(bool, warden_figures,
     (const struct broker *broker, const struct session *session, enum warden_reading reading,
      struct gate_figures *ret_figures))

int __wrap_worker_new(struct loop *loop, struct worker **ret_worker)
{
	if (!active)
		return __real_worker_new(loop, ret_worker);
	*ret_worker = (struct worker *)active; /* nobody looks into it */
	return 0;
}

int __wrap_worker_start(struct worker *worker)
{
	if (!active)
		return __real_worker_start(worker);
	active->started = true;
	return 0;
}

void __wrap_worker_put(struct worker *worker, struct worker_job *job)
{
	if (!active) {
		__real_worker_put(worker, job);
		return;
	}
	if (active->put)
		active->put(job, active->arg);
	queue_append(&active->todo, job);
}

bool __wrap_worker_free(struct worker *worker, worker_fn drop)
{
	struct worker_job *job;

	if (!active)
		return __real_worker_free(worker, drop);
	while ((job = queue_shift(&active->todo)) || (job = queue_shift(&active->done)))
		drop(job);
	active->started = false;
	return true;
}

static uint64_t pinned_of(const struct session *session)
{
	return active->pinned ? active->pinned(session->id, active->arg) : active->pinned_each;
}

bool __wrap_warden_watch(const struct broker *broker, const struct session *session)
{
	if (!active)
		return __real_warden_watch(broker, session);
	return pinned_of(session) != UINT64_MAX;
}

bool __wrap_warden_figures(const struct broker *broker, const struct session *session,
			   enum warden_reading reading, struct gate_figures *ret_figures)
{
	if (!active)
		return __real_warden_figures(broker, session, reading, ret_figures);
	if (pinned_of(session) == UINT64_MAX)
		return false;
	*ret_figures = (struct gate_figures){
		.pinned = pinned_of(session) / (uint64_t)sysconf(_SC_PAGESIZE), .exact = true};
	return true;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
