/* SPDX-License-Identifier: MIT */
/* What a device's driver says of it: asked through its cdev, which has to be bound for that. */
#ifndef IOMMUFD_FEATURE_H
#define IOMMUFD_FEATURE_H

struct features;
struct sys_ops;

/**
 * feature_read() - bind a cdev and ask for what concerns migration
 * @iommu_fd: a context that nothing else is done with, borrowed
 * @cdev_fd: not bound yet, borrowed; who closes it sets the device free again
 * @ret_features: migration and dirty_logging are filled in, the rest stays
 *
 * To be bound resets many a device, and may take the driver long: not for who serves.
 *
 * Return: 0; -errno of the bind: -EINVAL: somebody has the device open, or the kernel does not
 * hand it out; -EBUSY: somebody has another one of its IOMMU group; -EPERM: its interrupts are not
 * kept apart; -errno of a driver that cannot say.
 */
int feature_read(const struct sys_ops *ops, int iommu_fd, int cdev_fd,
		 struct features *ret_features);

#endif
