/* SPDX-License-Identifier: MIT */
#include "tests/unit/cgm_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libcgroup.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

static int fail_errno;
static void (*before_write)(struct cgm_fixture *fixture);
static struct cgm_fixture *before_write_arg;
static const char *write_root; /* of the fixture there is */

/* What libcgroup is told, one write at a time. */
struct cgroup {
	char path[CGM_PATH_MAX];
};

struct cgroup_controller {
	char file[64];
	char text[64];
};

static struct cgroup fake_group;
static struct cgroup_controller fake_controller;

struct cgroup *__wrap_cgroup_new_cgroup(const char *path);
struct cgroup_controller *__wrap_cgroup_add_controller(struct cgroup *group, const char *name);
int __wrap_cgroup_add_value_string(struct cgroup_controller *controller, const char *file,
				   const char *text);
int __wrap_cgroup_modify_cgroup(struct cgroup *group);
void __wrap_cgroup_free(struct cgroup **group);

static void name_of(const struct cgm_fixture *fixture, const char *path, const char *file,
		    char ret_name[static PATH_MAX])
{
	(void)snprintf(ret_name, PATH_MAX, "%s%s%s%s", fixture->path, path, file ? "/" : "",
		       file ? file : "");
}

void cgm_fixture_init(struct cgm_fixture *fixture)
{
	struct stat st;

	memset(fixture, 0, sizeof(*fixture));
	(void)snprintf(fixture->path, sizeof(fixture->path), "/tmp/cgm-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(fixture->path));
	fixture->tree.fd = open(fixture->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CU_ASSERT_FATAL(fixture->tree.fd >= 0 && fstat(fixture->tree.fd, &st) == 0);
	fixture->tree.dev = st.st_dev;
	fixture->tree.point = fixture->path;
	fixture->tree.n_huge = 2;
	fixture->tree.huge[0] = 2 << 20;
	fixture->tree.huge[1] = 1 << 30;
	write_root = fixture->path;
	fail_errno = 0;
	before_write = NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void cgm_fixture_fini(struct cgm_fixture *fixture)
{
	CU_ASSERT_EQUAL(nftw(fixture->path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	fd_closep(&fixture->tree.fd);
	write_root = NULL;
}

void cgm_fixture_group(struct cgm_fixture *fixture, const char *path, const char *type)
{
	char name[PATH_MAX], line[64];

	name_of(fixture, path, NULL, name);
	CU_ASSERT_EQUAL_FATAL(mkdir(name, 0755), 0);
	(void)snprintf(line, sizeof(line), "%s\n", type);
	cgm_fixture_file(fixture, path, "cgroup.type", line);
	cgm_fixture_file(fixture, path, "cgroup.procs", "");
}

static FILE *file_of(const struct cgm_fixture *fixture, const char *path, const char *file,
		     const char *mode)
{
	char name[PATH_MAX];

	name_of(fixture, path, file, name);
	return fopen(name, mode);
}

void cgm_fixture_file(struct cgm_fixture *fixture, const char *path, const char *file,
		      const char *text)
{
	CLEANUP(file_closep) FILE *stream = file_of(fixture, path, file, "we");

	CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
	CU_ASSERT(fputs(text, stream) >= 0);
}

bool cgm_fixture_has(const struct cgm_fixture *fixture, const char *path, const char *file,
		     const char *text)
{
	CLEANUP(file_closep) FILE *stream = file_of(fixture, path, file, "re");
	char line[256] = "";

	if (stream && fgets(line, sizeof(line), stream))
		line[strcspn(line, "\n")] = '\0';
	return stream && strcmp(line, text) == 0;
}

/* The old one stays aside, so that the new one's inode is another. */
void cgm_fixture_remove(struct cgm_fixture *fixture, const char *path)
{
	static unsigned int n;
	char from[PATH_MAX], to[PATH_MAX], aside[32];

	(void)snprintf(aside, sizeof(aside), "/gone-%u", n++);
	name_of(fixture, path, NULL, from);
	name_of(fixture, aside, NULL, to);
	CU_ASSERT_EQUAL_FATAL(rename(from, to), 0);
}

void cgm_fixture_replace(struct cgm_fixture *fixture, const char *path)
{
	cgm_fixture_remove(fixture, path);
	cgm_fixture_group(fixture, path, "domain");
}

void cgm_fixture_fail(int err)
{
	fail_errno = err;
}

void cgm_fixture_before_write(void (*fn)(struct cgm_fixture *fixture), struct cgm_fixture *fixture)
{
	before_write = fn;
	before_write_arg = fixture;
}

struct cgroup *__wrap_cgroup_new_cgroup(const char *path)
{
	(void)snprintf(fake_group.path, sizeof(fake_group.path), "%s", path);
	return &fake_group;
}

struct cgroup_controller *__wrap_cgroup_add_controller(struct cgroup *group, const char *name)
{
	CU_ASSERT_PTR_EQUAL(group, &fake_group);
	CU_ASSERT(strcmp(name, "memory") == 0 || strcmp(name, "hugetlb") == 0 ||
		  strcmp(name, "cgroup") == 0);
	return &fake_controller;
}

int __wrap_cgroup_add_value_string(struct cgroup_controller *controller, const char *file,
				   const char *text)
{
	(void)snprintf(controller->file, sizeof(controller->file), "%s", file);
	(void)snprintf(controller->text, sizeof(controller->text), "%s", text);
	return 0;
}

/* Like the library's: one code for whatever open(2) says, and errno. */
int __wrap_cgroup_modify_cgroup(struct cgroup *group)
{
	void (*before)(struct cgm_fixture * fixture) = before_write;
	char name[CGM_PATH_MAX + 128];
	CLEANUP(fd_closep) int fd = -1;

	before_write = NULL;
	if (before)
		before(before_write_arg);
	(void)snprintf(name, sizeof(name), "%s%s/%s", write_root, group->path,
		       fake_controller.file);
	fd = open(name, O_RDWR | O_TRUNC | O_CLOEXEC);
	if (fd >= 0 && !fail_errno)
		return dprintf(fd, "%s\n", fake_controller.text) < 0 ? ECGOTHER : 0;
	if (fail_errno)
		errno = fail_errno;
	fail_errno = 0;
	return ECGROUPVALUENOTEXIST;
}

void __wrap_cgroup_free(struct cgroup **group)
{
	CU_ASSERT_PTR_EQUAL(*group, &fake_group);
	*group = NULL;
}
