/* SPDX-License-Identifier: MIT */
#include "client/subject.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cmd.h"
#include "client/pinbroker.h"
#include "common/cleanup.h"
#include "common/proto.h"

void subject_fini(struct subject *subject)
{
	free(subject->gids);
}

bool subject_parse_id(const char *text, uid_t *ret_id)
{
	size_t len = strspn(text, "0123456789");
	unsigned long long id;

	if (len < 1 || len > 10 || text[len])
		return false;
	id = strtoull(text, NULL, 10);
	if (id >= UINT32_MAX)
		return false;
	*ret_id = (uid_t)id;
	return true;
}

static int take_gid(const struct cmd_env *env, struct subject *subject, const char *value)
{
	gid_t *gids;
	gid_t gid;

	if (!subject_parse_id(value, &gid)) {
		const struct group *group = getgrnam(value);

		if (!group)
			return cmd_usage(env, "--gid: no group '%s'", value);
		gid = group->gr_gid;
	}
	gids = reallocarray(subject->gids, subject->n_gids + 1, sizeof(*gids));
	if (!gids)
		return cmd_internal(-ENOMEM);
	gids[subject->n_gids++] = gid;
	subject->gids = gids;
	return 0;
}

static int take_cgroup(const struct cmd_env *env, struct subject *subject, const char *value)
{
	if (value[0] != '/' || strlen(value) >= sizeof((struct proto_subject){.zero = 0}.cgroup))
		return cmd_usage(env, "--cgroup: '%s' is no cgroup: /machine.slice/...", value);
	subject->cgroup = value;
	return 0;
}

int subject_option(const struct cmd_env *env, struct subject *subject, int opt, const char *value)
{
	switch (opt) {
	case 'u':
		subject->uid = value;
		return 0;
	case 'g':
		return take_gid(env, subject, value);
	case 'G':
		return take_cgroup(env, subject, value);
	default:
		return cmd_bad_option();
	}
}

/* Takes gids over. */
static void set_gids(struct subject *subject, gid_t *gids, size_t n_gids)
{
	free(subject->gids);
	subject->gids = gids;
	subject->n_gids = n_gids;
}

/* The groups of a user, its own first. */
static int groups_of(const struct passwd *user, struct subject *subject)
{
	CLEANUP(freep) gid_t *gids = NULL;
	int max = 0;
	int n = 0;

	do {
		gid_t *more;

		/* What getgrouplist() asks for may be out of date when it is asked again. */
		max = (n > max ? n : max) + 64;
		more = reallocarray(gids, (size_t)max, sizeof(*gids));
		if (!more)
			return -ENOMEM;
		gids = more;
		n = max;
	} while (getgrouplist(user->pw_name, user->pw_gid, gids, &n) < 0);
	set_gids(subject, STEAL(gids), (size_t)n);
	return 0;
}

static int own_groups(struct subject *subject)
{
	CLEANUP(freep) gid_t *gids = NULL;
	int n = getgroups(0, NULL);

	if (n < 0)
		return -errno;
	gids = calloc((size_t)n + 1, sizeof(*gids));
	if (!gids)
		return -ENOMEM;
	n = getgroups(n, gids);
	if (n < 0)
		return -errno;
	gids[n] = getegid();
	set_gids(subject, STEAL(gids), (size_t)n + 1);
	return 0;
}

/* Turns a user into a number, and finds the groups unless they were named. */
static int resolve_uid(const struct cmd_env *env, struct subject *subject, uid_t *ret_uid)
{
	const struct passwd *user;
	bool number = subject_parse_id(subject->uid, ret_uid);
	int err;

	user = number ? getpwuid(*ret_uid) : getpwnam(subject->uid);
	if (!user && !number)
		return cmd_usage(env, "--uid: no user '%s'", subject->uid);
	if (user)
		*ret_uid = user->pw_uid;
	if (subject->n_gids)
		return 0;
	/* A uid without an account has no groups that could be looked up. */
	err = user ? groups_of(user, subject) : 0;
	if (err)
		return cmd_internal(err);
	return subject->group ? take_gid(env, subject, subject->group) : 0;
}

int subject_resolve(const struct cmd_env *env, struct subject *subject, bool offline,
		    struct pinbroker_subject *ret_subject)
{
	uid_t uid = (uid_t)-1;
	int status = 0;
	int err;

	if (subject->uid) {
		status = resolve_uid(env, subject, &uid);
		if (status)
			return status;
	} else if (subject->n_gids || offline) {
		uid = geteuid();
		err = subject->n_gids ? 0 : own_groups(subject);
		if (err)
			return cmd_internal(err);
	}
	if (!offline && subject->n_gids > PROTO_GIDS_MAX)
		return cmd_usage(env,
				 "%zu groups are more than the %d a question can hold: name "
				 "those that count with --gid",
				 subject->n_gids, PROTO_GIDS_MAX);
	*ret_subject = (struct pinbroker_subject){
		.uid = uid,
		.gids = subject->gids,
		.n_gids = subject->n_gids,
		.cgroup = subject->cgroup,
		.domain = subject->domain,
		.pidfd = -1,
	};
	return 0;
}
