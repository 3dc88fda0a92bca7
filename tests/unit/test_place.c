/* SPDX-License-Identifier: MIT */
/* Cgroups that the broker makes for a session by its owner's request, over a real socket. */
#include "daemon/place.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accounting/policy.h"
#include "common/cleanup.h"
#include "daemon/mirror_private.h"
#include "daemon/owner.h"
#include "daemon/worker.h"
#include "tests/unit/captured.h"
#include "tests/unit/mirror_fixture.h"
#include "tests/unit/record_fixture.h"
#include "tests/unit/suite.h"

#define LEVELS 4 /* the parent, its policies, their users, the session */

/* This process has a session, and a connection. */
struct stage {
	struct mirror_fixture m;
	struct fake_cgroup *shell; /* where it is at first */
	struct session *session;
	int fd;
	unsigned int fails_in; /* the nth call that makes, moves or removes; 0: none */
	int err; /* with that */
};

static int stage_fails(enum fake_cgroups_call call, const struct fake_cgroup *group, void *arg)
{
	struct stage *s = arg;

	(void)group;
	if (call != FAKE_CGROUPS_MAKE && call != FAKE_CGROUPS_MOVE && call != FAKE_CGROUPS_REMOVE)
		return 0;
	return s->fails_in && --s->fails_in == 0 ? s->err : 0;
}

static bool stage_init_mode(struct stage *s, enum policy_mirror mode)
{
	struct proto_open open = broker_fixture_open(FIXTURE_DEVICE, NULL);
	struct answer answer;

	memset(s, 0, sizeof(*s));
	if (!mirror_fixture_init(&s->m, false))
		return false;
	s->m.cgroups.arg = s;
	s->m.cgroups.fails = stage_fails;
	s->shell = fake_cgroups_add(&s->m.cgroups, "/shell");
	s->shell->others = true;
	fake_cgroups_put(&s->m.cgroups, getpid(), s->shell);
	s->m.f.policy->mirror = mode;
	s->m.f.policy->cgroup_parent = strdup("/parent");
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->m.f.policy->cgroup_parent);
	s->fd = broker_fixture_connect(&s->m.f);
	broker_fixture_ask(&s->m.f, s->fd, &open, &answer);
	CU_ASSERT_STRING_EQUAL_FATAL(answer_reason(&answer), "granted");
	fdmsg_close(&answer.msg);
	s->session = session_after(s->m.f.broker->sessions, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->session);
	mirror_fixture_settle(&s->m);
	return true;
}

static bool stage_init(struct stage *s)
{
	return stage_init_mode(s, POLICY_MIRROR_BOTH);
}

static size_t n_places(const struct stage *s)
{
	return record_fixture_count(s->m.f.broker->record, RECORD_PLACE);
}

/* Everybody leaves, and nothing that was made is there any more. */
static void stage_fini(struct stage *s)
{
	if (s->session)
		mirror_fixture_end(&s->m, s->session);
	fd_closep(&s->fd);
	mirror_fixture_fini(&s->m);
}

static void stage_send(struct stage *s, uint64_t id, const char *name)
{
	struct proto_place place = {.id = id};

	(void)snprintf(place.name, sizeof(place.name), "%s", name); /* it fits */
	broker_fixture_send(s->fd, PROTO_PLACE, &place, sizeof(place));
}

