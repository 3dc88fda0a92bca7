/* SPDX-License-Identifier: MIT */
/* Which backend serves, and what the ring may do. */
#include "daemon/loop_uring.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "daemon/loop_backend.h"
#include "tests/unit/child.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

static void names_mean_kinds(void)
{
	static const struct {
		const char *name;
		int err;
		enum loop_kind kind;
	} cases[] = {
		{NULL, 0, LOOP_AUTO},
		{"", 0, LOOP_AUTO},
		{"auto", 0, LOOP_AUTO},
		{"epoll", 0, LOOP_EPOLL},
		{"io_uring", 0, LOOP_IO_URING},
		{"Epoll", -EINVAL, (enum loop_kind)7},
		{"epoll ", -EINVAL, (enum loop_kind)7},
		{"poll", -EINVAL, (enum loop_kind)7},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum loop_kind kind = (enum loop_kind)7; /* untouched on failure */

		CHECK(cases[i].name, loop_kind_parse(cases[i].name, &kind) == cases[i].err);
		CHECK(cases[i].name, kind == cases[i].kind);
	}
}

static void loop_says_what_serves(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;

	if (!loop_fixture_init(&loop))
		return;
	CU_ASSERT_STRING_EQUAL(loop_backend_name(loop),
			       loop_fixture_on_epoll() ? "epoll" : "io_uring");
}

/* What a system call says instead of being made, and what loop_new() makes of it. */
static const struct choice {
	const char *name;
	unsigned int denied; /* a system call */
	int denied_err;
	enum loop_kind kind;
	int err;
	const char *serves;
	unsigned int denied_arg; /* only with this as its second argument; 0: with any */
} choices[] = {
	{"all is there", SYS_acct, EPERM, LOOP_AUTO, 0, "io_uring", 0},
	{"switched off", SYS_io_uring_setup, EPERM, LOOP_AUTO, 0, "epoll", 0},
	{"forbidden by an LSM", SYS_io_uring_setup, EACCES, LOOP_AUTO, 0, "epoll", 0},
	{"not built", SYS_io_uring_setup, ENOSYS, LOOP_AUTO, 0, "epoll", 0},
	{"off and wanted", SYS_io_uring_setup, EPERM, LOOP_IO_URING, -EPERM, NULL, 0},
	{"off and not wanted", SYS_io_uring_setup, EPERM, LOOP_EPOLL, 0, "epoll", 0},
	{"out of memory", SYS_io_uring_setup, ENOMEM, LOOP_AUTO, -ENOMEM, NULL, 0},
	{"too old", SYS_io_uring_setup, EINVAL, LOOP_AUTO, -EINVAL, NULL, 0},
	{"cannot be restricted", SYS_io_uring_register, EINVAL, LOOP_AUTO, -EINVAL, NULL,
	 IORING_REGISTER_RESTRICTIONS},
	{"must not be restricted", SYS_io_uring_register, EPERM, LOOP_AUTO, -EPERM, NULL,
	 IORING_REGISTER_RESTRICTIONS},
	{"cannot be enabled", SYS_io_uring_register, EPERM, LOOP_AUTO, -EPERM, NULL,
	 IORING_REGISTER_ENABLE_RINGS},
	{"no epoll", SYS_epoll_create1, EMFILE, LOOP_EPOLL, -EMFILE, NULL, 0},
};

enum { CHILD_GOOD, CHILD_BAD, CHILD_CANNOT };

static bool deny(const struct choice *c)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, c->denied, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, c->denied_arg, 0, c->denied_arg ? 1 : 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)c->denied_err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_filter filter[ARRAY_SIZE(code)];
	const struct sock_fprog program = {.len = ARRAY_SIZE(filter), .filter = filter};

	memcpy(filter, code, sizeof(code));
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* In a process of its own: a filter cannot be taken back. */
static int choose(void *arg)
{
	const struct choice *c = arg;
	struct loop *loop = NULL;
	int n_fds = suite_count_fds(), err;
	struct spot spot;

	if (!deny(c))
		return CHILD_CANNOT;
	err = loop_new(c->kind, &loop);
	if (err != c->err || !loop != !!err)
		return CHILD_BAD;
	if (loop) {
		if (strcmp(loop_backend_name(loop), c->serves) != 0)
			return CHILD_BAD;
		spot_init(&spot, loop, true);
		spot_watch(&spot);
		spot.stop_at = 2;
		if (loop_run(loop) || spot.n_calls != 2)
			return CHILD_BAD;
		spot_fini(&spot);
		loop_free(loop);
	}
	return suite_count_fds() == n_fds ? CHILD_GOOD : CHILD_BAD;
}

