/* SPDX-License-Identifier: MIT */
#include "common/features.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/device.h"

#define FORM "1" /* of the file; another one is not known */
#define KNOWN (FEATURES_STOP_COPY | FEATURES_P2P | FEATURES_PRE_COPY)

/* One number and what ends it. Return: false: it is none, or above @max. */
static bool take_number(const char **pos, char end, uint64_t max, uint64_t *ret_number)
{
	char *rest;

	if (**pos < '0' || **pos > '9')
		return false;
	errno = 0;
	*ret_number = strtoull(*pos, &rest, 10);
	if (errno || *rest != end || *ret_number > max)
		return false;
	*pos = rest + 1;
	return true;
}

int features_parse(const char *text, uint64_t *ret_identity, struct features *ret_features)
{
	uint64_t identity, migration, dirty_logging, pri;
	const char *pos = text + strlen(FORM " ");

	if (strncmp(text, FORM " ", strlen(FORM " ")) != 0 ||
	    !take_number(&pos, ' ', UINT64_MAX, &identity) ||
	    !take_number(&pos, ' ', KNOWN, &migration) ||
	    !take_number(&pos, ' ', 1, &dirty_logging) || !take_number(&pos, '\n', 1, &pri) || *pos)
		return -EBADMSG;
	*ret_identity = identity;
	*ret_features = (struct features){
		.migration = (uint32_t)migration,
		.dirty_logging = dirty_logging,
		.pri = pri,
	};
	return 0;
}

size_t features_format(uint64_t identity, const struct features *features,
		       char ret_text[static FEATURES_TEXT_MAX])
{
	int len = snprintf(ret_text, FEATURES_TEXT_MAX, FORM " %" PRIu64 " %" PRIu32 " %d %d\n",
			   identity, features->migration & KNOWN, features->dirty_logging,
			   features->pri);

	return (size_t)len; /* it fits */
}

char *features_directory(const char *socket_path)
{
	char *directory;

	return asprintf(&directory, "%s.devices", socket_path) < 0 ? NULL : directory;
}

/* A driver that is bound again makes another directory. */
static int features_identity(int sysfs_fd, const struct device *device, uint64_t *ret_identity)
{
	char path[sizeof("bus/mdev/devices//vfio-dev/") + 2UL * DEVICE_NAME_MAX];
	struct stat st;

	if (!device->found || !device->cdev[0])
		return -ENOENT;
	(void)snprintf(path, sizeof(path), "bus/%s/devices/%s/vfio-dev/%s",
		       device->mdev ? "mdev" : "pci", device->name, device->cdev); /* it fits */
	if (fstatat(sysfs_fd, path, &st, 0) < 0)
		return errno == ENODEV ? -ENOENT : -errno;
	*ret_identity = st.st_ino;
	return 0;
}

/* What group or others may write, or somebody else has made, may say anything. */
static int features_check(int fd, mode_t type, struct stat *ret_st)
{
	if (fstat(fd, ret_st) < 0)
		return -errno;
	if ((ret_st->st_mode & S_IFMT) != type || ret_st->st_mode & (S_IWGRP | S_IWOTH) ||
	    (ret_st->st_uid != 0 && ret_st->st_uid != geteuid()))
		return -EPERM;
	return 0;
}

static int features_open(const char *directory, int *ret_fd)
{
	CLEANUP(fd_closep)
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int err = fd < 0 ? -errno : features_check(fd, S_IFDIR, &st);

	if (!err)
		*ret_fd = STEAL_FD(fd);
	return err;
}

static uint64_t features_age(const struct stat *st)
{
	time_t now = time(NULL);

	/* A clock that was set back makes nothing older than it is. */
	return now > st->st_mtime ? (uint64_t)(now - st->st_mtime) : 0;
}

static int features_read(int dir_fd, const char *name, uint64_t *ret_identity,
			 struct features *ret_features)
{
	CLEANUP(fd_closep)
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[FEATURES_TEXT_MAX];
	struct stat st = {.st_mtime = 0};
	ssize_t n;
	int err = fd < 0 ? -errno : features_check(fd, S_IFREG, &st);

	if (err)
		return err;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	err = features_parse(text, ret_identity, ret_features);
	if (!err)
		ret_features->age = features_age(&st);
	return err;
}

int features_load(const char *directory, int sysfs_fd, const struct device *device,
		  struct features *ret_features)
{
	CLEANUP(fd_closep) int dir_fd = -1;
	uint64_t identity = 0, stored = 0;
	struct features features = {.age = 0};
	int err = features_identity(sysfs_fd, device, &identity);

	if (!err)
		err = features_open(directory, &dir_fd);
	if (!err)
		err = features_read(dir_fd, device->name, &stored, &features);
	if (!err && stored != identity)
		err = -ENOENT;
	if (!err)
		*ret_features = features;
	return err;
}

/* Nobody sees half of it: it gets its name when it is whole. */
static int features_write(int dir_fd, const char *name, const char *text, size_t len)
{
	CLEANUP(fd_closep) int fd = -1;
	char temporary[DEVICE_NAME_MAX + sizeof(".new")];
	ssize_t n;
	int err = 0;

	(void)snprintf(temporary, sizeof(temporary), "%s.new", name); /* it fits */
	if (unlinkat(dir_fd, temporary, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	n = write(fd, text, len);
	if (n != (ssize_t)len)
		err = n < 0 ? -errno : -ENOSPC;
	else if (fchmod(fd, 0644) < 0 || renameat(dir_fd, temporary, dir_fd, name) < 0)
		err = -errno;
	if (err)
		(void)unlinkat(dir_fd, temporary, 0); /* the error at hand is the one to report */
	return err;
}

int features_store(const char *directory, int sysfs_fd, const struct device *device,
		   const struct features *features)
{
	CLEANUP(fd_closep) int dir_fd = -1;
	char text[FEATURES_TEXT_MAX];
	uint64_t identity = 0;
	bool made;
	int err = features_identity(sysfs_fd, device, &identity);

	if (err)
		return err;
	made = mkdir(directory, 0755) == 0;
	if (!made && errno != EEXIST)
		return -errno;
	err = features_open(directory, &dir_fd);
	if (!err && made && fchmod(dir_fd, 0755) < 0) /* whatever the umask */
		err = -errno;
	if (err)
		return err;
	return features_write(dir_fd, device->name, text,
			      features_format(identity, features, text));
}
