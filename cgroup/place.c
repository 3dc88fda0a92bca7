/* SPDX-License-Identifier: MIT */
#include "cgroup/place.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup/file.h"
#include "cgroup/kin.h"
#include "common/cleanup.h"

#define PLACE_TYPE_MAX 32
#define PLACE_MACHINE_CHILD "/libvirt" /* since libvirt 7.1; what it does is done below */

/* Where systemd and logind keep those who are logged in, and themselves. */
static const struct {
	const char *parent; /* NULL: any */
	const char *name;
} place_logins[] = {
	{NULL, "init.scope"}, /* process 1, and each user's manager */
	{"", "user.slice"},
	{"user.slice", "user-*.slice"},
	{"user-*.slice", "user@*.service"},
	{"user-*.slice", "session-*.scope"},
};

/* A cgroup on the way up from a process. */
struct level {
	struct cgm_name name;
	char type[PLACE_TYPE_MAX]; /* "domain", "domain threaded", "domain invalid", "threaded" */
	bool memory; /* it has memory.max, and that is ours to write */
	bool protects; /* and memory.min */
};

/* How much of a path is the cgroup above; 0: the root. */
static size_t path_up(const char *path, size_t len)
{
	return (size_t)((const char *)memrchr(path, '/', len) - path);
}

static bool place_is_login(const char *path)
{
	const size_t len = path_up(path, strlen(path));
	const size_t above = len ? path_up(path, len) : 0;
	char parent[NAME_MAX + 1] = "";

	if (len)
		(void)snprintf(parent, sizeof(parent), "%.*s", (int)(len - above - 1),
			       path + above + 1); /* a name of the kernel fits */
	for (size_t i = 0; i < ARRAY_SIZE(place_logins); i++)
		if (fnmatch(place_logins[i].name, path + len + 1, 0) == 0 &&
		    (!place_logins[i].parent || fnmatch(place_logins[i].parent, parent, 0) == 0))
			return true;
	return false;
}

/* @len: of the path that counts; not the root, which has neither of the files */
static int level_look(const struct cgm_tree *tree, const char *path, size_t len,
		      struct level *ret_level)
{
	struct cgm_name *name = &ret_level->name;
	CLEANUP(fd_closep) int fd = -1;
	struct stat st;
	ssize_t n;
	int err;

