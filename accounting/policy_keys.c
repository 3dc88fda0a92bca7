/* SPDX-License-Identifier: MIT */
/*
 * What may stand in a configuration: the two tables of keys, and from the text of a value to its
 * field. Whether values fit together is policy_check.c's business.
 */
#include <confuse.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/glob.h"
#include "accounting/policy_parser.h"
#include "accounting/size.h"
#include "common/cleanup.h"

#define DIGITS "0123456789"

static void *field(const struct policy_key *key, void *base)
{
	return (char *)base + key->offset;
}

/* Numbers */

enum number_form {
	NUMBER_COUNT, /* digits only, at most 2^32 - 1: more is a typing error */
	NUMBER_SIZE,
};

/* Whether *ret_number was set; otherwise it was reported why not. */
static bool number_parse(struct policy_parser *parser, const struct policy_key *key,
			 const char *text, enum number_form form, uint64_t *ret_number)
{
	uint64_t number = 0;
	int err = size_parse(text, &number);

	if (form == NUMBER_COUNT && text[strspn(text, DIGITS)])
		err = -EINVAL;
	else if (form == NUMBER_COUNT && !err && number > UINT32_MAX)
		err = -ERANGE;
	if (text[0] == '-' && strspn(text + 1, DIGITS))
		policy_report(parser, POLICY_ERROR, "%s = %s is negative", key->name, text);
	else if (err == -ERANGE)
		policy_report(parser, POLICY_ERROR, "%s = %s is too large", key->name, text);
	else if (err && form == NUMBER_COUNT)
		policy_report(parser, POLICY_ERROR, "%s = \"%s\" is not a number", key->name, text);
	else if (err)
		policy_report(parser, POLICY_ERROR,
			      "%s = \"%s\" is not a size (a number of bytes, or one with K, M, G "
			      "or T)",
			      key->name, text);
	else if (number < key->min)
		policy_report(parser, POLICY_ERROR, "%s = %s must be at least %" PRIu64, key->name,
			      text, key->min);
	else
		*ret_number = number;
	return !err && number >= key->min;
}

static int convert_size(struct policy_parser *parser, const struct policy_key *key,
			const char *text, void *base)
{
	(void)number_parse(parser, key, text, NUMBER_SIZE, field(key, base)); /* it reported */
	return 0;
}

static int convert_size_or_unlimited(struct policy_parser *parser, const struct policy_key *key,
				     const char *text, void *base)
{
	uint64_t *size = field(key, base);

	if (strcmp(text, "unlimited") != 0)
		return convert_size(parser, key, text, base);
	*size = POLICY_UNLIMITED;
	return 0;
}

static int convert_limit(struct policy_parser *parser, const struct policy_key *key,
			 const char *text, void *base)
{
	struct policy *policy = base;

	policy->limit_auto = !strcmp(text, "auto");
	return policy->limit_auto ? 0 : convert_size(parser, key, text, base);
}

static int convert_reserve(struct policy_parser *parser, const struct policy_key *key,
			   const char *text, void *base)
{
	struct policy_set *set = base;

	set->host_reserve_checked = strcmp(text, "off") != 0;
	return set->host_reserve_checked ? convert_size(parser, key, text, base) : 0;
}

static int convert_count(struct policy_parser *parser, const struct policy_key *key,
			 const char *text, void *base)
{
	(void)number_parse(parser, key, text, NUMBER_COUNT, field(key, base)); /* it reported */
	return 0;
}

static int convert_uint(struct policy_parser *parser, const struct policy_key *key,
			const char *text, void *base)
{
	unsigned int *value = field(key, base);
	uint64_t number = 0;

	if (number_parse(parser, key, text, NUMBER_COUNT, &number))
		*value = (unsigned int)number;
	return 0;
}

static int convert_mappings(struct policy_parser *parser, const struct policy_key *key,
			    const char *text, void *base)
{
	struct policy *policy = base;

	policy->max_mappings_auto = !strcmp(text, "auto");
	if (policy->max_mappings_auto)
		return 0;
	if (strcmp(text, "unlimited") != 0)
		return convert_count(parser, key, text, base);
	policy->max_mappings = POLICY_UNLIMITED;
	return 0;
}

/* Words */

