/* SPDX-License-Identifier: MIT */
/* cgroup/: file.c, group.c, walk.c, processes.c, events.c. */
#include "cgroup/group.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cgroup/file.h"
#include "common/cleanup.h"
#include "tests/unit/cgm_fixture.h"
#include "tests/unit/suite.h"

static struct cgm_fixture f;

/* "/a", with all files. */
static struct cgm_name group_begin(void)
{
	struct cgm_name name;

	cgm_fixture_init(&f);
	cgm_fixture_group(&f, "/a", "domain");
	cgm_fixture_file(&f, "/a", "memory.min", "0\n");
	cgm_fixture_file(&f, "/a", "memory.max", "max\n");
	cgm_fixture_file(&f, "/a", "memory.current", "8388608\n");
	cgm_fixture_file(&f, "/a", "memory.stat", "anon 4096\nfile 9\nshmem 8192\nshmem_thp 1\n");
	cgm_fixture_file(&f, "/a", "hugetlb.2MB.max", "max\n");
	cgm_fixture_file(&f, "/a", "hugetlb.2MB.current", "4194304\n");
	CU_ASSERT_EQUAL_FATAL(cgm_group_name(&f.tree, "/a", &name), 0);
	return name;
}

static void paths_are_checked(void)
{
	static const struct {
		const char *path;
		int expected;
	} rows[] = {
		{"/", 0},
		{"/a", 0},
		{"/a/b.c", 0},
		{"/machine-qemu\\x2d1\\x2dvm.scope/with space", 0},
		{"/..a/...", 0},
		{"/a (deleted)", 0},
		{"", -EINVAL},
		{"a", -EINVAL},
		{"//", -EINVAL},
		{"/a/", -EINVAL},
		{"/a//b", -EINVAL},
		{"/.", -EINVAL},
		{"/a/./b", -EINVAL},
		{"/..", -EXDEV},
		{"/../b", -EXDEV},
		{"/a/../b", -EXDEV},
		{"/a/..", -EXDEV},
	};
	char path[CGM_PATH_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		CHECK(rows[i].path, cgm_path_check(rows[i].path) == rows[i].expected);
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[CGM_PATH_MAX] = '\0';
	CU_ASSERT_EQUAL(cgm_path_check(path), -ENAMETOOLONG);
	path[CGM_PATH_MAX - 1] = '\0';
	CU_ASSERT_EQUAL(cgm_path_check(path), 0);
}

static void numbers_are_read(void)
{
	static const struct {
		const char *text;
		int expected;
		uint64_t value;
	} rows[] = {
		{"0\n", 0, 0},
		{"4096", 0, 4096},
		{"max\n", 0, CGM_NO_LIMIT},
		{"18446744073709551616\n", -EPROTO, 0},
		{"-1\n", -EPROTO, 0},
		{" 1\n", -EPROTO, 0},
		{"1 2\n", -EPROTO, 0},
		{"\n", -EPROTO, 0},
		{"", -EPROTO, 0},
		{"maximum\n", -EPROTO, 0},
	};
	CLEANUP(fd_closep) int fd = -1;

	(void)group_begin();
	CU_ASSERT_EQUAL_FATAL(cgm_dir_open(&f.tree, "/a", &fd, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t value = 0;

		cgm_fixture_file(&f, "/a", "number", rows[i].text);
		CHECK(rows[i].text, cgm_file_number(fd, "number", &value) == rows[i].expected);
		CHECK(rows[i].text, value == rows[i].value);
	}
	cgm_fixture_fini(&f);
}

static void lines_are_found(void)
{
	uint64_t value;

	CU_ASSERT_EQUAL(cgm_text_number("oom_kill 3\noom 2\n", "oom", &value), 0);
	CU_ASSERT_EQUAL(value, 2);
	CU_ASSERT_EQUAL(cgm_text_number("oom_kill 3\n", "oom", &value), -ENODATA);
	CU_ASSERT_EQUAL(cgm_text_number("", "oom", &value), -ENODATA);
	CU_ASSERT_EQUAL(cgm_text_number("oom x\n", "oom", &value), -EPROTO);
	CU_ASSERT_EQUAL(cgm_text_number("a 1\noom 7", "oom", &value), 0);
	CU_ASSERT_EQUAL(value, 7);
}

static void limits_are_those_there_are(void)
{
	struct cgm_name name = group_begin();
	struct cgm_limits limits;

	CU_ASSERT_EQUAL_FATAL(cgm_group_limits(&f.tree, &name, &limits), 0);
	CU_ASSERT_TRUE(limits.known[CGM_MEMORY_MIN] && limits.known[CGM_MEMORY_MAX]);
	CU_ASSERT_EQUAL(limits.value[CGM_MEMORY_MIN], 0);
	CU_ASSERT_EQUAL(limits.value[CGM_MEMORY_MAX], CGM_NO_LIMIT);
	CU_ASSERT_TRUE(limits.known[CGM_HUGE_MAX_FIRST]);
	CU_ASSERT_FALSE(limits.known[CGM_HUGE_MAX_FIRST + 1] || limits.known[CGM_KEYS - 1]);
	cgm_fixture_file(&f, "/a", "memory.max", "many\n");
	CU_ASSERT_EQUAL(cgm_group_limits(&f.tree, &name, &limits), -EPROTO);
	cgm_fixture_fini(&f);
}

static void usage_is_read(void)
{
	struct cgm_name name = group_begin(), root;
	struct cgm_usage usage;

	CU_ASSERT_EQUAL_FATAL(cgm_group_usage(&f.tree, &name, &usage), 0);
	CU_ASSERT_EQUAL(usage.current, 8388608);
	CU_ASSERT_EQUAL(usage.anon, 4096);
	CU_ASSERT_EQUAL(usage.shmem, 8192);
	CU_ASSERT_EQUAL(usage.huge[0], 4194304);
	CU_ASSERT_EQUAL(usage.huge[1], 0);
	CU_ASSERT_EQUAL_FATAL(cgm_group_name(&f.tree, "/", &root), 0);
	CU_ASSERT_EQUAL_FATAL(cgm_group_usage(&f.tree, &root, &usage), 0); /* without any file */
	CU_ASSERT_EQUAL(usage.current, 0);
	cgm_fixture_fini(&f);
}

static void replaced_group_is_stale(void)
{
	struct cgm_name name = group_begin();
	struct cgm_limits limits;
	struct cgm_usage usage;
	uint64_t value = 7;
	int fd = -1;

	cgm_fixture_replace(&f, "/a");
	cgm_fixture_file(&f, "/a", "memory.max", "max\n");
	CU_ASSERT_EQUAL(cgm_group_limits(&f.tree, &name, &limits), -ESTALE);
	CU_ASSERT_EQUAL(cgm_group_usage(&f.tree, &name, &usage), -ESTALE);
	CU_ASSERT_EQUAL(cgm_group_set(&f.tree, &name, CGM_MEMORY_MAX, 1 << 30, &value), -ESTALE);
	CU_ASSERT_EQUAL(cgm_events_open(&f.tree, &name, &fd), -ESTALE);
	CU_ASSERT_EQUAL(cgm_pressure_open(&f.tree, &name, 100, &fd), -ESTALE);
	cgm_fixture_remove(&f, "/a");
	CU_ASSERT_EQUAL(cgm_group_limits(&f.tree, &name, &limits), -ENOENT);
	CU_ASSERT_EQUAL(cgm_group_set(&f.tree, &name, CGM_MEMORY_MAX, 1 << 30, &value), -ENOENT);
	CU_ASSERT_EQUAL(value, 7);
	CU_ASSERT_EQUAL(fd, -1);
	cgm_fixture_fini(&f);
}

static void replace_a(struct cgm_fixture *fixture)
{
	cgm_fixture_replace(fixture, "/a");
	cgm_fixture_file(fixture, "/a", "memory.min", "0\n");
}

static void remove_a(struct cgm_fixture *fixture)
{
	cgm_fixture_remove(fixture, "/a");
}

/* By the path libcgroup may have written to another: that is told. */
static void replaced_while_written_is_stale(void)
{
	struct cgm_name name = group_begin();
	uint64_t value = 7;

	cgm_fixture_before_write(replace_a, &f);
	CU_ASSERT_EQUAL(cgm_group_set(&f.tree, &name, CGM_MEMORY_MIN, 4096, &value), -ESTALE);
	cgm_fixture_fini(&f);
	name = group_begin();
	cgm_fixture_before_write(remove_a, &f);
	CU_ASSERT_EQUAL(cgm_group_set(&f.tree, &name, CGM_MEMORY_MIN, 4096, &value), -ENOENT);
	CU_ASSERT_EQUAL(value, 7);
	cgm_fixture_fini(&f);
}

static void errors_are_those_of_the_call(void)
{
	static const struct {
		const char *name;
		int fails;
		int expected;
	} rows[] = {
		{"EACCES", EACCES, -EACCES},
		{"EBUSY", EBUSY, -EBUSY},
		{"EINVAL", EINVAL, -EINVAL},
		{"EROFS", EROFS, -EROFS},
		{"no such file, but the cgroup", ENOENT, -ENODATA},
		{"being removed, but there", ENODEV, -ENODATA},
	};
	struct cgm_name name = group_begin();
	uint64_t value = 7;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cgm_fixture_fail(rows[i].fails);
		CHECK(rows[i].name, cgm_group_set(&f.tree, &name, CGM_MEMORY_MAX, 1 << 30,
						  &value) == rows[i].expected);
	}
	CU_ASSERT_EQUAL(cgm_group_set(&f.tree, &name, CGM_HUGE_MAX_FIRST + 1, 0, &value), -ENODATA);
	CU_ASSERT_EQUAL(cgm_group_set(&f.tree, &name, CGM_HUGE_MAX_FIRST + 2, 0, &value), -ENODATA);
	CU_ASSERT_EQUAL(value, 7);
	cgm_fixture_fini(&f);
}

static void values_are_whole_pages(void)
{
	static const struct {
		const char *name;
		enum cgm_key key;
		uint64_t value;
		uint64_t expected;
		const char *file;
		const char *text;
	} rows[] = {
		{"min", CGM_MEMORY_MIN, 1, 4096, "memory.min", "4096"},
		{"no min", CGM_MEMORY_MIN, 0, 0, "memory.min", "0"},
		{"max", CGM_MEMORY_MAX, 8388609, 8392704, "memory.max", "8392704"},
		{"max as used", CGM_MEMORY_MAX, 8388608, 8388608, "memory.max", "8388608"},
		{"max below usage", CGM_MEMORY_MAX, 0, 8388608, "memory.max", "8388608"},
		{"none", CGM_MEMORY_MAX, CGM_NO_LIMIT, CGM_NO_LIMIT, "memory.max", "max"},
		{"nearly none", CGM_MEMORY_MAX, INT64_MAX, CGM_NO_LIMIT, "memory.max", "max"},
		{"huge", CGM_HUGE_MAX_FIRST, 5 << 20, 6 << 20, "hugetlb.2MB.max", "6291456"},
		{"huge below usage", CGM_HUGE_MAX_FIRST, 1, 4 << 20, "hugetlb.2MB.max", "4194304"},
	};
	struct cgm_name name = group_begin();

	if (sysconf(_SC_PAGESIZE) != 4096) {
		suite_skip("the table is of pages of 4 KiB");
	} else {
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			uint64_t value = 7;

			CHECK(rows[i].name, cgm_group_set(&f.tree, &name, rows[i].key,
							  rows[i].value, &value) == 0);
			CHECK(rows[i].name, value == rows[i].expected);
			CHECK(rows[i].name, cgm_fixture_has(&f, "/a", rows[i].file, rows[i].text));
		}
	}
	cgm_fixture_fini(&f);
}

