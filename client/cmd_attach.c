/* SPDX-License-Identifier: MIT */
/* pinbroker attach: one more device for a live session, its descriptor to a command. */
#include <getopt.h>
#include <string.h>
#include <sysexits.h>

#include "client/cmd.h"
#include "client/launch.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "common/cleanup.h"
#include "common/device.h"

/* Without a command nobody gets the descriptor: a shell cannot be handed one. */
static int attach_alone(const struct pinbroker_grant *grant, const char *device)
{
	output_error("warning: session %llx has device %s now, but nobody its descriptor: no CMD",
		     (unsigned long long)grant->id, device);
	return EX_OK;
}

static int attach(const struct cmd_env *env, uint64_t id, const char *device, char **argv)
{
	CLEANUP(cmd_disconnectp) struct pinbroker *broker = NULL;
	struct pinbroker_grant grant = {.id = id, .iommufd = -1, .n_devices = 1};
	int status;
	int err;

	status = launch_connect(env, &broker);
	if (status)
		return status;
	err = pinbroker_attach(broker, id, device, &grant.devices[0]);
	if (err)
		return cmd_failed(env, broker, err);
	status = argv ? launch_exec(&grant, NULL, argv) : attach_alone(&grant, device);
	pinbroker_grant_close(&grant);
	return status;
}

/* What follows ID and DEV: nothing, or "--" and a command. */
static int take_command(const struct cmd_env *env, char **args, char ***ret_argv)
{
	if (!args[0]) {
		*ret_argv = NULL;
		return 0;
	}
	if (strcmp(args[0], "--") != 0)
		return cmd_usage(env, "unexpected argument '%s': one device, then -- and a command",
				 args[0]);
	*ret_argv = args + 1;
	return launch_check(env, *ret_argv, false, 1);
}

static int attach_main(const struct cmd_env *env, int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	char device[DEVICE_NAME_MAX];
	uint64_t id;
	int status;

	/* "+": options after CMD are CMD's. */
	for (int opt; (opt = getopt_long(argc, argv, "+", options, NULL)) != -1;)
		return opt == 'h' ? cmd_help(env) : cmd_bad_option();
	argv += optind;
	if (argc - optind < 2)
		return cmd_usage(env, "an ID and a device are needed");
	status = cmd_id(env, argv[0], &id);
	if (status)
		return status;
	if (device_name(argv[1], device))
		return cmd_usage(env, "'%s' is no PCI address (0000:65:00.0) and no mdev UUID",
				 argv[1]);
	status = take_command(env, argv + 2, &argv);
	return status ? status : attach(env, id, device, argv);
}

const struct cmd cmd_attach = {
	.name = "attach",
	.args = "ID DEV [-- CMD [ARG...]]",
	.summary = "one more device for a live session",
	.help = "Adds a device to a live session, then runs CMD with its descriptor inherited. In\n"
		"each ARG {device:0} becomes its number; CMD finds it in PINBROKER_DEVICE_0, and "
		"the\n"
		"session's id in PINBROKER_SESSION. Without CMD nobody gets the descriptor.\n"
		"DEV is a PCI address or mdev UUID.\n\n"
		"  --help  this text\n",
	.run = attach_main,
};
