/* SPDX-License-Identifier: MIT */
/* What would be decided, by a broker or by a configuration without one. */
#ifndef CLIENT_DECISION_H
#define CLIENT_DECISION_H

struct cmd_env;
struct pinbroker_explanation;
struct pinbroker_request;
struct subject;

/**
 * decision_ask() - would this be granted now?
 * @config: decide by this file; NULL: ask the broker
 * @subject: its groups are looked up
 * @ret_assumed: for explanation_print(); static or NULL
 *
 * Return: 0, also when it would be refused; else the exit status, said on stderr.
 */
int decision_ask(const struct cmd_env *env, const char *config, struct subject *subject,
		 const struct pinbroker_request *request,
		 struct pinbroker_explanation *ret_explanation, const char **ret_assumed);

#endif
