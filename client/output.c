/* SPDX-License-Identifier: MIT */
#include "client/output.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sysexits.h>

#include "common/cleanup.h"

/* Characters that show nothing or change how their neighbours are shown, and unassigned ones. */
static const struct {
	uint32_t first;
	uint32_t last;
} unprintable[] = {
	{0x0000, 0x001f}, /* controls */
	{0x007f, 0x009f}, {0x00ad, 0x00ad}, /* soft hyphen */
	{0x061c, 0x061c}, /* direction of text, here and below */
	{0x180e, 0x180e}, {0x200b, 0x200f}, /* zero width */
	{0x2028, 0x202e}, /* line separators */
	{0x2060, 0x206f}, {0xe000, 0xf8ff}, /* private */
	{0xfdd0, 0xfdef}, /* no characters */
	{0xfeff, 0xfeff}, /* byte order mark */
	{0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0x10ffff}, /* tags, private */
};

/* Bytes that a character beginning with this byte has; 0: none begins with it. */
static size_t utf8_expected(unsigned char first, uint32_t *ret_bits)
{
	if (first < 0x80) {
		*ret_bits = first;
		return 1;
	}
	if (first >= 0xc2 && first <= 0xdf) { /* c0 and c1 would be overlong */
		*ret_bits = first & 0x1fU;
		return 2;
	}
	if ((first & 0xf0) == 0xe0) {
		*ret_bits = first & 0x0fU;
		return 3;
	}
	if (first >= 0xf0 && first <= 0xf4) {
		*ret_bits = first & 0x07U;
		return 4;
	}
	return 0;
}

