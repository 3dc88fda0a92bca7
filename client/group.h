/* SPDX-License-Identifier: MIT */
/*
 * What sysfs says of a device for people who decide about it, beyond common/device.h: the other
 * members of its IOMMU group, how it can be reset, and whether it asks for pages itself.
 */
#ifndef CLIENT_GROUP_H
#define CLIENT_GROUP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/device.h"

#define GROUP_PEERS_MAX 64 /* that are told; a group has seldom more than ten */
#define GROUP_RESET_MAX 128

struct group_peer {
	char name[DEVICE_NAME_MAX];
	char driver[DEVICE_DRIVER_MAX]; /* "": none */
	bool bridge; /* a PCI bridge: nobody drives it for DMA */
};

struct group {
	size_t n;
	struct group_peer peers[GROUP_PEERS_MAX]; /* by name */
};

/**
 * group_read() - the other members of a device's IOMMU group
 * @sysfs_fd: directory fd of /sys, borrowed
 * @device: as device_probe() gave it
 *
 * Return: 0, with none where there is no group; -errno.
 */
int group_read(int sysfs_fd, const struct device *device, struct group *ret_group);

/* The kernel's words for how a PCI device is reset, "flr bus"; "": it has none, or is none. */
void group_reset(int sysfs_fd, const struct device *device, char ret_text[static GROUP_RESET_MAX]);

/**
 * group_pri() - whether a PCI device has the page request interface
 *
 * Its capabilities beyond the first 64 bytes are shown to root alone.
 *
 * Return: 0; -EACCES: they were not shown; -errno.
 */
int group_pri(int sysfs_fd, const struct device *device, bool *ret_pri);

/* The same of the bytes of a configuration space. */
bool group_pri_in(const unsigned char *config, size_t len);

#endif
