/* SPDX-License-Identifier: MIT */
/*
 * What people and programs read: escaped text, sizes, tables, JSON, error lines; and the check that
 * all of it got out.
 *
 * For people a byte that is no part of a printable UTF-8 character is written \xNN.
 *
 * In JSON a string that is valid UTF-8 stays as it is, with one exception; a byte that is not is
 * written as the four characters \xNN (80-ff, lower case). The exception keeps that reversible: a
 * backslash that would begin such a \xNN, or a \x5c, is itself written \x5c. To get the bytes back,
 * replace every \x5c and \x80-\xff once, from left to right. systemd's \x2d in a cgroup is
 * therefore left alone.
 */
#ifndef CLIENT_OUTPUT_H
#define CLIENT_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json_t;

#define OUTPUT_TEXT_MAX 32

/* Each makes a string that the caller frees; NULL: out of memory. */
char *output_escape(const char *text);
char *output_escape_json(const char *text);

/**
 * output_size() - bytes for a table: "16G" when that is exact, else with one decimal: "128.3M"
 * @bytes: UINT64_MAX is "-", not known
 *
 * Return: buf.
 */
const char *output_size(uint64_t bytes, char buf[static OUTPUT_TEXT_MAX]);

/* A number; "-" for UINT64_MAX. */
const char *output_number(uint64_t number, char buf[static OUTPUT_TEXT_MAX]);

/* A number; "unlimited" for UINT64_MAX. */
const char *output_limit(uint64_t number, char buf[static OUTPUT_TEXT_MAX]);

/* JSON values; NULL: out of memory. Numbers above 2^63 - 1, which JSON readers lack, become that.
 */
struct json_t *output_json_text(const char *text); /* NULL and "": null */
struct json_t *output_json_figure(uint64_t number); /* UINT64_MAX: null, not known */
struct json_t *output_json_limit(uint64_t number); /* UINT64_MAX: "unlimited" */

struct output_member {
	const char *name;
	struct json_t *value; /* NULL stands for out of memory */
};

/* Makes an object of members, whose values are taken over, also on failure. NULL: out of memory. */
struct json_t *output_json_object(const struct output_member *members, size_t n);

/* Prints a value and a newline on stdout. Return: 0; -ENOMEM; errors of stdout: output_finish(). */
int output_json(const struct json_t *value);

/* The same on one line. */
int output_json_line(const struct json_t *value);

/* "NAME: TEXT" on stdout, escaped. */
__attribute__((format(printf, 2, 3))) void output_line(const char *name, const char *format, ...);

struct output_column {
	const char *heading;
	bool right; /* aligned to the right: numbers */
};

/* Rows are given cell by cell, then printed together: only then the widths are known. */
struct output_table {
	const struct output_column *columns; /* borrowed */
	size_t n_columns;
	char **cells; /* escaped; owned */
	size_t n_cells;
	size_t max_cells;
};

/* The next cell, escaped here. Return: 0; -ENOMEM. */
int output_table_add(struct output_table *table, const char *cell);

/* The headings, then every whole row. */
void output_table_print(const struct output_table *table, FILE *out);

void output_table_fini(struct output_table *table);

/* "pinbroker: " and the text, escaped, as one line on stderr. */
__attribute__((format(printf, 1, 2))) void output_error(const char *format, ...);

/**
 * output_begin() - before the first byte on stdout: a closed pipe shall be an error, not a signal
 *
 * Not for a process that will exec: an ignored SIGPIPE would be inherited.
 */
void output_begin(void);

/**
 * output_finish() - after the last byte on stdout
 * @status: exit status if all of it was written
 *
 * Return: @status, or 70 after an error line.
 */
int output_finish(int status);

#endif
