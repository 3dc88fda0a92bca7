/* SPDX-License-Identifier: MIT */
#include "client/bars.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define DEVICE "0000:65:00.0"
#define DEVICE_DIR "bus/pci/devices/0000:65:00.0"
#define EMPTY "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"

/* A /sys with one device, whose file has that text. */
static int sysfs_make(char *dir, const char *resource)
{
	static const char *const dirs[] = {"bus", "bus/pci", "bus/pci/devices", DEVICE_DIR};
	CLEANUP(file_closep) FILE *file = NULL;
	int fd;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CU_ASSERT_FATAL(fd >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		CU_ASSERT_FATAL(mkdirat(fd, dirs[i], 0755) == 0);
	file = fdopen(openat(fd, DEVICE_DIR "/resource", O_WRONLY | O_CREAT | O_CLOEXEC, 0644),
		      "we");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	(void)fputs(resource, file); /* what is missing fails the test */
	return fd;
}

static void sysfs_remove(int fd, const char *dir)
{
	static const char *const dirs[] = {DEVICE_DIR, "bus/pci/devices", "bus/pci", "bus"};

	CU_ASSERT(unlinkat(fd, DEVICE_DIR "/resource", 0) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		CU_ASSERT(unlinkat(fd, dirs[i], AT_REMOVEDIR) == 0);
	CU_ASSERT(rmdir(dir) == 0);
	(void)close(fd);
}

static void memory_bars_are_added_up(void)
{
	static const struct {
		const char *name, *resource;
		size_t n;
		uint64_t bytes;
	} cases[] = {
		{"none", EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY, 0, 0},
		{"one",
		 "0x00000000fe000000 0x00000000fe0fffff 0x0000000000040200\n" EMPTY EMPTY EMPTY, 1,
		 1 << 20},
		{"a large one of 64 bits",
		 EMPTY "0x0000380000000000 0x000038ffffffffff 0x000000000014220c\n" EMPTY, 1,
		 UINT64_C(1) << 40},
		{"ports are none",
		 "0x000000000000c000 0x000000000000c01f 0x0000000000040101\n"
		 "0x00000000fe000000 0x00000000fe000fff 0x0000000000040200\n",
		 1, 4096},
		{"a ROM and windows are none",
		 EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY
		 "0x00000000fe000000 0x00000000fe0fffff 0x0000000000046200\n",
		 0, 0},
		{"what cannot be",
		 "0x2 0x1 0x200\n0xffffffffffffffff 0xffffffffffffffff 0x200\nx\n", 0, 0},
		{"an empty file", "", 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char dir[] = "/tmp/pinbroker-bars-XXXXXX";
		int sysfs_fd = sysfs_make(dir, cases[i].resource);
		int n_fds = suite_count_fds();
		struct bars bars;

		CHECK(cases[i].name, bars_read(sysfs_fd, DEVICE, &bars) == 0 && bars.known);
		CHECK(cases[i].name, bars.n == cases[i].n && bars.bytes == cases[i].bytes);
		CHECK(cases[i].name, bars.n != 1 || bars.bar[0].bytes == cases[i].bytes);
		CHECK(cases[i].name, bars_mappings(&bars) == cases[i].n + 1);
		CHECK(cases[i].name, suite_count_fds() == n_fds);
		sysfs_remove(sysfs_fd, dir);
	}
}

static void who_is_not_there_may_have_all(void)
{
	char dir[] = "/tmp/pinbroker-bars-XXXXXX";
	int sysfs_fd = sysfs_make(dir, EMPTY);
	struct bars bars;

	CHECK("absent", bars_read(sysfs_fd, "0000:66:00.0", &bars) == 0 && !bars.known);
	CHECK("absent", bars_mappings(&bars) == 7);
	CHECK("mediated", bars_read(sysfs_fd, "4b20d080-1b54-4048-85b3-a6a62d165c01", &bars) == 0 &&
				  !bars.known);
	CHECK("no sysfs", bars_read(-1, DEVICE, &bars) == -EBADF && !bars.known);
	sysfs_remove(sysfs_fd, dir);
}

static const CU_TestInfo tests[] = {
	{"memory BARs are added up", memory_bars_are_added_up},
	{"a device that is not there may have all of them", who_is_not_there_may_have_all},
	CU_TEST_INFO_NULL,
};

const struct suite suite_bars = {"bars", tests};
