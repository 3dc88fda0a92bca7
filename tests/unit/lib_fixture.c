/* SPDX-License-Identifier: MIT */
#include "tests/unit/lib_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fdmsg.h"
#include "common/sys.h"
#include "tests/unit/suite.h"

void pair_fini(struct pair *pair)
{
	pinbroker_free(pair->broker);
	fd_closep(&pair->fd);
}

void pair_init(struct pair *pair)
{
	char dir[] = "/tmp/pinbroker-test-XXXXXX";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int yes = 1;

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", dir);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, 1), 0);
	CU_ASSERT_EQUAL_FATAL(pinbroker_connect(address.sun_path, &pair->broker), 0);
	pair->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	CU_ASSERT_FATAL(pair->fd >= 0);
	CU_ASSERT_EQUAL(setsockopt(pair->fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)), 0);
	(void)unlink(address.sun_path);
	(void)rmdir(dir);
}

void pair_answer(const struct pair *pair, struct proto_header header, const void *body,
		 size_t body_len, size_t len, size_t n_fds)
{
	static char packet[PROTO_MESSAGE_MAX + 16];
	CLEANUP(fd_closep) int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct iovec iov = {.iov_base = packet, .iov_len = len};
	int fds[FDMSG_FDS_MAX];

	for (size_t i = 0; i < FDMSG_FDS_MAX; i++)
		fds[i] = null_fd;
	memset(packet, 0, sizeof(packet));
	memcpy(packet, &header, sizeof(header));
	memcpy(packet + sizeof(header), body, body_len);
	CU_ASSERT_EQUAL(fdmsg_send(&sys_real, pair->fd, &iov, 1, fds, n_fds), 0);
}

void pair_reply(const struct pair *pair, enum proto_kind kind, unsigned int op, uint64_t serial,
		const void *body, size_t len)
{
	struct proto_header header = proto_header(kind, op, serial, len);

	pair_answer(pair, header, body, len, sizeof(header) + len, 0);
}

void pair_reply_fds(const struct pair *pair, unsigned int op, uint64_t serial, const void *body,
		    size_t len, size_t n_fds)
{
	struct proto_header header = proto_header(PROTO_REPLY, op, serial, len);

	pair_answer(pair, header, body, len, sizeof(header) + len, n_fds);
}

void pair_expect(const struct pair *pair, unsigned int op, void *body, size_t len)
{
	static char packet[PROTO_MESSAGE_MAX];
	struct fdmsg msg = FDMSG_INIT;
	struct proto_header header;
	size_t n = 0;

	CU_ASSERT_EQUAL_FATAL(
		fdmsg_recv(pair->fd, packet, sizeof(packet), 0, MSG_DONTWAIT, &n, &msg), 0);
	CU_ASSERT_EQUAL_FATAL(n, sizeof(header) + len);
	CU_ASSERT_EQUAL(proto_check(packet, n, PROTO_REQUEST, &header), 0);
	CU_ASSERT_EQUAL(header.op, op);
	memcpy(body, packet + sizeof(header), len);
	CU_ASSERT_TRUE(msg.has_cred);
}

void pair_expect_nothing(const struct pair *pair)
{
	char byte;

	CU_ASSERT_EQUAL(recv(pair->fd, &byte, 1, MSG_DONTWAIT), -1);
}
