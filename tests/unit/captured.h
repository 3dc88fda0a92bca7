/* SPDX-License-Identifier: MIT */
/*
 * What is written to stderr while a test runs: a place to look for log lines, and no noise on the
 * terminal. Shown after all if the test fails or the program aborts.
 */
#ifndef TESTS_UNIT_CAPTURED_H
#define TESTS_UNIT_CAPTURED_H

#include <stddef.h>

void captured_begin(void);

/* Copies what was written since captured_begin(), cut to fit. Returns buf. */
const char *captured_text(char *buf, size_t size);

/* How many lines were written. */
size_t captured_lines(void);

/* How many of the lines contain this. */
size_t captured_count(const char *text);

/* stderr is itself again. */
void captured_end(void);

#endif
