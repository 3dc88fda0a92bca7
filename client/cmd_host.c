/* SPDX-License-Identifier: MIT */
/* pinbroker host: who has what pinned and locked, sessions or not. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <sysexits.h>

#include "accounting/size.h"
#include "client/cmd.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "common/cleanup.h"

static const struct output_column columns[] = {
	{"KIND", false},  {"SESSION", false}, {"PID", true},
	{"UID", true},    {"COMMAND", false}, {"MAPPED", true},
	{"PINNED", true}, {"LOCKED", true},   {"MAPPINGS", true},
};

static const struct output_column cgroup_columns[] = {
	{"CGROUP", false},
	{"MAPPED", true},
	{"PINNED", true},
	{"MAPPINGS", true},
};

struct tables {
	struct output_table holdings; /* all but cgroups, whose names are long */
	struct output_table cgroups;
};

static void tables_fini(struct tables *tables)
{
	output_table_fini(&tables->holdings);
	output_table_fini(&tables->cgroups);
}

static bool is_object(const struct pinbroker_holding *holding)
{
	return holding->kind == PINBROKER_HOLDING_CONTEXT ||
	       holding->kind == PINBROKER_HOLDING_CONTAINER;
}

static const char *session_text(const struct pinbroker_holding *holding,
				char buf[static OUTPUT_TEXT_MAX])
{
	if (holding->kind != PINBROKER_HOLDING_CONTEXT && holding->kind != PINBROKER_HOLDING_PAYER)
		return "-";
	if (!holding->session)
		return "unmanaged";
	(void)snprintf(buf, OUTPUT_TEXT_MAX, "%" PRIx64, holding->session);
	return buf;
}

static int add_cells(struct output_table *table, const char *const *cells)
{
	int err = 0;

	for (size_t i = 0; !err && i < ARRAY_SIZE(columns); i++)
		err = output_table_add(table, cells[i]);
	return err;
}

/* Processes after the first that have the context or container open, too. */
static int add_others(const struct pinbroker_holding *holding, struct output_table *table)
{
	char pid[OUTPUT_TEXT_MAX], uid[OUTPUT_TEXT_MAX], more[OUTPUT_TEXT_MAX];
	int err = 0;

	for (size_t i = 1; !err && i < holding->n_holders; i++) {
		const struct pinbroker_holder *holder = &holding->holders[i];
		const char *const cells[] = {
			"",
			"",
			output_number((uint64_t)holder->pid, pid),
			output_number(holder->uid, uid),
			holder->comm,
			"",
			"",
			"",
			"",
		};
		static_assert(ARRAY_SIZE(cells) == ARRAY_SIZE(columns), "a cell per column");

		err = add_cells(table, cells);
	}
	if (!err && holding->n_holders_all > holding->n_holders) {
		(void)snprintf(more, sizeof(more), "%zu more",
			       holding->n_holders_all - holding->n_holders);
		err = add_cells(table, (const char *const[]){"", "", "", "", more, "", "", "", ""});
	}
	return err;
}

static int add_cgroup(const struct pinbroker_holding *holding, struct output_table *table)
{
	char number[OUTPUT_TEXT_MAX], mapped[OUTPUT_TEXT_MAX], pinned[OUTPUT_TEXT_MAX];
	char mappings[OUTPUT_TEXT_MAX];
	const char *cgroup = holding->cgroup;
	int err = 0;

	(void)snprintf(number, sizeof(number), "inode %" PRIu64, holding->cgroup_id);
	if (!cgroup)
		cgroup = holding->cgroup_id ? number : "several";

	const char *const cells[] = {
		cgroup,
		output_size(holding->mapped, mapped),
		output_size(holding->pinned, pinned),
		output_number(holding->mappings, mappings),
	};
	static_assert(ARRAY_SIZE(cells) == ARRAY_SIZE(cgroup_columns), "a cell per column");

	for (size_t i = 0; !err && i < ARRAY_SIZE(cells); i++)
		err = output_table_add(table, cells[i]);
	return err;
}

