/* SPDX-License-Identifier: MIT */
/* libpinbroker: a connection, and what is answered on it; open, list, show and explain. */
#include "client/pinbroker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fdmsg.h"
#include "common/proto.h"
#include "common/sys.h"
#include "tests/unit/child.h"
#include "tests/unit/lib_fixture.h"
#include "tests/unit/suite.h"

static const char *const two_devices[] = {"0000:65:00.0", "0000:65:00.1"};

static const struct pinbroker_request request = {
	.name = "vm",
	.memory = 1 << 20,
	.viommu = true,
	.accounting = PINBROKER_ACCOUNTING_USER,
	.devices = two_devices,
	.n_devices = 2,
	.exec = true,
};

static const struct proto_grant good_grant = {
	.id = 0x1a2b,
	.limit = 5 << 20,
	.max_mappings = PROTO_UNLIMITED,
	.accounting = PROTO_ACCOUNTING_USER,
	.n_devices = 2,
	.name = "vm-2",
	.policy = "tenants",
	.warning = "low",
};

#define GRANT (sizeof(struct proto_header) + sizeof(struct proto_grant))

static void open_grants(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_grant grant;
	struct proto_open open;
	int before;

	pair_init(&pair);
	before = suite_count_fds();
	pair_answer(&pair, proto_header(PROTO_REPLY, PROTO_OPEN, 1, sizeof(good_grant)),
		    &good_grant, sizeof(good_grant), GRANT, 3);
	CU_ASSERT_EQUAL_FATAL(pinbroker_open(pair.broker, &request, &grant), 0);
	CU_ASSERT_EQUAL(grant.id, 0x1a2b);
	CU_ASSERT_EQUAL(grant.limit, 5 << 20);
	CU_ASSERT_EQUAL(grant.max_mappings, PINBROKER_UNLIMITED);
	CU_ASSERT_EQUAL(grant.accounting, PINBROKER_ACCOUNTING_USER);
	CU_ASSERT_EQUAL(grant.n_devices, 2);
	CU_ASSERT_STRING_EQUAL(grant.name, "vm-2");
	CU_ASSERT_STRING_EQUAL(grant.policy, "tenants");
	CU_ASSERT_STRING_EQUAL(grant.warning, "low");
	CU_ASSERT_EQUAL(fcntl(grant.iommufd, F_GETFD), FD_CLOEXEC);
	CU_ASSERT_EQUAL(fcntl(grant.devices[1], F_GETFD), FD_CLOEXEC);
	CU_ASSERT_EQUAL(grant.devices[2], -1);
	CU_ASSERT_EQUAL(suite_count_fds(), before + 3);
	pinbroker_grant_close(&grant);
	pinbroker_grant_close(&grant); /* a second time is harmless */
	CU_ASSERT_EQUAL(suite_count_fds(), before);
	pair_expect(&pair, PROTO_OPEN, &open, sizeof(open));
	CU_ASSERT_TRUE(proto_open_valid(&open));
	CU_ASSERT_EQUAL(open.flags, PROTO_OPEN_VIOMMU | PROTO_OPEN_EXEC);
	CU_ASSERT_EQUAL(open.accounting, PROTO_ACCOUNTING_USER);
	CU_ASSERT_EQUAL(open.memory, 1 << 20);
	CU_ASSERT_STRING_EQUAL(open.name, "vm");
	CU_ASSERT_STRING_EQUAL(open.devices[1], "0000:65:00.1");
}

