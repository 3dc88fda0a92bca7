/* SPDX-License-Identifier: MIT */
/*
 * The daemon's own words: one line on stderr each, with the <N> prefix that systemd reads when
 * stderr is the journal (sd-daemon(3)). Keeps errno. Bytes that clients chose are escaped.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stddef.h>

enum log_level {
	LOG_LEVEL_ERROR = 3, /* the numbers of syslog(3) */
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/*
 * Makes a line of a text that somebody may have sent: control bytes become '?', so that one event
 * stays one line, and a name cannot drive a terminal.
 */
void log_escape(char *text, size_t len);

/* A line that the caller has made already, without its end. Escapes it. Not for debug lines. */
void log_text(enum log_level level, char *text, size_t len);

__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
