/* SPDX-License-Identifier: MIT */
#include "iommufd/feature.h"

#include <errno.h>

#include "common/features.h"
#include "common/sys.h"
#include "iommufd/uapi.h"

_Static_assert(FEATURES_STOP_COPY == UAPI_VFIO_MIGRATION_STOP_COPY &&
		       FEATURES_P2P == UAPI_VFIO_MIGRATION_P2P &&
		       FEATURES_PRE_COPY == UAPI_VFIO_MIGRATION_PRE_COPY,
	       "copied as they are");

static int feature_bind(const struct sys_ops *ops, int iommu_fd, int cdev_fd)
{
	struct uapi_vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = iommu_fd};

	return ops->ioctl(cdev_fd, UAPI_VFIO_DEVICE_BIND_IOMMUFD, &bind);
}

/* A feature that the driver does not have is ENOTTY. */
static int feature_flags(const struct sys_ops *ops, int cdev_fd, uint32_t *ret_flags)
{
	struct {
		struct uapi_vfio_device_feature head;
		struct uapi_vfio_device_feature_migration migration;
	} ask = {.head = {.argsz = sizeof(ask),
			  .flags = UAPI_VFIO_DEVICE_FEATURE_GET |
				   UAPI_VFIO_DEVICE_FEATURE_MIGRATION}};
	int err = ops->ioctl(cdev_fd, UAPI_VFIO_DEVICE_FEATURE, &ask);

	if (!err)
		*ret_flags = (uint32_t)ask.migration.flags &
			     (FEATURES_STOP_COPY | FEATURES_P2P | FEATURES_PRE_COPY);
	return err == -ENOTTY ? 0 : err;
}

static int feature_probe(const struct sys_ops *ops, int cdev_fd, uint32_t feature, bool *ret_has)
{
	struct uapi_vfio_device_feature ask = {
		.argsz = sizeof(ask),
		.flags = UAPI_VFIO_DEVICE_FEATURE_PROBE | UAPI_VFIO_DEVICE_FEATURE_SET | feature,
	};
	int err = ops->ioctl(cdev_fd, UAPI_VFIO_DEVICE_FEATURE, &ask);

	if (!err)
		*ret_has = true;
	return err == -ENOTTY ? 0 : err;
}

int feature_read(const struct sys_ops *ops, int iommu_fd, int cdev_fd,
		 struct features *ret_features)
{
	uint32_t migration = 0;
	bool dirty_logging = false;
	int err = feature_bind(ops, iommu_fd, cdev_fd);

	if (!err)
		err = feature_flags(ops, cdev_fd, &migration);
	if (!err)
		err = feature_probe(ops, cdev_fd, UAPI_VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
				    &dirty_logging);
	if (err)
		return err;
	ret_features->migration = migration;
	ret_features->dirty_logging = dirty_logging;
	return 0;
}
