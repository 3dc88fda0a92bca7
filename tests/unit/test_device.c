/* SPDX-License-Identifier: MIT */
/* device_name() by table; device_probe() against a tree in a temporary directory, as sysfs is. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/device.h"
#include "tests/unit/suite.h"

#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
/* Of DEVICE_DRIVER_MAX - 1: one more is cut. */
#define LONG "a-driver-with-a-name-longer-than-any-that-linux-has-as-of-today"
#define P "devices/pci0000:00/"
#define M "devices/virtual/mtty/mtty/"

/* What is found in sysfs: a file's text, or where a symlink points (only its end matters). */
struct entry {
	const char *path;
	const char *text;
	const char *target;
};

static const struct entry entries[] = {
	/* 05.0: alone in its group, on vfio-pci, everything there */
	{P "0000:00:05.0/uevent", "DRIVER=vfio-pci\nPCI_CLASS=FF00\nPCI_ID=1234:11E8\n", NULL},
	{P "0000:00:05.0/driver", NULL, "../../../bus/pci/drivers/vfio-pci"},
	{P "0000:00:05.0/iommu_group", NULL, "../../../kernel/iommu_groups/4"},
	{P "0000:00:05.0/reset_method", "flr bus\n", NULL},
	{P "0000:00:05.0/vfio-dev/power/x", "", NULL},
	{P "0000:00:05.0/vfio-dev/vfio12/dev", "249:12\n", NULL},
	/* 06.0: no driver, no IOMMU; nothing is known to reset it */
	{P "0000:00:06.0/uevent", "PCI_CLASS=FF00\nPCI_ID=8086:0001\n", NULL},
	{P "0000:00:06.0/reset_method", "\n", NULL},
	/* 07.0: a kernel without VFIO cdevs */
	{P "0000:00:07.0/uevent", "DRIVER=vfio-pci\nPCI_ID=8086:0002\n", NULL},
	{P "0000:00:07.0/vfio-dev/vfio2/uevent", "", NULL},
	/* 1f.0 shares its group with a device the host uses */
	{P "0000:00:1f.0/uevent", "DRIVER=vfio-pci\nPCI_ID=8086:0003\n", NULL},
	{P "0000:00:1f.0/driver", NULL, "../../../bus/pci/drivers/vfio-pci"},
	{P "0000:00:1f.0/iommu_group", NULL, "../../../kernel/iommu_groups/8"},
	{P "0000:00:1f.2/uevent", "DRIVER=ahci\nPCI_ID=8086:2922\n", NULL},
	{P "0000:00:1f.2/driver", NULL, "../../../bus/pci/drivers/ahci"},
	{P "0000:00:1f.2/class", "0x010601\n", NULL},
	{P "0000:00:1f.2/iommu_group", NULL, "../../../kernel/iommu_groups/8"},
	/* 02:00.0 with a port, a stub, a VFIO driver, a vendor's VFIO driver, nothing, and itself
	 */
	{P "0000:02:00.0/uevent", "DRIVER=mlx5_vfio_pci\nPCI_ID=15b3:101e\n", NULL},
	{P "0000:02:00.0/driver", NULL, "../../../bus/pci/drivers/mlx5_vfio_pci"},
	{P "0000:02:00.0/iommu_group", NULL, "../../../kernel/iommu_groups/9"},
	{P "0000:02:00.0/vfio-dev/vfio0/dev", "249:0\n", NULL},
	{P "0000:02:00.1/driver", NULL, "../../../bus/pci/drivers/pci-stub"},
	{P "0000:02:00.2/driver", NULL, "../../../bus/pci/drivers/vfio-pci"},
	{P "0000:02:00.3/driver", NULL, "../../../bus/pci/drivers/mlx5_vfio_pci"},
	{P "0000:02:00.3/class", "0x020000\n", NULL},
	{P "0000:02:00.3/vfio-dev/vfio1/dev", "249:1\n", NULL},
	{P "0000:02:00.4/class", "0x020000\n", NULL},
	{P "0000:00:01.0/driver", NULL, "../../../bus/pci/drivers/pcieport"},
	{P "0000:00:01.0/class", "0x060400\n", NULL},
	/* what never should be */
	{P "0000:03:00.0/uevent", "PCI_ID=8086:10001\nPCI_ID=8086\nDRIVER=" LONG "x\n", NULL},
	{P "0000:03:00.1/uevent", "PCI_ID=8086:0001\n", NULL},
	{P "0000:03:00.1/iommu_group", NULL, "../../../kernel/iommu_groups/x4"},
	{P "0000:03:00.2/uevent", "PCI_ID=8086:0001\n", NULL},
	{P "0000:03:00.2/vfio-dev/vfio/dev", "249:1\n", NULL},
	{P "0000:03:00.2/vfio-dev/vfio1x/dev", "249:1\n", NULL},
	{P "0000:03:00.2/vfio-dev/noiommu-vfio1/dev", "249:1\n", NULL},
	/* 04:00.0 goes while it is looked at: its directory is there, nothing is in it */
	{P "0000:04:00.0/x", "", NULL},
	/* an mdev */
	{M UUID "/uevent", "DRIVER=mtty\n", NULL},
	{M UUID "/driver", NULL, "../../../../../bus/mdev/drivers/mtty"},
	{M UUID "/iommu_group", NULL, "../../../../../kernel/iommu_groups/10"},
	{M UUID "/vfio-dev/vfio7/dev", "249:7\n", NULL},
};

