/* SPDX-License-Identifier: MIT */
/* Whether values that are right each for itself make sense together. */
#include <inttypes.h>
#include <string.h>

#include "accounting/policy_parser.h"
#include "accounting/size.h"

#define SMALLEST_PAGE 4096

struct policy_place policy_block_place(const struct policy_block *block, const char *key)
{
	size_t i;

	for (i = 0; i < policy_n_block_keys; i++)
		if (!strcmp(policy_block_keys[i].name, key))
			return block->places[i];
	return (struct policy_place){0};
}

/* Of two keys the one that was written last: the reader was fine up to there. */
static struct policy_place later_place(const struct policy_block *block, const char *a,
				       const char *b)
{
	struct policy_place place_a = policy_block_place(block, a);
	struct policy_place place_b = policy_block_place(block, b);

	return place_a.line > place_b.line ? place_a : place_b;
}

static void check_required(struct policy_parser *parser)
{
	struct policy_block *block = &parser->block;
	struct policy_place begin = {block->policy.file, block->policy.line};
	size_t i;

	for (i = 0; i < policy_n_block_keys; i++)
		if (policy_block_keys[i].flags & POLICY_KEY_REQUIRED && !block->places[i].line)
			policy_report_at(parser, POLICY_ERROR, begin,
					 "policy \"%s\" has no %s, which is required",
					 block->policy.name, policy_block_keys[i].name);
}

static void check_lists(struct policy_parser *parser)
{
	const struct policy *p = &parser->block.policy;
	struct policy_place begin = {p->file, p->line};

	if (!p->users.n_written && !p->groups.n_written && !p->cgroups.n && !p->domains.n)
		policy_report_at(parser, POLICY_ERROR, begin,
				 "policy \"%s\" says nobody: one of users, groups, cgroups and "
				 "domains must not be empty",
				 p->name);
}

static void check_limits(struct policy_parser *parser)
{
	const struct policy_block *block = &parser->block;
	const struct policy *p = &block->policy;
	char limit[SIZE_TEXT_MAX], user_limit[SIZE_TEXT_MAX];

	/* The client names its own memory: without a sum nothing would bound it. */
	if (p->limit_auto && p->user_limit == POLICY_UNLIMITED)
		policy_report_at(parser, POLICY_ERROR, later_place(block, "limit", "user-limit"),
				 "policy \"%s\": limit = \"auto\" requires a finite user-limit",
				 p->name);
	if (!p->limit_auto && p->limit > p->user_limit)
		policy_report_at(parser, POLICY_ERROR, later_place(block, "limit", "user-limit"),
				 "policy \"%s\": limit %s is above user-limit %s", p->name,
				 size_text(p->limit, limit), size_text(p->user_limit, user_limit));
	if ((p->mirror == POLICY_MIRROR_CAP || p->mirror == POLICY_MIRROR_BOTH) &&
	    p->migration_buffers == POLICY_UNLIMITED)
		policy_report_at(parser, POLICY_ERROR,
				 later_place(block, "cgroup-mirror", "migration-buffers"),
				 "policy \"%s\": cgroup-mirror = \"%s\" requires finite "
				 "migration-buffers: they count in memory.max",
				 p->name, policy_mirror_name(p->mirror));
	if (!p->limit_auto && p->limit < SMALLEST_PAGE)
		policy_report_at(parser, POLICY_WARNING, policy_block_place(block, "limit"),
				 "policy \"%s\": limit is %" PRIu64
				 " bytes, less than a page: nothing can be pinned",
				 p->name, p->limit);
}

void policy_check_block(struct policy_parser *parser)
{
	bool sound = parser->errors == parser->block.errors_before;

	check_required(parser);
	/* What could not be read has its default here; findings about that would mislead. */
	if (!sound)
		return;
	check_lists(parser);
	if (parser->errors == parser->block.errors_before)
		check_limits(parser);
}

/* Whether names were written and nobody has any of them. */
static bool ids_match_nobody(const struct policy_ids *ids)
{
	size_t i;

	for (i = 0; i < ids->n; i++)
		if (ids->ranges[i].first <= ids->ranges[i].last)
			return false;
	return ids->n_written > 0;
}

