/* SPDX-License-Identifier: MIT */
/* Owners are real processes with pidfds; their RLIMIT_MEMLOCK lives in the fake kernel. */
#include "daemon/owner.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accounting/ledger.h"
#include "common/cleanup.h"
#include "daemon/record.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/captured.h"
#include "tests/unit/child.h"
#include "tests/unit/fake_sys.h"
#include "tests/unit/suite.h"

#define UID 4321
#define TASK POLICY_ACCOUNTING_TASK
#define USER POLICY_ACCOUNTING_USER

static struct owner *get_owner(struct broker_fixture *f, const struct child *child, uid_t uid)
{
	const struct owner_plan plan = {.pidfd = child->pidfd, .pid = child->pid, .uid = uid};
	struct owner *owner = NULL;

	CU_ASSERT_EQUAL_FATAL(owner_get(f->broker->owners, &plan, &owner), 0);
	return owner;
}

/* A broker with one owner. */
struct scene {
	struct broker_fixture f;
	struct child child;
	struct owner *owner;
};

static bool scene_init(struct scene *s)
{
	if (!broker_fixture_init(&s->f))
		return false;
	s->owner = broker_fixture_owner(&s->f, UID, &s->child);
	return true;
}

static void scene_fini(struct scene *s)
{
	CU_ASSERT_EQUAL(child_end(&s->child), 0);
	broker_fixture_fini(&s->f);
}

/* A session for an owner; returns what setting the limit gave. */
static int give_session(struct broker_fixture *f, struct owner *owner,
			enum policy_accounting accounting, uint64_t limit,
			struct session **ret_session)
{
	struct session *session = broker_fixture_session(f, owner->uid, "vm", accounting, limit);

	owner_add_session(owner, session);
	*ret_session = session;
	return owner_limit_session(session);
}

static void one_process_is_one_owner(void)
{
	struct owner *owner, *again;
	struct broker_fixture f;
	struct child child, other;

	if (!broker_fixture_init(&f))
		return;
	owner = broker_fixture_owner(&f, UID, &child);
	CLEANUP(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, child.pid, 0);

	const struct owner_plan plan = {.pidfd = pidfd, .pid = child.pid, .uid = UID};

	CU_ASSERT_EQUAL(owner_get(f.broker->owners, &plan, &again), 0);
	CU_ASSERT_PTR_EQUAL(owner, again); /* by another descriptor of the same process */
	again = broker_fixture_owner(&f, UID, &other);
	CU_ASSERT_PTR_NOT_EQUAL(owner, again);
	owner_put(owner);
	owner_put(again);
	CU_ASSERT_EQUAL(fake_sys_writes(child.pid), 0); /* nothing was there to put back */
	fd_closep(&pidfd);
	CU_ASSERT_EQUAL(child_end(&child), 0);
	CU_ASSERT_EQUAL(child_end(&other), 0);
	broker_fixture_fini(&f);
}

static void limit_follows_the_sessions(void)
{
	struct session *a, *b, *c;
	struct scene s;

	if (!scene_init(&s))
		return;
	CU_ASSERT_EQUAL(give_session(&s.f, s.owner, TASK, 1000, &a), 0);
	CU_ASSERT_TRUE(fake_sys_memlock_is(s.child.pid, 1000, 1000));
	CU_ASSERT_EQUAL(give_session(&s.f, s.owner, TASK, 500, &b), 0);
	CU_ASSERT_TRUE(fake_sys_memlock_is(s.child.pid, 1500, 1500));
	CU_ASSERT_EQUAL(give_session(&s.f, s.owner, USER, 700, &c), 0);
	/* the larger of the two sums */
	CU_ASSERT_TRUE(fake_sys_memlock_is(s.child.pid, 1500, 1500));
	owner_end_session(s.f.broker, a);
	CU_ASSERT_TRUE(fake_sys_memlock_is(s.child.pid, 700, 700));
	owner_end_session(s.f.broker, c);
	CU_ASSERT_TRUE(fake_sys_memlock_is(s.child.pid, 500, 500));
	owner_end_session(s.f.broker, b);
	owner_put(s.owner);
	CU_ASSERT_TRUE(fake_sys_memlock_is(s.child.pid, FIXTURE_SOFT, FIXTURE_HARD));
	CU_ASSERT_EQUAL(session_count(s.f.broker->sessions), 0);
	scene_fini(&s);
}

