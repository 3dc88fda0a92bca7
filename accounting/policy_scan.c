/* SPDX-License-Identifier: MIT */
/*
 * The pass before libconfuse. It knows tokens, not the grammar. libconfuse 3.3's lexer, read and
 * tried, does this with root's configuration, always without a word:
 *
 * - a block comment or a block without its end is the end of the file, and that is a success;
 * - a string without its quote swallows lines up to the next quote anywhere;
 * - "${NAME}" becomes the environment's value: a policy must not depend on who started the daemon;
 * - "\x2d" becomes "-", but that is how systemd and libvirt really call their cgroups;
 * - a character it knows nothing of is dropped: +5 and *5 are 5;
 * - NUL bytes end the value, not the line;
 * - a line comment counts as three lines, and one inside a list is a syntax error;
 * - nobody is told where a list or a block begins: `users = {}` after `users = {"qemu"}` would
 * widen a policy to everybody.
 *
 * So: comments become blanks, a backslash in a string stays one (only \\ and \" escape), lists,
 * blocks and what follows the last line begin with POLICY_MARK, and the rest of the above is an
 * error. Newlines stay where they are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/policy_parser.h"
#include "common/cleanup.h"

/* What ends an unquoted word in libconfuse's lexer.l. */
#define WORD_ENDS " #\"'\t\n\r={}()+,*"

#define ERRORS_ENOUGH 20 /* of one file: it is no configuration at all */
#define MARK_STATEMENT POLICY_MARK "=" POLICY_MARK " "

struct scanner {
	struct policy_parser *parser; /* its line is kept right */
	const char *p;
	const char *end;
	FILE *out;
	char before; /* first byte of the token before this one */
};

/* NUL past the end: no file that gets here has one inside. */
static char peek(const struct scanner *s, size_t ahead)
{
	if (ahead >= (size_t)(s->end - s->p))
		return '\0';
	return s->p[ahead];
}

/* Errors show in ferror() at the end: the stream is in memory, so all of them are ENOMEM. */
static void emit(struct scanner *s, const char *text, size_t len)
{
	(void)fwrite(text, 1, len, s->out);
}

static void newline(struct scanner *s)
{
	emit(s, "\n", 1);
	s->parser->line++;
	s->p++;
}

static void scan_line_comment(struct scanner *s)
{
	while (s->p < s->end && *s->p != '\n')
		s->p++;
}

static void scan_block_comment(struct scanner *s)
{
	unsigned int begins = s->parser->line;

	s->p += 2;
	while (s->p < s->end) {
		if (*s->p == '*' && peek(s, 1) == '/') {
			s->p += 2;
			emit(s, " ", 1);
			return;
		}
		if (*s->p == '\n')
			newline(s);
		else
			s->p++;
	}
	s->parser->line = begins;
	policy_report(s->parser, POLICY_ERROR, "the comment that begins here does not end");
}

/* One character of a string, or an escape; whether the string goes on. */
static bool scan_string_char(struct scanner *s, char quote)
{
	char c = *s->p;

	if (c == '$' && peek(s, 1) == '{' && quote == '"') {
		policy_report(s->parser, POLICY_ERROR,
			      "\"${\": the environment is not part of a policy (single quotes "
			      "make it plain text)");
		emit(s, "$", 1); /* harmless without its brace; the scan goes on for more errors */
		s->p += 2;
		return true;
	}
	if (c == '\t')
		policy_report(s->parser, POLICY_ERROR, "a tab inside a string");
	if (c == '\\' && (peek(s, 1) == '\\' || peek(s, 1) == quote)) {
		emit(s, s->p, 2);
		s->p += 2;
		return true;
	}
	if (c == '\\')
		emit(s, "\\", 1); /* doubled: libconfuse reads \\ as one in either kind of quotes */
	emit(s, &c, 1);
	s->p++;
	return c != quote;
}

