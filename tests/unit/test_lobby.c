/* SPDX-License-Identifier: MIT */
/*
 * Peers that say nothing. A wait of 0 ms makes them due at once; one of LOBBY_WAIT_MS never is
 * while a test runs. What is pending is read from the loop, so nothing waits for a clock here.
 */
#include "daemon/lobby.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "daemon/loop_backend.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/captured.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

#define MANY 40

static const struct proto_list list = {.after = 0};

static bool hung_up(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLHUP;
}

static bool fd_hung_up(void *arg)
{
	return hung_up(*(int *)arg);
}

/* Nobody waits, and no timer is set that would wake up the loop. */
static void check_empty(const struct broker_fixture *f, const char *row)
{
	CHECK(row, !f->broker->lobby.first && !f->broker->lobby.last);
	CHECK(row, f->broker->lobby.timer == LOOP_NONE);
	CHECK(row, f->broker->loop->timers.n_timers == 0);
}

static void silent_peer_is_dropped_whoever_it_is(void)
{
	static const struct {
		const char *name;
		uid_t uid;
	} cases[] = {{"a user", 1000}, {"root", 0}};
	struct broker_fixture f;
	char text[1024];

	if (!broker_fixture_init(&f))
		return;
	f.broker->lobby.wait_ms = 0;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int n_fds = suite_count_fds(), fd = broker_fixture_connect(&f);

		f.broker->drop_lines = (struct bucket){0}; /* as if a second had passed */
		broker_fixture_peer(&f)->cred.uid = cases[i].uid;
		broker_fixture_run(&f, fd_hung_up, &fd);
		fd_closep(&fd);
		CHECK(cases[i].name, captured_lines() == i + 1);
		CHECK(cases[i].name, suite_count_fds() == n_fds);
		CHECK(cases[i].name, f.broker->n_connections == 0);
		check_empty(&f, cases[i].name);
	}
	CU_ASSERT_PTR_NOT_NULL(strstr(captured_text(text, sizeof(text)), strerror(ETIMEDOUT)));
	broker_fixture_fini(&f);
}

/* What ends the wait: an answer, whatever it says. No timer is left, and it is not dropped. */
static void who_has_asked_stays(void)
{
	struct proto_open open = broker_fixture_open(NULL, NULL);
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	int listing = broker_fixture_connect(&f), refused = broker_fixture_connect(&f);

	CU_ASSERT_NOT_EQUAL(f.broker->lobby.timer, LOOP_NONE);
	CU_ASSERT_EQUAL(f.broker->loop->timers.n_timers, 1); /* for both */
	broker_fixture_send(listing, PROTO_LIST, &list, sizeof(list));
	broker_fixture_answer(&f, listing, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	open.zero = 1;
	broker_fixture_ask(&f, refused, &open, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "bad-request");
	check_empty(&f, "both have asked");

	f.broker->lobby.wait_ms = 0; /* a silent one goes, these do not */
	int silent = broker_fixture_connect(&f);

	broker_fixture_run(&f, fd_hung_up, &silent);
	CU_ASSERT_FALSE(hung_up(listing) || hung_up(refused));
	check_empty(&f, "the silent one has gone");
	fd_closep(&silent);
	fd_closep(&refused);
	fd_closep(&listing);
	broker_fixture_fini(&f);
}

static void whoever_goes_leaves_no_timer(void)
{
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	int junk = broker_fixture_connect(&f), gone = broker_fixture_connect(&f);

	CU_ASSERT_EQUAL(send(junk, "x", 1, MSG_NOSIGNAL), 1);
	broker_fixture_answer(&f, junk, &answer);
	CU_ASSERT_TRUE(answer.hung_up);
	CU_ASSERT_PTR_NOT_NULL(f.broker->lobby.first);
	CU_ASSERT_EQUAL(shutdown(gone, SHUT_WR), 0);
	broker_fixture_run(&f, fd_hung_up, &gone);
	check_empty(&f, "junk and a hang-up");
	fd_closep(&junk);
	fd_closep(&gone);
	broker_fixture_fini(&f);
}

/* Who came first is due first; the others have the rest of their time. */
static void in_the_order_they_came(void)
{
	struct broker_fixture f;
	int fds[4];

	if (!broker_fixture_init(&f))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		f.broker->lobby.wait_ms = i < 2 ? 0 : LOBBY_WAIT_MS;
		fds[i] = broker_fixture_connect(&f);
	}
	broker_fixture_run(&f, fd_hung_up, &fds[1]);
	CU_ASSERT_TRUE(hung_up(fds[0]));
	CU_ASSERT_FALSE(hung_up(fds[2]) || hung_up(fds[3]));
	CU_ASSERT_PTR_NOT_NULL_FATAL(f.broker->lobby.first);
	CU_ASSERT_PTR_EQUAL(f.broker->lobby.first->lobby.next, f.broker->lobby.last);
	CU_ASSERT_NOT_EQUAL(f.broker->lobby.timer, LOOP_NONE);
	CU_ASSERT_EQUAL(f.broker->loop->timers.n_timers, 1);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fd_closep(&fds[i]);
	broker_fixture_fini(&f);
}

