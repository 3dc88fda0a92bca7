/* SPDX-License-Identifier: MIT */
/*
 * A VFIO device as sysfs shows it: does it exist, who drives it, its character device, its IOMMU
 * group. Reads only; opens no device. The daemon decides by it, `explain --config` shows it.
 */
#ifndef COMMON_DEVICE_H
#define COMMON_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_NAME_MAX 40 /* with NUL: "0000:65:00.0", or an mdev UUID of 36 */
#define DEVICE_DRIVER_MAX 64 /* with NUL; a longer name is cut */
#define DEVICE_NO_GROUP (-1)

/* Everything by value: nothing to free. */
struct device {
	char name[DEVICE_NAME_MAX]; /* in lower case */
	bool found; /* in sysfs; if not, only name and mdev mean anything */
	bool mdev;
	uint16_t vendor; /* 0 for an mdev */
	uint16_t device;
	char driver[DEVICE_DRIVER_MAX]; /* "": none is bound */
	/* "vfio3"; "": not on a VFIO driver, or a kernel without VFIO cdevs. */
	char cdev[DEVICE_NAME_MAX];
	int group; /* number of the IOMMU group or DEVICE_NO_GROUP */
	bool reset; /* PCI: reset_method is not empty; an mdev: false, sysfs does not say */
	/* The first other member of the group that a host driver holds; "": none. */
	char host_peer[DEVICE_NAME_MAX];
	char host_peer_driver[DEVICE_DRIVER_MAX];
};

/**
 * device_name() - check and normalise a device's name
 * @text: a PCI address with its domain ("0000:65:00.0", Intel VMD: "10000:01:00.0") or an mdev
 *        UUID, in either case of letters; never a path
 * @ret_name: in lower case, as sysfs spells it
 *
 * Return: 0; -EINVAL for any other form.
 */
int device_name(const char *text, char ret_name[static DEVICE_NAME_MAX]);

/**
 * device_probe() - read what sysfs says of a device
 * @sysfs_fd: directory fd of /sys (a test's own tree), borrowed
 * @name: as device_name() made it
 *
 * A device that is not there, or goes while it is read, is no error: @ret_device->found says so.
 *
 * Who counts as a host peer follows the kernel (iommu_device_use_default_domain(), skipped for
 * drivers with driver_managed_dma): every member of the group that has a driver, other than PCI
 * bridges (class 0x0604: pcieport), pci-stub, drivers named vfio-* and devices with a vfio-dev
 * directory (vendors' VFIO drivers).
 *
 * Return: 0; -EINVAL for a name device_name() would not make; -errno when sysfs cannot be read,
 * -EBADMSG when it says something it never should.
 */
int device_probe(int sysfs_fd, const char *name, struct device *ret_device);

#endif
