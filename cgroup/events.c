/* SPDX-License-Identifier: MIT */
/* What happens to a cgroup, told by the kernel: memory.events, memory.pressure. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cgroup/file.h"
#include "cgroup/group.h"
#include "common/cleanup.h"

#define EVENTS_TEXT_MAX 512
#define EVENTS_WINDOW_US 1000000

/* Return: 0; -ENODATA: the cgroup is there, but no such file; as cgm_events_open(). */
static int events_file(const struct cgm_tree *tree, const struct cgm_name *name, const char *file,
		       int flags, int *ret_fd)
{
	CLEANUP(fd_closep) int dir_fd = -1, proof_fd = -1;
	int err = cgm_dir_open_name(tree, name, &dir_fd), fd;

	if (err)
		return err;
	fd = cgm_file_open(dir_fd, file, flags);
	if (fd == -ENOENT) {
		err = cgm_dir_open_name(tree, name, &proof_fd);
		return err ? err : -ENODATA;
	}
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

int cgm_events_open(const struct cgm_tree *tree, const struct cgm_name *name, int *ret_fd)
{
	return events_file(tree, name, "memory.events", O_RDONLY, ret_fd);
}

int cgm_populated_open(const struct cgm_tree *tree, const struct cgm_name *name, int *ret_fd)
{
	char text[EVENTS_TEXT_MAX];
	int fd, err = events_file(tree, name, "cgroup.events", O_RDONLY, &fd);

	if (err)
		return err;
	if (pread(fd, text, sizeof(text), 0) < 0) { /* what comes after this is told */
		err = -errno;
		fd_closep(&fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

int cgm_events_read(int fd, struct cgm_events *ret_events)
{
	struct cgm_events events;
	char text[EVENTS_TEXT_MAX];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0); /* all of it, as of one moment */
	int err;

	if (n < 0)
		return -errno;
	text[n] = '\0';
	err = cgm_text_number(text, "max", &events.max);
	if (!err)
		err = cgm_text_number(text, "oom", &events.oom);
	if (!err)
		err = cgm_text_number(text, "oom_kill", &events.oom_kill);
	if (!err)
		*ret_events = events;
	return err;
}

int cgm_pressure_open(const struct cgm_tree *tree, const struct cgm_name *name,
		      unsigned int stall_ms, int *ret_fd)
{
	CLEANUP(fd_closep) int fd = -1;
	char text[64];
	int len, err;

	if (stall_ms == 0 || stall_ms > EVENTS_WINDOW_US / 1000)
		return -EINVAL;
	err = events_file(tree, name, "memory.pressure", O_RDWR, &fd);
	if (err)
		return err == -ENODATA ? -EOPNOTSUPP : err;
	len = snprintf(text, sizeof(text), "some %u %d", stall_ms * 1000, EVENTS_WINDOW_US);
	if (write(fd, text, (size_t)len + 1) <
	    0) /* with the NUL: Documentation/accounting/psi.rst */
		return errno == ENODEV ? -ENOENT : -errno;
	*ret_fd = STEAL_FD(fd);
	return 0;
}
