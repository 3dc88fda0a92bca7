/* SPDX-License-Identifier: MIT */
/* Orders to a live session over a real socket, with a kernel that fails call N. */
#include "daemon/order.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accounting/ledger.h"
#include "common/cleanup.h"
#include "daemon/owner.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/child.h"
#include "tests/unit/fake_sys.h"
#include "tests/unit/record_fixture.h"
#include "tests/unit/suite.h"

#define CALLS_MAX 30
#define LIMIT 1000

/* A session of this process and, in user mode, one of a sibling's; and whom it may be given to. */
struct scene {
	struct broker_fixture f;
	struct child sibling, heir;
	uint64_t id;
	int fd; /* a connection */
};

static void give(struct scene *s, const struct child *child, uint64_t *ret_id)
{
	const struct owner_plan plan = {.pidfd = child->pidfd, .pid = child->pid, .uid = getuid()};
	struct session *session =
		broker_fixture_session(&s->f, getuid(), "vm", POLICY_ACCOUNTING_USER, LIMIT);
	struct owner *owner = NULL;

	CU_ASSERT_EQUAL_FATAL(owner_get(s->f.broker->owners, &plan, &owner), 0);
	owner_add_session(owner, session);
	CU_ASSERT_EQUAL(owner_limit_session(session), 0);
	session_enter(s->f.broker->sessions, session, SESSION_ACTIVE);
	if (ret_id)
		*ret_id = session->id;
}

static bool scene_init(struct scene *s, struct child *owner)
{
	if (!broker_fixture_init(&s->f))
		return false;
	broker_fixture_administer(&s->f);
	child_start(owner);
	child_start(&s->sibling);
	child_start(&s->heir);
	fake_sys_set_memlock(owner->pid, FIXTURE_SOFT, FIXTURE_HARD);
	fake_sys_set_memlock(s->sibling.pid, FIXTURE_SOFT, FIXTURE_HARD);
	fake_sys_set_memlock(s->heir.pid, FIXTURE_SOFT, FIXTURE_HARD);
	give(s, &s->sibling, NULL);
	give(s, owner, &s->id);
	s->fd = broker_fixture_connect(&s->f);
	return true;
}

static void scene_fini(struct scene *s, struct child *owner)
{
	fd_closep(&s->fd);
	CU_ASSERT_EQUAL(child_end(owner), 0);
	CU_ASSERT_EQUAL(child_end(&s->sibling), 0);
	CU_ASSERT_EQUAL(child_end(&s->heir), 0);
	broker_fixture_fini(&s->f);
}

static struct session *scene_session(const struct scene *s)
{
	struct session *session = session_find(s->f.broker->sessions, s->id);

	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
	return session;
}

/* Nothing has happened. */
static void scene_check(const struct scene *s, const struct child *owner, const char *row)
{
	const struct device device = {.name = FIXTURE_DEVICE, .group = 7};
	const struct session *session = scene_session(s);

	CHECK(row, session->share.limit == LIMIT);
	CHECK(row, session->owner->pid == owner->pid);
	CHECK(row, session->state == SESSION_ACTIVE);
	CHECK(row, session->n_devices == 0);
	CHECK(row, session_claim_find(s->f.broker->sessions, &device) == NULL);
	CHECK(row, ledger_user_mode_sum(s->f.broker->ledger, getuid()) == 2ULL * LIMIT);
	CHECK(row, fake_sys_memlock_is(owner->pid, 2ULL * LIMIT, 2ULL * LIMIT));
	CHECK(row, fake_sys_memlock_is(s->sibling.pid, 2ULL * LIMIT, 2ULL * LIMIT));
	CHECK(row, fake_sys_memlock_is(s->heir.pid, FIXTURE_SOFT, FIXTURE_HARD));
	CHECK(row, record_fixture_count(s->f.broker->record, RECORD_OWNER) == 2);
	CHECK(row, record_fixture_count(s->f.broker->record, RECORD_DEVICE) == 0);
}

