/* SPDX-License-Identifier: MIT */
/* iommu_open() against a kernel that fails call N, one that lies, and one of each refusal. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/sys.h"
#include "iommufd/iommu.h"
#include "iommufd/uapi.h"
#include "tests/unit/fake_devices.h"
#include "tests/unit/suite.h"

#define UNTOUCHED (-77)
#define DEV_FD 1234 /* only handed through */

/* A context in a fake kernel. The descriptors it gives are real: see common/sys.h. */
static struct {
	int calls;
	int fail_at; /* 0: never */
	int open_err;
	int set_err;
	int get_err;
	uint64_t mode;
	bool deaf; /* takes SET, keeps its mode */
	bool silent; /* GET writes nothing */
	bool set_seen;
} kernel;

static bool call_fails(void)
{
	return ++kernel.calls == kernel.fail_at;
}

static int fake_openat(int dir_fd, const char *path, int flags)
{
	int fd;

	CU_ASSERT_EQUAL(dir_fd, DEV_FD);
	CU_ASSERT_STRING_EQUAL(path, "iommu");
	if (call_fails())
		return -EMFILE;
	if (kernel.open_err)
		return kernel.open_err;
	fd = fake_devices_null(flags);
	CU_ASSERT_NOT_EQUAL(fd, -EINVAL);
	return fd;
}

static int fake_ioctl(int fd, unsigned long cmd, void *arg)
{
	struct uapi_iommu_option *option = arg;

	CU_ASSERT_TRUE(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CU_ASSERT_EQUAL(cmd, UAPI_IOMMU_OPTION);
	CU_ASSERT_EQUAL(option->size, sizeof(*option));
	CU_ASSERT_EQUAL(option->option_id, UAPI_IOMMU_OPTION_RLIMIT_MODE);
	CU_ASSERT_EQUAL(option->object_id, 0);
	CU_ASSERT_EQUAL(option->reserved, 0);
	if (call_fails())
		return -EIO;
	if (option->op == UAPI_IOMMU_OPTION_OP_SET) {
		kernel.set_seen = true;
		if (!kernel.set_err && !kernel.deaf)
			kernel.mode = option->val64;
		return kernel.set_err;
	}
	if (!kernel.get_err && !kernel.silent)
		option->val64 = kernel.mode;
	return kernel.get_err;
}

static const struct sys_ops fake_ops = {
	.openat = fake_openat,
	.ioctl = fake_ioctl,
};

static void kernel_reset(void)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.mode = UINT64_MAX; /* neither: whoever asks for 0 must have set it */
}

static void sets_each_mode_explicitly(void)
{
	static const enum iommu_mode modes[] = {IOMMU_MODE_USER, IOMMU_MODE_TASK};
	size_t n;

	for (n = 0; n < ARRAY_SIZE(modes); n++) {
		int fd = UNTOUCHED;

		kernel_reset();
		CU_ASSERT_EQUAL(iommu_open(&fake_ops, DEV_FD, modes[n], &fd), 0);
		CU_ASSERT_TRUE(fd >= 0);
		CU_ASSERT_TRUE(kernel.set_seen);
		CU_ASSERT_EQUAL(kernel.mode, (uint64_t)modes[n]);
		fd_closep(&fd);
	}
}

static void failed_call_leaves_nothing_open(void)
{
	int before = suite_count_fds(), fd = UNTOUCHED, fail_at = 0, err;

	do {
		kernel_reset();
		kernel.fail_at = ++fail_at;
		err = iommu_open(&fake_ops, DEV_FD, IOMMU_MODE_TASK, &fd);
		if (err) {
			CU_ASSERT_EQUAL(err, fail_at == 1 ? -EMFILE : -EIO);
			CU_ASSERT_EQUAL(fd, UNTOUCHED);
			CU_ASSERT_EQUAL(suite_count_fds(), before);
		}
	} while (err && fail_at < 100);
	CU_ASSERT_EQUAL(fail_at, 4); /* open, SET, GET; then success */
	fd_closep(&fd);
	CU_ASSERT_EQUAL(suite_count_fds(), before);
}

static void each_refusal_has_its_errno(void)
{
	static const struct {
		const char *name;
		int open_err, set_err, get_err;
		bool deaf, silent;
		int expected;
	} cases[] = {
		{.name = "no IOMMUFD", .open_err = -ENOENT, .expected = -ENOENT},
		{.name = "no driver", .open_err = -ENODEV, .expected = -ENODEV},
		{.name = "no driver, no major", .open_err = -ENXIO, .expected = -ENODEV},
		{.name = "mode of the node", .open_err = -EACCES, .expected = -EACCES},
		{.name = "device cgroup", .open_err = -EPERM, .expected = -EACCES},
		{.name = "symlink", .open_err = -ELOOP, .expected = -ELOOP},
		{.name = "no CAP_SYS_RESOURCE", .set_err = -EPERM, .expected = -EPERM},
		{.name = "no IOMMUFD behind it", .set_err = -ENOTTY, .expected = -ENOTTY},
		{.name = "no such option", .set_err = -EOPNOTSUPP, .expected = -ENOTTY},
		{.name = "GET fails", .get_err = -EFAULT, .expected = -EFAULT},
		{.name = "GET disagrees", .deaf = true, .expected = -EPROTO},
		{.name = "GET says nothing", .silent = true, .expected = -EPROTO},
	};
	int before = suite_count_fds();
	size_t n;

	for (n = 0; n < ARRAY_SIZE(cases); n++) {
		int fd = UNTOUCHED, err;

		kernel_reset();
		kernel.open_err = cases[n].open_err;
		kernel.set_err = cases[n].set_err;
		kernel.get_err = cases[n].get_err;
		kernel.deaf = cases[n].deaf;
		kernel.silent = cases[n].silent;
		err = iommu_open(&fake_ops, DEV_FD, IOMMU_MODE_TASK, &fd);
		CHECK(cases[n].name, err == cases[n].expected);
		CHECK(cases[n].name, fd == UNTOUCHED);
		CU_ASSERT_EQUAL(suite_count_fds(), before);
	}
}

static void operator_gets_a_sentence(void)
{
	CU_ASSERT_PTR_NOT_NULL(strstr(iommu_strerror(-ENOENT), "CONFIG_IOMMUFD"));
	CU_ASSERT_PTR_NOT_NULL(strstr(iommu_strerror(-ENODEV), "module"));
	CU_ASSERT_PTR_NOT_NULL(strstr(iommu_strerror(-EPERM), "CAP_SYS_RESOURCE"));
	CU_ASSERT_PTR_NOT_NULL(strstr(iommu_strerror(-EACCES), "DeviceAllow="));
	CU_ASSERT_STRING_EQUAL(iommu_strerror(-EMFILE), "Too many open files");
	CU_ASSERT_STRING_EQUAL(iommu_strerror(-99999), "unknown error");
}

static const CU_TestInfo tests[] = {
	{"sets each mode explicitly", sets_each_mode_explicitly},
	{"a failed call leaves nothing open", failed_call_leaves_nothing_open},
	{"each refusal has its errno", each_refusal_has_its_errno},
	{"the operator gets a sentence", operator_gets_a_sentence},
	CU_TEST_INFO_NULL,
};

const struct suite suite_iommu = {"iommu", tests};
