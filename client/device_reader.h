/* SPDX-License-Identifier: MIT */
/*
 * Asks a device for its features, in a child: to bind it may take its driver any time, and nobody
 * who waits for that is to hold anything else. Root's affair: nobody else may open the device.
 */
#ifndef CLIENT_DEVICE_READER_H
#define CLIENT_DEVICE_READER_H

struct device;
struct features;

#define DEVICE_READER_MS 10000

/**
 * device_reader_read() - bind the device, ask, and set it free again
 * @sysfs_fd: directory fd of /sys, borrowed
 * @device: as device_probe() gave it; in no session
 * @ret_features: all but age
 *
 * Return: 0; -ETIMEDOUT: the driver did not answer in time, and the child is left to the kernel;
 * -errno of cdev_open(), /dev/iommu or feature_read().
 */
int device_reader_read(int sysfs_fd, const struct device *device, struct features *ret_features);

#endif