static const struct {
	const char *name;
	struct proto_header header;
	uint32_t accounting;
	uint32_t n_devices; /* that the grant claims */
	size_t len;
	size_t n_fds;
} bad_answers[] = {
	{"wrong serial", {1, PROTO_REPLY, PROTO_OPEN, GRANT, 2}, 1, 2, GRANT, 3},
	{"serial 0", {1, PROTO_REPLY, PROTO_OPEN, GRANT, 0}, 1, 2, GRANT, 3},
	{"wrong operation", {1, PROTO_REPLY, PROTO_LIST, GRANT, 1}, 1, 2, GRANT, 3},
	{"another operation", {1, PROTO_REPLY, PROTO_ATTACH, GRANT, 1}, 1, 2, GRANT, 3},
	{"a request", {1, PROTO_REQUEST, PROTO_OPEN, GRANT, 1}, 1, 2, GRANT, 3},
	{"unknown kind", {1, 3, PROTO_OPEN, GRANT, 1}, 1, 2, GRANT, 3},
	{"another version", {2, PROTO_REPLY, PROTO_OPEN, GRANT, 1}, 1, 2, GRANT, 3},
	{"a byte short", {1, PROTO_REPLY, PROTO_OPEN, GRANT - 1, 1}, 1, 2, GRANT - 1, 3},
	{"a byte long", {1, PROTO_REPLY, PROTO_OPEN, GRANT + 1, 1}, 1, 2, GRANT + 1, 3},
	{"size field wrong", {1, PROTO_REPLY, PROTO_OPEN, GRANT - 1, 1}, 1, 2, GRANT, 3},
	{"header cut", {1, PROTO_REPLY, PROTO_OPEN, 8, 1}, 1, 2, 8, 3},
	{"too large", {1, PROTO_REPLY, PROTO_OPEN, GRANT, 1}, 1, 2, PROTO_MESSAGE_MAX + 1, 3},
	{"no descriptor", {1, PROTO_REPLY, PROTO_OPEN, GRANT, 1}, 1, 2, GRANT, 0},
	{"a descriptor too few", {1, PROTO_REPLY, PROTO_OPEN, GRANT, 1}, 1, 2, GRANT, 2},
	{"a descriptor too many", {1, PROTO_REPLY, PROTO_OPEN, GRANT, 1}, 1, 2, GRANT, 4},
	{"many descriptors", {1, PROTO_REPLY, PROTO_OPEN, GRANT, 1}, 1, 2, GRANT, 17},
	{"a device too few", {1, PROTO_REPLY, PROTO_OPEN, GRANT, 1}, 1, 1, GRANT, 2},
	{"a device too many", {1, PROTO_REPLY, PROTO_OPEN, GRANT, 1}, 1, 3, GRANT, 4},
	{"count too high", {1, PROTO_REPLY, PROTO_OPEN, GRANT, 1}, 1, UINT32_MAX, GRANT, 3},
	{"no accounting", {1, PROTO_REPLY, PROTO_OPEN, GRANT, 1}, 0, 2, GRANT, 3},
};

static void bad_answers_are_refused(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad_answers); i++) {
		CLEANUP(pair_fini) struct pair pair = {.fd = -1};
		struct proto_grant grant = good_grant;
		struct pinbroker_grant untouched = {.id = 7};
		int before;
		int err;

		grant.accounting = bad_answers[i].accounting;
		grant.n_devices = bad_answers[i].n_devices;
		pair_init(&pair);
		before = suite_count_fds();
		pair_answer(&pair, bad_answers[i].header, &grant, sizeof(grant), bad_answers[i].len,
			    bad_answers[i].n_fds);
		err = pinbroker_open(pair.broker, &request, &untouched);
		if (err != -EPROTO)
			(void)fprintf(stderr, "libpinbroker: %s: %d\n", bad_answers[i].name, err);
		CU_ASSERT_EQUAL(err, -EPROTO);
		CU_ASSERT_EQUAL(untouched.id, 7);
		CU_ASSERT_EQUAL(suite_count_fds(), before);
		/* And the connection is of no use any more. */
		CU_ASSERT_EQUAL(pinbroker_open(pair.broker, &request, &untouched), -ECONNRESET);
	}
}

