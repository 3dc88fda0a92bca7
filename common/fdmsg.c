/* SPDX-License-Identifier: MIT */
#include "common/fdmsg.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "common/cleanup.h"
#include "common/sys.h"

#define FDMSG_PARTS_MAX 4 /* of the bytes of one packet */

/* Aligned for struct cmsghdr; room for every descriptor the caller may use and the credentials. */
union fdmsg_control {
	char bytes[CMSG_SPACE(sizeof(int) * FDMSG_FDS_MAX) + CMSG_SPACE(sizeof(struct ucred))];
	struct cmsghdr align;
};

void fdmsg_close(struct fdmsg *msg)
{
	for (size_t i = 0; i < msg->n_fds; i++)
		fd_closep(&msg->fds[i]);
	msg->n_fds = 0;
}

/* Takes over the descriptors of one control message; those beyond max_fds are closed. */
static bool fdmsg_take_fds(struct fdmsg *msg, const struct cmsghdr *cmsg, size_t max_fds)
{
	size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	bool fit = true;

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
		if (msg->n_fds < max_fds) {
			msg->fds[msg->n_fds++] = fd;
		} else {
			fd_closep(&fd);
			fit = false;
		}
	}
	return fit;
}

/* Returns whether all control data was of a kind we know and fitted. */
static bool fdmsg_take_control(struct fdmsg *msg, struct msghdr *hdr, size_t max_fds)
{
	bool good = true;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(hdr); cmsg; cmsg = CMSG_NXTHDR(hdr, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET) {
			good = false;
		} else if (cmsg->cmsg_type == SCM_RIGHTS) {
			good &= fdmsg_take_fds(msg, cmsg, max_fds);
		} else if (cmsg->cmsg_type == SCM_CREDENTIALS &&
			   cmsg->cmsg_len == CMSG_LEN(sizeof(msg->cred))) {
			memcpy(&msg->cred, CMSG_DATA(cmsg), sizeof(msg->cred));
			msg->has_cred = true;
		} else {
			good = false;
		}
	}
	return good;
}

int fdmsg_recv(int fd, void *buf, size_t size, size_t max_fds, int flags, size_t *ret_len,
	       struct fdmsg *ret_msg)
{
	/* All of it fresh for each call: recvmsg() shrinks msg_controllen. */
	union fdmsg_control control;
	struct iovec iov = {.iov_base = buf, .iov_len = size};
	struct msghdr hdr = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct fdmsg msg = FDMSG_INIT;
	ssize_t n;

	assert(max_fds <= FDMSG_FDS_MAX);
	do {
		n = recvmsg(fd, &hdr, flags | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;

	/* Taken even from a bad packet: what was received must be closed. */
	bool good = fdmsg_take_control(&msg, &hdr, max_fds);

	if (hdr.msg_flags & MSG_TRUNC) {
		fdmsg_close(&msg);
		return -EMSGSIZE;
	}
	if (!good || (hdr.msg_flags & MSG_CTRUNC)) {
		fdmsg_close(&msg);
		return good ? -EMFILE : -EPROTO;
	}
	*ret_len = (size_t)n;
	*ret_msg = msg;
	return 0;
}

/* Room for the credentials and nothing else: descriptors show as MSG_CTRUNC. */
union fdmsg_plain_control {
	char bytes[CMSG_SPACE(sizeof(struct ucred))];
	struct cmsghdr align;
};

int fdmsg_recv_plain(int fd, bool sealed, void *buf, size_t size, size_t *ret_len,
		     struct fdmsg *ret_msg)
{
	union fdmsg_plain_control control;
	struct iovec iov = {.iov_base = buf, .iov_len = size};
	struct msghdr hdr = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct fdmsg msg = FDMSG_INIT;
	ssize_t n = recvmsg(fd, &hdr, MSG_DONTWAIT | (sealed ? 0 : MSG_PEEK));

	if (n < 0)
		return -errno;
	if (hdr.msg_flags & MSG_CTRUNC || !fdmsg_take_control(&msg, &hdr, 0))
		return -EPROTO;
	if (hdr.msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	/* The same packet: nobody else reads. Without descriptors it can be taken. */
	if (!sealed && n > 0 && recv(fd, NULL, 0, MSG_DONTWAIT) < 0)
		return -errno;
	*ret_len = (size_t)n;
	*ret_msg = msg;
	return 0;
}

/* Fills in the bytes. Returns how many there are. */
static size_t fdmsg_set_bytes(struct msghdr *hdr, struct iovec *parts, const struct iovec *iov,
			      size_t n_iov)
{
	size_t len = 0;

	assert(n_iov <= FDMSG_PARTS_MAX);
	for (size_t i = 0; i < n_iov; i++) {
		parts[i] = iov[i];
		len += iov[i].iov_len;
	}
	hdr->msg_iov = parts;
	hdr->msg_iovlen = n_iov;
	return len;
}

/* Fills in the only control message of a packet. */
static void fdmsg_set_control(struct msghdr *hdr, union fdmsg_control *control, int type,
			      const void *data, size_t size)
{
	struct cmsghdr *cmsg = &control->align;

	hdr->msg_control = control->bytes;
	hdr->msg_controllen = CMSG_SPACE(size);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = type;
	cmsg->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(cmsg), data, size);
}

/* A sequenced packet goes whole or not at all. */
static int fdmsg_send_packet(const struct sys_ops *sys, int fd, const struct msghdr *hdr,
			     size_t len)
{
	ssize_t n = sys->sendmsg(fd, hdr, MSG_NOSIGNAL);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EMSGSIZE;
}

int fdmsg_send(const struct sys_ops *sys, int fd, const struct iovec *iov, size_t n_iov,
	       const int *fds, size_t n_fds)
{
	union fdmsg_control control = {.bytes = {0}};
	struct iovec parts[FDMSG_PARTS_MAX];
	struct msghdr hdr = {.msg_controllen = 0};
	size_t len = fdmsg_set_bytes(&hdr, parts, iov, n_iov);

	assert(n_fds <= FDMSG_FDS_MAX);
	if (n_fds)
		fdmsg_set_control(&hdr, &control, SCM_RIGHTS, fds, sizeof(int) * n_fds);
	return fdmsg_send_packet(sys, fd, &hdr, len);
}

int fdmsg_send_cred(int fd, const struct iovec *iov, size_t n_iov)
{
	const struct ucred cred = {.pid = getpid(), .uid = getuid(), .gid = getgid()};
	union fdmsg_control control = {.bytes = {0}};
	struct iovec parts[FDMSG_PARTS_MAX];
	struct msghdr hdr = {.msg_controllen = 0};
	size_t len = fdmsg_set_bytes(&hdr, parts, iov, n_iov);

	fdmsg_set_control(&hdr, &control, SCM_CREDENTIALS, &cred, sizeof(cred));

	int err = fdmsg_send_packet(&sys_real, fd, &hdr, len);

	if (err != -EINVAL)
		return err;
	/* Our own user namespace has no mapping for our ids: only the kernel can name us. */
	hdr.msg_control = NULL;
	hdr.msg_controllen = 0;
	return fdmsg_send_packet(&sys_real, fd, &hdr, len);
}
