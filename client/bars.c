/* SPDX-License-Identifier: MIT */
#include "client/bars.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/device.h"

#define RESOURCE_MEMORY 0x200U /* IORESOURCE_MEM of linux/ioport.h */

/* "0x00000000fe000000 0x00000000fe0fffff 0x0000000000040200": the kernel's own words. */
static void take_line(unsigned int index, const char *line, struct bars *bars)
{
	char *rest;
	uint64_t start = strtoull(line, &rest, 16);
	uint64_t end = strtoull(rest, &rest, 16);
	uint64_t flags = strtoull(rest, &rest, 16);

	if (!(flags & RESOURCE_MEMORY) || end <= start)
		return;
	bars->bar[bars->n++] = (struct bar){.index = index, .bytes = end - start + 1};
	bars->bytes += end - start + 1;
}

int bars_read(int sysfs_fd, const char *name, struct bars *ret_bars)
{
	char path[DEVICE_NAME_MAX + sizeof("bus/pci/devices//resource")], line[128];
	CLEANUP(file_closep) FILE *file = NULL;
	struct bars bars = {.known = false};
	int fd;

	*ret_bars = bars;
	if (!strchr(name, ':'))
		return 0;
	(void)snprintf(path, sizeof(path), "bus/pci/devices/%s/resource", name); /* it fits */
	fd = openat(sysfs_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	file = fdopen(fd, "re");
	if (!file) {
		fd_closep(&fd);
		return -ENOMEM;
	}
	/* The file goes on with the ROM and windows of bridges. */
	for (unsigned int i = 0; i < BARS_MAX && fgets(line, sizeof(line), file); i++)
		take_line(i, line, &bars);
	bars.known = true;
	*ret_bars = bars;
	return 0;
}

size_t bars_mappings(const struct bars *bars)
{
	return (bars->known ? bars->n : BARS_MAX) + 1;
}
