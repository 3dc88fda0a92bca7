/* SPDX-License-Identifier: MIT */
#include "cgroup/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <libcgroup.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "cgroup/tree_private.h"
#include "common/cleanup.h"

#define TREE_HUGEPAGES "/sys/kernel/mm/hugepages"
#define TREE_HUGE_PREFIX "hugepages-"
#define TREE_MOUNTINFO "/proc/self/mountinfo"
#define TREE_OPTION_HUGE "memory_hugetlb_accounting"

/* Fields of a line in mountinfo that count; behind the separator come those of the file system. */
struct mount_line {
	const char *root;
	const char *point;
	const char *type;
	const char *options;
};

/* "\040" is a space, and so are the tab, the newline and the backslash written:
 * proc_pid_mountinfo(5) */
static void octal_decode(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
		    from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/*
 * "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate": a field may be
 * empty.
 */
static bool mount_line_parse(char *line, struct mount_line *ret_line)
{
	char *fields[5], *options, *fs = strstr(line, " - ");

	if (!fs)
		return false;
	*fs = '\0';
	fs += 3;
	for (size_t n = 0; n < ARRAY_SIZE(fields); n++)
		fields[n] = strsep(&line, " ");
	ret_line->type = strsep(&fs, " ");
	(void)strsep(&fs, " "); /* the source, any word */
	options = strsep(&fs, "\n");
	if (!fields[4] || !options)
		return false;
	octal_decode(fields[4]);
	ret_line->root = fields[3];
	ret_line->point = fields[4];
	ret_line->options = options;
	return true;
}

static bool mount_has_option(const char *options, const char *option)
{
	const size_t len = strlen(option);

	for (;; options++) {
		if (strncmp(options, option, len) == 0 &&
		    (options[len] == ',' || options[len] == '\0'))
			return true;
		options = strchr(options, ',');
		if (!options)
			return false;
	}
}

/* Of several mounts at one place the last is the one that is seen. */
static void mounts_add(struct cgm_mounts *mounts, const struct mount_line *line, const char *at)
{
	if (strcmp(line->type, "cgroup") == 0)
		mounts->v1 = true;
	if (strcmp(line->point, at) != 0)
		return;
	mounts->v2 = strcmp(line->type, "cgroup2") == 0;
	mounts->whole = strcmp(line->root, "/") == 0;
	mounts->huge_in_memory = mounts->v2 && mount_has_option(line->options, TREE_OPTION_HUGE);
}

int cgm_mounts_read(FILE *mountinfo, const char *at, struct cgm_mounts *ret_mounts)
{
	struct cgm_mounts mounts = {.v1 = false};
	CLEANUP(freep) char *text = NULL;
	size_t size = 0;

	while (getline(&text, &size, mountinfo) >= 0) {
		struct mount_line line;

		if (mount_line_parse(text, &line))
			mounts_add(&mounts, &line, at);
	}
	if (ferror(mountinfo))
		return -EIO;
	*ret_mounts = mounts;
	return 0;
}

static int size_compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Borrows the descriptor. NULL with errno. */
static DIR *dir_of(int fd)
{
	CLEANUP(fd_closep) int own_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own_fd < 0 ? NULL : fdopendir(own_fd);

	if (dir)
		(void)STEAL_FD(own_fd); /* the stream's now */
	return dir;
}

size_t cgm_huge_sizes_read(int dir_fd, uint64_t ret_sizes[static CGM_HUGE_MAX])
{
	CLEANUP(dir_closep) DIR *dir = dir_of(dir_fd);
	const struct dirent *entry;
	size_t n = 0;

	while (dir && n < CGM_HUGE_MAX && (entry = readdir(dir))) {
		char *end;
		unsigned long kb;

		if (strncmp(entry->d_name, TREE_HUGE_PREFIX, strlen(TREE_HUGE_PREFIX)) != 0)
			continue;
		kb = strtoul(entry->d_name + strlen(TREE_HUGE_PREFIX), &end, 10);
		if (kb && strcmp(end, "kB") == 0)
			ret_sizes[n++] = (uint64_t)kb * 1024;
	}
	qsort(ret_sizes, n, sizeof(*ret_sizes), size_compare);
	return n;
}

/* What libcgroup complains of reaches us as an error, too; by itself it writes to stdout. */
static void tree_log(void *arg, int level, const char *format, va_list args)
{
	(void)arg;
	(void)level;
	(void)format;
	(void)args;
}

/* Without any controller libcgroup finds no hierarchy. Return: 0 with a path; -ENODEV; -errno. */
static int tree_find(char **ret_point)
{
	int err, saved;

	cgroup_set_logger(tree_log, CGROUP_LOG_ERROR, NULL);
	errno = 0;
	err = cgroup_init();
	saved = errno;
	if (err == ECGROUPNOTMOUNTED)
		return -ENODEV;
	if (err)
		return saved ? -saved : -EIO;
	if (cgroup_get_subsys_mount_point("memory", ret_point) || !*ret_point)
		return -ENODEV;
	return 0;
}

/* @at: "" where there is none */
static int tree_mounts(const char *at, struct cgm_mounts *ret_mounts)
{
	CLEANUP(file_closep) FILE *file = fopen(TREE_MOUNTINFO, "re");

	return file ? cgm_mounts_read(file, at, ret_mounts) : -errno;
}

/* The sizes, if the controller of huge pages is in this hierarchy, too. */
static void tree_find_huge(struct cgm_tree *tree)
{
	CLEANUP(fd_closep) int fd = -1;
	CLEANUP(freep) char *point = NULL;

	if (cgroup_get_subsys_mount_point("hugetlb", &point) || strcmp(point, tree->point) != 0)
		return;
	fd = open(TREE_HUGEPAGES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		tree->n_huge = cgm_huge_sizes_read(fd, tree->huge);
}

static int tree_open_at(struct cgm_tree *tree)
{
	struct statfs fs;
	struct stat st;

	tree->fd = open(tree->point, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (tree->fd < 0 || fstatfs(tree->fd, &fs) < 0 || fstat(tree->fd, &st) < 0)
		return -errno;
	if (fs.f_type != CGROUP2_SUPER_MAGIC)
		return -ENOTSUP;
	tree->dev = st.st_dev;
	return 0;
}

/*
 * Where the memory controller is decides. A hierarchy of version 1 with other controllers, as VPN
 * clients mount for net_cls, does not matter then.
 */
int cgm_tree_open(struct cgm_tree **ret_tree)
{
	CLEANUP(cgm_tree_closep) struct cgm_tree *tree = calloc(1, sizeof(*tree));
	struct cgm_mounts mounts = {.v1 = false};
	int err, found;

	if (!tree)
		return -ENOMEM;
	tree->fd = -1;
	found = tree_find(&tree->point);
	if (found && found != -ENODEV)
		return found;
	err = tree_mounts(found ? "" : tree->point, &mounts);
	if (err)
		return err;
	if (found || !tree->point)
		return mounts.v1 ? -ENOTSUP : -ENODEV;
	err = tree_open_at(tree);
	if (!err && !mounts.whole)
		err = -EXDEV;
	if (err)
		return err;
	tree_find_huge(tree);
	*ret_tree = STEAL(tree);
	return 0;
}

void cgm_tree_close(struct cgm_tree *tree)
{
	if (!tree)
		return;
	fd_closep(&tree->fd);
	free(tree->point);
	free(tree);
}

void cgm_tree_closep(struct cgm_tree **tree)
{
	cgm_tree_close(*tree);
}

size_t cgm_tree_huge_sizes(const struct cgm_tree *tree, uint64_t ret_sizes[static CGM_HUGE_MAX])
{
	memcpy(ret_sizes, tree->huge, sizeof(tree->huge));
	return tree->n_huge;
}

bool cgm_tree_huge_in_memory(const struct cgm_tree *tree)
{
	struct cgm_mounts mounts = {.v1 = false};

	return !tree_mounts(tree->point, &mounts) && mounts.huge_in_memory;
}

int cgm_tree_fd(const struct cgm_tree *tree)
{
	return tree->fd;
}
