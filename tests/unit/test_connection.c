/* SPDX-License-Identifier: MIT */
/* libpinbroker from a loop: calls that would wait, go on later, or are given up. */
#include "client/connection.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/child.h"
#include "tests/unit/lib_fixture.h"
#include "tests/unit/suite.h"

static const struct pinbroker_request request = {.name = "vm"};
static const struct proto_grant granted = {
	.id = 0x1a, .accounting = PROTO_ACCOUNTING_TASK, .name = "vm"};

/* A broker that lets everybody wait. */
static void slow_init(struct pair *pair)
{
	pair_init(pair);
	CU_ASSERT_EQUAL_FATAL(pinbroker_set_nonblocking(pair->broker, true), 0);
}

static void send_grant(const struct pair *pair, uint64_t serial)
{
	pair_reply_fds(pair, PROTO_OPEN, serial, &granted, sizeof(granted), 1);
}

static void send_done(const struct pair *pair, unsigned int op, uint64_t serial, uint64_t id)
{
	const struct proto_done done = {.id = id, .state = PROTO_STATE_ACTIVE};

	pair_reply(pair, PROTO_REPLY, op, serial, &done, sizeof(done));
}

static void goes_on_where_it_was(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_grant grant = {.id = 7};
	struct proto_open open;

	slow_init(&pair);
	CU_ASSERT_EQUAL(pinbroker_events(pair.broker), 0);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(pinbroker_open(pair.broker, &request, &grant), -EAGAIN);
		CU_ASSERT_EQUAL(pinbroker_events(pair.broker), POLLIN);
	}
	CU_ASSERT_EQUAL(grant.id, 7);
	pair_expect(&pair, PROTO_OPEN, &open, sizeof(open));
	pair_expect_nothing(&pair); /* it was asked once */
	send_grant(&pair, 1);
	CU_ASSERT_EQUAL_FATAL(pinbroker_open(pair.broker, &request, &grant), 0);
	CU_ASSERT_EQUAL(grant.id, 0x1a);
	pinbroker_grant_close(&grant);
	CU_ASSERT_EQUAL(pinbroker_events(pair.broker), 0);
	pair_expect_nothing(&pair);
	/* Without it the next call waits again: for an answer that is here already. */
	CU_ASSERT_EQUAL(pinbroker_set_nonblocking(pair.broker, false), 0);
	send_done(&pair, PROTO_CLOSE, 2, 1);
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 1), 0);
}

static int ignore(const struct pinbroker_session *session, void *arg)
{
	(void)session;
	(void)arg;
	return 0;
}

static void another_call_is_busy(void)
{
	const struct pinbroker_subject subject = PINBROKER_SUBJECT_INIT;
	struct pinbroker_request other = request;
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_explanation explanation;
	struct pinbroker_grant grant;
	struct proto_open open;

	slow_init(&pair);
	other.memory = 1;
	CU_ASSERT_EQUAL(pinbroker_open(pair.broker, &request, &grant), -EAGAIN);
	CU_ASSERT_EQUAL(pinbroker_open(pair.broker, &other, &grant), -EBUSY);
	CU_ASSERT_EQUAL(pinbroker_list(pair.broker, ignore, NULL), -EBUSY);
	CU_ASSERT_EQUAL(pinbroker_explain(pair.broker, &subject, &request, &explanation), -EBUSY);
	send_grant(&pair, 1);
	CU_ASSERT_EQUAL_FATAL(pinbroker_open(pair.broker, &request, &grant), 0);
	pinbroker_grant_close(&grant);
	pair_expect(&pair, PROTO_OPEN, &open, sizeof(open));
	pair_expect_nothing(&pair);
}