static void extra_and_locked_are_added_once(void)
{
	struct session *a, *b;
	struct broker_fixture f;
	struct owner *owner = NULL;
	struct child child;

	if (!broker_fixture_init(&f))
		return;
	child_start(&child);
	fake_sys_set_memlock(child.pid, FIXTURE_SOFT, FIXTURE_HARD);
	const struct owner_plan plan = {
		.pidfd = child.pidfd, .pid = child.pid, .uid = UID, .locked_besides = 3};

	CU_ASSERT_EQUAL_FATAL(owner_get(f.broker->owners, &plan, &owner), 0);
	f.policy->extra_memlock = 20;
	CU_ASSERT_EQUAL(give_session(&f, owner, TASK, 1000, &a), 0);
	CU_ASSERT_TRUE(fake_sys_memlock_is(child.pid, 1023, 1023));
	f.policy->extra_memlock = 50; /* another policy: the larger counts */
	CU_ASSERT_EQUAL(give_session(&f, owner, TASK, 1000, &b), 0);
	CU_ASSERT_TRUE(fake_sys_memlock_is(child.pid, 2053, 2053));
	owner_end_session(f.broker, b);
	CU_ASSERT_TRUE(fake_sys_memlock_is(child.pid, 1023, 1023));
	owner_end_session(f.broker, a);
	owner_put(owner);
	CU_ASSERT_EQUAL(child_end(&child), 0);
	broker_fixture_fini(&f);
}

static void put_back_only_where_still_ours(void)
{
	static const struct {
		const char *name;
		uint64_t soft, hard; /* what somebody else sets meanwhile; 0: nobody does */
		uint64_t left_soft, left_hard; /* what is there at the end */
	} cases[] = {
		{"nobody touched it", 0, 0, FIXTURE_SOFT, FIXTURE_HARD},
		{"raised by somebody else", 5000, 5000, 5000, 5000},
		{"lowered by somebody else", 900, 900, 900, 900},
		{"hard limit raised", 1000, 5000, 1000, 5000},
		/* Anybody can lower his own soft limit, and must not keep the hard one by it. */
		{"soft limit lowered", 900, 1000, 900, FIXTURE_HARD},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct session *session;
		struct scene s;

		if (!scene_init(&s))
			return;
		CU_ASSERT_EQUAL(give_session(&s.f, s.owner, TASK, 1000, &session), 0);
		if (cases[i].soft)
			fake_sys_set_memlock(s.child.pid, cases[i].soft, cases[i].hard);
		owner_end_session(s.f.broker, session);
		owner_put(s.owner);
		CHECK(cases[i].name,
		      fake_sys_memlock_is(s.child.pid, cases[i].left_soft, cases[i].left_hard));
		CHECK(cases[i].name,
		      captured_count("RLIMIT_MEMLOCK of") == (cases[i].left_hard != FIXTURE_HARD));
		scene_fini(&s);
	}
}

static void owner_with_sessions_is_kept(void)
{
	struct scene s;
	struct session *session;

	if (!scene_init(&s))
		return;
	CU_ASSERT_EQUAL(give_session(&s.f, s.owner, TASK, 1000, &session), 0);
	owner_put(s.owner); /* does nothing */
	CU_ASSERT_TRUE(fake_sys_memlock_is(s.child.pid, 1000, 1000));
	CU_ASSERT_PTR_EQUAL(get_owner(&s.f, &s.child, UID), s.owner);
	owner_end_session(s.f.broker, session);
	owner_put(s.owner);
	scene_fini(&s);
}

