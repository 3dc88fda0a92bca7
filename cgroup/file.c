/* SPDX-License-Identifier: MIT */
#include "cgroup/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libcgroup.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup/tree_private.h"
#include "common/cleanup.h"

static bool path_part_is(const char *part, size_t len, const char *text)
{
	return strlen(text) == len && strncmp(part, text, len) == 0;
}

int cgm_path_check(const char *path)
{
	if (path[0] != '/')
		return -EINVAL;
	if (strlen(path) >= CGM_PATH_MAX)
		return -ENAMETOOLONG;
	if (path[1] == '\0')
		return 0;
	while (*path) {
		size_t len = strcspn(++path, "/"); /* behind a slash, always */

		if (path_part_is(path, len, ".."))
			return -EXDEV;
		if (len == 0 || path_part_is(path, len, "."))
			return -EINVAL;
		path += len;
	}
	return 0;
}

/* A cgroup that is being removed: its files are there, and answer so. */
static int file_error(int err)
{
	return err == ENODEV ? -ENOENT : -err;
}

int cgm_dir_open(const struct cgm_tree *tree, const char *path, int *ret_fd, uint64_t *ret_id)
{
	CLEANUP(fd_closep) int fd = -1;
	int err = cgm_path_check(path);
	struct stat st;

	if (err)
		return err;
	fd = openat(tree->fd, path[1] ? path + 1 : ".",
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOTDIR ? -ENOENT : file_error(errno);
	if (fstat(fd, &st) < 0)
		return file_error(errno);
	if (st.st_dev != tree->dev)
		return -ENOENT;
	if (ret_id)
		*ret_id = st.st_ino;
	*ret_fd = STEAL_FD(fd);
	return 0;
}

int cgm_dir_open_name(const struct cgm_tree *tree, const struct cgm_name *name, int *ret_fd)
{
	CLEANUP(fd_closep) int fd = -1;
	uint64_t id = 0;
	int err = cgm_dir_open(tree, name->path, &fd, &id);

	if (err)
		return err;
	if (id != name->id)
		return -ESTALE;
	*ret_fd = STEAL_FD(fd);
	return 0;
}

int cgm_file_open(int dir_fd, const char *file, int flags)
{
	int fd = openat(dir_fd, file, flags | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? file_error(errno) : fd;
}

ssize_t cgm_file_read(int dir_fd, const char *file, char *buf, size_t size)
{
	CLEANUP(fd_closep) int fd = cgm_file_open(dir_fd, file, O_RDONLY);
	size_t len = 0;

	if (fd < 0)
		return fd;
	while (len < size - 1) {
		ssize_t n = read(fd, buf + len, size - 1 - len);

		if (n < 0)
			return file_error(errno);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	buf[len] = '\0';
	return (ssize_t)len;
}

/* Up to the end of a line. */
static int number_parse(const char *text, uint64_t *ret_value)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || errno || (*end != '\n' && *end != '\0'))
		return -EPROTO;
	*ret_value = value;
	return 0;
}

int cgm_file_number(int dir_fd, const char *file, uint64_t *ret_value)
{
	char text[32];
	ssize_t n = cgm_file_read(dir_fd, file, text, sizeof(text));

	if (n < 0)
		return (int)n;
	if (strcmp(text, "max\n") != 0)
		return number_parse(text, ret_value);
	*ret_value = CGM_NO_LIMIT;
	return 0;
}

int cgm_text_number(const char *text, const char *key, uint64_t *ret_value)
{
	const size_t len = strlen(key);

	while (strncmp(text, key, len) != 0 || text[len] != ' ') {
		text = strchr(text, '\n');
		if (!text)
			return -ENODATA;
		text++;
	}
	return number_parse(text + len + 1, ret_value);
}

/*
 * Its own codes tell little: a cgroup that is gone, a file that is missing and one that may not be
 * opened are all ECGROUPVALUENOTEXIST. What the system call said is still in errno, which it
 * leaves alone behind the call that failed.
 */
static int name_modify(struct cgroup *group, const char *controller, const char *file,
		       const char *text)
{
	struct cgroup_controller *into = cgroup_add_controller(group, controller);

	if (!into || cgroup_add_value_string(into, file, text))
		return -ENOMEM;
	errno = 0;
	switch (cgroup_modify_cgroup(group)) {
	case 0:
		return 0;
	case ECGROUPSUBSYSNOTMOUNTED: /* no system call was made */
		return -ENODATA;
	default:
		return errno ? file_error(errno) : -EIO;
	}
}

static int name_prove(const struct cgm_tree *tree, const struct cgm_name *name)
{
	CLEANUP(fd_closep) int fd = -1;

	return cgm_dir_open_name(tree, name, &fd);
}

int cgm_name_write(const struct cgm_tree *tree, const struct cgm_name *name, const char *controller,
		   const char *file, const char *text)
{
	struct cgroup *group;
	int err, gone;

	/* libcgroup cuts longer ones; two slashes and a NUL come to it. */
	if (strlen(tree->point) + strlen(name->path) + strlen(file) + 3 > FILENAME_MAX)
		return -ENAMETOOLONG;
	err = name_prove(tree, name);
	if (err)
		return err;
	group = cgroup_new_cgroup(name->path);
	if (!group)
		return -ENOMEM;
	err = name_modify(group, controller, file, text);
	cgroup_free(&group);
	gone = name_prove(tree, name);
	if (gone)
		return gone;
	return err == -ENOENT ? -ENODATA : err;
}
