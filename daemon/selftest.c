/* SPDX-License-Identifier: MIT */
#include "daemon/selftest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/gate.h"
#include "bpf/gate_map.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "iommufd/uapi.h"

#define SELFTEST_MAPPINGS 1
#define SELFTEST_LSM "/sys/kernel/security/lsm"

/* What must be called for the gate to hold; what is left makes it faster. */
static const struct {
	enum gate_program program;
	const char *hook;
	bool must;
} selftest_programs[] = {
	{GATE_PROGRAM_IOCTL, "file_ioctl", true},
	{GATE_PROGRAM_RELEASE, "file_release", true},
	{GATE_PROGRAM_FREE, "file_free_security", true},
	{GATE_PROGRAM_MAP, "fexit/iopt_map_user_pages", false},
	{GATE_PROGRAM_UNMAP, "fexit/iopt_unmap_iova", false},
	{GATE_PROGRAM_OVER, "fexit/iommufd_fops_ioctl", false},
};

struct selftest {
	int fd; /* owned */
	uint32_t slot;
	uint32_t ioas;
	void *page; /* owned, mapped */
	size_t page_size;
};

static void selftest_fini(struct selftest *test)
{
	fd_closep(&test->fd);
	if (test->page)
		(void)munmap(test->page, test->page_size);
}

static int selftest_ioctl(const struct selftest *test, unsigned long cmd, void *arg)
{
	return ioctl(test->fd, cmd, arg) < 0 ? -errno : 0;
}

static int selftest_map(const struct selftest *test, uint64_t *ret_iova)
{
	struct uapi_iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = UAPI_IOMMU_IOAS_MAP_READABLE | UAPI_IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = test->ioas,
		.user_va = (uintptr_t)test->page,
		.length = test->page_size,
	};
	int err = selftest_ioctl(test, UAPI_IOMMU_IOAS_MAP, &map);

	*ret_iova = map.iova;
	return err;
}

static int selftest_open(struct selftest *test, struct gate *gate, int dev_fd)
{
	const struct gate_limits limits = {.pages = 8, .mappings = SELFTEST_MAPPINGS, .objects = 2};
	struct uapi_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	int err;

	test->page_size = (size_t)sysconf(_SC_PAGESIZE);
	test->page = mmap(NULL, test->page_size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (test->page == MAP_FAILED) {
		test->page = NULL;
		return -errno;
	}
	test->fd = openat(dev_fd, "iommu", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (test->fd < 0)
		return -errno;
	err = gate_reserve_test(gate, &limits, &test->slot);
	if (!err)
		err = gate_enrol(gate, test->slot, test->fd, false);
	if (!err)
		err = selftest_ioctl(test, UAPI_IOMMU_IOAS_ALLOC, &alloc);
	test->ioas = alloc.out_ioas_id;
	return err;
}

/* One mapping fits, a second does not, and after an UNMAP one fits again. */
static int selftest_use(struct selftest *test, bool *ret_refused)
{
	struct uapi_iommu_ioas_unmap unmap = {.size = sizeof(unmap), .ioas_id = test->ioas};
	uint64_t iova, other;
	int err = selftest_map(test, &iova);

	if (err)
		return err;
	err = selftest_map(test, &other);
	*ret_refused = err == -ENOSPC;
	if (err && err != -ENOSPC)
		return err;
	unmap.iova = iova;
	unmap.length = test->page_size;
	err = selftest_ioctl(test, UAPI_IOMMU_IOAS_UNMAP, &unmap);
	if (!err && *ret_refused)
		err = selftest_map(test, &iova);
	return err;
}

static void selftest_lsm(char *ret_list, size_t size)
{
	CLEANUP(fd_closep) int fd = open(SELFTEST_LSM, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret_list, size - 1);

	ret_list[n > 0 ? n : 0] = '\0';
}

bool selftest_lsm_active(void)
{
	char lsm[128];

	selftest_lsm(lsm, sizeof(lsm));
	return !lsm[0] || strstr(lsm, "bpf");
}

static void selftest_say(const struct gate *gate, const char *hook, char *ret_reason,
			 unsigned int size)
{
	char lsm[128];

	if (gate_is_fallback(gate)) {
		(void)snprintf(ret_reason, size, "%s is never called", hook);
		return;
	}
	selftest_lsm(lsm, sizeof(lsm));
	(void)snprintf(ret_reason, size, "%s is never called: boot with lsm=%s%sbpf (active: %s)",
		       hook, lsm, lsm[0] ? "," : "", lsm[0] ? lsm : "not known");
}

static void selftest_level(struct gate *gate, char *ret_reason, unsigned int size)
{
	char lsm[128];

	if (!gate_is_fallback(gate)) {
		gate_set_level(gate, GATE_LEVEL_EXACT);
		ret_reason[0] = '\0';
		return;
	}
	/* It may be skipped where a thread is preempted in it, and reads no page that is not there.
	 */
	gate_set_level(gate, GATE_LEVEL_BEST_EFFORT);
	selftest_lsm(lsm, sizeof(lsm));
	(void)snprintf(
		ret_reason, size,
		"bpf is not among the active LSMs: boot with lsm=%s%sbpf; until then an ioctl "
		"may pass uncounted",
		lsm, lsm[0] ? "," : "");
}

static int selftest_judge(struct gate *gate, bool refused, char *ret_reason, unsigned int size)
{
	const uint64_t fired = gate_fired(gate);

	for (size_t i = 0; i < ARRAY_SIZE(selftest_programs); i++) {
		if (fired & 1ULL << selftest_programs[i].program)
			continue;
		if (selftest_programs[i].must) {
			selftest_say(gate, selftest_programs[i].hook, ret_reason, size);
			return -ENOSYS;
		}
		log_notice("%s is not called on this kernel: limits are kept all the same, more "
			   "slowly",
			   selftest_programs[i].hook);
	}
	if (!refused) {
		(void)snprintf(ret_reason, size, "a mapping above the limit was not refused");
		return -ENOSYS;
	}
	selftest_level(gate, ret_reason, size);
	return 0;
}

int selftest_run(struct gate *gate, int dev_fd, char *ret_reason, unsigned int reason_size)
{
	CLEANUP(selftest_fini) struct selftest test = {.fd = -1};
	bool refused = false;
	int err = selftest_open(&test, gate, dev_fd);

	if (!err)
		err = selftest_use(&test, &refused);
	fd_closep(&test.fd); /* its end is a part of the test */
	gate_forget(gate, test.slot);
	if (err) {
		(void)snprintf(ret_reason, reason_size, "the self-test on /dev/iommu failed: %s",
			       strerror(-err));
		return err;
	}
	return selftest_judge(gate, refused, ret_reason, reason_size);
}

bool selftest_is_denied(int dev_fd)
{
	CLEANUP(fd_closep) int fd = openat(dev_fd, "iommu", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct uapi_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};

	return fd >= 0 && ioctl(fd, UAPI_IOMMU_IOAS_ALLOC, &alloc) < 0 && errno == EPERM;
}
