/* SPDX-License-Identifier: MIT */
#include "daemon/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

/* The initial user namespace's inode is fixed (include/linux/proc_ns.h, PROC_USER_INIT_INO). */
#define PROCFS_USERNS_INIT 0xEFFFFFFDU

/* One read: procfs makes these files whole, and they fit. Returns the length or -errno. */
static ssize_t procfs_read(const char *path, char *buf, size_t size)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	while (len < size - 1) {
		ssize_t n = read(fd, buf + len, size - 1 - len);

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	buf[len] = '\0';
	return (ssize_t)len;
}

/* "VmPin:\t  131328 kB" in bytes; a process without memory has no such line: 0. */
static uint64_t procfs_kb(const char *text, const char *key)
{
	const char *line = strstr(text, key);
	unsigned long long kb;
	char *end;

	if (!line)
		return 0;
	errno = 0;
	kb = strtoull(line + strlen(key), &end, 10);
	if (errno || strncmp(end, " kB", 3) != 0 || kb > (1ULL << 50))
		return UINT64_MAX;
	return kb * 1024;
}

int procfs_locked(pid_t pid, struct procfs_locked *ret_locked)
{
	char path[64], status[8192];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	n = procfs_read(path, status, sizeof(status));
	if (n < 0)
		return (int)n;
	ret_locked->locked = procfs_kb(status, "\nVmLck:");
	ret_locked->pinned = procfs_kb(status, "\nVmPin:");
	return 0;
}

int procfs_cgroup(pid_t pid, char ret_cgroup[static PROCFS_CGROUP_MAX])
{
	char path[64], text[2 * PROCFS_CGROUP_MAX];
	const char *line, *end;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	n = procfs_read(path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (!line)
		return -ENODATA;
	line = strstr(line, "0::") + 3;
	end = strchr(line, '\n'); /* the kernel writes a newline in a name as \012 */
	if (!end || end - line >= PROCFS_CGROUP_MAX)
		return -ENAMETOOLONG;
	memcpy(ret_cgroup, line, (size_t)(end - line));
	ret_cgroup[end - line] = '\0';
	return 0;
}

/* capget(2) rather than /proc/PID/status: a third of the price, on the way of every grant. */
int procfs_capable(pid_t pid, bool *ret_capable)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3,
						  .pid = (int)pid};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	char path[64];
	struct stat st;

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	if (!(data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK))) {
		*ret_capable = false;
		return 0;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	if (stat(path, &st) < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	*ret_capable = st.st_ino == PROCFS_USERNS_INIT;
	return 0;
}

int procfs_mem_total(uint64_t *ret_bytes)
{
	char text[4096];
	ssize_t n = procfs_read("/proc/meminfo", text, sizeof(text));
	uint64_t bytes;

	if (n < 0)
		return (int)n;
	bytes = procfs_kb(text, "MemTotal:");
	if (bytes == 0 || bytes == UINT64_MAX)
		return -EPROTO;
	*ret_bytes = bytes;
	return 0;
}

int procfs_overflow_uid(uid_t *ret_uid)
{
	char text[32], *end;
	ssize_t n = procfs_read("/proc/sys/kernel/overflowuid", text, sizeof(text));
	unsigned long uid;

	if (n < 0)
		return (int)n;
	uid = strtoul(text, &end, 10);
	if (end == text || *end != '\n' || uid > UINT32_MAX)
		return -EPROTO;
	*ret_uid = (uid_t)uid;
	return 0;
}

bool procfs_exited(int pidfd)
{
	struct pollfd fd = {.fd = pidfd, .events = POLLIN};

	return poll(&fd, 1, 0) != 0;
}