static int add_holding(const struct pinbroker_holding *holding, struct output_table *table)
{
	char session[OUTPUT_TEXT_MAX], pid[OUTPUT_TEXT_MAX], uid[OUTPUT_TEXT_MAX];
	char mapped[OUTPUT_TEXT_MAX], pinned[OUTPUT_TEXT_MAX], locked[OUTPUT_TEXT_MAX];
	char mappings[OUTPUT_TEXT_MAX];
	struct pinbroker_holder who = {.pid = holding->pid, .uid = holding->uid};
	bool object = is_object(holding), user = holding->kind == PINBROKER_HOLDING_USER;
	bool nobody = object && !holding->n_holders;
	bool several = holding->kind == PINBROKER_HOLDING_PAYER && !holding->pid;
	const char *comm = user || nobody || !*holding->comm ? "-" : holding->comm;
	int err;

	if (object && holding->n_holders) {
		who = holding->holders[0];
		comm = who.comm;
	}

	const char *const cells[] = {
		holding->kind_name,
		session_text(holding, session),
		user || nobody || several ? "-" : output_number((uint64_t)who.pid, pid),
		nobody || several ? "-" : output_number(who.uid, uid),
		comm,
		output_size(holding->mapped, mapped),
		output_size(holding->pinned, pinned),
		output_size(holding->locked, locked),
		output_number(holding->mappings, mappings),
	};
	static_assert(ARRAY_SIZE(cells) == ARRAY_SIZE(columns), "a cell per column");

	err = add_cells(table, cells);
	return err ? err : add_others(holding, table);
}

static int add_row(const struct pinbroker_holding *holding, void *arg)
{
	struct tables *tables = arg;

	return holding->kind == PINBROKER_HOLDING_CGROUP ? add_cgroup(holding, &tables->cgroups)
							 : add_holding(holding, &tables->holdings);
}

/* What is known of it; it can be below 0. */
static bool host_rest(const struct pinbroker_host *host, int64_t *ret_bytes)
{
	if (host->held == PINBROKER_UNKNOWN || host->explained == PINBROKER_UNKNOWN)
		return false;
	*ret_bytes = (int64_t)(host->held - host->explained);
	return true;
}

static void print_lines(const struct pinbroker_host *host)
{
	char a[OUTPUT_TEXT_MAX], b[OUTPUT_TEXT_MAX];
	int64_t rest;

	output_line("pinned", "%s", output_size(host->held, a));
	output_line("explained", "%s", output_size(host->explained, a));
	if (host_rest(host, &rest))
		output_line("unexplained", "%s%s", rest < 0 ? "-" : "",
			    output_size((uint64_t)(rest < 0 ? -rest : rest), b));
	else
		output_line("unexplained", "-");
	if (!host->kernel)
		output_line("note", "without the gate processes alone are known, from /proc");
	(void)putchar('\n'); /* output_finish() looks for errors of the stream */
}

static int print_text(const struct cmd_env *env, struct pinbroker *broker)
{
	CLEANUP(tables_fini)
	struct tables tables = {
		.holdings = {.columns = columns, .n_columns = ARRAY_SIZE(columns)},
		.cgroups = {.columns = cgroup_columns, .n_columns = ARRAY_SIZE(cgroup_columns)},
	};
	struct pinbroker_host host;
	int err = pinbroker_host(broker, &host, add_row, &tables);

	if (err)
		return cmd_failed(env, broker, err);
	print_lines(&host);
	output_table_print(&tables.holdings, stdout);
	if (tables.cgroups.n_cells) {
		(void)putchar('\n');
		output_table_print(&tables.cgroups, stdout);
	}
	return output_finish(EX_OK);
}

