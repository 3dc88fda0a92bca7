/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/fdmsg.h"
#include "common/sys.h"
#include "daemon/closer.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/poison.h"
#include "tests/unit/suite.h"

/* A socket as the broker has one, and its peer's end. */
static void pair_of(int *ret_ours, int *ret_theirs)
{
	int pair[2], yes = 1;

	CU_ASSERT_EQUAL_FATAL(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	CU_ASSERT_EQUAL(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)), 0);
	*ret_ours = pair[0];
	*ret_theirs = pair[1];
}

static void send_with(int fd, const char *bytes, size_t len, const int *fds, size_t n_fds)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};

	CU_ASSERT_EQUAL_FATAL(fdmsg_send(&sys_real, fd, &iov, 1, fds, n_fds), 0);
}

/* A packet with what is never closed without a wait, unless its reader goes. */
static void send_poison(int theirs, int *ret_reader)
{
	int fd = poison(ret_reader);

	send_with(theirs, "x", 1, &fd, 1);
	fd_closep(&fd);
}

/* The same by a byte that a reader of others does not see. */
static void send_urgent_poison(int theirs, int *ret_reader)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {.bytes = {0}};
	char byte = 'x';
	struct iovec iov = {.iov_base = &byte, .iov_len = sizeof(byte)};
	struct msghdr hdr = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&hdr);
	int fd = poison(ret_reader);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	CU_ASSERT_EQUAL_FATAL(sendmsg(theirs, &hdr, MSG_OOB), 1);
	fd_closep(&fd);
}

static void set_true(void *arg)
{
	*(bool *)arg = true;
}

static bool is_true(void *arg)
{
	return *(bool *)arg;
}

static void empty_queue_is_closed_at_once(void)
{
	struct broker_fixture f;
	int ours, theirs;
	bool done = false;
	char byte;

	if (!broker_fixture_init(&f))
		return;
	pair_of(&ours, &theirs);
	closer_close(f.broker->closer, ours, set_true, &done);
	CU_ASSERT_TRUE(done);
	CU_ASSERT_EQUAL(recv(theirs, &byte, 1, MSG_DONTWAIT), 0);
	closer_close(f.broker->closer, theirs, NULL, NULL);
	broker_fixture_fini(&f);
}

/* What is unread and harmless costs no thread; too much of it is not worth the loop's time. */
static void plain_packets_are_closed_at_once(void)
{
	static const struct {
		const char *name;
		int n_packets;
		bool at_once;
	} cases[] = {{"a few", 10, true}, {"many", 100, false}};
	struct broker_fixture f;

	if (!broker_fixture_init(&f))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int ours, theirs;
		bool done = false;

		pair_of(&ours, &theirs);
		for (int k = 0; k < cases[i].n_packets; k++)
			send_with(theirs, "xyz", k % 4, NULL, 0); /* empty ones, too */
		closer_close(f.broker->closer, ours, set_true, &done);
		CHECK(cases[i].name, done == cases[i].at_once);
		broker_fixture_run(&f, is_true, &done);
		fd_closep(&theirs);
	}
	broker_fixture_fini(&f);
}

/* Unread packets, the first of them harmless and empty: neither may hide the second. */
static void poisoned_queue_is_closed_elsewhere(void)
{
	struct broker_fixture f;
	int ours, theirs, reader;
	bool done = false;

	if (!broker_fixture_init(&f))
		return;
	pair_of(&ours, &theirs);
	send_with(theirs, "", 0, NULL, 0);
	send_poison(theirs, &reader);
	closer_close(f.broker->closer, ours, set_true, &done); /* the loop's thread is free again */
	CU_ASSERT_FALSE(done);
	fd_closep(&reader); /* the attacker gives in */
	broker_fixture_run(&f, is_true, &done);
	CU_ASSERT_TRUE(done);
	fd_closep(&theirs);
	broker_fixture_fini(&f); /* counts descriptors */
}

/* A connection on a stream socket: with anything unread it is, whatever that brings. */
static void stream_is_closed_elsewhere_if_need_be(void)
{
	static const struct {
		const char *name;
		bool sends, poisons, urgent;
	} cases[] = {{"nothing", false, false, false},
		     {"bytes", true, false, false},
		     {"poison", true, true, false},
		     {"urgent poison", true, true, true}};
	struct broker_fixture f;

	if (!broker_fixture_init(&f))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int pair[2], reader = -1;
		bool done = false;

		CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		if (cases[i].sends && !cases[i].urgent)
			send_with(pair[1], "x", 1, NULL, 0);
		if (cases[i].urgent)
			send_urgent_poison(pair[1], &reader);
		else if (cases[i].poisons)
			send_poison(pair[1], &reader);
		closer_close_stream(f.broker->closer, pair[0], set_true, &done);
		CHECK(cases[i].name, done == !cases[i].sends);
		fd_closep(&reader);
		broker_fixture_run(&f, is_true, &done);
		fd_closep(&pair[1]);
	}
	broker_fixture_fini(&f);
}

struct left {
	int n_fds;
};

static bool are_left(void *arg)
{
	const struct left *left = arg;

	return suite_count_fds() == left->n_fds + 1; /* the run's own */
}

/* A connection that nobody has taken waits in what listens, with what was sent on it. */
static void listener_is_closed_elsewhere(void)
{
	const struct sockaddr_un any = {.sun_family = AF_UNIX};
	struct sockaddr_un address;
	struct broker_fixture f;
	socklen_t size = sizeof(address);
	int ours, theirs, reader;
	struct left left;

	if (!broker_fixture_init(&f))
		return;
	left.n_fds = suite_count_fds();
	ours = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	theirs = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_EQUAL_FATAL(bind(ours, (const struct sockaddr *)&any, sizeof(sa_family_t)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(ours, 1), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(ours, (struct sockaddr *)&address, &size), 0);
	CU_ASSERT_EQUAL_FATAL(connect(theirs, (struct sockaddr *)&address, size), 0);
	send_poison(theirs, &reader);
	closer_close_any(f.broker->closer, ours); /* returns */
	fd_closep(&theirs);
	fd_closep(&reader);
	broker_fixture_run(&f, are_left, &left);
	broker_fixture_fini(&f);
}

/* The broker ends while a close is under way: it waits for nobody. */
static void end_does_not_wait(void)
{
	struct broker_fixture f;
	int ours, theirs, reader;
	bool done = false;

	if (!broker_fixture_init(&f))
		return;
	pair_of(&ours, &theirs);
	send_poison(theirs, &reader);
	closer_close(f.broker->closer, ours, set_true, &done);
	CU_ASSERT_FALSE(done);
	fd_closep(&theirs);
	closer_free(f.broker->closer);
	f.broker->closer = NULL;
	CU_ASSERT_TRUE(done);
	fd_closep(&reader);
	broker_fixture_fini(&f);
}

static const CU_TestInfo tests[] = {
	{"an empty queue is closed at once", empty_queue_is_closed_at_once},
	{"plain packets are closed at once, but for many", plain_packets_are_closed_at_once},
	{"what a peer poisoned is closed elsewhere", poisoned_queue_is_closed_elsewhere},
	{"so is a stream with anything unread", stream_is_closed_elsewhere_if_need_be},
	{"so is what listens", listener_is_closed_elsewhere},
	{"the broker's end does not wait for it", end_does_not_wait},
	CU_TEST_INFO_NULL,
};

const struct suite suite_closer = {"closer", tests};