static void end_of_connection(void)
{
	CLEANUP(pair_fini) struct pair after_request = {.fd = -1};
	CLEANUP(pair_fini) struct pair before_request = {.fd = -1};
	struct pinbroker_grant grant;

	pair_init(&after_request);
	CU_ASSERT_EQUAL(shutdown(after_request.fd, SHUT_WR), 0);
	CU_ASSERT_EQUAL(pinbroker_open(after_request.broker, &request, &grant), -ECONNRESET);
	pair_init(&before_request);
	fd_closep(&before_request.fd);
	CU_ASSERT_EQUAL(pinbroker_open(before_request.broker, &request, &grant), -ECONNRESET);
}

static void connect_fails(void)
{
	struct pinbroker *broker = NULL;
	char path[200];

	CU_ASSERT_EQUAL(pinbroker_connect("/nowhere/socket", &broker), -ENOENT);
	CU_ASSERT_EQUAL(pinbroker_connect("", &broker), -ENOENT);
	CU_ASSERT_EQUAL(pinbroker_connect("/dev/null", &broker), -ECONNREFUSED);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	CU_ASSERT_EQUAL(pinbroker_connect(path, &broker), -ENAMETOOLONG);
	CU_ASSERT_PTR_NULL(broker);
	pinbroker_free(NULL);
}

static void refusal_is_kept(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct proto_refusal refusal = {.status = 77, .reason = "user-limit", .text = "too much"};
	struct pinbroker_grant grant;

	pair_init(&pair);
	pair_reply(&pair, PROTO_REFUSAL, PROTO_OPEN, 1, &refusal, sizeof(refusal));
	CU_ASSERT_EQUAL(pinbroker_open(pair.broker, &request, &grant), -EACCES);
	CU_ASSERT_EQUAL(pinbroker_refusal(pair.broker)->status, 77);
	CU_ASSERT_STRING_EQUAL(pinbroker_refusal(pair.broker)->reason, "user-limit");
	CU_ASSERT_STRING_EQUAL(pinbroker_refusal(pair.broker)->text, "too much");
	/* The connection goes on, and the next call forgets the refusal. */
	pair_answer(&pair, proto_header(PROTO_REPLY, PROTO_OPEN, 2, sizeof(good_grant)),
		    &good_grant, sizeof(good_grant), GRANT, 3);
	CU_ASSERT_EQUAL_FATAL(pinbroker_open(pair.broker, &request, &grant), 0);
	pinbroker_grant_close(&grant);
	CU_ASSERT_EQUAL(pinbroker_refusal(pair.broker)->status, 0);
	/* One that carries a descriptor, or has no reason, is none. */
	pair_answer(&pair, proto_header(PROTO_REFUSAL, PROTO_OPEN, 3, sizeof(refusal)), &refusal,
		    sizeof(refusal), sizeof(struct proto_header) + sizeof(refusal), 1);
	CU_ASSERT_EQUAL(pinbroker_open(pair.broker, &request, &grant), -EPROTO);
	CU_ASSERT_EQUAL(pinbroker_refusal(pair.broker)->status, 0);
}

static void open_checks_its_request(void)
{
	static const char *const no_devices[] = {"", NULL};
	static const char *const long_device[] = {"0123456789012345678901234567890123456789"};
	static const struct pinbroker_request cases[] = {
		{.name = ""},
		{.name = "a b"},
		{.name = "01234567890123456789012345678901234567890123456789012345678901234"},
		{.n_devices = PINBROKER_DEVICES_MAX + 1},
		{.n_devices = SIZE_MAX},
		{.devices = no_devices, .n_devices = 1},
		{.devices = no_devices + 1, .n_devices = 1},
		{.devices = long_device, .n_devices = 1},
		{.accounting = (enum pinbroker_accounting)3},
	};
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_grant grant;

	pair_init(&pair);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CU_ASSERT_EQUAL(pinbroker_open(pair.broker, &cases[i], &grant), -EINVAL);
	pair_expect_nothing(&pair);
}

