/* SPDX-License-Identifier: MIT */
#include "daemon/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/sys.h"
#include "daemon/fdstore.h"
#include "daemon/loop.h"
#include "iommufd/uapi.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/captured.h"
#include "tests/unit/child.h"
#include "tests/unit/faults.h"
#include "tests/unit/suite.h"

#define LISTEN_FD 3 /* SD_LISTEN_FDS_START */

static const struct proto_list list = {.after = 0};

static void path_of(const struct broker_fixture *f, const char *name, char ret_path[static 64])
{
	(void)snprintf(ret_path, 64, "%s/%s", f->path, name); /* it fits */
}

static int make_socket(const char *path, int type, bool listening)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	CU_ASSERT_FATAL(fd >= 0);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	if (listening)
		CU_ASSERT_EQUAL_FATAL(listen(fd, 8), 0);
	return fd;
}

static int knock(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	CU_ASSERT_FATAL(fd >= 0);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	CU_ASSERT_EQUAL(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void serves_whoever_connects(void)
{
	struct broker_fixture f;
	struct answer answer;
	char path[64];
	int fds[3];
	struct stat st;

	if (!broker_fixture_init(&f))
		return;
	path_of(&f, "socket", path);
	CU_ASSERT_EQUAL(listener_new(f.broker, path, &f.broker->listener), 0);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 0666);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = knock(path);
		/* Sent before it is accepted: the credentials are with it all the same. */
		broker_fixture_send(fds[i], PROTO_LIST, &list, sizeof(list));
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		broker_fixture_answer(&f, fds[i], &answer);
		CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
		fd_closep(&fds[i]);
	}
	listener_free(f.broker->listener);
	f.broker->listener = NULL;
	CU_ASSERT_EQUAL(stat(path, &st), -1); /* it is removed again */
	broker_fixture_fini(&f);
}

static bool readable(void *arg)
{
	struct pollfd fd = {.fd = *(int *)arg, .events = POLLIN};

	return poll(&fd, 1, 0) != 0;
}

static void ask_list(struct broker_fixture *f, int fd)
{
	struct answer answer;

	broker_fixture_send(fd, PROTO_LIST, &list, sizeof(list));
	broker_fixture_answer(f, fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
}

struct before {
	const struct broker_fixture *f;
	int n_fds;
};

static bool is_as_before(void *arg)
{
	const struct before *before = arg;

	/* What runs the loop has one. */
	return before->f->broker->n_connections == 0 && suite_count_fds() == before->n_fds + 1;
}

/* One whole visit, in which the nth call fails; then another. Returns whether there were so many.
 */
static bool visit_with_fault(struct broker_fixture *f, const char *path, unsigned int nth, int err)
{
	const struct proto_open open = broker_fixture_open(FIXTURE_DEVICE, NULL);
	struct before before = {.f = f, .n_fds = suite_count_fds()};
	struct answer answer;
	int fd = knock(path);
	bool failed;

	broker_fixture_send(fd, PROTO_OPEN, &open, sizeof(open));
	faults_arm(nth, err);
	broker_fixture_run(f, readable, &fd);
	failed = faults_disarm();
	broker_fixture_answer(f, fd, &answer);
	CHECK(strerror(err), failed != (strcmp(answer_reason(&answer), "granted") == 0));
	fdmsg_close(&answer.msg);
	fd_closep(&fd);
	if (!failed)
		return false;
	broker_fixture_run(f, is_as_before, &before);
	CU_ASSERT_PTR_NULL(f->broker->lobby.first);
	broker_fixture_check_idle(f, strerror(err));
	fd = knock(path);
	ask_list(f, fd);
	fd_closep(&fd);
	return true;
}

/*
 * From the connection to the grant: whatever runs out, its client is answered or hung up on, what
 * it had is back, and the next one is served.
 */
static void each_step_may_run_out(void)
{
	static const int errors[] = {EMFILE, ENFILE, ENOMEM};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		unsigned int nth = 0;
		bool failed;

		do {
			struct broker_fixture f;
			char path[64];

			if (!broker_fixture_init(&f))
				return;
			path_of(&f, "socket", path);
			CU_ASSERT_EQUAL(listener_new(f.broker, path, &f.broker->listener), 0);
			failed = visit_with_fault(&f, path, ++nth, errors[i]);
			broker_fixture_fini(&f);
		} while (failed);
		CU_ASSERT_TRUE(nth > 10); /* they were found */
	}
}

/* As another user than root, who may pass some. Who is in the directory is asked of the fsuid. */
static int knock_as_nobody(const char *path)
{
	bool root = getuid() == 0;
	int fd;

	if (!root)
		return knock(path);
	CU_ASSERT_EQUAL_FATAL(seteuid((uid_t)65534), 0);
	(void)setfsuid(0);
	fd = knock(path);
	CU_ASSERT_EQUAL_FATAL(seteuid(0), 0);
	return fd;
}