static const struct entry links[] = {
	{"bus/pci/devices/0000:00:05.0", NULL, "../../../" P "0000:00:05.0"},
	{"bus/pci/devices/0000:00:06.0", NULL, "../../../" P "0000:00:06.0"},
	{"bus/pci/devices/0000:00:07.0", NULL, "../../../" P "0000:00:07.0"},
	{"bus/pci/devices/0000:00:1f.0", NULL, "../../../" P "0000:00:1f.0"},
	{"bus/pci/devices/0000:02:00.0", NULL, "../../../" P "0000:02:00.0"},
	{"bus/pci/devices/0000:03:00.0", NULL, "../../../" P "0000:03:00.0"},
	{"bus/pci/devices/0000:03:00.1", NULL, "../../../" P "0000:03:00.1"},
	{"bus/pci/devices/0000:03:00.2", NULL, "../../../" P "0000:03:00.2"},
	{"bus/pci/devices/0000:04:00.0", NULL, "../../../" P "0000:04:00.0"},
	{"bus/mdev/devices/" UUID, NULL, "../../../" M UUID},
	{"kernel/iommu_groups/4/devices/0000:00:05.0", NULL, "../../../../" P "0000:00:05.0"},
	{"kernel/iommu_groups/8/devices/0000:00:1f.0", NULL, "../../../../" P "0000:00:1f.0"},
	{"kernel/iommu_groups/8/devices/0000:00:1f.2", NULL, "../../../../" P "0000:00:1f.2"},
	{"kernel/iommu_groups/9/devices/0000:00:01.0", NULL, "../../../../" P "0000:00:01.0"},
	{"kernel/iommu_groups/9/devices/0000:02:00.0", NULL, "../../../../" P "0000:02:00.0"},
	{"kernel/iommu_groups/9/devices/0000:02:00.1", NULL, "../../../../" P "0000:02:00.1"},
	{"kernel/iommu_groups/9/devices/0000:02:00.2", NULL, "../../../../" P "0000:02:00.2"},
	{"kernel/iommu_groups/9/devices/0000:02:00.3", NULL, "../../../../" P "0000:02:00.3"},
	{"kernel/iommu_groups/9/devices/0000:02:00.4", NULL, "../../../../" P "0000:02:00.4"},
	{"kernel/iommu_groups/10/devices/" UUID, NULL, "../../../../" M UUID},
};

struct tree {
	char path[32];
	int fd; /* owned */
};

static void make_parents(int fd, const char *path)
{
	char part[256];
	const char *slash;

	for (slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		(void)snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		CU_ASSERT_FATAL(mkdirat(fd, part, 0700) == 0 || errno == EEXIST);
	}
}

