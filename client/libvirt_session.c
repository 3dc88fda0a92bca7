/* SPDX-License-Identifier: MIT */
#include "client/libvirt_session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

int libvirt_session_dir(const char *below, char ret_path[PATH_MAX])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
	int len;

	if (runtime && runtime[0])
		len = snprintf(ret_path, PATH_MAX, "%s/libvirt%s", runtime, below);
	else if (home && home[0])
		len = snprintf(ret_path, PATH_MAX, "%s/.cache/libvirt%s", home, below);
	else
		return -ENOENT;
	return len < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Who has locked a file; 0: nobody. */
static pid_t lock_holder(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid;
}

/* Who has it locked still when there is a pidfd is no other process by the same pid. */
static int lock_pidfd(const char *path, int *ret_pidfd)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	pid_t pid = fd < 0 ? 0 : lock_holder(fd);
	int pidfd;

	if (pid <= 0)
		return -ESRCH;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -ESRCH;
	if (lock_holder(fd) != pid) {
		fd_closep(&pidfd);
		return -ESRCH;
	}
	*ret_pidfd = pidfd;
	return 0;
}

int libvirt_session_pidfd(int *ret_pidfd)
{
	static const char *const files[] = {"/virtqemud.pid", "/libvirtd.pid"};
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		int err = libvirt_session_dir(files[i], path);

		if (err)
			return err;
		if (lock_pidfd(path, ret_pidfd) == 0)
			return 0;
	}
	return -ESRCH;
}
