/* SPDX-License-Identifier: MIT */
/*
 * What a VFIO device can do when its guest is migrated, and how that is remembered. The device is
 * bound to be asked, which nobody else may have done meanwhile: so what was read once is kept in a
 * directory beside the broker's socket, a file per device. Root writes it; what anybody else may
 * have written is not believed.
 *
 * A file holds for one binding of the device to its driver: another driver, or another device
 * under the same name, has another directory in sysfs, whose inode the kernel gives only once.
 */
#ifndef COMMON_FEATURES_H
#define COMMON_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device;

/* Of struct features; the values of VFIO_DEVICE_FEATURE_MIGRATION. */
#define FEATURES_STOP_COPY 1U /* all of its state is copied while it stands still */
#define FEATURES_P2P 2U /* it can be kept from reaching other devices before it is stopped */
#define FEATURES_PRE_COPY 4U /* part of it while it runs */

struct features {
	uint32_t migration; /* FEATURES_*; 0: it cannot be migrated */
	bool dirty_logging; /* it tells which pages it has written */
	bool pri; /* PCI: it asks for pages that are not there (page request interface) */
	uint64_t age; /* seconds since it was read; not stored */
};

#define FEATURES_TEXT_MAX 96

/**
 * features_parse() - read the text of a file
 * @ret_identity: of which binding it is
 *
 * Return: 0; -EBADMSG: it is none that features_format() writes.
 */
int features_parse(const char *text, uint64_t *ret_identity, struct features *ret_features);

/* Return: the length of the text. */
size_t features_format(uint64_t identity, const struct features *features,
		       char ret_text[static FEATURES_TEXT_MAX]);

/* The directory of the broker that listens there: free with free(). NULL: no memory. */
char *features_directory(const char *socket_path);

/**
 * features_load() - what was read of a device
 * @directory: as features_directory() gave it
 * @sysfs_fd: directory fd of /sys, borrowed
 * @device: as device_probe() gave it
 *
 * Return: 0; -ENOENT: nothing, since it was bound to its driver; -EPERM: directory or file is not
 * root's (or the caller's own) alone; -EBADMSG; -errno.
 */
int features_load(const char *directory, int sysfs_fd, const struct device *device,
		  struct features *ret_features);

/**
 * features_store() - remember it
 *
 * The directory is made if need be. All of the file or none of it.
 *
 * Return: 0; -ENOENT: the device is not bound any more; -EPERM as above; -errno.
 */
int features_store(const char *directory, int sysfs_fd, const struct device *device,
		   const struct features *features);

#endif
