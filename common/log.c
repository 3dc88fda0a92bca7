/* SPDX-License-Identifier: MIT */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cleanup.h"

#define LOG_LINE_MAX 4096
#define LOG_PREFIX_MAX 16

/* $PINBROKER_DEBUG asks for debug lines; read each time, so that nothing is global. */
static int log_wanted(enum log_level level)
{
	return level < LOG_LEVEL_DEBUG || getenv("PINBROKER_DEBUG");
}

/* Whether eight bytes are all from ' ' to '~'. */
static bool log_is_plain(const char *text)
{
	const uint64_t each = UINT64_MAX / 0xff;
	uint64_t bytes;

	/* The highest bit of a byte: it has it, is below ' ', is 0x7f. Carries come of such only.
	 */
	memcpy(&bytes, text, sizeof(bytes));
	return !((bytes | (bytes - each * ' ') | (bytes + each)) & each * 0x80);
}

void log_escape(char *text, size_t len)
{
	size_t i = 0;

	while (i < len) {
		bool after_c2 = i > 0 && (unsigned char)text[i - 1] == 0xc2;
		unsigned char c = (unsigned char)text[i];

		if (!after_c2 && len - i >= sizeof(uint64_t) && log_is_plain(text + i)) {
			i += sizeof(uint64_t);
			continue;
		}
		/* U+0080 to U+009F, as UTF-8 has them: to a terminal they are what ESC begins. */
		if (c < ' ' || c == 0x7f || (after_c2 && c < 0xa0))
			text[i] = '?';
		i++;
	}
}

/* How a line begins: for the journal its level, for people who it is. Return: its length. */
static size_t log_prefix(enum log_level level, char prefix[static LOG_PREFIX_MAX])
{
	static const char name[] = "pinbrokerd: ";

	if (!getenv("JOURNAL_STREAM")) {
		memcpy(prefix, name, sizeof(name) - 1);
		return sizeof(name) - 1;
	}
	memcpy(prefix, (const char[]){'<', (char)('0' + level), '>'}, 3);
	return 3;
}

void log_text(enum log_level level, char *text, size_t len)
{
	char prefix[LOG_PREFIX_MAX], end = '\n';
	int saved_errno = errno;
	struct iovec line[] = {
		{.iov_base = prefix, .iov_len = log_prefix(level, prefix)},
		{.iov_base = text, .iov_len = len},
		{.iov_base = &end, .iov_len = 1},
	};

	log_escape(text, len);

	ssize_t written = writev(STDERR_FILENO, line, ARRAY_SIZE(line));

	(void)written; /* nobody is left to tell */
	errno = saved_errno;
}

void log_line(enum log_level level, const char *format, ...)
{
	int saved_errno = errno;
	char text[LOG_LINE_MAX] UNINITIALIZED;
	va_list args;

	if (!log_wanted(level))
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* cut when too long */
	va_end(args);
	errno = saved_errno;
	log_text(level, text, strlen(text));
}
