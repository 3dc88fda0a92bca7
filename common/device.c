/* SPDX-License-Identifier: MIT */
/*
 * It is on the path of every grant, so it counts system calls (16 for a device alone in its group):
 * uevent gives driver, vendor and device in one read, directories are read without a DIR, and files
 * are opened relative to the device's directory. Names of entries come from the kernel; only
 * those of a checked form become part of a path.
 */
#include "common/device.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

#define UEVENT_MAX 2049 /* the kernel's own buffer (UEVENT_BUFFER_SIZE) and NUL */
#define LINK_MAX_LEN 512 /* drivers and groups are a few levels up, and short */
#define PCI_CLASS_BRIDGE_PCI 0x0604U
#define GROUP_MEMBERS_DIR "iommu_group/devices"

/* A directory being read, one getdents64() of a small buffer at a time. */
struct entries {
	int fd; /* owned */
	size_t pos;
	size_t len; /* of what buf holds */
	_Alignas(struct dirent64) char buf[2048];
};

static void entries_fini(struct entries *entries)
{
	fd_closep(&entries->fd);
}

static int entries_init(struct entries *entries, int dir_fd, const char *path)
{
	entries->pos = 0;
	entries->len = 0;
	entries->fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return entries->fd < 0 ? -errno : 0;
}

/* Return: 0, with a name that lives until the next call or NULL at the end; -errno. */
static int entries_next(struct entries *entries, const char **ret_name)
{
	const struct dirent64 *entry;
	ssize_t n;

	do {
		if (entries->pos >= entries->len) {
			n = getdents64(entries->fd, entries->buf, sizeof(entries->buf));
			if (n < 0)
				return -errno;
			if (n == 0) {
				*ret_name = NULL;
				return 0;
			}
			entries->pos = 0;
			entries->len = (size_t)n;
		}
		entry = (const void *)(entries->buf + entries->pos);
		entries->pos += entry->d_reclen;
	} while (entry->d_name[0] == '.'); /* "." and "..": sysfs hides nothing else there */
	*ret_name = entry->d_name;
	return 0;
}

/* A copy that cuts what does not fit; for names that are shown and compared by prefix. */
static void text_copy(char *to, size_t size, const char *from, size_t len)
{
	if (len >= size)
		len = size - 1;
	memcpy(to, from, len);
	to[len] = '\0';
}

/* An attribute is one read. Return: its length, NUL added; -errno. */
static int attr_read(int dir_fd, const char *path, char *buf, size_t size)
{
	CLEANUP(fd_closep) int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return (int)n;
}

/* The last component of what a symlink points to. Return: 0; -errno. */
static int link_read(int dir_fd, const char *path, char *ret_base, size_t size)
{
	char target[LINK_MAX_LEN];
	const char *base;
	ssize_t n = readlinkat(dir_fd, path, target, sizeof(target));

	if (n < 0)
		return -errno;
	if ((size_t)n == sizeof(target))
		return -ENAMETOOLONG;
	target[n] = '\0';
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	text_copy(ret_base, size, base, strlen(base));
	return 0;
}

static bool form_has(char form, char c)
{
	switch (form) {
	case 'x':
		return isxdigit((unsigned char)c);
	case 's': /* first digit of a slot: they end at 1f */
		return c == '0' || c == '1';
	case 'f': /* a function */
		return c >= '0' && c <= '7';
	case 'n': /* first digit of a domain above 0xffff, where Intel VMD puts its own */
		return c != '0' && isxdigit((unsigned char)c);
	default:
		return c == form;
	}
}

static bool form_matches(const char *form, const char *text)
{
	while (*form && form_has(*form, *text)) {
		form++;
		text++;
	}
	return !*form && !*text;
}

int device_name(const char *text, char ret_name[static DEVICE_NAME_MAX])
{
	static const char *const forms[] = {
		"xxxx:xx:sx.f",    "nxxxx:xx:sx.f",    "nxxxxx:xx:sx.f",
		"nxxxxxx:xx:sx.f", "nxxxxxxx:xx:sx.f", "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
	};
	size_t n = 0;

	while (n < ARRAY_SIZE(forms) && !form_matches(forms[n], text))
		n++;
	if (n == ARRAY_SIZE(forms))
		return -EINVAL;
	for (n = 0; text[n]; n++)
		ret_name[n] = (char)tolower((unsigned char)text[n]);
	ret_name[n] = '\0';
	return 0;
}

/* "vfio" and digits: the only names of cdevs this program opens, and part of a path then. */
static bool cdev_name_ok(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && len < DEVICE_NAME_MAX && strncmp(name, "vfio", 4) == 0 &&
	       strspn(name + 4, "0123456789") == len - 4;
}

/* "8086:15B3" */
static void pci_id_parse(const char *text, struct device *device)
{
	char *end;
	unsigned long vendor = strtoul(text, &end, 16), id;

	if (*end != ':')
		return;
	id = strtoul(end + 1, &end, 16);
	if (*end || vendor > UINT16_MAX || id > UINT16_MAX)
		return;
	device->vendor = (uint16_t)vendor;
	device->device = (uint16_t)id;
}

static int read_uevent(int dir_fd, struct device *device)
{
	char buf[UEVENT_MAX];
	char *line, *rest = buf;
	int n = attr_read(dir_fd, "uevent", buf, sizeof(buf));

	if (n < 0)
		return n;
	while ((line = strsep(&rest, "\n"))) {
		if (strncmp(line, "DRIVER=", 7) == 0) {
			text_copy(device->driver, sizeof(device->driver), line + 7,
				  strlen(line + 7));
		} else if (strncmp(line, "PCI_ID=", 7) == 0) {
			pci_id_parse(line + 7, device);
		}
	}
	return 0;
}

