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

/*
 * What uid_map reads in the initial user namespace, and nobody can change there. Root can give
 * another namespace the same map; its processes are taken for capable then, and refused: the safe
 * side. The namespace itself (ns/user) may be looked at with CAP_SYS_PTRACE only.
 */
#define PROCFS_UID_MAP_INIT "         0          0 4294967295\n"
#define PROCFS_CGROUPS "/sys/fs/cgroup"
#define PROCFS_KB_MAX (1ULL << 50) /* more than any machine has: a negative number as unsigned */

/* A whole small file. Returns the length or -errno. */
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

/* "VmPin:\t  131328 kB": the bytes, if the line begins with the key. */
static bool procfs_kb(const char *line, const char *key, uint64_t *ret_bytes)
{
	size_t len = strlen(key);
	unsigned long long kb;
	char *end;

	if (strncmp(line, key, len) != 0)
		return false;
	errno = 0;
	kb = strtoull(line + len, &end, 10);
	*ret_bytes =
		errno || strncmp(end, " kB", 3) != 0 || kb > PROCFS_KB_MAX ? UINT64_MAX : kb * 1024;
	return true;
}

/* By lines: with 65,536 groups the file has a line of 700 KiB before those that are wanted. */
static int procfs_scan_locked(FILE *file, struct procfs_locked *locked)
{
	char *line = NULL;
	size_t size = 0;
	int err;

	errno = 0;
	while (getline(&line, &size, file) >= 0)
		if (!procfs_kb(line, "VmLck:", &locked->locked))
			(void)procfs_kb(line,
					"VmPin:", &locked->pinned); /* one of the two or none */
	err = ferror(file) && !errno ? -EIO : -errno;
	free(line);
	return err;
}

int procfs_comm(pid_t pid, char ret_comm[static PROCFS_COMM_MAX])
{
	char path[64], comm[PROCFS_COMM_MAX + 1];
	ssize_t len;

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	len = procfs_read(path, comm, sizeof(comm));
	if (len < 0)
		return (int)len;
	if (len > 0 && comm[len - 1] == '\n')
		comm[len - 1] = '\0';
	comm[PROCFS_COMM_MAX - 1] = '\0'; /* the kernel's have 15 bytes */
	memcpy(ret_comm, comm, PROCFS_COMM_MAX);
	return 0;
}

static int procfs_open_status(pid_t pid, FILE **ret_file)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	*ret_file = fopen(path, "re");
	if (*ret_file)
		return 0;
	return errno == ENOENT ? -ESRCH : -errno;
}

int procfs_locked(pid_t pid, struct procfs_locked *ret_locked)
{
	/* A process without memory has no such lines, and nothing in it is locked or pinned. */
	struct procfs_locked locked = {.locked = 0, .pinned = 0};
	CLEANUP(file_closep) FILE *file = NULL;
	int err = procfs_open_status(pid, &file);

	if (err)
		return err;
	err = procfs_scan_locked(file, &locked);
	if (!err)
		*ret_locked = locked;
	return err;
}

/* "Uid:\t1000\t1000\t1000\t1000": the real, the effective and the saved one. */
static bool procfs_some_ids(const char *line, const char *key, uint32_t ret_ids[static 3])
{
	size_t len = strlen(key);
	char *end;

	if (strncmp(line, key, len) != 0)
		return false;
	line += len;
	for (int i = 0; i < 3; i++, line = end) {
		ret_ids[i] = (uint32_t)strtoul(line, &end, 10);
		if (end == line)
			return false;
	}
	return true;
}

/* "Groups:\t4 27 1000 ": behind the gids there are. */
static int procfs_groups(const char *numbers, struct procfs_ids *ids)
{
	const size_t max = strlen(numbers) / 2 + 1; /* a digit and a space each */
	gid_t *gids = reallocarray(ids->gids, ids->n_gids + max, sizeof(*gids));
	char *end;

	if (!gids)
		return -ENOMEM;
	ids->gids = gids;
	for (;; numbers = end) {
		unsigned long gid = strtoul(numbers, &end, 10);

		if (end == numbers)
			return 0;
		gids[ids->n_gids++] = (gid_t)gid;
	}
}

/* The lines come in this order; the supplementary groups, which may be 65,536, are the last. */
static int procfs_scan_ids(FILE *file, struct procfs_ids *ids)
{
	CLEANUP(freep) char *line = NULL;
	uint32_t some[3];
	size_t size = 0;

	while (getline(&line, &size, file) >= 0) {
		if (procfs_some_ids(line, "Uid:", some)) {
			ids->uid = some[0];
			ids->effective_uid = some[1];
			ids->saved_uid = some[2];
		} else if (procfs_some_ids(line, "Gid:", some)) {
			ids->gids[0] = some[0];
			ids->n_gids = 1;
			ids->effective_gid = some[1];
		} else if (strncmp(line, "Groups:", 7) == 0) {
			return ids->n_gids ? procfs_groups(line + 7, ids) : -EPROTO;
		}
	}
	return ferror(file) ? -ESRCH : -EPROTO; /* a read fails when it has gone */
}

