/* SPDX-License-Identifier: MIT */
/*
 * The rule for RLIMIT_MEMLOCK, against a model: processes of two users open, end, revoke, resize
 * and pass on sessions of both modes, somebody else changes their limits, they exit, and the
 * daemon is killed and started again, all in the order that a seed gives. After each step every
 * process has what the rule says, or what somebody else said since.
 */
#include <string.h>
#include <sys/resource.h>

#include "common/cleanup.h"
#include "daemon/owner.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/child.h"
#include "tests/unit/fake_sys.h"
#include "tests/unit/suite.h"

#define PROCESSES 5
#define SESSIONS 12
#define STEPS 1500
#define EXITS_MAX 40 /* the fake kernel knows 64 processes */

/* What the text of the rule says of a process; bytes. */
struct model_process {
	struct child child;
	uid_t uid;
	uint64_t besides;
	struct rlimit value; /* as the kernel has it */
	struct rlimit ours; /* set last by the broker */
	struct rlimit original;
	bool changed;
};

struct model_session {
	uint64_t id; /* 0: none */
	struct model_process *owner;
	bool user_mode;
	bool revoked;
	uint64_t limit;
	uint64_t extra;
};

struct model {
	struct broker_fixture f;
	uint64_t seed;
	unsigned int n_exits;
	struct model_process processes[PROCESSES];
	struct model_session sessions[SESSIONS];
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

/* Whether there is anything to be mapped, and then the value; from scratch. */
static bool model_rule(const struct model *m, const struct model_process *p, uint64_t *ret_value)
{
	uint64_t task = 0, user = 0, extra = 0;
	bool live = false;

	for (size_t i = 0; i < SESSIONS; i++) {
		const struct model_session *s = &m->sessions[i];

		if (!s->id || s->owner->uid != p->uid)
			continue;
		user += s->user_mode ? s->limit : 0;
		if (s->owner != p || s->revoked)
			continue;
		live = true;
		task += s->user_mode ? 0 : s->limit;
		extra = larger(extra, s->extra);
	}
	*ret_value = p->besides + extra + larger(task, user);
	return live;
}

/* Nothing is to be mapped any more: what comes back, if it was not somebody else's word. */
static void model_back(struct model_process *p, bool force)
{
	bool soft = p->value.rlim_cur == p->ours.rlim_cur;

	if (!p->changed || p->value.rlim_max > p->ours.rlim_max)
		return;
	if (p->value.rlim_max == p->ours.rlim_max) {
		p->value.rlim_max = p->original.rlim_max;
		p->value.rlim_cur = soft ? p->original.rlim_cur
					 : lesser(p->value.rlim_cur, p->original.rlim_max);
		p->changed = false;
	} else if (force) {
		p->value.rlim_max = lesser(p->value.rlim_max, p->original.rlim_max);
		p->value.rlim_cur = lesser(soft ? p->original.rlim_cur
						: lesser(p->value.rlim_cur, p->original.rlim_cur),
					   p->value.rlim_max);
		p->changed = false;
	}
}

/* The broker has looked at the process. */
static void model_look(const struct model *m, struct model_process *p, bool force)
{
	uint64_t value;

	if (!model_rule(m, p, &value)) {
		model_back(p, force);
		return;
	}
	if (!p->changed || p->value.rlim_max > p->ours.rlim_max) {
		p->original = p->value;
	} else if (memcmp(&p->value, &p->ours, sizeof(p->value)) != 0) {
		p->original.rlim_cur = lesser(p->original.rlim_cur, p->value.rlim_cur);
		p->original.rlim_max = lesser(p->original.rlim_max, p->value.rlim_max);
	}
	p->value.rlim_cur = p->value.rlim_max = value;
	p->ours = p->value;
	p->changed = true;
}

static void model_keep(const struct model *m, struct model_process *p)
{
	model_look(m, p, false);
}

static bool model_has_sessions(const struct model *m, const struct model_process *p)
{
	for (size_t i = 0; i < SESSIONS; i++)
		if (m->sessions[i].id && m->sessions[i].owner == p)
			return true;
	return false;
}

/* A session of p was changed: p is looked at, and in user mode all others of the user. */
static void model_changed(struct model *m, struct model_process *p, bool user_mode)
{
	for (size_t i = 0; i < PROCESSES; i++) {
		struct model_process *other = &m->processes[i];

		if (other == p ||
		    (user_mode && other->uid == p->uid && model_has_sessions(m, other)))
			model_keep(m, other);
	}
}

/* The broker forgets one without a session. */
static void model_gone(const struct model *m, struct model_process *p)
{
	if (!model_has_sessions(m, p))
		p->changed = false;
}

static void model_check(const struct model *m, const char *step)
{
	for (size_t i = 0; i < PROCESSES; i++) {
		const struct model_process *p = &m->processes[i];
		const struct rlimit now = fake_sys_memlock(p->child.pid);

		CHECK(step, now.rlim_cur == p->value.rlim_cur);
		CHECK(step, now.rlim_max == p->value.rlim_max);
	}
}

static struct session *model_find(const struct model *m, const struct model_session *s)
{
	struct session *session = session_find(m->f.broker->sessions, s->id);

	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
	return session;
}

static struct owner *model_owner(struct model *m, struct model_process *p)
{
	const struct owner_plan plan = {.pidfd = p->child.pidfd,
					.pid = p->child.pid,
					.uid = p->uid,
					.locked_besides = pick(m, 100)};
	struct owner *owner = NULL;