/* A driver without vfio-dev is no VFIO driver; vfioN without dev: CONFIG_VFIO_DEVICE_CDEV=n. */
static int read_cdev(int dir_fd, struct device *device)
{
	CLEANUP(entries_fini) struct entries entries;
	char path[NAME_MAX + sizeof("/dev")];
	const char *name = NULL;
	int err = entries_init(&entries, dir_fd, "vfio-dev");

	if (err)
		return err == -ENOENT ? 0 : err;
	do {
		err = entries_next(&entries, &name);
		if (err || !name)
			return err;
	} while (!cdev_name_ok(name)); /* "power" and the like */
	(void)snprintf(path, sizeof(path), "%s/dev", name); /* fits: see its size */
	if (faccessat(entries.fd, path, F_OK, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	text_copy(device->cdev, sizeof(device->cdev), name, strlen(name));
	return 0;
}

static int read_group(int dir_fd, struct device *device)
{
	char base[32], *end;
	long number;
	int err = link_read(dir_fd, "iommu_group", base, sizeof(base));

	if (err) /* no IOMMU, or CONFIG_VFIO_GROUP=n and an mdev */
		return err == -ENOENT ? 0 : err;
	errno = 0;
	number = strtol(base, &end, 10);
	if (errno || end == base || *end || number < 0 || number > INT_MAX)
		return -EBADMSG;
	device->group = (int)number;
	return 0;
}

/* Does a driver of the host hold this member? @ret_driver is set if so. Return: 1; 0; -errno. */
static int member_is_host(int members_fd, const char *name, char *ret_driver, size_t size)
{
	char path[NAME_MAX + sizeof("/vfio-dev")], driver[DEVICE_DRIVER_MAX], buf[32];
	int err;

	(void)snprintf(path, sizeof(path), "%s/driver", name); /* fits: see its size */
	err = link_read(members_fd, path, driver, sizeof(driver));
	if (err) /* no driver, or unbound or unplugged just now */
		return err == -ENOENT ? 0 : err;
	if (strncmp(driver, "vfio-", 5) == 0 || strcmp(driver, "pci-stub") == 0)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/class", name);
	if (attr_read(members_fd, path, buf, sizeof(buf)) > 0 &&
	    strtoul(buf, NULL, 16) >> 8 == PCI_CLASS_BRIDGE_PCI)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/vfio-dev", name);
	if (faccessat(members_fd, path, F_OK, 0) == 0)
		return 0;
	text_copy(ret_driver, size, driver, strlen(driver));
	return 1;
}

/* Members may sit on any bus: their links in the group's directory are followed. */
static int read_host_peer(int dir_fd, struct device *device)
{
	CLEANUP(entries_fini) struct entries entries;
	const char *name = NULL;
	int err = entries_init(&entries, dir_fd, GROUP_MEMBERS_DIR);

	if (err)
		return err;
	while (!(err = entries_next(&entries, &name)) && name) {
		if (strcmp(name, device->name) == 0)
			continue;
		err = member_is_host(entries.fd, name, device->host_peer_driver,
				     sizeof(device->host_peer_driver));
		if (err < 0)
			return err;
		if (err > 0) {
			text_copy(device->host_peer, sizeof(device->host_peer), name, strlen(name));
			return 0;
		}
	}
	return err;
}

static int read_reset(int dir_fd, struct device *device)
{
	char buf[128] = "";
	int n = attr_read(dir_fd, "reset_method", buf, sizeof(buf));

	if (n < 0)
		return n == -ENOENT ? 0 : n;
	device->reset = n > 0 && buf[0] != '\n';
	return 0;
}

static int read_all(int dir_fd, struct device *device)
{
	int err = read_uevent(dir_fd, device);

	if (!err)
		err = read_cdev(dir_fd, device);
	if (!err)
		err = read_group(dir_fd, device);
	if (!err && device->group != DEVICE_NO_GROUP)
		err = read_host_peer(dir_fd, device);
	if (!err && !device->mdev)
		err = read_reset(dir_fd, device);
	return err;
}

int device_probe(int sysfs_fd, const char *name, struct device *ret_device)
{
	CLEANUP(fd_closep) int dir_fd = -1;
	char path[DEVICE_NAME_MAX + sizeof("bus/mdev/devices/")];
	struct device device = {.group = DEVICE_NO_GROUP};
	int err;

	if (device_name(name, device.name) || strcmp(name, device.name) != 0)
		return -EINVAL;
	device.mdev = !strchr(name, ':');
	(void)snprintf(path, sizeof(path), "bus/%s/devices/%s", device.mdev ? "mdev" : "pci", name);
	dir_fd = openat(sysfs_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	err = dir_fd < 0 ? -errno : read_all(dir_fd, &device);
	if (err == -ENOENT || err == -ENODEV) { /* ENODEV: its attribute outlives it for a moment */
		struct device gone = {.mdev = device.mdev, .group = DEVICE_NO_GROUP};

		text_copy(gone.name, sizeof(gone.name), name, strlen(name));
		*ret_device = gone;
		return 0;
	}
	if (err)
		return err;
	device.found = true;
	*ret_device = device;
	return 0;
}