/* All three may map against one counter of the uid, each against its own limit. */
static void user_mode_raises_and_lowers_siblings(void)
{
	struct child a_child, b_child, stranger_child;
	struct session *a, *b, *c, *d;
	struct owner *a_owner, *b_owner, *stranger;
	struct broker_fixture f;

	if (!broker_fixture_init(&f))
		return;
	a_owner = broker_fixture_owner(&f, UID, &a_child);
	b_owner = broker_fixture_owner(&f, UID, &b_child);
	stranger = broker_fixture_owner(&f, UID + 1, &stranger_child);
	CU_ASSERT_EQUAL(give_session(&f, stranger, USER, 10, &d), 0);
	CU_ASSERT_EQUAL(give_session(&f, a_owner, USER, 1000, &a), 0);
	/* has no session */
	CU_ASSERT_TRUE(fake_sys_memlock_is(b_child.pid, FIXTURE_SOFT, FIXTURE_HARD));
	CU_ASSERT_EQUAL(give_session(&f, b_owner, TASK, 100, &b), 0);
	/* what others mapped counts here */
	CU_ASSERT_TRUE(fake_sys_memlock_is(b_child.pid, 1000, 1000));
	CU_ASSERT_EQUAL(give_session(&f, b_owner, USER, 500, &c), 0);
	CU_ASSERT_TRUE(fake_sys_memlock_is(a_child.pid, 1500, 1500));
	CU_ASSERT_TRUE(fake_sys_memlock_is(b_child.pid, 1500, 1500));
	CU_ASSERT_TRUE(fake_sys_memlock_is(stranger_child.pid, 10, 10));
	owner_end_session(f.broker, a);
	CU_ASSERT_TRUE(fake_sys_memlock_is(b_child.pid, 500, 500));
	owner_put(a_owner);
	CU_ASSERT_TRUE(fake_sys_memlock_is(a_child.pid, FIXTURE_SOFT, FIXTURE_HARD));
	owner_end_session(f.broker, c);
	CU_ASSERT_TRUE(fake_sys_memlock_is(b_child.pid, 100, 100));
	owner_end_session(f.broker, b);
	owner_end_session(f.broker, d);
	owner_put(b_owner);
	owner_put(stranger);
	CU_ASSERT_EQUAL(child_end(&a_child), 0);
	CU_ASSERT_EQUAL(child_end(&b_child), 0);
	CU_ASSERT_EQUAL(child_end(&stranger_child), 0);
	broker_fixture_fini(&f);
}

/* The one who asks is refused and nothing is left; a sibling's failure is only logged. */
static void refused_prlimit_leaves_the_rest_as_it_was(void)
{
	struct session *a, *b;
	struct owner *a_owner, *b_owner;
	struct child a_child, b_child;
	struct broker_fixture f;

	if (!broker_fixture_init(&f))
		return;
	a_owner = broker_fixture_owner(&f, UID, &a_child);
	b_owner = broker_fixture_owner(&f, UID, &b_child);
	CU_ASSERT_EQUAL(give_session(&f, a_owner, USER, 1000, &a), 0);
	for (unsigned int call = 1; call <= 2; call++) { /* the look at the limit, the change */
		fake_sys_fail(call, -EPERM);
		CU_ASSERT_EQUAL(give_session(&f, b_owner, USER, 500, &b), -EPERM);
		fake_sys_fail(0, 0);
		owner_end_session(f.broker, b);
	}
	owner_put(b_owner);
	CU_ASSERT_TRUE(fake_sys_memlock_is(a_child.pid, 1000, 1000));
	CU_ASSERT_TRUE(fake_sys_memlock_is(b_child.pid, FIXTURE_SOFT, FIXTURE_HARD));
	CU_ASSERT_EQUAL(ledger_user_mode_sum(f.broker->ledger, UID), 1000);
	CU_ASSERT_EQUAL(captured_count("RLIMIT_MEMLOCK of"), 0);
	b_owner = get_owner(&f, &b_child, UID);
	fake_sys_fail(4, -EPERM); /* the sibling's change */
	CU_ASSERT_EQUAL(give_session(&f, b_owner, USER, 500, &b), 0);
	CU_ASSERT_EQUAL(captured_count("RLIMIT_MEMLOCK of"), 1);
	CU_ASSERT_TRUE(fake_sys_memlock_is(b_child.pid, 1500, 1500));
	owner_end_session(f.broker, b);
	owner_end_session(f.broker, a);
	owner_put(a_owner);
	owner_put(b_owner);
	CU_ASSERT_TRUE(fake_sys_memlock_is(a_child.pid, FIXTURE_SOFT, FIXTURE_HARD));
	CU_ASSERT_EQUAL(child_end(&a_child), 0);
	CU_ASSERT_EQUAL(child_end(&b_child), 0);
	broker_fixture_fini(&f);
}

static bool sessions_are_few(void *arg)
{
	const struct broker_fixture *f = arg;

	return session_count(f->broker->sessions) == 1;
}

