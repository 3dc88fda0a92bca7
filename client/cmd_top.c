/* SPDX-License-Identifier: MIT */
/* pinbroker top: the sessions, again and again, those first that have most. */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "client/cmd.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "client/screen.h"
#include "common/cleanup.h"

#define DELAY_MS 2000
#define DELAY_MIN_MS 100
#define DELAY_MAX_MS 3600000

/* What is kept of a session until it is shown. */
struct row {
	uint64_t id, uid, pid;
	uint64_t limit, pinned, peak, mapped, mappings, denied;
	const char *state; /* static */
	char name[72];
};

struct rows {
	struct row *rows; /* owned */
	size_t n, max;
};

/* By which figure rows are sorted; the largest first, but ids and names. */
struct sort {
	const char *name;
	char key;
	size_t offset; /* in struct row */
	bool up; /* the smallest first */
};

static const struct sort sorts[] = {
	{"pinned", 'p', offsetof(struct row, pinned), false},
	{"peak", 'k', offsetof(struct row, peak), false},
	{"mapped", 'm', offsetof(struct row, mapped), false},
	{"mappings", 'a', offsetof(struct row, mappings), false},
	{"limit", 'l', offsetof(struct row, limit), false},
	{"denied", 'd', offsetof(struct row, denied), false},
	{"uid", 'u', offsetof(struct row, uid), true},
	{"id", 'i', offsetof(struct row, id), true},
	{"name", 'n', offsetof(struct row, name), true},
};

struct top {
	const struct cmd_env *env;
	struct pinbroker *broker; /* borrowed */
	const struct sort *sort;
	bool reverse;
	bool batch;
	unsigned long rounds; /* 0: without end */
	uint32_t delay_ms;
};

static const struct output_column columns[] = {
	{"ID", false},    {"NAME", false}, {"UID", true},    {"PID", true},
	{"STATE", false}, {"LIMIT", true}, {"PINNED", true}, {"PEAK", true},
	{"MAPPED", true}, {"MAPS", true},  {"DENIED", true},
};

