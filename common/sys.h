/* SPDX-License-Identifier: MIT */
/*
 * The kernel calls the broker's decisions hang on, as a table: unit tests put a fake there that
 * fails call N. Every function returns 0, a descriptor or a number of bytes, or -errno, and
 * leaves outputs alone when it fails. Nothing is retried in here, -EINTR comes through.
 *
 * close() is not in the table on purpose: CLEANUP(fd_closep) closes. A fake's openat() hands out
 * real descriptors (of /dev/null, say), and its test counts /proc/self/fd to find a leak.
 */
#ifndef COMMON_SYS_H
#define COMMON_SYS_H

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

struct sys_ops {
	/**
	 * @flags: O_CLOEXEC is added; no O_CREAT, there is no mode
	 * Return: a new descriptor, the caller closes it; -errno.
	 */
	int (*openat)(int dir_fd, const char *path, int flags);

	/* Return: what the kernel returns (0 for every command used here); -errno. */
	int (*ioctl)(int fd, unsigned long cmd, void *arg);

	/* Return: length of what is in @ret_target, without a NUL; @size: it may be cut; -errno. */
	ssize_t (*readlinkat)(int dir_fd, const char *path, char *ret_target, size_t size);

	int (*fstat)(int fd, struct stat *ret_st);

	/**
	 * @pid: 0 would be the caller itself: whoever takes a pid from a peer refuses 0 first
	 * @resource: RLIMIT_*
	 * @new_limit: NULL only reads
	 * @ret_old: NULL if it does not matter
	 */
	int (*prlimit)(pid_t pid, int resource, const struct rlimit *new_limit,
		       struct rlimit *ret_old);

	/* MSG_NOSIGNAL is added. Return: bytes sent; -errno. */
	ssize_t (*sendmsg)(int fd, const struct msghdr *msg, int flags);

	/* @timeout_ms: -1 waits for ever. Return: how many entries of @fds are ready; -errno. */
	int (*poll)(struct pollfd *fds, nfds_t n_fds, int timeout_ms);
};

extern const struct sys_ops sys_real;

#endif
