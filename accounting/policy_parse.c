/* SPDX-License-Identifier: MIT */
/*
 * libconfuse's side of policy_parse(): it reads the grammar and calls back at each value, with the
 * line; the value is converted right there. libconfuse's own store of values is never read, so
 * that a block or key given twice is found (it replaces the first one silently).
 */
#include <confuse.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/policy.h"
#include "accounting/policy_parser.h"
#include "common/cleanup.h"
#include "common/conffile.h"

#define REPORT_MAX 512
#define POLICY_BLOCK "policy" /* the keyword */

/*
 * libconfuse's callbacks carry no pointer of ours, and struct cfg_t has no room for one. Set only
 * while cfg_parse_fp() runs. Per thread, so that at least this file needs no lock; libconfuse's
 * lexer keeps state in globals, hence one parse at a time in a process all the same.
 */
static _Thread_local struct policy_parser *current;

__attribute__((format(printf, 4, 0))) static void report_va(struct policy_parser *parser,
							    enum policy_severity severity,
							    struct policy_place place,
							    const char *fmt, va_list ap)
{
	char text[REPORT_MAX];

	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut off if a value is that long */
	if (severity == POLICY_ERROR)
		parser->errors++;
	parser->env->report(severity, place.file, place.line, text, parser->env->arg);
}

void policy_report_at(struct policy_parser *parser, enum policy_severity severity,
		      struct policy_place place, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report_va(parser, severity, place, fmt, ap);
	va_end(ap);
}

void policy_report(struct policy_parser *parser, enum policy_severity severity, const char *fmt,
		   ...)
{
	struct policy_place place = {parser->file, parser->line};
	va_list ap;

	va_start(ap, fmt);
	report_va(parser, severity, place, fmt, ap);
	va_end(ap);
}

/* A key that the grammar does not have; inside a block it may be that the block should be over. */
static void report_unknown(struct policy_parser *parser, const char *key)
{
	const struct policy *p = &parser->block.policy;

	if (parser->block.section && !strcmp(key, POLICY_BLOCK))
		policy_report(parser, POLICY_ERROR,
			      "a policy inside policy \"%s\" (line %u): is its \"}\" missing?",
			      p->name, p->line);
	else if (parser->block.section)
		policy_report(parser, POLICY_ERROR, "unknown key \"%s\" in policy \"%s\"", key,
			      p->name);
	else
		policy_report(parser, POLICY_ERROR, "unknown key \"%s\"", key);
}

/* The file ended where the grammar needs more: in a block, a list, or after "key =". */
static void report_end(struct policy_parser *parser)
{
	const struct policy *p = &parser->block.policy;

	parser->line = parser->last_line;
	if (parser->block.section)
		policy_report(parser, POLICY_ERROR,
			      "the file ends inside policy \"%s\", which begins in line %u",
			      p->name, p->line);
	else
		policy_report(parser, POLICY_ERROR, "the file ends in the middle of a statement");
}

/* libconfuse's error callback; it gives up on the file after calling this. */
__attribute__((format(printf, 2, 0))) static void confuse_error(cfg_t *cfg, const char *fmt,
								va_list ap)
{
	struct policy_parser *parser = current;

	parser->line = (unsigned int)cfg->line;
	if (parser->line > parser->last_line)
		report_end(parser);
	else if (!strcmp(fmt, "no such option '%s'"))
		report_unknown(parser, va_arg(ap, const char *));
	else
		report_va(parser, POLICY_ERROR, (struct policy_place){parser->file, parser->line},
			  fmt, ap);
}

static int convert_defaults(struct policy_parser *parser, const struct policy_key *keys, size_t n,
			    void *base)
{
	size_t i;
	int err;

	for (i = 0; i < n; i++) {
		if (!keys[i].def)
			continue;
		err = keys[i].convert(parser, &keys[i], keys[i].def, base);
		if (err)
			return err;
	}
	return 0;
}

static void check_name(struct policy_parser *parser, const char *name)
{
	const struct policy_set *set = parser->set;
	size_t i;

	if (!name[0] || strlen(name) > POLICY_NAME_MAX)
		policy_report(parser, POLICY_ERROR, "the name of a policy has 1 to %d bytes",
			      POLICY_NAME_MAX);
	for (i = 0; i < set->n_policies; i++)
		if (!strcmp(set->policies[i].name, name))
			policy_report(parser, POLICY_ERROR,
				      "policy \"%s\" is there already, at %s:%u", name,
				      set->policies[i].file, set->policies[i].line);
}