/* A page of sessions that is being written. */
struct page {
	struct proto_sessions head;
	char records[4096];
	size_t len;
};

static void page_add(struct page *page, uint64_t id, const char *cgroup)
{
	struct proto_session session = {
		.id = id,
		.pinned = PROTO_UNKNOWN,
		.state = PROTO_STATE_ORPHANED,
		.flags = PROTO_SESSION_EXACT,
		.cgroup_len = (uint16_t)strlen(cgroup),
		.n_devices = 2,
		.name = "vm",
	};
	char devices[2][40] = {"0000:65:00.0", "0000:65:00.1"};
	char *to = page->records + page->len;

	to = mempcpy(to, &session, sizeof(session));
	to = mempcpy(to, cgroup, session.cgroup_len);
	to = mempcpy(to, devices, sizeof(devices));
	page->len = (size_t)(to - page->records);
	page->head.n++;
}

static void page_send(const struct pair *pair, unsigned int op, uint64_t serial,
		      const struct page *page)
{
	pair_reply(pair, PROTO_REPLY, op, serial, page, sizeof(page->head) + page->len);
}

struct seen {
	struct pinbroker *broker;
	size_t n;
	uint64_t ids[8];
	int ret;
};

static int see(const struct pinbroker_session *session, void *arg)
{
	struct seen *seen = arg;

	CU_ASSERT_FATAL(seen->n < ARRAY_SIZE(seen->ids));
	seen->ids[seen->n++] = session->id;
	CU_ASSERT_EQUAL(session->pinned, PINBROKER_UNKNOWN);
	CU_ASSERT_STRING_EQUAL(session->state, "orphaned");
	CU_ASSERT_TRUE(session->exact);
	CU_ASSERT_EQUAL(session->n_devices, 2);
	CU_ASSERT_STRING_EQUAL(session->devices[1], "0000:65:00.1");
	CU_ASSERT_EQUAL(session->cgroup == NULL, session->id == 2);
	CU_ASSERT_TRUE(!session->cgroup || strcmp(session->cgroup, "/a.slice") == 0);
	CU_ASSERT_EQUAL(pinbroker_show(seen->broker, 1, see, seen), -EBUSY);
	return seen->ret;
}

static void list_walks_pages(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct page first = {.head = {.more = 1}}, second = {.len = 0};
	struct proto_list list;
	struct seen seen;

	pair_init(&pair);
	page_add(&first, 1, "/a.slice");
	page_add(&first, 2, "");
	page_add(&second, 30, "/a.slice");
	page_send(&pair, PROTO_LIST, 1, &first);
	page_send(&pair, PROTO_LIST, 2, &second);
	seen = (struct seen){.broker = pair.broker};
	CU_ASSERT_EQUAL(pinbroker_list(pair.broker, see, &seen), 0);
	CU_ASSERT_EQUAL_FATAL(seen.n, 3);
	CU_ASSERT_EQUAL(seen.ids[1], 2);
	CU_ASSERT_EQUAL(seen.ids[2], 30);
	pair_expect(&pair, PROTO_LIST, &list, sizeof(list));
	CU_ASSERT_EQUAL(list.after, 0);
	pair_expect(&pair, PROTO_LIST, &list, sizeof(list));
	CU_ASSERT_EQUAL(list.after, 2);
	/* What fn returns ends the walk. */
	page_send(&pair, PROTO_LIST, 3, &first);
	seen = (struct seen){.broker = pair.broker, .ret = 5};
	CU_ASSERT_EQUAL(pinbroker_list(pair.broker, see, &seen), 5);
	CU_ASSERT_EQUAL(seen.n, 1);
	page_send(&pair, PROTO_SHOW, 4, &second);
	seen = (struct seen){.broker = pair.broker, .ret = 6};
	CU_ASSERT_EQUAL(pinbroker_show(pair.broker, 30, see, &seen), 6);
}

