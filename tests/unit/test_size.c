/* SPDX-License-Identifier: MIT */
#include "accounting/size.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define UNTOUCHED 0xdead

static const struct {
	const char *name;
	const char *text;
	int err;
	uint64_t bytes;
} parse_cases[] = {
	{"bare number is bytes", "4096", 0, 4096},
	{"zero", "0", 0, 0},
	{"zero with a unit", "0T", 0, 0},
	{"leading zeros are decimal", "0010", 0, 10},
	{"K", "3K", 0, 3 << 10},
	{"M", "512M", 0, 512 << 20},
	{"G", "16G", 0, UINT64_C(16) << 30},
	{"T", "2T", 0, UINT64_C(2) << 40},
	{"units in lower case", "16g", 0, UINT64_C(16) << 30},
	{"largest number", "9223372036854775807", 0, INT64_MAX},
	{"largest number of a unit", "8388607T", 0, UINT64_C(8388607) << 40},
	{"one above the largest", "9223372036854775808", -ERANGE, 0},
	{"one unit above the largest", "8388608T", -ERANGE, 0},
	{"product that wraps to something small", "16777217T", -ERANGE, 0},
	{"2^64", "18446744073709551616", -ERANGE, 0},
	{"digits beyond any integer", "99999999999999999999999999", -ERANGE, 0},
	{"empty", "", -EINVAL, 0},
	{"unit alone", "G", -EINVAL, 0},
	{"minus", "-1", -EINVAL, 0},
	{"minus that would wrap to a size", "-18446744073709551615", -EINVAL, 0},
	{"plus", "+1", -EINVAL, 0},
	{"leading space", " 1", -EINVAL, 0},
	{"trailing space", "1 ", -EINVAL, 0},
	{"space before the unit", "1 G", -EINVAL, 0},
	{"fraction", "1.5G", -EINVAL, 0},
	{"hexadecimal", "0x10", -EINVAL, 0},
	{"two units", "1KM", -EINVAL, 0},
	{"IEC suffix", "1GiB", -EINVAL, 0},
	{"unknown unit", "1P", -EINVAL, 0},
	{"bytes suffix", "1B", -EINVAL, 0},
	{"exponent", "1e3", -EINVAL, 0},
	{"word", "unlimited", -EINVAL, 0},
	{"bad unit wins over a range error", "99999999999999999999Q", -EINVAL, 0},
};

static void test_parse(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parse_cases); i++) {
		uint64_t bytes = UNTOUCHED;
		int err = size_parse(parse_cases[i].text, &bytes);
		uint64_t expected = parse_cases[i].err ? UNTOUCHED : parse_cases[i].bytes;

		if (err != parse_cases[i].err || bytes != expected)
			fprintf(stderr, "%s: \"%s\" gives %d and %llu\n", parse_cases[i].name,
				parse_cases[i].text, err, (unsigned long long)bytes);
		CU_ASSERT_EQUAL(err, parse_cases[i].err);
		CU_ASSERT_EQUAL(bytes, expected);
	}
}

static const struct {
	uint64_t bytes;
	const char *text;
} text_cases[] = {
	{0, "0"},
	{1, "1"},
	{123, "123"},
	{1023, "1023"},
	{1024, "1K"},
	{1025, "1025"},
	{UINT64_C(131328) << 10, "131328K"},
	{512 << 20, "512M"},
	{UINT64_C(16) << 30, "16G"},
	{(UINT64_C(16) << 30) + 1, "17179869185"},
	{UINT64_C(3) << 40, "3T"},
	{INT64_MAX, "9223372036854775807"},
	{UINT64_MAX - 1, "18446744073709551614"},
	{UINT64_MAX, "unlimited"},
};

static void test_text(void)
{
	char buf[SIZE_TEXT_MAX];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(text_cases); i++) {
		CU_ASSERT_PTR_EQUAL(size_text(text_cases[i].bytes, buf), buf);
		CU_ASSERT_STRING_EQUAL(buf, text_cases[i].text);
	}
}

static void test_round_trip(void)
{
	static const uint64_t near[] = {0, 1, 2, 3, 1023};
	char buf[SIZE_TEXT_MAX];
	unsigned int shift;
	size_t i;

	for (shift = 0; shift < 62; shift++) {
		for (i = 0; i < ARRAY_SIZE(near); i++) {
			uint64_t bytes = (UINT64_C(1) << shift) + near[i], back = UNTOUCHED;

			CU_ASSERT_EQUAL(size_parse(size_text(bytes, buf), &back), 0);
			CU_ASSERT_EQUAL(back, bytes);
		}
	}
}

static const CU_TestInfo tests[] = {
	{"size_parse takes digits and one unit, nothing else", test_parse},
	{"size_text is exact and takes the largest unit", test_text},
	{"size_parse reads back what size_text wrote", test_round_trip},
	CU_TEST_INFO_NULL,
};

const struct suite suite_size = {"size", tests};
