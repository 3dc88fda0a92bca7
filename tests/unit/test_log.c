/* SPDX-License-Identifier: MIT */
#include "common/log.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/captured.h"
#include "tests/unit/suite.h"

/* The environment decides: set it, or take it away with NULL, for one test. */
static void set_variable(const char *name, const char *value)
{
	CU_ASSERT_EQUAL(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

static void one_event_is_one_line(void)
{
	static const struct {
		const char *name;
		const char *text;
		const char *line;
	} cases[] = {
		{"plain", "granted", "pinbrokerd: granted\n"},
		{"empty", "", "pinbrokerd: \n"},
		{"newlines", "a\nb\r\nc", "pinbrokerd: a?b??c\n"},
		{"an escape sequence", "\033[31mred\033[0m", "pinbrokerd: ?[31mred?[0m\n"},
		{"other control bytes", "\001\t\177", "pinbrokerd: ???\n"},
		{"a C1 control in UTF-8",
		 "a\xc2\x9b"
		 "31m",
		 "pinbrokerd: a\xc2?31m\n"},
		{"one among many",
		 "0123456789abc\n0123456789abcdef\x7f"
		 "0123456789abcdef",
		 "pinbrokerd: 0123456789abc?0123456789abcdef?0123456789abcdef\n"},
		{"a C1 control over the edge of a word",
		 "1234567\xc2\x85"
		 "90123456",
		 "pinbrokerd: 1234567\xc2?90123456\n"},
		{"UTF-8", "2 \xc3\x97 8G \xe2\x82\xac", "pinbrokerd: 2 \xc3\x97 8G \xe2\x82\xac\n"},
		{"a format", "%s%n", "pinbrokerd: %s%n\n"},
	};
	char text[4096];

	set_variable("JOURNAL_STREAM", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		captured_begin();
		log_notice("%s", cases[i].text);
		(void)captured_text(text, sizeof(text));
		captured_end();
		CHECK(cases[i].name, strcmp(text, cases[i].line) == 0);
	}
}

/* By the rule itself, a byte after the other. */
static void escape_plainly(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		unsigned char before = i ? (unsigned char)text[i - 1] : 0;

		if (c < ' ' || c == 0x7f || (before == 0xc2 && c < 0xa0))
			text[i] = '?';
	}
}

/* Whatever stands beside whatever, at every place of a word, up to the last byte. */
static void any_bytes_are_escaped(void)
{
	uint64_t random = suite_seed("log");
	char text[33], expected[33];

	for (int i = 0; i < 100000; i++) {
		size_t len = suite_random(&random) % 32;

		for (size_t k = 0; k < len; k++)
			text[k] = suite_random(&random) % 8 ? 'x' : (char)suite_random(&random);
		if (len > 1 && i % 2)
			text[len / 2] = (char)0xc2;
		text[len] = '\n'; /* beyond the end: stays */
		memcpy(expected, text, sizeof(text));
		escape_plainly(expected, len);
		log_escape(text, len);
		CU_ASSERT_EQUAL_FATAL(memcmp(text, expected, len + 1), 0);
	}
}

static void made_line_is_escaped_and_written(void)
{
	char made[] = {'a', '\n', 'b', 'c'}, text[64];

	captured_begin();
	log_text(LOG_LEVEL_INFO, made, 3);
	(void)captured_text(text, sizeof(text));
	captured_end();
	CU_ASSERT_STRING_EQUAL(text, "pinbrokerd: a?b\n");
}

static void journal_gets_the_level(void)
{
	char text[4096];

	set_variable("JOURNAL_STREAM", "8:1234");
	captured_begin();
	log_error("a");
	log_warning("b");
	log_notice("c");
	log_info("d");
	(void)captured_text(text, sizeof(text));
	captured_end();
	set_variable("JOURNAL_STREAM", NULL);
	CU_ASSERT_STRING_EQUAL(text, "<3>a\n<4>b\n<5>c\n<6>d\n");
}

static void debug_is_asked_for(void)
{
	const char *before = getenv("PINBROKER_DEBUG");
	char text[4096];

	set_variable("JOURNAL_STREAM", NULL);
	captured_begin();
	set_variable("PINBROKER_DEBUG", NULL);
	log_debug("not asked for");
	set_variable("PINBROKER_DEBUG", "1");
	log_debug("asked for");
	(void)captured_text(text, sizeof(text));
	captured_end();
	if (!before)
		set_variable("PINBROKER_DEBUG", NULL);
	CU_ASSERT_STRING_EQUAL(text, "pinbrokerd: asked for\n");
}

static void long_line_is_cut_not_lost(void)
{
	char *long_text = malloc(100001), text[8192];

	CU_ASSERT_PTR_NOT_NULL_FATAL(long_text);
	memset(long_text, 'x', 100000);
	long_text[100000] = '\0';
	for (int journal = 0; journal < 2; journal++) {
		set_variable("JOURNAL_STREAM", journal ? "8:1234" : NULL);
		captured_begin();
		log_info("%s", long_text);
		(void)captured_text(text, sizeof(text));
		captured_end();
		CU_ASSERT_TRUE(strlen(text) > 1000);
		CU_ASSERT_PTR_EQUAL(strchr(text, '\n'), text + strlen(text) - 1);
	}
	set_variable("JOURNAL_STREAM", NULL);
	free(long_text);
}

static void errno_is_kept(void)
{
	captured_begin();
	errno = EXDEV;
	log_info("%s", "something");
	CU_ASSERT_EQUAL(errno, EXDEV);
	log_text(LOG_LEVEL_INFO, (char[]){'x'}, 1);
	CU_ASSERT_EQUAL(errno, EXDEV);
	log_debug("%s", "something that may not be wanted");
	CU_ASSERT_EQUAL(errno, EXDEV);
	captured_end();
}

static const CU_TestInfo tests[] = {
	{"one event is one line, and cannot drive a terminal", one_event_is_one_line},
	{"any bytes are escaped alike", any_bytes_are_escaped},
	{"a line that is made already is one line, too", made_line_is_escaped_and_written},
	{"the journal gets the level", journal_gets_the_level},
	{"debug lines are there when asked for", debug_is_asked_for},
	{"a long line is cut, its end is kept", long_line_is_cut_not_lost},
	{"errno is kept", errno_is_kept},
	CU_TEST_INFO_NULL,
};

const struct suite suite_log = {"log", tests};