/* A job is there, or an answer. */
static bool is_served(void *arg)
{
	const struct stage *s = arg;
	char byte;

	return s->m.todo || recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

static void stage_ask(struct stage *s, uint64_t id, const char *name, struct answer *ret_answer)
{
	stage_send(s, id, name);
	broker_fixture_run(&s->m.f, is_served, s);
	mirror_fixture_jobs(&s->m);
	broker_fixture_answer(&s->m.f, s->fd, ret_answer);
}

static struct fake_cgroup *stage_place(struct stage *s, const char *name)
{
	struct proto_placed placed;
	struct answer answer;

	stage_ask(s, s->session->id, name, &answer);
	CU_ASSERT_EQUAL_FATAL(answer.header.kind, PROTO_REPLY);
	CU_ASSERT_EQUAL_FATAL(answer.len, sizeof(placed));
	memcpy(&placed, answer.body.bytes, sizeof(placed));
	CU_ASSERT_TRUE(proto_placed_valid(&placed));
	CU_ASSERT_EQUAL(placed.id, s->session->id);
	return fake_cgroups_find(&s->m.cgroups, placed.path);
}

static bool has_job(void *arg)
{
	return ((const struct mirror_fixture *)arg)->todo;
}

/* This process goes back to where it was, which is told. */
static void stage_leave(struct stage *s)
{
	fake_cgroups_put(&s->m.cgroups, getpid(), s->shell);
	broker_fixture_run(&s->m.f, has_job, &s->m);
	mirror_fixture_settle(&s->m);
}

static void check_gone(struct stage *s)
{
	CU_ASSERT_EQUAL(n_places(s), 0);
	CU_ASSERT_PTR_NULL(fake_cgroups_find(&s->m.cgroups, "/parent"));
	CU_ASSERT_PTR_NULL(s->m.f.broker->mirror->removals);
}

/* The session ends, its owner leaves, and nothing of it is left. */
static void stage_end(struct stage *s)
{
	mirror_fixture_end(&s->m, STEAL(s->session));
	mirror_fixture_settle(&s->m);
	stage_leave(s);
	check_gone(s);
	stage_fini(s);
}

/* That of a session named "vm". */
static const struct fake_cgroup *last_place(struct stage *s)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "/parent/tenants/%u/vm", (unsigned int)getuid());
	return fake_cgroups_find(&s->m.cgroups, path);
}

static void place_comes_and_goes_with_the_session(void)
{
	const struct fake_cgroup *group;
	char path[128];
	struct stage s;

	if (!stage_init(&s))
		return;
	(void)snprintf(path, sizeof(path), "/parent/tenants/%u/vm_1", (unsigned int)getuid());
	group = stage_place(&s, "vm.1");
	CU_ASSERT_PTR_NOT_NULL_FATAL(group);
	CU_ASSERT_STRING_EQUAL(group->path, path);
	CU_ASSERT_TRUE(fake_cgroups_populated(&s.m.cgroups, group));
	CU_ASSERT_EQUAL(n_places(&s), LEVELS);
	CU_ASSERT_FALSE(s.session->placing);
	CU_ASSERT_TRUE(place_is_ours(s.m.f.broker, group->id));
	CU_ASSERT_FALSE(place_is_ours(s.m.f.broker, s.shell->id));
	mirror_fixture_settle(&s.m);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s.session->view->group);
	CU_ASSERT_STRING_EQUAL(s.session->view->group->name->path, path);

	mirror_fixture_end(&s.m, STEAL(s.session));
	mirror_fixture_settle(&s.m);
	CU_ASSERT_EQUAL(n_places(&s), LEVELS); /* somebody is in it: -EBUSY */
	stage_leave(&s);
	check_gone(&s);
	stage_fini(&s);
}

/* Who was placed before a restart is not forgotten by it. */
static void restart_removes_what_is_left(void)
{
	struct stage s;
	uint64_t id;

	if (!stage_init(&s))
		return;
	(void)stage_place(&s, "vm");
	id = s.session->id;
	mirror_fixture_restart(&s.m);
	mirror_fixture_settle(&s.m);
	CU_ASSERT_EQUAL(n_places(&s), LEVELS);
	mirror_fixture_end(&s.m, session_find(s.m.f.broker->sessions, id));
	s.session = NULL;
	mirror_fixture_restart(&s.m);
	mirror_fixture_settle(&s.m);
	stage_leave(&s);
	check_gone(&s);
	stage_fini(&s);
}

