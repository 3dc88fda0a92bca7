/* SPDX-License-Identifier: MIT */
/*
 * What the files behind policy_parse() share; nobody else includes this.
 *
 * bytes --policy_scan()--> bytes libconfuse reads rightly --policy_parse.c--> (key, value, line)
 *       --policy_keys.c--> a field of struct policy or policy_set --policy_check.c--> findings
 */
#ifndef ACCOUNTING_POLICY_PARSER_H
#define ACCOUNTING_POLICY_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounting/policy.h"

struct cfg_t;

#define POLICY_MAX_KEYS 32 /* per table; a static_assert keeps the tables below it */

/*
 * libconfuse calls nobody back where a block or a list begins or the file ends, so the scanner
 * plants this there: a key (in blocks, after the last line) and a first entry (in lists) that no
 * file can hold, because the scanner refuses control characters. Seen in an open block a second
 * time it says that the file ended there.
 */
#define POLICY_MARK "\001"

/* Where something was written; line 0: it was not. The name is borrowed from struct policy_file. */
struct policy_place {
	const char *file;
	unsigned int line;
};

/* The `policy "name" { }` block being read. */
struct policy_block {
	struct cfg_t *section; /* NULL: none is being read; borrowed, only ever compared */
	struct policy policy; /* owned */
	struct policy_place places[POLICY_MAX_KEYS]; /* as in policy_block_keys */
	size_t errors_before; /* the block is free of errors while this is the parser's count */
};

struct policy_parser {
	const struct policy_env *env; /* borrowed */
	struct policy_set *set; /* owned */
	const char *file; /* the one being read; borrowed */
	unsigned int line; /* of the value being converted */
	unsigned int last_line; /* of the file; what libconfuse finds beyond it is the last mark */
	bool ended; /* the last mark was seen at top level */
	size_t errors; /* reported so far */
	int err; /* -ENOMEM: give up, nothing else matters */
	size_t list_seen; /* entries of the list being read that were converted, marks included */
	struct policy_place settings[POLICY_MAX_KEYS]; /* as in policy_set_keys */
	struct policy_block block;
};

enum {
	POLICY_KEY_LIST = 1 << 0,
	POLICY_KEY_REQUIRED = 1 << 1,
};

/* One row is one key: a new one needs nothing else (and its line in pinbroker.conf(5)). */
struct policy_key {
	const char *name;
	/*
	 * Writes the field at @offset of @base; a list's is called once per entry. Reports what is
	 * wrong with the text and returns 0 even then, so that one run finds every mistake;
	 * -ENOMEM otherwise.
	 */
	int (*convert)(struct policy_parser *parser, const struct policy_key *key, const char *text,
		       void *base);
	size_t offset;
	/* Makes a list's field empty again before the first entry that a file gives. */
	void (*clear)(void *field);
	const char *def; /* goes through convert(); NULL: zero bytes are the default, or required */
	uint64_t min; /* what a number must be at least */
	const char *const *words; /* of an enum, by its values; NULL: a value without one */
	size_t n_words;
	unsigned int flags;
};

extern const struct policy_key policy_set_keys[]; /* base: struct policy_set */
extern const size_t policy_n_set_keys;
extern const struct policy_key policy_block_keys[]; /* base: struct policy */
extern const size_t policy_n_block_keys;

/* Where a key of the block was given. */
struct policy_place policy_block_place(const struct policy_block *block, const char *key);

/* One finding, at the value being converted or at a place of its own. */
__attribute__((format(printf, 3, 4))) void
policy_report(struct policy_parser *parser, enum policy_severity severity, const char *fmt, ...);
__attribute__((format(printf, 4, 5))) void policy_report_at(struct policy_parser *parser,
							    enum policy_severity severity,
							    struct policy_place place,
							    const char *fmt, ...);

/**
 * policy_scan() - make a file safe for libconfuse 3.3
 * @file: its bytes
 * @ret_text, @ret_len: what to parse instead, line for line; free() it
 *
 * Refuses, with the exact line, what libconfuse would take silently in another sense; blanks
 * comments and plants the marks. See the head of policy_scan.c for the list.
 *
 * Return: 0, also after an error was reported (@ret_text is NULL then); -ENOMEM.
 */
int policy_scan(struct policy_parser *parser, const struct policy_file *file, char **ret_text,
		size_t *ret_len);

/* Finishing checks: of the block that just ended, and of the whole snapshot. */
void policy_check_block(struct policy_parser *parser);
void policy_check_set(struct policy_parser *parser);

/* Whether each subject that @later matches is matched by @earlier; false where that is not sure. */
bool policy_covers(const struct policy *earlier, const struct policy *later);

bool policy_ids_contain(const struct policy_ids *ids, uint32_t id);

/* Frees what a policy owns, not the struct; zero bytes are fine. */
void policy_fini(struct policy *policy);
void policy_ids_fini(struct policy_ids *ids);

/* Appends a copy. Return: 0; -ENOMEM with nothing changed. */
int policy_patterns_add(struct policy_patterns *patterns, const char *text);
void policy_patterns_fini(struct policy_patterns *patterns);

/* What a setting's value is called in a file; the index is the enum, NULL: never written. */
extern const char *const policy_accounting_names[POLICY_ACCOUNTING_ANY + 1];
extern const char *const policy_mirror_names[POLICY_MIRROR_TRACK + 1];
extern const char *const policy_unmanaged_names[POLICY_UNMANAGED_LIMIT + 1];
extern const char *const policy_slip_names[POLICY_SLIP_KILL + 1];
extern const char *const policy_multi_names[POLICY_MULTI_P2P + 1];
extern const char *const policy_fallback_names[POLICY_FALLBACK_ALLOW + 1];

#endif
