/* SPDX-License-Identifier: MIT */
/*
 * Paths that are still to be looked into are on a stack, so that a deep tree takes no descriptors
 * and a wide one is read at one go.
 */
#include "cgroup/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup/file.h"
#include "common/cleanup.h"

/* A directory that is still to be looked into. */
struct walk_path {
	struct walk_path *next;
	char *path; /* owned */
};

struct walk {
	const struct cgm_tree *tree;
	cgm_walk_fn fn;
	void *arg;
	struct walk_path *paths; /* owned; the one that was put last comes first */
	bool cut; /* there was one without a path */
};

static char *walk_pop(struct walk *walk)
{
	struct walk_path *first = walk->paths;
	char *path = first->path;

	walk->paths = first->next;
	free(first);
	return path;
}

static void walk_fini(struct walk *walk)
{
	while (walk->paths)
		free(walk_pop(walk));
}

static int walk_push(struct walk *walk, const char *path)
{
	struct walk_path *first = malloc(sizeof(*first));

	if (!first)
		return -ENOMEM;
	first->path = strdup(path);
	if (!first->path) {
		free(first);
		return -ENOMEM;
	}
	first->next = walk->paths;
	walk->paths = first;
	return 0;
}

/* Each directory below counts as a link, which spares reading the hundred names of a leaf. */
static bool walk_is_leaf(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_nlink == 2;
}

/* @name: with the path of the directory, whose length is given; that of its child at the end */
static int walk_child(struct walk *walk, int dir_fd, const struct dirent *entry,
		      struct cgm_name *name, size_t len)
{
	const size_t room = sizeof(name->path) - len;
	int err;

	if ((size_t)snprintf(name->path + len, room, "/%s", entry->d_name) >= room) {
		walk->cut = true;
		return 0;
	}
	name->id = entry->d_ino;
	err = walk->fn(name, walk->arg);
	return err || walk_is_leaf(dir_fd, entry->d_name) ? err : walk_push(walk, name->path);
}

static int walk_read(struct walk *walk, DIR *dir, struct cgm_name *name)
{
	const size_t len = name->path[1] ? strlen(name->path) : 0;
	const struct dirent *entry;
	int err = 0;

	while (!err && (entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		err = walk_child(walk, dirfd(dir), entry, name, len);
	}
	return err;
}

/* One that is gone has nothing below. */
static int walk_directory(struct walk *walk, const char *path)
{
	CLEANUP(dir_closep) DIR *dir = NULL;
	CLEANUP(fd_closep) int fd = -1;
	UNINITIALIZED struct cgm_name name;
	int err = cgm_dir_open(walk->tree, path, &fd, NULL);

	if (err)
		return err == -ENOENT ? 0 : err;
	dir = fdopendir(fd);
	if (!dir)
		return -errno;
	(void)STEAL_FD(fd); /* the stream's now */
	(void)snprintf(name.path, sizeof(name.path), "%s", path); /* it fits: there it comes from */
	return walk_read(walk, dir, &name);
}

int cgm_walk(const struct cgm_tree *tree, const struct cgm_name *from, cgm_walk_fn fn, void *arg)
{
	CLEANUP(walk_fini) struct walk walk = {.tree = tree, .fn = fn, .arg = arg};
	int err = fn(from, arg);

	if (!err)
		err = walk_push(&walk, from->path);
	while (!err && walk.paths) {
		CLEANUP(freep) char *path = walk_pop(&walk);

		err = walk_directory(&walk, path);
	}
	return !err && walk.cut ? -ENAMETOOLONG : err;
}
