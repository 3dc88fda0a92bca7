/* SPDX-License-Identifier: MIT */
/* KEY=VALUE of set: one limit of a session. Pure. */
#ifndef CLIENT_SETTING_H
#define CLIENT_SETTING_H

#include <stdbool.h>
#include <stddef.h>

struct pinbroker_limits;

struct setting {
	const char *name; /* as in pinbroker.conf(5) */
	unsigned int key; /* PINBROKER_SET_* */
	size_t offset; /* in struct pinbroker_limits */
	bool size; /* K, M, G and T may follow; else a plain number */
	bool unlimited; /* may be that */
};

/**
 * setting_parse() - take one KEY=VALUE
 * @limits: the value goes there, and its bit into keys
 * @ret_setting: the key, unless there is none of that name
 *
 * Return: 0; -ENOENT: not KEY=VALUE or no such key; -EEXIST: it was given before; -EINVAL: the
 * value. Nothing is taken then.
 */
int setting_parse(const char *text, struct pinbroker_limits *limits,
		  const struct setting **ret_setting);

/* What a value has to be, for people. */
const char *setting_wants(const struct setting *setting);

#endif
