/* SPDX-License-Identifier: MIT */
/*
 * A hierarchy of cgroups in a directory of its own: a cgroup is a directory and its files are
 * regular ones, which the linker lets libcgroup write (--wrap, see the Makefile).
 */
#ifndef TESTS_UNIT_CGM_FIXTURE_H
#define TESTS_UNIT_CGM_FIXTURE_H

#include "cgroup/group.h"
#include "cgroup/tree_private.h"

struct cgm_fixture {
	struct cgm_tree tree;
	char path[64];
};

void cgm_fixture_init(struct cgm_fixture *fixture);
void cgm_fixture_fini(struct cgm_fixture *fixture);

/* A cgroup, as "/a/b", of that type; those above are there. */
void cgm_fixture_group(struct cgm_fixture *fixture, const char *path, const char *type);

/* A file in it, anew. */
void cgm_fixture_file(struct cgm_fixture *fixture, const char *path, const char *file,
		      const char *text);

/* Whether that is the file's first line. */
bool cgm_fixture_has(const struct cgm_fixture *fixture, const char *path, const char *file,
		     const char *text);

/* What is under that path afterwards is another cgroup, or none. */
void cgm_fixture_replace(struct cgm_fixture *fixture, const char *path);
void cgm_fixture_remove(struct cgm_fixture *fixture, const char *path);

/* The next write fails like this; 0: it does not. */
void cgm_fixture_fail(int err);

/* Before the next write, once. */
void cgm_fixture_before_write(void (*fn)(struct cgm_fixture *fixture), struct cgm_fixture *fixture);

#endif