static void scan_string(struct scanner *s)
{
	char quote = *s->p;

	s->before = quote;
	emit(s, s->p++, 1);
	while (s->p < s->end && *s->p != '\n')
		if (!scan_string_char(s, quote))
			return;
	policy_report(s->parser, POLICY_ERROR, "the string does not end on its line");
}

static void scan_word(struct scanner *s)
{
	const char *begin = s->p;

	s->before = *s->p;
	while (s->p < s->end && !strchr(WORD_ENDS, *s->p))
		s->p++;
	emit(s, begin, (size_t)(s->p - begin));
	if (s->p[-1] == '$' && peek(s, 0) == '{')
		policy_report(s->parser, POLICY_ERROR,
			      "\"${\": the environment is not part of a policy");
}

static void scan_brace(struct scanner *s)
{
	bool list = s->before == '=';

	s->before = *s->p;
	emit(s, s->p, 1);
	if (*s->p++ == '}')
		return;
	if (list)
		emit(s, POLICY_MARK ",", strlen(POLICY_MARK ","));
	else
		emit(s, MARK_STATEMENT, strlen(MARK_STATEMENT));
}

static void scan_token(struct scanner *s)
{
	char c = *s->p;

	if (c == '\n') {
		newline(s);
	} else if (c == ' ' || c == '\t' || c == '\r') {
		emit(s, " ", 1); /* a \r is before its \n: scan_bytes() saw to it */
		s->p++;
	} else if (c == '#' || (c == '/' && peek(s, 1) == '/')) {
		scan_line_comment(s);
	} else if (c == '/' && peek(s, 1) == '*') {
		scan_block_comment(s);
	} else if (c == '"' || c == '\'') {
		scan_string(s);
	} else if (c == '{' || c == '}') {
		scan_brace(s);
	} else if (c == '*' || c == '+') {
		policy_report(s->parser, POLICY_ERROR, "\"%c\" stands outside of a string", c);
		s->p++;
	} else if (strchr("=(),", c)) {
		s->before = c;
		emit(s, s->p++, 1);
	} else {
		scan_word(s);
	}
}

/* Refuses bytes that no configuration holds on purpose; the first one only. */
static bool scan_bytes(struct policy_parser *parser, const struct policy_file *file)
{
	const unsigned char *bytes = (const unsigned char *)file->bytes;
	unsigned int line = 1;
	size_t i;

	for (i = 0; i < file->len; i++) {
		unsigned char c = bytes[i];

		line += c == '\n';
		if ((c >= ' ' && c != 0x7f) || c == '\t' || c == '\n')
			continue;
		if (c == '\r' && i + 1 < file->len && bytes[i + 1] == '\n')
			continue;
		parser->line = line;
		policy_report(parser, POLICY_ERROR, "a control character (byte 0x%02x)", c);
		return false;
	}
	parser->last_line = line;
	if (file->len && bytes[file->len - 1] == '\n')
		parser->last_line--;
	return true;
}

int policy_scan(struct policy_parser *parser, const struct policy_file *file, char **ret_text,
		size_t *ret_len)
{
	CLEANUP(freep) char *text = NULL;
	size_t len = 0;
	size_t errors = parser->errors;
	bool failed;
	struct scanner s = {
		.parser = parser,
		.p = file->bytes,
		.end = file->bytes + file->len,
	};

	*ret_text = NULL;
	*ret_len = 0;
	if (!scan_bytes(parser, file))
		return 0;
	s.out = open_memstream(&text, &len);
	if (!s.out)
		return -ENOMEM;
	parser->line = 1;
	while (s.p < s.end && parser->errors - errors < ERRORS_ENOUGH)
		scan_token(&s);
	/* On a line of its own, beyond last_line: seen at top level only if all braces are closed.
	 */
	emit(&s, "\n" MARK_STATEMENT "\n", strlen("\n" MARK_STATEMENT "\n"));
	failed = fflush(s.out) || ferror(s.out);
	if (fclose(s.out) || failed)
		return -ENOMEM;
	if (parser->errors == errors) {
		*ret_text = STEAL(text);
		*ret_len = len;
	}
	return 0;
}