static int convert_bool(struct policy_parser *parser, const struct policy_key *key,
			const char *text, void *base)
{
	bool *value = field(key, base);
	int truth = cfg_parse_boolean(text);

	if (truth < 0)
		policy_report(parser, POLICY_ERROR, "%s = \"%s\" is neither true nor false",
			      key->name, text);
	else
		*value = truth;
	return 0;
}

/* The word's index, or -1 after a report that lists the right ones. */
static int word_index(struct policy_parser *parser, const struct policy_key *key, const char *text)
{
	const char *const *words = key->words;
	char list[128] = "";
	size_t i;

	for (i = 0; i < key->n_words; i++) {
		if (!words[i])
			continue;
		if (!strcmp(words[i], text))
			return (int)i;
		if (list[0])
			(void)strncat(list, ", ", sizeof(list) - strlen(list) - 1);
		(void)strncat(list, words[i], sizeof(list) - strlen(list) - 1);
	}
	policy_report(parser, POLICY_ERROR, "%s = \"%s\" is none of %s", key->name, text, list);
	return -1;
}

/* Into an enum, whose values count the key's words. */
_Static_assert(sizeof(enum policy_accounting) == sizeof(unsigned int) &&
		       sizeof(enum policy_mirror) == sizeof(unsigned int) &&
		       sizeof(enum policy_unmanaged) == sizeof(unsigned int) &&
		       sizeof(enum policy_slip) == sizeof(unsigned int) &&
		       sizeof(enum policy_multi) == sizeof(unsigned int) &&
		       sizeof(enum policy_fallback) == sizeof(unsigned int),
	       "each is written as a number");

static int convert_word(struct policy_parser *parser, const struct policy_key *key,
			const char *text, void *base)
{
	unsigned int *value = field(key, base);
	int i = word_index(parser, key, text);

	if (i >= 0)
		*value = (unsigned int)i;
	return 0;
}

/* Lists of ids */

enum id_kind {
	ID_USER,
	ID_GROUP,
};

/* Digits up to @end; UINT32_MAX is (uid_t)-1, which the kernel takes for "none". */
static bool id_parse(const char *text, const char *end, uint32_t *ret_id)
{
	uint64_t id = 0;

	if (text == end)
		return false;
	for (; text < end; text++) {
		if (*text < '0' || *text > '9')
			return false;
		id = id * 10 + (uint64_t)(*text - '0');
		if (id >= UINT32_MAX)
			return false;
	}
	*ret_id = (uint32_t)id;
	return true;
}

static bool range_parse(const char *text, struct policy_id_range *ret_range)
{
	const char *end = text + strlen(text);
	const char *dash = strchr(text, '-');

	if (!dash) {
		if (!id_parse(text, end, &ret_range->first))
			return false;
		ret_range->last = ret_range->first;
		return true;
	}
	return id_parse(text, dash, &ret_range->first) &&
	       id_parse(dash + 1, end, &ret_range->last) && ret_range->first <= ret_range->last;
}

/* Whether the name was looked up: to one id, or to nobody. */
static bool name_resolve(struct policy_parser *parser, const struct policy_key *key,
			 enum id_kind kind, const char *name, struct policy_id_range *ret_range)
{
	const struct policy_env *env = parser->env;
	const char *what = kind == ID_USER ? "user" : "group";
	uint32_t id = 0;
	int err = kind == ID_USER ? env->uid_of(name, &id, env->arg)
				  : env->gid_of(name, &id, env->arg);

	if (!err) {
		*ret_range = (struct policy_id_range){id, id};
		return true;
	}
	if (err == -ENOENT) {
		policy_report(parser, POLICY_WARNING,
			      "%s: there is no %s \"%s\": the entry matches nobody", key->name,
			      what, name);
		*ret_range = (struct policy_id_range){1, 0};
		return true;
	}
	/* Not a warning: a policy that fails to match may hand its subject to a looser one. */
	policy_report(parser, POLICY_ERROR, "%s: %s \"%s\" cannot be looked up: %s", key->name,
		      what, name, strerror(-err));
	return false;
}

