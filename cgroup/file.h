/* SPDX-License-Identifier: MIT */
/*
 * For cgroup/ alone: directories of cgroups, opened and proved, and the files in them. What is read
 * is read through such a directory; libcgroup, which knows paths only, writes.
 */
#ifndef CGROUP_FILE_H
#define CGROUP_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "cgroup/group.h"

/**
 * cgm_path_check() - is it a path from the root of the hierarchy, as the kernel writes them?
 *
 * Return: 0; -EXDEV: of a process outside of our cgroup namespace, "/../a"; -ENAMETOOLONG;
 * -EINVAL.
 */
int cgm_path_check(const char *path);

/**
 * cgm_dir_open() - the directory of the cgroup that is at a path now
 * @ret_id: may be NULL
 *
 * Return: 0 with a descriptor that the caller closes; -ENOENT; as cgm_path_check(); -errno.
 */
int cgm_dir_open(const struct cgm_tree *tree, const char *path, int *ret_fd, uint64_t *ret_id);

/* The directory of that cgroup and no other. Return: 0; -ENOENT; -ESTALE; -errno. */
int cgm_dir_open_name(const struct cgm_tree *tree, const struct cgm_name *name, int *ret_fd);

/* @flags: O_CLOEXEC is added. Return: a descriptor; -ENOENT: none, or the cgroup is gone; -errno.
 */
int cgm_file_open(int dir_fd, const char *file, int flags);

/* A text that may be cut, with a NUL. Return: its length; as cgm_file_open(). */
ssize_t cgm_file_read(int dir_fd, const char *file, char *buf, size_t size);

/* "max" is CGM_NO_LIMIT. Return: 0; -EPROTO: no number; as cgm_file_open(). */
int cgm_file_number(int dir_fd, const char *file, uint64_t *ret_value);

/* "anon 4096", as in memory.stat. Return: 0; -ENODATA: no such line; -EPROTO. */
int cgm_text_number(const char *text, const char *key, uint64_t *ret_value);

/**
 * cgm_name_write() - through libcgroup
 * @controller: "memory"; "cgroup" for files of no controller
 *
 * The cgroup is proved before and after: libcgroup goes by the path. Return: 0; -ENOENT, -ESTALE:
 * it is gone; -ENODATA: it has no such file; -ENAMETOOLONG; -errno of open(2) and write(2).
 */
int cgm_name_write(const struct cgm_tree *tree, const struct cgm_name *name, const char *controller,
		   const char *file, const char *text);

#endif
