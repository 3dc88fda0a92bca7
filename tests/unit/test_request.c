/* SPDX-License-Identifier: MIT */
/* Peers and requests: what ends a connection, what is refused, and who is believed. */
#include "daemon/request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "accounting/policy.h"
#include "common/cleanup.h"
#include "daemon/budget.h"
#include "daemon/loop.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/captured.h"
#include "tests/unit/child.h"
#include "tests/unit/fake_sys.h"
#include "tests/unit/suite.h"

static const struct proto_list list = {.after = 0};

/* A packet whose header is as the test says, and the answer to it. */
static void ask_raw(struct broker_fixture *f, int fd, const void *packet, size_t len,
		    struct answer *ret_answer)
{
	CU_ASSERT_EQUAL(send(fd, packet, len, MSG_NOSIGNAL), (ssize_t)len);
	broker_fixture_answer(f, fd, ret_answer);
}

static void ask_list(struct broker_fixture *f, int fd, struct answer *ret_answer)
{
	broker_fixture_send(fd, PROTO_LIST, &list, sizeof(list));
	broker_fixture_answer(f, fd, ret_answer);
}

/* The whole of version 1's headers for a list request, one field wrong at a time. */
static const struct {
	const char *name;
	struct proto_header header;
	size_t len;
	const char *outcome;
} packet_cases[] = {
	{"well-formed", {PROTO_VERSION, PROTO_REQUEST, PROTO_LIST, 32, 1}, 32, "granted"},
	{"version 0", {0, PROTO_REQUEST, PROTO_LIST, 32, 1}, 32, "hung up"},
	{"version 2", {2, PROTO_REQUEST, PROTO_LIST, 32, 1}, 32, "hung up"},
	{"an answer", {PROTO_VERSION, PROTO_REPLY, PROTO_LIST, 32, 1}, 32, "hung up"},
	{"a refusal", {PROTO_VERSION, PROTO_REFUSAL, PROTO_LIST, 32, 1}, 32, "hung up"},
	{"a kind that is none", {PROTO_VERSION, 9, PROTO_LIST, 32, 1}, 32, "hung up"},
	{"size too small", {PROTO_VERSION, PROTO_REQUEST, PROTO_LIST, 31, 1}, 32, "hung up"},
	{"size too large", {PROTO_VERSION, PROTO_REQUEST, PROTO_LIST, 33, 1}, 32, "hung up"},
	{"body cut", {PROTO_VERSION, PROTO_REQUEST, PROTO_LIST, 31, 1}, 31, "hung up"},
	{"body too long", {PROTO_VERSION, PROTO_REQUEST, PROTO_LIST, 40, 1}, 40, "hung up"},
	{"header alone", {PROTO_VERSION, PROTO_REQUEST, PROTO_LIST, 16, 1}, 16, "hung up"},
	{"header cut", {PROTO_VERSION, PROTO_REQUEST, PROTO_LIST, 15, 1}, 15, "hung up"},
	{"one byte", {PROTO_VERSION, PROTO_REQUEST, PROTO_LIST, 1, 1}, 1, "hung up"},
	{"operation 0", {PROTO_VERSION, PROTO_REQUEST, 0, 32, 1}, 32, "hung up"},
	{"an operation that is unknown",
	 {PROTO_VERSION, PROTO_REQUEST, PROTO_OPS, 32, 1},
	 32,
	 "bad-request"},
	{"the last operation", {PROTO_VERSION, PROTO_REQUEST, 255, 16, 1}, 16, "bad-request"},
};

/* Who is dropped all the time writes a line a second, which tells how many there were. */
static void drops_are_logged_once_a_second(void)
{
	struct broker_fixture f;

	if (!broker_fixture_init(&f))
		return;
	/* The second cannot pass by accident: a thousand of them are spent. */
	f.broker->drop_lines = (struct bucket){.spent = 1000000, .refilled_ms = broker_now_ms()};
	for (int i = 0; i < 10; i++) {
		struct answer answer;
		int fd = broker_fixture_connect(&f);

		ask_raw(&f, fd, "x", 1, &answer);
		CU_ASSERT_TRUE(answer.hung_up);
		fd_closep(&fd);
	}
	CU_ASSERT_EQUAL(captured_lines(), 0);
	CU_ASSERT_EQUAL(f.broker->drop_lines.n_refused, 10);
	broker_fixture_fini(&f);
}

