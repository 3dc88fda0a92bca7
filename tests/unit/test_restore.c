/* SPDX-License-Identifier: MIT */
/* A daemon that is killed is one whose tables are forgotten and whose record stays. */
#include "daemon/restore.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "accounting/ledger.h"
#include "common/cleanup.h"
#include "daemon/owner.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/captured.h"
#include "tests/unit/child.h"
#include "tests/unit/fake_sys.h"
#include "tests/unit/record_fixture.h"
#include "tests/unit/suite.h"

#define UID 4321
#define TASK POLICY_ACCOUNTING_TASK
#define USER POLICY_ACCOUNTING_USER

/* A session that was handed out. */
static struct session *new_session(struct broker_fixture *f, struct owner *owner,
				   enum policy_accounting accounting, uint64_t limit)
{
	struct session *session = broker_fixture_session(f, owner->uid, "vm", accounting, limit);

	owner_add_session(owner, session);
	CU_ASSERT_EQUAL(owner_limit_session(session), 0);
	session_enter(f->broker->sessions, session, SESSION_ACTIVE);
	return session;
}

static void sessions_are_taken_over(void)
{
	const struct device device = {.name = FIXTURE_DEVICE, .group = 7};
	const struct device second = {.name = FIXTURE_DEVICE_ALONE, .group = 8};
	const union record_body nothing = {.bytes = {0}};
	struct child a_child, b_child;
	struct broker_fixture f;
	const struct session *s;
	struct session *a, *b;
	struct owner *owner;
	uint64_t a_id, b_id;
	uint32_t before;

	if (!broker_fixture_init(&f))
		return;
	owner = broker_fixture_owner(&f, UID, &a_child);
	a = new_session(&f, owner, TASK, 1000);
	b = new_session(&f, broker_fixture_owner(&f, UID, &b_child), USER, 500);
	/* The second device gets a slot before that of the first. */
	CU_ASSERT_EQUAL(record_add(f.broker->record, RECORD_DEVICE, &nothing, &before), 0);
	CU_ASSERT_EQUAL(session_claim(f.broker->sessions, a, &device), 0);
	record_drop(f.broker->record, &before);
	CU_ASSERT_EQUAL(session_claim(f.broker->sessions, a, &second), 0);
	session_enter(f.broker->sessions, b, SESSION_REVOKED);
	a_id = a->id;
	b_id = b->id;
	broker_fixture_restart(&f);

	CU_ASSERT_EQUAL(session_count(f.broker->sessions), 2);
	s = session_find(f.broker->sessions, a_id);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	CU_ASSERT_STRING_EQUAL(s->name, "vm");
	CU_ASSERT_STRING_EQUAL(s->policy, f.policy->name);
	CU_ASSERT_EQUAL(s->state, SESSION_ACTIVE);
	CU_ASSERT_EQUAL(s->accounting, TASK);
	CU_ASSERT_EQUAL(s->share.limit, 1000);
	CU_ASSERT_EQUAL(s->max_objects, f.policy->max_objects);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->owner);
	CU_ASSERT_EQUAL(s->owner->pid, a_child.pid);
	CU_ASSERT_EQUAL_FATAL(s->n_devices, 2);
	CU_ASSERT_STRING_EQUAL(s->claims->name, FIXTURE_DEVICE);
	CU_ASSERT_STRING_EQUAL(s->claims->next_claim->name, FIXTURE_DEVICE_ALONE);
	CU_ASSERT_PTR_NOT_NULL(session_claim_find(f.broker->sessions, &device));
	s = session_find(f.broker->sessions, b_id);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	CU_ASSERT_STRING_EQUAL(s->name, "vm-2");
	CU_ASSERT_EQUAL(s->state, SESSION_REVOKED);
	CU_ASSERT_EQUAL(s->accounting, USER);
	CU_ASSERT_EQUAL(ledger_user_sum(f.broker->ledger, UID), 1500);
	CU_ASSERT_EQUAL(ledger_user_mode_sum(f.broker->ledger, UID), 500);

	/* A new one comes after them, whatever the clock says. */
	CU_ASSERT_TRUE(broker_fixture_session(&f, UID, "vm", TASK, 1)->id > b_id);
	CU_ASSERT_EQUAL(child_end(&a_child), 0);
	CU_ASSERT_EQUAL(child_end(&b_child), 0);
	broker_fixture_fini(&f);
}