	(void)snprintf(name->path, sizeof(name->path), "%.*s", (int)len, path); /* it fits */
	err = cgm_dir_open(tree, name->path, &fd, &name->id);
	if (err)
		return err;
	n = cgm_file_read(fd, "cgroup.type", ret_level->type, sizeof(ret_level->type));
	if (n < 0)
		return (int)n;
	ret_level->type[strcspn(ret_level->type, "\n")] = '\0';
	/* What a user has made for itself is above nothing of its own: that cannot be escaped to.
	 */
	ret_level->memory =
		fstatat(fd, "memory.max", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid == geteuid();
	ret_level->protects = faccessat(fd, "memory.min", F_OK, 0) == 0;
	return 0;
}

/* Return: 0 with the level; -ESRCH: there is none; -errno. */
static int place_nearest(const struct cgm_tree *tree, const char *path, struct level *ret_level)
{
	for (size_t len = strlen(path); len; len = path_up(path, len)) {
		int err = level_look(tree, path, len, ret_level);

		if (err)
			return err;
		if (ret_level->memory && strcmp(ret_level->type, "threaded") != 0)
			return 0;
	}
	return -ESRCH;
}

/*
 * The process is in what libvirt made for a machine, or below: what is beside it in the scope
 * (swtpm, virtiofsd) was put there by libvirt, too. Return: as place_nearest().
 */
static int place_machine(const struct cgm_tree *tree, const char *path, struct level *ret_level)
{
	const size_t child_len = strlen(PLACE_MACHINE_CHILD);

	for (size_t len = strlen(path), up; len; len = up) {
		int err;

		up = path_up(path, len);
		if (!up || len - up != child_len ||
		    strncmp(path + up, PLACE_MACHINE_CHILD, child_len) != 0)
			continue;
		err = level_look(tree, path, len, ret_level);
		if (err)
			return err;
		if (strcmp(ret_level->type, "domain threaded") != 0 &&
		    strcmp(ret_level->type, "domain") != 0)
			continue;
		err = level_look(tree, path, up, ret_level);
		if (err || ret_level->memory)
			return err;
	}
	return -ESRCH;
}

static size_t path_depth(const char *path)
{
	size_t n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

/* Those above that can protect, and so have to. */
static int place_climb(const struct cgm_tree *tree, struct cgm_place *place)
{
	const char *path = place->target.path;
	const size_t max = path_depth(path) - 1;
	UNINITIALIZED struct level level;

	place->above = max ? calloc(max, sizeof(*place->above)) : NULL;
	if (max && !place->above)
		return -ENOMEM;
	for (size_t len = path_up(path, strlen(path)); len; len = path_up(path, len)) {
		int err = level_look(tree, path, len, &level);

		if (err)
			return err;
		if (level.protects)
			place->above[place->n_above++] = level.name;
	}
	return 0;
}

struct others {
	const pid_t *pids;
	size_t n_pids;
	pid_t other;
};

static bool others_look(pid_t pid, void *arg)
{
	struct others *others = arg;

	if (cgm_kin_is(pid, others->pids, others->n_pids))
		return true;
	others->other = pid;
	return false;
}

static int place_judge(const struct cgm_tree *tree, const pid_t *pids, size_t n_pids,
		       struct cgm_place *place)
{
	struct others others = {.pids = pids, .n_pids = n_pids};
	int err;

	if (place_is_login(place->target.path)) {
		place->verdict = CGM_LOGIN;
		return 0;
	}
	place->verdict = CGM_TARGET;
	if (place->machine)
		return 0;
	err = cgm_group_processes(tree, &place->target, others_look, &others);
	if (err == -E2BIG) {
		place->verdict = CGM_CROWD;
		return 0;
	}
	if (err != -ECANCELED)
		return err == -ESTALE ? -ENOENT : err;
	place->verdict = CGM_OTHERS;
	place->other = others.other;
	return 0;
}

static int place_fill(const struct cgm_tree *tree, const char *path, const pid_t *pids,
		      size_t n_pids, struct cgm_place *place)
{
	UNINITIALIZED struct level level;
	int err = place_machine(tree, path, &level);

	place->machine = !err;
	if (err == -ESRCH)
		err = place_nearest(tree, path, &level);
	if (err == -ESRCH) {
		place->verdict = CGM_ROOT;
		return 0;
	}
	if (err)
		return err;
	if (path_depth(level.name.path) > CGM_DEPTH_MAX + 1) {
		place->verdict = CGM_TOO_DEEP;
		return 0;
	}
	place->target = level.name;
	err = place_climb(tree, place);
	return err ? err : place_judge(tree, pids, n_pids, place);
}

int cgm_place_find(const struct cgm_tree *tree, const char *path, const pid_t *pids, size_t n_pids,
		   struct cgm_place *ret_place)
{
	CLEANUP(cgm_place_fini) struct cgm_place place = {.verdict = CGM_ROOT};
	struct cgm_name name;
	int err = cgm_group_name(tree, path, &name); /* the process's own, or nothing counts */

	if (!err && path[1])
		err = place_fill(tree, path, pids, n_pids, &place);
	if (err)
		return err;
	*ret_place = place;
	place.above = NULL; /* the caller's now */
	return 0;
}

void cgm_place_fini(struct cgm_place *place)
{
	free(place->above);
	place->above = NULL;
	place->n_above = 0;
}

void cgm_place_reason(const struct cgm_place *place, char *ret_text, size_t size)
{
	const char *path = place->target.path;

	switch (place->verdict) {
	case CGM_TARGET:
		(void)snprintf(ret_text, size, "%s of sessions only: %s",
			       place->machine ? "a machine" : "processes", path);
		return;
	case CGM_ROOT:
		(void)snprintf(ret_text, size, "no cgroup there has the memory controller");
		return;
	case CGM_LOGIN:
		(void)snprintf(ret_text, size, "the cgroup of a login is never written: %s", path);
		return;
	case CGM_OTHERS:
		(void)snprintf(ret_text, size, "process %d is of no session, and in it, too: %s",
			       (int)place->other, path);
		return;
	case CGM_CROWD:
		(void)snprintf(ret_text, size, "too many processes or cgroups are in it: %s", path);
		return;
	case CGM_TOO_DEEP:
		(void)snprintf(ret_text, size, "it has more than %d cgroups above", CGM_DEPTH_MAX);
		return;
	case CGM_VERDICTS:
		break;
	}
	(void)snprintf(ret_text, size, "?");
}