/* Whatever is in use, wanted, and going wrong. */
static void maximum_is_never_below_usage(void)
{
	static const int fails[] = {0, 0, 0, EACCES, EBUSY, EINVAL, ENOENT};
	uint64_t state = suite_seed("maximum_is_never_below_usage");
	struct cgm_name name = group_begin();

	for (int i = 0; i < 500; i++) {
		const uint64_t used = (suite_random(&state) >> (20 + suite_random(&state) % 44)) &
				      ~UINT64_C(4095);
		const uint64_t wanted = suite_random(&state) >> (suite_random(&state) % 64);
		const int fail = fails[suite_random(&state) % ARRAY_SIZE(fails)];
		uint64_t value = CGM_NO_LIMIT;
		char text[32];
		struct cgm_limits limits;

		(void)snprintf(text, sizeof(text), "%" PRIu64 "\n", used);
		cgm_fixture_file(&f, "/a", "memory.current", text);
		cgm_fixture_file(&f, "/a", "memory.max", "max\n");
		cgm_fixture_fail(fail);
		CU_ASSERT_EQUAL(cgm_group_set(&f.tree, &name, CGM_MEMORY_MAX, wanted, &value) == 0,
				fail == 0);
		CU_ASSERT(value >= used && value >= wanted);
		if (fail)
			continue;
		CU_ASSERT_EQUAL(cgm_group_limits(&f.tree, &name, &limits), 0);
		CU_ASSERT_EQUAL(limits.value[CGM_MEMORY_MAX], value);
	}
	cgm_fixture_fini(&f);
}

