/* SPDX-License-Identifier: MIT */
#include "common/fdmsg.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/sys.h"
#include "tests/unit/fake_sys.h"
#include "tests/unit/suite.h"

#define MANY 253 /* SCM_MAX_FD: what one packet can carry at most */

struct pair {
	int send_fd, recv_fd; /* owned */
	int n_fds; /* open before */
};

static void pair_init(struct pair *p)
{
	int fds[2];

	p->n_fds = suite_count_fds();
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	p->send_fd = fds[0];
	p->recv_fd = fds[1];
}

static void pair_fini(struct pair *p)
{
	fd_closep(&p->send_fd);
	fd_closep(&p->recv_fd);
	CU_ASSERT_EQUAL(suite_count_fds(), p->n_fds);
}

/* A packet as no decent client would send it: any number of descriptors of /dev/null. */
static void send_many(const struct pair *p, size_t n_fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * MANY)];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = (char[]){'x'}, .iov_len = 1};
	struct msghdr hdr = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = CMSG_SPACE(sizeof(int) * n_fds)};
	CLEANUP(fd_closep) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&hdr);

	CU_ASSERT_FATAL(fd >= 0 && n_fds <= MANY);
	memset(&control, 0, sizeof(control));
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
	for (size_t i = 0; i < n_fds; i++)
		memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &fd, sizeof(fd));
	CU_ASSERT_EQUAL(sendmsg(p->send_fd, &hdr, 0), 1);
}

static int receive(const struct pair *p, size_t size, size_t max_fds, size_t *ret_len,
		   struct fdmsg *ret_msg)
{
	char buf[64];

	CU_ASSERT_FATAL(size <= sizeof(buf));
	return fdmsg_recv(p->recv_fd, buf, size, max_fds, MSG_DONTWAIT, ret_len, ret_msg);
}

static void arrives_as_it_was_sent(void)
{
	struct iovec iov[] = {{.iov_base = (char[]){'a', 'b'}, .iov_len = 2},
			      {.iov_base = (char[]){'c'}, .iov_len = 1}};
	struct fdmsg msg = FDMSG_INIT;
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int fds[] = {null_fd, STDOUT_FILENO};
	struct stat sent, got;
	struct pair p;
	char buf[8] = "";
	size_t len = 0;

	pair_init(&p);
	CU_ASSERT_EQUAL(fdmsg_send(&sys_real, p.send_fd, iov, 2, fds, 2), 0);
	CU_ASSERT_EQUAL(fdmsg_recv(p.recv_fd, buf, sizeof(buf), 2, 0, &len, &msg), 0);
	CU_ASSERT_EQUAL(len, 3);
	CU_ASSERT_EQUAL(memcmp(buf, "abc", 3), 0);
	CU_ASSERT_FALSE(msg.has_cred); /* nobody asked for it */
	CU_ASSERT_EQUAL_FATAL(msg.n_fds, 2);
	for (size_t i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(fcntl(msg.fds[i], F_GETFD), FD_CLOEXEC);
		CU_ASSERT_TRUE(fstat(fds[i], &sent) == 0 && fstat(msg.fds[i], &got) == 0);
		CU_ASSERT_EQUAL(sent.st_ino, got.st_ino);
	}
	fdmsg_close(&msg);
	fdmsg_close(&msg); /* once more is fine */
	CU_ASSERT_EQUAL(fcntl(null_fd, F_GETFD), FD_CLOEXEC); /* it was only lent */
	pair_fini(&p);
	fd_closep(&null_fd);
}

