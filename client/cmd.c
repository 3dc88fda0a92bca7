/* SPDX-License-Identifier: MIT */
#include "client/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "client/output.h"
#include "common/cleanup.h"

int cmd_help(const struct cmd_env *env)
{
	const struct cmd *cmd = env->cmd;

	output_begin();
	printf("Usage: pinbroker [--socket PATH] %s%s%s\n\n%s", cmd->name, cmd->args[0] ? " " : "",
	       cmd->args, cmd->help);
	return output_finish(EX_OK);
}

int cmd_usage(const struct cmd_env *env, const char *format, ...)
{
	CLEANUP(freep) char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL; /* its value is undefined then */
	va_end(args);
	output_error("%s: %s (see 'pinbroker %s --help')", env->cmd->name,
		     text ? text : "wrong arguments", env->cmd->name);
	return EX_USAGE;
}

int cmd_bad_option(void)
{
	return EX_USAGE;
}

const char *cmd_accounting_name(enum pinbroker_accounting accounting)
{
	switch (accounting) {
	case PINBROKER_ACCOUNTING_TASK:
		return "task";
	case PINBROKER_ACCOUNTING_USER:
		return "user";
	case PINBROKER_ACCOUNTING_POLICY:
		break;
	}
	return "";
}

int cmd_json_option(const struct cmd_env *env, int argc, char **argv, bool *ret_json,
		    int *ret_status)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};

	for (int opt; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (opt) {
		case 'j':
			*ret_json = true;
			break;
		case 'h':
			*ret_status = cmd_help(env);
			return -ECANCELED;
		default:
			*ret_status = cmd_bad_option();
			return -ECANCELED;
		}
	}
	return 0;
}

int cmd_id(const struct cmd_env *env, const char *text, uint64_t *ret_id)
{
	size_t len = strspn(text, "0123456789abcdefABCDEF");

	if (len < 1 || len > 16 || text[len])
		return cmd_usage(env, "'%s' is no session's id: hexadecimal, see pinbroker list",
				 text);
	*ret_id = strtoull(text, NULL, 16);
	return 0;
}

int cmd_connect(const struct cmd_env *env, struct pinbroker **ret_broker)
{
	int err = pinbroker_connect(env->socket, ret_broker);

	switch (err) {
	case 0:
		return 0;
	case -ENOENT:
	case -ECONNREFUSED:
		output_error("no broker at %s (%s): start pinbrokerd, or name its socket with "
			     "--socket",
			     env->socket, strerror(-err));
		return EX_UNAVAILABLE;
	case -ENAMETOOLONG:
		output_error("--socket: the path is too long for a socket: %s", env->socket);
		return EX_USAGE;
	case -ENOMEM:
		return cmd_internal(err);
	default:
		output_error("cannot connect to the broker at %s: %s", env->socket, strerror(-err));
		return EX_UNAVAILABLE;
	}
}

void cmd_disconnectp(struct pinbroker **broker)
{
	pinbroker_free(*broker);
}

int cmd_connect_last(const struct cmd_env *env, int argc, char **argv,
		     struct pinbroker **ret_broker)
{
	if (optind != argc)
		return cmd_usage(env, "unexpected argument '%s'", argv[optind]);
	return cmd_connect(env, ret_broker);
}

int cmd_print(const struct cmd_env *env, int argc, char **argv, cmd_print_fn text,
	      cmd_print_fn json)
{
	CLEANUP(cmd_disconnectp) struct pinbroker *broker = NULL;
	bool as_json = false;
	int status;

	if (cmd_json_option(env, argc, argv, &as_json, &status))
		return status;
	status = cmd_connect_last(env, argc, argv, &broker);
	if (status)
		return status;
	output_begin();
	return as_json ? json(env, broker) : text(env, broker);
}

int cmd_refused(const char *reason, const char *text)
{
	output_error("refused: %s: %s", reason, text);
	return EX_NOPERM;
}

int cmd_internal(int err)
{
	output_error("%s", strerror(-err));
	return EX_SOFTWARE;
}

int cmd_failed(const struct cmd_env *env, const struct pinbroker *broker, int err)
{
	const struct pinbroker_refusal *refusal = pinbroker_refusal(broker);

	switch (err) {
	case -EACCES:
		if (refusal->status == EX_NOPERM)
			return cmd_refused(refusal->reason, refusal->text);
		output_error("%s", refusal->text);
		return refusal->status;
	case -ENOMEM:
		return cmd_internal(err);
	case -ECONNRESET:
		output_error("the broker at %s closed the connection before it answered: see its "
			     "log, then try again",
			     env->socket);
		return EX_UNAVAILABLE;
	case -EPROTO:
		output_error("what listens at %s does not answer like a broker of this version "
			     "(" PINBROKER_VERSION ")",
			     env->socket);
		return EX_SOFTWARE;
	default:
		output_error("cannot talk to the broker at %s: %s", env->socket, strerror(-err));
		return EX_SOFTWARE;
	}
}