/* Sends one page to list or show and expects that nothing of it is shown. */
static void expect_bad_page(const struct page *page, unsigned int op, const char *name)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct seen seen = {.n = 0};
	int err;

	pair_init(&pair);
	seen.broker = pair.broker;
	page_send(&pair, op, 1, page);
	err = op == PROTO_SHOW ? pinbroker_show(pair.broker, 1, see, &seen)
			       : pinbroker_list(pair.broker, see, &seen);
	if (err != -EPROTO || seen.n)
		(void)fprintf(stderr, "libpinbroker: %s: %d\n", name, err);
	CU_ASSERT_EQUAL(err, -EPROTO);
	CU_ASSERT_EQUAL(seen.n, 0);
}

static void bad_pages_show_nothing(void)
{
	struct page page = {.len = 0};

	page.head.more = 1;
	expect_bad_page(&page, PROTO_LIST, "empty page, and more");
	page.head.more = 0;
	expect_bad_page(&page, PROTO_SHOW, "show without a session");
	page_add(&page, 1, "/a.slice");
	page_add(&page, 2, "");
	expect_bad_page(&page, PROTO_SHOW, "show with two sessions");
	page.head.n = 1;
	expect_bad_page(&page, PROTO_LIST, "bytes after the last record");
	page.head.n = 3;
	expect_bad_page(&page, PROTO_LIST, "a record too few");
	page.head.n = UINT32_MAX;
	expect_bad_page(&page, PROTO_LIST, "count too high");
	page.head.n = 2;
	page.len--;
	expect_bad_page(&page, PROTO_LIST, "last record cut");
}

static void show_says_no_session(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct proto_refusal refusal = {.status = 66, .text = "no session 1f"};
	struct proto_show show;

	pair_init(&pair);
	pair_reply(&pair, PROTO_REFUSAL, PROTO_SHOW, 1, &refusal, sizeof(refusal));
	CU_ASSERT_EQUAL(pinbroker_show(pair.broker, 0x1f, see, NULL), -EACCES);
	CU_ASSERT_EQUAL(pinbroker_refusal(pair.broker)->status, 66);
	pair_expect(&pair, PROTO_SHOW, &show, sizeof(show));
	CU_ASSERT_EQUAL(show.id, 0x1f);
}

static void explain_asks_and_tells(void)
{
	static const gid_t gids[] = {1000, 27};
	const struct pinbroker_subject subject = {.uid = 1000,
						  .gids = gids,
						  .n_gids = 2,
						  .cgroup = "/a",
						  .domain = "db",
						  .pidfd = -1};
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct proto_explanation reply_body = {
		.granted = 1,
		.accounting = PROTO_ACCOUNTING_TASK,
		.limit = 3,
		.host_limit = PROTO_UNLIMITED,
		.flags = PROTO_EXPLAIN_LIMIT_AUTO,
		.policy = "tenants",
	};
	struct pinbroker_explanation explanation;
	struct proto_explain asked;

	pair_init(&pair);
	pair_reply(&pair, PROTO_REPLY, PROTO_EXPLAIN, 1, &reply_body, sizeof(reply_body));
	CU_ASSERT_EQUAL_FATAL(pinbroker_explain(pair.broker, &subject, &request, &explanation), 0);
	CU_ASSERT_TRUE(explanation.granted);
	CU_ASSERT_TRUE(explanation.limit_auto);
	CU_ASSERT_FALSE(explanation.mappings_auto);
	CU_ASSERT_EQUAL(explanation.limit, 3);
	CU_ASSERT_EQUAL(explanation.host_limit, PINBROKER_UNLIMITED);
	CU_ASSERT_STRING_EQUAL(explanation.policy, "tenants");
	pair_expect(&pair, PROTO_EXPLAIN, &asked, sizeof(asked));
	CU_ASSERT_TRUE(proto_explain_valid(&asked));
	CU_ASSERT_EQUAL(asked.subject.uid, 1000);
	CU_ASSERT_EQUAL(asked.subject.gids[1], 27);
	CU_ASSERT_STRING_EQUAL(asked.subject.cgroup, "/a");
	CU_ASSERT_STRING_EQUAL(asked.subject.domain, "db");
	reply_body.granted = 0; /* for no reason */
	pair_reply(&pair, PROTO_REPLY, PROTO_EXPLAIN, 2, &reply_body, sizeof(reply_body));
	CU_ASSERT_EQUAL(pinbroker_explain(pair.broker, &subject, &request, &explanation), -EPROTO);
}