static bool sessions_are_gone(void *arg)
{
	const struct broker_fixture *f = arg;

	return session_count(f->broker->sessions) == 0;
}

static void owners_are_watched_again(void)
{
	struct broker_fixture f;
	struct child child;

	if (!broker_fixture_init(&f))
		return;
	(void)new_session(&f, broker_fixture_owner(&f, UID, &child), TASK, 1000);
	broker_fixture_restart(&f);
	CU_ASSERT_EQUAL(session_count(f.broker->sessions), 1);
	child_exit(&child);
	broker_fixture_run(&f, sessions_are_gone, &f);
	broker_fixture_check_idle(&f, "exited");
	CU_ASSERT_EQUAL(child_end(&child), 0);
	broker_fixture_fini(&f);
}

/* The one that exited meanwhile takes its share with it, and the sibling's limit is lowered. */
static void owner_that_exited_meanwhile_is_dropped(void)
{
	struct child a_child, b_child;
	struct broker_fixture f;

	if (!broker_fixture_init(&f))
		return;
	(void)new_session(&f, broker_fixture_owner(&f, UID, &a_child), USER, 1000);
	(void)new_session(&f, broker_fixture_owner(&f, UID, &b_child), USER, 500);
	CU_ASSERT_TRUE(fake_sys_memlock_is(b_child.pid, 1500, 1500));
	CU_ASSERT_EQUAL(child_end(&a_child), 0);
	broker_fixture_restart(&f);
	CU_ASSERT_EQUAL(session_count(f.broker->sessions), 1);
	CU_ASSERT_TRUE(fake_sys_memlock_is(b_child.pid, 500, 500));
	CU_ASSERT_EQUAL(record_fixture_count(f.broker->record, RECORD_OWNER), 1);
	CU_ASSERT_EQUAL(record_fixture_count(f.broker->record, RECORD_SESSION), 1);
	CU_ASSERT_EQUAL(child_end(&b_child), 0);
	broker_fixture_fini(&f);
}

/*
 * The daemon is killed before and after every call of the kernel that a grant makes. Whatever it
 * was doing, the restart leaves it either undone or, from the sending on, done.
 */
static bool grant_killed_at(unsigned int nth, bool after)
{
	struct proto_open open = broker_fixture_open(FIXTURE_DEVICE, NULL);
	const struct device device = {.name = FIXTURE_DEVICE, .group = 7};
	struct broker_fixture f;
	struct answer answer;
	struct child sibling;
	bool reached, granted;
	char row[32];

	if (!broker_fixture_init(&f))
		return false;
	(void)snprintf(row, sizeof(row), "%s call %u", after ? "after" : "before",
		       nth); /* it fits */
	open.accounting = PROTO_ACCOUNTING_USER;
	(void)new_session(&f, broker_fixture_owner(&f, getuid(), &sibling), USER, 500);

	int fd = broker_fixture_connect(&f);

	fake_sys_snapshot_at(nth, after, broker_fixture_snapshot, &f);
	broker_fixture_ask(&f, fd, &open, &answer);
	CHECK(row, strcmp(answer_reason(&answer), "granted") == 0);
	fdmsg_close(&answer.msg);
	reached = f.snapshot_fd >= 0;
	granted = nth == fake_sys_calls(); /* the last is sendmsg() */
	fake_sys_snapshot_at(0, false, NULL, NULL);
	fd_closep(&fd);
	if (reached)
		fake_sys_rewind();
	broker_fixture_restart(&f);
	granted |= !reached;
	CHECK(row, session_count(f.broker->sessions) == (granted ? 2 : 1));
	CHECK(row, ledger_user_mode_sum(f.broker->ledger, getuid()) ==
			   500 + (granted ? answer.body.grant.limit : 0));
	CHECK(row, granted || fake_sys_memlock_is(sibling.pid, 500, 500));
	CHECK(row, granted || fake_sys_memlock_is(getpid(), FIXTURE_SOFT, FIXTURE_HARD));
	CHECK(row, !granted == !session_claim_find(f.broker->sessions, &device));
	CHECK(row, record_fixture_count(f.broker->record, RECORD_OWNER) == (granted ? 2 : 1));
	CHECK(row, record_fixture_count(f.broker->record, RECORD_SESSION) == (granted ? 2 : 1));
	CHECK(row, record_fixture_count(f.broker->record, RECORD_DEVICE) == granted);
	CHECK(row, captured_count("changed by somebody else") == 0);
	CU_ASSERT_EQUAL(child_end(&sibling), 0);
	broker_fixture_fini(&f);
	return reached;
}

