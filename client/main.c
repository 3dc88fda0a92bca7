/* SPDX-License-Identifier: MIT */
/* The pinbroker command: options before the command, and the table of commands. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "client/cmd.h"
#include "client/output.h"
#include "common/cleanup.h"
#include "common/proto.h"

static const struct cmd *const commands[] = {
	&cmd_run,
	&cmd_list,
	&cmd_show,
	&cmd_explain,
};

static char program[] = "pinbroker";

/*
 * Descriptors 0-2 may come closed. Something opened later, a granted device even, must not become
 * stdin, stdout or stderr. What is put there is open the wrong way round, so that reading and
 * writing fail as they do on a closed descriptor.
 */
static int stdio_fill(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		/* The lowest free number, and all below are taken: it is fd. */
		if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
			return EX_OSERR;
	}
	return 0;
}

static int main_help(void)
{
	output_begin();
	printf("Usage: pinbroker [--socket PATH] COMMAND [ARG...]\n\n"
	       "Asks pinbrokerd for iommufd and VFIO devices, and shows who has pinned what.\n\n"
	       "Commands (pinbroker COMMAND --help tells more):\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
	printf("\nOptions:\n"
	       "  --socket PATH  where the broker listens (default " PROTO_SOCKET ")\n"
	       "  --help         this text\n"
	       "  --version      the version\n\n"
	       "Exit status: 0, 64 usage, 66 no such session, 69 no broker, 70 internal error,\n"
	       "77 refused or not permitted, 78 configuration; of run, else that of its command,\n"
	       "126 or 127 when that cannot be run or found.\n");
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
	int status = stdio_fill();

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