/* Makes the body of an order and returns its size. */
typedef size_t (*order_fn)(const struct scene *s, void *body);

static size_t make_set(const struct scene *s, void *body)
{
	const struct proto_set set = {.id = s->id, .keys = PROTO_SET_LIMIT, .limit = 5ULL * LIMIT};

	memcpy(body, &set, sizeof(set));
	return sizeof(set);
}

static size_t make_attach(const struct scene *s, void *body)
{
	const struct proto_attach attach = {.id = s->id, .device = FIXTURE_DEVICE};

	memcpy(body, &attach, sizeof(attach));
	return sizeof(attach);
}

static size_t make_adopt(const struct scene *s, void *body)
{
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(fstat(s->heir.pidfd, &st), 0);

	const struct proto_adopt adopt = {
		.id = s->id, .process = {.inode = st.st_ino, .pid = (uint32_t)s->heir.pid}};

	memcpy(body, &adopt, sizeof(adopt));
	return sizeof(adopt);
}

static const struct order_case {
	const char *name;
	unsigned int op;
	order_fn make;
	unsigned int calls; /* that it makes at least until it is done */
} cases[] = {
	{"set", PROTO_SET, make_set, 2},
	{"attach", PROTO_ATTACH, make_attach, 2},
	{"adopt", PROTO_ADOPT, make_adopt, 2},
};

/* Returns whether the order was carried out; else it was refused, and nothing is left of it. */
static bool order_with_failure(const struct order_case *c, unsigned int nth)
{
	union {
		char bytes[sizeof(struct proto_set) + sizeof(struct proto_attach)];
		uint64_t align;
	} body;
	struct child owner;
	struct answer answer;
	struct scene s;
	size_t len;
	bool done;

	if (!scene_init(&s, &owner))
		return true;
	len = c->make(&s, &body);
	fake_sys_fail(nth, -EPERM);
	broker_fixture_send(s.fd, c->op, &body, len);
	broker_fixture_answer(&s.f, s.fd, &answer);
	fake_sys_fail(0, 0);
	done = !answer.hung_up && answer.header.kind == PROTO_REPLY;
	CHECK(c->name, done || answer.hung_up || strcmp(answer_reason(&answer), "kernel") == 0);
	if (!done)
		scene_check(&s, &owner, c->name);
	fdmsg_close(&answer.msg);
	scene_fini(&s, &owner);
	return done;
}

static void failed_order_leaves_nothing(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int nth = 1;

		while (nth < CALLS_MAX && !order_with_failure(&cases[i], nth))
			nth++;
		CHECK(cases[i].name, nth > cases[i].calls);
		CHECK(cases[i].name, nth < CALLS_MAX);
	}
}