static void make_entry(int root_fd, const struct entry *entry)
{
	CLEANUP(fd_closep) int fd = -1;

	make_parents(root_fd, entry->path);
	if (entry->target) {
		CU_ASSERT_EQUAL_FATAL(symlinkat(entry->target, root_fd, entry->path), 0);
		return;
	}
	fd = openat(root_fd, entry->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(write(fd, entry->text, strlen(entry->text)),
			      (ssize_t)strlen(entry->text));
}

static void tree_init(struct tree *tree)
{
	size_t n;

	strcpy(tree->path, "/tmp/test_device.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(tree->path));
	tree->fd = open(tree->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CU_ASSERT_FATAL(tree->fd >= 0);
	for (n = 0; n < ARRAY_SIZE(entries); n++)
		make_entry(tree->fd, &entries[n]);
	for (n = 0; n < ARRAY_SIZE(links); n++)
		make_entry(tree->fd, &links[n]);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void tree_fini(struct tree *tree)
{
	fd_closep(&tree->fd);
	CU_ASSERT_EQUAL(nftw(tree->path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void names_are_addresses_or_uuids(void)
{
	static const struct {
		const char *text;
		const char *expected; /* NULL: refused */
	} cases[] = {
		{"0000:65:00.0", "0000:65:00.0"},
		{"0000:AB:1F.7", "0000:ab:1f.7"},
		{"10000:e1:00.0", "10000:e1:00.0"},
		{"fFffFffF:00:00.0", "ffffffff:00:00.0"},
		{UUID, UUID},
		{"83B8F4F2-509F-382F-3C1E-E6BFE0FA1001", UUID},
		{"", NULL},
		{"65:00.0", NULL},
		{"000:65:00.0", NULL},
		{"00000:65:00.0", NULL}, /* sysfs never writes a domain so */
		{"100000000:65:00.0", NULL},
		{"0000:65:20.0", NULL},
		{"0000:65:00.8", NULL},
		{"0000:65:00.", NULL},
		{"0000:65:00.00", NULL},
		{"0000:65:00.0 ", NULL},
		{"0000:65:00.0\n", NULL},
		{"0000:65:00/0", NULL},
		{"../../0000:65:00.0", NULL},
		{"0000:65:00.0/../..", NULL},
		{"/sys/bus/pci/devices/0000:65:00.0", NULL},
		{"83b8f4f2-509f-382f-3c1e-e6bfe0fa100", NULL},
		{"83b8f4f2-509f-382f-3c1e-e6bfe0fa10011", NULL},
		{"83b8f4f2-509f-382f-3c1e-e6bfe0fa100g", NULL},
		{"83b8f4f2.509f.382f.3c1e.e6bfe0fa1001", NULL},
		{"..", NULL},
		{"0000:65:*.0", NULL},
		{"\xff\xff\xff\xff:65:00.0", NULL},
	};
	char name[DEVICE_NAME_MAX];
	size_t n;

	for (n = 0; n < ARRAY_SIZE(cases); n++) {
		int err;

		strcpy(name, "untouched");
		err = device_name(cases[n].text, name);
		CHECK(cases[n].text, err == (cases[n].expected ? 0 : -EINVAL));
		CU_ASSERT_STRING_EQUAL(name, cases[n].expected ? cases[n].expected : "untouched");
	}
}

static void check_device(const struct device *is, const struct device *expected)
{
	const char *row = expected->name;

	CHECK(row, strcmp(is->name, expected->name) == 0);
	CHECK(row, strcmp(is->driver, expected->driver) == 0);
	CHECK(row, strcmp(is->cdev, expected->cdev) == 0);
	CHECK(row, strcmp(is->host_peer, expected->host_peer) == 0);
	CHECK(row, strcmp(is->host_peer_driver, expected->host_peer_driver) == 0);
	CHECK(row, is->found == expected->found);
	CHECK(row, is->mdev == expected->mdev);
	CHECK(row, is->vendor == expected->vendor);
	CHECK(row, is->device == expected->device);
	CHECK(row, is->group == expected->group);
	CHECK(row, is->reset == expected->reset);
}

static void probe_says_what_sysfs_says(void)
{
	const struct device cases[] = {
		{.name = "0000:00:05.0",
		 .found = true,
		 .vendor = 0x1234,
		 .device = 0x11e8,
		 .driver = "vfio-pci",
		 .cdev = "vfio12",
		 .group = 4,
		 .reset = true},
		{.name = "0000:00:06.0",
		 .found = true,
		 .vendor = 0x8086,
		 .device = 1,
		 .group = DEVICE_NO_GROUP},
		{.name = "0000:00:07.0",
		 .found = true,
		 .vendor = 0x8086,
		 .device = 2,
		 .driver = "vfio-pci",
		 .group = DEVICE_NO_GROUP},
		{.name = "0000:00:1f.0",
		 .found = true,
		 .vendor = 0x8086,
		 .device = 3,
		 .driver = "vfio-pci",
		 .group = 8,
		 .host_peer = "0000:00:1f.2",
		 .host_peer_driver = "ahci"},
		{.name = "0000:02:00.0",
		 .found = true,
		 .vendor = 0x15b3,
		 .device = 0x101e,
		 .driver = "mlx5_vfio_pci",
		 .cdev = "vfio0",
		 .group = 9},
		{.name = "0000:03:00.0", .found = true, .driver = LONG, .group = DEVICE_NO_GROUP},
		{.name = "0000:03:00.2",
		 .found = true,
		 .vendor = 0x8086,
		 .device = 1,
		 .group = DEVICE_NO_GROUP},
		{.name = UUID,
		 .found = true,
		 .mdev = true,
		 .driver = "mtty",
		 .cdev = "vfio7",
		 .group = 10},
		{.name = "0000:04:00.0", .group = DEVICE_NO_GROUP},
		{.name = "0000:77:00.0", .group = DEVICE_NO_GROUP},
		{.name = "00000000-509f-382f-3c1e-e6bfe0fa1001",
		 .mdev = true,
		 .group = DEVICE_NO_GROUP},
	};
	CLEANUP(tree_fini) struct tree tree = {.fd = -1};
	int before;
	size_t n;

	tree_init(&tree);
	before = suite_count_fds();
	for (n = 0; n < ARRAY_SIZE(cases); n++) {
		struct device device;
		int err;

		memset(&device, 0xa5, sizeof(device));
		err = device_probe(tree.fd, cases[n].name, &device);
		CHECK(cases[n].name, err == 0);
		check_device(&device, &cases[n]);
		CU_ASSERT_EQUAL(suite_count_fds(), before);
	}
}

static void probe_errors_leave_all_as_it_was(void)
{
	static const struct {
		const char *name;
		int expected;
	} cases[] = {
		{"0000:03:00.1", -EBADMSG}, /* group number */
		{"../pci/devices/0000:00:05.0", -EINVAL},
		{"0000:00:1F.0", -EINVAL}, /* not normalised */
		{"", -EINVAL},
	};
	CLEANUP(tree_fini) struct tree tree = {.fd = -1};
	struct device device;
	int before;
	size_t n;

	tree_init(&tree);
	before = suite_count_fds();
	for (n = 0; n < ARRAY_SIZE(cases); n++) {
		strcpy(device.name, "untouched");
		CU_ASSERT_EQUAL(device_probe(tree.fd, cases[n].name, &device), cases[n].expected);
		CU_ASSERT_STRING_EQUAL(device.name, "untouched");
		CU_ASSERT_EQUAL(suite_count_fds(), before);
	}
	CU_ASSERT_EQUAL(device_probe(-1, "0000:00:05.0", &device), -EBADF);
}

static const CU_TestInfo tests[] = {
	{"names are PCI addresses or mdev UUIDs", names_are_addresses_or_uuids},
	{"probe says what sysfs says", probe_says_what_sysfs_says},
	{"probe errors leave all as it was", probe_errors_leave_all_as_it_was},
	CU_TEST_INFO_NULL,
};

const struct suite suite_device = {"device", tests};
