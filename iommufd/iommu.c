/* SPDX-License-Identifier: MIT */
#include "iommufd/iommu.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/sys.h"
#include "iommufd/uapi.h"

static int mode_option(const struct sys_ops *ops, int fd, uint16_t op, uint64_t *value)
{
	struct uapi_iommu_option option = {
		.size = sizeof(option),
		.option_id = UAPI_IOMMU_OPTION_RLIMIT_MODE,
		.op = op,
		.val64 = *value,
	};
	int err = ops->ioctl(fd, UAPI_IOMMU_OPTION, &option);

	if (err < 0)
		return err == -EOPNOTSUPP ? -ENOTTY : err;
	*value = option.val64;
	return 0;
}

/* GET answers into what SET left as neither value, so a kernel that writes nothing is noticed. */
static int mode_set(const struct sys_ops *ops, int fd, enum iommu_mode mode)
{
	uint64_t value = mode;
	int err = mode_option(ops, fd, UAPI_IOMMU_OPTION_OP_SET, &value);

	if (err)
		return err;
	value = UINT64_MAX;
	err = mode_option(ops, fd, UAPI_IOMMU_OPTION_OP_GET, &value);
	if (err)
		return err;
	return value == (uint64_t)mode ? 0 : -EPROTO;
}

static int open_error(int err)
{
	switch (err) {
	case -ENXIO:
		return -ENODEV;
	case -EPERM: /* kept for the mode: these two need different help */
		return -EACCES;
	default:
		return err;
	}
}

int iommu_open(const struct sys_ops *ops, int dev_fd, enum iommu_mode mode, int *ret_fd)
{
	CLEANUP(fd_closep) int fd = ops->openat(dev_fd, "iommu", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	int err;

	if (fd < 0)
		return open_error(fd);
	err = mode_set(ops, fd, mode);
	if (err)
		return err;
	*ret_fd = STEAL_FD(fd);
	return 0;
}

const char *iommu_strerror(int err)
{
	static const struct {
		int err;
		const char *text;
	} texts[] = {
		{-ENOENT, "this kernel has no IOMMUFD: CONFIG_IOMMUFD is off or the iommufd module "
			  "is not loaded (/dev/iommu: No such file or directory)"},
		{-ENODEV, "the iommufd module is not loaded and cannot be: there is a /dev/iommu, "
			  "but no driver behind it"},
		{-EACCES,
		 "/dev/iommu may not be opened: the unit's DevicePolicy= and DeviceAllow=, "
		 "or the node's owner and mode, forbid it"},
		{-ELOOP, "/dev/iommu is a symbolic link, not the kernel's device node"},
		{-EPERM, "the kernel does not let the accounting be chosen: CAP_SYS_RESOURCE is "
			 "missing, or held in a user namespace only"},
		{-ENOTTY, "/dev/iommu does not know IOMMU_OPTION_RLIMIT_MODE: it is not IOMMUFD "
			  "(Linux 6.2 or newer)"},
		{-EPROTO, "the kernel reports an accounting other than the one just set"},
	};
	const char *text;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(texts); n++) {
		if (texts[n].err == err)
			return texts[n].text;
	}
	text = strerrordesc_np(-err);
	return text ? text : "unknown error";
}
