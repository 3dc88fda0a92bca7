/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_sys.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/sys.h"
#include "tests/unit/fake_devices.h"

#define PROCESSES_MAX 64

struct process {
	pid_t pid;
	struct rlimit limit;
	unsigned int n_writes;
};

static struct {
	unsigned int n_calls;
	unsigned int fail_at;
	int fail_err;
	struct fake_devices devices;
	struct process processes[PROCESSES_MAX];
	size_t n_processes;
	void (*hook)(void *arg);
	void *hook_arg;
	bool hook_on_write;
	unsigned int snapshot_at; /* 0: at none */
	bool snapshot_after;
	void (*snapshot_fn)(void *arg);
	void *snapshot_arg;
	struct process snapshot[PROCESSES_MAX];
} kernel;

void fake_sys_reset(void)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.devices.mode = UINT64_MAX;
}

void fake_sys_fail(unsigned int nth, int err)
{
	kernel.n_calls = 0;
	kernel.fail_at = nth;
	kernel.fail_err = err;
}

unsigned int fake_sys_calls(void)
{
	return kernel.n_calls;
}

void fake_sys_snapshot_at(unsigned int nth, bool after, void (*fn)(void *arg), void *arg)
{
	kernel.n_calls = 0;
	kernel.snapshot_at = nth;
	kernel.snapshot_after = after;
	kernel.snapshot_fn = fn;
	kernel.snapshot_arg = arg;
}

void fake_sys_rewind(void)
{
	memcpy(kernel.processes, kernel.snapshot, sizeof(kernel.processes));
}

static void snapshot(bool after)
{
	if (kernel.n_calls != kernel.snapshot_at || kernel.snapshot_after != after)
		return;
	kernel.snapshot_at = 0;
	memcpy(kernel.snapshot, kernel.processes, sizeof(kernel.snapshot));
	kernel.snapshot_fn(kernel.snapshot_arg);
}

static bool call_fails(void)
{
	kernel.n_calls++;
	snapshot(false);
	return kernel.n_calls == kernel.fail_at;
}

static struct process *find_process(pid_t pid)
{
	for (size_t i = 0; i < kernel.n_processes; i++)
		if (kernel.processes[i].pid == pid)
			return &kernel.processes[i];
	return NULL;
}

void fake_sys_set_memlock(pid_t pid, uint64_t soft, uint64_t hard)
{
	struct process *process = find_process(pid);

	if (!process) {
		CU_ASSERT_FATAL(kernel.n_processes < PROCESSES_MAX);
		process = &kernel.processes[kernel.n_processes++];
		process->pid = pid;
	}
	process->limit = (struct rlimit){.rlim_cur = soft, .rlim_max = hard};
}

struct rlimit fake_sys_memlock(pid_t pid)
{
	const struct process *process = find_process(pid);

	CU_ASSERT_PTR_NOT_NULL_FATAL(process);
	return process->limit;
}

bool fake_sys_memlock_is(pid_t pid, uint64_t soft, uint64_t hard)
{
	const struct rlimit limit = fake_sys_memlock(pid);

	return limit.rlim_cur == soft && limit.rlim_max == hard;
}

unsigned int fake_sys_writes(pid_t pid)
{
	const struct process *process = find_process(pid);

	return process ? process->n_writes : 0;
}

void fake_sys_before_prlimit(bool writing, void (*fn)(void *arg), void *arg)
{
	kernel.hook_on_write = writing;
	kernel.hook = fn;
	kernel.hook_arg = arg;
}

uint64_t fake_sys_mode(void)
{
	return kernel.devices.mode;
}

static int fake_openat(int dir_fd, const char *path, int flags)
{
	int fd;

	(void)dir_fd; /* there is only one tree */
	if (call_fails())
		return kernel.fail_err;
	fd = fake_devices_openat(&kernel.devices, path, flags);
	CU_ASSERT_NOT_EQUAL(fd, -EINVAL);
	return fd;
}

static ssize_t fake_readlinkat(int dir_fd, const char *path, char *ret_target, size_t size)
{
	return call_fails() ? kernel.fail_err : sys_real.readlinkat(dir_fd, path, ret_target, size);
}

static int fake_ioctl(int fd, unsigned long cmd, void *arg)
{
	CU_ASSERT_TRUE(fcntl(fd, F_GETFD) >= 0);
	return call_fails() ? kernel.fail_err : fake_devices_ioctl(&kernel.devices, cmd, arg);
}

static int fake_fstat(int fd, struct stat *ret_st)
{
	if (call_fails())
		return kernel.fail_err;
	fake_devices_fstat(&kernel.devices, fd, ret_st);
	return 0;
}

static int fake_prlimit(pid_t pid, int resource, const struct rlimit *new_limit,
			struct rlimit *ret_old)
{
	struct process *process = find_process(pid);
	void (*hook)(void *arg) = kernel.hook;

	CU_ASSERT_EQUAL(resource, RLIMIT_MEMLOCK);
	CU_ASSERT_NOT_EQUAL(pid, 0);
	if (call_fails())
		return kernel.fail_err;
	if (hook && (new_limit || !kernel.hook_on_write)) {
		kernel.hook = NULL;
		hook(kernel.hook_arg);
	}
	if (!process)
		return -ESRCH;
	if (ret_old)
		*ret_old = process->limit;
	if (new_limit) {
		CU_ASSERT_TRUE(new_limit->rlim_cur <= new_limit->rlim_max);
		process->limit = *new_limit;
		process->n_writes++;
	}
	snapshot(true);
	return 0;
}

static ssize_t fake_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return call_fails() ? kernel.fail_err : sys_real.sendmsg(fd, msg, flags);
}

static int fake_poll(struct pollfd *fds, nfds_t n_fds, int timeout_ms)
{
	return call_fails() ? kernel.fail_err : sys_real.poll(fds, n_fds, timeout_ms);
}

const struct sys_ops fake_sys_ops = {
	.openat = fake_openat,
	.readlinkat = fake_readlinkat,
	.ioctl = fake_ioctl,
	.fstat = fake_fstat,
	.prlimit = fake_prlimit,
	.sendmsg = fake_sendmsg,
	.poll = fake_poll,
};