static int ids_add(struct policy_parser *parser, const struct policy_key *key, enum id_kind kind,
		   const char *text, struct policy_ids *ids)
{
	struct policy_id_range range, *ranges;

	ids->n_written++;
	if (!text[0]) {
		policy_report(parser, POLICY_ERROR, "%s: an entry is empty", key->name);
		return 0;
	}
	if (!text[strspn(text, DIGITS "-")]) {
		if (!range_parse(text, &range)) {
			policy_report(parser, POLICY_ERROR,
				      "%s: \"%s\" is neither an id nor a range of ids (first-last, "
				      "0 to %" PRIu32 ")",
				      key->name, text, UINT32_MAX - 1);
			return 0;
		}
	} else if (!name_resolve(parser, key, kind, text, &range)) {
		return 0;
	}
	ranges = reallocarray(ids->ranges, ids->n + 1, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	ids->ranges = ranges;
	ranges[ids->n++] = range;
	return 0;
}

static int convert_user(struct policy_parser *parser, const struct policy_key *key,
			const char *text, void *base)
{
	return ids_add(parser, key, ID_USER, text, field(key, base));
}

static int convert_group(struct policy_parser *parser, const struct policy_key *key,
			 const char *text, void *base)
{
	return ids_add(parser, key, ID_GROUP, text, field(key, base));
}

static void clear_ids(void *ids)
{
	policy_ids_fini(ids);
}

/* Lists of globs */

static int patterns_add(struct policy_parser *parser, const struct policy_key *key,
			const char *text, struct policy_patterns *patterns)
{
	if (!text[0]) {
		policy_report(parser, POLICY_ERROR, "%s: an entry is empty", key->name);
		return 0;
	}
	if (!glob_valid(text)) {
		policy_report(parser, POLICY_ERROR, "%s: \"%s\" has a \"[\" without its \"]\"",
			      key->name, text);
		return 0;
	}
	return policy_patterns_add(patterns, text);
}

/* Whether it could be the kernel's "/a/b"; else that was reported. */
static bool cgroup_path_valid(struct policy_parser *parser, const struct policy_key *key,
			      const char *text)
{
	size_t len = strlen(text);

	if (text[0] == '/' && (len == 1 || text[len - 1] != '/') && !strstr(text, "//"))
		return true;
	policy_report(parser, POLICY_ERROR,
		      "%s: \"%s\" is not a cgroup's path (it begins with \"/\", the root "
		      "of the hierarchy, and does not end with one)",
		      key->name, text);
	return false;
}

static int convert_cgroup(struct policy_parser *parser, const struct policy_key *key,
			  const char *text, void *base)
{
	if (text[0] && !cgroup_path_valid(parser, key, text))
		return 0;
	return patterns_add(parser, key, text, field(key, base));
}

/* One cgroup, to be written to, or none. */
static int convert_cgroup_path(struct policy_parser *parser, const struct policy_key *key,
			       const char *text, void *base)
{
	char **path = field(key, base), *copy;
	bool none = strcmp(text, "none") == 0;

	if (!none && !cgroup_path_valid(parser, key, text))
		return 0;
	if (strcmp(text, "/") == 0 || strstr(text, "/.")) {
		policy_report(parser, POLICY_ERROR,
			      "%s: \"%s\" cannot have limits: name a cgroup below the root, as "
			      "the kernel calls it",
			      key->name, text);
		return 0;
	}
	copy = strdup(none ? "" : text);
	if (!copy)
		return -ENOMEM;
	free(*path);
	*path = copy;
	return 0;
}

static int convert_domain(struct policy_parser *parser, const struct policy_key *key,
			  const char *text, void *base)
{
	return patterns_add(parser, key, text, field(key, base));
}

static bool hex_digit(char c)
{
	return c && strchr(DIGITS "abcdefABCDEF", c);
}

/* Whether a literal looks like something that policy_device_allowed() compares with. */
static bool device_shaped(const char *text)
{
	static const char *const shapes[] = {
		"hhhh:hh:hh.h",
		"hhhhh:hh:hh.h", /* domains above 0xffff: Intel VMD */
		"hhhh:hhhh",
		"hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh",
	};
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		for (j = 0; shapes[i][j]; j++)
			if (shapes[i][j] == 'h' ? !hex_digit(text[j]) : shapes[i][j] != text[j])
				break;
		if (!shapes[i][j] && !text[j])
			return true;
	}
	return false;
}

