/* SPDX-License-Identifier: MIT */
/* What is told of the mirror, and to whom; above fake cgroups. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "accounting/policy.h"
#include "common/cleanup.h"
#include "daemon/mirror_private.h"
#include "tests/unit/mirror_fixture.h"
#include "tests/unit/suite.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define MANY 300
#define STRANGER 4321

/* A process in a cgroup, and somebody who asks. */
struct stage {
	struct mirror_fixture m;
	struct fake_cgroup *target;
	struct child child;
	struct owner *owner;
	int fd;
	/* The record that was read last. */
	struct proto_mirror record;
	char path[CGM_PATH_MAX];
};

static bool stage_init(struct stage *s, bool manager)
{
	memset(s, 0, sizeof(*s));
	if (!mirror_fixture_init(&s->m, manager))
		return false;
	s->m.f.policy->max_sessions = MANY;
	(void)fake_cgroups_add(&s->m.cgroups, "/top");
	s->target = fake_cgroups_add(&s->m.cgroups, "/top/vm");
	s->target->unit = manager;
	s->target->usage = (struct cgm_usage){.current = 2 * GIB, .anon = 2 * GIB};
	s->owner = mirror_fixture_owner(&s->m, &s->child, s->target);
	s->m.pinned_each = GIB;
	s->fd = broker_fixture_connect(&s->m.f);
	return true;
}

static void stage_fini(struct stage *s)
{
	fd_closep(&s->fd);
	(void)child_end(&s->child); /* also after a failure */
	mirror_fixture_fini(&s->m);
}

/* As from a process of that user. */
static void stage_ask(struct stage *s, uid_t uid, uint64_t after, struct answer *ret_answer)
{
	const struct proto_mirror_ask ask = {.after = after};
	const struct proto_header header =
		proto_header(PROTO_REQUEST, PROTO_MIRROR, FIXTURE_SERIAL, sizeof(ask));
	struct peer *peer = broker_fixture_peer(&s->m.f);

	peer->cred.uid = uid;
	CU_ASSERT_EQUAL(mirror_serve(peer, &header, &ask), 0);
	broker_fixture_answer(&s->m.f, s->fd, ret_answer);
	CU_ASSERT_EQUAL_FATAL(ret_answer->header.kind, PROTO_REPLY);
}

/* The first of a page. Return: how many there are. */
static size_t stage_read(struct stage *s, uid_t uid)
{
	struct proto_mirrors head;
	struct answer answer;
	const char *pos, *path;

	stage_ask(s, uid, 0, &answer);
	memcpy(&head, answer.body.bytes, sizeof(head));
	pos = answer.body.bytes + sizeof(head);
	if (!head.n)
		return 0;
	CU_ASSERT_EQUAL_FATAL(
		proto_mirror_next(&pos, answer.body.bytes + answer.len, &s->record, &path), 0);
	(void)snprintf(s->path, sizeof(s->path), "%.*s", (int)s->record.path_len, path);
	return head.n;
}

static void all_are_told_page_by_page(void)
{
	struct proto_mirrors head = {.more = 1};
	uint64_t after = 0, first;
	size_t n = 0, n_pages = 0;
	struct answer answer;
	struct stage s;

	if (!stage_init(&s, false))
		return;
	for (size_t i = 0; i < MANY; i++)
		(void)mirror_fixture_session(&s.m, s.owner, MIB);
	mirror_fixture_settle(&s.m);
	first = session_after(s.m.f.broker->sessions, 0)->id;
	for (; head.more && n_pages <= MANY; n_pages++) {
		const char *pos, *path;

		stage_ask(&s, getuid(), after, &answer);
		memcpy(&head, answer.body.bytes, sizeof(head));
		CU_ASSERT(head.n > 0);
		pos = answer.body.bytes + sizeof(head);
		for (uint32_t i = 0; i < head.n; i++, n++) {
			CU_ASSERT_EQUAL_FATAL(proto_mirror_next(&pos,
								answer.body.bytes + answer.len,
								&s.record, &path),
					      0);
			CU_ASSERT(s.record.id > after);
			CU_ASSERT_EQUAL(s.record.n_sessions, MANY);
			after = s.record.id;
		}
		CU_ASSERT_PTR_EQUAL(pos, answer.body.bytes + answer.len);
	}
	CU_ASSERT_EQUAL(n, MANY);
	CU_ASSERT(n_pages > 1);
	stage_ask(&s, getuid(), first - 1, &answer);
	memcpy(&head, answer.body.bytes, sizeof(head));
	CU_ASSERT(head.n > 0 && head.more);
	stage_ask(&s, getuid(), after, &answer);
	CU_ASSERT_EQUAL(answer.len, sizeof(head));
	stage_fini(&s);
}

static void strangers_are_told_nothing(void)
{
	struct session *session;
	struct stage s;

	if (!stage_init(&s, false))
		return;
	session = mirror_fixture_session(&s.m, s.owner, MIB);
	session->uid = STRANGER;
	CU_ASSERT_EQUAL(stage_read(&s, STRANGER), 1);
	CU_ASSERT_EQUAL(stage_read(&s, STRANGER + 1), 0);
	CU_ASSERT_EQUAL(stage_read(&s, 0), 1);
	session->uid = getuid(); /* as it was charged */
	stage_fini(&s);
}

static void malformed_request_drops_the_peer(void)
{
	const struct proto_mirror_ask ask = {.zero = 1};
	struct answer answer;
	struct stage s;

	if (!stage_init(&s, false))
		return;
	broker_fixture_send(s.fd, PROTO_MIRROR, &ask, sizeof(ask));
	broker_fixture_answer(&s.m.f, s.fd, &answer);
	CU_ASSERT_TRUE(answer.hung_up);
	stage_fini(&s);
}

