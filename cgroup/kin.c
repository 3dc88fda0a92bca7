/* SPDX-License-Identifier: MIT */
#include "cgroup/kin.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgroup/file.h"
#include "common/cleanup.h"

#define KIN_GENERATIONS_MAX 64
#define KIN_TRIES_MAX 3

bool cgm_kin_parse(const char *stat, pid_t *ret_parent)
{
	const char *behind = strrchr(stat, ')'); /* ") S 1 ..." */
	char *end;
	long parent;

	if (!behind || behind[1] != ' ' || !behind[2] || behind[3] != ' ')
		return false;
	parent = strtol(behind + 4, &end, 10);
	if (end == behind + 4 || *end != ' ' || parent < 0 || parent > INT_MAX)
		return false;
	*ret_parent = (pid_t)parent;
	return true;
}

bool cgm_pid_lives(pid_t pid)
{
	CLEANUP(fd_closep) int fd = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	return !pid || fd >= 0 || errno != ESRCH;
}

/* Return: 0; -ESRCH: it has exited; -errno. */
static int kin_parent(pid_t pid, pid_t *ret_parent)
{
	char path[32], text[512]; /* the parent is the fourth field */
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	n = cgm_file_read(AT_FDCWD, path, text, sizeof(text));
	if (n == -ENOENT)
		return cgm_pid_lives(pid) ? -EACCES : -ESRCH;
	if (n < 0)
		return (int)n;
	return cgm_kin_parse(text, ret_parent) ? 0 : -EPROTO;
}

int cgm_pid_compare(const void *a, const void *b)
{
	const pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

static bool kin_among(pid_t pid, const pid_t *pids, size_t n_pids)
{
	return n_pids && bsearch(&pid, pids, n_pids, sizeof(*pids), cgm_pid_compare);
}

/* Return: 1: kin, or gone; 0: none; -EAGAIN: one on the way has exited, so the way has changed. */
static int kin_trace(pid_t pid, const pid_t *pids, size_t n_pids)
{
	for (int n = 0; n < KIN_GENERATIONS_MAX; n++) {
		int err;

		if (kin_among(pid, pids, n_pids))
			return 1;
		if (n && pid <= 1)
			return 0;
		err = kin_parent(pid, &pid);
		if (err)
			return err != -ESRCH ? 0 : n ? -EAGAIN : 1;
	}
	return 0;
}

bool cgm_kin_is(pid_t pid, const pid_t *pids, size_t n_pids)
{
	int kin = -EAGAIN;

	for (int n = 0; n < KIN_TRIES_MAX && kin < 0; n++)
		kin = kin_trace(pid, pids, n_pids);
	return kin > 0;
}