/* Whom it names is known by then: that it exits meanwhile changes nothing. */
static void process_may_exit_meanwhile(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	CLEANUP(fd_closep) int own_fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	struct proto_adopt adopt;
	struct child child;

	slow_init(&pair);
	child_start(&child);
	CU_ASSERT_EQUAL(pinbroker_adopt(pair.broker, 1, child.pidfd), -EAGAIN);
	CU_ASSERT_EQUAL(pinbroker_adopt(pair.broker, 1, own_fd), -EBUSY);
	child_exit(&child);
	CU_ASSERT_EQUAL(waitpid(child.pid, NULL, 0), child.pid);
	CU_ASSERT_EQUAL(pinbroker_adopt(pair.broker, 1, child.pidfd), -EAGAIN);
	pair_expect(&pair, PROTO_ADOPT, &adopt, sizeof(adopt));
	pair_expect_nothing(&pair);
	send_done(&pair, PROTO_ADOPT, 1, 1);
	CU_ASSERT_EQUAL(pinbroker_adopt(pair.broker, 1, child.pidfd), 0);
	CU_ASSERT_EQUAL(pinbroker_adopt(pair.broker, 1, child.pidfd), -ESRCH);
	fd_closep(&child.pidfd);
}

static void refusal_comes_later(void)
{
	const struct proto_refusal refusal = {.status = 66, .text = "no session 1"};
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};

	slow_init(&pair);
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 1), -EAGAIN);
	pair_reply(&pair, PROTO_REFUSAL, PROTO_CLOSE, 1, &refusal, sizeof(refusal));
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 1), -EACCES);
	CU_ASSERT_EQUAL(pinbroker_refusal(pair.broker)->status, 66);
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 2), -EAGAIN); /* and is over */
	CU_ASSERT_EQUAL(pinbroker_refusal(pair.broker)->status, 0);
	CU_ASSERT_EQUAL(shutdown(pair.fd, SHUT_RDWR), 0);
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 2), -ECONNRESET);
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 3), -ECONNRESET);
}

/* One session per page. */
static void send_page(const struct pair *pair, uint64_t serial, uint64_t id, uint32_t more)
{
	const struct {
		struct proto_sessions head;
		struct proto_session session;
	} page = {{.n = 1, .more = more}, {.id = id}};

	pair_reply(pair, PROTO_REPLY, PROTO_LIST, serial, &page, sizeof(page));
}

static int add_id(const struct pinbroker_session *session, void *arg)
{
	uint64_t *sum = arg;

	*sum = *sum * 10 + session->id;
	return 0;
}

static void list_goes_on_between_pages(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	uint64_t seen = 0, serial = 0;
	struct proto_list list;

	slow_init(&pair);
	for (uint64_t round = 0; round < 2; round++) { /* the second begins anew */
		for (uint64_t id = 1; id <= 3; id++) {
			CU_ASSERT_EQUAL(pinbroker_list(pair.broker, add_id, &seen), -EAGAIN);
			CU_ASSERT_EQUAL(pinbroker_list(pair.broker, add_id, &seen), -EAGAIN);
			pair_expect(&pair, PROTO_LIST, &list, sizeof(list));
			CU_ASSERT_EQUAL(list.after, id - 1);
			pair_expect_nothing(&pair);
			send_page(&pair, ++serial, id, id < 3);
		}
		CU_ASSERT_EQUAL(pinbroker_list(pair.broker, add_id, &seen), 0);
	}
	CU_ASSERT_EQUAL(seen, 123123);
	/* One that was given up in the middle does not go on either. */
	CU_ASSERT_EQUAL(pinbroker_list(pair.broker, add_id, &seen), -EAGAIN);
	send_page(&pair, ++serial, 1, 1);
	CU_ASSERT_EQUAL(pinbroker_list(pair.broker, add_id, &seen), -EAGAIN);
	send_page(&pair, ++serial, 2, 1);
	CU_ASSERT_EQUAL(pinbroker_cancel(pair.broker), 0);
	seen = 0;
	CU_ASSERT_EQUAL(pinbroker_list(pair.broker, add_id, &seen), -EAGAIN);
	send_page(&pair, ++serial, 1, 0);
	CU_ASSERT_EQUAL(pinbroker_list(pair.broker, add_id, &seen), 0);
	CU_ASSERT_EQUAL(seen, 1);
}

