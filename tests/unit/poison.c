/* SPDX-License-Identifier: MIT */
#include "tests/unit/poison.h"

#include <CUnit/CUnit.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/cleanup.h"

int poison(int *ret_reader)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 100000};
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CLEANUP(fd_closep) int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(address);
	static const char junk[65536];

	CU_ASSERT_EQUAL_FATAL(bind(listener, (struct sockaddr *)&address, size), 0);
	CU_ASSERT_EQUAL_FATAL(listen(listener, 1), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&address, size), 0);
	*ret_reader = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CU_ASSERT_FATAL(*ret_reader >= 0);
	CU_ASSERT_EQUAL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	while (send(fd, junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
	return fd;
}
