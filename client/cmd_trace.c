/* SPDX-License-Identifier: MIT */
/* pinbroker trace: what happens in sessions, line by line. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "client/cmd.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "common/cleanup.h"

#define NSEC_PER_SEC UINT64_C(1000000000)

/* What is traced, and how it is shown. */
struct trace {
	bool json;
	uint64_t id; /* 0: all sessions */
};

/* "18:50:01.123456", of the caller's time zone. */
static const char *clock_text(uint64_t ns, char buf[static OUTPUT_TEXT_MAX])
{
	time_t seconds = (time_t)(ns / NSEC_PER_SEC);
	struct tm tm;
	size_t len;

	if (!localtime_r(&seconds, &tm))
		return "-";
	len = strftime(buf, OUTPUT_TEXT_MAX, "%H:%M:%S", &tm);
	(void)snprintf(buf + len, OUTPUT_TEXT_MAX - len, ".%06" PRIu64,
		       ns % NSEC_PER_SEC / 1000); /* it fits */
	return buf;
}

/* "2026-11-21T18:50:01.123456789Z" */
static const char *utc_text(uint64_t ns, char buf[static OUTPUT_TEXT_MAX])
{
	time_t seconds = (time_t)(ns / NSEC_PER_SEC);
	struct tm tm;
	size_t len;

	if (!gmtime_r(&seconds, &tm))
		return NULL;
	len = strftime(buf, OUTPUT_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(buf + len, OUTPUT_TEXT_MAX - len, ".%09" PRIu64 "Z",
		       ns % NSEC_PER_SEC); /* it fits until the year 10000 */
	return buf;
}

/* "12.3us" */
static const char *took_text(uint64_t ns, char buf[static OUTPUT_TEXT_MAX])
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = {{NSEC_PER_SEC, "s"}, {1000000, "ms"}, {1000, "us"}};

	if (ns == PINBROKER_UNKNOWN)
		return "-";
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (ns < units[i].ns)
			continue;
		(void)snprintf(buf, OUTPUT_TEXT_MAX, "%" PRIu64 ".%" PRIu64 "%s", ns / units[i].ns,
			       ns % units[i].ns * 10 / units[i].ns, units[i].name);
		return buf;
	}
	(void)snprintf(buf, OUTPUT_TEXT_MAX, "%" PRIu64 "ns", ns);
	return buf;
}

/* A kernel newer than the C library may have errors without a name. */
static const char *error_name(int error, char buf[static OUTPUT_TEXT_MAX])
{
	const char *name = strerrorname_np(error);

	if (name)
		return name;
	(void)snprintf(buf, OUTPUT_TEXT_MAX, "%d", error);
	return buf;
}

static void print_row(const char *time, const char *session, const char *kind, const char *pid,
		      const char *comm, const char *bytes, const char *took)
{
	/* output_finish() looks for errors of the stream. */
	printf("%-15s %-13s %-10s %7s %-15s %8s %8s", time, session, kind, pid, comm, bytes, took);
}

static void print_detail(const char *text)
{
	CLEANUP(freep) char *escaped = output_escape(text);

	printf(" %s", escaped ? escaped : "-");
}

/* What a number is of, in events where it is one. */
static const char *detail_unit(const char *kind)
{
	if (strcmp(kind, "memory-max") == 0)
		return " times";
	return strcmp(kind, "oom-kill") == 0 ? " killed" : "";
}

static int print_event(const struct pinbroker_event *event, void *arg)
{
	CLEANUP(freep) char *comm = output_escape(event->comm[0] ? event->comm : "-");
	char time[OUTPUT_TEXT_MAX], id[OUTPUT_TEXT_MAX] = "-", pid[OUTPUT_TEXT_MAX] = "-";
	char bytes[OUTPUT_TEXT_MAX], took[OUTPUT_TEXT_MAX], buf[OUTPUT_TEXT_MAX];

	(void)arg; /* nothing is kept */
	if (!comm)
		return -ENOMEM;
	if (event->id)
		(void)snprintf(id, sizeof(id), "%" PRIx64, event->id); /* it fits */
	if (event->pid)
		(void)output_number((uint64_t)event->pid, pid);
	print_row(clock_text(event->ns, time), id, event->kind, pid, comm,
		  output_size(event->bytes, bytes), took_text(event->took_ns, took));
	if (event->error)
		print_detail(error_name(event->error, buf));
	if (event->what[0]) {
		print_detail(event->what);
		(void)fputs(detail_unit(event->kind), stdout);
	}
	if (event->from[0])
		printf(" %s", event->from);
	if (event->to[0])
		printf(" -> %s", event->to);
	if (event->mappings != PINBROKER_UNKNOWN)
		printf(" %" PRIu64 " mappings", event->mappings);
	if (event->name[0])
		print_detail(event->name);
	(void)putchar('\n');
	return 0;
}

static json_t *json_or_null(uint64_t number, uint64_t unknown)
{
	return output_json_figure(number == unknown ? PINBROKER_UNKNOWN : number);
}