static void keys_have_names(void)
{
	char name[32];

	(void)group_begin();
	cgm_key_name(&f.tree, CGM_MEMORY_MIN, name);
	CU_ASSERT_STRING_EQUAL(name, "memory.min");
	cgm_key_name(&f.tree, CGM_MEMORY_MAX, name);
	CU_ASSERT_STRING_EQUAL(name, "memory.max");
	cgm_key_name(&f.tree, CGM_HUGE_MAX_FIRST, name);
	CU_ASSERT_STRING_EQUAL(name, "hugetlb.2MB.max");
	cgm_key_name(&f.tree, CGM_HUGE_MAX_FIRST + 1, name);
	CU_ASSERT_STRING_EQUAL(name, "hugetlb.1GB.max");
	f.tree.huge[0] = 64 << 10;
	cgm_key_name(&f.tree, CGM_HUGE_MAX_FIRST, name);
	CU_ASSERT_STRING_EQUAL(name, "hugetlb.64KB.max");
	cgm_fixture_fini(&f);
}

static void groups_are_found_by_id(void)
{
	static const char *const paths[] = {"/", "/a", "/a/b", "/a/b/c", "/d", "/d/e f"};
	struct cgm_name name = group_begin(), found;

	for (size_t i = 2; i < ARRAY_SIZE(paths); i++)
		cgm_fixture_group(&f, paths[i], "domain");
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		CHECK(paths[i], cgm_group_name(&f.tree, paths[i], &name) == 0);
		CHECK(paths[i], cgm_group_find(&f.tree, name.id, &found) == 0);
		CHECK(paths[i], strcmp(found.path, paths[i]) == 0 && found.id == name.id);
	}
	CU_ASSERT_EQUAL(cgm_group_find(&f.tree, UINT64_MAX, &found), -ENOENT);
	cgm_fixture_fini(&f);
}