static void exit_ends_the_sessions(void)
{
	struct session *a[3], *b;
	struct owner *a_owner, *b_owner;
	struct child a_child, b_child;
	struct broker_fixture f;

	if (!broker_fixture_init(&f))
		return;
	a_owner = broker_fixture_owner(&f, UID, &a_child);
	b_owner = broker_fixture_owner(&f, UID, &b_child);
	for (size_t i = 0; i < ARRAY_SIZE(a); i++)
		CU_ASSERT_EQUAL(give_session(&f, a_owner, i ? TASK : USER, 1000, &a[i]), 0);
	CU_ASSERT_EQUAL(give_session(&f, b_owner, USER, 500, &b), 0);
	CU_ASSERT_TRUE(fake_sys_memlock_is(b_child.pid, 1500, 1500));
	CU_ASSERT_EQUAL(child_end(&a_child), 0);
	broker_fixture_run(&f, sessions_are_few, &f);
	CU_ASSERT_EQUAL(ledger_user_sum(f.broker->ledger, UID), 500);
	CU_ASSERT_EQUAL(ledger_n_sessions(f.broker->ledger, UID, f.policy->name), 1);
	CU_ASSERT_TRUE(fake_sys_memlock_is(b_child.pid, 500, 500)); /* the sibling is lowered */
	CU_ASSERT_TRUE(fake_sys_memlock_is(a_child.pid, 2000, 2000)); /* whoever has the pid */
	owner_end_session(f.broker, b);
	owner_put(b_owner);
	CU_ASSERT_EQUAL(child_end(&b_child), 0);
	broker_fixture_fini(&f);
}

/* The pid is somebody else's by the time the call is made: the old value goes back. */
static void reused_pid_keeps_its_own_limit(void)
{
	struct scene s;
	struct session *session;

	if (!scene_init(&s))
		return;
	child_exit(&s.child);
	fake_sys_set_memlock(s.child.pid, 111, 222); /* of the one who has the pid now */
	CU_ASSERT_EQUAL(give_session(&s.f, s.owner, TASK, 1000, &session), -ESRCH);
	CU_ASSERT_TRUE(fake_sys_memlock_is(s.child.pid, 111, 222));
	CU_ASSERT_EQUAL(fake_sys_writes(s.child.pid), 2);
	owner_end_session(s.f.broker, session);
	owner_put(s.owner);
	CU_ASSERT_TRUE(fake_sys_memlock_is(s.child.pid, 111, 222));
	scene_fini(&s);
}

static void end_child(void *arg)
{
	struct child *child = arg;

	child_exit(child);
	fake_sys_set_memlock(child->pid, 111, 222);
}

/* The same, with the exit between the look and the change. */
static void reused_pid_gets_its_own_limit_back(void)
{
	struct scene s;
	struct session *session;

	if (!scene_init(&s))
		return;
	fake_sys_before_prlimit(true, end_child, &s.child);
	CU_ASSERT_EQUAL(give_session(&s.f, s.owner, TASK, 1000, &session), -ESRCH);
	CU_ASSERT_TRUE(fake_sys_memlock_is(s.child.pid, 111, 222));
	CU_ASSERT_EQUAL(fake_sys_writes(s.child.pid), 2);
	owner_end_session(s.f.broker, session);
	owner_put(s.owner);
	CU_ASSERT_TRUE(fake_sys_memlock_is(s.child.pid, 111, 222));
	scene_fini(&s);
}

/* And on the way back. */
static void reused_pid_is_not_restored_into(void)
{
	struct scene s;
	struct session *session;

	if (!scene_init(&s))
		return;
	CU_ASSERT_EQUAL(give_session(&s.f, s.owner, TASK, 1000, &session), 0);
	owner_end_session(s.f.broker, session);
	fake_sys_before_prlimit(true, end_child, &s.child); /* owner_put() reads, then writes */
	owner_put(s.owner);
	CU_ASSERT_TRUE(fake_sys_memlock_is(s.child.pid, 111, 222));
	CU_ASSERT_EQUAL(captured_count("RLIMIT_MEMLOCK of"), 0); /* nobody is missing anything */
	scene_fini(&s);
}

