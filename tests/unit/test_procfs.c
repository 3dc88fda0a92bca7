/* SPDX-License-Identifier: MIT */
#include "daemon/procfs.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/child.h"
#include "tests/unit/suite.h"

#define NOBODY INT_MAX /* above any pid_max */

static void locked_is_what_mlock_locked(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct procfs_locked before, after;
	void *memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CU_ASSERT_FATAL(memory != MAP_FAILED);
	CU_ASSERT_EQUAL(procfs_locked(getpid(), &before), 0);
	/* Not mlock(): sanitizers make that do nothing. */
	if (syscall(SYS_mlock, memory, page) < 0) {
		suite_skip("mlock(2) of a page is not allowed");
	} else {
		CU_ASSERT_EQUAL(procfs_locked(getpid(), &after), 0);
		CU_ASSERT_EQUAL(after.locked, before.locked + page);
		CU_ASSERT_EQUAL(after.pinned, before.pinned);
	}
	CU_ASSERT_EQUAL(munmap(memory, page), 0);
}

static void zombie_has_nothing_locked(void)
{
	struct procfs_locked locked = {1, 1};
	struct child child;

	child_start(&child);
	child_exit(&child);
	CU_ASSERT_EQUAL(procfs_locked(child.pid, &locked), 0);
	CU_ASSERT_EQUAL(locked.locked, 0);
	CU_ASSERT_EQUAL(locked.pinned, 0);
	CU_ASSERT_EQUAL(child_end(&child), 0);
}

static void nobody_is_esrch(void)
{
	char cgroup[PROCFS_CGROUP_MAX] = "untouched";
	struct procfs_locked locked = {1, 2};
	bool capable = true;
	uint64_t id = 3;

	CU_ASSERT_EQUAL(procfs_locked(NOBODY, &locked), -ESRCH);
	CU_ASSERT_EQUAL(procfs_cgroup(NOBODY, cgroup), -ESRCH);
	CU_ASSERT_EQUAL(procfs_capable(NOBODY, &capable), -ESRCH);
	CU_ASSERT_TRUE(capable && locked.locked == 1 && locked.pinned == 2);
	CU_ASSERT_STRING_EQUAL(cgroup, "untouched");
	CU_ASSERT_EQUAL(procfs_cgroup_id("/no/such", &id), -ENOENT);
	CU_ASSERT_EQUAL(id, 3);
}

static void cgroup_is_the_v2_one(void)
{
	CLEANUP(file_closep) FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PROCFS_CGROUP_MAX + 8], cgroup[PROCFS_CGROUP_MAX], *expected = NULL;

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	while (!expected && fgets(line, sizeof(line), file))
		if (strncmp(line, "0::", 3) == 0)
			expected = strtok(line + 3, "\n");
	CU_ASSERT_EQUAL(procfs_cgroup(getpid(), cgroup), expected ? 0 : -ENODATA);
	if (expected)
		CU_ASSERT_STRING_EQUAL(cgroup, expected);
}

/* Exit status: 0 not capable, 1 capable, 2 no namespace to be had. */
static int capable_in_own_namespace(void *arg)
{
	bool capable = true;

	(void)arg;
	if (unshare(CLONE_NEWUSER) < 0)
		return 2;
	return procfs_capable(getpid(), &capable) == 0 && !capable ? 0 : 1;
}

static void capability_of_another_namespace_is_none(void)
{
	struct child child;
	int status;

	child_run(&child, capable_in_own_namespace, NULL);
	status = child_end(&child);
	if (status == 2)
		suite_skip("unshare(CLONE_NEWUSER) is not allowed");
	else
		CU_ASSERT_EQUAL(status, 0);
}

/* Exit status: 0 its locked page is seen, 1 it is not, 2 no groups or no lock to be had. */
static int locked_beyond_many_groups(void *arg)
{
	static gid_t gids[3000];
	struct procfs_locked locked = {.locked = 0};
	static char page[4096] __attribute__((aligned(4096)));

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(gids); i++)
		gids[i] = (gid_t)(4000000 + i);
	if (setgroups(ARRAY_SIZE(gids), gids) < 0 || syscall(SYS_mlock, page, sizeof(page)) < 0)
		return 2;
	return procfs_locked(getpid(), &locked) == 0 && locked.locked == 4096 ? 0 : 1;
}

