/* SPDX-License-Identifier: MIT */
/* pinbroker explain: which policy would match, with which limits, and whether it would be granted.
 */
#include <getopt.h>
#include <sysexits.h>

#include "client/cmd.h"
#include "client/decision.h"
#include "client/explanation.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "client/request.h"
#include "client/subject.h"
#include "common/cleanup.h"

/* The command line. Strings are borrowed from argv. */
struct explain {
	const char *config; /* NULL: ask the broker */
	bool json;
	bool help;
	struct subject subject;
	struct request request;
};

static void explain_fini(struct explain *explain)
{
	subject_fini(&explain->subject);
}

static int explain_option(const struct cmd_env *env, struct explain *explain, int opt)
{
	switch (opt) {
	case 'c':
		explain->config = optarg;
		return 0;
	case 'u':
	case 'g':
	case 'G':
		return subject_option(env, &explain->subject, opt, optarg);
	case 'j':
		explain->json = true;
		return 0;
	case 'h':
		explain->help = true;
		return 0;
	default:
		return request_option(env, &explain->request, opt, optarg);
	}
}

static int explain_and_print(const struct cmd_env *env, struct explain *explain)
{
	struct pinbroker_explanation explanation;
	const char *assumed;
	int status;
	int err;

	status = decision_ask(env, explain->config, &explain->subject, &explain->request.ask,
			      &explanation, &assumed);
	if (status)
		return status;
	output_begin();
	err = explanation_print(&explanation, explain->json, assumed);
	if (err)
		return cmd_internal(err);
	status = output_finish(EX_OK);
	if (status || explanation.granted)
		return status;
	return cmd_refused(explanation.reason, explanation.text);
}

static int explain_main(const struct cmd_env *env, int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		SUBJECT_OPTIONS,
		REQUEST_OPTIONS,
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	CLEANUP(explain_fini) struct explain explain = {.config = NULL};
	int status;

	for (int opt; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		status = explain_option(env, &explain, opt);
		if (status)
			return status;
		if (explain.help)
			return cmd_help(env);
	}
	if (optind != argc)
		return cmd_usage(env, "unexpected argument '%s'", argv[optind]);
	return explain_and_print(env, &explain);
}

const struct cmd cmd_explain = {
	.name = "explain",
	.args = "[OPTION...]",
	.summary = "show which policy matches, every limit and the verdict",
	.help = "Shows which policy would match, where every limit comes from, and whether a\n"
		"session would be granted now: exit status 0, or 77 when it would be refused.\n\n"
		"  --config FILE      decide by FILE, without a broker and as if no session "
		"existed\n"
		"  --uid U            for another user: number or name\n"
		"  --gid G            with this group (may be repeated; default: those of the "
		"user)\n"
		"  --cgroup PATH      in this cgroup: /machine.slice/...\n"
		"  --memory SIZE      of the guest's RAM; K, M, G, T\n"
		"  --device DEV       PCI address or mdev UUID; may be repeated\n"
		"  --viommu           the guest has a vIOMMU: an address space per device\n"
		"  --accounting MODE  task or user, where the policy leaves the choice\n"
		"  --json             an object, sizes in bytes\n"
		"  --help             this text\n",
	.run = explain_main,
};
