/* SPDX-License-Identifier: MIT */
/*
 * The session of a domain: between two steps of it the hook remembers only the id, in a file that
 * has the domain's UUID for its name. A name is no key: another user's session may have it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/hook.h"
#include "common/cleanup.h"

#define UUID_CHARS "0123456789abcdefABCDEF-"
#define UUID_LEN 36
#define TEXT_MAX 32 /* of a file: a number and a line's end */

/* What is no UUID names no file. */
static bool is_uuid(const char *text)
{
	return strlen(text) == UUID_LEN && strspn(text, UUID_CHARS) == UUID_LEN;
}

/* Ours and nobody else's, as what is in it is believed. */
static int open_dir(const char *dir, bool make, int *ret_fd)
{
	CLEANUP(fd_closep) int fd = -1;
	struct stat st;

	if (make && mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return -EPERM;
	*ret_fd = STEAL_FD(fd);
	return 0;
}

/* All of a small file. */
static int read_text(int at, const char *name, char ret_text[static TEXT_MAX])
{
	CLEANUP(fd_closep) int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, ret_text, TEXT_MAX - 1);
	if (n < 0)
		return -errno;
	ret_text[n] = '\0';
	return 0;
}

/* All of it or nothing: what is left of a write that failed holds no id. */
int hook_state_write(const char *dir, const char *uuid, uint64_t id)
{
	CLEANUP(fd_closep) int dir_fd = -1;
	CLEANUP(fd_closep) int fd = -1;
	char text[TEXT_MAX];
	int len = snprintf(text, sizeof(text), "%" PRIx64 "\n", id);
	int err = is_uuid(uuid) ? open_dir(dir, true, &dir_fd) : -EINVAL;
	ssize_t n;

	if (err)
		return err;
	fd = openat(dir_fd, uuid, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	n = write(fd, text, (size_t)len);
	if (n < 0)
		return -errno;
	return n == len ? 0 : -ENOSPC;
}

int hook_state_read(const char *dir, const char *uuid, uint64_t *ret_id)
{
	CLEANUP(fd_closep) int dir_fd = -1;
	char text[TEXT_MAX], *end;
	int err = is_uuid(uuid) ? open_dir(dir, false, &dir_fd) : -EINVAL;
	uint64_t id;

	if (!err)
		err = read_text(dir_fd, uuid, text);
	if (err)
		return err;
	id = strtoull(text, &end, 16);
	if (end == text || strcmp(end, "\n") != 0 || !id)
		return -EBADMSG;
	*ret_id = id;
	return 0;
}

int hook_state_remove(const char *dir, const char *uuid)
{
	CLEANUP(fd_closep) int dir_fd = -1;
	int err = is_uuid(uuid) ? open_dir(dir, false, &dir_fd) : -EINVAL;

	if (!err && unlinkat(dir_fd, uuid, 0) < 0)
		err = -errno;
	return err == -ENOENT ? 0 : err;
}

static int read_pid(const char *path, pid_t *ret_pid)
{
	char text[TEXT_MAX], *end;
	int err = read_text(AT_FDCWD, path, text);
	long pid;

	if (err)
		return err;
	pid = strtol(text, &end, 10);
	if (end == text || (*end && *end != '\n') || pid <= 1 || pid > INT_MAX)
		return -EBADMSG;
	*ret_pid = (pid_t)pid;
	return 0;
}

/* The file is libvirt's, in a directory of its own; what it says is checked by whoever adopts. */
int hook_pidfd(const char *dir, const char *name, int *ret_pidfd)
{
	char path[PATH_MAX];
	pid_t pid;
	int fd, err;

	if (strchr(name, '/') ||
	    snprintf(path, sizeof(path), "%s/%s.pid", dir, name) >= (int)sizeof(path))
		return -EINVAL;
	err = read_pid(path, &pid);
	if (err)
		return err;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return -errno;
	*ret_pidfd = fd;
	return 0;
}