static bool has_peer(void *arg)
{
	const struct broker_fixture *f = arg;

	return f->broker->peers;
}

/* By the kernel where it can (Linux 6.16), else by us: they never get as far as our table. */
static void descriptors_are_refused(void)
{
	char path[64], byte = 'x';
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct broker_fixture f;
	struct answer answer;
	int fd, err, no = -1;
	socklen_t size = sizeof(no);
	bool kernel_can;

	if (!broker_fixture_init(&f))
		return;
	path_of(&f, "socket", path);
	CU_ASSERT_EQUAL(listener_new(f.broker, path, &f.broker->listener), 0);
	fd = knock_as_nobody(path);
	kernel_can = getsockopt(fd, SOL_SOCKET, UAPI_SO_PASSRIGHTS, &no, &size) == 0;
	broker_fixture_run(&f, has_peer, &f);
	CU_ASSERT_EQUAL(broker_fixture_peer(&f)->sealed, kernel_can);
	err = fdmsg_send(&sys_real, fd, &iov, 1, &fd, 1);
	CU_ASSERT_EQUAL(err, kernel_can ? -EPERM : 0);
	if (!kernel_can) {
		broker_fixture_answer(&f, fd, &answer);
		CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "hung up");
	}
	fd_closep(&fd);
	broker_fixture_fini(&f);
}

/* What is at the path already, and whether a daemon may take it over. */
static void leftover_is_replaced_nothing_else(void)
{
	static const struct {
		const char *name;
		int type; /* of a socket; 0: a file */
		bool alive;
		int err;
	} cases[] = {
		{"what a dead daemon left", SOCK_SEQPACKET, false, 0},
		{"another daemon", SOCK_SEQPACKET, true, -EADDRINUSE},
		{"another program's socket", SOCK_STREAM, true, -EPROTOTYPE},
		{"a file", 0, false, -EEXIST},
	};
	struct broker_fixture f;
	char path[64];

	if (!broker_fixture_init(&f))
		return;
	path_of(&f, "socket", path);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct listener *listener = NULL;
		int n_fds = suite_count_fds();
		int fd = cases[i].type ? make_socket(path, cases[i].type, cases[i].alive)
				       : open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		struct stat before, after;

		CU_ASSERT_EQUAL(stat(path, &before), 0);
		if (!cases[i].alive)
			fd_closep(&fd);
		CHECK(cases[i].name, listener_new(f.broker, path, &listener) == cases[i].err);
		CHECK(cases[i].name, !listener == !!cases[i].err);
		CU_ASSERT_EQUAL(stat(path, &after), 0);
		CHECK(cases[i].name, (before.st_mode == after.st_mode) == !!cases[i].err);
		listener_free(listener);
		fd_closep(&fd);
		(void)unlink(path);
		CHECK(cases[i].name, suite_count_fds() == n_fds);
	}
	broker_fixture_fini(&f);
}

static void bad_path_is_said(void)
{
	static const struct {
		const char *name;
		int err;
	} cases[] = {
		{"no-such-directory/socket", -ENOENT},
		{"0123456789012345678901234567890123456789012345678901234567890123456789"
		 "0123456789012345678901234567890123456789",
		 -ENAMETOOLONG},
	};
	struct broker_fixture f;

	if (!broker_fixture_init(&f))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct listener *listener = NULL;
		int n_fds = suite_count_fds();
		char path[256], text[1024];

		(void)snprintf(path, sizeof(path), "%s/%s", f.path, cases[i].name);
		CU_ASSERT_EQUAL(listener_new(f.broker, path, &listener), cases[i].err);
		CU_ASSERT_PTR_NULL(listener);
		CU_ASSERT_EQUAL(suite_count_fds(), n_fds);
		CU_ASSERT_EQUAL(captured_lines(), i + 1);
		CU_ASSERT_PTR_NOT_NULL(strstr(captured_text(text, sizeof(text)), path));
	}
	listener_free(NULL);
	broker_fixture_fini(&f);
}

/* What systemd passes as descriptor 3, and what becomes of it. */
static const struct inherited {
	const char *name;
	int type;
	bool listening;
	int err;
} inherited_cases[] = {
	{"a listening socket", SOCK_SEQPACKET, true, 0},
	{"one that does not listen", SOCK_SEQPACKET, false, -EINVAL},
	{"a stream", SOCK_STREAM, true, -EINVAL},
};

struct activation {
	const struct inherited *c;
	const char *path;
};

