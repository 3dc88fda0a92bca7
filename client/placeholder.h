/* SPDX-License-Identifier: MIT */
/*
 * The placeholders of run and attach: {iommufd} and {device:N} in an argument become descriptor
 * numbers, and {vfio-args} what QEMU's vfio-pci has to be told of the policy.
 *
 * Other text in braces is not ours and stays, JSON in an argument of QEMU say; only what begins
 * with {device: must be right. Pure.
 */
#ifndef CLIENT_PLACEHOLDER_H
#define CLIENT_PLACEHOLDER_H

#include <stddef.h>

#define PLACEHOLDER_IOMMUFD "{iommufd}"
#define PLACEHOLDER_VFIO_ARGS "{vfio-args}"

/* What they become. */
struct placeholder_values {
	int iommufd;
	const int *devices;
	size_t n_devices;
	const char *vfio_args; /* NULL: as "" */
};

enum placeholder_fault {
	PLACEHOLDER_MALFORMED, /* {device:x} */
	PLACEHOLDER_NO_DEVICE, /* {device:1} with one device */
};

/**
 * placeholder_check() - whether an argument can be expanded
 * @n_devices: how many there will be
 * @ret_fault: what is wrong
 * @ret_at: the first wrong placeholder, in @arg
 * @ret_len: its length
 *
 * Return: 0; -EINVAL with all of ret_ filled.
 */
int placeholder_check(const char *arg, size_t n_devices, enum placeholder_fault *ret_fault,
		      const char **ret_at, size_t *ret_len);

/**
 * placeholder_expand() - put their values in
 * @arg: as placeholder_check() found it right
 * @ret_text: free with free()
 *
 * Return: 0; -EINVAL; -ENOMEM.
 */
int placeholder_expand(const char *arg, const struct placeholder_values *values, char **ret_text);

#endif
