/* SPDX-License-Identifier: MIT */
/*
 * bare SOCKET: what a broker costs at least. Hands a context to whoever asks, by the system calls
 * that no broker can do without and nothing else: no policy, no session, no log, one at a time.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/proto.h"
#include "iommufd/uapi.h"

#define BARE_LIMIT (1U << 20) /* bytes */

static int bare_listen(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		errx(64, "%s is too long", path);
	memcpy(address.sun_path, path, strlen(path));
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "%s", path);
	if (chmod(path, 0666) < 0 || listen(fd, 1024) < 0)
		err(1, "%s", path);
	return fd;
}

static void bare_mode(int fd, uint16_t op, uint64_t value)
{
	struct uapi_iommu_option option = {
		.size = sizeof(option),
		.option_id = UAPI_IOMMU_OPTION_RLIMIT_MODE,
		.op = op,
		.val64 = value,
	};

	if (ioctl(fd, UAPI_IOMMU_OPTION, &option) < 0 || option.val64 != 1)
		err(1, "IOMMU_OPTION");
}

static void bare_send(int fd, const struct proto_header *request, int context_fd)
{
	struct proto_header header =
		proto_header(PROTO_REPLY, request->op, request->serial, sizeof(struct proto_grant));
	struct proto_grant grant = {
		.id = 1, .limit = BARE_LIMIT, .accounting = PROTO_ACCOUNTING_TASK};
	struct iovec iov[] = {{&header, sizeof(header)}, {&grant, sizeof(grant)}};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {.bytes = {0}};
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = ARRAY_SIZE(iov),
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &context_fd, sizeof(context_fd));
	if (sendmsg(fd, &msg, MSG_NOSIGNAL) < 0)
		warn("sendmsg");
}

static void bare_serve(int fd)
{
	const struct rlimit limit = {.rlim_cur = BARE_LIMIT, .rlim_max = BARE_LIMIT};
	struct {
		struct proto_header header;
		struct proto_open open;
	} request;
	struct iovec iov = {.iov_base = &request, .iov_len = sizeof(request)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	CLEANUP(fd_closep) int context_fd = -1;
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		err(1, "SO_PEERCRED");
	if (recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(request))
		return; /* only looked whether somebody is there */
	context_fd = open("/dev/iommu", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (context_fd < 0)
		err(1, "/dev/iommu");
	bare_mode(context_fd, UAPI_IOMMU_OPTION_OP_SET, 1);
	bare_mode(context_fd, UAPI_IOMMU_OPTION_OP_GET, 0);
	if (prlimit(cred.pid, RLIMIT_MEMLOCK, &limit, NULL) < 0)
		err(1, "prlimit");
	bare_send(fd, &request.header, context_fd);
}

int main(int argc, char **argv)
{
	int listen_fd;

	if (argc != 2)
		errx(64, "usage: bare SOCKET");
	listen_fd = bare_listen(argv[1]);
	for (;;) {
		CLEANUP(fd_closep) int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			err(1, "accept");
		bare_serve(fd);
	}
}