static void grant_is_undone_or_done(void)
{
	unsigned int nth = 1;

	while (grant_killed_at(nth, false)) {
		(void)grant_killed_at(nth, true);
		nth++;
	}
	CU_ASSERT_TRUE(nth > 8); /* two opens, an ioctl, limits of two processes, the answer */
}

/* Likewise one more device for a session that is there: it is its own from the sending on. */
static bool attach_killed_at(unsigned int nth)
{
	const struct device device = {.name = FIXTURE_DEVICE, .group = 7};
	struct proto_attach attach = {.device = FIXTURE_DEVICE};
	struct broker_fixture f;
	struct answer answer;
	struct child child;
	bool reached, sent;
	char row[32];

	if (!broker_fixture_init(&f))
		return false;
	(void)snprintf(row, sizeof(row), "before call %u", nth); /* it fits */
	attach.id = new_session(&f, broker_fixture_owner(&f, getuid(), &child), USER, 500)->id;

	int fd = broker_fixture_connect(&f);

	fake_sys_snapshot_at(nth, false, broker_fixture_snapshot, &f);
	broker_fixture_send(fd, PROTO_ATTACH, &attach, sizeof(attach));
	broker_fixture_answer(&f, fd, &answer);
	CHECK(row, answer.header.kind == PROTO_REPLY && answer.msg.n_fds == 1);
	fdmsg_close(&answer.msg);
	reached = f.snapshot_fd >= 0;
	sent = !reached || nth == fake_sys_calls();
	fake_sys_snapshot_at(0, false, NULL, NULL);
	fd_closep(&fd);
	broker_fixture_restart(&f);
	CHECK(row, session_count(f.broker->sessions) == 1);
	CHECK(row, !sent == !session_claim_find(f.broker->sessions, &device));
	CHECK(row, record_fixture_count(f.broker->record, RECORD_DEVICE) == sent);
	CU_ASSERT_EQUAL(child_end(&child), 0);
	broker_fixture_fini(&f);
	return reached;
}

static void device_that_was_not_sent_is_free(void)
{
	unsigned int nth = 1;

	while (attach_killed_at(nth))
		nth++;
	CU_ASSERT_TRUE(nth > 2); /* an open and the answer */
}

/*
 * Killed after a limit was set and before that is recorded; then the process lowers what it may
 * lower. It is still our change, and the original is what it was.
 */
