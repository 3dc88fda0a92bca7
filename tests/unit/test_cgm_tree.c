/* SPDX-License-Identifier: MIT */
/* cgroup/tree.c: which hierarchy a host has. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cgroup/tree_private.h"
#include "common/cleanup.h"
#include "tests/unit/cgm_fixture.h"
#include "tests/unit/suite.h"

#define ROOT "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
#define V2(options) "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 " options "\n"
#define HYBRID "30 23 0:27 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n"
#define V1 "31 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

static void mounts_are_read(void)
{
	static const struct {
		const char *name;
		const char *mountinfo;
		const char *at;
		struct cgm_mounts expected;
	} rows[] = {
		{"none", ROOT, "", {false, false, false, false}},
		{"v2", ROOT V2("rw,nsdelegate"), "/sys/fs/cgroup", {false, true, true, false}},
		{"with an option",
		 V2("rw,nsdelegate,memory_hugetlb_accounting"),
		 "/sys/fs/cgroup",
		 {false, true, true, true}},
		{"with one that begins like it",
		 V2("rw,memory_hugetlb_accounting2"),
		 "/sys/fs/cgroup",
		 {false, true, true, false}},
		{"first of all options",
		 V2("memory_hugetlb_accounting,rw"),
		 "/sys/fs/cgroup",
		 {false, true, true, true}},
		{"v1", ROOT V1, "/sys/fs/cgroup/memory", {true, false, true, false}},
		{"hybrid", HYBRID V1, "/sys/fs/cgroup/memory", {true, false, true, false}},
		{"elsewhere", HYBRID, "/sys/fs/cgroup", {false, false, false, false}},
		{"a part of it",
		 "29 23 0:26 /a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
		 "/sys/fs/cgroup",
		 {false, true, false, false}},
		{"from above a namespace",
		 "29 23 0:26 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
		 "/sys/fs/cgroup",
		 {false, true, false, false}},
		{"no source",
		 "29 23 0:26 / /cg rw - cgroup2  rw\n",
		 "/cg",
		 {false, true, true, false}},
		{"a name with a space",
		 "29 23 0:26 / /c\\040g\\134 rw a:1 b:2 - cgroup2 - in rw\n",
		 "/c g\\",
		 {false, true, true, false}},
		{"hidden by another",
		 V2("rw,memory_hugetlb_accounting") "40 29 0:50 / /sys/fs/cgroup rw - tmpfs t rw\n",
		 "/sys/fs/cgroup",
		 {false, false, true, false}},
		{"cut off", "29 23 0:26 / /cg rw - cgroup2", "/cg", {false, false, false, false}},
		{"no separator", "29 23 0:26 / /cg rw\n", "/cg", {false, false, false, false}},
		{"too short", "29 23 - cgroup2 a b\n", "", {false, false, false, false}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[512];
		CLEANUP(file_closep) FILE *file = NULL;
		struct cgm_mounts mounts;

		(void)snprintf(text, sizeof(text), "%s", rows[i].mountinfo);
		file = fmemopen(text, strlen(text), "r");
		CU_ASSERT_PTR_NOT_NULL_FATAL(file);
		CHECK(rows[i].name, cgm_mounts_read(file, rows[i].at, &mounts) == 0);
		CHECK(rows[i].name, mounts.v1 == rows[i].expected.v1);
		CHECK(rows[i].name, mounts.v2 == rows[i].expected.v2);
		CHECK(rows[i].name, mounts.whole == rows[i].expected.whole);
		CHECK(rows[i].name, mounts.huge_in_memory == rows[i].expected.huge_in_memory);
	}
}

static void sizes_are_ascending(void)
{
	struct cgm_fixture f;
	uint64_t sizes[CGM_HUGE_MAX];

	cgm_fixture_init(&f);
	cgm_fixture_group(&f, "/hugepages-1048576kB", "domain");
	cgm_fixture_group(&f, "/hugepages-64kB", "domain");
	cgm_fixture_group(&f, "/hugepages-2048kB", "domain");
	cgm_fixture_group(&f, "/hugepages-4096MB", "domain");
	cgm_fixture_group(&f, "/hugepages-", "domain");
	CU_ASSERT_EQUAL_FATAL(cgm_huge_sizes_read(f.tree.fd, sizes), 3);
	CU_ASSERT_EQUAL(sizes[0], 64 << 10);
	CU_ASSERT_EQUAL(sizes[1], 2 << 20);
	CU_ASSERT_EQUAL(sizes[2], 1 << 30);
	cgm_fixture_fini(&f);
}

static void host_is_left_as_it_is(void)
{
	int fds = suite_count_fds(), err;
	struct cgm_tree *tree = NULL;

	err = cgm_tree_open(&tree); /* whatever this host has */
	CU_ASSERT(err == 0 || err == -ENOTSUP || err == -ENODEV || err == -EXDEV);
	CU_ASSERT_EQUAL(tree != NULL, err == 0);
	cgm_tree_close(tree);
	cgm_tree_close(NULL);
	CU_ASSERT_EQUAL(suite_count_fds(), fds);
}

static const CU_TestInfo tests[] = {
	{"mountinfo tells v1 from v2, and how it is mounted", mounts_are_read},
	{"sizes of huge pages come in order", sizes_are_ascending},
	{"opening and closing leaves no descriptor", host_is_left_as_it_is},
	CU_TEST_INFO_NULL,
};

const struct suite suite_cgm_tree = {"cgm_tree", tests};
