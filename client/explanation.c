/* SPDX-License-Identifier: MIT */
#include "client/explanation.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>

#include "accounting/limits.h"
#include "accounting/size.h"
#include "client/cmd.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "common/cleanup.h"

static void print_auto(const struct pinbroker_explanation *e)
{
	char memory[SIZE_TEXT_MAX], extra[SIZE_TEXT_MAX], sum[SIZE_TEXT_MAX];

	if (e->auto_limit == PINBROKER_UNKNOWN)
		output_line("auto", "not known without --memory (factor x memory + %s)",
			    size_text(LIMITS_AUTO_EXTRA, extra));
	else
		output_line("auto", "%u x %s (--memory) + %s = %s; %s", e->factor,
			    size_text(e->memory, memory), size_text(LIMITS_AUTO_EXTRA, extra),
			    size_text(e->auto_limit, sum),
			    e->factor == 1 ? "the devices share one address space"
					   : "an address space per device (--viommu)");
}

static void print_limit(const struct pinbroker_explanation *e)
{
	char limit[SIZE_TEXT_MAX], policy[SIZE_TEXT_MAX];

	(void)size_text(e->limit, limit);
	(void)size_text(e->policy_limit, policy);
	if (e->limit_auto)
		output_line("limit", "the policy says auto");
	else
		output_line("limit", "%s, the policy's number", policy);
	print_auto(e);
	if (e->limit == PINBROKER_UNKNOWN)
		output_line("session limit", "not known: auto needs --memory");
	else if (e->limit_auto)
		output_line("session limit", "%s = auto", limit);
	else if (e->auto_limit == PINBROKER_UNKNOWN)
		output_line("session limit", "%s = limit; with --memory auto may be smaller",
			    limit);
	else
		output_line("session limit", "%s = min(limit, auto): %s", limit,
			    e->auto_limit < e->policy_limit   ? "auto is smaller"
			    : e->auto_limit > e->policy_limit ? "limit is smaller"
							      : "both are the same");
}

/* A sum against its limit, what is left of it, and whose it is. */
static void print_sum(const char *key, uint64_t limit, uint64_t sum, const char *whose,
		      const char *origin)
{
	char limit_text[SIZE_TEXT_MAX], sum_text[SIZE_TEXT_MAX], left[SIZE_TEXT_MAX];

	(void)size_text(sum, sum_text);
	if (limit == PINBROKER_UNLIMITED)
		output_line(key, "not limited; %s granted to %s", sum_text, whose);
	else
		output_line(key, "%s%s; %s granted to %s, %s left", size_text(limit, limit_text),
			    origin, sum_text, whose,
			    size_text(limit > sum ? limit - sum : 0, left));
}

static void print_mappings(const struct pinbroker_explanation *e)
{
	char number[OUTPUT_TEXT_MAX], memory[SIZE_TEXT_MAX];

	(void)output_limit(e->max_mappings, number);
	if (e->mappings_auto && !e->memory)
		output_line("max-mappings", "%s, auto: %u x %llu; with much --memory more", number,
			    e->factor, LIMITS_MAPPINGS_MIN);
	else if (e->mappings_auto)
		output_line("max-mappings", "%s, auto: %u x max(%llu, %s / 2M + 512)", number,
			    e->factor, LIMITS_MAPPINGS_MIN, size_text(e->memory, memory));
	else
		output_line("max-mappings", "%s, the policy's number", number);
}

static const char *multi_device(const struct pinbroker_explanation *e)
{
	return e->multi_p2p ? "p2p" : "any";
}

static void print_rest(const struct pinbroker_explanation *e)
{
	char number[OUTPUT_TEXT_MAX], size[SIZE_TEXT_MAX];

	output_line("max-objects", "%s", output_limit(e->max_objects, number));
	output_line("max-sessions", "%s; %" PRIu64 " of this user under this policy",
		    output_limit(e->max_sessions, number), e->n_sessions);
	output_line("extra-memlock", "%s, added to RLIMIT_MEMLOCK",
		    size_text(e->extra_memlock, size));
	output_line("headroom", "%s, for what is not guest RAM", size_text(e->headroom, size));
	output_line("migration-buffers", "%s per device", size_text(e->migration_buffers, size));
	output_line("require-reset", "%s", e->require_reset ? "true" : "false");
	output_line("multi-device", "%s", multi_device(e));
}