/* Others come and go while one stays: who waits for it to leave does so once. */
static void watches_do_not_pile_up(void)
{
	struct stage s;
	int n_fds;

	if (!stage_init(&s))
		return;
	(void)stage_place(&s, "vm");
	n_fds = suite_count_fds();
	for (int i = 0; i < 20; i++) {
		const union record_body body = {
			.place = {.cgroup = fake_cgroups_add(&s.m.cgroups, "/parent/x")->id,
				  .session = 1}}; /* of one that has ended */
		uint32_t slot;

		CU_ASSERT_EQUAL_FATAL(record_add(s.m.f.broker->record, RECORD_PLACE, &body, &slot),
				      0);
		place_sweep(s.m.f.broker);
		mirror_fixture_jobs(&s.m);
		CU_ASSERT_PTR_NULL(fake_cgroups_find(&s.m.cgroups, "/parent/x"));
	}
	CU_ASSERT(suite_count_fds() <= n_fds + 2 * (LEVELS - 1)); /* both ends */
	stage_end(&s);
}

static void malformed_names_are_refused(void)
{
	static const char *const names[] = {"", ".", "..", ".x", "a/b", "cgroup.procs", "a b"};
	struct answer answer;
	struct stage s;

	if (!stage_init(&s))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		stage_ask(&s, s.session->id, names[i], &answer);
		CHECK(names[i],
		      answer.hung_up || strcmp(answer_reason(&answer), "bad-request") == 0);
		if (!answer.hung_up)
			continue;
		fd_closep(&s.fd);
		s.fd = broker_fixture_connect(&s.m.f);
	}
	CU_ASSERT_EQUAL(n_places(&s), 0);
	stage_fini(&s);
}

/* Why a request is refused before anything is made. */
static void check_refusal(struct stage *s, const char *reason, const char *text)
{
	struct answer answer;

	stage_ask(s, s->session->id, "vm", &answer);
	CHECK(text, strcmp(answer_reason(&answer), reason) == 0);
	CHECK(text, strstr(answer.body.refusal.text, text) != NULL);
	CHECK(text, n_places(s) == 0 && !s->session->placing);
}

static void others_are_refused(void)
{
	struct session *session;
	struct answer answer;
	struct child child;
	struct stage s;

	if (!stage_init(&s))
		return;
	stage_ask(&s, s.session->id + 1, "vm", &answer);
	CU_ASSERT_EQUAL(answer.header.kind, PROTO_REFUSAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(answer.body.refusal.text, "no session"));
	session = STEAL(s.session);
	s.session = mirror_fixture_session(&s.m, mirror_fixture_owner(&s.m, &child, s.shell), 4096);
	check_refusal(&s, "not-permitted", "only the owner of a live session");
	mirror_fixture_end(&s.m, s.session);
	CU_ASSERT_EQUAL(child_end(&child), 0);
	s.session = session;
	s.m.f.policy->cgroup_parent[0] = '\0';
	check_refusal(&s, "not-permitted", "no cgroup-parent");
	s.m.f.policy->cgroup_parent[0] = '/';
	session_enter(s.m.f.broker->sessions, session, SESSION_REVOKED);
	check_refusal(&s, "not-permitted", "only the owner of a live session");
	stage_fini(&s);
}

static void second_request_waits_for_the_first(void)
{
	struct answer answer;
	struct stage s;

	if (!stage_init(&s))
		return;
	stage_send(&s, s.session->id, "vm");
	broker_fixture_run(&s.m.f, is_served, &s);
	CU_ASSERT_TRUE(s.session->placing);
	stage_send(&s, s.session->id, "vm2");
	broker_fixture_answer(&s.m.f, s.fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "not-permitted");
	CU_ASSERT_PTR_NOT_NULL(strstr(answer.body.refusal.text, "under way"));
	mirror_fixture_jobs(&s.m);
	broker_fixture_answer(&s.m.f, s.fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	stage_end(&s);
}

/* What was made on the way goes, and what was there stays. */
static void failure_leaves_nothing(void)
{
	struct answer answer;
	struct stage s;

	if (!stage_init(&s))
		return;
	for (unsigned int nth = 1; nth <= LEVELS + 1; nth++) {
		s.fails_in = nth;
		s.err = -EACCES;
		stage_ask(&s, s.session->id, "vm", &answer);
		CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "kernel");
		CU_ASSERT_PTR_NOT_NULL(
			strstr(answer.body.refusal.text,
			       nth == 1 ? "at the broker's start" : "Permission denied"));
		CU_ASSERT_FALSE(s.session->placing);
		mirror_fixture_settle(&s.m);
		check_gone(&s);
	}
	(void)fake_cgroups_add(&s.m.cgroups, "/parent");
	s.fails_in = 2;
	stage_ask(&s, s.session->id, "vm", &answer);
	mirror_fixture_settle(&s.m);
	CU_ASSERT_EQUAL(n_places(&s), 0);
	CU_ASSERT_PTR_NOT_NULL(fake_cgroups_find(&s.m.cgroups, "/parent"));
	stage_fini(&s);
}

