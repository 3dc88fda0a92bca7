/* SPDX-License-Identifier: MIT */
/* What is remembered of devices, and that only root's word is believed. */
#include "common/features.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/device.h"
#include "common/sys.h"
#include "iommufd/feature.h"
#include "iommufd/uapi.h"
#include "tests/unit/suite.h"

#define UUID "4b20d080-1b54-4048-85b3-a6a62d165c01"

/* A /sys with one bound device, and where its features are kept. */
struct place {
	char dir[32];
	char kept[64];
	int sysfs_fd;
};

static const char *const dirs[] = {"bus",
				   "bus/mdev",
				   "bus/mdev/devices",
				   "bus/mdev/devices/" UUID,
				   "bus/mdev/devices/" UUID "/vfio-dev",
				   "bus/mdev/devices/" UUID "/vfio-dev/vfio7"};
#define BOUND dirs[ARRAY_SIZE(dirs) - 1]

static const struct device mdev = {.name = UUID, .found = true, .mdev = true, .cdev = "vfio7"};
static const struct features all = {
	.migration = FEATURES_STOP_COPY | FEATURES_P2P | FEATURES_PRE_COPY,
	.dirty_logging = true,
};

static void place_make(struct place *place)
{
	(void)strcpy(place->dir, "/tmp/pinbroker-features-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(place->dir));
	(void)snprintf(place->kept, sizeof(place->kept), "%s/socket.devices", place->dir);
	place->sysfs_fd = open(place->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CU_ASSERT_FATAL(place->sysfs_fd >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		CU_ASSERT_FATAL(mkdirat(place->sysfs_fd, dirs[i], 0755) == 0);
}

static void place_remove(struct place *place)
{
	char path[sizeof(place->kept) + sizeof(UUID)];

	(void)snprintf(path, sizeof(path), "%s/" UUID, place->kept);
	(void)unlink(path); /* if it was stored */
	(void)rmdir(place->kept);
	for (size_t i = ARRAY_SIZE(dirs); i-- > 0;)
		(void)unlinkat(place->sysfs_fd, dirs[i], AT_REMOVEDIR);
	CU_ASSERT(rmdir(place->dir) == 0);
	fd_closep(&place->sysfs_fd);
}

static int load(const struct place *place, struct features *ret_features)
{
	return features_load(place->kept, place->sysfs_fd, &mdev, ret_features);
}

static void text_is_read_as_it_is_written(void)
{
	static const struct {
		const char *text;
		int err;
		uint64_t identity;
		struct features features;
	} cases[] = {
		{"1 42 7 1 0\n", 0, 42, {.migration = 7, .dirty_logging = true}},
		{"1 18446744073709551615 0 0 1\n", 0, UINT64_MAX, {.pri = true}},
		{"1 18446744073709551616 0 0 1\n", -EBADMSG, 0, {.age = 0}},
		{"", -EBADMSG, 0, {.age = 0}},
		{"1 ", -EBADMSG, 0, {.age = 0}},
		{"2 42 7 1 0\n", -EBADMSG, 0, {.age = 0}},
		{"1 42 8 1 0\n", -EBADMSG, 0, {.age = 0}},
		{"1 42 7 2 0\n", -EBADMSG, 0, {.age = 0}},
		{"1 42 7 1 0", -EBADMSG, 0, {.age = 0}},
		{"1 42 7 1 0\n1", -EBADMSG, 0, {.age = 0}},
		{"1 42 7 1\n", -EBADMSG, 0, {.age = 0}},
		{"1 -42 7 1 0\n", -EBADMSG, 0, {.age = 0}},
		{"1  42 7 1 0\n", -EBADMSG, 0, {.age = 0}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[FEATURES_TEXT_MAX];
		struct features features;
		uint64_t identity;

		CHECK(cases[i].text,
		      features_parse(cases[i].text, &identity, &features) == cases[i].err);
		if (cases[i].err)
			continue;
		CHECK(cases[i].text, identity == cases[i].identity);
		CHECK(cases[i].text,
		      features.migration == cases[i].features.migration &&
			      features.dirty_logging == cases[i].features.dirty_logging &&
			      features.pri == cases[i].features.pri);
		CHECK(cases[i].text, features_format(identity, &features, text) == strlen(text) &&
					     strcmp(text, cases[i].text) == 0);
	}
}

static void what_was_stored_is_loaded(void)
{
	int n_fds = suite_count_fds();
	struct features features = {.age = 99};
	struct place place;

	place_make(&place);
	CHECK("before", load(&place, &features) == -ENOENT && features.age == 99);
	CHECK("stored", features_store(place.kept, place.sysfs_fd, &mdev, &all) == 0);
	CHECK("loaded", load(&place, &features) == 0 && features.migration == all.migration &&
				features.dirty_logging && !features.pri && features.age < 60);
	CHECK("once more", features_store(place.kept, place.sysfs_fd, &mdev,
					  &(struct features){.pri = true}) == 0);
	CHECK("loaded again", load(&place, &features) == 0 && !features.migration && features.pri);
	place_remove(&place);
	CHECK("descriptors", suite_count_fds() == n_fds);
}

/* The kernel makes another directory then; of two that exist at once the inodes differ. */
static void a_device_that_was_bound_again_is_not_known(void)
{
	struct device unbound = mdev;
	struct features features;
	struct place place;

	place_make(&place);
	CHECK("stored", features_store(place.kept, place.sysfs_fd, &mdev, &all) == 0);
	CU_ASSERT(renameat(place.sysfs_fd, BOUND, place.sysfs_fd, "old") == 0);
	CHECK("unbound", load(&place, &features) == -ENOENT);
	CHECK("unbound", features_store(place.kept, place.sysfs_fd, &mdev, &all) == -ENOENT);
	CU_ASSERT(mkdirat(place.sysfs_fd, BOUND, 0755) == 0);
	CHECK("bound again", load(&place, &features) == -ENOENT);
	CU_ASSERT(unlinkat(place.sysfs_fd, "old", AT_REMOVEDIR) == 0);
	unbound.cdev[0] = '\0';
	CHECK("no cdev", features_load(place.kept, place.sysfs_fd, &unbound, &features) == -ENOENT);
	place_remove(&place);
}

static void what_others_may_write_is_not_believed(void)
{
	char path[sizeof(((struct place *)0)->kept) + sizeof(UUID)];
	struct features features;
	struct place place;

	place_make(&place);
	CHECK("stored", features_store(place.kept, place.sysfs_fd, &mdev, &all) == 0);
	(void)snprintf(path, sizeof(path), "%s/" UUID, place.kept);
	CU_ASSERT(chmod(path, 0664) == 0);
	CHECK("a file", load(&place, &features) == -EPERM);
	CU_ASSERT(chmod(path, 0644) == 0 && chmod(place.kept, 0777) == 0);
	CHECK("a directory", load(&place, &features) == -EPERM);
	CHECK("a directory", features_store(place.kept, place.sysfs_fd, &mdev, &all) == -EPERM);
	CU_ASSERT(chmod(place.kept, 0755) == 0);
	CHECK("put right", load(&place, &features) == 0);
	CU_ASSERT(unlink(path) == 0 && symlink("/etc/passwd", path) == 0);
	CHECK("a link", load(&place, &features) == -ELOOP);
	CU_ASSERT(unlink(path) == 0 && mkfifo(path, 0600) == 0);
	CHECK("a FIFO", load(&place, &features) == -EPERM);
	place_remove(&place);
}

/* --- the driver is asked */

static struct {
	int calls, fail_at;
	int err; /* of the call that fails */
	uint64_t flags;
} driver;

static int fake_ioctl(int fd, unsigned long cmd, void *arg)
{
	struct uapi_vfio_device_feature head;
	struct uapi_vfio_device_feature_migration migration = {.flags = driver.flags};

	CU_ASSERT_EQUAL(fd, 12);
	if (++driver.calls == driver.fail_at)
		return driver.err;
	if (driver.calls == 1) {
		struct uapi_vfio_device_bind_iommufd bind;

		memcpy(&bind, arg, sizeof(bind));
		CU_ASSERT_TRUE(cmd == UAPI_VFIO_DEVICE_BIND_IOMMUFD && bind.iommufd == 11);
		return 0;
	}
	CU_ASSERT_EQUAL(cmd, UAPI_VFIO_DEVICE_FEATURE);
	memcpy(&head, arg, sizeof(head));
	if (driver.calls == 2) {
		CU_ASSERT_EQUAL(head.argsz, sizeof(head) + sizeof(migration));
		memcpy((char *)arg + sizeof(head), &migration, sizeof(migration));
	} else {
		CU_ASSERT_EQUAL(head.flags & 0xffff, UAPI_VFIO_DEVICE_FEATURE_DMA_LOGGING_START);
	}
	return 0;
}

static int ask(int fail_at, int err, uint64_t flags, struct features *ret_features)
{
	static const struct sys_ops ops = {.ioctl = fake_ioctl};

	driver.calls = 0;
	driver.fail_at = fail_at;
	driver.err = err;
	driver.flags = flags;
	return feature_read(&ops, 11, 12, ret_features);
}

static void a_driver_is_asked_for_what_it_has(void)
{
	struct features f = {.pri = true};

	CHECK("all", ask(0, 0, 7, &f) == 0 && f.migration == 7 && f.dirty_logging && f.pri);
	CHECK("a flag of later", ask(0, 0, 9, &f) == 0 && f.migration == FEATURES_STOP_COPY);
	CHECK("no migration", ask(2, -ENOTTY, 7, &f) == 0 && !f.migration && f.dirty_logging);
	CHECK("no logging", ask(3, -ENOTTY, 3, &f) == 0 && f.migration == 3 && !f.dirty_logging);
	f.migration = 77;
	CHECK("busy", ask(1, -EBUSY, 7, &f) == -EBUSY && f.migration == 77);
	CHECK("broken", ask(2, -EIO, 7, &f) == -EIO && f.migration == 77);
	CHECK("broken", ask(3, -EIO, 7, &f) == -EIO && f.migration == 77);
}

static const CU_TestInfo tests[] = {
	{"text is read as it is written", text_is_read_as_it_is_written},
	{"what was stored is loaded", what_was_stored_is_loaded},
	{"a device that was bound again is not known", a_device_that_was_bound_again_is_not_known},
	{"what others may write is not believed", what_others_may_write_is_not_believed},
	{"a driver is asked for what it has", a_driver_is_asked_for_what_it_has},
	CU_TEST_INFO_NULL,
};

const struct suite suite_features = {"features", tests};