/* In a process of its own: descriptor 3 and the environment are its to change. */
static int run_activated(void *arg)
{
	const struct activation *a = arg;
	struct listener *listener = NULL;
	struct broker broker = {.loop = NULL};
	char pid[16];
	int fd = make_socket(a->path, a->c->type, a->c->listening);
	bool good;

	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (dup3(fd, LISTEN_FD, O_CLOEXEC) < 0 || setenv("LISTEN_FDS", "1", 1) ||
	    setenv("LISTEN_PID", pid, 1) || close_range(LISTEN_FD + 1, ~0U, 0) < 0 ||
	    loop_new(LOOP_AUTO, &broker.loop) || fdstore_new(&broker.fdstore))
		return 2;
	good = listener_new(&broker, "/not/used", &listener) == a->c->err &&
	       !getenv("LISTEN_FDS") && !listener == !!a->c->err;
	if (listener)
		good = good && fcntl(LISTEN_FD, F_GETFL) & O_NONBLOCK;
	listener_free(listener);
	fdstore_free(broker.fdstore);
	return good && access(a->path, F_OK) == 0 ? 0 : 1; /* systemd's, not ours to remove */
}

static void systemds_socket_is_taken_if_it_is_one(void)
{
	struct broker_fixture f;
	char path[64];

	if (!broker_fixture_init(&f))
		return;
	path_of(&f, "socket", path);
	for (size_t i = 0; i < ARRAY_SIZE(inherited_cases); i++) {
		struct activation a = {.c = &inherited_cases[i], .path = path};
		struct child child;

		child_run(&child, run_activated, &a);
		CHECK(a.c->name, child_end(&child) == 0);
		CU_ASSERT_EQUAL(unlink(path), 0);
	}
	broker_fixture_fini(&f);
}

static bool counted_to_zero(void *arg)
{
	int *left = arg;

	return --*left < 0;
}

/* Opens what may be opened still, but for n. Returns how many of ret_fds it took. */
static size_t take_all_fds(int *ret_fds, size_t size, size_t n)
{
	size_t taken = 0;

	while (taken < size && (ret_fds[taken] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0)
		taken++;
	CU_ASSERT_FATAL(taken >= n && taken < size);
	for (; n; n--)
		fd_closep(&ret_fds[--taken]);
	return taken;
}

/* So few that a test can take them all; those that are open stay. */
static void allow_few_fds(struct rlimit *ret_original)
{
	int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0); /* the lowest that is free */
	struct rlimit few;

	CU_ASSERT_FATAL(fd >= 0 && getrlimit(RLIMIT_NOFILE, ret_original) == 0);
	few = (struct rlimit){.rlim_cur = (rlim_t)fd + 16, .rlim_max = ret_original->rlim_max};
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &few), 0);
	fd_closep(&fd);
}

/* Who comes is turned away at once; while nobody comes, nothing happens. */
static void without_descriptors_clients_are_turned_away(void)
{
	int clients[3], taken[64], left = 200;
	struct broker_fixture f;
	struct rlimit original;
	char path[64], byte;
	size_t n;

	if (!broker_fixture_init(&f))
		return;
	path_of(&f, "socket", path);
	allow_few_fds(&original); /* the kernel asks for it when the loop begins to accept */
	CU_ASSERT_EQUAL(listener_new(f.broker, path, &f.broker->listener), 0);
	for (size_t i = 0; i < 3; i++)
		clients[i] = knock(path);
	n = take_all_fds(taken, ARRAY_SIZE(taken), 1); /* broker_fixture_run() needs one */
	for (size_t i = 0; i < 3; i++) {
		broker_fixture_run(&f, readable, &clients[i]);
		CU_ASSERT_EQUAL(recv(clients[i], &byte, 1, MSG_DONTWAIT), 0);
	}
	broker_fixture_run(&f, counted_to_zero, &left);
	CU_ASSERT_EQUAL(captured_lines(), 1); /* at most one a second, and this takes less */
	while (n)
		fd_closep(&taken[--n]);
	for (size_t i = 0; i < 3; i++)
		fd_closep(&clients[i]);
	for (size_t i = 0; i < 2; i++) { /* and they are served again */
		clients[i] = knock(path);
		ask_list(&f, clients[i]);
	}
	for (size_t i = 0; i < 2; i++)
		fd_closep(&clients[i]);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &original), 0);
	broker_fixture_fini(&f);
}

static const CU_TestInfo tests[] = {
	{"whoever connects is served, mode 0666, removed at the end", serves_whoever_connects},
	{"each step may run out, and all is as before", each_step_may_run_out},
	{"descriptors are refused, by the kernel where it can", descriptors_are_refused},
	{"a leftover is replaced, nothing else is", leftover_is_replaced_nothing_else},
	{"a path that cannot be is said", bad_path_is_said},
	{"systemd's socket is taken if it is one", systemds_socket_is_taken_if_it_is_one},
	{"without descriptors clients are turned away, without spinning",
	 without_descriptors_clients_are_turned_away},
	CU_TEST_INFO_NULL,
};

const struct suite suite_listener = {"listener", tests};
