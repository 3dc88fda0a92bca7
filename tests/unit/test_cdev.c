/* SPDX-License-Identifier: MIT */
/* cdev_open() against a kernel that fails call N, and one whose /dev and sysfs disagree. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "common/device.h"
#include "common/sys.h"
#include "iommufd/cdev.h"
#include "tests/unit/fake_devices.h"
#include "tests/unit/suite.h"

#define UNTOUCHED (-77)
#define DEV_FD 1234 /* only handed through */
#define SYSFS_FD 1235

/* The descriptors it gives are real: see common/sys.h. */
static struct {
	int calls;
	int fail_at; /* 0: never */
	mode_t mode;
	const char *owner; /* whose the number is, as sysfs says; NULL: nobody's */
} kernel;

static bool call_fails(void)
{
	return ++kernel.calls == kernel.fail_at;
}

static int fake_openat(int dir_fd, const char *path, int flags)
{
	int fd;

	CU_ASSERT_EQUAL(dir_fd, DEV_FD);
	CU_ASSERT_STRING_EQUAL(path, "vfio/devices/vfio3");
	if (call_fails())
		return -EMFILE;
	fd = fake_devices_null(flags);
	CU_ASSERT_NOT_EQUAL(fd, -EINVAL);
	return fd;
}

static ssize_t fake_readlinkat(int dir_fd, const char *path, char *ret_target, size_t size)
{
	CU_ASSERT_EQUAL(dir_fd, SYSFS_FD);
	CU_ASSERT_STRING_EQUAL(path, "dev/char/249:4000");
	if (call_fails())
		return -EACCES;
	if (!kernel.owner)
		return -ENOENT;
	CU_ASSERT_TRUE_FATAL(size >= strlen(kernel.owner));
	memcpy(ret_target, kernel.owner, strlen(kernel.owner)); /* no NUL, as from the kernel */
	return (ssize_t)strlen(kernel.owner);
}

static int fake_fstat(int fd, struct stat *ret_st)
{
	CU_ASSERT_TRUE(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	if (call_fails())
		return -EIO;
	memset(ret_st, 0, sizeof(*ret_st));
	ret_st->st_mode = kernel.mode;
	ret_st->st_rdev = makedev(249, 4000);
	return 0;
}

static const struct sys_ops fake_ops = {
	.openat = fake_openat,
	.readlinkat = fake_readlinkat,
	.fstat = fake_fstat,
};

static void kernel_reset(void)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.mode = S_IFCHR | 0600;
	kernel.owner = "../../devices/pci0000:64/0000:65:00.0/vfio-dev/vfio3";
}

static struct device sample(void)
{
	return (struct device){
		.name = "0000:65:00.0",
		.found = true,
		.cdev = "vfio3",
	};
}

static void failed_call_leaves_nothing_open(void)
{
	static const int errors[] = {-EMFILE, -EIO, -EACCES}; /* open, fstat, readlink */
	const struct device device = sample();
	int before = suite_count_fds(), fd = UNTOUCHED, fail_at = 0, err;

	do {
		kernel_reset();
		kernel.fail_at = ++fail_at;
		err = cdev_open(&fake_ops, DEV_FD, SYSFS_FD, &device, &fd);
		if (err) {
			CU_ASSERT_EQUAL(err, errors[fail_at - 1]);
			CU_ASSERT_EQUAL(fd, UNTOUCHED);
			CU_ASSERT_EQUAL(suite_count_fds(), before);
		}
	} while (err && fail_at < 3);
	CU_ASSERT_EQUAL(err, -EACCES);
	kernel_reset();
	CU_ASSERT_EQUAL(cdev_open(&fake_ops, DEV_FD, SYSFS_FD, &device, &fd), 0);
	CU_ASSERT_EQUAL(kernel.calls, 3);
	CU_ASSERT_EQUAL(suite_count_fds(), before + 1);
	fd_closep(&fd);
}

static void other_device_behind_the_name_is_refused(void)
{
	static const struct {
		const char *name;
		mode_t mode;
		const char *owner;
		int expected;
	} cases[] = {
		{"the right one", S_IFCHR, "../../devices/pci0000:64/0000:65:00.0/vfio-dev/vfio3",
		 0},
		{"at the root", S_IFCHR, "/0000:65:00.0/vfio-dev/vfio3", 0},
		{"another", S_IFCHR, "../../devices/pci0000:64/0000:66:00.0/vfio-dev/vfio3",
		 -ENXIO},
		{"longer", S_IFCHR, "../../devices/pci0000:64/10000:65:00.0/vfio-dev/vfio3",
		 -ENXIO},
		{"other cdev", S_IFCHR, "../../devices/pci0000:64/0000:65:00.0/vfio-dev/vfio2",
		 -ENXIO},
		{"no VFIO", S_IFCHR, "../../devices/virtual/mem/null", -ENXIO},
		{"short", S_IFCHR, "vfio3", -ENXIO},
		{"nobody's", S_IFCHR, NULL, -ENXIO},
		{"a block device", S_IFBLK, "/0000:65:00.0/vfio-dev/vfio3", -ENXIO},
		{"a file", S_IFREG, "/0000:65:00.0/vfio-dev/vfio3", -ENXIO},
	};
	const struct device device = sample();
	int before = suite_count_fds();
	size_t n;

	for (n = 0; n < ARRAY_SIZE(cases); n++) {
		int fd = UNTOUCHED, err;

		kernel_reset();
		kernel.mode = cases[n].mode | 0600;
		kernel.owner = cases[n].owner;
		err = cdev_open(&fake_ops, DEV_FD, SYSFS_FD, &device, &fd);
		CHECK(cases[n].name, err == cases[n].expected);
		CHECK(cases[n].name, err ? fd == UNTOUCHED : fd >= 0);
		fd_closep(&fd);
		CU_ASSERT_EQUAL(suite_count_fds(), before);
	}
}

static void device_without_cdev_opens_nothing(void)
{
	struct device device = sample();
	int fd = UNTOUCHED;

	kernel_reset();
	device.cdev[0] = '\0';
	CU_ASSERT_EQUAL(cdev_open(&fake_ops, DEV_FD, SYSFS_FD, &device, &fd), -ENODEV);
	device = sample();
	device.found = false;
	CU_ASSERT_EQUAL(cdev_open(&fake_ops, DEV_FD, SYSFS_FD, &device, &fd), -ENODEV);
	CU_ASSERT_EQUAL(kernel.calls, 0);
	CU_ASSERT_EQUAL(fd, UNTOUCHED);
}

static const CU_TestInfo tests[] = {
	{"a failed call leaves nothing open", failed_call_leaves_nothing_open},
	{"another device behind the name is refused", other_device_behind_the_name_is_refused},
	{"a device without cdev opens nothing", device_without_cdev_opens_nothing},
	CU_TEST_INFO_NULL,
};

const struct suite suite_cdev = {"cdev", tests};
