/* SPDX-License-Identifier: MIT */
/* Cgroups of the broker's own: made, filled, removed. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup/file.h"
#include "cgroup/place.h"
#include "cgroup/tree_private.h"
#include "common/cleanup.h"

#define MAKE_CONTROLLERS_MAX 512

/* On the way down. */
struct make {
	const struct cgm_tree *tree;
	struct cgm_name at;
	size_t depth;
	size_t lens[CGM_DEPTH_MAX + 1]; /* of the path at each depth */
	uint64_t made[CGM_DEPTH_MAX + 1]; /* ids; 0: it was there */
};

/* "cpuset cpu io memory": is one among them? */
static bool word_is_in(const char *text, const char *word)
{
	const size_t len = strlen(word);

	while (text[0] != '\0' && text[0] != '\n') {
		const size_t n = strcspn(text, " \n");

		if (n == len && strncmp(text, word, n) == 0)
			return true;
		text += n + (text[n] == ' ');
	}
	return false;
}

/* Adds "+memory" to what is to be switched on. Return: 0; -ENODATA: it cannot be. */
static int enable_add(const char *has, const char *gives, const char *controller, char *text,
		      size_t size)
{
	const size_t len = strlen(text);

	if (word_is_in(gives, controller))
		return 0;
	if (!word_is_in(has, controller))
		return -ENODATA;
	(void)snprintf(text + len, size - len, "%s+%s", len ? " " : "", controller); /* two fit */
	return 0;
}

/* What is on already is not written again: the cgroup may be somebody else's. */
static int make_enable(const struct make *make)
{
	char has[MAKE_CONTROLLERS_MAX], gives[MAKE_CONTROLLERS_MAX], text[64] = "";
	CLEANUP(fd_closep) int fd = -1;
	int err = cgm_dir_open_name(make->tree, &make->at, &fd);
	ssize_t n;

	if (err)
		return err;
	n = cgm_file_read(fd, "cgroup.controllers", has, sizeof(has));
	if (n >= 0)
		n = cgm_file_read(fd, "cgroup.subtree_control", gives, sizeof(gives));
	if (n < 0)
		return (int)n;
	err = enable_add(has, gives, "memory", text, sizeof(text));
	if (err)
		return err;
	if (make->tree->n_huge) /* or not: that it is missing shows in the limits */
		(void)enable_add(has, gives, "hugetlb", text, sizeof(text));
	if (!text[0])
		return 0;
	return cgm_name_write(make->tree, &make->at, "cgroup", "cgroup.subtree_control", text);
}

/*
 * Whoever is in it may look at it, as everywhere. For the whole process, for a moment: it makes no
 * other files by then.
 */
static int make_directory(int fd, const char *name)
{
	mode_t was = umask(0022);
	int err = mkdirat(fd, name, 0755) < 0 ? -errno : 0;

	(void)umask(was); /* never fails */
	return err;
}

/* One level down. @name: with its slash; @len: of it */
static int make_child(struct make *make, const char *name, size_t len)
{
	const size_t at_len = make->lens[make->depth];
	CLEANUP(fd_closep) int fd = -1;
	struct stat st;
	int err = cgm_dir_open_name(make->tree, &make->at, &fd), made;

	if (err)
		return err;
	(void)snprintf(make->at.path + at_len, sizeof(make->at.path) - at_len, "%.*s", (int)len,
		       name); /* it fits: it is a part of a path */
	made = make_directory(fd, make->at.path + at_len + 1);
	if (made && made != -EEXIST)
		return made;
	if (fstatat(fd, make->at.path + at_len + 1, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode)) /* a file of the cgroup above */
		return -ENOTDIR;
	make->at.id = st.st_ino;
	make->depth++;
	make->lens[make->depth] = at_len + len;
	make->made[make->depth] = made ? 0 : st.st_ino;
	return 0;
}

/* The deepest first. One that somebody uses already stays. */
static void make_undo(struct make *make)
{
	for (; make->depth; make->depth--) {
		make->at.path[make->lens[make->depth]] = '\0';
		make->at.id = make->made[make->depth];
		if (make->at.id)
			(void)cgm_place_remove(make->tree, &make->at);
	}
}

int cgm_place_make(const struct cgm_tree *tree, const char *path, struct cgm_name *ret_name)
{
	struct make make = {.tree = tree};
	int err = cgm_path_check(path);

	if (!err && !path[1])
		err = -EINVAL;
	if (!err)
		err = cgm_group_name(tree, "/", &make.at);
	while (!err && *path) {
		const size_t len = 1 + strcspn(path + 1, "/");

		err = make.depth == CGM_DEPTH_MAX ? -ENAMETOOLONG : make_enable(&make);
		if (!err)
			err = make_child(&make, path, len);
		path += len;
	}
	if (err)
		make_undo(&make);
	else
		*ret_name = make.at;
	return err;
}

int cgm_place_move(const struct cgm_tree *tree, const struct cgm_name *name, pid_t pid)
{
	CLEANUP(fd_closep) int dir_fd = -1, fd = -1;
	int err = cgm_dir_open_name(tree, name, &dir_fd);
	char text[16];

	if (err)
		return err;
	if (pid <= 0) /* 0 would be ourselves */
		return -EINVAL;
	/* cgroup_attach_task_pid() makes and truncates it, which the daemon's sandbox forbids. */
	fd = cgm_file_open(dir_fd, "cgroup.procs", O_RDWR);
	if (fd < 0)
		return fd;
	(void)snprintf(text, sizeof(text), "%d", (int)pid);
	if (write(fd, text, strlen(text)) < 0)
		return errno == ENODEV ? -ENOENT : -errno;
	return 0;
}

/* Return: as cgm_dir_open(): of the cgroup above, and where the name begins. */
static int remove_open(const struct cgm_tree *tree, const struct cgm_name *name, int *ret_fd,
		       const char **ret_base)
{
	char above[CGM_PATH_MAX];
	int err = cgm_path_check(name->path);
	size_t len;

	if (err)
		return err;
	*ret_base = strrchr(name->path, '/') + 1;
	if (!**ret_base)
		return -EINVAL;
	len = (size_t)(*ret_base - name->path);
	(void)snprintf(above, sizeof(above), "%.*s", (int)(len > 1 ? len - 1 : 1), name->path);
	return cgm_dir_open(tree, above, ret_fd, NULL);
}

int cgm_place_remove(const struct cgm_tree *tree, const struct cgm_name *name)
{
	CLEANUP(fd_closep) int fd = -1;
	const char *base;
	struct stat st;
	int err = remove_open(tree, name, &fd, &base);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (fstatat(fd, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (st.st_ino != name->id)
		return 0;
	if (unlinkat(fd, base, AT_REMOVEDIR) < 0)
		return errno == ENOENT ? 0 : -errno;
	return 0;
}