static void many_groups_hide_nothing(void)
{
	struct child child;
	int status;

	child_run(&child, locked_beyond_many_groups, NULL);
	status = child_end(&child);
	if (status == 2)
		suite_skip("setgroups(2) or mlock(2) is not allowed");
	else
		CU_ASSERT_EQUAL(status, 0);
}

static void pidfd_tells_of_the_exit(void)
{
	struct child child;

	child_start(&child);
	CU_ASSERT_FALSE(procfs_exited(child.pidfd));
	child_exit(&child);
	CU_ASSERT_TRUE(procfs_exited(child.pidfd)); /* not reaped yet */
	CU_ASSERT_EQUAL(child_end(&child), 0);
	CU_ASSERT_TRUE(procfs_exited(9999)); /* an error counts as exited */
}

static void mem_total_is_plausible(void)
{
	uint64_t bytes = 0;
	uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES);

	CU_ASSERT_EQUAL(procfs_mem_total(&bytes), 0);
	CU_ASSERT_EQUAL(bytes, pages * (uint64_t)sysconf(_SC_PAGESIZE));
}

static bool find_self(const struct procfs_process *process, void *arg)
{
	struct procfs_process *found = arg;

	if (process->pid != getpid())
		return true;
	*found = *process;
	return false;
}

static void processes_are_all_there_are(void)
{
	struct procfs_process found = {.pid = 0};
	struct procfs_locked locked;
	char name[16];

	CU_ASSERT_EQUAL(prctl(PR_GET_NAME, name), 0);
	CU_ASSERT_EQUAL(prctl(PR_SET_NAME, "a (name):\tX 1"), 0);
	CU_ASSERT_EQUAL(procfs_processes(find_self, &found), 0);
	CU_ASSERT_EQUAL(procfs_locked(getpid(), &locked), 0);
	CU_ASSERT_EQUAL(found.pid, getpid());
	CU_ASSERT_EQUAL(found.uid, getuid());
	CU_ASSERT_STRING_EQUAL(found.comm, "a (name):\tX 1");
	CU_ASSERT_EQUAL(found.locked.locked, locked.locked);
	CU_ASSERT_EQUAL(found.locked.pinned, locked.pinned);
	CU_ASSERT_EQUAL(prctl(PR_SET_NAME, name), 0);
}

static void devices_have_numbers(void)
{
	uint64_t pins;

	CU_ASSERT_EQUAL(procfs_device_number("/proc/devices", "mem"), 1);
	CU_ASSERT_EQUAL(procfs_device_number("/proc/devices", "me"), 0);
	CU_ASSERT_EQUAL(procfs_device_number("/proc/devices", "devices:"), 0);
	CU_ASSERT_EQUAL(procfs_device_number("/proc/nothing", "mem"), 0);
	if (procfs_pins(&pins) == 0)
		CU_ASSERT_TRUE(pins < UINT64_C(1) << 48);
}

static const CU_TestInfo tests[] = {
	{"many groups hide nothing that comes after", many_groups_hide_nothing},
	{"what mlock(2) locks is VmLck", locked_is_what_mlock_locked},
	{"a zombie has nothing locked", zombie_has_nothing_locked},
	{"a pid that nobody has is -ESRCH, outputs untouched", nobody_is_esrch},
	{"the cgroup is the one of the v2 hierarchy", cgroup_is_the_v2_one},
	{"a capability in another user namespace is none", capability_of_another_namespace_is_none},
	{"a pidfd tells of the exit before anybody reaps", pidfd_tells_of_the_exit},
	{"MemTotal is this machine's", mem_total_is_plausible},
	{"every process, by what its name is, too", processes_are_all_there_are},
	{"numbers of devices", devices_have_numbers},
	CU_TEST_INFO_NULL,
};

const struct suite suite_procfs = {"procfs", tests};