/* No room for one more entry, and none to be had. */
static void fill_record(struct record *record, int fd, struct rlimit *ret_before)
{
	const union record_body body = {.place = {.cgroup = 1 << 20, .session = 1}};
	struct rlimit limit;
	struct stat st;
	uint32_t slot;

	(void)signal(SIGXFSZ, SIG_IGN);
	CU_ASSERT_FATAL(getrlimit(RLIMIT_FSIZE, ret_before) == 0 && fstat(fd, &st) == 0);
	limit = (struct rlimit){.rlim_cur = (rlim_t)st.st_size, .rlim_max = ret_before->rlim_max};
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
	while (record_add(record, RECORD_PLACE, &body, &slot) == 0)
		;
}

/* What the record has no room for is not left behind, if it is not used. */
static void full_record_leaves_nothing(void)
{
	struct answer answer;
	struct rlimit before;
	struct stage s;

	if (!stage_init(&s))
		return;
	fill_record(s.m.f.broker->record, s.m.f.record_fd, &before);
	s.fails_in = LEVELS + 1;
	s.err = -EACCES;
	stage_ask(&s, s.session->id, "vm", &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "kernel");
	mirror_fixture_settle(&s.m);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &before), 0);
	CU_ASSERT_PTR_NULL(s.m.f.broker->mirror->removals);
	CU_ASSERT_PTR_NULL(last_place(&s));
	stage_fini(&s);
}

/* By somebody's process; one that is empty is of a broker that was killed. */
static void name_that_is_taken_is_refused(void)
{
	struct fake_cgroup *taken = NULL;
	struct answer answer;
	struct stage s;
	char path[128];

	if (!stage_init(&s))
		return;
	(void)snprintf(path, sizeof(path), "/parent/tenants/%u/vm", (unsigned int)getuid());
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)fake_cgroups_add(&s.m.cgroups, path);
		*slash = '/';
	}
	taken = fake_cgroups_add(&s.m.cgroups, path);
	fake_cgroups_put(&s.m.cgroups, 1, taken);
	stage_ask(&s, s.session->id, "vm", &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "kernel");
	CU_ASSERT_PTR_NOT_NULL(strstr(answer.body.refusal.text, "there is a cgroup"));
	CU_ASSERT_EQUAL(n_places(&s), 0);
	fake_cgroups_put(&s.m.cgroups, 1, s.shell);
	CU_ASSERT_PTR_NOT_NULL(stage_place(&s, "vm"));
	CU_ASSERT_EQUAL(n_places(&s), 1);
	stage_ask(&s, s.session->id, "vm2", &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "not-permitted");
	CU_ASSERT_PTR_NOT_NULL(strstr(answer.body.refusal.text, "a cgroup of its own"));
	stage_fini(&s);
}

static bool has_no_peer(void *arg)
{
	return !((const struct mirror_fixture *)arg)->f.broker->peers;
}

/* Nobody waits for the answer; the session has its cgroup all the same. */
static void peer_may_hang_up(void)
{
	struct stage s;

	if (!stage_init(&s))
		return;
	stage_send(&s, s.session->id, "vm");
	broker_fixture_run(&s.m.f, is_served, &s);
	fd_closep(&s.fd);
	broker_fixture_run(&s.m.f, has_no_peer, &s.m);
	mirror_fixture_jobs(&s.m);
	CU_ASSERT_EQUAL(n_places(&s), LEVELS);
	CU_ASSERT_FALSE(s.session->placing);
	stage_end(&s);
}