static int json_event(const struct pinbroker_event *event, void *arg)
{
	char id[OUTPUT_TEXT_MAX] = "", time[OUTPUT_TEXT_MAX], buf[OUTPUT_TEXT_MAX];
	CLEANUP(json_decrefp) json_t *object = NULL;

	(void)arg; /* nothing is kept */
	if (event->id)
		(void)snprintf(id, sizeof(id), "%" PRIx64, event->id); /* it fits */

	const struct output_member members[] = {
		{"event", json_string(event->kind)},
		{"time", output_json_text(utc_text(event->ns, time))},
		{"session", output_json_text(id)},
		{"name", output_json_text(event->name)},
		{"uid", json_or_null(event->uid, PINBROKER_NO_UID)},
		{"pid", json_or_null((uint64_t)event->pid, 0)},
		{"comm", output_json_text(event->comm)},
		{"bytes", output_json_figure(event->bytes)},
		{"mappings", output_json_figure(event->mappings)},
		{"took_ns", output_json_figure(event->took_ns)},
		{"error", output_json_text(event->error ? error_name(event->error, buf) : "")},
		{"what", output_json_text(event->what)},
		{"from", output_json_text(event->from)},
		{"to", output_json_text(event->to)},
	};

	object = output_json_object(members, ARRAY_SIZE(members));
	return object ? output_json_line(object) : -ENOMEM;
}

static int json_lost(const struct pinbroker_lost *lost)
{
	const struct output_member members[] = {
		{"event", json_string("lost")},
		{"slow", output_json_figure(lost->slow)},
		{"full", output_json_figure(lost->full)},
		{"skipped", output_json_figure(lost->skipped)},
	};
	CLEANUP(json_decrefp) json_t *object = output_json_object(members, ARRAY_SIZE(members));

	return object ? output_json_line(object) : -ENOMEM;
}

static int print_lost(const struct trace *trace, const struct pinbroker_lost *lost)
{
	if (!lost->slow && !lost->full && !lost->skipped)
		return 0;
	if (trace->json)
		return json_lost(lost);
	printf("lost: %" PRIu64 " events, read too slowly here; %" PRIu64
	       ", too many for the broker; %" PRIu64 ", skipped by the kernel\n",
	       lost->slow, lost->full, lost->skipped);
	return 0;
}

/* What will never come is better said than waited for. */
static void say_missing(const struct pinbroker *broker)
{
	static const char *const kinds[] = {"open",   "map",    "copy",    "unmap",  "bind",
					    "attach", "charge", "release", "migrate"};

	if (!pinbroker_trace_offers(broker, "deny")) {
		output_error("only the broker's own events are shown: it has no programs in the "
			     "kernel (see pinbroker status)");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!pinbroker_trace_offers(broker, kinds[i]))
			output_error("no %s events: this kernel has no function for them",
				     kinds[i]);
}

/* Return: exit status: it ends when its reader or the broker does. */
static int trace_run(const struct cmd_env *env, struct pinbroker *broker, const struct trace *trace)
{
	struct pinbroker_lost lost = {.slow = 0};
	int err = pinbroker_trace(broker, trace->id);

	if (err)
		return cmd_failed(env, broker, err);
	say_missing(broker);
	if (!trace->json) {
		print_row("TIME", "SESSION", "EVENT", "PID", "COMM", "BYTES", "TOOK");
		(void)puts(" DETAIL");
	}
	while (!err && !fflush(stdout)) {
		err = pinbroker_trace_next(broker, &lost, trace->json ? json_event : print_event,
					   NULL);
		if (!err)
			err = print_lost(trace, &lost);
	}
	if (err == -ECONNRESET) {
		output_error("the broker at %s has ended", env->socket);
		return EX_UNAVAILABLE;
	}
	return err ? cmd_failed(env, broker, err) : output_finish(EX_SOFTWARE);
}

/* 0 would be all of them. */
static int take_session(const struct cmd_env *env, const char *text, uint64_t *ret_id)
{
	int status = cmd_id(env, text, ret_id);

	return status || *ret_id ? status : cmd_usage(env, "there is no session 0");
}

static int trace_main(const struct cmd_env *env, int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"session", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	CLEANUP(cmd_disconnectp) struct pinbroker *broker = NULL;
	struct trace trace = {.json = false};
	int status = 0;

	for (int opt; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (opt == 'h')
			return cmd_help(env);
		if (opt == 'j')
			trace.json = true;
		else if (opt == 's')
			status = take_session(env, optarg, &trace.id);
		else
			return cmd_bad_option();
		if (status)
			return status;
	}
	status = cmd_connect_last(env, argc, argv, &broker);
	if (status)
		return status;
	output_begin();
	return trace_run(env, broker, &trace);
}

const struct cmd cmd_trace = {
	.name = "trace",
	.args = "[--json] [--session ID]",
	.summary = "show what happens in sessions, as it happens",
	.help = "Shows events until it is interrupted: root sees those of all sessions, others of\n"
		"their own. \"-\" stands for what is not known.\n\n"
		"  --json        an object in each line, sizes in bytes\n"
		"  --session ID  of this session alone\n"
		"  --help        this text\n",
	.run = trace_main,
};