static void subject_is_checked(void)
{
	static const gid_t gids[65];
	static char long_name[257];
	static const struct {
		const char *name;
		struct pinbroker_subject subject;
		int explain, open_for; /* what they return; 0: it was sent, and nobody answers */
	} cases[] = {
		{"nothing given", PINBROKER_SUBJECT_INIT, 0, -EINVAL},
		{"groups without a user", {(uid_t)-1, gids, 1, NULL, NULL, -1}, -EINVAL, -EINVAL},
		{"too many groups", {1, gids, 65, NULL, NULL, -1}, -EINVAL, -EINVAL},
		{"as many groups as may be", {1, gids, 64, NULL, NULL, -1}, 0, 0},
		{"empty cgroup", {1, NULL, 0, "", NULL, -1}, -EINVAL, -EINVAL},
		{"relative cgroup", {1, NULL, 0, "a", NULL, -1}, -EINVAL, -EINVAL},
		{"empty domain", {1, NULL, 0, NULL, "", -1}, -EINVAL, -EINVAL},
		{"long domain", {1, NULL, 0, NULL, long_name, -1}, -EINVAL, -EINVAL},
		{"only a domain", {(uid_t)-1, NULL, 0, NULL, "db", -1}, 0, 0},
		{"what is no pidfd",
		 {(uid_t)-1, NULL, 0, NULL, NULL, STDIN_FILENO},
		 -EINVAL,
		 -EINVAL},
	};
	struct pinbroker_explanation explanation;
	struct pinbroker_grant grant;

	memset(long_name, 'x', sizeof(long_name) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(pair_fini) struct pair pair = {.fd = -1};

		pair_init(&pair);
		CU_ASSERT_EQUAL(shutdown(pair.fd, SHUT_WR), 0);
		CHECK(cases[i].name,
		      pinbroker_explain(pair.broker, &cases[i].subject, &request, &explanation) ==
			      (cases[i].explain ? cases[i].explain : -ECONNRESET));
		CHECK(cases[i].name,
		      pinbroker_open_for(pair.broker, &cases[i].subject, &request, &grant) ==
			      (cases[i].open_for ? cases[i].open_for : -ECONNRESET));
	}
}

