/* SPDX-License-Identifier: MIT */
/* Time is an argument here: nothing waits. */
#include "daemon/bucket.h"

#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define START 1000000

static void a_burst_then_a_rate(void)
{
	static const struct {
		const char *name;
		uint64_t after_ms;
		unsigned int n; /* that are let through of 20 that ask */
	} cases[] = {
		{"full at first", 0, 10},
		{"nothing without time", 0, 0},
		{"not yet", 499, 0},
		{"two a second", 1, 1},
		{"a second", 1000, 2},
		{"as many as it holds", 5000, 10},
		{"and never more", 86400000, 10},
	};
	struct bucket bucket = {.spent = 0};
	uint64_t now = START;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int n = 0;

		now += cases[i].after_ms;
		for (int k = 0; k < 20; k++)
			n += bucket_take(&bucket, 10, 2, now) != 0;
		CHECK(cases[i].name, n == cases[i].n);
	}
}

/* Who is let through speaks for those before. */
static void those_refused_are_counted(void)
{
	struct bucket bucket = {.spent = 0};

	CU_ASSERT_EQUAL(bucket_take(&bucket, 1, 1, START), 1);
	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(bucket_take(&bucket, 1, 1, START + 999), 0);
	CU_ASSERT_EQUAL(bucket_take(&bucket, 1, 1, START + 1000), 6);
	CU_ASSERT_EQUAL(bucket_take(&bucket, 1, 1, START + 2000), 1);
}

static void size_zero_is_no_limit(void)
{
	struct bucket bucket = {.spent = 0};

	for (int i = 0; i < 10000; i++)
		CU_ASSERT_EQUAL(bucket_take(&bucket, 0, 0, START), 1);
	CU_ASSERT_EQUAL(bucket_take(&bucket, 1, 1, START), 1); /* a limit from now on: it is full */
	CU_ASSERT_EQUAL(bucket_take(&bucket, 1, 1, START), 0);
	CU_ASSERT_EQUAL(bucket_take(&bucket, 0, 0, START), 2);
}

static const CU_TestInfo tests[] = {
	{"a burst at first, then a rate", a_burst_then_a_rate},
	{"those refused are counted for the next one", those_refused_are_counted},
	{"size zero is no limit", size_zero_is_no_limit},
	CU_TEST_INFO_NULL,
};

const struct suite suite_bucket = {"bucket", tests};
