/* SPDX-License-Identifier: MIT */
#include "client/group.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/proto.h"

#define CLASS_BRIDGE_PCI 0x0604U
#define CONFIG_MAX 4096 /* bytes of a configuration space of PCI Express */
#define EXTENDED_CAPABILITIES 0x100U /* where they begin in it */
#define CAPABILITY_PRI 0x13U

/* Fits: names of entries of sysfs, and a word behind them. */
#define PATH_LEN (NAME_MAX + sizeof("bus/mdev/devices//iommu_group/devices"))

static void device_path(const struct device *device, const char *what, char path[static PATH_LEN])
{
	(void)snprintf(path, PATH_LEN, "bus/%s/devices/%s/%s", device->mdev ? "mdev" : "pci",
		       device->name, what);
}

/* An attribute, to its line's end. Return: 0; -errno. */
static int read_text(int dir_fd, const char *path, char *text, size_t size)
{
	CLEANUP(fd_closep) int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

/* The last part of where a link leads; "": there is none. */
static void read_driver(int dir_fd, const char *path, char *text, size_t size)
{
	char target[PATH_MAX];
	const char *base;
	ssize_t n = readlinkat(dir_fd, path, target, sizeof(target) - 1);

	text[0] = '\0';
	if (n < 0)
		return;
	target[n] = '\0';
	base = strrchr(target, '/');
	proto_text_set(text, size, base ? base + 1 : target);
}

static void read_peer(int dir_fd, const char *name, struct group_peer *peer)
{
	char path[NAME_MAX + sizeof("/driver")], class[32] = "";

	*peer = (struct group_peer){.bridge = false};
	proto_text_set(peer->name, sizeof(peer->name), name);
	(void)snprintf(path, sizeof(path), "%s/driver", name); /* it fits */
	read_driver(dir_fd, path, peer->driver, sizeof(peer->driver));
	(void)snprintf(path, sizeof(path), "%s/class", name); /* it fits */
	if (read_text(dir_fd, path, class, sizeof(class)) == 0)
		peer->bridge = strtoul(class, NULL, 16) >> 8 == CLASS_BRIDGE_PCI;
}

static int compare_peers(const void *a, const void *b)
{
	return strcmp(((const struct group_peer *)a)->name, ((const struct group_peer *)b)->name);
}

int group_read(int sysfs_fd, const struct device *device, struct group *ret_group)
{
	CLEANUP(dir_closep) DIR *dir = NULL;
	const struct dirent *entry;
	char path[PATH_LEN];
	int fd;

	ret_group->n = 0;
	device_path(device, "iommu_group/devices", path);
	fd = openat(sysfs_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	dir = fdopendir(fd);
	if (!dir) {
		fd_closep(&fd);
		return -ENOMEM;
	}
	while ((entry = readdir(dir)) && ret_group->n < GROUP_PEERS_MAX)
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, device->name) != 0)
			read_peer(fd, entry->d_name, &ret_group->peers[ret_group->n++]);
	qsort(ret_group->peers, ret_group->n, sizeof(ret_group->peers[0]), compare_peers);
	return 0;
}

void group_reset(int sysfs_fd, const struct device *device, char ret_text[static GROUP_RESET_MAX])
{
	char path[PATH_LEN];

	device_path(device, "reset_method", path);
	if (read_text(sysfs_fd, path, ret_text, GROUP_RESET_MAX))
		ret_text[0] = '\0';
}

static uint32_t word_at(const unsigned char *config, size_t at)
{
	return config[at] | (uint32_t)config[at + 1] << 8 | (uint32_t)config[at + 2] << 16 |
	       (uint32_t)config[at + 3] << 24;
}

/* Each begins with its number (16 bits), a version and where the next one is. */
bool group_pri_in(const unsigned char *config, size_t len)
{
	size_t at = EXTENDED_CAPABILITIES;

	/* As many as there is room for: a device that is broken may have them in a circle. */
	for (size_t i = 0; i < CONFIG_MAX / 8 && at >= EXTENDED_CAPABILITIES; i++) {
		uint32_t head;

		if (at + sizeof(head) > len)
			return false;
		head = word_at(config, at);
		if (head == UINT32_MAX) /* nobody answers */
			return false;
		if ((head & 0xffffU) == CAPABILITY_PRI)
			return true;
		at = head >> 20 & 0xffcU;
	}
	return false;
}

int group_pri(int sysfs_fd, const struct device *device, bool *ret_pri)
{
	CLEANUP(fd_closep) int fd = -1;
	unsigned char config[CONFIG_MAX];
	char path[PATH_LEN];
	ssize_t n;

	*ret_pri = false;
	if (device->mdev)
		return 0;
	device_path(device, "config", path);
	fd = openat(sysfs_fd, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, config, sizeof(config));
	if (n < 0)
		return -errno;
	if (n <= 64) /* all that others than root are shown */
		return -EACCES;
	*ret_pri = group_pri_in(config, (size_t)n);
	return 0;
}