	CU_ASSERT_EQUAL_FATAL(owner_get(m->f.broker->owners, &plan, &owner), 0);
	p->besides = owner->locked_besides; /* of its first session */
	return owner;
}

static void step_open(struct model *m, struct model_session *s, struct model_process *p)
{
	struct owner *owner = model_owner(m, p);
	struct session *session;

	*s = (struct model_session){.owner = p,
				    .user_mode = pick(m, 2),
				    .limit = pick(m, 1000),
				    .extra = pick(m, 3) * 10000};
	m->f.policy->extra_memlock = s->extra;
	session = broker_fixture_session(
		&m->f, p->uid, "vm", s->user_mode ? POLICY_ACCOUNTING_USER : POLICY_ACCOUNTING_TASK,
		s->limit);
	owner_add_session(owner, session);
	CU_ASSERT_EQUAL(owner_limit_session(session), 0);
	session_enter(m->f.broker->sessions, session, SESSION_ACTIVE);
	s->id = session->id;
	model_changed(m, p, s->user_mode);
}

static void step_end(struct model *m, struct model_session *s)
{
	struct session *session = model_find(m, s);
	struct owner *owner = session->owner;

	owner_end_session(m->f.broker, session);
	if (!owner->sessions)
		owner_put(owner);
	s->id = 0;
	model_changed(m, s->owner, s->user_mode);
	model_gone(m, s->owner);
}

static void step_revoke(struct model *m, struct model_session *s)
{
	struct session *session = model_find(m, s);

	if (s->revoked)
		return;
	session_enter(m->f.broker->sessions, session, SESSION_REVOKED);
	bool force = pick(m, 2); /* taken away, or given up */

	owner_give_up(session, force);
	s->revoked = true;
	model_look(m, s->owner, force);
}

static void step_set(struct model *m, struct model_session *s)
{
	struct session *session = model_find(m, s);
	struct session_numbers numbers = session_numbers(session);

	if (s->revoked)
		return;
	numbers.limit = numbers.charged = s->limit = pick(m, 1000);
	CU_ASSERT_EQUAL(session_set_numbers(m->f.broker->sessions, session, &numbers), 0);
	CU_ASSERT_EQUAL(owner_limit_session(session), 0);
	model_changed(m, s->owner, s->user_mode);
}

static void step_move(struct model *m, struct model_session *s, struct model_process *to)
{
	struct model_process *from = s->owner;

	if (s->revoked || to == from || to->uid != from->uid)
		return;
	CU_ASSERT_EQUAL(owner_move_session(model_find(m, s), model_owner(m, to)), 0);
	s->owner = to;
	model_keep(m, to);
	model_look(m, from, true);
	model_gone(m, from);
}

static void step_somebody_else(struct model *m, struct model_process *p)
{
	p->value.rlim_max = pick(m, 2) ? pick(m, 30000) : p->value.rlim_max;
	p->value.rlim_cur = pick(m, p->value.rlim_max + 1);
	fake_sys_set_memlock(p->child.pid, p->value.rlim_cur, p->value.rlim_max);
}

static void model_start(struct model *m, struct model_process *p, uid_t uid)
{
	*p = (struct model_process){.uid = uid};
	child_start(&p->child);
	p->value.rlim_max = 100 + pick(m, 100000);
	p->value.rlim_cur = pick(m, p->value.rlim_max);
	fake_sys_set_memlock(p->child.pid, p->value.rlim_cur, p->value.rlim_max);
}

struct gone {
	struct model *m;
	size_t n;
};

static bool sessions_are_gone(void *arg)
{
	const struct gone *gone = arg;

	return session_count(gone->m->f.broker->sessions) == gone->n;
}

static void step_exit(struct model *m, struct model_process *p)
{
	struct gone gone = {.m = m, .n = session_count(m->f.broker->sessions)};
	bool user_mode = false;

	if (m->n_exits == EXITS_MAX)
		return;
	m->n_exits++;
	for (size_t i = 0; i < SESSIONS; i++)
		if (m->sessions[i].id && m->sessions[i].owner == p) {
			user_mode |= m->sessions[i].user_mode;
			m->sessions[i].id = 0;
			gone.n--;
		}
	child_exit(&p->child);
	broker_fixture_run(&m->f, sessions_are_gone, &gone);
	CU_ASSERT_EQUAL(child_end(&p->child), 0);
	for (size_t i = 0; i < PROCESSES; i++)
		if (&m->processes[i] != p && m->processes[i].uid == p->uid && user_mode &&
		    model_has_sessions(m, &m->processes[i]))
			model_keep(m, &m->processes[i]);
	model_start(m, p, p->uid);
}

/* Every owner is looked at. */
static void step_restart(struct model *m)
{
	broker_fixture_restart(&m->f);
	for (size_t i = 0; i < PROCESSES; i++)
		if (model_has_sessions(m, &m->processes[i]))
			model_keep(m, &m->processes[i]);
}

static const char *model_step(struct model *m)
{
	struct model_session *s = &m->sessions[pick(m, SESSIONS)];
	struct model_process *p = &m->processes[pick(m, PROCESSES)];

	switch (pick(m, 24)) {
	case 0:
		step_exit(m, p);
		return "exit";
	case 1:
		step_restart(m);
		return "restart";
	case 2:
	case 3:
	case 4:
		step_somebody_else(m, p);
		return "somebody else";
	default:
		break;
	}
	if (!s->id) {
		step_open(m, s, p);
		return "open";
	}
	switch (pick(m, 4)) {
	case 0:
		step_end(m, s);
		return "end";
	case 1:
		step_revoke(m, s);
		return "revoke";
	case 2:
		step_move(m, s, p);
		return "move";
	default:
		step_set(m, s);
		return "set";
	}
}

static void rule_holds_at_each_step(void)
{
	static struct model m;

	memset(&m, 0, sizeof(m));
	if (!broker_fixture_init(&m.f))
		return;
	m.seed = suite_seed("owner rule");
	for (size_t i = 0; i < PROCESSES; i++)
		model_start(&m, &m.processes[i], i % 2 ? 1000 : 2000);
	for (int i = 0; i < STEPS; i++)
		model_check(&m, model_step(&m));
	for (size_t i = 0; i < PROCESSES; i++)
		CU_ASSERT_EQUAL(child_end(&m.processes[i].child), 0);
	broker_fixture_fini(&m.f);
}

static const CU_TestInfo tests[] = {
	{"the rule holds at each step, whatever happens", rule_holds_at_each_step},
	CU_TEST_INFO_NULL,
};

const struct suite suite_owner_rule = {"owner_rule", tests};
