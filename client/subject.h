/* SPDX-License-Identifier: MIT */
/*
 * For whom a decision is asked, as command lines say it. Names and groups are looked up here: the
 * name service may block, and the broker must not.
 */
#ifndef CLIENT_SUBJECT_H
#define CLIENT_SUBJECT_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct cmd_env;
struct pinbroker_subject;

/* For an array of struct option; the characters are those of subject_option(). */
#define SUBJECT_OPTIONS                                                               \
	{"uid", required_argument, NULL, 'u'}, {"gid", required_argument, NULL, 'g'}, \
	{                                                                             \
		"cgroup", required_argument, NULL, 'G'                                \
	}

/* Zeroed: nothing was said. Strings are borrowed. */
struct subject {
	const char *uid; /* number or name; NULL: for the caller */
	const char *group; /* with uid: one besides those of the user; number, name or NULL */
	const char *cgroup;
	const char *domain;
	gid_t *gids; /* owned; those that were named, or those of the user */
	size_t n_gids;
};

void subject_fini(struct subject *subject);

/**
 * subject_option() - take one option
 * @opt: what getopt_long() returned: 'u', 'g' or 'G'
 *
 * Return: 0; 64 or 70 after a line on stderr.
 */
int subject_option(const struct cmd_env *env, struct subject *subject, int opt, const char *value);

/* A number that is an id; (uid_t)-1 is none. */
bool subject_parse_id(const char *text, uid_t *ret_id);

/**
 * subject_resolve() - look up who that is
 * @offline: no broker will be asked, which knows better who is asking
 * @ret_subject: what it points to is the subject's, or borrowed as that
 *
 * Return: 0; 64 or 70 after a line on stderr.
 */
int subject_resolve(const struct cmd_env *env, struct subject *subject, bool offline,
		    struct pinbroker_subject *ret_subject);

#endif