static void limit_that_was_just_set_is_ours(void)
{
	const uint64_t limit = 1 << 20;
	struct broker_fixture f;
	struct session *session;
	struct child child;

	if (!broker_fixture_init(&f))
		return;
	session = new_session(&f, broker_fixture_owner(&f, UID, &child), TASK, limit);
	record_at(f.broker->record, session->owner->slot)->owner.ours = 0;
	fake_sys_set_memlock(child.pid, limit / 2, limit);
	broker_fixture_restart(&f);
	CU_ASSERT_TRUE(fake_sys_memlock_is(child.pid, limit, limit));
	session = session_after(f.broker->sessions, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
	session_enter(f.broker->sessions, session, SESSION_REVOKED);
	owner_give_up(session, false);
	CU_ASSERT_TRUE(fake_sys_memlock_is(child.pid, FIXTURE_SOFT, FIXTURE_HARD));
	CU_ASSERT_EQUAL(child_end(&child), 0);
	broker_fixture_fini(&f);
}

/* Each time when a new limit was recorded: the first time it was also set, the second it was not.
 */
static void limit_goes_back_after_two_kills(void)
{
	struct session_numbers numbers;
	struct broker_fixture f;
	struct session *session;
	struct owner *owner;
	struct child child;

	if (!broker_fixture_init(&f))
		return;
	session = new_session(&f, broker_fixture_owner(&f, UID, &child), TASK, 1000);
	numbers = session_numbers(session);
	numbers.limit = numbers.charged = 2000;
	CU_ASSERT_EQUAL(session_set_numbers(f.broker->sessions, session, &numbers), 0);
	record_at(f.broker->record, session->owner->slot)->owner.next = 2000;
	fake_sys_set_memlock(child.pid, 2000, 2000);
	broker_fixture_restart(&f);
	session = session_after(f.broker->sessions, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
	record_at(f.broker->record, session->owner->slot)->owner.next = 3000;
	broker_fixture_restart(&f);
	session = session_after(f.broker->sessions, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
	CU_ASSERT_TRUE(fake_sys_memlock_is(child.pid, 2000, 2000));
	owner = session->owner;
	owner_end_session(f.broker, session);
	owner_put(owner);
	CU_ASSERT_TRUE(fake_sys_memlock_is(child.pid, FIXTURE_SOFT, FIXTURE_HARD));
	CU_ASSERT_EQUAL(child_end(&child), 0);
	broker_fixture_fini(&f);
}

/* Killed between the two stores of an original: what prlimit(2) would not take is not kept. */
static void original_is_one_that_can_be_set(void)
{
	const struct record_owner *body;
	struct broker_fixture f;
	struct session *session;
	struct owner *owner;
	struct child child;

	if (!broker_fixture_init(&f))
		return;
	session = new_session(&f, broker_fixture_owner(&f, UID, &child), TASK, 1000);
	record_at(f.broker->record, session->owner->slot)->owner.original_cur = FIXTURE_HARD + 1;
	broker_fixture_restart(&f);
	session = session_after(f.broker->sessions, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
	owner = session->owner;
	body = &record_at(f.broker->record, owner->slot)->owner;
	CU_ASSERT_EQUAL(owner->original.rlim_cur, FIXTURE_HARD);
	CU_ASSERT_EQUAL(body->original_cur, FIXTURE_HARD);
	CU_ASSERT_EQUAL(body->original_max, FIXTURE_HARD);
	owner_end_session(f.broker, session);
	owner_put(owner);
	CU_ASSERT_TRUE(fake_sys_memlock_is(child.pid, FIXTURE_HARD, FIXTURE_HARD));
	CU_ASSERT_EQUAL(child_end(&child), 0);
	broker_fixture_fini(&f);
}

/* What is short for a moment proves nothing about a session: the next start has it. */
static void start_that_lacks_something_drops_nothing(void)
{
	const struct device device = {.name = FIXTURE_DEVICE, .group = 7};
	struct rlimit limit, old;
	struct broker_fixture f;
	struct session *session;
	struct child child;

	if (!broker_fixture_init(&f))
		return;
	session = new_session(&f, broker_fixture_owner(&f, UID, &child), TASK, 1000);
	CU_ASSERT_EQUAL(session_claim(f.broker->sessions, session, &device), 0);
	broker_fixture_restart(&f); /* this one and the next have as many descriptors */
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &old), 0);
	limit = old;
	limit.rlim_cur = (rlim_t)session_after(f.broker->sessions, 0)->owner->pidfd;
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CU_ASSERT_EQUAL(broker_fixture_try_restart(&f), -EMFILE);
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &old), 0);
	CU_ASSERT_EQUAL(record_fixture_count(f.broker->record, RECORD_SESSION), 1);
	CU_ASSERT_EQUAL(record_fixture_count(f.broker->record, RECORD_DEVICE), 1);
	CU_ASSERT_EQUAL(record_fixture_count(f.broker->record, RECORD_OWNER), 1);
	CU_ASSERT_TRUE(fake_sys_memlock_is(child.pid, 1000, 1000));
	broker_fixture_restart(&f);
	CU_ASSERT_EQUAL(session_count(f.broker->sessions), 1);
	CU_ASSERT_PTR_NOT_NULL(session_claim_find(f.broker->sessions, &device));
	CU_ASSERT_EQUAL(child_end(&child), 0);
	broker_fixture_fini(&f);
}

