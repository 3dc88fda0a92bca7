/* SPDX-License-Identifier: MIT */
#include "iommufd/cdev.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "common/device.h"
#include "common/sys.h"

/* dev/char/249:1 is a link to ../../devices/.../0000:00:05.0/vfio-dev/vfio1. */
static int number_check(const struct sys_ops *ops, int sysfs_fd, dev_t rdev,
			const struct device *device)
{
	char link[64], target[PATH_MAX], expected[sizeof("//vfio-dev/") + 2UL * DEVICE_NAME_MAX];
	size_t len, expected_len;
	ssize_t n;

	/* All fit: see their sizes. */
	(void)snprintf(link, sizeof(link), "dev/char/%u:%u", major(rdev), minor(rdev));
	expected_len = (size_t)snprintf(expected, sizeof(expected), "/%s/vfio-dev/%s", device->name,
					device->cdev);
	n = ops->readlinkat(sysfs_fd, link, target, sizeof(target));
	if (n < 0)
		return n == -ENOENT ? -ENXIO : (int)n;
	len = (size_t)n;
	if (len < expected_len || len == sizeof(target) ||
	    memcmp(target + len - expected_len, expected, expected_len) != 0)
		return -ENXIO;
	return 0;
}

int cdev_open(const struct sys_ops *ops, int dev_fd, int sysfs_fd, const struct device *device,
	      int *ret_fd)
{
	CLEANUP(fd_closep) int fd = -1;
	char path[sizeof("vfio/devices/") + DEVICE_NAME_MAX];
	struct stat st;
	int err;

	if (!device->found || !device->cdev[0])
		return -ENODEV;
	/* Fits; a cdev's name is "vfio" and digits: device_probe() takes no other. */
	(void)snprintf(path, sizeof(path), "vfio/devices/%s", device->cdev);
	fd = ops->openat(dev_fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fd;
	err = ops->fstat(fd, &st);
	if (err)
		return err;
	if (!S_ISCHR(st.st_mode))
		return -ENXIO;
	err = number_check(ops, sysfs_fd, st.st_rdev, device);
	if (err)
		return err;
	*ret_fd = STEAL_FD(fd);
	return 0;
}
