/* SPDX-License-Identifier: MIT */
/*
 * What /proc says of a process. A pid alone proves nothing: callers check the process's pidfd
 * after the call, and only then believe the answer.
 */
#ifndef DAEMON_PROCFS_H
#define DAEMON_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCFS_CGROUP_MAX 4096

/* VmLck and VmPin of a process, in bytes; UINT64_MAX: not known. */
struct procfs_locked {
	uint64_t locked;
	uint64_t pinned;
};

/**
 * procfs_locked() - what a process has locked and pinned
 *
 * VmPin is signed in the kernel and can be wrong (IOMMU_IOAS_CHANGE_PROCESS moves it without
 * moving the charge): a value that no machine can have is reported as not known.
 *
 * Return: 0; -ESRCH: no such process; -errno.
 */
int procfs_locked(pid_t pid, struct procfs_locked *ret_locked);

/* By which ids a process acts. */
struct procfs_ids {
	uid_t uid; /* the real one */
	uid_t effective_uid;
	uid_t saved_uid;
	gid_t effective_gid;
	gid_t *gids; /* the real one first, then supplementary; the caller frees */
	size_t n_gids;
};

/* Return: 0; -ESRCH; -EPROTO: /proc/PID/status is not what it was; -errno. */
int procfs_ids(pid_t pid, struct procfs_ids *ret_ids);

/**
 * procfs_cgroup() - the process's cgroup in the v2 hierarchy, from the root: "/a/b"
 *
 * Return: 0; -ENODATA: it is in none (no v2 hierarchy); -ENAMETOOLONG; -ESRCH; -errno.
 */
int procfs_cgroup(pid_t pid, char ret_cgroup[static PROCFS_CGROUP_MAX]);

/**
 * procfs_cgroup_id() - the number of a cgroup's inode, which the kernel calls its id
 * @cgroup: "/a/b"; where the v2 hierarchy is elsewhere than at /sys/fs/cgroup it is not found
 *
 * Return: 0; -errno.
 */
int procfs_cgroup_id(const char *cgroup, uint64_t *ret_id);

/**
 * procfs_capable() - can it have CAP_IPC_LOCK in force in the initial user namespace?
 *
 * The kernel asks capable(CAP_IPC_LOCK) (drivers/iommu/iommufd/pages.c, iopt_alloc_pages): only
 * the initial namespace counts; a rootless container has every capability in its own. What is
 * permitted counts: the process can put it in force at any time.
 *
 * Return: 0; -ESRCH; -errno.
 */
int procfs_capable(pid_t pid, bool *ret_capable);

/* What status says of a process. */
struct procfs_process {
	pid_t pid;
	uid_t uid; /* the real one */
	char comm[16];
	struct procfs_locked locked;
};

/* Return: true to go on. */
typedef bool (*procfs_process_fn)(const struct procfs_process *process, void *arg);

/**
 * procfs_processes() - every process there is, by what it has locked and pinned
 *
 * Those that begin or end meanwhile may be missing.
 *
 * Return: 0; -errno.
 */
int procfs_processes(procfs_process_fn fn, void *arg);

/**
 * procfs_pins() - pages that are pinned for I/O now, by anybody: nr_foll_pin_acquired less
 * nr_foll_pin_released of /proc/vmstat
 *
 * Each processor counts for itself and adds it up every second or so: for that long the figure may
 * be some hundred pages off for each of them.
 *
 * Return: 0; -ENODATA: the kernel does not count them; -errno.
 */
int procfs_pins(uint64_t *ret_pages);

/* The number before a name in /proc/misc (a minor) or /proc/devices (a major); 0: not there. */
uint32_t procfs_device_number(const char *path, const char *name);

/* The major of VFIO's cdevs; 0: VFIO is not there. */
uint32_t procfs_cdev_major(void);

/* MemTotal of /proc/meminfo in bytes. Return: 0; -errno. */
int procfs_mem_total(uint64_t *ret_bytes);

#define PROCFS_COMM_MAX 16

/* What a process calls itself, as any bytes. Return: 0; -ESRCH; -errno. */
int procfs_comm(pid_t pid, char ret_comm[static PROCFS_COMM_MAX]);

#define PROCFS_BOOT_ID_MAX 64

/* A line that no other boot has. Return: 0; -errno. */
int procfs_boot_id(char ret_id[static PROCFS_BOOT_ID_MAX]);

/* What a uid without a mapping looks like (/proc/sys/kernel/overflowuid). Return: 0; -errno. */
int procfs_overflow_uid(uid_t *ret_uid);

/* Whether the process behind a pidfd has exited. An error counts as exited. */
bool procfs_exited(int pidfd);

#endif