static void numbers_are_those_of_the_cgroup(void)
{
	for (int manager = 0; manager < 2; manager++) {
		struct stage s;

		if (!stage_init(&s, manager))
			return;
		(void)mirror_fixture_session(&s.m, s.owner, 4 * GIB);
		CU_ASSERT_EQUAL(stage_read(&s, getuid()), 1); /* nothing is known yet */
		CU_ASSERT(!s.record.known && !s.record.path_len);
		CU_ASSERT_EQUAL(s.record.by, PROTO_MIRROR_BY_NOBODY);
		CU_ASSERT_EQUAL(s.record.min.wanted, PROTO_UNKNOWN);
		mirror_fixture_settle(&s.m);
		CU_ASSERT_EQUAL(stage_read(&s, getuid()), 1);
		CU_ASSERT_STRING_EQUAL(s.path, "/top/vm");
		CU_ASSERT_EQUAL(s.record.mode, PROTO_MIRROR_BOTH);
		CU_ASSERT_EQUAL(s.record.by,
				manager ? PROTO_MIRROR_BY_SYSTEMD : PROTO_MIRROR_BY_BROKER);
		CU_ASSERT_EQUAL(s.record.min.wanted, GIB + 512 * MIB);
		CU_ASSERT_EQUAL(s.record.min.now, GIB + 512 * MIB);
		CU_ASSERT_EQUAL(s.record.max.now, s.target->value[CGM_MEMORY_MAX]);
		CU_ASSERT_EQUAL(s.record.huge_size[0], FAKE_CGROUPS_HUGE);
		CU_ASSERT_EQUAL(s.record.huge[0].now, s.target->value[CGM_HUGE_MAX_FIRST]);
		CU_ASSERT_EQUAL(s.record.huge_size[1], 0);
		CU_ASSERT_EQUAL(s.record.huge[1].now, PROTO_UNKNOWN);
		CU_ASSERT_EQUAL(s.record.written, 3);
		CU_ASSERT_STRING_EQUAL(s.record.reason, "");
		stage_fini(&s);
	}
}

/* Ways that something is not as it should be, and what is said. */
static void make_foreign(struct stage *s)
{
	mirror_fixture_settle(&s->m);
	s->target->value[CGM_MEMORY_MIN] = 4096;
}

static void make_failing(struct stage *s)
{
	s->m.cgroups.set_err = -EACCES;
}

static void make_others(struct stage *s)
{
	s->target->others = true;
}

static void make_unknown(struct stage *s)
{
	s->m.pinned_each = UINT64_MAX;
}

static void make_no_huge(struct stage *s)
{
	s->m.cgroups.no_huge = true;
}

static void make_huge(struct stage *s)
{
	make_no_huge(s);
	s->target->usage.anon = 64 * MIB;
}

static void make_nothing(struct stage *s)
{
	(void)s; /* the mode says it */
}

static void reasons_are_said(void)
{
	static const struct {
		const char *name;
		void (*make)(struct stage *s);
		enum policy_mirror mode;
		enum proto_mirror_by by;
		const char *says;
	} cases[] = {
		{"somebody else", make_foreign, POLICY_MIRROR_BOTH, PROTO_MIRROR_BY_BROKER,
		 "memory.min was set by somebody else"},
		{"a failure", make_failing, POLICY_MIRROR_BOTH, PROTO_MIRROR_BY_BROKER,
		 "memory.min: Permission denied"},
		{"no target", make_others, POLICY_MIRROR_BOTH, PROTO_MIRROR_BY_NOBODY,
		 "process 1 is of no session"},
		{"no gate", make_unknown, POLICY_MIRROR_PROTECT, PROTO_MIRROR_BY_BROKER,
		 "without a gate nothing tells what is pinned"},
		{"no hugetlb", make_huge, POLICY_MIRROR_BOTH, PROTO_MIRROR_BY_BROKER,
		 "huge pages have no limit here"},
		{"no hugetlb, no huge pages", make_no_huge, POLICY_MIRROR_BOTH,
		 PROTO_MIRROR_BY_BROKER, NULL},
		{"track", make_nothing, POLICY_MIRROR_TRACK, PROTO_MIRROR_BY_NOBODY, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct session *session;
		struct stage s;

		if (!stage_init(&s, false))
			return;
		s.m.f.policy->mirror = cases[i].mode;
		session = mirror_fixture_session(&s.m, s.owner, 4 * GIB);
		cases[i].make(&s);
		mirror_changed(s.m.f.broker->mirror, session);
		mirror_fixture_settle(&s.m);
		CHECK(cases[i].name, stage_read(&s, getuid()) == 1);
		CHECK(cases[i].name, s.record.by == cases[i].by);
		CHECK(cases[i].name, cases[i].says ? strstr(s.record.reason, cases[i].says) != NULL
						   : !s.record.reason[0]);
		stage_fini(&s);
	}
}

static const CU_TestInfo tests[] = {
	{"all are told, page by page", all_are_told_page_by_page},
	{"strangers are told nothing", strangers_are_told_nothing},
	{"a malformed request drops the peer", malformed_request_drops_the_peer},
	{"the numbers are those of the cgroup", numbers_are_those_of_the_cgroup},
	{"why something is not written is said", reasons_are_said},
	CU_TEST_INFO_NULL,
};

const struct suite suite_mirror_report = {"mirror_report", tests};