/* Each refusal of a uid has its line, until there are very many; then the next one tells of them.
 */
static void refusals_do_not_fill_the_log(void)
{
	struct proto_open open = broker_fixture_open(NULL, NULL);
	struct broker_fixture f;
	struct answer answer;
	size_t lines;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f);

	open.zero = 1;
	for (int i = 0; i < 4 * BUDGET_LINES; i++) {
		broker_fixture_ask(&f, fd, &open, &answer);
		CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "bad-request");
		CHECK("each of the first", i >= BUDGET_LINES || captured_lines() == (size_t)i + 1);
	}
	lines = captured_lines();
	/* Two lines for each second that this took, and it may take one or two. */
	CU_ASSERT_TRUE(lines >= BUDGET_LINES && lines < 2 * BUDGET_LINES);
	fd_closep(&fd);
	broker_fixture_fini(&f);
}

/* Refused: the connection stands, and answers. No message: it is gone, with a line in the log. */
static void each_packet_has_its_outcome(void)
{
	struct broker_fixture f;

	if (!broker_fixture_init(&f))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(packet_cases); i++) {
		const char *outcome = packet_cases[i].outcome;
		size_t lines = captured_lines();
		char packet[64] = {0};
		struct answer answer;
		int fd = broker_fixture_connect(&f);

		f.broker->drop_lines =
			(struct bucket){0}; /* as if a second had passed: else there is one line */
		memcpy(packet, &packet_cases[i].header, sizeof(struct proto_header));
		ask_raw(&f, fd, packet, packet_cases[i].len, &answer);
		CHECK(packet_cases[i].name, strcmp(answer_reason(&answer), outcome) == 0);
		CHECK(packet_cases[i].name,
		      captured_lines() == lines + (strcmp(outcome, "granted") != 0));
		CHECK(packet_cases[i].name, !f.broker->peers == answer.hung_up);
		if (!answer.hung_up) {
			CHECK(packet_cases[i].name, answer.header.serial == 1);
			CHECK(packet_cases[i].name, answer.header.op == packet_cases[i].header.op);
			ask_list(&f, fd, &answer);
			CHECK(packet_cases[i].name, strcmp(answer_reason(&answer), "granted") == 0);
			peer_free(broker_fixture_peer(&f));
		}
		fd_closep(&fd);
	}
	broker_fixture_fini(&f);
}

static void oversized_packet_ends_the_connection(void)
{
	static char packet[PROTO_MESSAGE_MAX + 1];
	struct proto_header header = {PROTO_VERSION, PROTO_REQUEST, PROTO_OPS, sizeof(packet), 1};
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	for (uint32_t size = PROTO_MESSAGE_MAX; size <= PROTO_MESSAGE_MAX + 1; size++) {
		int fd = broker_fixture_connect(&f);

		header.size = size;
		memcpy(packet, &header, sizeof(header));
		ask_raw(&f, fd, packet, size, &answer);
		CU_ASSERT_STRING_EQUAL(answer_reason(&answer),
				       size > PROTO_MESSAGE_MAX ? "hung up" : "bad-request");
		fd_closep(&fd);
	}
	broker_fixture_fini(&f);
}

static bool fds_are(void *arg)
{
	return suite_count_fds() == *(int *)arg;
}

/* No operation takes any: they are closed, and the sender is dropped. */
static void descriptors_end_the_connection(void)
{
	struct proto_header header =
		proto_header(PROTO_REQUEST, PROTO_LIST, FIXTURE_SERIAL, sizeof(list));
	char body[sizeof(list)] = {0};
	struct iovec iov[] = {{.iov_base = &header, .iov_len = sizeof(header)},
			      {.iov_base = body, .iov_len = sizeof(body)}};
	int fds[FDMSG_FDS_MAX] = {STDIN_FILENO, STDIN_FILENO};
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	for (size_t n = 1; n <= ARRAY_SIZE(fds); n += ARRAY_SIZE(fds) - 1) {
		int n_fds = suite_count_fds(), fd = broker_fixture_connect(&f);

		CU_ASSERT_EQUAL(fdmsg_send(&fake_sys_ops, fd, iov, 2, fds, n), 0);
		broker_fixture_answer(&f, fd, &answer);
		CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "hung up");
		fd_closep(&fd);
		n_fds++; /* what runs the loop has one */
		broker_fixture_run(&f, fds_are, &n_fds);
	}
	broker_fixture_fini(&f);
}

