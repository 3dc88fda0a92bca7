/* SPDX-License-Identifier: MIT */
#include "client/setting.h"

#include <errno.h>
#include <string.h>

#include "client/pinbroker.h"
#include "common/cleanup.h"
#include "tests/unit/suite.h"

static void test_parse(void)
{
	static const struct {
		const char *text;
		struct pinbroker_limits expected;
	} cases[] = {
		{"limit=4G", {PINBROKER_SET_LIMIT, 4ULL << 30, 0, 0, 0}},
		{"limit=0", {PINBROKER_SET_LIMIT, 0, 0, 0, 0}},
		{"max-mappings=65535", {PINBROKER_SET_MAX_MAPPINGS, 0, 65535, 0, 0}},
		{"max-mappings=unlimited", {PINBROKER_SET_MAX_MAPPINGS, 0, UINT64_MAX, 0, 0}},
		{"max-objects=12", {PINBROKER_SET_MAX_OBJECTS, 0, 0, 12, 0}},
		{"max-objects=unlimited", {PINBROKER_SET_MAX_OBJECTS, 0, 0, UINT64_MAX, 0}},
		{"migration-buffers=2g", {PINBROKER_SET_MIGRATION_BUFFERS, 0, 0, 0, 2ULL << 30}},
		{"migration-buffers=unlimited",
		 {PINBROKER_SET_MIGRATION_BUFFERS, 0, 0, 0, UINT64_MAX}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pinbroker_limits limits = {.keys = 0};
		const struct setting *setting;

		CHECK(cases[i].text, setting_parse(cases[i].text, &limits, &setting) == 0);
		CHECK(cases[i].text, limits.keys == cases[i].expected.keys);
		CHECK(cases[i].text, limits.limit == cases[i].expected.limit);
		CHECK(cases[i].text, limits.max_mappings == cases[i].expected.max_mappings);
		CHECK(cases[i].text, limits.max_objects == cases[i].expected.max_objects);
		CHECK(cases[i].text,
		      limits.migration_buffers == cases[i].expected.migration_buffers);
		/* Every one beside the others, but not twice. */
		CHECK(cases[i].text, setting_parse(cases[i].text, &limits, &setting) == -EEXIST);
	}
}

static void test_faults(void)
{
	static const struct {
		const char *text;
		int expected;
	} cases[] = {
		{"", -ENOENT},
		{"limit", -ENOENT},
		{"=1", -ENOENT},
		{"limi=1", -ENOENT},
		{"limits=1", -ENOENT},
		{"LIMIT=1", -ENOENT},
		{" limit=1", -ENOENT},
		{"user-limit=1", -ENOENT},
		{"limit=", -EINVAL},
		{"limit=unlimited", -EINVAL},
		{"limit=4X", -EINVAL},
		{"limit=-1", -EINVAL},
		{"limit=1=1", -EINVAL},
		{"limit=18446744073709551615", -EINVAL},
		{"max-mappings=4K", -EINVAL},
		{"max-mappings=", -EINVAL},
		{"max-objects=18446744073709551615", -EINVAL},
		{"max-objects=Unlimited", -EINVAL},
		{"migration-buffers=unlimited ", -EINVAL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pinbroker_limits limits = {.keys = 0};
		const struct setting *setting = NULL;

		CHECK(cases[i].text,
		      setting_parse(cases[i].text, &limits, &setting) == cases[i].expected);
		CHECK(cases[i].text, limits.keys == 0);
		CHECK(cases[i].text,
		      cases[i].expected == -ENOENT || strlen(setting_wants(setting)) > 0);
	}
}

static const CU_TestInfo tests[] = {
	{"each key takes its kind of value, once", test_parse},
	{"what is no setting is refused", test_faults},
	CU_TEST_INFO_NULL,
};

const struct suite suite_setting = {"setting", tests};
