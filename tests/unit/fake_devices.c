/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_devices.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "iommufd/uapi.h"

int fake_devices_null(int flags)
{
	const int wanted = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
	int fd;

	if ((flags & (O_ACCMODE | O_CLOEXEC | O_NOFOLLOW)) != wanted)
		return -EINVAL;
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int fake_devices_openat(struct fake_devices *devices, const char *path, int flags)
{
	static const char cdev[] = "vfio/devices/vfio";
	unsigned int minor_of = 0;
	int fd;

	if (strncmp(path, cdev, strlen(cdev)) == 0)
		minor_of = (unsigned int)strtoul(path + strlen(cdev), NULL, 10);
	else if (strcmp(path, "iommu") != 0)
		return -ENOENT;
	fd = fake_devices_null(flags);
	if (fd >= FAKE_DEVICES_FDS_MAX) {
		(void)close(fd); /* of /dev/null */
		return -EMFILE;
	}
	if (fd >= 0)
		devices->vfio_of[fd] = minor_of;
	return fd;
}

int fake_devices_ioctl(struct fake_devices *devices, unsigned long cmd, void *arg)
{
	struct uapi_iommu_option *option = arg;

	if (cmd != UAPI_IOMMU_OPTION || option->option_id != UAPI_IOMMU_OPTION_RLIMIT_MODE)
		return -ENOTTY;
	if (option->op == UAPI_IOMMU_OPTION_OP_SET)
		devices->mode = option->val64;
	else
		option->val64 = devices->mode;
	return 0;
}

void fake_devices_fstat(const struct fake_devices *devices, int fd, struct stat *ret_st)
{
	memset(ret_st, 0, sizeof(*ret_st));
	ret_st->st_mode = S_IFCHR | 0600;
	ret_st->st_rdev = makedev(FAKE_DEVICES_VFIO_MAJOR, devices->vfio_of[fd]);
}