static void entries_that_make_no_sense_are_dropped(void)
{
	struct child child;
	struct broker_fixture f;
	struct session *session;
	union record_body last, unclear;
	uint32_t slot;

	if (!broker_fixture_init(&f))
		return;
	session = new_session(&f, broker_fixture_owner(&f, UID, &child), TASK, 1000);
	slot = session->slot;
	last = unclear = *record_at(f.broker->record, slot);
	unclear.session.id++;
	unclear.session.which = ARRAY_SIZE(unclear.session.numbers);
	(void)strcpy(unclear.session.name, "wwwwwwwwwwwwwwww"); /* what is there: much charged */
	last.session.id = UINT64_MAX; /* nothing could come after it */
	(void)record_add(f.broker->record, RECORD_SESSION, record_at(f.broker->record, slot),
			 &slot);
	(void)record_add(f.broker->record, RECORD_SESSION, &last, &slot);
	(void)record_add(f.broker->record, RECORD_SESSION, &unclear, &slot);
	(void)record_add(f.broker->record, RECORD_OWNER,
			 &(union record_body){.owner = {.inode = 1, .pid = 0}}, &slot);
	(void)record_add(f.broker->record, RECORD_OWNER,
			 &(union record_body){.owner = {.inode = 1, .pid = (uint32_t)getpid()}},
			 &slot);
	(void)record_add(f.broker->record, RECORD_DEVICE,
			 &(union record_body){.device = {.session = 12, .name = "0000:65:00.0"}},
			 &slot);
	(void)record_add(f.broker->record, RECORD_DEVICE,
			 &(union record_body){.device = {.session = session->id, .name = ""}},
			 &slot);
	broker_fixture_restart(&f);
	CU_ASSERT_EQUAL(session_count(f.broker->sessions), 1); /* twice in the record: one */
	CU_ASSERT_EQUAL(record_fixture_count(f.broker->record, RECORD_SESSION), 1);
	CU_ASSERT_EQUAL(record_fixture_count(f.broker->record, RECORD_OWNER), 1);
	CU_ASSERT_EQUAL(record_fixture_count(f.broker->record, RECORD_DEVICE), 0);
	session = session_after(f.broker->sessions, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
	record_at(f.broker->record, session->slot)->session.name[0] = '\n';
	broker_fixture_restart(&f);
	CU_ASSERT_EQUAL(session_count(f.broker->sessions), 0);
	CU_ASSERT_TRUE(fake_sys_memlock_is(child.pid, FIXTURE_SOFT, FIXTURE_HARD));
	CU_ASSERT_EQUAL(child_end(&child), 0);
	broker_fixture_fini(&f);
}

static const CU_TestInfo tests[] = {
	{"sessions are taken over with all they have", sessions_are_taken_over},
	{"owners are watched again", owners_are_watched_again},
	{"an owner that exited meanwhile is dropped", owner_that_exited_meanwhile_is_dropped},
	{"a grant that was killed anywhere is undone, or done", grant_is_undone_or_done},
	{"a device that was not sent is free", device_that_was_not_sent_is_free},
	{"a limit that was just set is ours", limit_that_was_just_set_is_ours},
	{"entries that make no sense are dropped", entries_that_make_no_sense_are_dropped},
	{"a start that lacks something drops nothing", start_that_lacks_something_drops_nothing},
	{"a limit goes back after two kills", limit_goes_back_after_two_kills},
	{"an original is one that can be set", original_is_one_that_can_be_set},
	CU_TEST_INFO_NULL,
};

const struct suite suite_restore = {"restore", tests};