static void credentials_are_the_senders(void)
{
	struct iovec iov = {.iov_base = (char[]){'x'}, .iov_len = 1};
	struct fdmsg msg = FDMSG_INIT;
	int yes = 1, fd = STDIN_FILENO;
	struct pair p;
	size_t len = 0;

	pair_init(&p);
	CU_ASSERT_EQUAL(setsockopt(p.recv_fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)), 0);
	CU_ASSERT_EQUAL(fdmsg_send(&sys_real, p.send_fd, &iov, 1, &fd, 1), 0);
	CU_ASSERT_EQUAL(receive(&p, 8, 1, &len, &msg), 0);
	CU_ASSERT_TRUE(msg.has_cred);
	CU_ASSERT_EQUAL(msg.cred.pid, getpid());
	CU_ASSERT_EQUAL(msg.cred.uid, getuid());
	CU_ASSERT_EQUAL(msg.cred.gid, getgid());
	CU_ASSERT_EQUAL(msg.n_fds, 1); /* beside them */
	fdmsg_close(&msg);
	pair_fini(&p);
}

/* Whatever arrives: what is not handed over is closed, and what is handed over counts. */
static void surplus_descriptors_are_closed(void)
{
	static const struct {
		const char *name;
		size_t sent, max_fds;
		bool credentials;
		int err;
	} cases[] = {
		{"as many as may be", FDMSG_FDS_MAX, FDMSG_FDS_MAX, false, 0},
		{"as many, and credentials", FDMSG_FDS_MAX, FDMSG_FDS_MAX, true, 0},
		{"one where none may be", 1, 0, false, -EPROTO},
		{"one where none may be, and credentials", 1, 0, true, -EPROTO},
		{"two where one may be", 2, 1, true, -EPROTO},
		{"one more than there is room for", FDMSG_FDS_MAX + 1, FDMSG_FDS_MAX, true,
		 -EPROTO},
		{"more than there is room for", FDMSG_FDS_MAX + 12, FDMSG_FDS_MAX, false, -EPROTO},
		{"all that fit into a packet", MANY, FDMSG_FDS_MAX, true, -EPROTO},
		{"all that fit into a packet, none may be", MANY, 0, false, -EPROTO},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fdmsg msg = FDMSG_INIT;
		int yes = cases[i].credentials;
		struct pair p;
		size_t len = 0;

		pair_init(&p);
		CU_ASSERT_EQUAL(setsockopt(p.recv_fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)),
				0);
		send_many(&p, cases[i].sent);
		CHECK(cases[i].name, receive(&p, 8, cases[i].max_fds, &len, &msg) == cases[i].err);
		CHECK(cases[i].name, msg.n_fds == (cases[i].err ? 0 : cases[i].sent));
		CHECK(cases[i].name, suite_count_fds() == p.n_fds + 2 + (int)msg.n_fds);
		fdmsg_close(&msg);
		pair_fini(&p);
	}
}

static void oversized_packet_is_refused_whole(void)
{
	const char bytes[9] = "12345678";
	struct iovec iov = {.iov_base = (char[9]){0}, .iov_len = 9};
	struct fdmsg msg = FDMSG_INIT;
	int fd = STDIN_FILENO;
	size_t len = 77;
	struct pair p;

	memcpy(iov.iov_base, bytes, sizeof(bytes));
	pair_init(&p);
	CU_ASSERT_EQUAL(fdmsg_send(&sys_real, p.send_fd, &iov, 1, &fd, 1), 0);
	CU_ASSERT_EQUAL(receive(&p, 8, 1, &len, &msg), -EMSGSIZE);
	CU_ASSERT_EQUAL(len, 77);
	CU_ASSERT_EQUAL(msg.n_fds, 0);
	iov.iov_len = 8;
	CU_ASSERT_EQUAL(fdmsg_send(&sys_real, p.send_fd, &iov, 1, NULL, 0), 0);
	CU_ASSERT_EQUAL(receive(&p, 8, 0, &len, &msg), 0); /* the next one is whole */
	CU_ASSERT_EQUAL(len, 8);
	pair_fini(&p);
}

static void empty_and_closed_are_told_apart(void)
{
	struct fdmsg msg = FDMSG_INIT;
	size_t len = 77;
	struct pair p;

	pair_init(&p);
	CU_ASSERT_EQUAL(receive(&p, 8, 0, &len, &msg), -EAGAIN);
	CU_ASSERT_EQUAL(len, 77);
	fd_closep(&p.send_fd);
	CU_ASSERT_EQUAL(receive(&p, 8, 0, &len, &msg), 0);
	CU_ASSERT_EQUAL(len, 0);
	pair_fini(&p);
}

