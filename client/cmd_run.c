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

/* Goes into a cgroup of the session's own, or gives the session up. Return: exit status. */
static int enter_cgroup(const struct cmd_env *env, struct pinbroker *broker, uint64_t id,
			const char *cgroup)
{
	int err = pinbroker_place(broker, id, cgroup, NULL);
	int status;

	if (!err)
		return 0;
	status = cmd_failed(env, broker, err);
	(void)pinbroker_close(broker, id); /* else it ends with this process */
	return status;
}

/* Asks the broker only if it matters. Return: 0; the exit status, said on stderr. */
static int vfio_args(const struct cmd_env *env, struct pinbroker *broker,
		     const struct pinbroker_request *request, char **argv,
		     char buf[static LAUNCH_VFIO_ARGS_MAX])
{
	const struct pinbroker_subject self = PINBROKER_SUBJECT_INIT;
	struct pinbroker_explanation explanation;
	int err;

	buf[0] = '\0';
	if (!launch_wants_vfio_args(argv))
		return 0;
	err = pinbroker_explain(broker, &self, request, &explanation);
	if (err)
		return cmd_failed(env, broker, err);
	if (explanation.policy[0]) /* else nothing will be granted */
		(void)launch_vfio_args(explanation.migration_buffers, buf);
	return 0;
}

/* @cgroup: NULL: stay where we are */
static int ask_and_exec(const struct cmd_env *env, const struct pinbroker_request *request,
			const char *cgroup, char **argv)
{
	CLEANUP(cmd_disconnectp) struct pinbroker *broker = NULL;
	char args[LAUNCH_VFIO_ARGS_MAX];
	struct pinbroker_grant grant;
	int status;
	int err;

	status = launch_connect(env, &broker);
	if (!status)
		status = vfio_args(env, broker, request, argv, args);
	if (status)
		return status;
	err = pinbroker_open(broker, request, &grant);
	if (err)
		return cmd_failed(env, broker, err);
	status = cgroup ? enter_cgroup(env, broker, grant.id, cgroup) : 0;
	if (!status)
		status = launch_exec(&grant, args, argv);
	pinbroker_grant_close(&grant);
	return status;
}

/* What the command line says. Must not move: struct request. */
struct run {
	struct request request;
	const char *cgroup; /* NULL: none */
	bool help;
};

static int run_options(const struct cmd_env *env, int argc, char **argv, struct run *run)
{
	static const struct option options[] = {
		{"name", required_argument, NULL, 'n'},
		{"cgroup", required_argument, NULL, 'c'},
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
			run->request.ask.name = optarg;
			break;
		case 'c':
			if (!proto_cgroup_valid(optarg))
				return cmd_usage(env,
						 "--cgroup: '%s' is not 1-64 of [A-Za-z0-9._:@-], "
						 "or begins with a dot or 'cgroup.'",
						 optarg);
			run->cgroup = optarg;
			break;
		case 'h':
			run->help = true;
			return 0;
		default:
			status = request_option(env, &run->request, opt, optarg);
			break;
		}
	}
	return status;
}

static int run_main(const struct cmd_env *env, int argc, char **argv)
{
	char name[PROTO_NAME_MAX + 1];
	struct run run = {.request = {.ask = {.exec = true}}};
	struct pinbroker_request *ask = &run.request.ask;
	int status;

	status = run_options(env, argc, argv, &run);
	if (status)
		return status;
	if (run.help)
		return cmd_help(env);
	argv += optind;
	status = launch_check(env, argv, true, ask->n_devices);
	if (status)
		return status;
	if (!ask->name) {
		default_name(argv[0], name);
		ask->name = name[0] ? name : NULL;
	}
	return ask_and_exec(env, ask, run.cgroup, argv);
}

const struct cmd cmd_run = {
	.name = "run",
	.args = "[OPTION...] -- CMD [ARG...]",
	.summary = "open a session and run a VMM with its descriptors",
	.help = "Opens a session, then runs CMD with the descriptors inherited. In each ARG\n"
		"{iommufd}, {device:0}, {device:1}... become their numbers. CMD finds them in its\n"
		"environment too: PINBROKER_SESSION, PINBROKER_IOMMUFD, PINBROKER_DEVICE_0...\n"
		"{vfio-args} becomes what QEMU's vfio-pci is told of migration-buffers, or "
		"nothing.\n\n"
		"  --name N           the session's name (default: of CMD)\n"
		"  --cgroup NAME      run CMD in a cgroup of its own, which the broker makes\n"
		"  --memory SIZE      of the guest's RAM; K, M, G, T\n"
		"  --device DEV       PCI address or mdev UUID; may be repeated\n"
		"  --viommu           the guest has a vIOMMU: an address space per device\n"
		"  --accounting MODE  task or user, where the policy leaves the choice\n"
		"  --help             this text\n",
	.run = run_main,
};