static void hang_up_is_not_worth_a_line(void)
{
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f);

	ask_list(&f, fd, &answer);
	CU_ASSERT_EQUAL(shutdown(fd, SHUT_WR), 0); /* it reads on, the broker hangs up */
	broker_fixture_answer(&f, fd, &answer);
	CU_ASSERT_TRUE(answer.hung_up);
	CU_ASSERT_PTR_NULL(f.broker->peers);
	CU_ASSERT_EQUAL(captured_lines(), 0);
	fd_closep(&fd);
	broker_fixture_fini(&f);
}

/* A malformed body of a known operation: refused where it can be said, dropped where not. */
static void body_is_checked(void)
{
	const struct proto_list bad_list = {.zero = 1};
	struct proto_open open = broker_fixture_open(NULL, NULL);
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f);

	open.zero = 1;
	broker_fixture_ask(&f, fd, &open, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "bad-request");
	open = broker_fixture_open(NULL, NULL);
	(void)strcpy(open.name, "a b");
	broker_fixture_ask(&f, fd, &open, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "bad-request");
	open = broker_fixture_open(NULL, NULL);
	open.n_devices = PROTO_DEVICES_MAX + 1;
	broker_fixture_ask(&f, fd, &open, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "bad-request");
	broker_fixture_send(fd, PROTO_LIST, &bad_list, sizeof(bad_list));
	broker_fixture_answer(&f, fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "hung up");
	fd_closep(&fd);
	broker_fixture_check_idle(&f, "refused");
	broker_fixture_fini(&f);
}

static int send_list(void *arg)
{
	broker_fixture_send(*(int *)arg, PROTO_LIST, &list, sizeof(list));
	return 0;
}

/* Somebody who inherited the connection: by the kernel's word not who connected. */
static void other_sender_is_refused(void)
{
	struct broker_fixture f;
	struct answer answer;
	struct child child;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f);

	child_run(&child, send_list, &fd);
	broker_fixture_answer(&f, fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "bad-request");
	CU_ASSERT_PTR_NOT_NULL(strstr(answer.body.refusal.text, "another process"));
	CU_ASSERT_EQUAL(child_end(&child), 0);
	ask_list(&f, fd, &answer); /* who connected is served on */
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	fd_closep(&fd);
	broker_fixture_fini(&f);
}

static void sender_must_be_who_connected(void)
{
	static const struct {
		const char *name;
		bool given;
		struct ucred change; /* added to what is true */
		const char *says; /* NULL: served */
	} cases[] = {
		{"itself", true, {0, 0, 0}, NULL},
		{"no credentials", false, {0, 0, 0}, "no credentials"},
		{"another pid", true, {1, 0, 0}, "another process"},
		{"another uid", true, {0, 1, 0}, "real and effective ids"},
		{"another gid", true, {0, 0, 1}, "real and effective ids"},
	};
	struct {
		struct proto_header header;
		struct proto_list body;
	} packet = {proto_header(PROTO_REQUEST, PROTO_LIST, 1, sizeof(list)), list};
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ucred cred = {.pid = getpid() + cases[i].change.pid,
				     .uid = getuid() + cases[i].change.uid,
				     .gid = getgid() + cases[i].change.gid};

		CU_ASSERT_EQUAL(request_serve(broker_fixture_peer(&f), &packet, sizeof(packet),
					      cases[i].given ? &cred : NULL),
				0);
		broker_fixture_answer(&f, fd, &answer);
		CHECK(cases[i].name, (answer.header.kind == PROTO_REPLY) == !cases[i].says);
		CHECK(cases[i].name,
		      !cases[i].says || strstr(answer.body.refusal.text, cases[i].says));
		CHECK(cases[i].name,
		      !cases[i].says || strcmp(answer_reason(&answer), "bad-request") == 0);
	}
	fd_closep(&fd);
	broker_fixture_fini(&f);
}