/* It ends while its cgroup is made: that goes with whoever is in it. */
static void session_may_end_meanwhile(void)
{
	struct answer answer;
	struct stage s;

	if (!stage_init(&s))
		return;
	stage_send(&s, s.session->id, "vm");
	broker_fixture_run(&s.m.f, is_served, &s);
	mirror_fixture_end(&s.m, STEAL(s.session));
	mirror_fixture_jobs(&s.m);
	broker_fixture_answer(&s.m.f, s.fd, &answer);
	CU_ASSERT_EQUAL(n_places(&s), LEVELS);
	mirror_fixture_settle(&s.m);
	stage_leave(&s);
	check_gone(&s);
	stage_fini(&s);
}

/* A sum that is no bound for one of those below would be a bound without it. */
static void sums_are_of_all_below(void)
{
	static const struct {
		const char *name;
		enum policy_mirror mode; /* of one of two below */
		bool sums;
	} cases[] = {
		{"cap", POLICY_MIRROR_CAP, true},
		{"protect", POLICY_MIRROR_PROTECT, false},
		{"track", POLICY_MIRROR_TRACK, false},
		{"off", POLICY_MIRROR_OFF, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fake_cgroup *user, *other;
		struct child child;
		char path[128];
		struct stage s;

		if (!stage_init_mode(&s, cases[i].mode))
			return;
		(void)stage_place(&s, "vm");
		(void)snprintf(path, sizeof(path), "/parent/tenants/%u", (unsigned int)getuid());
		user = fake_cgroups_find(&s.m.cgroups, path);
		CU_ASSERT_PTR_NOT_NULL_FATAL(user);
		(void)strcat(path, "/other");
		other = fake_cgroups_add(&s.m.cgroups, path);
		s.m.f.policy->mirror = POLICY_MIRROR_CAP;
		(void)mirror_fixture_session(&s.m, mirror_fixture_owner(&s.m, &child, other),
					     1 << 30);
		mirror_fixture_settle(&s.m);
		CHECK(cases[i].name, other->value[CGM_MEMORY_MAX] != CGM_NO_LIMIT);
		CHECK(cases[i].name,
		      (user->value[CGM_MEMORY_MAX] != CGM_NO_LIMIT) == cases[i].sums);
		CHECK(cases[i].name,
		      !cases[i].sums || user->value[CGM_MEMORY_MAX] > other->value[CGM_MEMORY_MAX]);
		(void)child_end(&child);
		stage_fini(&s);
	}
}

/* The broker ends while one is made, one is removed and one waits for whoever is in it. */
static void end_leaves_no_descriptor(void)
{
	struct stage s;

	if (!stage_init(&s))
		return;
	(void)stage_place(&s, "vm");
	mirror_fixture_end(&s.m, STEAL(s.session));
	mirror_fixture_jobs(&s.m);
	CU_ASSERT_PTR_NOT_NULL(s.m.f.broker->mirror->removals);
	place_sweep(s.m.f.broker);
	CU_ASSERT_TRUE(mirror_fixture_work(&s.m)); /* it has a descriptor, and is not told */
	CU_ASSERT_PTR_NOT_NULL(s.m.todo);
	stage_fini(&s);
}

static const CU_TestInfo tests[] = {
	{"a place comes and goes with its session", place_comes_and_goes_with_the_session},
	{"a restart removes what is left", restart_removes_what_is_left},
	{"watches do not pile up", watches_do_not_pile_up},
	{"malformed names are refused", malformed_names_are_refused},
	{"who may not be placed is refused", others_are_refused},
	{"a second request is refused while one is under way", second_request_waits_for_the_first},
	{"a failure leaves nothing", failure_leaves_nothing},
	{"a full record leaves nothing", full_record_leaves_nothing},
	{"a name that is taken is refused", name_that_is_taken_is_refused},
	{"the peer may hang up meanwhile", peer_may_hang_up},
	{"the session may end meanwhile", session_may_end_meanwhile},
	{"sums are of all that are below", sums_are_of_all_below},
	{"the end leaves no descriptor", end_leaves_no_descriptor},
	CU_TEST_INFO_NULL,
};

const struct suite suite_place = {"place", tests};