static int rows_add(const struct pinbroker_session *session, void *arg)
{
	struct rows *rows = arg;
	struct row *row;

	if (rows->n == rows->max) {
		size_t more = rows->max ? 2 * rows->max : 64;
		struct row *larger = reallocarray(rows->rows, more, sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		rows->rows = larger;
		rows->max = more;
	}
	row = &rows->rows[rows->n++];
	*row = (struct row){
		.id = session->id,
		.uid = session->uid,
		.pid = (uint64_t)session->pid,
		.limit = session->limit,
		.pinned = session->pinned,
		.peak = session->pinned_peak,
		.mapped = session->mapped,
		.mappings = session->mappings,
		.denied = session->denied,
		.state = session->state,
	};
	(void)snprintf(row->name, sizeof(row->name), "%s", session->name); /* of the same size */
	return 0;
}

static void rows_fini(struct rows *rows)
{
	free(rows->rows);
}

/* What is not known comes last, whichever way it is sorted. */
static int compare_figures(uint64_t a, uint64_t b, bool up)
{
	if (a == b)
		return 0;
	if (a == PINBROKER_UNKNOWN || b == PINBROKER_UNKNOWN)
		return a == PINBROKER_UNKNOWN ? 1 : -1;
	return (a < b) == up ? -1 : 1;
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct row *first = a, *second = b;
	const struct top *top = arg;
	bool up = top->sort->up != top->reverse;
	uint64_t x, y;
	int order;

	if (top->sort->offset == offsetof(struct row, name)) {
		order = strcmp(first->name, second->name);
		order = up ? order : -order;
	} else {
		memcpy(&x, (const char *)a + top->sort->offset, sizeof(x));
		memcpy(&y, (const char *)b + top->sort->offset, sizeof(y));
		order = compare_figures(x, y, up);
	}
	return order ? order : compare_figures(first->id, second->id, true);
}

static int add_row(struct output_table *table, const struct row *row)
{
	char id[OUTPUT_TEXT_MAX], uid[OUTPUT_TEXT_MAX], pid[OUTPUT_TEXT_MAX];
	char limit[OUTPUT_TEXT_MAX], pinned[OUTPUT_TEXT_MAX], peak[OUTPUT_TEXT_MAX];
	char mapped[OUTPUT_TEXT_MAX], mappings[OUTPUT_TEXT_MAX], denied[OUTPUT_TEXT_MAX];
	int err = 0;

	(void)snprintf(id, sizeof(id), "%" PRIx64, row->id); /* it fits */

	const char *const cells[] = {
		id,
		row->name[0] ? row->name : "-",
		output_number(row->uid, uid),
		output_number(row->pid, pid),
		row->state,
		output_size(row->limit, limit),
		output_size(row->pinned, pinned),
		output_size(row->peak, peak),
		output_size(row->mapped, mapped),
		output_number(row->mappings, mappings),
		output_number(row->denied, denied),
	};
	static_assert(ARRAY_SIZE(cells) == ARRAY_SIZE(columns), "a cell per column");

	for (size_t i = 0; !err && i < ARRAY_SIZE(cells); i++)
		err = output_table_add(table, cells[i]);
	return err;
}

/* Two lines above the table. */
static void print_head(const struct top *top, const struct rows *rows,
		       const struct pinbroker_status *status, FILE *out)
{
	char granted[OUTPUT_TEXT_MAX], host[OUTPUT_TEXT_MAX], pinned[OUTPUT_TEXT_MAX], clock[16];
	time_t now = time(NULL);
	uint64_t sum = 0;
	struct tm tm;

	for (size_t i = 0; i < rows->n; i++)
		if (rows->rows[i].pinned != PINBROKER_UNKNOWN)
			sum += rows->rows[i].pinned;
	if (!localtime_r(&now, &tm) || !strftime(clock, sizeof(clock), "%H:%M:%S", &tm))
		clock[0] = '\0';
	/* output_finish() looks for errors of the stream. */
	(void)fprintf(out, "pinbroker %s  %zu sessions  %s pinned  gate %s  by %s%s\n", clock,
		      rows->n, output_size(sum, pinned), status->gate, top->sort->name,
		      top->reverse ? ", reversed" : "");
	(void)fprintf(out, "granted to all: %s", output_size(status->host_sum, granted));
	if (status->host_limit != PINBROKER_UNLIMITED)
		(void)fprintf(out, " of %s", output_size(status->host_limit, host));
	(void)fputs("\n\n", out);
}

/* One page as text, which the caller frees. Return: 0; -errno. */
static int top_page(const struct top *top, char **ret_text)
{
	CLEANUP(output_table_fini)
	struct output_table table = {
		.columns = columns,
		.n_columns = ARRAY_SIZE(columns),
	};
	CLEANUP(rows_fini) struct rows rows = {.rows = NULL};
	struct pinbroker_status status;
	FILE *out;
	size_t len;
	int err = pinbroker_list(top->broker, rows_add, &rows);

	if (!err)
		err = pinbroker_status(top->broker, &status, NULL, NULL);
	if (err)
		return err;
	if (rows.n)
		qsort_r(rows.rows, rows.n, sizeof(rows.rows[0]), compare,
			(void *)(uintptr_t)top); /* by way of a number: it is only read */
	for (size_t i = 0; !err && i < rows.n; i++)
		err = add_row(&table, &rows.rows[i]);
	out = err ? NULL : open_memstream(ret_text, &len);
	if (!out)
		return -ENOMEM;
	print_head(top, &rows, &status, out);
	output_table_print(&table, out);
	return fclose(out) ? -ENOMEM : 0;
}

/* Whether the key was one. */
static bool top_key(struct top *top, int key)
{
	if (key == 'r') {
		top->reverse = !top->reverse;
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sorts); i++) {
		if (sorts[i].key != key)
			continue;
		top->sort = &sorts[i];
		return true;
	}
	return false;
}

/* Shows pages until it is told to end. Return: 0; -errno of the broker. */
static int top_watch(struct top *top, struct screen *screen)
{
	int key = SCREEN_TIMEOUT, err = 0;

	for (unsigned long i = 0; !err && key != SCREEN_QUIT && !(top->rounds && i == top->rounds);
	     i++) {
		CLEANUP(freep) char *page = NULL;

		err = top_page(top, &page);
		if (err)
			break;
		screen_show(screen, page);
		do {
			key = screen_key(screen, top->delay_ms);
			if (key == SCREEN_RESIZED)
				screen_show(screen, page);
		} while (key != SCREEN_TIMEOUT && key != SCREEN_QUIT && !top_key(top, key));
	}
	return err;
}

