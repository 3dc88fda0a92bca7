/* SPDX-License-Identifier: MIT */
/* pinbroker list and show: sessions as a table, as lines, and as JSON. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sysexits.h>

#include "accounting/size.h"
#include "client/cmd.h"
#include "client/mirror.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "common/cleanup.h"

/* The last one only where there is anything in it. */
static const struct output_column columns[] = {
	{"ID", false},    {"NAME", false},    {"POLICY", false}, {"UID", true},
	{"PID", true},    {"ACCT", false},    {"LIMIT", true},   {"PINNED", true},
	{"STATE", false}, {"DEVICES", false}, {"MIRROR", false},
};

/* What is shown of sessions as they come. */
struct view {
	struct mirrors mirrors;
	struct output_table table;
	json_t *array; /* borrowed */
};

static void view_fini(struct view *view)
{
	mirrors_fini(&view->mirrors);
	output_table_fini(&view->table);
}

static const char *or_dash(const char *text)
{
	return text && text[0] ? text : "-";
}

/* "a,b"; "-" when there is none. NULL: out of memory. */
static char *devices_text(const struct pinbroker_session *session)
{
	char *text = NULL;
	size_t len;
	FILE *out;

	if (!session->n_devices)
		return strdup("-");
	out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	for (size_t i = 0; i < session->n_devices; i++)
		(void)fprintf(out, "%s%s", i ? "," : "", session->devices[i]);
	bool failed = ferror(out);

	if (fclose(out) || failed) {
		free(text);
		return NULL;
	}
	return text;
}

static int add_row(const struct pinbroker_session *session, void *arg)
{
	CLEANUP(freep) char *devices = devices_text(session);
	char id[OUTPUT_TEXT_MAX], uid[OUTPUT_TEXT_MAX], pid[OUTPUT_TEXT_MAX];
	char limit[OUTPUT_TEXT_MAX], pinned[OUTPUT_TEXT_MAX];
	char mirror[MIRROR_TEXT_MAX];
	struct view *view = arg;
	int err = 0;

	if (!devices)
		return -ENOMEM;
	(void)snprintf(id, sizeof(id), "%" PRIx64, session->id);

	const char *const cells[] = {
		id,
		or_dash(session->name),
		or_dash(session->policy),
		output_number(session->uid, uid),
		output_number((uint64_t)session->pid, pid),
		or_dash(cmd_accounting_name(session->accounting)),
		output_size(session->limit, limit),
		output_size(session->pinned, pinned),
		session->state,
		devices,
		mirror_text(mirrors_find(&view->mirrors, session->id), mirror),
	};
	static_assert(ARRAY_SIZE(cells) == ARRAY_SIZE(columns), "a cell per column");

	for (size_t i = 0; !err && i < view->table.n_columns; i++)
		err = output_table_add(&view->table, cells[i]);
	return err;
}

static json_t *json_id(uint64_t id)
{
	char text[OUTPUT_TEXT_MAX];

	(void)snprintf(text, sizeof(text), "%" PRIx64, id);
	return json_string(text);
}

static json_t *json_devices(const struct pinbroker_session *session)
{
	CLEANUP(json_decrefp) json_t *array = json_array();

	for (size_t i = 0; i < session->n_devices; i++) {
		if (json_array_append_new(array, output_json_text(session->devices[i])) < 0)
			return NULL;
	}
	return STEAL(array);
}

static json_t *session_json(const struct pinbroker_session *session, const struct view *view)
{
	const struct output_member members[] = {
		{"id", json_id(session->id)},
		{"name", output_json_text(session->name)},
		{"policy", output_json_text(session->policy)},
		{"uid", output_json_figure(session->uid)},
		{"pid", output_json_figure((uint64_t)session->pid)},
		{"accounting", output_json_text(cmd_accounting_name(session->accounting))},
		{"limit_bytes", output_json_figure(session->limit)},
		{"pinned_bytes", output_json_figure(session->pinned)},
		{"pinned_peak_bytes", output_json_figure(session->pinned_peak)},
		{"mapped_bytes", output_json_figure(session->mapped)},
		{"mappings", output_json_figure(session->mappings)},
		{"max_mappings", output_json_limit(session->max_mappings)},
		{"denied", output_json_figure(session->denied)},
		{"cgroup", output_json_text(session->cgroup)},
		{"devices", json_devices(session)},
		{"state", output_json_text(session->state)},
		{"exact", json_boolean(session->exact)},
		{"mirror", mirror_json(mirrors_find(&view->mirrors, session->id))},
	};

	return output_json_object(members, ARRAY_SIZE(members));
}

static int add_object(const struct pinbroker_session *session, void *arg)
{
	const struct view *view = arg;

	return json_array_append_new(view->array, session_json(session, view)) < 0 ? -ENOMEM : 0;
}

static int show_json(const struct pinbroker_session *session, void *arg)
{
	CLEANUP(json_decrefp) json_t *object = session_json(session, arg);

	return object ? output_json(object) : -ENOMEM;
}

