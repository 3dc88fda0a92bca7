/* SPDX-License-Identifier: MIT */
/* cgroup/: place.c, kin.c; place_make.c as far as it needs no kernel. */
#include "cgroup/place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cgroup/kin.h"
#include "common/cleanup.h"
#include "tests/unit/cgm_fixture.h"
#include "tests/unit/child.h"
#include "tests/unit/suite.h"

static struct cgm_fixture f;

/* With memory files, and without. */
static void memory_group(const char *path, const char *type)
{
	cgm_fixture_group(&f, path, type);
	cgm_fixture_file(&f, path, "memory.max", "max\n");
	cgm_fixture_file(&f, path, "memory.min", "0\n");
}

static void stat_lines_are_parsed(void)
{
	static const struct {
		const char *line;
		pid_t parent; /* -1: none */
	} rows[] = {
		{"12 (qemu) S 7 12 12 0", 7},
		{"12 (a) S 9 (b)) R 8 1", 8},
		{"12 (new\nline) T 1 1", 1},
		{"12 () S 0 0", 0},
		{"12 (x) S", -1},
		{"12 (x) S 7", -1}, /* cut off: it may be 71 */
		{"12 (x) SS 7 1", -1},
		{"12 (x) S -7 1", -1},
		{"12 (x) S 99999999999 1", -1},
		{"12 (x)", -1},
		{"12 x S 7 1", -1},
		{"", -1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		pid_t parent = -1;

		CHECK(rows[i].line, cgm_kin_parse(rows[i].line, &parent) == (rows[i].parent >= 0));
		CHECK(rows[i].line, parent == rows[i].parent);
	}
}

static void kin_is_who_was_started(void)
{
	const pid_t own[] = {getpid()};
	struct child child, other;

	child_start(&child);
	child_start(&other);
	CU_ASSERT_TRUE(cgm_kin_is(getpid(), own, 1));
	CU_ASSERT_TRUE(cgm_kin_is(child.pid, own, 1));
	CU_ASSERT_FALSE(cgm_kin_is(child.pid, &other.pid, 1)); /* a sister */
	CU_ASSERT_FALSE(cgm_kin_is(getppid(), own, 1));
	CU_ASSERT_FALSE(cgm_kin_is(getpid(), NULL, 0));
	CU_ASSERT_FALSE(cgm_kin_is(1, &child.pid, 1));
	CU_ASSERT_FALSE(cgm_kin_is(0, own, 1)); /* of another pid namespace */
	CU_ASSERT_EQUAL(child_end(&other), 0);
	CU_ASSERT_TRUE(cgm_kin_is(other.pid, &child.pid, 1)); /* gone */
	CU_ASSERT_EQUAL(child_end(&child), 0);
}

static void place_is(const char *path, const pid_t *pids, size_t n_pids, enum cgm_verdict verdict,
		     const char *target, bool machine)
{
	struct cgm_place place;

	CHECK(path, cgm_place_find(&f.tree, path, pids, n_pids, &place) == 0);
	CHECK(path, place.verdict == verdict);
	CHECK(path, place.machine == machine);
	CHECK(path, strcmp(place.target.path, target) == 0);
	cgm_place_fini(&place);
}

static void nearest_with_memory_is_the_target(void)
{
	struct cgm_place place;
	char text[128];

	cgm_fixture_init(&f);
	memory_group("/a", "domain");
	memory_group("/a/b", "domain");
	cgm_fixture_group(&f, "/a/b/c", "domain");
	memory_group("/a/t", "threaded"); /* which has none in truth */
	cgm_fixture_group(&f, "/d", "domain");
	cgm_fixture_group(&f, "/a/o", "domain");
	cgm_fixture_file(&f, "/a/o", "memory.max", "max\n");
	memory_group("/a/o/p", "domain");
	place_is("/a/b", NULL, 0, CGM_TARGET, "/a/b", false);
	place_is("/a/b/c", NULL, 0, CGM_TARGET, "/a/b", false);
	place_is("/a/t", NULL, 0, CGM_TARGET, "/a", false);
	place_is("/d", NULL, 0, CGM_ROOT, "", false);
	place_is("/", NULL, 0, CGM_ROOT, "", false);
	CU_ASSERT_EQUAL(cgm_place_find(&f.tree, "/x", NULL, 0, &place), -ENOENT);
	CU_ASSERT_EQUAL(cgm_place_find(&f.tree, "/../a", NULL, 0, &place), -EXDEV);
	CU_ASSERT_EQUAL_FATAL(cgm_place_find(&f.tree, "/a/o/p", NULL, 0, &place), 0);
	CU_ASSERT_EQUAL_FATAL(place.n_above, 1); /* that cannot protect: not in between */
	CU_ASSERT_STRING_EQUAL(place.above[0].path, "/a");
	cgm_place_reason(&place, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "processes of sessions only: /a/o/p");
	cgm_place_fini(&place);
	cgm_fixture_fini(&f);
}

static void logins_are_no_targets(void)
{
	static const struct {
		const char *path;
		bool login;
	} rows[] = {
		{"/init.scope", true},
		{"/user.slice", true},
		{"/user.slice/user-1000.slice", true},
		{"/user.slice/user-1000.slice/session-3.scope", true},
		{"/user.slice/user-1000.slice/session-c1.scope", true},
		{"/user.slice/user-1000.slice/user@1000.service", true},
		{"/user.slice/user-1000.slice/user@1000.service/init.scope", true},
		{"/user.slice/user-1000.slice/user@1000.service/app.slice", false},
		{"/user.slice/user-1000.slice/user@1000.service/session-3.scope", false},
		{"/system.slice", false},
		{"/system.slice/user.slice", false},
		{"/system.slice/session-3.scope", false},
		{"/system.slice/user@1000.service", false},
		{"/user-1000.slice", false},
	};

	cgm_fixture_init(&f);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		memory_group(rows[i].path, "domain");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		place_is(rows[i].path, NULL, 0, rows[i].login ? CGM_LOGIN : CGM_TARGET,
			 rows[i].path, false);
	cgm_fixture_fini(&f);
}

static void machines_are_known_by_their_layout(void)
{
	static const struct {
		const char *name;
		const char *type; /* of libvirt/ */
		bool memory; /* in libvirt/ */
		bool machine;
		const char *target;
	} rows[] = {
		{"threaded domain", "domain threaded", false, true, "/s"},
		{"domain", "domain", false, true, "/s"},
		{"with memory", "domain threaded", true, true, "/s"},
		{"threaded itself", "threaded", false, false, "/s"},
		{"invalid", "domain invalid", false, false, "/s"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cgm_fixture_init(&f);
		memory_group("/s", "domain");
		(rows[i].memory ? memory_group("/s/libvirt", rows[i].type)
				: cgm_fixture_group(&f, "/s/libvirt", rows[i].type));
		cgm_fixture_group(&f, "/s/libvirt/emulator", "threaded");
		cgm_fixture_group(&f, "/s/libvirtd", "domain");
		cgm_fixture_group(&f, "/libvirt", "domain");
		place_is("/s/libvirt/emulator", NULL, 0, CGM_TARGET, rows[i].target,
			 rows[i].machine);
		place_is("/s/libvirt", NULL, 0, CGM_TARGET, rows[i].target, rows[i].machine);
		place_is("/s/libvirtd", NULL, 0, CGM_TARGET, "/s", false);
		place_is("/s", NULL, 0, CGM_TARGET, "/s", false);
		place_is("/libvirt", NULL, 0, CGM_ROOT, "", false);
		/* Who is beside it is libvirt's business, too, but only from within. */
		cgm_fixture_file(&f, "/s", "cgroup.procs", "1\n");
		place_is("/s/libvirt", NULL, 0, rows[i].machine ? CGM_TARGET : CGM_OTHERS, "/s",
			 rows[i].machine);
		place_is("/s", NULL, 0, CGM_OTHERS, "/s", false);
		cgm_fixture_fini(&f);
	}
}

static void others_keep_a_target_away(void)
{
	const pid_t own[] = {getpid()};
	struct child child;
	struct cgm_place place;
	char text[128], expected[128];

	child_start(&child);
	cgm_fixture_init(&f);
	memory_group("/a", "domain");
	(void)snprintf(text, sizeof(text), "%d\n%d\n", (int)getpid(), (int)child.pid);
	cgm_fixture_file(&f, "/a", "cgroup.procs", text);
	place_is("/a", own, 1, CGM_TARGET, "/a", false);
	CU_ASSERT_EQUAL_FATAL(cgm_place_find(&f.tree, "/a", &child.pid, 1, &place), 0);
	CU_ASSERT_EQUAL(place.verdict, CGM_OTHERS);
	CU_ASSERT_EQUAL(place.other, getpid());
	cgm_place_reason(&place, text, sizeof(text));
	(void)snprintf(expected, sizeof(expected),
		       "process %d is of no session, and in it, too: /a", (int)getpid());
	CU_ASSERT_STRING_EQUAL(text, expected);
	cgm_place_fini(&place);
	CU_ASSERT_EQUAL(child_end(&child), 0);
	cgm_fixture_fini(&f);
}

static void deep_ones_are_no_targets(void)
{
	char path[2 * (CGM_DEPTH_MAX + 3)] = "";
	struct cgm_place place;

	cgm_fixture_init(&f);
	for (int i = 0; i < CGM_DEPTH_MAX + 1; i++) {
		strcat(path, "/d");
		memory_group(path, "domain");
	}
	CU_ASSERT_EQUAL_FATAL(cgm_place_find(&f.tree, path, NULL, 0, &place), 0);
	CU_ASSERT_EQUAL(place.verdict, CGM_TARGET);
	CU_ASSERT_EQUAL(place.n_above, CGM_DEPTH_MAX);
	CU_ASSERT_EQUAL(strlen(place.above[0].path), strlen(path) - 2); /* the nearest */
	cgm_place_fini(&place);
	strcat(path, "/d");
	cgm_fixture_group(&f, path, "domain");
	CU_ASSERT_EQUAL_FATAL(cgm_place_find(&f.tree, path, NULL, 0, &place), 0);
	CU_ASSERT_EQUAL(place.verdict, CGM_TARGET); /* the one above */
	cgm_place_fini(&place);
	cgm_fixture_file(&f, path, "memory.max", "max\n");
	place_is(path, NULL, 0, CGM_TOO_DEEP, "", false);
	cgm_fixture_fini(&f);
}

/* The rest of it is for the kernel: tests/integration/cgroups.sh */
static void making_needs_the_controller(void)
{
	struct cgm_name name = {.id = 7};

	cgm_fixture_init(&f);
	cgm_fixture_file(&f, "/", "cgroup.controllers", "cpu memory2 mem\n");
	cgm_fixture_file(&f, "/", "cgroup.subtree_control", "\n");
	CU_ASSERT_EQUAL(cgm_place_make(&f.tree, "/a", &name), -ENODATA);
	cgm_fixture_file(&f, "/", "cgroup.controllers", "cpu memory hugetlb\n");
	CU_ASSERT_EQUAL(cgm_place_make(&f.tree, "/", &name), -EINVAL);
	CU_ASSERT_EQUAL(cgm_place_make(&f.tree, "/a/../b", &name), -EXDEV);
	CU_ASSERT_EQUAL(cgm_place_make(&f.tree, "/a/b", &name), -ENOENT); /* "/a" has no files */
	CU_ASSERT_TRUE(cgm_fixture_has(&f, "/", "cgroup.subtree_control", "+memory +hugetlb"));
	CU_ASSERT_EQUAL(cgm_group_name(&f.tree, "/a", &name), -ENOENT); /* removed again */
	CU_ASSERT_EQUAL(name.id, 7);
	cgm_fixture_file(&f, "/", "cgroup.subtree_control", "hugetlb memory\n");
	cgm_fixture_fail(EACCES); /* what is on is not written */
	CU_ASSERT_EQUAL(cgm_place_make(&f.tree, "/a", &name), 0);
	CU_ASSERT_STRING_EQUAL(name.path, "/a");
	CU_ASSERT_EQUAL(cgm_place_make(&f.tree, "/a", &name), 0); /* it is there */
	name.id++;
	CU_ASSERT_EQUAL(cgm_place_remove(&f.tree, &name), 0); /* another one's: it stays */
	CU_ASSERT_EQUAL(cgm_place_move(&f.tree, &name, 1), -ESTALE);
	name.id--;
	CU_ASSERT_EQUAL(cgm_place_move(&f.tree, &name, 0), -EINVAL);
	CU_ASSERT_EQUAL(cgm_place_remove(&f.tree, &name), 0);
	CU_ASSERT_EQUAL(cgm_place_remove(&f.tree, &name), 0);
	CU_ASSERT_EQUAL(cgm_group_name(&f.tree, "/a", &name), -ENOENT);
	cgm_fixture_fini(&f);
}

static const CU_TestInfo tests[] = {
	{"the parent is behind any command name", stat_lines_are_parsed},
	{"kin are those a process started", kin_is_who_was_started},
	{"the nearest cgroup with memory is the target", nearest_with_memory_is_the_target},
	{"a login's cgroup is never a target", logins_are_no_targets},
	{"a machine is known by libvirt's layout", machines_are_known_by_their_layout},
	{"somebody else's process keeps a target away", others_keep_a_target_away},
	{"a target has a limited number above", deep_ones_are_no_targets},
	{"a cgroup is made where there is memory to give", making_needs_the_controller},
	CU_TEST_INFO_NULL,
};

const struct suite suite_cgm_place = {"cgm_place", tests};
