/* SPDX-License-Identifier: MIT */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_LINE_MAX 2048

/* $PINBROKER_DEBUG asks for debug lines; read each time, so that nothing is global. */
static int log_wanted(enum log_level level)
{
	return level < LOG_LEVEL_DEBUG || getenv("PINBROKER_DEBUG");
}

/* Control bytes become '?': one event stays one line, and a name cannot drive a terminal. */
static void log_escape(char *text)
{
	unsigned char last = 0;

	for (; *text; last = (unsigned char)*text++) {
		unsigned char c = (unsigned char)*text;

		/* U+0080 to U+009F, as UTF-8 has them: to a terminal they are what ESC begins. */
		if (c < ' ' || c == 0x7f || (last == 0xc2 && c < 0xa0))
			*text = '?';
	}
}

void log_line(enum log_level level, const char *format, ...)
{
	int saved_errno = errno;
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX + 16];
	va_list args;

	if (!log_wanted(level))
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* cut when too long */
	va_end(args);
	log_escape(text);

	int n = getenv("JOURNAL_STREAM") ? snprintf(line, sizeof(line), "<%d>%s\n", level, text)
					 : snprintf(line, sizeof(line), "pinbrokerd: %s\n", text);
	ssize_t written = write(STDERR_FILENO, line, (size_t)n);

	(void)written; /* nobody is left to tell */
	errno = saved_errno;
}
