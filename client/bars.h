/* SPDX-License-Identifier: MIT */
/*
 * The memory BARs of a PCI device, as sysfs has them. A VMM may map them, too, but they are the
 * device's memory: nothing is pinned for them, and they count as mappings alone.
 */
#ifndef CLIENT_BARS_H
#define CLIENT_BARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BARS_MAX 6

struct bar {
	unsigned int index; /* of the six */
	uint64_t bytes;
};

struct bars {
	bool known; /* false: no such device here; or a mediated one, of which sysfs does not say */
	size_t n;
	uint64_t bytes; /* of all */
	struct bar bar[BARS_MAX]; /* n of them */
};

/**
 * bars_read() - read them
 * @sysfs_fd: directory fd of /sys (a test's own tree), borrowed
 * @name: as device_name() made it
 *
 * Return: 0, also when they are not known; -errno.
 */
int bars_read(int sysfs_fd, const char *name, struct bars *ret_bars);

/* How many mappings they are at most: each may be in two parts around the table of MSI-X. */
size_t bars_mappings(const struct bars *bars);

#endif
