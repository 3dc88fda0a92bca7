/* SPDX-License-Identifier: MIT */
/*
 * Sessions for contexts that others open, as far as there is no gate, or one that is only memory:
 * see reserve.sh for the kernel's.
 */
#include "daemon/reserve.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accounting/ledger.h"
#include "bpf/expect_map.h"
#include "bpf/gate_map.h"
#include "bpf/gate_private.h"
#include "common/cleanup.h"
#include "daemon/owner.h"
#include "daemon/record.h"
#include "tests/unit/captured.h"
#include "tests/unit/child.h"
#include "tests/unit/fake_sys.h"
#include "tests/unit/mirror_fixture.h"
#include "tests/unit/suite.h"

#define WAIT_MS 600000
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define LIMIT (UINT64_C(2) << 30) /* "auto" of what broker_fixture_open() asks for */

/* One that this process, as an admin, asks for in its own name. */
struct scene {
	struct mirror_fixture m; /* of which, where nothing is mirrored, f is used alone */
	int fd; /* a connection */
	struct proto_reserve request;
	struct answer answer;
};

static void scene_begin(struct scene *s)
{
	broker_fixture_administer(&s->m.f);
	s->fd = broker_fixture_connect(&s->m.f);
	s->request = (struct proto_reserve){
		.subject = {.flags = PROTO_SUBJECT_UID | PROTO_SUBJECT_DOMAIN,
			    .uid = getuid(),
			    .domain = "db-1"},
		.open = broker_fixture_open(FIXTURE_DEVICE, FIXTURE_DEVICE_ALONE),
		.wait_ms = WAIT_MS,
	};
	s->request.open.flags = 0;
}

static bool scene_init(struct scene *s)
{
	if (!broker_fixture_init(&s->m.f))
		return false;
	scene_begin(s);
	return true;
}

static void scene_fini(struct scene *s)
{
	fd_closep(&s->fd);
	broker_fixture_fini(&s->m.f);
}

static const char *ask(struct scene *s, unsigned int op, const void *body, size_t len)
{
	broker_fixture_send(s->fd, op, body, len);
	broker_fixture_answer(&s->m.f, s->fd, &s->answer);
	CU_ASSERT_EQUAL(s->answer.msg.n_fds, 0);
	return answer_reason(&s->answer);
}

static const char *reserve(struct scene *s)
{
	return ask(s, PROTO_RESERVE, &s->request, sizeof(s->request));
}

static struct session *reserved(struct scene *s)
{
	struct session *session;

	CU_ASSERT_STRING_EQUAL_FATAL(reserve(s), "granted");
	session = session_find(s->m.f.broker->sessions, s->answer.body.grant.id);
	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
	return session;
}

static const char *adopt(struct scene *s, uint64_t id, const struct child *child)
{
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(fstat(child->pidfd, &st), 0);

	const struct proto_adopt body = {
		.id = id, .process = {.inode = st.st_ino, .pid = (uint32_t)child->pid}};

	return ask(s, PROTO_ADOPT, &body, sizeof(body));
}

static void what_is_reserved_waits(void)
{
	const struct proto_attach attach_body = {.device = FIXTURE_DEVICE_PEER};
	struct proto_set set = {.keys = PROTO_SET_LIMIT, .limit = 1};
	struct proto_attach attach = attach_body;
	const struct session *session;
	struct scene s;

	if (!scene_init(&s))
		return;
	session = reserved(&s);
	CU_ASSERT_EQUAL(s.answer.body.grant.limit, LIMIT);
	CU_ASSERT_EQUAL(s.answer.body.grant.n_devices, 2);
	CU_ASSERT_EQUAL(session->state, SESSION_PENDING);
	CU_ASSERT_PTR_NULL(session->owner);
	CU_ASSERT_EQUAL(session->n_devices, 2);
	CU_ASSERT_EQUAL(ledger_user_sum(s.m.f.broker->ledger, getuid()), LIMIT);
	CU_ASSERT_TRUE(fake_sys_memlock_is(getpid(), FIXTURE_SOFT, FIXTURE_HARD));
	set.id = attach.id = session->id;
	CU_ASSERT_STRING_EQUAL(ask(&s, PROTO_SET, &set, sizeof(set)), "bad-request");
	CU_ASSERT_STRING_EQUAL(ask(&s, PROTO_ATTACH, &attach, sizeof(attach)), "bad-request");
	CU_ASSERT_STRING_EQUAL(reserve(&s), "device-busy");
	scene_fini(&s);
}

static bool nothing_is_left(void *arg)
{
	const struct scene *s = arg;

	return session_count(s->m.f.broker->sessions) == 0;
}