static int add_uid(const struct pinbroker_share *share, void *arg)
{
	uint64_t *sum = arg;

	*sum = *sum * 10 + share->uid;
	return 0;
}

static void status_goes_on_between_pages(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_status status;
	struct proto_status_ask ask;
	uint64_t seen = 0;

	slow_init(&pair);
	for (uint32_t i = 1; i <= 3; i++) {
		const struct {
			struct proto_status head;
			struct proto_share share;
		} page = {{.n = 1, .more = i < 3, .host_sum = i}, {.uid = i}};

		CU_ASSERT_EQUAL(pinbroker_status(pair.broker, &status, add_uid, &seen), -EAGAIN);
		pair_expect(&pair, PROTO_STATUS, &ask, sizeof(ask));
		CU_ASSERT_EQUAL(ask.skip, i - 1);
		pair_reply(&pair, PROTO_REPLY, PROTO_STATUS, i, &page, sizeof(page));
	}
	CU_ASSERT_EQUAL(pinbroker_status(pair.broker, &status, add_uid, &seen), 0);
	CU_ASSERT_EQUAL(seen, 123);
	CU_ASSERT_EQUAL(status.host_sum, 1); /* all of one page */
}

static void late_answer_is_thrown_away(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_grant grant;
	int before;

	slow_init(&pair);
	before = suite_count_fds();
	CU_ASSERT_EQUAL(pinbroker_cancel(pair.broker), 0); /* there is nothing */
	CU_ASSERT_EQUAL(pinbroker_open(pair.broker, &request, &grant), -EAGAIN);
	CU_ASSERT_EQUAL(pinbroker_cancel(pair.broker), -EAGAIN);
	CU_ASSERT_EQUAL(pinbroker_cancel(pair.broker), -EAGAIN);
	CU_ASSERT_EQUAL(pinbroker_events(pair.broker), POLLIN);
	/* By calling it again. */
	send_grant(&pair, 1);
	CU_ASSERT_EQUAL(pinbroker_cancel(pair.broker), 0);
	CU_ASSERT_EQUAL(pinbroker_events(pair.broker), 0);
	CU_ASSERT_EQUAL(suite_count_fds(), before);
	/* By the next call; also before its own answer, and when it comes in the middle. */
	CU_ASSERT_EQUAL(pinbroker_open(pair.broker, &request, &grant), -EAGAIN);
	CU_ASSERT_EQUAL(pinbroker_cancel(pair.broker), -EAGAIN);
	CU_ASSERT_EQUAL(pinbroker_open(pair.broker, &request, &grant), -EAGAIN);
	CU_ASSERT_EQUAL(pinbroker_cancel(pair.broker), -EAGAIN);
	send_grant(&pair, 2);
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 5), -EAGAIN);
	CU_ASSERT_EQUAL(pinbroker_events(pair.broker), POLLIN);
	send_grant(&pair, 3);
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 5), -EAGAIN);
	CU_ASSERT_EQUAL(suite_count_fds(), before);
	send_done(&pair, PROTO_CLOSE, 4, 5);
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 5), 0);
}

static void late_refusal_is_nobodys(void)
{
	const struct proto_refusal refusal = {.status = 66, .text = "no session 1"};
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};

	slow_init(&pair);
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 1), -EAGAIN);
	CU_ASSERT_EQUAL(pinbroker_cancel(pair.broker), -EAGAIN);
	pair_reply(&pair, PROTO_REFUSAL, PROTO_CLOSE, 1, &refusal, sizeof(refusal));
	send_done(&pair, PROTO_CLOSE, 2, 1);
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 1), 0);
	CU_ASSERT_EQUAL(pinbroker_refusal(pair.broker)->status, 0);
}