int procfs_ids(pid_t pid, struct procfs_ids *ret_ids)
{
	struct procfs_ids ids = {.uid = (uid_t)-1, .effective_uid = (uid_t)-1};
	CLEANUP(file_closep) FILE *file = NULL;
	int err = procfs_open_status(pid, &file);

	if (err)
		return err;
	ids.gids = calloc(1, sizeof(*ids.gids));
	err = ids.gids ? procfs_scan_ids(file, &ids) : -ENOMEM;
	if (!err && ids.uid == (uid_t)-1)
		err = -EPROTO;
	if (err)
		free(ids.gids);
	else
		*ret_ids = ids;
	return err;
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
int procfs_cgroup_id(const char *cgroup, uint64_t *ret_id)
{
	char path[sizeof(PROCFS_CGROUPS) + PROCFS_CGROUP_MAX];
	struct stat st;

	(void)snprintf(path, sizeof(path), PROCFS_CGROUPS "%s", cgroup);
	if (stat(path, &st) < 0)
		return -errno;
	*ret_id = st.st_ino;
	return 0;
}

int procfs_capable(pid_t pid, bool *ret_capable)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3,
						  .pid = (int)pid};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	char path[64], map[64];
	ssize_t n;

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	/* What is permitted is effective whenever the process likes. */
	if (!(data[CAP_TO_INDEX(CAP_IPC_LOCK)].permitted & CAP_TO_MASK(CAP_IPC_LOCK))) {
		*ret_capable = false;
		return 0;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
	n = procfs_read(path, map, sizeof(map));
	if (n < 0)
		return (int)n;
	*ret_capable = strcmp(map, PROCFS_UID_MAP_INIT) == 0;
	return 0;
}

static int procfs_scan_process(FILE *file, struct procfs_process *process)
{
	char *line = NULL;
	size_t size = 0;
	int err;

	errno = 0;
	while (getline(&line, &size, file) >= 0) {
		uint32_t ids[3];

		if (strncmp(line, "Name:\t", 6) == 0)
			(void)snprintf(process->comm, sizeof(process->comm), "%.*s",
				       (int)strcspn(line + 6, "\n"), line + 6); /* may be cut */
		else if (procfs_some_ids(line, "Uid:", ids))
			process->uid = ids[0];
		else if (!procfs_kb(line, "VmLck:", &process->locked.locked))
			(void)procfs_kb(line, "VmPin:", &process->locked.pinned);
	}
	err = ferror(file) && !errno ? -EIO : -errno;
	free(line);
	return err;
}

/* One that is gone is none. */
static bool procfs_process(pid_t pid, procfs_process_fn fn, void *arg)
{
	struct procfs_process process = {.pid = pid};
	CLEANUP(file_closep) FILE *file = NULL;

	if (procfs_open_status(pid, &file) || procfs_scan_process(file, &process))
		return true;
	return fn(&process, arg);
}

int procfs_processes(procfs_process_fn fn, void *arg)
{
	CLEANUP(dir_closep) DIR *dir = opendir("/proc");
	const struct dirent *entry;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);

		if (*end == '\0' && pid > 0 && !procfs_process((pid_t)pid, fn, arg))
			break;
	}
	return 0;
}

/* "nr_foll_pin_acquired 4711" */
static bool procfs_count(const char *line, const char *key, uint64_t *ret_count)
{
	size_t len = strlen(key);

	if (strncmp(line, key, len) != 0 || line[len] != ' ')
		return false;
	*ret_count = strtoull(line + len, NULL, 10);
	return true;
}

int procfs_pins(uint64_t *ret_pages)
{
	CLEANUP(file_closep) FILE *file = fopen("/proc/vmstat", "re");
	uint64_t acquired = 0, released = 0;
	char line[128];
	int n = 0;

	if (!file)
		return -errno;
	while (n < 2 && fgets(line, sizeof(line), file))
		n += procfs_count(line, "nr_foll_pin_acquired", &acquired) ||
		     procfs_count(line, "nr_foll_pin_released", &released);
	if (n < 2)
		return -ENODATA;
	*ret_pages = acquired > released ? acquired - released : 0;
	return 0;
}

uint32_t procfs_device_number(const char *path, const char *name)
{
	CLEANUP(file_closep) FILE *file = fopen(path, "re");
	char line[128];

	while (file && fgets(line, sizeof(line), file)) {
		unsigned long number;
		char *end;

		number = strtoul(line, &end, 10);
		line[strcspn(line, "\n")] = '\0';
		if (end != line && *end == ' ' && strcmp(end + 1, name) == 0)
			return (uint32_t)number;
	}
	return 0;
}

uint32_t procfs_cdev_major(void)
{
	return procfs_device_number("/proc/devices", "vfio-dev");
}

int procfs_mem_total(uint64_t *ret_bytes)
{
	char text[4096];
	ssize_t n = procfs_read("/proc/meminfo", text, sizeof(text));
	uint64_t bytes;

	if (n < 0)
		return (int)n;
	if (!procfs_kb(text, "MemTotal:", &bytes) || bytes == UINT64_MAX) /* its first line */
		return -EPROTO;
	*ret_bytes = bytes;
	return 0;
}

int procfs_boot_id(char ret_id[static PROCFS_BOOT_ID_MAX])
{
	ssize_t n = procfs_read("/proc/sys/kernel/random/boot_id", ret_id, PROCFS_BOOT_ID_MAX);

	if (n < 0)
		return (int)n;
	ret_id[strcspn(ret_id, "\n")] = '\0';
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