/* One after the other, whichever was made first. */
static void what_nobody_comes_for_ends(void)
{
	struct scene s;

	if (!scene_init(&s))
		return;
	s.request.open = broker_fixture_open(FIXTURE_DEVICE, NULL);
	s.request.open.flags = 0;
	s.request.wait_ms = 20;
	(void)reserved(&s);
	s.request.open = broker_fixture_open(FIXTURE_DEVICE_ALONE, NULL);
	s.request.open.flags = 0;
	s.request.wait_ms = 1;
	(void)reserved(&s);
	broker_fixture_run(&s.m.f, nothing_is_left, &s);
	broker_fixture_check_idle(&s.m.f, "in time");
	CU_ASSERT_EQUAL(captured_count("did not come in time"), 2);
	scene_fini(&s);
}

static void what_is_closed_ends_at_once(void)
{
	static const unsigned int ops[] = {PROTO_CLOSE, PROTO_REVOKE};
	struct proto_revoke revoke = {.flags = 0}; /* as large as the other, and the id first */
	struct scene s;

	if (!scene_init(&s))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		revoke.id = reserved(&s)->id;
		CU_ASSERT_STRING_EQUAL(ask(&s, ops[i], &revoke, sizeof(revoke)), "granted");
		broker_fixture_check_idle(&s.m.f, "closed");
	}
	scene_fini(&s);
}

static void next_daemon_waits_on(void)
{
	struct child child;
	struct scene s;
	uint64_t id;

	if (!scene_init(&s))
		return;
	child_start(&child);
	fake_sys_set_memlock(child.pid, FIXTURE_SOFT, FIXTURE_HARD);
	id = reserved(&s)->id;
	fd_closep(&s.fd);
	broker_fixture_restart(&s.m.f);
	CU_ASSERT_EQUAL(reserve_resume(s.m.f.broker), 0);
	s.fd = broker_fixture_connect(&s.m.f);
	CU_ASSERT_EQUAL(session_count(s.m.f.broker->sessions), 1);
	CU_ASSERT_EQUAL(session_find(s.m.f.broker->sessions, id)->state, SESSION_PENDING);
	CU_ASSERT_STRING_EQUAL(adopt(&s, id, &child), "granted");
	/* From here on it ends with its owner. */
	fd_closep(&s.fd);
	broker_fixture_restart(&s.m.f);
	CU_ASSERT_EQUAL(session_find(s.m.f.broker->sessions, id)->state, SESSION_ACTIVE);
	CU_ASSERT_FALSE(session_find(s.m.f.broker->sessions, id)->reserved);
	child_exit(&child);
	broker_fixture_run(&s.m.f, nothing_is_left, &s);
	CU_ASSERT_EQUAL(child_end(&child), 0);
	scene_fini(&s);
}

/* A gate as it is mapped, with one session that is reserved and one device that is expected. */
struct gated {
	struct gate_control control;
	struct gate_session sessions[GATE_FIRST_SESSION + 1];
	struct expect_table expected;
	struct gate gate;
	bool over; /* the daemon has given it up, or has not */
};

static struct gated *gated_new(struct scene *s, struct session *session)
{
	struct gated *gated = calloc(1, sizeof(*gated));

	CU_ASSERT_PTR_NOT_NULL_FATAL(gated);
	gated->gate.control = &gated->control;
	gated->gate.sessions = gated->sessions;
	gated->gate.expected = &gated->expected;
	gated->gate.n_sessions = gated->gate.n_shown = GATE_FIRST_SESSION + 1;
	gated->gate.level = GATE_LEVEL_EXACT;
	gated->sessions[GATE_FIRST_SESSION].id = session->id;
	gated->expected.at[0] = (struct expected){
		.state = EXPECT_HELD, .slot = GATE_FIRST_SESSION, .id = session->id};
	gated->expected.n = 1;
	session->gate = GATE_FIRST_SESSION;
	s->m.f.broker->gate = &gated->gate;
	return gated;
}

/* A program that has seen a session that is not revoked, and enrols its context when it is. */
static void *gated_enrol(void *arg)
{
	struct gated *gated = arg;
	struct gate_session *session = &gated->sessions[GATE_FIRST_SESSION];

	while (!(__atomic_load_n(&session->bits, __ATOMIC_SEQ_CST) & GATE_REVOKED) &&
	       !__atomic_load_n(&gated->over, __ATOMIC_SEQ_CST))
		;
	__atomic_store_n(&session->n_files, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&gated->expected.at[0].state, EXPECT_ARMED, __ATOMIC_SEQ_CST);
	return NULL;
}

static bool has_come(void *arg)
{
	const struct session *session = arg;

	return session->state != SESSION_PENDING;
}