struct seen {
	pid_t pids[16];
	size_t n;
	size_t max;
};

static bool see(pid_t pid, void *arg)
{
	struct seen *seen = arg;

	seen->pids[seen->n++] = pid;
	return seen->n < seen->max;
}

static void processes_come_once_and_in_order(void)
{
	static const pid_t expected[] = {0, 3, 5, 20, 100};
	struct seen seen = {.max = ARRAY_SIZE(seen.pids)};
	struct cgm_name name = group_begin();

	cgm_fixture_group(&f, "/a/b", "domain");
	cgm_fixture_group(&f, "/a/b/c", "domain");
	cgm_fixture_file(&f, "/a", "cgroup.procs", "100\n5\n");
	cgm_fixture_file(&f, "/a/b", "cgroup.procs", "0\n5\n0\n");
	cgm_fixture_file(&f, "/a/b/c", "cgroup.procs", "20\n3\n20\n");
	CU_ASSERT_EQUAL(cgm_group_processes(&f.tree, &name, see, &seen), 0);
	CU_ASSERT_EQUAL_FATAL(seen.n, ARRAY_SIZE(expected));
	CU_ASSERT_EQUAL(memcmp(seen.pids, expected, sizeof(expected)), 0);
	seen.n = 0;
	seen.max = 2;
	CU_ASSERT_EQUAL(cgm_group_processes(&f.tree, &name, see, &seen), -ECANCELED);
	CU_ASSERT_EQUAL(seen.n, 2);
	cgm_fixture_replace(&f, "/a");
	CU_ASSERT_EQUAL(cgm_group_processes(&f.tree, &name, see, &seen), -ESTALE);
	cgm_fixture_fini(&f);
}

static void events_are_read_again_and_again(void)
{
	struct cgm_name name = group_begin();
	CLEANUP(fd_closep) int fd = -1;
	struct cgm_events events;

	CU_ASSERT_EQUAL(cgm_events_open(&f.tree, &name, &fd), -ENODATA);
	CU_ASSERT_EQUAL(cgm_pressure_open(&f.tree, &name, 100, &fd), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(cgm_pressure_open(&f.tree, &name, 0, &fd), -EINVAL);
	CU_ASSERT_EQUAL(cgm_pressure_open(&f.tree, &name, 1001, &fd), -EINVAL);
	cgm_fixture_file(&f, "/a", "memory.events", "low 9\nmax 1\noom 2\noom_kill 3\n");
	CU_ASSERT_EQUAL_FATAL(cgm_events_open(&f.tree, &name, &fd), 0);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(cgm_events_read(fd, &events), 0);
		CU_ASSERT(events.max == 1 && events.oom == 2 && events.oom_kill == 3);
	}
	cgm_fixture_file(&f, "/a", "memory.events", "max 1\n");
	CU_ASSERT_EQUAL(cgm_events_read(fd, &events), -ENODATA);
	cgm_fixture_fini(&f);
}

static const CU_TestInfo tests[] = {
	{"paths of cgroups are from the root, and whole", paths_are_checked},
	{"a file has one number, or max", numbers_are_read},
	{"a line is found by its whole word", lines_are_found},
	{"a limit without a file is not known", limits_are_those_there_are},
	{"usage without a file is none", usage_is_read},
	{"another cgroup at the path is not taken for it", replaced_group_is_stale},
	{"a cgroup that goes while it is written is told", replaced_while_written_is_stale},
	{"a write fails with what the system call said", errors_are_those_of_the_call},
	{"what is written is what will be read", values_are_whole_pages},
	{"a maximum is never below what is in use", maximum_is_never_below_usage},
	{"limits are named after their files", keys_have_names},
	{"a cgroup is found by its id", groups_are_found_by_id},
	{"every process comes once", processes_come_once_and_in_order},
	{"events are read from the beginning", events_are_read_again_and_again},
	CU_TEST_INFO_NULL,
};

const struct suite suite_cgm_group = {"cgm_group", tests};
