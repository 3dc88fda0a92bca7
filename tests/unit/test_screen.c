/* SPDX-License-Identifier: MIT */
#include "client/screen.h"

#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

static void lines_are_cut_between_characters(void)
{
	static const struct {
		const char *line;
		size_t columns, expected;
	} cases[] = {
		{"", 0, 0},           {"abc", 0, 0},
		{"abc", 2, 2},        {"abc", 3, 3},
		{"abc", 80, 3},       {"a\xc3\xa4z", 2, 3},
		{"a\xc3\xa4z", 1, 1}, {"\xe2\x82\xac\xe2\x82\xac", 1, 3},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK(cases[i].line, screen_fit(cases[i].line, strlen(cases[i].line),
						cases[i].columns) == cases[i].expected);
}

static CU_TestInfo tests[] = {
	{"lines are cut between characters", lines_are_cut_between_characters},
	CU_TEST_INFO_NULL,
};

const struct suite suite_screen = {"screen", tests};