/* Share and devices stay with a context that has come; it is not somebody's without them. */
static void what_comes_at_the_last_moment_is_revoked(void)
{
	CLEANUP(freep) struct gated *gated = NULL;
	struct proto_close close = {.id = 0};
	struct session *session;
	pthread_t program;
	struct scene s;

	if (!scene_init(&s))
		return;
	session = reserved(&s);
	close.id = session->id;
	gated = gated_new(&s, session);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&program, NULL, gated_enrol, gated), 0);
	CU_ASSERT_STRING_EQUAL(ask(&s, PROTO_CLOSE, &close, sizeof(close)), "granted");
	__atomic_store_n(&gated->over, true, __ATOMIC_SEQ_CST);
	CU_ASSERT_EQUAL(pthread_join(program, NULL), 0);
	CU_ASSERT_PTR_EQUAL_FATAL(session_find(s.m.f.broker->sessions, close.id), session);
	broker_fixture_run(&s.m.f, has_come, session); /* where the thread took its time */
	CU_ASSERT_EQUAL(session->state, SESSION_REVOKED);
	CU_ASSERT_EQUAL(ledger_user_sum(s.m.f.broker->ledger, getuid()), LIMIT);
	CU_ASSERT_TRUE(gated->sessions[GATE_FIRST_SESSION].bits & GATE_REVOKED);
	CU_ASSERT_EQUAL(gated->expected.at[0].state, EXPECT_ARMED); /* to its own context */
	gated->sessions[GATE_FIRST_SESSION].n_files = 0;
	owner_end_session(s.m.f.broker, session);
	CU_ASSERT_EQUAL(gated->expected.at[0].state, EXPECT_FREE);
	CU_ASSERT_EQUAL(gated->sessions[GATE_FIRST_SESSION].id, 0);
	s.m.f.broker->gate = NULL;
	broker_fixture_check_idle(&s.m.f, "released");
	scene_fini(&s);
}

/* Nobody knows yet whether it has come. */
static void what_is_just_being_bound_ends_later(void)
{
	CLEANUP(freep) struct gated *gated = NULL;
	struct proto_close close = {.id = 0};
	struct session *session;
	struct scene s;

	if (!scene_init(&s))
		return;
	session = reserved(&s);
	close.id = session->id;
	gated = gated_new(&s, session);
	CU_ASSERT_STRING_EQUAL(ask(&s, PROTO_CLOSE, &close, sizeof(close)), "granted");
	CU_ASSERT_PTR_EQUAL_FATAL(session_find(s.m.f.broker->sessions, close.id), session);
	CU_ASSERT_EQUAL(session->state, SESSION_PENDING);
	CU_ASSERT_TRUE(gated->sessions[GATE_FIRST_SESSION].bits & GATE_REVOKED);
	gated->expected.at[0].state = EXPECT_ARMED; /* it was refused */
	broker_fixture_run(&s.m.f, nothing_is_left, &s);
	CU_ASSERT_EQUAL(gated->expected.at[0].state, EXPECT_FREE);
	CU_ASSERT_EQUAL(gated->sessions[GATE_FIRST_SESSION].id, 0);
	s.m.f.broker->gate = NULL;
	broker_fixture_check_idle(&s.m.f, "refused");
	scene_fini(&s);
}

/* A daemon that is killed between the owner and the word that it is one: it goes on with that. */
static void who_owned_it_does_still(void)
{
	struct record_session *body;
	struct session *session;
	struct child child;
	struct scene s;
	uint64_t id;

	if (!scene_init(&s))
		return;
	child_start(&child);
	fake_sys_set_memlock(child.pid, FIXTURE_SOFT, FIXTURE_HARD);
	session = reserved(&s);
	id = session->id;
	CU_ASSERT_STRING_EQUAL(adopt(&s, id, &child), "granted");
	body = &record_at(s.m.f.broker->record, session->slot)->session;
	body->state = SESSION_PENDING;
	body->reserved = 1;
	fd_closep(&s.fd);
	broker_fixture_restart(&s.m.f);
	CU_ASSERT_EQUAL(reserve_resume(s.m.f.broker), 0);
	session = session_find(s.m.f.broker->sessions, id);
	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
	CU_ASSERT_EQUAL(session->state, SESSION_ACTIVE);
	CU_ASSERT_FALSE(session->reserved);
	child_exit(&child);
	broker_fixture_run(&s.m.f, nothing_is_left, &s);
	CU_ASSERT_EQUAL(child_end(&child), 0);
	scene_fini(&s);
}

/* Without a gate nothing else says that it has come. */
static void who_owns_it_has_come_for_it(void)
{
	struct session *session;
	struct child child;
	struct scene s;

	if (!scene_init(&s))
		return;
	child_start(&child);
	fake_sys_set_memlock(child.pid, FIXTURE_SOFT, FIXTURE_HARD);
	session = reserved(&s);
	CU_ASSERT_FALSE(reserve_bound(s.m.f.broker, session));
	CU_ASSERT_STRING_EQUAL(adopt(&s, session->id, &child), "granted");
	CU_ASSERT_EQUAL(session->state, SESSION_ACTIVE);
	CU_ASSERT_FALSE(session->reserved);
	CU_ASSERT_PTR_NOT_NULL_FATAL(session->owner);
	CU_ASSERT_EQUAL(session->owner->pid, child.pid);
	CU_ASSERT_TRUE(fake_sys_memlock_is(child.pid, LIMIT, LIMIT));
	child_exit(&child);
	broker_fixture_run(&s.m.f, nothing_is_left, &s);
	broker_fixture_check_idle(&s.m.f, "exited");
	CU_ASSERT_EQUAL(child_end(&child), 0);
	scene_fini(&s);
}