/* The same for programs and tests: page after page. */
static int top_print(const struct top *top)
{
	int err = 0;

	for (unsigned long i = 0; !err && !(top->rounds && i == top->rounds); i++) {
		CLEANUP(freep) char *page = NULL;

		if (i)
			(void)poll(NULL, 0, (int)top->delay_ms); /* a signal ends it early */
		err = top_page(top, &page);
		if (err)
			break;
		/* output_finish() looks for errors of the stream. */
		printf("%s%s", i ? "\n" : "", page);
		if (fflush(stdout))
			break;
	}
	return err;
}

static int top_run(struct top *top)
{
	struct screen screen;
	int err;

	output_begin();
	if (top->batch || screen_open(&screen)) {
		err = top_print(top);
	} else {
		err = top_watch(top, &screen);
		screen_close(&screen);
	}
	return err ? cmd_failed(top->env, top->broker, err) : output_finish(EX_OK);
}

static int take_delay(const struct cmd_env *env, const char *text, uint32_t *ret_ms)
{
	char *end;
	double ms = strtod(text, &end) * 1000;

	if (end == text || *end || !(ms >= DELAY_MIN_MS && ms <= DELAY_MAX_MS))
		return cmd_usage(env, "--delay '%s': seconds, from 0.1 to 3600", text);
	*ret_ms = (uint32_t)ms;
	return 0;
}

static int take_rounds(const struct cmd_env *env, const char *text, unsigned long *ret_rounds)
{
	size_t len = strspn(text, "0123456789");

	if (!len || len > 9 || text[len] || !strtoul(text, NULL, 10))
		return cmd_usage(env, "--count '%s': how many pages?", text);
	*ret_rounds = strtoul(text, NULL, 10);
	return 0;
}

static int take_sort(const struct cmd_env *env, const char *text, const struct sort **ret_sort)
{
	for (size_t i = 0; i < ARRAY_SIZE(sorts); i++) {
		if (strcmp(sorts[i].name, text) != 0)
			continue;
		*ret_sort = &sorts[i];
		return 0;
	}
	return cmd_usage(env,
			 "--sort '%s': it is pinned, peak, mapped, mappings, limit, denied, "
			 "uid, id or name",
			 text);
}

static int take_option(struct top *top, int opt)
{
	switch (opt) {
	case 'b':
		top->batch = true;
		return 0;
	case 'n':
		return take_rounds(top->env, optarg, &top->rounds);
	case 'd':
		return take_delay(top->env, optarg, &top->delay_ms);
	case 'r':
		top->reverse = true;
		return 0;
	case 's':
		return take_sort(top->env, optarg, &top->sort);
	default:
		return cmd_bad_option();
	}
}

static int top_main(const struct cmd_env *env, int argc, char **argv)
{
	static const struct option options[] = {
		{"batch", no_argument, NULL, 'b'},
		{"count", required_argument, NULL, 'n'},
		{"delay", required_argument, NULL, 'd'},
		{"reverse", no_argument, NULL, 'r'},
		{"sort", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	CLEANUP(cmd_disconnectp) struct pinbroker *broker = NULL;
	struct top top = {.env = env, .sort = &sorts[0], .delay_ms = DELAY_MS};
	int status;

	for (int opt; (opt = getopt_long(argc, argv, "n:", options, NULL)) != -1;) {
		status = opt == 'h' ? 0 : take_option(&top, opt);
		if (opt == 'h')
			return cmd_help(env);
		if (status)
			return status;
	}
	status = cmd_connect_last(env, argc, argv, &broker);
	if (status)
		return status;
	top.broker = broker;
	return top_run(&top);
}

const struct cmd cmd_top = {
	.name = "top",
	.args = "[--batch] [--count N] [--delay SECONDS] [--reverse] [--sort KEY]",
	.summary = "watch the sessions, those first that have most pinned",
	.help = "Shows the sessions, again and again: root sees all, others their own. Keys: p "
		"pinned,"
		"\nk peak, m mapped, a mappings, l limit, d denied, u uid, i id, n name: sort by "
		"it;\n"
		"r the other way round; q ends it. \"-\" stands for what is not known.\n\n"
		"  --batch          page after page, without keys; so it is without a terminal, "
		"too\n"
		"  --count N        so many pages, then end; or -n N\n"
		"  --delay SECONDS  between them (default 2)\n"
		"  --reverse        the other way round\n"
		"  --sort KEY       by pinned (default), peak, mapped, mappings, limit, denied, "
		"uid,\n"
		"                   id or name\n"
		"  --help           this text\n",
	.run = top_main,
};
