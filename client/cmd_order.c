/* SPDX-License-Identifier: MIT */
/* pinbroker set, adopt, close and revoke: orders to a live session. Silence is success. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "client/cmd.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "client/setting.h"
#include "common/cleanup.h"

/* What the command line says. */
struct order {
	uint64_t id;
	char **args; /* after the id */
	int n_args;
	unsigned int flags; /* PINBROKER_REVOKE_* */
	struct pinbroker_limits limits;
	int pidfd; /* owned; -1: none */
};

#define ORDER_INIT           \
	{                    \
		.pidfd = -1, \
	}

static void order_fini(struct order *order)
{
	fd_closep(&order->pidfd);
}

static const struct option only_help[] = {
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const struct option kill_or_help[] = {
	{"kill", no_argument, NULL, 'k'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* Takes the options and the ID. Return: 0 to go on; else *ret_status is what the command is. */
static int order_line(const struct cmd_env *env, int argc, char **argv, struct order *order,
		      int *ret_status)
{
	const struct option *options = env->cmd == &cmd_revoke ? kill_or_help : only_help;

	for (int opt; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (opt == 'k') {
			order->flags |= PINBROKER_REVOKE_KILL;
			continue;
		}
		*ret_status = opt == 'h' ? cmd_help(env) : cmd_bad_option();
		return -ECANCELED;
	}
	if (optind == argc)
		*ret_status = cmd_usage(env, "an ID is needed: see pinbroker list");
	else
		*ret_status = cmd_id(env, argv[optind], &order->id);
	order->args = argv + optind + 1;
	order->n_args = argc - optind - 1;
	return *ret_status ? -ECANCELED : 0;
}

typedef int (*order_send_fn)(struct pinbroker *broker, const struct order *order);

static int order_send(const struct cmd_env *env, const struct order *order, order_send_fn send)
{
	CLEANUP(cmd_disconnectp) struct pinbroker *broker = NULL;
	int status = cmd_connect(env, &broker);
	int err;

	if (status)
		return status;
	err = send(broker, order);
	return err ? cmd_failed(env, broker, err) : EX_OK;
}

/* A command of an ID and options alone. */
static int order_bare(const struct cmd_env *env, int argc, char **argv, order_send_fn send)
{
	struct order order = ORDER_INIT;
	int status;

	if (order_line(env, argc, argv, &order, &status))
		return status;
	if (order.n_args)
		return cmd_usage(env, "unexpected argument '%s'", order.args[0]);
	return order_send(env, &order, send);
}

static int take_setting(const struct cmd_env *env, const char *text,
			struct pinbroker_limits *limits)
{
	const struct setting *setting;

	switch (setting_parse(text, limits, &setting)) {
	case 0:
		return 0;
	case -ENOENT:
		return cmd_usage(env,
				 "'%s' is no KEY=VALUE; the keys are limit, max-mappings, "
				 "max-objects and migration-buffers",
				 text);
	case -EEXIST:
		return cmd_usage(env, "%s is given twice", setting->name);
	default:
		return cmd_usage(env, "'%s': %s wants %s", text, setting->name,
				 setting_wants(setting));
	}
}

static int send_set(struct pinbroker *broker, const struct order *order)
{
	return pinbroker_set(broker, order->id, &order->limits);
}

static int set_main(const struct cmd_env *env, int argc, char **argv)
{
	struct order order = ORDER_INIT;
	int status;

	if (order_line(env, argc, argv, &order, &status))
		return status;
	if (!order.n_args)
		return cmd_usage(env, "nothing to set: KEY=VALUE is needed");
	for (int i = 0; !status && i < order.n_args; i++)
		status = take_setting(env, order.args[i], &order.limits);
	return status ? status : order_send(env, &order, send_set);
}

/* Return: 0; 64, said on stderr. */
static int take_pid(const struct cmd_env *env, struct order *order)
{
	const char *text = order->n_args ? order->args[0] : "";
	size_t len = strspn(text, "0123456789");
	long pid = len && len <= 10 && !text[len] ? strtol(text, NULL, 10) : 0;

	if (order->n_args != 1)
		return cmd_usage(env, "an ID and the PID of a process are needed");
	if (pid <= 0 || pid > INT_MAX)
		return cmd_usage(env, "'%s' is no process id", text);
	order->pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	if (order->pidfd < 0)
		return cmd_usage(env, "process %ld: %s", pid, strerror(errno));
	return 0;
}

static int send_adopt(struct pinbroker *broker, const struct order *order)
{
	return pinbroker_adopt(broker, order->id, order->pidfd);
}

static int adopt_main(const struct cmd_env *env, int argc, char **argv)
{
	CLEANUP(order_fini) struct order order = ORDER_INIT;
	int status;

	if (order_line(env, argc, argv, &order, &status))
		return status;
	status = take_pid(env, &order);
	return status ? status : order_send(env, &order, send_adopt);
}

static int send_close(struct pinbroker *broker, const struct order *order)
{
	return pinbroker_close(broker, order->id);
}

static int close_main(const struct cmd_env *env, int argc, char **argv)
{
	return order_bare(env, argc, argv, send_close);
}

static int send_revoke(struct pinbroker *broker, const struct order *order)
{
	return pinbroker_revoke(broker, order->id, order->flags);
}

static int revoke_main(const struct cmd_env *env, int argc, char **argv)
{
	return order_bare(env, argc, argv, send_revoke);
}

const struct cmd cmd_set = {
	.name = "set",
	.args = "ID KEY=VALUE...",
	.summary = "change the limits of a live session",
	.help = "Changes limits of a live session. Its user may lower them; root and the admins "
		"of\n"
		"its policy may set any that the sums leave room for. Keys:\n\n"
		"  limit              SIZE: what the session may pin; K, M, G, T\n"
		"  max-mappings       number, or unlimited\n"
		"  max-objects        number, or unlimited\n"
		"  migration-buffers  SIZE per device, or unlimited\n\n"
		"  --help             this text\n",
	.run = set_main,
};

const struct cmd cmd_adopt = {
	.name = "adopt",
	.args = "ID PID",
	.summary = "let a session live with another process",
	.help = "Makes the process PID the owner of a session: the session lives as long as it\n"
		"does, and its RLIMIT_MEMLOCK is set. It must run as the session's user, without\n"
		"CAP_IPC_LOCK. For root and the admins of the session's policy.\n\n"
		"  --help  this text\n",
	.run = adopt_main,
};

const struct cmd cmd_close = {
	.name = "close",
	.args = "ID",
	.summary = "give a session up",
	.help = "Gives a session up: RLIMIT_MEMLOCK of its owner goes back at once. The session "
		"is\n"
		"revoked, and keeps its share and its devices until its owner exits.\n\n"
		"  --help  this text\n",
	.run = close_main,
};

const struct cmd cmd_revoke = {
	.name = "revoke",
	.args = "ID [--kill]",
	.summary = "take a session away from its owner",
	.help = "As close, for root and the admins of the session's policy. What the owner has\n"
		"mapped stays mapped, and devices reach it, until the owner exits.\n\n"
		"  --kill  kill the owner, too (SIGKILL)\n"
		"  --help  this text\n",
	.run = revoke_main,
};