/* Before it has an owner there is no cgroup of it. */
static void who_owns_it_is_mirrored(void)
{
	struct fake_cgroup *target;
	struct session *session;
	struct child child;
	struct scene s;

	if (!mirror_fixture_init(&s.m, false))
		return;
	scene_begin(&s);
	target = fake_cgroups_add(&s.m.cgroups, "/vm");
	target->usage = (struct cgm_usage){.current = GIB, .anon = GIB};
	s.m.pinned_each = GIB;
	child_start(&child);
	fake_sys_set_memlock(child.pid, FIXTURE_SOFT, FIXTURE_HARD);
	fake_cgroups_put(&s.m.cgroups, child.pid, target);
	session = reserved(&s);
	mirror_fixture_settle(&s.m);
	CU_ASSERT_EQUAL(target->value[CGM_MEMORY_MIN], 0);
	CU_ASSERT_STRING_EQUAL(adopt(&s, session->id, &child), "granted");
	mirror_fixture_settle(&s.m);
	CU_ASSERT_EQUAL(target->value[CGM_MEMORY_MIN], GIB + 512 * MIB);
	CU_ASSERT_EQUAL(target->value[CGM_MEMORY_MAX], LIMIT + (512 + 2 * 256) * MIB);
	child_exit(&child);
	broker_fixture_run(&s.m.f, nothing_is_left, &s);
	mirror_fixture_settle(&s.m);
	CU_ASSERT_EQUAL(target->value[CGM_MEMORY_MIN], 0);
	CU_ASSERT_EQUAL(child_end(&child), 0);
	fd_closep(&s.fd);
	mirror_fixture_fini(&s.m);
}

/* Who opens it binds its devices first, and chooses the mode, which is per task. */
static void others_open_it(void)
{
	struct scene s;

	if (!scene_init(&s))
		return;
	s.request.open = broker_fixture_open(FIXTURE_DEVICE_HOST, NULL);
	CU_ASSERT_STRING_EQUAL(ask(&s, PROTO_OPEN, &s.request.open, sizeof(s.request.open)),
			       "device-not-found");
	s.request.open.flags = 0;
	CU_ASSERT_STRING_EQUAL(reserve(&s), "granted");
	s.request.open = broker_fixture_open(FIXTURE_DEVICE, NULL);
	s.request.open.flags = 0;
	s.m.f.policy->accounting = POLICY_ACCOUNTING_USER;
	CU_ASSERT_STRING_EQUAL(reserve(&s), "not-permitted");
	CU_ASSERT_EQUAL(session_count(s.m.f.broker->sessions), 1);
	scene_fini(&s);
}

/* The gate that the context would come under is not there, or is another's. */
static void nothing_is_reserved_without_the_gate(void)
{
	struct scene s;

	if (!scene_init(&s))
		return;
	s.m.f.broker->gate_denies = true;
	CU_ASSERT_STRING_EQUAL(reserve(&s), "kernel");
	s.m.f.broker->gate_denies = false;
	s.m.f.broker->gate_early = true;
	CU_ASSERT_STRING_EQUAL(reserve(&s), "kernel");
	CU_ASSERT_PTR_NOT_NULL(strstr(s.answer.body.refusal.text, "restart pinbrokerd"));
	broker_fixture_check_idle(&s.m.f, "refused");
	scene_fini(&s);
}

static const CU_TestInfo tests[] = {
	{"what is reserved waits", what_is_reserved_waits},
	{"what nobody comes for ends", what_nobody_comes_for_ends},
	{"what is closed ends at once", what_is_closed_ends_at_once},
	{"the next daemon waits on", next_daemon_waits_on},
	{"what comes at the last moment is revoked", what_comes_at_the_last_moment_is_revoked},
	{"what is just being bound ends later", what_is_just_being_bound_ends_later},
	{"who owned it does still", who_owned_it_does_still},
	{"who owns it has come for it", who_owns_it_has_come_for_it},
	{"who owns it is mirrored", who_owns_it_is_mirrored},
	{"others open it", others_open_it},
	{"nothing is reserved where there should be a gate", nothing_is_reserved_without_the_gate},
	CU_TEST_INFO_NULL,
};

const struct suite suite_reserve = {"reserve", tests};