static int block_begin(struct policy_parser *parser, cfg_t *section)
{
	struct policy_block *block = &parser->block;
	const char *name = cfg_title(section);

	*block = (struct policy_block){.section = section, .errors_before = parser->errors};
	check_name(parser, name);
	block->policy.name = strdup(name);
	block->policy.file = strdup(parser->file);
	block->policy.line = parser->line;
	if (!block->policy.name || !block->policy.file)
		return -ENOMEM;
	return convert_defaults(parser, policy_block_keys, policy_n_block_keys, &block->policy);
}

static int block_end(struct policy_parser *parser)
{
	struct policy_set *set = parser->set;
	struct policy *policies;

	policy_check_block(parser);
	policies = reallocarray(set->policies, set->n_policies + 1, sizeof(*policies));
	if (!policies)
		return -ENOMEM;
	policies[set->n_policies++] = parser->block.policy;
	set->policies = policies;
	parser->block = (struct policy_block){0};
	return 0;
}

/* A list's value is seen once per entry, the mark first, and again at its brace. */
static bool entry_is_new(struct policy_parser *parser, cfg_opt_t *opt)
{
	size_t n = cfg_opt_size(opt);
	bool is_new = n == 1 || n > parser->list_seen;

	parser->list_seen = n;
	return is_new;
}

/* One value of a key. libconfuse has just stored it as the option's last. */
static int value_seen(struct policy_parser *parser, const struct policy_key *key,
		      struct policy_place *place, cfg_opt_t *opt, void *base)
{
	unsigned int n = cfg_opt_size(opt);
	const char *text = cfg_opt_getnstr(opt, n - 1);

	if (!entry_is_new(parser, opt))
		return 0;
	/* Each statement starts over with one value: a list's mark, or the value itself. */
	if (n == 1) {
		if (place->line)
			policy_report(parser, POLICY_ERROR, "%s is given twice, first at %s:%u",
				      key->name, place->file, place->line);
		*place = (struct policy_place){parser->file, parser->line};
		if (key->clear)
			key->clear((char *)base + key->offset);
	}
	if (!strcmp(text, POLICY_MARK))
		return 0; /* of a list, or of the end of the file: the parser stumbles next */
	return key->convert(parser, key, text, base);
}

/* The row of a key, or n. */
static size_t key_index(const struct policy_key *keys, size_t n, const char *name)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!strcmp(keys[i].name, name))
			break;
	return i;
}

/* "policy=NAME|limit" is libconfuse's way to reach into another block: no key of ours. */
static bool option_belongs(cfg_t *cfg, const cfg_opt_t *opt)
{
	unsigned int i;

	for (i = 0; i < cfg_num(cfg); i++)
		if (cfg_getnopt(cfg, i) == opt)
			return true;
	return false;
}

/* The mark of a block's beginning or of the end of the file, whichever it can be here. */
static int mark_seen(struct policy_parser *parser, cfg_t *cfg, bool top)
{
	if (top) {
		parser->ended = true;
		return 0;
	}
	if (parser->block.section != cfg)
		return block_begin(parser, cfg);
	report_end(parser);
	return -EINVAL;
}

static int option_seen(struct policy_parser *parser, cfg_t *cfg, cfg_opt_t *opt)
{
	const char *name = cfg_opt_name(opt);
	bool top = strcmp(cfg_name(cfg), POLICY_BLOCK) != 0;
	size_t i;

	parser->line = (unsigned int)cfg->line;
	if (parser->line > parser->last_line && strcmp(name, POLICY_MARK) != 0)
		parser->line = parser->last_line; /* a value that the file ends before */
	if (!option_belongs(cfg, opt)) {
		policy_report(parser, POLICY_ERROR, "%s: a key cannot reach into another block",
			      name);
		return -EINVAL;
	}
	if (!strcmp(name, POLICY_MARK))
		return mark_seen(parser, cfg, top);
	if (top && !strcmp(name, POLICY_BLOCK))
		return block_end(parser);
	if (top) {
		i = key_index(policy_set_keys, policy_n_set_keys, name);
		return value_seen(parser, &policy_set_keys[i], &parser->settings[i], opt,
				  parser->set);
	}
	i = key_index(policy_block_keys, policy_n_block_keys, name);
	return value_seen(parser, &policy_block_keys[i], &parser->block.places[i], opt,
			  &parser->block.policy);
}

/* libconfuse's validate callback, the same for every option; other than 0 ends the parse. */
static int confuse_validate(cfg_t *cfg, cfg_opt_t *opt)
{
	int err = option_seen(current, cfg, opt);

	if (err == -ENOMEM)
		current->err = err;
	return err;
}

