/* SPDX-License-Identifier: MIT */
/* VFIO character devices, /dev/vfio/devices/vfioN: opened, never bound or attached here. */
#ifndef IOMMUFD_CDEV_H
#define IOMMUFD_CDEV_H

struct device;
struct sys_ops;

/**
 * cdev_open() - open the character device of a VFIO device, and no other one
 * @dev_fd: directory fd of /dev, borrowed
 * @sysfs_fd: directory fd of /sys, borrowed
 * @device: as device_probe() gave it
 * @ret_fd: caller closes
 *
 * vfioN numbers are given out again: between the look into sysfs and the open the name may have
 * come to stand for another device. So sysfs is asked whose the device number is that was opened.
 * An open file keeps its device from unregistering, and so its number from being given out
 * (drivers/vfio/device_cdev.c, vfio_device_try_get_registration()): the answer stays true. The
 * open has no effect on the device; binding does.
 *
 * Return: 0; -errno, with nothing open and @ret_fd untouched:
 * -ENODEV    the device has no cdev: not on a VFIO driver, or a kernel without VFIO cdevs; or
 *            the kernel is just taking it away;
 * -ENXIO     what was opened is not, or no longer, the cdev of @device;
 * -ELOOP     the node is a symlink;
 * others     as the kernel gives them (-ENOENT, -EACCES, -EMFILE, ...).
 */
int cdev_open(const struct sys_ops *ops, int dev_fd, int sysfs_fd, const struct device *device,
	      int *ret_fd);

#endif