static const char *exact_size(uint64_t bytes, char buf[static SIZE_TEXT_MAX])
{
	return bytes == PINBROKER_UNKNOWN ? "-" : size_text(bytes, buf);
}

static int show_lines(const struct pinbroker_session *session, void *arg)
{
	CLEANUP(freep) char *devices = devices_text(session);
	const struct view *view = arg;
	char buf[SIZE_TEXT_MAX];

	static_assert(SIZE_TEXT_MAX >= OUTPUT_TEXT_MAX, "one buffer for both");
	if (!devices)
		return -ENOMEM;
	output_line("id", "%" PRIx64, session->id);
	output_line("name", "%s", or_dash(session->name));
	output_line("policy", "%s", or_dash(session->policy));
	output_line("uid", "%s", output_number(session->uid, buf));
	output_line("pid", "%s", output_number((uint64_t)session->pid, buf));
	output_line("accounting", "%s", or_dash(cmd_accounting_name(session->accounting)));
	output_line("limit", "%s", exact_size(session->limit, buf));
	output_line("pinned", "%s", exact_size(session->pinned, buf));
	output_line("pinned-peak", "%s", exact_size(session->pinned_peak, buf));
	output_line("mapped", "%s", exact_size(session->mapped, buf));
	output_line("mappings", "%s", output_number(session->mappings, buf));
	output_line("max-mappings", "%s", output_limit(session->max_mappings, buf));
	output_line("denied", "%s", output_number(session->denied, buf));
	output_line("cgroup", "%s", or_dash(session->cgroup));
	output_line("devices", "%s", devices);
	output_line("state", "%s", session->state);
	output_line("exact", "%s", session->exact ? "yes" : "no, pinned is the owner's VmPin");
	mirror_print(mirrors_find(&view->mirrors, session->id));
	return 0;
}

/* -ENOMEM may be ours or the broker's connection's: it is 70 either way. */
static int print_table(const struct cmd_env *env, struct pinbroker *broker)
{
	CLEANUP(view_fini) struct view view = {.table = {.columns = columns}};
	int err = mirrors_ask(broker, &view.mirrors);

	view.table.n_columns = ARRAY_SIZE(columns) - (view.mirrors.first ? 0 : 1);
	if (!err)
		err = pinbroker_list(broker, add_row, &view);
	if (err)
		return cmd_failed(env, broker, err);
	output_table_print(&view.table, stdout);
	return output_finish(EX_OK);
}

/* All of it or nothing: what is cut off would not be JSON. */
static int print_json(const struct cmd_env *env, struct pinbroker *broker)
{
	CLEANUP(json_decrefp) json_t *array = json_array();
	CLEANUP(view_fini) struct view view = {.array = array};
	int err;

	if (!array)
		return cmd_internal(-ENOMEM);
	err = mirrors_ask(broker, &view.mirrors);
	if (!err)
		err = pinbroker_list(broker, add_object, &view);
	if (err)
		return cmd_failed(env, broker, err);
	err = output_json(array);
	return err ? cmd_internal(err) : output_finish(EX_OK);
}

static int list_main(const struct cmd_env *env, int argc, char **argv)
{
	return cmd_print(env, argc, argv, print_table, print_json);
}

static int show_main(const struct cmd_env *env, int argc, char **argv)
{
	CLEANUP(cmd_disconnectp) struct pinbroker *broker = NULL;
	CLEANUP(view_fini) struct view view = {.array = NULL};
	bool json = false;
	uint64_t id;
	int status;
	int err;

	if (cmd_json_option(env, argc, argv, &json, &status))
		return status;
	if (argc - optind != 1)
		return cmd_usage(env, "exactly one ID is needed");
	status = cmd_id(env, argv[optind], &id);
	if (status)
		return status;
	status = cmd_connect(env, &broker);
	if (status)
		return status;
	output_begin();
	err = mirrors_ask(broker, &view.mirrors);
	if (!err)
		err = pinbroker_show(broker, id, json ? show_json : show_lines, &view);
	return err ? cmd_failed(env, broker, err) : output_finish(EX_OK);
}

const struct cmd cmd_list = {
	.name = "list",
	.args = "[--json]",
	.summary = "show the sessions: root all, others their own",
	.help = "Lists sessions, the oldest first: root sees all, others their own.\n"
		"\"-\" stands for what is not known. MIRROR is there where anything is mirrored\n"
		"into cgroups: the mode, what is wanted, and \"drift\" where that is not so.\n\n"
		"  --json  an array of objects, sizes in bytes\n"
		"  --help  this text\n",
	.run = list_main,
};

const struct cmd cmd_show = {
	.name = "show",
	.args = "ID [--json]",
	.summary = "show one session with every figure",
	.help = "Shows one session; ID is its id, not its name (see pinbroker list).\n\n"
		"  --json  an object, sizes in bytes\n"
		"  --help  this text\n",
	.run = show_main,
};
