/* SPDX-License-Identifier: MIT */
#include "client/output.h"

#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

static void test_people(void)
{
	static const struct {
		const char *text;
		const char *expected;
	} cases[] = {
		{"", ""},
		{"vm-1.a", "vm-1.a"},
		{"a\nb\tc", "a\\x0ab\\x09c"},
		{"\x1b[2J", "\\x1b[2J"},
		{"\x7f", "\\x7f"},
		{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
		{"2 \xc3\x97 8G", "2 \xc3\x97 8G"},
		{"\xe2\x82\xac", "\xe2\x82\xac"},
		{"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
		{"\xc2\x9b[2J", "\\xc2\\x9b[2J"}, /* CSI, a C1 control */
		{"\xe2\x80\xae\xe2\x80\xac", "\\xe2\\x80\\xae\\xe2\\x80\\xac"}, /* right to left */
		{"\xe2\x80\x8b", "\\xe2\\x80\\x8b"}, /* zero width space */
		{"\xef\xbb\xbf", "\\xef\\xbb\\xbf"}, /* byte order mark */
		{"\xff", "\\xff"},
		{"a\xc3", "a\\xc3"}, /* cut */
		{"\xc3(", "\\xc3("},
		{"\xc0\xaf", "\\xc0\\xaf"}, /* overlong */
		{"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},
		{"\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"},
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* surrogate */
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* above U+10FFFF */
		{"\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80"},
		{"machine-qemu\\x2d1.scope", "machine-qemu\\x2d1.scope"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) char *escaped = output_escape(cases[i].text);

		CU_ASSERT_TRUE(escaped && strcmp(escaped, cases[i].expected) == 0);
	}
}

static void test_json_escape(void)
{
	static const struct {
		const char *text;
		const char *expected;
	} cases[] = {
		{"/a\nb", "/a\nb"}, /* JSON's own escapes do for controls */
		{"gr\xc3\xbc", "gr\xc3\xbc"},
		{"\xe2\x80\xae\xe2\x80\xac", "\xe2\x80\xae\xe2\x80\xac"},
		{"machine-qemu\\x2d1.scope", "machine-qemu\\x2d1.scope"},
		{"\xff", "\\xff"},
		{"\\xff", "\\x5cxff"},
		{"\\x5c", "\\x5cx5c"},
		{"\\\\xff", "\\\\x5cxff"},
		{"\\xFF", "\\xFF"},
		{"\\x", "\\x"},
		{"\\x8", "\\x8"},
		{"\\x\xff", "\\x\\xff"},
		{"\\", "\\"},
		{"\\x8g", "\\x8g"},
		{"\\x80", "\\x5cx80"},
		{"\\x7f", "\\x7f"},
		{"\xc3\xa9\xc3", "\xc3\xa9\\xc3"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) char *escaped = output_escape_json(cases[i].text);

		CU_ASSERT_TRUE(escaped && strcmp(escaped, cases[i].expected) == 0);
	}
}

/* As output.h tells a reader to. */
static void unescape(char *text)
{
	static const char hex[] = "0123456789abcdef";
	char *to = text;

	while (*text) {
		bool byte = text[0] == '\\' && text[1] == 'x' && text[2] && text[3] &&
			    strchr(hex, text[2]) && strchr(hex, text[3]);
		long value =
			byte ? (strchr(hex, text[2]) - hex) * 16 + (strchr(hex, text[3]) - hex) : 0;

		if (value == 0x5c || value >= 0x80) {
			*to++ = (char)value;
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

/* Every string of up to 6 of the bytes that matter comes back, and is UTF-8 in between. */
static void test_json_reversible(void)
{
	static const char bytes[] = {'\\', 'x', '5', 'c', 'f', '\xc3', '\xa9', '\xff'};
	size_t n_bad = 0;

	for (unsigned long code = 0; code < 1UL << 18; code++) {
		char text[7] = "";

		for (size_t i = 0; i < 6; i++)
			text[i] = bytes[code >> (3 * i) & 7];

		CLEANUP(freep) char *escaped = output_escape_json(text);

		if (!escaped)
			break;

		json_t *value = json_string(escaped); /* NULL unless it is UTF-8 */

		n_bad += !value;
		json_decref(value);
		unescape(escaped);
		n_bad += strcmp(escaped, text) != 0;
	}
	CU_ASSERT_EQUAL(n_bad, 0);
}

static void test_size(void)
{
	static const struct {
		uint64_t bytes;
		const char *expected;
	} cases[] = {
		{0, "0"},
		{1, "1"},
		{1023, "1023"},
		{1024, "1K"},
		{1025, "1.0K"},
		{1536, "1.5K"},
		{134479872, "128.3M"}, /* 131328 KiB */
		{16ULL << 30, "16G"},
		{1500ULL << 30, "1.5T"},
		{(1ULL << 30) - 1, "1.0G"}, /* not 1024.0M */
		{(1ULL << 20) - 1, "1.0M"},
		{(1ULL << 40) - 1, "1.0T"},
		{UINT64_MAX - 1, "16777216.0T"},
		{UINT64_MAX, "-"},
	};
	char buf[OUTPUT_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CU_ASSERT_STRING_EQUAL(output_size(cases[i].bytes, buf), cases[i].expected);
	CU_ASSERT_STRING_EQUAL(output_number(UINT64_MAX, buf), "-");
	CU_ASSERT_STRING_EQUAL(output_number(65535, buf), "65535");
	CU_ASSERT_STRING_EQUAL(output_limit(UINT64_MAX, buf), "unlimited");
}

static void test_json_values(void)
{
	json_t *array = json_array();
	char *text;

	json_array_append_new(array, output_json_figure(0));
	json_array_append_new(array, output_json_figure(UINT64_MAX));
	json_array_append_new(array, output_json_figure(UINT64_MAX - 1));
	json_array_append_new(array, output_json_limit(65535));
	json_array_append_new(array, output_json_limit(UINT64_MAX));
	json_array_append_new(array, output_json_text(NULL));
	json_array_append_new(array, output_json_text(""));
	json_array_append_new(array, output_json_text("a\xff\n"));
	text = json_dumps(array, JSON_COMPACT);
	CU_ASSERT_TRUE(text &&
		       strcmp(text, "[0,null,9223372036854775807,65535,\"unlimited\",null,null,"
				    "\"a\\\\xff\\n\"]") == 0);
	free(text);
	json_decref(array);
}

static void test_table(void)
{
	static const struct output_column columns[] = {
		{"ID", false}, {"UID", true}, {"STATE", false}};
	static const char *const cells[] = {"1", "1000",           "idle",      "abcdef",
					    "0", "gr\xc3\xbc\x01", "half a row"};
	struct output_table table = {.columns = columns, .n_columns = ARRAY_SIZE(columns)};
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	output_table_print(&table, out);
	(void)fflush(out);
	CU_ASSERT_STRING_EQUAL(text, "ID  UID  STATE\n"); /* the heading, always */
	rewind(out);
	for (size_t i = 0; i < ARRAY_SIZE(cells); i++)
		CU_ASSERT_EQUAL(output_table_add(&table, cells[i]), 0);
	output_table_print(&table, out);
	(void)fclose(out);
	CU_ASSERT_STRING_EQUAL(text, "ID       UID  STATE\n"
				     "1       1000  idle\n"
				     "abcdef     0  gr\xc3\xbc\\x01\n");
	free(text);
	output_table_fini(&table);
}

static void test_table_grows(void)
{
	static const struct output_column columns[] = {{"N", false}};
	struct output_table table = {.columns = columns, .n_columns = 1};

	for (size_t i = 0; i < 1000; i++)
		CU_ASSERT_EQUAL(output_table_add(&table, "x"), 0);
	CU_ASSERT_EQUAL(table.n_cells, 1000);
	output_table_fini(&table);
	output_table_fini(&table); /* a second time is harmless */
}

/* Runs with stdout and stderr elsewhere, and puts both back. */
static int finish_on(const char *path)
{
	int saved_out = dup(STDOUT_FILENO), saved_err = dup(STDERR_FILENO);
	int fd = open(path, O_WRONLY | O_CLOEXEC), null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int status;

	(void)fflush(stdout);
	dup2(fd, STDOUT_FILENO);
	dup2(null_fd, STDERR_FILENO);
	(void)puts("something");
	status = output_finish(5);
	dup2(saved_out, STDOUT_FILENO);
	dup2(saved_err, STDERR_FILENO);
	clearerr(stdout);
	close(saved_out);
	close(saved_err);
	close(fd);
	close(null_fd);
	return status;
}

static void test_finish(void)
{
	CU_ASSERT_EQUAL(finish_on("/dev/null"), 5);
	CU_ASSERT_EQUAL(finish_on("/dev/full"), 70);
	CU_ASSERT_EQUAL(finish_on("/dev/null"), 5);
}

static const CU_TestInfo tests[] = {
	{"what people read has nothing that moves the cursor", test_people},
	{"JSON strings are escaped only where they must be", test_json_escape},
	{"JSON escapes can be undone", test_json_reversible},
	{"sizes", test_size},
	{"null is not known, zero is zero", test_json_values},
	{"tables are aligned and escaped", test_table},
	{"tables grow", test_table_grows},
	{"a full disk is noticed", test_finish},
	CU_TEST_INFO_NULL,
};

const struct suite suite_output = {"output", tests};
