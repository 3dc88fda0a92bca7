/* SPDX-License-Identifier: MIT */
/* The pinbroker command: options before the command, and the table of commands. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "client/cmd.h"
#include "client/output.h"
#include "common/cleanup.h"
#include "common/proto.h"
#include "common/stdfds.h"

static const struct cmd *const commands[] = {
	&cmd_run,  &cmd_list,   &cmd_show,  &cmd_explain,     &cmd_preflight, &cmd_device,
	&cmd_set,  &cmd_attach, &cmd_adopt, &cmd_close,       &cmd_revoke,    &cmd_status,
	&cmd_host, &cmd_trace,  &cmd_top,   &cmd_virsh_start, &cmd_handoff,
};

static char program[] = "pinbroker";

static int main_help(void)
{
	output_begin();
	printf("Usage: pinbroker [--socket PATH] COMMAND [ARG...]\n\n"
	       "Asks pinbrokerd for iommufd and VFIO devices, and shows who has pinned what.\n\n"
	       "Commands (pinbroker COMMAND --help tells more):\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-11s %s\n", commands[i]->name, commands[i]->summary);
	printf("\nOptions:\n"
	       "  --socket PATH  where the broker listens (default " PROTO_SOCKET ")\n"
	       "  --help         this text\n"
	       "  --version      the version\n\n"
	       "Exit status: 0, 64 usage, 66 no such session, 69 no broker, 70 internal error,\n"
	       "77 refused or not permitted, 78 configuration; of run and attach, else that of\n"
	       "their command, 126 or 127 when that cannot be run or found.\n");
	return output_finish(EX_OK);
}

static int main_version(void)
{
	output_begin();
	printf("pinbroker " PINBROKER_VERSION "\n");
	return output_finish(EX_OK);
}

/* argv begins with the command's name. */
static int main_command(const char *socket, int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		struct cmd_env env = {.cmd = commands[i], .socket = socket};

		if (strcmp(commands[i]->name, argv[0]) != 0)
			continue;
		argv[0] = program; /* for the messages of getopt_long() */
		optind = 0; /* glibc: start over */
		return commands[i]->run(&env, argc, argv);
	}
	output_error("unknown command '%s' (see 'pinbroker --help')", argv[0]);
	return EX_USAGE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	const char *socket = PROTO_SOCKET;
	int status = stdfds_fill() ? EX_OSERR : 0;

	if (status || argc < 1)
		return EX_OSERR; /* nobody could read a message */
	argv[0] = program;
	for (int opt; (opt = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
		switch (opt) {
		case 's':
			socket = optarg;
			break;
		case 'h':
			return main_help();
		case 'V':
			return main_version();
		default:
			return cmd_bad_option();
		}
	}
	if (optind == argc) {
		output_error("no command (see 'pinbroker --help')");
		return EX_USAGE;
	}
	return main_command(socket, argc - optind, argv + optind);
}