static void epoll_serves_where_io_uring_is_off(void)
{
	CLEANUP(loop_freep) struct loop *loop = NULL;

	loop_fixture_set_kind(LOOP_IO_URING);
	if (!loop_fixture_init(&loop))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
		struct choice c = choices[i];
		struct child child;
		int status;

		child_run(&child, choose, &c);
		status = child_end(&child);
		if (status == CHILD_CANNOT) {
			suite_skip("no seccomp filters");
			return;
		}
		CHECK(c.name, status == CHILD_GOOD);
	}
}

/* The result of a request with nothing in it. */
static int try_op(struct io_uring *ring, unsigned int op, unsigned int sqe_flags)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int res;

	CU_ASSERT_PTR_NOT_NULL_FATAL(sqe);
	*sqe = (struct io_uring_sqe){.opcode = (uint8_t)op, .flags = (uint8_t)sqe_flags, .fd = -1};
	CU_ASSERT_EQUAL_FATAL(io_uring_submit_and_wait(ring, 1), 1);
	CU_ASSERT_EQUAL_FATAL(io_uring_peek_cqe(ring, &cqe), 0);
	res = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

static bool op_is_used(unsigned int op)
{
	return op == IORING_OP_POLL_ADD || op == IORING_OP_ACCEPT || op == IORING_OP_ASYNC_CANCEL;
}

static void ring_does_nothing_else(void)
{
	static const unsigned int flags[] = {IOSQE_FIXED_FILE, IOSQE_IO_LINK, IOSQE_IO_DRAIN,
					     IOSQE_ASYNC, IOSQE_CQE_SKIP_SUCCESS};
	CLEANUP(loop_freep) struct loop *loop = NULL;
	struct io_uring_probe *probe;
	struct io_uring *ring;
	int fd = 0;

	loop_fixture_set_kind(LOOP_IO_URING);
	if (!loop_fixture_init(&loop))
		return;
	/* Headers may be older or newer than the kernel. */
	probe = io_uring_get_probe();
	CU_ASSERT_PTR_NOT_NULL_FATAL(probe);
	ring = &((struct loop_uring *)loop->impl)->ring;
	for (unsigned int op = 0; op <= probe->last_op; op++)
		CU_ASSERT_EQUAL_FATAL(try_op(ring, op, 0) == -EACCES, !op_is_used(op));
	io_uring_free_probe(probe);
	CU_ASSERT_EQUAL(try_op(ring, IORING_OP_OPENAT, 0), -EACCES);
	CU_ASSERT_EQUAL(try_op(ring, IORING_OP_POLL_ADD, 0), -EBADF);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		CU_ASSERT_EQUAL(try_op(ring, IORING_OP_POLL_ADD, flags[i]), -EACCES);
	CU_ASSERT_EQUAL(
		io_uring_register((unsigned int)ring->ring_fd, IORING_REGISTER_FILES, &fd, 1),
		-EACCES);
	CU_ASSERT_EQUAL(io_uring_register((unsigned int)ring->ring_fd, IORING_REGISTER_RESTRICTIONS,
					  &fd, 1),
			-EACCES);
}

#define TESTS(X) X(loop_says_what_serves, "a loop says what it runs on")
TESTS(LOOP_FIXTURE_DEFINE)

static const CU_TestInfo tests[] = {
	TESTS(LOOP_FIXTURE_ROWS){"names mean kinds of loops", names_mean_kinds},
	{"epoll serves where io_uring is switched off, and only there",
	 epoll_serves_where_io_uring_is_off},
	{"the ring does what the loop needs and nothing else", ring_does_nothing_else},
	CU_TEST_INFO_NULL,
};

const struct suite suite_loop_uring = {"loop_uring", tests};