/* Another pid namespace is pid 0, another user namespace the overflow uid. */
static void strangers_are_told_why(void)
{
	struct broker_fixture f;
	struct answer answer;
	struct peer *peer;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f);

	peer = broker_fixture_peer(&f);
	peer->cred.pid = 0;
	ask_list(&f, fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "bad-request");
	CU_ASSERT_PTR_NOT_NULL(strstr(answer.body.refusal.text, "hostPID"));
	peer->cred.pid = getpid();
	f.broker->overflow_uid = getuid(); /* the sender's, and who connected */
	ask_list(&f, fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "bad-request");
	CU_ASSERT_PTR_NOT_NULL(strstr(answer.body.refusal.text, "no mapping"));
	peer->cred.uid = getuid() + 1; /* the sender's alone */
	ask_list(&f, fd, &answer);
	CU_ASSERT_PTR_NOT_NULL(strstr(answer.body.refusal.text, "no mapping"));
	CU_ASSERT_EQUAL(fake_sys_writes(getpid()), 0);
	fd_closep(&fd);
	broker_fixture_fini(&f);
}

/* The bucket is full at first; a test takes less than the second that refills it. */
static void too_many_requests_are_refused(void)
{
	const char junk[sizeof(struct proto_header) + sizeof(list)] = {0};
	struct broker_fixture f;
	struct answer answer;
	unsigned int served = 0;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f);

	f.broker->policies->max_requests = 20;
	for (;;) {
		ask_list(&f, fd, &answer);
		if (strcmp(answer_reason(&answer), "granted") != 0 || served == 1000)
			break;
		served++; /* a slow machine: a second went by */
	}
	CU_ASSERT_TRUE(served >= 20 && served < 1000);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "rate-limit");
	CU_ASSERT_PTR_NOT_NULL(strstr(answer.body.refusal.text, "more than 20 requests"));
	CU_ASSERT_PTR_NOT_NULL(strstr(answer.body.refusal.text, "max-requests"));
	/* What it sends now is looked at when it may ask again. */
	CU_ASSERT_EQUAL(broker_fixture_peer(&f)->watch, LOOP_NONE);
	CU_ASSERT_NOT_EQUAL(broker_fixture_peer(&f)->pause, LOOP_NONE);
	f.broker->policies->max_requests = 0; /* a reload: the connection still stands */
	ask_list(&f, fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	ask_raw(&f, fd, junk, sizeof(junk), &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "hung up");
	fd_closep(&fd);
	broker_fixture_fini(&f);
}

