/* SPDX-License-Identifier: MIT */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

#define LOG_LINE_MAX 4096
#define LOG_PREFIX_MAX 16

/* $PINBROKER_DEBUG asks for debug lines; read each time, so that nothing is global. */
static int log_wanted(enum log_level level)
{
	return level < LOG_LEVEL_DEBUG || getenv("PINBROKER_DEBUG");
}

void log_escape(char *text)
{
	unsigned char last = 0;

	for (; *text; last = (unsigned char)*text++) {
		unsigned char c = (unsigned char)*text;

		/* U+0080 to U+009F, as UTF-8 has them: to a terminal they are what ESC begins. */
		if (c < ' ' || c == 0x7f || (last == 0xc2 && c < 0xa0))
			*text = '?';
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

void log_line(enum log_level level, const char *format, ...)
{
	int saved_errno = errno;
	char line[LOG_PREFIX_MAX + LOG_LINE_MAX + 1] UNINITIALIZED; /* each byte is written first */
	char *text;
	size_t len;
	va_list args;

	if (!log_wanted(level))
		return;
	len = log_prefix(level, line);
	text = line + len;
	va_start(args, format);
	(void)vsnprintf(text, LOG_LINE_MAX, format, args); /* cut when too long */
	va_end(args);
	log_escape(text);
	len += strlen(text);
	line[len++] = '\n';

	ssize_t written = write(STDERR_FILENO, line, len);

	(void)written; /* nobody is left to tell */
	errno = saved_errno;
}
