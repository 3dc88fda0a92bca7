/* SPDX-License-Identifier: MIT */
/*
 * pinbroker run: a session for this process, then the command in its place. Whatever can be wrong
 * on the command line is found before the broker hears of it. The order matters: no_new_privs
 * before the request, so that the broker never grants to a process that may still gain
 * capabilities by exec; close-on-exec is cleared last.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>

#include "client/cmd.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "client/placeholder.h"
#include "client/request.h"
#include "common/cleanup.h"
#include "common/proto.h"

/* What a shell ends with; sysexits.h does not have them. */
enum {
	EX_CANNOT_RUN = 126,
	EX_NOT_FOUND = 127,
};

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

/* The command itself is no ARG: no placeholder is looked for in it. */
static int check_args(const struct cmd_env *env, char **args, size_t n_devices)
{
	enum placeholder_fault fault;
	const char *at;
	size_t len;

	for (; *args; args++) {
		if (!placeholder_check(*args, n_devices, &fault, &at, &len))
			continue;
		if (fault == PLACEHOLDER_NO_DEVICE)
			return cmd_usage(env, "'%.*s' has no --device: %zu given, counted from 0",
					 (int)len, at, n_devices);
		return cmd_usage(env, "'%.*s' is no placeholder: {device:0}, {device:1}...",
				 (int)len, at);
	}
	return 0;
}

/* Frees only pointers: the strings go with the process, as those of argv do. */
static int expand_args(char **argv, const struct pinbroker_grant *grant)
{
	for (char **arg = argv + 1; *arg; arg++) {
		int err = placeholder_expand(*arg, grant->iommufd, grant->devices, grant->n_devices,
					     arg);

		if (err)
			return err;
	}
	return 0;
}

static int set_env_number(const char *name, const char *format, uint64_t number)
{
	char value[32];

	(void)snprintf(value, sizeof(value), format[0] == 'x' ? "%" PRIx64 : "%" PRIu64, number);
	return setenv(name, value, 1) < 0 ? -errno : 0;
}

static int set_env(const struct pinbroker_grant *grant)
{
	int err;

	err = set_env_number("PINBROKER_SESSION", "x", grant->id);
	if (!err)
		err = set_env_number("PINBROKER_IOMMUFD", "u", (uint64_t)grant->iommufd);
	/* Those of a run around this one would name descriptors of another session. */
	for (size_t i = 0; !err && i < PINBROKER_DEVICES_MAX; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "PINBROKER_DEVICE_%zu", i);
		if (i < grant->n_devices)
			err = set_env_number(name, "u", (uint64_t)grant->devices[i]);
		else if (unsetenv(name) < 0)
			err = -errno;
	}
	return err;
}

static int inherit_fds(const struct pinbroker_grant *grant)
{
	if (fcntl(grant->iommufd, F_SETFD, 0) < 0)
		return -errno;
	for (size_t i = 0; i < grant->n_devices; i++) {
		if (fcntl(grant->devices[i], F_SETFD, 0) < 0)
			return -errno;
	}
	return 0;
}

/* Does not return when all goes well. The session ends with the descriptors, when we exit. */
static int exec_with(const struct pinbroker_grant *grant, char **argv)
{
	int err;

	err = expand_args(argv, grant);
	if (!err)
		err = set_env(grant);
	if (!err)
		err = inherit_fds(grant);
	if (err)
		return cmd_internal(err);
	if (grant->warning[0])
		output_error("warning: %s", grant->warning);
	(void)execvp(argv[0], argv); /* returns only to say in errno why not */
	err = errno;
	output_error("cannot run %s: %s", argv[0], strerror(err));
	return err == ENOENT ? EX_NOT_FOUND : EX_CANNOT_RUN;
}

static int ask_and_exec(const struct cmd_env *env, const struct pinbroker_request *request,
			char **argv)
{
	CLEANUP(cmd_disconnectp) struct pinbroker *broker = NULL;
	struct pinbroker_grant grant;
	int status;
	int err;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return cmd_internal(-errno);
	status = cmd_connect(env, &broker);
	if (status)
		return status;
	err = pinbroker_open(broker, request, &grant);
	if (err)
		return cmd_failed(env, broker, err);
	status = exec_with(&grant, argv);
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
	if (!argv[0] || !argv[0][0])
		return cmd_usage(env, "no command to run");
	status = check_args(env, argv + 1, request.ask.n_devices);
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