static void check_reachable(struct policy_parser *parser, size_t index)
{
	const struct policy_set *set = parser->set;
	const struct policy *p = &set->policies[index];
	struct policy_place begin = {p->file, p->line};
	size_t i;

	if (ids_match_nobody(&p->users) || ids_match_nobody(&p->groups)) {
		policy_report_at(parser, POLICY_WARNING, begin,
				 "policy \"%s\" can never match: none of its %s exists", p->name,
				 ids_match_nobody(&p->users) ? "users" : "groups");
		return;
	}
	for (i = 0; i < index; i++) {
		if (!policy_covers(&set->policies[i], p))
			continue;
		policy_report_at(parser, POLICY_WARNING, begin,
				 "policy \"%s\" can never match: policy \"%s\" (%s:%u) comes first "
				 "and matches all of it",
				 p->name, set->policies[i].name, set->policies[i].file,
				 set->policies[i].line);
		return;
	}
}

/* Two sums that the host could never honour at once; one warning, where it is first crossed. */
static void check_sums(struct policy_parser *parser, uint64_t available)
{
	const struct policy_set *set = parser->set;
	char sum_text[SIZE_TEXT_MAX], available_text[SIZE_TEXT_MAX];
	const struct policy *crossing = NULL;
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < set->n_policies; i++) {
		const struct policy *p = &set->policies[i];

		if (p->user_limit == POLICY_UNLIMITED)
			continue;
		if (__builtin_add_overflow(sum, p->user_limit, &sum))
			sum = POLICY_UNLIMITED - 1; /* saturates, and is not called unlimited */
		if (!crossing && sum > available)
			crossing = p;
	}
	if (crossing)
		policy_report_at(parser, POLICY_WARNING,
				 (struct policy_place){crossing->file, crossing->line},
				 "the user-limits add up to %s, and the host has %s",
				 size_text(sum, sum_text), size_text(available, available_text));
}

/* Where a key of the set was given; line 0: nowhere. */
static struct policy_place set_place(const struct policy_parser *parser, const char *key)
{
	size_t i;

	for (i = 0; strcmp(policy_set_keys[i].name, key) != 0; i++)
		;
	return parser->settings[i];
}

/* What is mapped without a policy has a limit of nobody else's. */
static void check_unmanaged(struct policy_parser *parser)
{
	const struct policy_set *set = parser->set;
	struct policy_place limit = set_place(parser, "unmanaged-limit");

	if (set->unmanaged == POLICY_UNMANAGED_LIMIT && !set->unmanaged_limit && !parser->errors)
		policy_report_at(parser, POLICY_ERROR, set_place(parser, "unmanaged"),
				 "unmanaged = \"limit\" requires an unmanaged-limit");
	else if (set->unmanaged_limit && set->unmanaged_limit < SMALLEST_PAGE)
		policy_report_at(parser, POLICY_WARNING, limit,
				 "unmanaged-limit is %" PRIu64
				 " bytes, less than a page: nothing can be pinned",
				 set->unmanaged_limit);
}

static void check_host(struct policy_parser *parser)
{
	const struct policy_set *set = parser->set;
	uint64_t total = parser->env->mem_total;
	uint64_t reserve = set->host_reserve;
	char reserve_text[SIZE_TEXT_MAX], total_text[SIZE_TEXT_MAX];

	if (!total)
		return;
	if (reserve < total) {
		check_sums(parser, total - reserve);
		return;
	}
	policy_report_at(parser, POLICY_ERROR, set_place(parser, "host-reserve"),
			 "host-reserve %s leaves nothing of the host's %s",
			 size_text(reserve, reserve_text), size_text(total, total_text));
}

void policy_check_set(struct policy_parser *parser)
{
	size_t i;

	check_host(parser);
	check_unmanaged(parser);
	if (!parser->set->n_policies && !parser->errors)
		policy_report_at(parser, POLICY_WARNING, (struct policy_place){parser->file, 0},
				 "there is no policy: every request will be refused");
	for (i = 0; i < parser->set->n_policies && !parser->errors; i++)
		check_reachable(parser, i);
}