static void stopping_leaves_limits_alone(void)
{
	struct broker_fixture f;
	struct session *session;
	struct owner *owner;
	struct child child;

	child_start(&child); /* it outlives the broker */
	if (broker_fixture_init(&f)) {
		fake_sys_set_memlock(child.pid, FIXTURE_SOFT, FIXTURE_HARD);
		owner = get_owner(&f, &child, UID);
		CU_ASSERT_EQUAL(give_session(&f, owner, TASK, 1000, &session), 0);
		broker_fixture_fini(&f);
		CU_ASSERT_TRUE(fake_sys_memlock_is(child.pid, 1000, 1000));
		CU_ASSERT_EQUAL(fake_sys_writes(child.pid), 1);
	}
	CU_ASSERT_EQUAL(child_end(&child), 0);
}

static struct owner *get_exempt(struct broker_fixture *f, const struct child *child, bool exempt)
{
	const struct owner_plan plan = {
		.pidfd = child->pidfd, .pid = child->pid, .uid = UID, .exempt = exempt};
	struct owner *owner = NULL;

	CU_ASSERT_EQUAL_FATAL(owner_get(f->broker->owners, &plan, &owner), 0);
	return owner;
}

static bool exempt_in_record(const struct broker_fixture *f, const struct owner *owner)
{
	return record_at(f->broker->record, owner->slot)->owner.exempt != 0;
}

/*
 * Its limit is left alone only as long as each time it is given a session it has the capability:
 * the kernel checks from when it drops that, and what it was given before counts then, too.
 */
static void exempt_only_as_long_as_capable(void)
{
	struct broker_fixture f;
	struct session *a, *b;
	struct owner *owner;
	struct child child;

	if (!broker_fixture_init(&f))
		return;
	child_start(&child);
	fake_sys_set_memlock(child.pid, FIXTURE_SOFT, FIXTURE_HARD);
	owner = get_exempt(&f, &child, true);
	CU_ASSERT_TRUE(owner->exempt && exempt_in_record(&f, owner));
	CU_ASSERT_EQUAL(give_session(&f, owner, TASK, 1000, &a), 0);
	CU_ASSERT_PTR_EQUAL(get_exempt(&f, &child, true), owner);
	CU_ASSERT_TRUE(owner->exempt && exempt_in_record(&f, owner));
	CU_ASSERT_EQUAL(fake_sys_writes(child.pid), 0);
	CU_ASSERT_PTR_EQUAL(get_exempt(&f, &child, false), owner);
	CU_ASSERT_FALSE(owner->exempt || exempt_in_record(&f, owner));
	CU_ASSERT_EQUAL(give_session(&f, owner, TASK, 500, &b), 0);
	CU_ASSERT_TRUE(fake_sys_memlock_is(child.pid, 1500, 1500)); /* both */
	CU_ASSERT_PTR_EQUAL(get_exempt(&f, &child, true), owner); /* it has it again: too late */
	CU_ASSERT_FALSE(owner->exempt || exempt_in_record(&f, owner));
	owner_end_session(f.broker, b);
	CU_ASSERT_TRUE(fake_sys_memlock_is(child.pid, 1000, 1000));
	owner_end_session(f.broker, a);
	owner_put(owner);
	CU_ASSERT_TRUE(fake_sys_memlock_is(child.pid, FIXTURE_SOFT, FIXTURE_HARD));
	CU_ASSERT_EQUAL(child_end(&child), 0);
	broker_fixture_fini(&f);
}

static const CU_TestInfo tests[] = {
	{"one process is one owner, by any of its pidfds", one_process_is_one_owner},
	{"the limit follows the sessions, the original comes back", limit_follows_the_sessions},
	{"extra-memlock and what is locked besides are added once",
	 extra_and_locked_are_added_once},
	{"a limit is put back only where it is still ours", put_back_only_where_still_ours},
	{"an owner with sessions is kept", owner_with_sessions_is_kept},
	{"user mode raises siblings of the uid and lowers them",
	 user_mode_raises_and_lowers_siblings},
	{"a refused prlimit leaves the rest as it was", refused_prlimit_leaves_the_rest_as_it_was},
	{"the owner's exit ends its sessions", exit_ends_the_sessions},
	{"a pid that was reused keeps its own limit", reused_pid_keeps_its_own_limit},
	{"a pid that is reused meanwhile gets it back", reused_pid_gets_its_own_limit_back},
	{"nothing is restored into a pid that was reused", reused_pid_is_not_restored_into},
	{"stopping the broker leaves limits alone", stopping_leaves_limits_alone},
	{"an owner is exempt only as long as it is capable", exempt_only_as_long_as_capable},
	CU_TEST_INFO_NULL,
};

const struct suite suite_owner = {"owner", tests};
