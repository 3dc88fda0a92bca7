/* SPDX-License-Identifier: MIT */
#include "cgroup/group.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup/file.h"
#include "cgroup/tree_private.h"
#include "cgroup/walk.h"
#include "common/cleanup.h"

#define GROUP_STAT_MAX 16384 /* memory.stat; 7.2 has 70 lines of it */
#define GROUP_FILE_MAX 32

/* "hugetlb.2MB.max": the units of hugetlb_cgroup_init(), mm/hugetlb_cgroup.c */
static void huge_file(uint64_t size, const char *what, char ret_file[static GROUP_FILE_MAX])
{
	static const char units[] = "KMG";
	size_t unit = 0;

	for (size /= 1024; size >= 1024 && unit < 2; unit++)
		size /= 1024;
	(void)snprintf(ret_file, GROUP_FILE_MAX, "hugetlb.%u%cB.%s", (unsigned int)size,
		       units[unit], what);
}

static bool key_exists(const struct cgm_tree *tree, enum cgm_key key)
{
	return key < CGM_HUGE_MAX_FIRST || key - CGM_HUGE_MAX_FIRST < tree->n_huge;
}

void cgm_key_name(const struct cgm_tree *tree, enum cgm_key key, char ret_name[static 32])
{
	static_assert(GROUP_FILE_MAX == 32, "as the header says");

	if (key >= CGM_HUGE_MAX_FIRST)
		huge_file(tree->huge[key - CGM_HUGE_MAX_FIRST], "max", ret_name);
	else
		(void)snprintf(ret_name, GROUP_FILE_MAX, "%s",
			       key == CGM_MEMORY_MIN ? "memory.min" : "memory.max");
}

int cgm_group_name(const struct cgm_tree *tree, const char *path, struct cgm_name *ret_name)
{
	CLEANUP(fd_closep) int fd = -1;
	uint64_t id = 0;
	int err = cgm_dir_open(tree, path, &fd, &id);

	if (err)
		return err;
	(void)snprintf(ret_name->path, sizeof(ret_name->path), "%s", path); /* it was opened */
	ret_name->id = id;
	return 0;
}

struct find {
	uint64_t id;
	struct cgm_name *ret_name;
};

static int find_match(const struct cgm_name *name, void *arg)
{
	const struct find *find = arg;

	if (name->id != find->id)
		return 0;
	*find->ret_name = *name;
	return -EEXIST;
}

int cgm_group_find(const struct cgm_tree *tree, uint64_t id, struct cgm_name *ret_name)
{
	struct find find = {.id = id, .ret_name = ret_name};
	struct cgm_name root;
	int err = cgm_group_name(tree, "/", &root);

	if (err)
		return err;
	err = cgm_walk(tree, &root, find_match, &find);
	if (err == -EEXIST)
		return 0;
	return err && err != -ENAMETOOLONG ? err : -ENOENT;
}

int cgm_group_limits(const struct cgm_tree *tree, const struct cgm_name *name,
		     struct cgm_limits *ret_limits)
{
	struct cgm_limits limits = {.known = {false}};
	CLEANUP(fd_closep) int fd = -1;
	int err = cgm_dir_open_name(tree, name, &fd);

	if (err)
		return err;
	for (enum cgm_key key = 0; key < CGM_KEYS; key++) {
		char file[GROUP_FILE_MAX];

		if (!key_exists(tree, key))
			break;
		cgm_key_name(tree, key, file);
		err = cgm_file_number(fd, file, &limits.value[key]);
		if (err && err != -ENOENT)
			return err;
		limits.known[key] = !err;
	}
	*ret_limits = limits;
	return 0;
}

/* A file that is not there is nothing in use. */
static int usage_number(int dir_fd, const char *file, uint64_t *ret_value)
{
	int err = cgm_file_number(dir_fd, file, ret_value);

	if (err != -ENOENT)
		return err;
	*ret_value = 0;
	return 0;
}

static int usage_stat(int dir_fd, struct cgm_usage *usage)
{
	UNINITIALIZED char text[GROUP_STAT_MAX];
	ssize_t n = cgm_file_read(dir_fd, "memory.stat", text, sizeof(text));
	int err;

	if (n < 0)
		return n == -ENOENT ? 0 : (int)n;
	err = cgm_text_number(text, "anon", &usage->anon);
	return err ? err : cgm_text_number(text, "shmem", &usage->shmem);
}

int cgm_group_usage(const struct cgm_tree *tree, const struct cgm_name *name,
		    struct cgm_usage *ret_usage)
{
	struct cgm_usage usage = {.current = 0};
	CLEANUP(fd_closep) int fd = -1;
	int err = cgm_dir_open_name(tree, name, &fd);

	if (!err)
		err = usage_number(fd, "memory.current", &usage.current);
	if (!err)
		err = usage_stat(fd, &usage);
	for (size_t i = 0; !err && i < tree->n_huge; i++) {
		char file[GROUP_FILE_MAX];

		huge_file(tree->huge[i], "current", file);
		err = usage_number(fd, file, &usage.huge[i]);
	}
	if (!err)
		*ret_usage = usage;
	return err;
}

/* The kernel rounds down to whole pages; so what is read later is what was written. */
static uint64_t key_align(const struct cgm_tree *tree, enum cgm_key key, uint64_t value)
{
	const uint64_t page = key >= CGM_HUGE_MAX_FIRST ? tree->huge[key - CGM_HUGE_MAX_FIRST]
							: (uint64_t)sysconf(_SC_PAGESIZE);

	if (value > INT64_MAX - page)
		return CGM_NO_LIMIT; /* PAGE_COUNTER_MAX, which reads as "max" */
	return (value + page - 1) / page * page;
}

/* What a maximum must not be below: a file that is not there is nothing in use. */
static int key_floor(const struct cgm_tree *tree, const struct cgm_name *name, enum cgm_key key,
		     uint64_t *ret_floor)
{
	char file[GROUP_FILE_MAX] = "memory.current";
	CLEANUP(fd_closep) int fd = -1;
	int err = cgm_dir_open_name(tree, name, &fd);

	if (err)
		return err;
	if (key >= CGM_HUGE_MAX_FIRST)
		huge_file(tree->huge[key - CGM_HUGE_MAX_FIRST], "current", file);
	return usage_number(fd, file, ret_floor);
}

int cgm_group_set(const struct cgm_tree *tree, const struct cgm_name *name, enum cgm_key key,
		  uint64_t value, uint64_t *ret_value)
{
	const char *controller = key >= CGM_HUGE_MAX_FIRST ? "hugetlb" : "memory";
	char file[GROUP_FILE_MAX], text[32] = "max";
	uint64_t lowest = 0;
	int err;

	if (!key_exists(tree, key))
		return -ENODATA;
	if (key != CGM_MEMORY_MIN) {
		err = key_floor(tree, name, key, &lowest);
		if (err)
			return err;
	}
	value = key_align(tree, key, value > lowest ? value : lowest);
	cgm_key_name(tree, key, file);
	if (value != CGM_NO_LIMIT)
		(void)snprintf(text, sizeof(text), "%" PRIu64, value);
	err = cgm_name_write(tree, name, controller, file, text);
	if (!err)
		*ret_value = value;
	return err;
}