static void print_policy(const struct pinbroker_explanation *e)
{
	const char *accounting = cmd_accounting_name(e->accounting);

	output_line("policy", "\"%s\", the first that matches", e->policy);
	output_line("accounting", "%s", accounting[0] ? accounting : "-");
	print_limit(e);
	print_sum("user-limit", e->user_limit, e->user_sum, "this user's sessions", "");
	print_sum("host", e->host_limit, e->host_sum, "all sessions",
		  ", MemTotal less host-reserve");
	print_mappings(e);
	print_rest(e);
}

void explanation_lines(const struct pinbroker_explanation *e, const char *assumed)
{
	if (e->policy[0])
		print_policy(e);
	else
		output_line("policy", "none matches");
	if (assumed)
		output_line("assumed", "%s", assumed);
	if (e->warning[0])
		output_line("warning", "%s", e->warning);
}

static void print_text(const struct pinbroker_explanation *e, const char *assumed)
{
	explanation_lines(e, assumed);
	if (e->granted)
		output_line("verdict", "granted");
	else
		output_line("verdict", "refused: %s: %s", e->reason, e->text);
}

/* Sizes of a policy that does not match are not known. */
json_t *explanation_json(const struct pinbroker_explanation *e, const char *assumed)
{
	bool set = e->policy[0];
	const struct output_member members[] = {
		{"granted", json_boolean(e->granted)},
		{"reason", output_json_text(e->reason)},
		{"text", output_json_text(e->text)},
		{"warning", output_json_text(e->warning)},
		{"assumed", output_json_text(assumed)},
		{"policy", output_json_text(e->policy)},
		{"accounting", output_json_text(cmd_accounting_name(e->accounting))},
		{"limit_bytes", set ? output_json_figure(e->limit) : json_null()},
		{"limit_auto", set ? json_boolean(e->limit_auto) : json_null()},
		{"policy_limit_bytes", set ? output_json_figure(e->policy_limit) : json_null()},
		{"auto_limit_bytes", set ? output_json_figure(e->auto_limit) : json_null()},
		{"factor", set ? json_integer(e->factor) : json_null()},
		{"memory_bytes", set && e->memory ? output_json_figure(e->memory) : json_null()},
		{"user_limit_bytes", set ? output_json_limit(e->user_limit) : json_null()},
		{"user_sum_bytes", set ? output_json_figure(e->user_sum) : json_null()},
		{"host_limit_bytes", set ? output_json_limit(e->host_limit) : json_null()},
		{"host_sum_bytes", set ? output_json_figure(e->host_sum) : json_null()},
		{"max_mappings", set ? output_json_limit(e->max_mappings) : json_null()},
		{"max_mappings_auto", set ? json_boolean(e->mappings_auto) : json_null()},
		{"max_objects", set ? output_json_limit(e->max_objects) : json_null()},
		{"max_sessions", set ? output_json_limit(e->max_sessions) : json_null()},
		{"sessions", set ? output_json_figure(e->n_sessions) : json_null()},
		{"extra_memlock_bytes", set ? output_json_figure(e->extra_memlock) : json_null()},
		{"headroom_bytes", set ? output_json_figure(e->headroom) : json_null()},
		{"migration_buffers_bytes",
		 set ? output_json_limit(e->migration_buffers) : json_null()},
		{"require_reset", set ? json_boolean(e->require_reset) : json_null()},
		{"multi_device", set ? json_string(multi_device(e)) : json_null()},
	};

	return output_json_object(members, ARRAY_SIZE(members));
}

int explanation_print(const struct pinbroker_explanation *explanation, bool json,
		      const char *assumed)
{
	CLEANUP(json_decrefp) json_t *object = NULL;

	if (!json) {
		print_text(explanation, assumed);
		return 0;
	}
	object = explanation_json(explanation, assumed);
	return object ? output_json(object) : -ENOMEM;
}
