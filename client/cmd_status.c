/* SPDX-License-Identifier: MIT */
/* pinbroker status: how the broker is, what the kernel keeps, sums against limits. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <sysexits.h>

#include "accounting/size.h"
#include "client/cmd.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "common/cleanup.h"

static const struct output_column columns[] = {
	{"UID", true}, {"POLICY", false},   {"SESSIONS", true},   {"MAX", true},
	{"SUM", true}, {"USER-MODE", true}, {"USER-LIMIT", true},
};

static int add_row(const struct pinbroker_share *share, void *arg)
{
	char uid[OUTPUT_TEXT_MAX], sessions[OUTPUT_TEXT_MAX], max[OUTPUT_TEXT_MAX];
	char sum[OUTPUT_TEXT_MAX], user_mode[OUTPUT_TEXT_MAX], limit[OUTPUT_TEXT_MAX];
	bool limited = share->known && share->user_limit != PINBROKER_UNLIMITED;
	struct output_table *table = arg;
	int err = 0;

	const char *const cells[] = {
		output_number(share->uid, uid),
		share->policy,
		output_number(share->n_sessions, sessions),
		share->known ? output_limit(share->max_sessions, max) : "-",
		output_size(share->sum, sum),
		output_size(share->user_mode_sum, user_mode),
		limited        ? output_size(share->user_limit, limit)
		: share->known ? "unlimited"
			       : "-",
	};
	static_assert(ARRAY_SIZE(cells) == ARRAY_SIZE(columns), "a cell per column");

	for (size_t i = 0; !err && i < ARRAY_SIZE(cells); i++)
		err = output_table_add(table, cells[i]);
	return err;
}

/* "-" is not known, as there is no tracer; an empty list is "none". */
static void print_missing(const struct pinbroker_status *status)
{
	char text[512] = "";
	size_t len = 0;

	for (size_t i = 0; i < status->n_trace_missing && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i ? ", " : "",
					status->trace_missing[i]);
	output_line("trace-missing", "%s", !status->traced ? "-" : len ? text : "none");
}

static void print_lines(const struct pinbroker_status *status)
{
	char a[SIZE_TEXT_MAX], b[SIZE_TEXT_MAX];

	output_line("broker", "%s, pid %d, on %s", status->version, status->pid, status->loop);
	output_line("kernel", "%s", status->kernel);
	output_line("gate", "%s%s%s", status->gate, status->gate_reason[0] ? ": " : "",
		    status->gate_reason);
	output_line("sessions", "%" PRIu64, status->n_sessions);
	output_line("memory", "%s", size_text(status->mem_total, a));
	if (status->host_limit == PINBROKER_UNLIMITED)
		output_line("host", "not limited; %s granted to all sessions",
			    size_text(status->host_sum, a));
	else
		output_line("host", "%s, MemTotal less host-reserve; %s granted to all sessions",
			    size_text(status->host_limit, a), size_text(status->host_sum, b));
	output_line("lost-events", "%s", output_number(status->lost_events, a));
	output_line("recursion-misses", "%s", output_number(status->recursion_misses, a));
	print_missing(status);
}

static int print_text(const struct cmd_env *env, struct pinbroker *broker)
{
	CLEANUP(output_table_fini)
	struct output_table table = {
		.columns = columns,
		.n_columns = ARRAY_SIZE(columns),
	};
	struct pinbroker_status status;
	int err = pinbroker_status(broker, &status, add_row, &table);

	if (err)
		return cmd_failed(env, broker, err);
	print_lines(&status);
	if (table.n_cells) {
		(void)putchar('\n'); /* output_finish() looks for errors of the stream */
		output_table_print(&table, stdout);
	}
	return output_finish(EX_OK);
}

static int add_object(const struct pinbroker_share *share, void *arg)
{
	const struct output_member members[] = {
		{"uid", output_json_figure(share->uid)},
		{"policy", output_json_text(share->policy)},
		{"sessions", output_json_figure(share->n_sessions)},
		{"max_sessions",
		 share->known ? output_json_limit(share->max_sessions) : json_null()},
		{"sum_bytes", output_json_figure(share->sum)},
		{"user_mode_sum_bytes", output_json_figure(share->user_mode_sum)},
		{"user_limit_bytes",
		 share->known ? output_json_limit(share->user_limit) : json_null()},
	};

	return json_array_append_new(arg, output_json_object(members, ARRAY_SIZE(members))) < 0
		       ? -ENOMEM
		       : 0;
}

/* NULL: out of memory. */
static json_t *missing_json(const struct pinbroker_status *status)
{
	CLEANUP(json_decrefp) json_t *array = status->traced ? json_array() : json_null();

	for (size_t i = 0; array && i < status->n_trace_missing; i++)
		if (json_array_append_new(array, output_json_text(status->trace_missing[i])) < 0)
			return NULL;
	return STEAL(array);
}

/* Takes users over. */
static json_t *status_json(const struct pinbroker_status *status, json_t *users)
{
	const struct output_member members[] = {
		{"version", output_json_text(status->version)},
		{"kernel", output_json_text(status->kernel)},
		{"pid", output_json_figure((uint64_t)status->pid)},
		{"loop", output_json_text(status->loop)},
		{"gate", output_json_text(status->gate)},
		{"gate_reason", output_json_text(status->gate_reason)},
		{"sessions", output_json_figure(status->n_sessions)},
		{"host_limit_bytes", output_json_limit(status->host_limit)},
		{"host_sum_bytes", output_json_figure(status->host_sum)},
		{"mem_total_bytes", output_json_figure(status->mem_total)},
		{"lost_events", output_json_figure(status->lost_events)},
		{"recursion_misses", output_json_figure(status->recursion_misses)},
		{"trace_missing", missing_json(status)},
		{"users", users},
	};

	return output_json_object(members, ARRAY_SIZE(members));
}

static int print_json(const struct cmd_env *env, struct pinbroker *broker)
{
	CLEANUP(json_decrefp) json_t *users = json_array();
	CLEANUP(json_decrefp) json_t *object = NULL;
	struct pinbroker_status status;
	int err;

	if (!users)
		return cmd_internal(-ENOMEM);
	err = pinbroker_status(broker, &status, add_object, users);
	if (err)
		return cmd_failed(env, broker, err);
	object = status_json(&status, STEAL(users));
	err = object ? output_json(object) : -ENOMEM;
	return err ? cmd_internal(err) : output_finish(EX_OK);
}

static int status_main(const struct cmd_env *env, int argc, char **argv)
{
	return cmd_print(env, argc, argv, print_text, print_json);
}

const struct cmd cmd_status = {
	.name = "status",
	.args = "[--json]",
	.summary = "show the broker, what the kernel keeps, and the sums",
	.help = "Shows the broker, how well the kernel keeps limits, and the sums of limits by "
		"user\n"
		"and policy: root sees all, others their own. \"-\" stands for what is not "
		"known.\n\n"
		"  --json  an object, sizes in bytes\n"
		"  --help  this text\n",
	.run = status_main,
};