static void open_for_sends_its_subject(void)
{
	static const gid_t gids[] = {107};
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_subject subject = {107, gids, 1, "/machine.slice", "db-1", -1};
	CLEANUP(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	struct pinbroker_grant grant;
	struct proto_open_for asked;
	struct stat st;

	pair_init(&pair);
	subject.pidfd = pidfd;
	CU_ASSERT_EQUAL_FATAL(fstat(pidfd, &st), 0);
	pair_reply_fds(&pair, PROTO_OPEN_FOR, 1, &good_grant, sizeof(good_grant), 3);
	CU_ASSERT_EQUAL_FATAL(pinbroker_open_for(pair.broker, &subject, &request, &grant), 0);
	CU_ASSERT_EQUAL(grant.id, 0x1a2b);
	CU_ASSERT_EQUAL(fcntl(grant.devices[1], F_GETFD), FD_CLOEXEC);
	pinbroker_grant_close(&grant);
	pair_expect(&pair, PROTO_OPEN_FOR, &asked, sizeof(asked));
	CU_ASSERT_EQUAL(asked.subject.process.inode, st.st_ino);
	CU_ASSERT_EQUAL(asked.subject.process.pid, (uint32_t)getpid());
	CU_ASSERT_TRUE(proto_subject_valid(&asked.subject) && proto_open_valid(&asked.open));
	CU_ASSERT_EQUAL(asked.subject.flags, PROTO_SUBJECT_UID | PROTO_SUBJECT_CGROUP |
						     PROTO_SUBJECT_DOMAIN | PROTO_SUBJECT_PROCESS);
	CU_ASSERT_EQUAL(asked.subject.gids[0], 107);
	CU_ASSERT_STRING_EQUAL(asked.subject.domain, "db-1");
	CU_ASSERT_EQUAL(asked.open.n_devices, 2);
	subject.pidfd = -1;
	pair_reply_fds(&pair, PROTO_OPEN_FOR, 2, &good_grant, sizeof(good_grant), 2);
	CU_ASSERT_EQUAL(pinbroker_open_for(pair.broker, &subject, &request, &grant), -EPROTO);
	pair_expect(&pair, PROTO_OPEN_FOR, &asked, sizeof(asked));
	CU_ASSERT_EQUAL(asked.subject.flags & PROTO_SUBJECT_PROCESS, 0);
}

/* What comes without descriptors has none; what comes with some is not right. */
static void reserve_brings_no_descriptors(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_subject subject = PINBROKER_SUBJECT_INIT;
	struct pinbroker_request wanted = request;
	struct pinbroker_grant grant;
	struct proto_reserve asked;

	pair_init(&pair);
	subject.domain = "db-1";
	CU_ASSERT_EQUAL(pinbroker_reserve(pair.broker, &subject, &request, 5, &grant), -EINVAL);
	wanted.exec = false;
	wanted.accounting = PINBROKER_ACCOUNTING_TASK;
	CU_ASSERT_EQUAL(pinbroker_reserve(pair.broker, &subject, &wanted, 0, &grant), -EINVAL);
	pair_expect_nothing(&pair);
	pair_reply_fds(&pair, PROTO_RESERVE, 1, &good_grant, sizeof(good_grant), 0);
	CU_ASSERT_EQUAL_FATAL(pinbroker_reserve(pair.broker, &subject, &wanted, 5, &grant), 0);
	CU_ASSERT_EQUAL(grant.id, 0x1a2b);
	CU_ASSERT_EQUAL(grant.n_devices, 2);
	CU_ASSERT_TRUE(grant.iommufd == -1 && grant.devices[0] == -1 && grant.devices[1] == -1);
	pinbroker_grant_close(&grant);
	pair_expect(&pair, PROTO_RESERVE, &asked, sizeof(asked));
	CU_ASSERT_TRUE(proto_reserve_valid(&asked));
	CU_ASSERT_EQUAL(asked.wait_ms, 5);
	CU_ASSERT_STRING_EQUAL(asked.subject.domain, "db-1");
	CU_ASSERT_STRING_EQUAL(asked.open.devices[1], "0000:65:00.1");
	pair_reply_fds(&pair, PROTO_RESERVE, 2, &good_grant, sizeof(good_grant), 3);
	CU_ASSERT_EQUAL(pinbroker_reserve(pair.broker, &subject, &wanted, 5, &grant), -EPROTO);
}

static void handoff_brings_and_takes(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_subject subject = PINBROKER_SUBJECT_INIT;
	const struct proto_done done = {.id = 7, .state = PROTO_STATE_ACTIVE};
	struct pinbroker_request wanted = request;
	struct pinbroker_grant grant;
	struct proto_handoff asked;
	struct fdmsg msg;
	char packet[sizeof(struct proto_header) + sizeof(struct proto_pass)];
	size_t len;

	pair_init(&pair);
	subject.cgroup = "/kubepods";
	wanted.exec = false;
	CU_ASSERT_EQUAL(pinbroker_handoff(pair.broker, &subject, &wanted, 5, &grant), -EINVAL);
	subject.uid = 107;
	CU_ASSERT_EQUAL(pinbroker_handoff(pair.broker, &subject, &request, 5, &grant), -EINVAL);
	CU_ASSERT_EQUAL(pinbroker_handoff(pair.broker, &subject, &wanted, 0, &grant), -EINVAL);
	CU_ASSERT_EQUAL(pinbroker_pass(pair.broker, 7, -1), -EBADF);
	pair_expect_nothing(&pair);
	pair_reply_fds(&pair, PROTO_HANDOFF, 1, &good_grant, sizeof(good_grant), 0);
	CU_ASSERT_EQUAL_FATAL(pinbroker_handoff(pair.broker, &subject, &wanted, 5, &grant), 0);
	CU_ASSERT_EQUAL(grant.iommufd, -1);
	pair_expect(&pair, PROTO_HANDOFF, &asked, sizeof(asked));
	CU_ASSERT_TRUE(proto_handoff_valid(&asked));
	CU_ASSERT_EQUAL(asked.wait_ms, 5);
	pair_reply_fds(&pair, PROTO_PASS, 2, &done, sizeof(done), 0);
	CU_ASSERT_EQUAL(pinbroker_pass(pair.broker, 7, pair.fd), 0);
	CU_ASSERT_EQUAL_FATAL(
		fdmsg_recv(pair.fd, packet, sizeof(packet), 1, MSG_DONTWAIT, &len, &msg), 0);
	CU_ASSERT_EQUAL(len, sizeof(packet));
	CU_ASSERT_EQUAL(msg.n_fds, 1);
	fdmsg_close(&msg);
}

static void closed_pidfd_is_noticed(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_subject subject = PINBROKER_SUBJECT_INIT;
	struct pinbroker_grant grant;
	struct child child;

	pair_init(&pair);
	subject.pidfd = 1 << 20; /* beyond every limit of this process */
	CU_ASSERT_EQUAL(pinbroker_open_for(pair.broker, &subject, &request, &grant), -EBADF);
	CU_ASSERT_EQUAL(pinbroker_adopt(pair.broker, 1, subject.pidfd), -EBADF);
	CU_ASSERT_EQUAL(pinbroker_adopt(pair.broker, 1, -1), -EBADF);
	CU_ASSERT_EQUAL(pinbroker_adopt(pair.broker, 1, STDIN_FILENO), -EINVAL);
	child_start(&child);
	child_exit(&child);
	CU_ASSERT_EQUAL(waitpid(child.pid, NULL, 0), child.pid);
	CU_ASSERT_EQUAL(pinbroker_adopt(pair.broker, 1, child.pidfd), -ESRCH);
	fd_closep(&child.pidfd);
	pair_expect_nothing(&pair);
}

static const CU_TestInfo tests[] = {
	{"open fills the grant, descriptors are close-on-exec", open_grants},
	{"an answer that is not right is refused and leaves no descriptor",
	 bad_answers_are_refused},
	{"the end of the connection is ECONNRESET", end_of_connection},
	{"connect says why not", connect_fails},
	{"a refusal is kept until the next call", refusal_is_kept},
	{"open checks its request", open_checks_its_request},
	{"list walks page by page", list_walks_pages},
	{"of a page that is not right nothing is shown", bad_pages_show_nothing},
	{"show says that there is no such session", show_says_no_session},
	{"explain asks and tells", explain_asks_and_tells},
	{"what is not given or cannot be sent of a subject", subject_is_checked},
	{"open for another sends the subject and its process", open_for_sends_its_subject},
	{"reserve brings no descriptors", reserve_brings_no_descriptors},
	{"handoff brings none, and pass takes one along", handoff_brings_and_takes},
	{"a pidfd that is none sends nothing", closed_pidfd_is_noticed},
	CU_TEST_INFO_NULL,
};

const struct suite suite_libpinbroker = {"libpinbroker", tests};