/* Of what cannot be taken as it is: descriptors, or more than fits. */
static void plain_packet_is_taken_another_is_not(void)
{
	static const struct {
		const char *name;
		size_t n_fds;
		size_t size;
		int err;
	} cases[] = {
		{"plain", 0, 8, 0},
		{"with a descriptor", 1, 8, -EPROTO},
		{"too long", 0, 0, -EMSGSIZE},
	};
	struct fdmsg msg;
	struct pair p;
	char buf[8];
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		pair_init(&p);
		if (cases[i].n_fds)
			send_many(&p, cases[i].n_fds);
		else
			CU_ASSERT_EQUAL(send(p.send_fd, "x", 1, 0), 1);
		CHECK(cases[i].name, fdmsg_recv_plain(p.recv_fd, false, buf, cases[i].size, &len,
						      &msg) == cases[i].err);
		/* What is left is for daemon/closer.h. */
		CHECK(cases[i].name,
		      recv(p.recv_fd, buf, 1, MSG_PEEK | MSG_DONTWAIT) == (cases[i].err ? 1 : -1));
		pair_fini(&p);
	}
}

/* Its queue can have no descriptors; should the caller be wrong, none is left open. */
static void sealed_socket_is_read_at_once(void)
{
	struct fdmsg msg;
	struct pair p;
	char buf[8];
	size_t len;

	pair_init(&p);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(send(p.send_fd, "ab", 2, 0), 2);
	CU_ASSERT_EQUAL(fdmsg_recv_plain(p.recv_fd, true, buf, 8, &len, &msg), 0);
	CU_ASSERT_EQUAL(len, 2);
	CU_ASSERT_EQUAL(fdmsg_recv_plain(p.recv_fd, true, buf, 1, &len, &msg), -EMSGSIZE);
	CU_ASSERT_EQUAL(fdmsg_recv_plain(p.recv_fd, true, buf, 8, &len, &msg), 0);
	CU_ASSERT_EQUAL(fdmsg_recv_plain(p.recv_fd, true, buf, 8, &len, &msg), -EAGAIN);
	send_many(&p, 1);
	CU_ASSERT_EQUAL(fdmsg_recv_plain(p.recv_fd, true, buf, 8, &len, &msg), -EPROTO);
	pair_fini(&p);
}

static void sending_fails_as_the_kernel_says(void)
{
	struct iovec iov = {.iov_base = (char[]){'x'}, .iov_len = 1};
	int fd = STDIN_FILENO;
	struct pair p;

	pair_init(&p);
	fake_sys_reset();
	fake_sys_fail(1, -EAGAIN);
	CU_ASSERT_EQUAL(fdmsg_send(&fake_sys_ops, p.send_fd, &iov, 1, &fd, 1), -EAGAIN);
	fd_closep(&p.recv_fd);
	/* And no SIGPIPE. */
	CU_ASSERT_EQUAL(fdmsg_send(&sys_real, p.send_fd, &iov, 1, &fd, 1), -EPIPE);
	pair_fini(&p);
}

static const CU_TestInfo tests[] = {
	{"a packet arrives as it was sent, descriptors close-on-exec", arrives_as_it_was_sent},
	{"credentials are the sender's", credentials_are_the_senders},
	{"surplus descriptors are closed, the packet refused", surplus_descriptors_are_closed},
	{"an oversized packet is refused whole", oversized_packet_is_refused_whole},
	{"nothing there and hung up are told apart", empty_and_closed_are_told_apart},
	{"a plain packet is taken, another stays in the queue",
	 plain_packet_is_taken_another_is_not},
	{"a sealed socket is read at once", sealed_socket_is_read_at_once},
	{"sending fails as the kernel says", sending_fails_as_the_kernel_says},
	CU_TEST_INFO_NULL,
};

const struct suite suite_fdmsg = {"fdmsg", tests};