/* The broker was busy all the time: that is not the peer's fault. */
static void request_that_waits_is_served(void)
{
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	f.broker->lobby.wait_ms = 0;
	int fd = broker_fixture_connect(&f);

	broker_fixture_send(fd, PROTO_LIST, &list, sizeof(list));
	broker_fixture_answer(&f, fd, &answer); /* the timer was due before the loop ran */
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	check_empty(&f, "it has asked");
	fd_closep(&fd);
	broker_fixture_fini(&f);
}

struct crowd {
	const struct broker *broker;
	unsigned int n_left;
	unsigned int most; /* that went in one round */
};

/* Called once in each round. */
static bool crowd_is_gone(void *arg)
{
	struct crowd *crowd = arg;
	unsigned int n_gone = crowd->n_left - crowd->broker->n_connections;

	crowd->n_left -= n_gone;
	if (n_gone > crowd->most)
		crowd->most = n_gone;
	return crowd->n_left == 0;
}

static void crowd_delays_nobody(void)
{
	struct broker_fixture f;
	struct crowd crowd;
	int fds[MANY];

	if (!broker_fixture_init(&f))
		return;
	broker_fixture_administer(&f); /* a stranger has 16 connections */
	f.broker->lobby.wait_ms = 0;
	for (size_t i = 0; i < MANY; i++)
		fds[i] = broker_fixture_connect(&f);
	crowd = (struct crowd){.broker = f.broker, .n_left = MANY};
	broker_fixture_run(&f, crowd_is_gone, &crowd);
	CU_ASSERT_EQUAL(crowd.most, LOBBY_DROPS_MAX);
	check_empty(&f, "a crowd");
	for (size_t i = 0; i < MANY; i++)
		fd_closep(&fds[i]);
	broker_fixture_fini(&f);
}

static void without_memory_for_the_timer_nobody_enters(void)
{
	struct broker_fixture f;
	int pair[2], n_fds;

	if (!broker_fixture_init(&f))
		return;
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	n_fds = suite_count_fds();
	loop_fixture_fail_growth(1); /* the first timer of this loop */
	CU_ASSERT_EQUAL(peer_new(f.broker, pair[1], false), -ENOMEM);
	loop_fixture_fail_growth(0);
	CU_ASSERT_EQUAL(suite_count_fds(), n_fds - 1);
	CU_ASSERT_EQUAL(f.broker->n_connections, 0);
	CU_ASSERT_PTR_NULL(f.broker->peers);
	check_empty(&f, "no memory");
	fd_closep(&pair[0]);
	broker_fixture_fini(&f);
}

static const CU_TestInfo tests[] = {
	{"a silent peer is dropped, root too", silent_peer_is_dropped_whoever_it_is},
	{"who has asked stays, and costs no timer", who_has_asked_stays},
	{"whoever goes leaves no timer", whoever_goes_leaves_no_timer},
	{"peers are due in the order they came", in_the_order_they_came},
	{"a request that waits is served", request_that_waits_is_served},
	{"a crowd is dropped in parts", crowd_delays_nobody},
	{"without memory for the timer nobody enters", without_memory_for_the_timer_nobody_enters},
	CU_TEST_INFO_NULL,
};

const struct suite suite_lobby = {"lobby", tests};