static void late_answers_keep_their_order(void)
{
	static const uint64_t serials[] = {2, 3, UINT64_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(serials); i++) {
		CLEANUP(pair_fini) struct pair pair = {.fd = -1};
		struct pinbroker_grant grant;
		int before;

		slow_init(&pair);
		before = suite_count_fds();
		CU_ASSERT_EQUAL(pinbroker_open(pair.broker, &request, &grant), -EAGAIN);
		CU_ASSERT_EQUAL(pinbroker_cancel(pair.broker), -EAGAIN);
		send_grant(&pair, serials[i]);
		CU_ASSERT_EQUAL(pinbroker_open(pair.broker, &request, &grant), -EPROTO);
		CU_ASSERT_EQUAL(suite_count_fds(), before);
		CU_ASSERT_EQUAL(pinbroker_cancel(pair.broker), -ECONNRESET);
	}
}

/* Questions that are given up fill the socket; then there is no room for one more. */
static void waits_for_room(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct proto_close body;
	uint64_t n = 0;

	slow_init(&pair);
	while (pinbroker_close(pair.broker, n) == -EAGAIN &&
	       pinbroker_events(pair.broker) == POLLIN) {
		CU_ASSERT_EQUAL(pinbroker_cancel(pair.broker), -EAGAIN);
		CU_ASSERT_FATAL(n++ < 100000);
	}
	CU_ASSERT_EQUAL(pinbroker_events(pair.broker), n ? POLLIN | POLLOUT : 0);
	/* Given up before it was sent it has no answer. */
	CU_ASSERT_EQUAL(pinbroker_cancel(pair.broker), -EAGAIN);
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 999), -EAGAIN);
	for (uint64_t i = 0; i < n; i++) {
		pair_expect(&pair, PROTO_CLOSE, &body, sizeof(body));
		CU_ASSERT_EQUAL(body.id, i);
	}
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 999), -EAGAIN);
	CU_ASSERT_EQUAL(pinbroker_events(pair.broker), POLLIN);
	pair_expect(&pair, PROTO_CLOSE, &body, sizeof(body));
	CU_ASSERT_EQUAL(body.id, 999);
	for (uint64_t i = 0; i < n; i++) {
		send_done(&pair, PROTO_CLOSE, i + 1, i);
		CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 999), -EAGAIN);
	}
	send_done(&pair, PROTO_CLOSE, n + 1, 999);
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 999), 0);
}

/* What cannot be received is lost, and the connection keeps its place. */
static void no_room_for_descriptors(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_grant grant;
	struct rlimit limit, none;

	slow_init(&pair);
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
	send_grant(&pair, 1);
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &none), 0);
	CU_ASSERT_EQUAL(pinbroker_open(pair.broker, &request, &grant), -EMFILE);
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
	send_grant(&pair, 2);
	CU_ASSERT_EQUAL_FATAL(pinbroker_open(pair.broker, &request, &grant), 0);
	pinbroker_grant_close(&grant);
	CU_ASSERT_EQUAL(pinbroker_open(pair.broker, &request, &grant), -EAGAIN);
	CU_ASSERT_EQUAL(pinbroker_cancel(pair.broker), -EAGAIN);
	send_grant(&pair, 3);
	send_done(&pair, PROTO_CLOSE, 4, 1);
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &none), 0);
	CU_ASSERT_EQUAL(pinbroker_cancel(pair.broker), 0);
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 1), 0);
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static const CU_TestInfo tests[] = {
	{"a call that would wait goes on where it was", goes_on_where_it_was},
	{"another call in between is busy", another_call_is_busy},
	{"a process may exit while it is asked about", process_may_exit_meanwhile},
	{"a refusal or the end can come later", refusal_comes_later},
	{"list goes on between its pages", list_goes_on_between_pages},
	{"status goes on between its pages", status_goes_on_between_pages},
	{"the answer to what was given up is thrown away", late_answer_is_thrown_away},
	{"a refusal of what was given up is nobody's", late_refusal_is_nobodys},
	{"answers out of order end the connection", late_answers_keep_their_order},
	{"a question waits for room", waits_for_room},
	{"descriptors without room are lost, not the place", no_room_for_descriptors},
	CU_TEST_INFO_NULL,
};

const struct suite suite_connection = {"connection", tests};