/* The lists of the object. */
struct lists {
	json_t *of[PINBROKER_HOLDING_CGROUP + 1]; /* owned; by enum pinbroker_holding_kind */
};

static void lists_fini(struct lists *lists)
{
	for (size_t i = 0; i < ARRAY_SIZE(lists->of); i++)
		json_decref(lists->of[i]); /* of NULL: nothing */
}

static json_t *holder_json(pid_t pid, uid_t uid, const char *comm)
{
	const struct output_member members[] = {
		{"pid", output_json_figure((uint64_t)pid)},
		{"uid", output_json_figure(uid)},
		{"comm", output_json_text(comm)},
	};

	return output_json_object(members, ARRAY_SIZE(members));
}

static json_t *holders_json(const struct pinbroker_holding *holding)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < holding->n_holders; i++) {
		const struct pinbroker_holder *h = &holding->holders[i];

		if (json_array_append_new(array, holder_json(h->pid, h->uid, h->comm)) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *session_json(uint64_t session)
{
	char id[OUTPUT_TEXT_MAX];

	(void)snprintf(id, sizeof(id), "%" PRIx64, session);
	return session ? json_string(id) : json_null();
}

static json_t *object_json(const struct pinbroker_holding *holding)
{
	const struct output_member members[] = {
		{"session", session_json(holding->session)},
		{"accounting", output_json_text(cmd_accounting_name(holding->accounting))},
		{"mapped_bytes", output_json_figure(holding->mapped)},
		{"pinned_bytes", output_json_figure(holding->pinned)},
		{"mappings", output_json_figure(holding->mappings)},
		{"exact", json_boolean(holding->exact)},
		{"holders", output_json_figure(holding->n_holders_all)},
		{"processes", holders_json(holding)},
	};

	return output_json_object(members, ARRAY_SIZE(members));
}

static json_t *process_json(const struct pinbroker_holding *holding)
{
	const struct output_member members[] = {
		{"pid", output_json_figure((uint64_t)holding->pid)},
		{"uid", output_json_figure(holding->uid)},
		{"comm", output_json_text(holding->comm)},
		{"pinned_bytes", output_json_figure(holding->pinned)},
		{"locked_bytes", output_json_figure(holding->locked)},
	};

	return output_json_object(members, ARRAY_SIZE(members));
}

static json_t *user_json(const struct pinbroker_holding *holding)
{
	const struct output_member members[] = {
		{"uid", output_json_figure(holding->uid)},
		{"mapped_bytes", output_json_figure(holding->mapped)},
		{"pinned_bytes", output_json_figure(holding->pinned)},
		{"mappings", output_json_figure(holding->mappings)},
		{"locked_bytes", output_json_figure(holding->locked)},
	};

	return output_json_object(members, ARRAY_SIZE(members));
}

static json_t *inode_json(const struct pinbroker_holding *holding)
{
	return holding->cgroup_id ? output_json_figure(holding->cgroup_id) : json_null();
}

static json_t *cgroup_json(const struct pinbroker_holding *holding)
{
	const struct output_member members[] = {
		{"cgroup", output_json_text(holding->cgroup)},
		{"cgroup_inode", inode_json(holding)},
		{"mapped_bytes", output_json_figure(holding->mapped)},
		{"pinned_bytes", output_json_figure(holding->pinned)},
		{"mappings", output_json_figure(holding->mappings)},
	};

	return output_json_object(members, ARRAY_SIZE(members));
}

static json_t *payer_json(const struct pinbroker_holding *holding)
{
	bool privileged = holding->accounting == PINBROKER_ACCOUNTING_POLICY;
	const struct output_member members[] = {
		{"session", session_json(holding->session)},
		{"pid", holding->pid ? output_json_figure((uint64_t)holding->pid) : json_null()},
		{"uid", holding->pid ? output_json_figure(holding->uid) : json_null()},
		{"comm", *holding->comm ? output_json_text(holding->comm) : json_null()},
		{"accounting",
		 privileged ? json_null() : json_string(cmd_accounting_name(holding->accounting))},
		{"cgroup_inode", inode_json(holding)},
		{"mapped_bytes", output_json_figure(holding->mapped)},
		{"pinned_bytes", output_json_figure(holding->pinned)},
		{"mappings", output_json_figure(holding->mappings)},
	};

	return output_json_object(members, ARRAY_SIZE(members));
}

static json_t *holding_json(const struct pinbroker_holding *holding)
{
	switch (holding->kind) {
	case PINBROKER_HOLDING_PROCESS:
		return process_json(holding);
	case PINBROKER_HOLDING_USER:
		return user_json(holding);
	case PINBROKER_HOLDING_PAYER:
		return payer_json(holding);
	case PINBROKER_HOLDING_CGROUP:
		return cgroup_json(holding);
	default:
		return object_json(holding);
	}
}

static int add_object(const struct pinbroker_holding *holding, void *arg)
{
	struct lists *lists = arg;

	return json_array_append_new(lists->of[holding->kind], holding_json(holding)) < 0 ? -ENOMEM
											  : 0;
}

/* A list that could not be made is not empty. */
static json_t *list_json(struct lists *lists, enum pinbroker_holding_kind kind, bool known)
{
	return known ? STEAL(lists->of[kind]) : json_null();
}

static json_t *rest_json(const struct pinbroker_host *host)
{
	int64_t rest;

	return host_rest(host, &rest) ? json_integer(rest) : json_null();
}

/* Takes the lists over. */
static json_t *host_json(const struct pinbroker_host *host, struct lists *lists)
{
	const struct output_member members[] = {
		{"foll_pin_bytes", output_json_figure(host->held)},
		{"explained_bytes", output_json_figure(host->explained)},
		{"unexplained_bytes", rest_json(host)},
		{"contexts", list_json(lists, PINBROKER_HOLDING_CONTEXT, host->kernel)},
		{"payers", list_json(lists, PINBROKER_HOLDING_PAYER, host->kernel)},
		{"containers", list_json(lists, PINBROKER_HOLDING_CONTAINER, host->kernel)},
		{"processes", list_json(lists, PINBROKER_HOLDING_PROCESS, true)},
		{"users", list_json(lists, PINBROKER_HOLDING_USER, host->kernel)},
		{"cgroups", list_json(lists, PINBROKER_HOLDING_CGROUP, host->kernel)},
	};

	return output_json_object(members, ARRAY_SIZE(members));
}

static int print_json(const struct cmd_env *env, struct pinbroker *broker)
{
	CLEANUP(lists_fini) struct lists lists = {.of = {NULL}};
	CLEANUP(json_decrefp) json_t *object = NULL;
	struct pinbroker_host host;
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(lists.of); i++) {
		lists.of[i] = json_array();
		if (!lists.of[i])
			return cmd_internal(-ENOMEM);
	}
	err = pinbroker_host(broker, &host, add_object, &lists);
	if (err)
		return cmd_failed(env, broker, err);
	object = host_json(&host, &lists);
	err = object ? output_json(object) : -ENOMEM;
	return err ? cmd_internal(err) : output_finish(EX_OK);
}

static int host_main(const struct cmd_env *env, int argc, char **argv)
{
	return cmd_print(env, argc, argv, print_text, print_json);
}

const struct cmd cmd_host = {
	.name = "host",
	.args = "[--json]",
	.summary = "show who has what pinned on the whole host",
	.help = "Shows, to root, who has memory pinned or locked, sessions or not: contexts of\n"
		"iommufd, containers of VFIO's type1, processes, users, cgroups; and how much of\n"
		"what the kernel counts as pinned that explains. \"-\" stands for what is not\n"
		"known or does not apply.\n\n"
		"  --json  an object, sizes in bytes\n"
		"  --help  this text\n",
	.run = host_main,
};
