/* SPDX-License-Identifier: MIT */
/* The kernel itself behind struct sys_ops: the one place where -1 and errno become -errno. */
#include "common/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int sys_openat(int dir_fd, const char *path, int flags)
{
	int fd = openat(dir_fd, path, flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int sys_ioctl(int fd, unsigned long cmd, void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

static ssize_t sys_readlinkat(int dir_fd, const char *path, char *ret_target, size_t size)
{
	ssize_t n = readlinkat(dir_fd, path, ret_target, size);

	return n < 0 ? -errno : n;
}

static int sys_fstat(int fd, struct stat *ret_st)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_st = st;
	return 0;
}

static int sys_prlimit(pid_t pid, int resource, const struct rlimit *new_limit,
		       struct rlimit *ret_old)
{
	struct rlimit old;

	if (prlimit(pid, resource, new_limit, &old) < 0)
		return -errno;
	if (ret_old)
		*ret_old = old;
	return 0;
}

static ssize_t sys_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	ssize_t n = sendmsg(fd, msg, flags | MSG_NOSIGNAL);

	return n < 0 ? -errno : n;
}

static int sys_poll(struct pollfd *fds, nfds_t n_fds, int timeout_ms)
{
	int n = poll(fds, n_fds, timeout_ms);

	return n < 0 ? -errno : n;
}

const struct sys_ops sys_real = {
	.openat = sys_openat,
	.ioctl = sys_ioctl,
	.readlinkat = sys_readlinkat,
	.fstat = sys_fstat,
	.prlimit = sys_prlimit,
	.sendmsg = sys_sendmsg,
	.poll = sys_poll,
};
