/* SPDX-License-Identifier: MIT */
/*
 * pinbroker run: a session for this process, then the command in its place. Whatever can be wrong
 * on the command line is found before the broker hears of it.
 */
#include <string.h>

#include "client/cmd.h"
#include "client/launch.h"
#include "client/pinbroker.h"
#include "client/request.h"
#include "common/cleanup.h"
#include "common/proto.h"

/* CMD's basename as a session's name; "" when nothing is left of it: the broker makes one up. */
static void default_name(const char *command, char name[static PROTO_NAME_MAX + 1])
{
	const char *slash = strrchr(command, '/');
	const char *base = slash ? slash + 1 : command;
	size_t len = strnlen(base, PROTO_NAME_MAX);

	memset(name, '_', len);
	name[len] = '\0';
	for (size_t i = 0; i < len; i++) {
		if (strchr(PROTO_NAME_CHARS, base[i]))
			name[i] = base[i];
	}
}

static int ask_and_exec(const struct cmd_env *env, const struct pinbroker_request *request,
			char **argv)
{
	CLEANUP(cmd_disconnectp) struct pinbroker *broker = NULL;
	struct pinbroker_grant grant;
	int status;
	int err;

	status = launch_connect(env, &broker);
	if (status)
		return status;
	err = pinbroker_open(broker, request, &grant);
	if (err)
		return cmd_failed(env, broker, err);
	status = launch_exec(&grant, argv);
	pinbroker_grant_close(&grant);
	return status;
}

static int run_options(const struct cmd_env *env, int argc, char **argv, struct request *request,
		       bool *ret_help)
{
	static const struct option options[] = {
		{"name", required_argument, NULL, 'n'},
		REQUEST_OPTIONS,
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int status = 0;

	/* "+": options after CMD are CMD's. */
	for (int opt; !status && (opt = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
		switch (opt) {
		case 'n':
			if (!proto_name_valid(optarg))
				return cmd_usage(env,
						 "--name: '%s' is not 1-64 of [A-Za-z0-9._:@-]",
						 optarg);
			request->ask.name = optarg;
			break;
		case 'h':
			*ret_help = true;
			return 0;
		default:
			status = request_option(env, request, opt, optarg);
			break;
		}
	}
	return status;
}

static int run_main(const struct cmd_env *env, int argc, char **argv)
{
	char name[PROTO_NAME_MAX + 1];
	struct request request = {.ask = {.exec = true}};
	bool help = false;
	int status;

	status = run_options(env, argc, argv, &request, &help);
	if (status)
		return status;
	if (help)
		return cmd_help(env);
	argv += optind;
	status = launch_check(env, argv, true, request.ask.n_devices);
	if (status)
		return status;
	if (!request.ask.name) {
		default_name(argv[0], name);
		request.ask.name = name[0] ? name : NULL;
	}
	return ask_and_exec(env, &request.ask, argv);
}

const struct cmd cmd_run = {
	.name = "run",
	.args = "[OPTION...] -- CMD [ARG...]",
	.summary = "open a session and run a VMM with its descriptors",
	.help = "Opens a session, then runs CMD with the descriptors inherited. In each ARG\n"
		"{iommufd}, {device:0}, {device:1}... become their numbers. CMD finds them in its\n"
		"environment too: PINBROKER_SESSION, PINBROKER_IOMMUFD, PINBROKER_DEVICE_0...\n\n"
		"  --name N           the session's name (default: of CMD)\n"
		"  --memory SIZE      of the guest's RAM; K, M, G, T\n"
		"  --device DEV       PCI address or mdev UUID; may be repeated\n"
		"  --viommu           the guest has a vIOMMU: an address space per device\n"
		"  --accounting MODE  task or user, where the policy leaves the choice\n"
		"  --help             this text\n",
	.run = run_main,
};