static int convert_device(struct policy_parser *parser, const struct policy_key *key,
			  const char *text, void *base)
{
	if (strchr(text, '/')) {
		policy_report(parser, POLICY_ERROR,
			      "%s: \"%s\" is a path: give an address, \"vendor:device\" or an mdev "
			      "UUID",
			      key->name, text);
		return 0;
	}
	if (text[0] && glob_literal(text) && !device_shaped(text))
		policy_report(parser, POLICY_WARNING,
			      "%s: \"%s\" matches no device: it is neither a full PCI address "
			      "(0000:65:00.0) nor \"vendor:device\" nor an mdev UUID",
			      key->name, text);
	return patterns_add(parser, key, text, field(key, base));
}

static void clear_patterns(void *patterns)
{
	policy_patterns_fini(patterns);
}

#define SET(member) .offset = offsetof(struct policy_set, member)
#define BLOCK(member) .offset = offsetof(struct policy, member)
#define WORDS(names) .words = (names), .n_words = ARRAY_SIZE(names)
#define IDS .clear = clear_ids, .flags = POLICY_KEY_LIST
#define PATTERNS .clear = clear_patterns, .flags = POLICY_KEY_LIST

/* One row, one key. */
/* clang-format off */
const struct policy_key policy_set_keys[] = {
	{"host-reserve", convert_reserve, SET(host_reserve), .def = "0"},
	{"max-requests", convert_uint, SET(max_requests), .def = "200"},
	{"max-connections", convert_uint, SET(max_connections), .def = "64", .min = 1},
	{"unmanaged", convert_word, SET(unmanaged), .def = "allow",
	 WORDS(policy_unmanaged_names)},
	{"unmanaged-limit", convert_size, SET(unmanaged_limit), .def = "0"},
	{"require-gate", convert_bool, SET(require_gate), .def = "false"},
	{"slip", convert_word, SET(slip), .def = "report", WORDS(policy_slip_names)},
	{"top-cgroup", convert_cgroup_path, SET(top_cgroup), .def = "none"},
	{"hook-fallback", convert_word, SET(hook_fallback), .def = "refuse",
	 WORDS(policy_fallback_names)},
};

const struct policy_key policy_block_keys[] = {
	{"users", convert_user, BLOCK(users), IDS},
	{"groups", convert_group, BLOCK(groups), IDS},
	{"cgroups", convert_cgroup, BLOCK(cgroups), PATTERNS},
	{"domains", convert_domain, BLOCK(domains), PATTERNS},
	{"accounting", convert_word, BLOCK(accounting), .flags = POLICY_KEY_REQUIRED,
	 WORDS(policy_accounting_names)},
	{"limit", convert_limit, BLOCK(limit), .min = 1, .flags = POLICY_KEY_REQUIRED},
	{"user-limit", convert_size_or_unlimited, BLOCK(user_limit), .def = "unlimited", .min = 1},
	{"max-mappings", convert_mappings, BLOCK(max_mappings), .def = "auto", .min = 1},
	{"max-objects", convert_count, BLOCK(max_objects), .def = "1024", .min = 1},
	{"max-sessions", convert_count, BLOCK(max_sessions), .def = "16", .min = 1},
	{"devices", convert_device, BLOCK(devices), PATTERNS},
	/* root by number: it is uid 0 whatever the name service says */
	{"admins", convert_user, BLOCK(admins), .def = "0", IDS},
	{"extra-memlock", convert_size, BLOCK(extra_memlock), .def = "0"},
	{"require-reset", convert_bool, BLOCK(require_reset), .def = "false"},
	{"multi-device", convert_word, BLOCK(multi_device), .def = "any",
	 WORDS(policy_multi_names)},
	{"allow-test-commands", convert_bool, BLOCK(allow_test_commands), .def = "false"},
	{"cgroup-mirror", convert_word, BLOCK(mirror), .def = "off",
	 WORDS(policy_mirror_names)},
	{"cgroup-parent", convert_cgroup_path, BLOCK(cgroup_parent), .def = "none"},
	{"headroom", convert_size, BLOCK(headroom), .def = "512M"},
	{"migration-buffers", convert_size_or_unlimited, BLOCK(migration_buffers),
	 .def = "unlimited"},
};
/* clang-format on */

const size_t policy_n_set_keys = ARRAY_SIZE(policy_set_keys);
const size_t policy_n_block_keys = ARRAY_SIZE(policy_block_keys);
_Static_assert(ARRAY_SIZE(policy_set_keys) <= POLICY_MAX_KEYS, "policy_parser.settings");
_Static_assert(ARRAY_SIZE(policy_block_keys) <= POLICY_MAX_KEYS, "policy_block.places");