/* Length of the valid UTF-8 character at text, or 0. Stops at the NUL, which continues nothing. */
static size_t utf8_char(const char *text, uint32_t *ret_code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t code;
	size_t len = utf8_expected((unsigned char)text[0], &code);

	for (size_t i = 1; i < len; i++) {
		unsigned char byte = (unsigned char)text[i];

		if ((byte & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (byte & 0x3fU);
	}
	if (!len || code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return len;
}

static bool printable(uint32_t code)
{
	for (size_t i = 0; i < ARRAY_SIZE(unprintable); i++) {
		if (code >= unprintable[i].first && code <= unprintable[i].last)
			return false;
	}
	return true;
}

/* Whether text begins with what a reader of our JSON strings takes for an escaped byte. */
static bool reads_as_byte(const char *text)
{
	static const char hex[] = "0123456789abcdef";

	if (text[0] != '\\' || text[1] != 'x' || !text[2] || !text[3])
		return false;
	if (text[2] == '5' && text[3] == 'c')
		return true;
	return strchr(hex + 8, text[2]) && strchr(hex, text[3]);
}

/* How many bytes at text may stay as they are; 0: the first one is to be escaped. */
typedef size_t (*keep_fn)(const char *text);

static size_t keep_for_people(const char *text)
{
	uint32_t code;
	size_t len = utf8_char(text, &code);

	return len && printable(code) ? len : 0;
}

static size_t keep_for_json(const char *text)
{
	uint32_t code;

	return reads_as_byte(text) ? 0 : utf8_char(text, &code);
}

static char *escape(const char *text, keep_fn keep)
{
	static const char hex[] = "0123456789abcdef";
	char *escaped = malloc(4 * strlen(text) + 1);
	char *to = escaped;

	if (!escaped)
		return NULL;
	while (*text) {
		unsigned char byte = (unsigned char)*text;
		size_t len = keep(text);

		if (len) {
			to = mempcpy(to, text, len);
			text += len;
			continue;
		}
		*to++ = '\\';
		*to++ = 'x';
		*to++ = hex[byte >> 4];
		*to++ = hex[byte & 0x0f];
		text++;
	}
	*to = '\0';
	return escaped;
}

char *output_escape(const char *text)
{
	return escape(text, keep_for_people);
}

char *output_escape_json(const char *text)
{
	return escape(text, keep_for_json);
}

/* A word in place of a number. */
static const char *word(char buf[static OUTPUT_TEXT_MAX], const char *text)
{
	(void)snprintf(buf, OUTPUT_TEXT_MAX, "%s", text); /* short ones only */
	return buf;
}

const char *output_size(uint64_t bytes, char buf[static OUTPUT_TEXT_MAX])
{
	static const char units[] = {'T', 'G', 'M', 'K'};
	uint64_t whole, tenths;

	if (bytes == UINT64_MAX)
		return word(buf, "-");
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		uint64_t unit = 1ULL << (10 * (ARRAY_SIZE(units) - i));
		bool larger_unit = i > 0;

		whole = bytes / unit;
		if (whole && bytes % unit == 0) {
			(void)snprintf(buf, OUTPUT_TEXT_MAX, "%" PRIu64 "%c", whole, units[i]);
			return buf;
		}
		tenths = (bytes % unit * 10 + unit / 2) / unit;
		whole += tenths / 10;
		/* 1023.96M rounds up to a whole number of the next unit. */
		if (larger_unit && whole == 1024) {
			(void)snprintf(buf, OUTPUT_TEXT_MAX, "1.0%c", units[i - 1]);
			return buf;
		}
		if (bytes >= unit) {
			(void)snprintf(buf, OUTPUT_TEXT_MAX, "%" PRIu64 ".%" PRIu64 "%c", whole,
				       tenths % 10, units[i]);
			return buf;
		}
	}
	(void)snprintf(buf, OUTPUT_TEXT_MAX, "%" PRIu64, bytes);
	return buf;
}

const char *output_number(uint64_t number, char buf[static OUTPUT_TEXT_MAX])
{
	if (number == UINT64_MAX)
		return word(buf, "-");
	(void)snprintf(buf, OUTPUT_TEXT_MAX, "%" PRIu64, number);
	return buf;
}

const char *output_limit(uint64_t number, char buf[static OUTPUT_TEXT_MAX])
{
	if (number == UINT64_MAX)
		return word(buf, "unlimited");
	return output_number(number, buf);
}

json_t *output_json_text(const char *text)
{
	CLEANUP(freep) char *escaped = NULL;

	if (!text || !text[0])
		return json_null();
	escaped = output_escape_json(text);
	return escaped ? json_string(escaped) : NULL;
}

static json_t *json_number(uint64_t number)
{
	return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

json_t *output_json_figure(uint64_t number)
{
	return number == UINT64_MAX ? json_null() : json_number(number);
}

json_t *output_json_limit(uint64_t number)
{
	return number == UINT64_MAX ? json_string("unlimited") : json_number(number);
}

json_t *output_json_object(const struct output_member *members, size_t n)
{
	CLEANUP(json_decrefp) json_t *object = json_object();
	bool failed = false;

	/* Every one is handed over, after a failure too. */
	for (size_t i = 0; i < n; i++)
		failed |= json_object_set_new(object, members[i].name, members[i].value) < 0;
	return failed ? NULL : STEAL(object);
}

static int put_json(const json_t *value, size_t flags)
{
	CLEANUP(freep) char *text = json_dumps(value, flags | JSON_ENCODE_ANY);

	if (!text)
		return -ENOMEM;
	(void)puts(text); /* output_finish() looks for errors of the stream */
	return 0;
}

int output_json(const json_t *value)
{
	return put_json(value, JSON_INDENT(2));
}

int output_json_line(const json_t *value)
{
	return put_json(value, 0);
}

int output_table_add(struct output_table *table, const char *cell)
{
	char *escaped;

	if (table->n_cells == table->max_cells) {
		size_t more = table->max_cells ? 2 * table->max_cells : 64;
		char **cells = reallocarray(table->cells, more, sizeof(*cells));

		if (!cells)
			return -ENOMEM;
		table->cells = cells;
		table->max_cells = more;
	}
	escaped = output_escape(cell);
	if (!escaped)
		return -ENOMEM;
	table->cells[table->n_cells++] = escaped;
	return 0;
}

/* Places on the screen: one per character, which is right for all but wide ones. */
static size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

/* Cells that make whole rows: what is left over of a row that failed is not printed. */
static size_t whole_cells(const struct output_table *table)
{
	return table->n_cells - table->n_cells % table->n_columns;
}

static size_t column_width(const struct output_table *table, size_t column)
{
	size_t widest = text_width(table->columns[column].heading);

	for (size_t i = column; i < whole_cells(table); i += table->n_columns) {
		size_t width = text_width(table->cells[i]);

		if (width > widest)
			widest = width;
	}
	return widest;
}

static void print_cell(const struct output_table *table, size_t column, size_t width,
		       const char *cell, FILE *out)
{
	int padding = (int)(width - text_width(cell));
	bool last = column + 1 == table->n_columns;

	/* output_finish() looks for errors of the stream. */
	if (table->columns[column].right)
		(void)fprintf(out, "%*s%s", padding, "", cell);
	else
		(void)fprintf(out, "%s%*s", cell, last ? 0 : padding, "");
	(void)fputs(last ? "\n" : "  ", out);
}

void output_table_print(const struct output_table *table, FILE *out)
{
	CLEANUP(freep) size_t *widths = calloc(table->n_columns, sizeof(*widths));

	/* Without the memory for widths the table is printed as it comes. */
	for (size_t column = 0; widths && column < table->n_columns; column++)
		widths[column] = column_width(table, column);
	for (size_t column = 0; column < table->n_columns; column++) {
		const char *heading = table->columns[column].heading;

		print_cell(table, column, widths ? widths[column] : text_width(heading), heading,
			   out);
	}
	for (size_t i = 0; i < whole_cells(table); i++) {
		size_t column = i % table->n_columns;
		const char *cell = table->cells[i];

		print_cell(table, column, widths ? widths[column] : text_width(cell), cell, out);
	}
}

void output_table_fini(struct output_table *table)
{
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i]);
	free(table->cells);
	table->cells = NULL;
	table->n_cells = table->max_cells = 0;
}

/* Free with free(); NULL: out of memory. */
__attribute__((format(printf, 1, 0))) static char *escaped_format(const char *format, va_list args)
{
	CLEANUP(freep) char *text = NULL;

	if (vasprintf(&text, format, args) < 0) {
		text = NULL; /* its value is undefined then */
		return NULL;
	}
	return output_escape(text);
}

void output_line(const char *name, const char *format, ...)
{
	CLEANUP(freep) char *escaped = NULL;
	va_list args;

	va_start(args, format);
	escaped = escaped_format(format, args);
	va_end(args);
	printf("%s: %s\n", name, escaped ? escaped : "(out of memory)");
}

void output_error(const char *format, ...)
{
	CLEANUP(freep) char *escaped = NULL;
	va_list args;

	va_start(args, format);
	escaped = escaped_format(format, args);
	va_end(args);
	/* Nobody is left to tell when this fails. */
	(void)fprintf(stderr, "pinbroker: %s\n", escaped ? escaped : "out of memory");
}

void output_begin(void)
{
	(void)signal(SIGPIPE, SIG_IGN); /* cannot fail for a signal that exists */
}

int output_finish(int status)
{
	/* What an earlier write got is lost when a later one succeeds: then only that it failed. */
	bool failed = ferror(stdout);
	int err = 0;

	if (fflush(stdout))
		err = errno;
	if (!failed && !err)
		return status;
	output_error("cannot write to standard output: %s", err ? strerror(err) : "write error");
	return EX_SOFTWARE;
}