/* As peer_new(), but without the fixture's assertion that it succeeds. */
static int connect_one(struct broker_fixture *f, int *ret_fd)
{
	int pair[2];

	CU_ASSERT_EQUAL_FATAL(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	*ret_fd = pair[0];
	return peer_new(f->broker, pair[1], false);
}

static void connection_too_many_is_told_and_closed(void)
{
	int fds[3], n_fds;
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	f.broker->policies->max_connections = 2;
	for (size_t i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(connect_one(&f, &fds[i]), 0);
	n_fds = suite_count_fds();
	CU_ASSERT_EQUAL(connect_one(&f, &fds[2]), -EDQUOT);
	broker_fixture_answer(&f, fds[2], &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "rate-limit");
	CU_ASSERT_PTR_NOT_NULL(strstr(answer.body.refusal.text, "2 connections"));
	broker_fixture_answer(&f, fds[2], &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "hung up");
	fd_closep(&fds[2]);
	CU_ASSERT_EQUAL(suite_count_fds(), n_fds);
	peer_free(broker_fixture_peer(&f)); /* one goes, one may come */
	CU_ASSERT_EQUAL(connect_one(&f, &fds[2]), 0);
	for (size_t i = 0; i < 3; i++)
		fd_closep(&fds[i]);
	broker_fixture_fini(&f);
}

static void other_sockets_are_no_peers(void)
{
	struct broker_fixture f;
	int n_fds;

	if (!broker_fixture_init(&f))
		return;
	n_fds = suite_count_fds();
	CU_ASSERT_NOT_EQUAL(peer_new(f.broker, open("/dev/null", O_RDWR | O_CLOEXEC), false), 0);
	CU_ASSERT_PTR_NULL(f.broker->peers);
	CU_ASSERT_EQUAL(suite_count_fds(), n_fds); /* closed all the same */
	broker_fixture_fini(&f);
}

static void peer_is_known_by_the_kernel(void)
{
	gid_t gids[65536];
	struct broker_fixture f;
	const struct peer *peer;
	int n = getgroups(ARRAY_SIZE(gids), gids);

	if (!broker_fixture_init(&f))
		return;
	f.broker->ask_groups = true;

	int fd = broker_fixture_connect(&f);

	peer = broker_fixture_peer(&f);
	CU_ASSERT_EQUAL(peer->cred.pid, getpid());
	CU_ASSERT_EQUAL(peer->cred.uid, geteuid());
	CU_ASSERT_EQUAL(peer->cred.gid, getegid());
	CU_ASSERT_EQUAL(fcntl(peer->pidfd, F_GETFD), FD_CLOEXEC);
	CU_ASSERT_TRUE(n >= 0);
	CU_ASSERT_EQUAL_FATAL(peer->n_gids, (size_t)n + 1);
	CU_ASSERT_EQUAL(peer->gids[0], getegid());
	CU_ASSERT_EQUAL(memcmp(peer->gids + 1, gids, (size_t)n * sizeof(gid_t)), 0);
	fd_closep(&fd);
	broker_fixture_fini(&f);
}

/* The first policy with groups comes by a reload, after who it is for has connected. */
static void groups_are_read_when_a_policy_asks(void)
{
	const struct policy_id_range ours = {getegid(), getegid()};
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;

	int fd = broker_fixture_connect(&f);
	const struct peer *peer = broker_fixture_peer(&f);
	const struct proto_open open = broker_fixture_open(NULL, NULL);

	CU_ASSERT_PTR_NULL(peer->gids);
	f.policy->groups.ranges = calloc(1, sizeof(ours));
	CU_ASSERT_PTR_NOT_NULL_FATAL(f.policy->groups.ranges);
	f.policy->groups.ranges[0] = ours;
	f.policy->groups.n = f.policy->groups.n_written = 1;
	f.broker->ask_groups = true;
	for (int i = 0; i < 2; i++) {
		broker_fixture_ask(&f, fd, &open, &answer);
		CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
		CU_ASSERT_TRUE(peer->n_gids > 0);
		fdmsg_close(&answer.msg);
	}
	fd_closep(&fd);
	broker_fixture_fini(&f);
}

/* One who sends requests and never reads: its own connection ends, nobody else's. */
static void peer_that_does_not_read_is_dropped(void)
{
	struct broker_fixture f;
	struct answer answer;
	int sent = 0;

	if (!broker_fixture_init(&f))
		return;
	int other = broker_fixture_connect(&f), fd = broker_fixture_connect(&f);
	struct peer *deaf = broker_fixture_peer(&f);

	while (f.broker->peers == deaf && sent++ < 100000) {
		broker_fixture_send(fd, PROTO_LIST, &list, sizeof(list));
		ask_list(&f, other, &answer); /* its turn comes, too */
		CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	}
	CU_ASSERT_TRUE(sent < 100000);
	fd_closep(&fd);
	fd_closep(&other);
	broker_fixture_fini(&f);
}

/* A request of somebody with another uid, as if it had connected. */
static void ask_as(struct broker_fixture *f, int fd, uid_t uid, unsigned int op,
		   const struct proto_show *body, struct answer *ret_answer)
{
	const struct ucred cred = {.pid = getpid(), .uid = uid, .gid = getgid()};
	struct {
		struct proto_header header;
		struct proto_show body;
	} packet = {proto_header(PROTO_REQUEST, op, 1, sizeof(*body)), *body};

	broker_fixture_peer(f)->cred.uid = uid;
	CU_ASSERT_EQUAL(request_serve(broker_fixture_peer(f), &packet, sizeof(packet), &cred), 0);
	broker_fixture_answer(f, fd, ret_answer);
}

/* Sessions of others are no sessions to an ordinary user; root sees all. */
static void list_and_show_are_for_ones_own(void)
{
	static const struct {
		uid_t uid;
		uint32_t n; /* sessions listed */
		const char *shown[3]; /* of 1000, 1001, an id that is none */
	} cases[] = {
		{0, 2, {"granted", "granted", "failed"}},
		{1000, 1, {"granted", "failed", "failed"}},
		{1001, 1, {"failed", "granted", "failed"}},
		{1002, 0, {"failed", "failed", "failed"}},
	};
	struct proto_show shows[3] = {{.id = 0}, {.id = 0}, {.id = 12345}};
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f);

	for (uid_t i = 0; i < 2; i++)
		shows[i].id =
			broker_fixture_session(&f, 1000 + i, "vm", POLICY_ACCOUNTING_TASK, 1)->id;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct proto_show all = {.id = 0}; /* of the same form as proto_list */

		ask_as(&f, fd, cases[i].uid, PROTO_LIST, &all, &answer);
		CU_ASSERT_EQUAL(answer.body.sessions.n, cases[i].n);
		for (size_t k = 0; k < ARRAY_SIZE(shows); k++) {
			ask_as(&f, fd, cases[i].uid, PROTO_SHOW, &shows[k], &answer);
			CHECK(cases[i].shown[k],
			      strcmp(answer_reason(&answer), cases[i].shown[k]) == 0);
			CU_ASSERT_TRUE(answer.header.kind == PROTO_REPLY ||
				       answer.body.refusal.status == REQUEST_NO_SESSION);
		}
	}
	fd_closep(&fd);
	broker_fixture_fini(&f);
}

