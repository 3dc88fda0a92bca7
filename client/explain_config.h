/* SPDX-License-Identifier: MIT */
/* What the broker would decide by a configuration if it had just been started. */
#ifndef CLIENT_EXPLAIN_CONFIG_H
#define CLIENT_EXPLAIN_CONFIG_H

struct pinbroker_explanation;
struct pinbroker_request;
struct pinbroker_subject;

/**
 * explain_config() - decide by a configuration, without a broker
 * @path: the configuration; its findings go to stderr as FILE:LINE: text
 * @subject: uid given, all groups in gids
 * @ret_assumed: for explanation_print(); static
 *
 * Return: 0; 78 for a configuration with errors; 70; each said on stderr.
 */
int explain_config(const char *path, const struct pinbroker_subject *subject,
		   const struct pinbroker_request *request,
		   struct pinbroker_explanation *ret_explanation, const char **ret_assumed);

#endif
