/* SPDX-License-Identifier: MIT */
/*
 * What the commands of pinbroker share: how they are listed, how they find the broker and what
 * they end with. A command returns the exit status of the process (sysexits.h) after it has said
 * on stderr, in one line, why it is not 0.
 */
#ifndef CLIENT_CMD_H
#define CLIENT_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/pinbroker.h"

struct cmd;

/* What comes before the command on the command line. */
struct cmd_env {
	const struct cmd *cmd; /* the command itself */
	const char *socket; /* never NULL */
};

struct cmd {
	const char *name;
	const char *args; /* for the usage line; "" */
	const char *summary; /* a few words for pinbroker --help */
	const char *help; /* whole lines for pinbroker COMMAND --help */
	/* argv[0] is "pinbroker"; getopt(3) starts over. */
	int (*run)(const struct cmd_env *env, int argc, char **argv);
};

extern const struct cmd cmd_run;
extern const struct cmd cmd_list;
extern const struct cmd cmd_show;
extern const struct cmd cmd_explain;
extern const struct cmd cmd_preflight;
extern const struct cmd cmd_device;
extern const struct cmd cmd_set;
extern const struct cmd cmd_attach;
extern const struct cmd cmd_adopt;
extern const struct cmd cmd_close;
extern const struct cmd cmd_revoke;
extern const struct cmd cmd_status;
extern const struct cmd cmd_host;
extern const struct cmd cmd_trace;
extern const struct cmd cmd_top;
extern const struct cmd cmd_virsh_start;
extern const struct cmd cmd_handoff;

/* Prints the help of a command. Return: exit status. */
int cmd_help(const struct cmd_env *env);

/* One line about a wrong command line, which names the help to read. Return: 64. */
__attribute__((format(printf, 2, 3))) int cmd_usage(const struct cmd_env *env, const char *format,
						    ...);

/* After getopt_long() said '?', with its own line on stderr. Return: 64. */
int cmd_bad_option(void);

/* Takes --json and --help. Return: 0 to go on; else *ret_status is what the command ends with. */
int cmd_json_option(const struct cmd_env *env, int argc, char **argv, bool *ret_json,
		    int *ret_status);

/* A session's id as people write it: 1-16 hexadecimal digits. Return: 0; 64, said on stderr. */
int cmd_id(const struct cmd_env *env, const char *text, uint64_t *ret_id);

/* "task", "user"; "" for a context that somebody else opened. */
const char *cmd_accounting_name(enum pinbroker_accounting accounting);

/* Return: 0 and a connection, freed with cmd_disconnectp(); or the exit status, said on stderr. */
int cmd_connect(const struct cmd_env *env, struct pinbroker **ret_broker);

/* The same, after options that nothing may follow. */
int cmd_connect_last(const struct cmd_env *env, int argc, char **argv,
		     struct pinbroker **ret_broker);

void cmd_disconnectp(struct pinbroker **broker);

/* Prints what a broker says, after output_begin(). Return: exit status. */
typedef int (*cmd_print_fn)(const struct cmd_env *env, struct pinbroker *broker);

/* A command that takes no more than --json and --help, and prints. Return: exit status. */
int cmd_print(const struct cmd_env *env, int argc, char **argv, cmd_print_fn text,
	      cmd_print_fn json);

/**
 * cmd_failed() - say why a call of libpinbroker failed
 * @err: -errno that it returned; -EACCES: the refusal that the connection keeps
 *
 * Return: exit status, not 0.
 */
int cmd_failed(const struct cmd_env *env, const struct pinbroker *broker, int err);

/* The line of a refusal. Return: 77. */
int cmd_refused(const char *reason, const char *text);

/* Out of memory, or something as unlikely. Return: 70. */
int cmd_internal(int err);

#endif