/* More sessions than fit into one packet: page by page each is there once, in order. */
static void long_list_comes_in_pages(void)
{
	enum { SESSIONS = 700 };
	struct proto_list page = {.after = 0};
	unsigned int n = 0, n_pages = 0;
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f);

	for (int i = 0; i < SESSIONS; i++)
		(void)broker_fixture_session(&f, geteuid(), "vm", POLICY_ACCOUNTING_TASK, 1);
	do {
		const char *pos, *end;

		broker_fixture_send(fd, PROTO_LIST, &page, sizeof(page));
		broker_fixture_answer(&f, fd, &answer);
		pos = answer.body.bytes + sizeof(answer.body.sessions);
		end = answer.body.bytes + answer.len;
		for (uint32_t i = 0; i < answer.body.sessions.n; i++, n++) {
			struct proto_session record;
			const char(*devices)[40];
			const char *cgroup;

			CU_ASSERT_EQUAL_FATAL(
				proto_session_next(&pos, end, &record, &cgroup, &devices), 0);
			CU_ASSERT_TRUE_FATAL(record.id > page.after);
			page.after = record.id;
		}
		CU_ASSERT_PTR_EQUAL(pos, end);
	} while (answer.body.sessions.more && ++n_pages < SESSIONS);
	CU_ASSERT_EQUAL(n, SESSIONS);
	CU_ASSERT_TRUE(n_pages >= 1);
	fd_closep(&fd);
	broker_fixture_fini(&f);
}

/* What the wire format knows this broker serves: garbage of the right size is answered. */
static void every_operation_is_served(void)
{
	static const char zeroes[sizeof(struct proto_reserve)];
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	for (unsigned int op = 1; op < PROTO_OPS; op++) {
		int fd = broker_fixture_connect(&f);

		broker_fixture_send(fd, op, zeroes, proto_body_size(PROTO_REQUEST, op));
		broker_fixture_answer(&f, fd, &answer);
		CU_ASSERT_FALSE(answer.hung_up);
		CU_ASSERT_EQUAL(answer.header.op, op);
		fdmsg_close(&answer.msg);
		fd_closep(&fd);
	}
	broker_fixture_fini(&f);
}

static const CU_TestInfo tests[] = {
	{"every operation of the wire is served", every_operation_is_served},
	{"drops are logged once a second", drops_are_logged_once_a_second},
	{"refusals do not fill the log", refusals_do_not_fill_the_log},
	{"no message ends the connection, a refusal does not", each_packet_has_its_outcome},
	{"an oversized packet ends the connection", oversized_packet_ends_the_connection},
	{"descriptors end the connection and are closed", descriptors_end_the_connection},
	{"a hang-up is not worth a line in the log", hang_up_is_not_worth_a_line},
	{"a body is checked field by field", body_is_checked},
	{"another sender on an inherited connection is refused", other_sender_is_refused},
	{"the sender must be who connected", sender_must_be_who_connected},
	{"strangers to our namespaces are told why", strangers_are_told_why},
	{"too many requests are refused, the connection stands", too_many_requests_are_refused},
	{"a connection too many is told and closed", connection_too_many_is_told_and_closed},
	{"what is no unix socket is no peer", other_sockets_are_no_peers},
	{"a peer is who the kernel says", peer_is_known_by_the_kernel},
	{"groups are read when the first policy asks for them", groups_are_read_when_a_policy_asks},
	{"a peer that does not read is dropped alone", peer_that_does_not_read_is_dropped},
	{"list and show are for one's own sessions", list_and_show_are_for_ones_own},
	{"a long list comes in pages", long_list_comes_in_pages},
	CU_TEST_INFO_NULL,
};

const struct suite suite_request = {"request", tests};