/* Fills @opts with a table's keys and the mark; returns how many. All are strings to libconfuse. */
static size_t options_fill(cfg_opt_t *opts, const struct policy_key *keys, size_t n)
{
	const cfg_opt_t mark = CFG_STR(POLICY_MARK, 0, CFGF_NODEFAULT);
	size_t i;

	for (i = 0; i < n; i++) {
		const cfg_opt_t scalar = CFG_STR(keys[i].name, 0, CFGF_NODEFAULT);
		const cfg_opt_t list = CFG_STR_LIST(keys[i].name, 0, CFGF_NODEFAULT);

		opts[i] = keys[i].flags & POLICY_KEY_LIST ? list : scalar;
	}
	opts[n++] = mark;
	for (i = 0; i < n; i++)
		opts[i].validcb = confuse_validate;
	return n;
}

/* A function never becomes known (CFG_FUNC): "include" is an unknown key like any other. */
static cfg_t *confuse_new(const char *file)
{
	const cfg_opt_t end = CFG_END();
	cfg_opt_t block[POLICY_MAX_KEYS + 2], top[POLICY_MAX_KEYS + 3];
	const cfg_opt_t section = CFG_SEC(POLICY_BLOCK, block, CFGF_MULTI | CFGF_TITLE);
	size_t n;
	cfg_t *cfg;

	n = options_fill(block, policy_block_keys, policy_n_block_keys);
	block[n] = end;
	n = options_fill(top, policy_set_keys, policy_n_set_keys);
	top[n] = section;
	top[n++].validcb = confuse_validate;
	top[n] = end;
	cfg = cfg_init(top, CFGF_NONE); /* copies the tables */
	if (!cfg)
		return NULL;
	(void)cfg_set_error_function(cfg, confuse_error); /* returns the old one */
	cfg->filename = strdup(file); /* else cfg_parse_fp() calls it "FILE" */
	if (cfg->filename)
		return cfg;
	(void)cfg_free(cfg); /* fails for NULL only */
	return NULL;
}

/* cfg_free() also resets the lexer, which else begins the next file inside this one's string. */
static void cfg_freep(cfg_t **cfg)
{
	if (*cfg)
		(void)cfg_free(*cfg); /* fails for NULL only */
}

static int parse_text(struct policy_parser *parser, char *text, size_t len)
{
	CLEANUP(cfg_freep) cfg_t *cfg = confuse_new(parser->file);
	CLEANUP(file_closep) FILE *f = fmemopen(text, len, "r");
	size_t errors = parser->errors;
	int ret;

	if (!cfg || !f)
		return -ENOMEM;
	parser->ended = false;
	current = parser;
	errno = 0;
	ret = cfg_parse_fp(cfg, f);
	current = NULL;
	if (parser->err)
		return parser->err;
	if (ret == CFG_SUCCESS && parser->ended)
		return 0;
	/* Silent failures are a key of no characters, and libconfuse's own allocations. */
	if (ret != CFG_SUCCESS && parser->errors == errors) {
		if (errno != EINVAL)
			return -ENOMEM;
		parser->line = (unsigned int)cfg->line;
		policy_report(parser, POLICY_ERROR, "a key is empty");
	}
	if (ret == CFG_SUCCESS) /* the scanner and libconfuse's lexer disagree */
		report_end(parser);
	return 0;
}

static int parse_file(struct policy_parser *parser, const struct policy_file *file)
{
	CLEANUP(freep) char *text = NULL;
	size_t len;
	int err;

	parser->file = file->name;
	parser->line = 1;
	err = policy_scan(parser, file, &text, &len);
	if (!err && text)
		err = parse_text(parser, text, len);
	policy_fini(&parser->block.policy); /* of a block that did not end */
	parser->block = (struct policy_block){0};
	return err;
}

int policy_parse(const struct policy_file *files, size_t n_files, const struct policy_env *env,
		 struct policy_set **ret_set)
{
	CLEANUP(policy_unrefp) struct policy_set *set = calloc(1, sizeof(*set));
	struct policy_parser parser = {.env = env, .set = set, .file = files[0].name};
	size_t i;
	int err;

	if (!set)
		return -ENOMEM;
	set->refs = 1;
	err = convert_defaults(&parser, policy_set_keys, policy_n_set_keys, set);
	for (i = 0; i < n_files && !err; i++)
		err = parse_file(&parser, &files[i]);
	if (err)
		return err;
	parser.file = files[0].name;
	policy_check_set(&parser);
	if (parser.errors)
		return -EINVAL;
	*ret_set = STEAL(set);
	return 0;
}

int policy_parse_read(const struct conffile_set *read, const struct policy_env *env,
		      struct policy_set **ret_set)
{
	CLEANUP(freep) struct policy_file *files = calloc(read->n, sizeof(*files));

	if (!files)
		return -ENOMEM;
	for (size_t i = 0; i < read->n; i++)
		files[i] = (struct policy_file){.name = read->files[i].name,
						.bytes = read->files[i].bytes,
						.len = read->files[i].len};
	return policy_parse(files, read->n, env, ret_set);
}
