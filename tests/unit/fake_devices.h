/* SPDX-License-Identifier: MIT */
/*
 * What /dev and IOMMUFD do in a fake kernel, for the unit tests and the fuzzers alike: when a call
 * fails is theirs. The descriptors are real ones, of /dev/null (see common/sys.h).
 */
#ifndef TESTS_UNIT_FAKE_DEVICES_H
#define TESTS_UNIT_FAKE_DEVICES_H

#include <stdint.h>
#include <sys/stat.h>

#define FAKE_DEVICES_VFIO_MAJOR 249 /* vfioN is 249:N */
#define FAKE_DEVICES_FDS_MAX 4096

struct fake_devices {
	unsigned int vfio_of[FAKE_DEVICES_FDS_MAX]; /* N, by descriptor */
	uint64_t mode; /* IOMMU_OPTION_RLIMIT_MODE of the context opened last */
};

/*
 * The one thing all fakes hand out, for an openat() that has the flags every device is opened with.
 *
 * Return: a descriptor; -EINVAL: other flags; -errno.
 */
int fake_devices_null(int flags);

/* Opens iommu and vfio/devices/vfioN. Return: as above; -ENOENT: there is no other. */
int fake_devices_openat(struct fake_devices *devices, const char *path, int flags);

/* Return: 0; -ENOTTY: no IOMMU_OPTION of the mode. */
int fake_devices_ioctl(struct fake_devices *devices, unsigned long cmd, void *arg);

void fake_devices_fstat(const struct fake_devices *devices, int fd, struct stat *ret_st);

#endif
