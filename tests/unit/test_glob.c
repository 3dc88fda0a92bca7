/* SPDX-License-Identifier: MIT */
#include "accounting/glob.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

struct match_case {
	const char *name;
	const char *glob;
	const char *text;
	bool matches;
};

static const struct match_case match_cases[] = {
	{"literal", "db-1", "db-1", true},
	{"anchored at the end", "db", "db-1", false},
	{"anchored at the beginning", "1", "db-1", false},
	{"star", "db-*", "db-1", true},
	{"star takes nothing too", "db-*", "db-", true},
	{"star does not cross a slash", "/a/*", "/a/b/c", false},
	{"question mark takes one", "db-?", "db-12", false},
	{"question mark does not take a slash", "a?b", "a/b", false},
	{"set", "db-[12]", "db-2", true},
	{"set that does not hold it", "db-[12]", "db-3", false},
	{"range", "db-[0-9]", "db-7", true},
	{"negated set", "db-[!0-9]", "db-7", false},
	{"leading period is not special", "*", ".hidden", true},
	{"leading period after a slash is not special", "/a/*", "/a/.b", true},
	{"backslash stands for itself", "qemu\\x2d*", "qemu\\x2d1-db.scope", true},
	{"backslash does not escape a star", "a\\*", "a*", false},
	{"backslash before a star is a prefix", "a\\*", "a\\b", true},
	{"upper case is another name", "DB", "db", false},
	{"empty glob", "", "a", false},
};

static void test_match(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(match_cases); i++) {
		const struct match_case *c = &match_cases[i];

		if (glob_match(c->glob, c->text) != c->matches)
			fprintf(stderr, "%s\n", c->name);
		CU_ASSERT_EQUAL(glob_match(c->glob, c->text), c->matches);
	}
}

static void test_nocase(void)
{
	CU_ASSERT_TRUE(glob_match_nocase("0000:65:00.A", "0000:65:00.a"));
	CU_ASSERT_TRUE(glob_match_nocase("10DE:*", "10de:2230"));
	CU_ASSERT_TRUE(glob_match_nocase("10de:[A-F]*", "10de:b230"));
	CU_ASSERT_FALSE(glob_match_nocase("10de:*", "10df:2230"));
}

#define SCOPE "/machine.slice/machine-qemu\\x2d1\\x2ddb.scope"

static const struct match_case ancestor_cases[] = {
	{"itself", "/machine.slice", "/machine.slice", true},
	{"parent", "/machine.slice", SCOPE, true},
	{"ancestor", "/machine.slice", SCOPE "/libvirt/emulator", true},
	{"glob on an ancestor", "/machine.slice/machine-qemu\\x2d*", SCOPE "/libvirt/emulator",
	 true},
	{"glob on another ancestor", "/machine.slice/machine-lxc\\x2d*", SCOPE "/libvirt/emulator",
	 false},
	{"not a sibling with the same beginning", "/machine", "/machine.slice/a", false},
	{"not a descendant", "/machine.slice/a", "/machine.slice", false},
	{"root is above everything", "/", SCOPE, true},
	{"root itself", "/", "/", true},
	{"something in the root is not the root", "/a", "/", false},
	{"star takes any top-level ancestor", "/*", "/a/b/c", true},
	{"star below one", "/a/*", "/a", false},
	{"relative path matches nothing", "*", "a", false},
	{"empty path matches nothing", "*", "", false},
};

static void test_ancestor(void)
{
	char longer[PATH_MAX + 8];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ancestor_cases); i++) {
		const struct match_case *c = &ancestor_cases[i];

		if (glob_match_ancestor(c->glob, c->text) != c->matches)
			fprintf(stderr, "%s\n", c->name);
		CU_ASSERT_EQUAL(glob_match_ancestor(c->glob, c->text), c->matches);
	}
	memset(longer, 'a', sizeof(longer));
	memcpy(longer, "/x/", 3);
	longer[sizeof(longer) - 1] = '\0';
	CU_ASSERT_FALSE(glob_match_ancestor("/x", longer)); /* longer than any real path */
	longer[PATH_MAX] = '\0';
	CU_ASSERT_FALSE(glob_match_ancestor("/x", longer));
	longer[PATH_MAX - 1] = '\0';
	CU_ASSERT_TRUE(glob_match_ancestor("/x", longer));
}

static const struct {
	const char *glob;
	bool valid;
	bool literal;
} form_cases[] = {
	{"abc", true, true},     {"a\\x2d", true, true}, {"a*", true, false},
	{"a?", true, false},     {"[ab]", true, false},  {"[]]", true, false},
	{"[!]]", true, false},   {"[^]]", true, false},  {"[", false, false},
	{"a[bc", false, false},  {"[]", false, false},   {"[!]", false, false},
	{"[a][b", false, false}, {"a]", true, true},
};

static void test_form(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(form_cases); i++) {
		if (glob_valid(form_cases[i].glob) != form_cases[i].valid)
			fprintf(stderr, "\"%s\"\n", form_cases[i].glob);
		CU_ASSERT_EQUAL(glob_valid(form_cases[i].glob), form_cases[i].valid);
		CU_ASSERT_EQUAL(glob_literal(form_cases[i].glob), form_cases[i].literal);
	}
}

static const CU_TestInfo tests[] = {
	{"globs are anchored, know no escapes and no hidden files", test_match},
	{"device globs ignore case", test_nocase},
	{"a cgroup glob matches the cgroup or any ancestor", test_ancestor},
	{"a bracket needs its end", test_form},
	CU_TEST_INFO_NULL,
};

const struct suite suite_glob = {"glob", tests};