static void orders_do_what_they_say(void)
{
	struct proto_close request = {.zero = 0};
	struct proto_set set = {.keys = PROTO_SET_LIMIT, .limit = 7ULL * LIMIT};
	struct answer answer;
	struct child owner;
	struct scene s;

	if (!scene_init(&s, &owner))
		return;
	set.id = request.id = s.id;
	broker_fixture_send(s.fd, PROTO_SET, &set, sizeof(set));
	broker_fixture_answer(&s.f, s.fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	CU_ASSERT_TRUE(fake_sys_memlock_is(owner.pid, 8ULL * LIMIT, 8ULL * LIMIT));
	CU_ASSERT_TRUE(fake_sys_memlock_is(s.sibling.pid, 8ULL * LIMIT, 8ULL * LIMIT));
	for (int twice = 0; twice < 2; twice++) {
		broker_fixture_send(s.fd, PROTO_CLOSE, &request, sizeof(request));
		broker_fixture_answer(&s.f, s.fd, &answer);
		CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
		CU_ASSERT_TRUE(fake_sys_memlock_is(owner.pid, FIXTURE_SOFT, FIXTURE_HARD));
		/* Its pages are still on the counter of the uid. */
		CU_ASSERT_TRUE(fake_sys_memlock_is(s.sibling.pid, 8ULL * LIMIT, 8ULL * LIMIT));
		CU_ASSERT_EQUAL(scene_session(&s)->state, SESSION_REVOKED);
	}
	broker_fixture_send(s.fd, PROTO_SET, &set, sizeof(set));
	broker_fixture_answer(&s.f, s.fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "bad-request");
	set.id = 1;
	broker_fixture_send(s.fd, PROTO_SET, &set, sizeof(set));
	broker_fixture_answer(&s.f, s.fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "failed");
	CU_ASSERT_EQUAL(answer.body.refusal.status, 66);
	scene_fini(&s, &owner);
}

static bool session_is_over(void *arg)
{
	const struct scene *s = arg;

	return !session_find(s->f.broker->sessions, s->id);
}

/* Whether there is room for one more session of FIXTURE_LIMIT. */
static const char *scene_open(struct scene *s)
{
	struct proto_open open = broker_fixture_open(NULL, NULL);
	struct answer answer;

	open.memory = 0;
	broker_fixture_ask(&s->f, s->fd, &open, &answer);
	fdmsg_close(&answer.msg);
	return answer_reason(&answer);
}

/* Who lowers a limit has not unmapped anything: for admission there is as little room as before. */
static void lowered_limit_leaves_no_room(void)
{
	const struct session_numbers lowered = {.limit = 1, .charged = LIMIT};
	struct child owner;
	struct scene s;

	if (!scene_init(&s, &owner))
		return;
	s.f.policy->user_limit = FIXTURE_LIMIT + 2 * LIMIT - 1;
	CU_ASSERT_EQUAL(session_set_numbers(s.f.broker->sessions, scene_session(&s), &lowered), 0);
	CU_ASSERT_EQUAL(owner_limit_session(scene_session(&s)), 0);
	CU_ASSERT_TRUE(fake_sys_memlock_is(owner.pid, LIMIT + 1, LIMIT + 1));
	CU_ASSERT_TRUE(fake_sys_memlock_is(s.sibling.pid, LIMIT + 1, LIMIT + 1));
	CU_ASSERT_EQUAL(ledger_user_sum(s.f.broker->ledger, getuid()), 2ULL * LIMIT);
	CU_ASSERT_STRING_EQUAL(scene_open(&s), "user-limit");
	child_exit(&owner);
	broker_fixture_run(&s.f, session_is_over, &s);
	CU_ASSERT_EQUAL(ledger_user_sum(s.f.broker->ledger, getuid()), LIMIT);
	CU_ASSERT_TRUE(fake_sys_memlock_is(s.sibling.pid, LIMIT, LIMIT));
	CU_ASSERT_STRING_EQUAL(scene_open(&s), "granted");
	scene_fini(&s, &owner);
}

/* A user's word does not take from the sums, root's does; either adds to them. */
static void sums_follow_who_says_so(void)
{
	struct proto_set set = {.keys = PROTO_SET_LIMIT, .limit = 1};
	struct answer answer;
	struct child owner;
	struct scene s;

	if (!scene_init(&s, &owner))
		return;
	set.id = s.id;
	broker_fixture_send(s.fd, PROTO_SET, &set, sizeof(set));
	broker_fixture_answer(&s.f, s.fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	CU_ASSERT_EQUAL(scene_session(&s)->share.limit, 1);
	CU_ASSERT_EQUAL(scene_session(&s)->share.charged, getuid() == 0 ? 1 : LIMIT);
	scene_fini(&s, &owner);
}

static const CU_TestInfo tests[] = {
	{"orders do what they say", orders_do_what_they_say},
	{"an order that fails anywhere leaves nothing", failed_order_leaves_nothing},
	{"a limit that was lowered leaves no room", lowered_limit_leaves_no_room},
	{"sums follow who says so", sums_follow_who_says_so},
	CU_TEST_INFO_NULL,
};

const struct suite suite_order = {"order", tests};
