/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_cgroups.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cgroup/tree_private.h"
#include "common/cleanup.h"
#include "daemon/procfs.h"
#include "tests/unit/suite.h"

static struct fake_cgroups *fake; /* NULL: cgroup/ is itself */

void fake_cgroups_begin(struct fake_cgroups *cgroups)
{
	*cgroups = (struct fake_cgroups){.last_id = 1000};
	for (size_t i = 0; i < FAKE_CGROUPS_MAX; i++)
		cgroups->groups[i].populated_fd = -1;
	fake = cgroups;
}

void fake_cgroups_end(struct fake_cgroups *cgroups)
{
	for (size_t i = 0; i < FAKE_CGROUPS_MAX; i++)
		fd_closep(&cgroups->groups[i].populated_fd);
	fake = NULL;
}

struct fake_cgroup *fake_cgroups_find(struct fake_cgroups *cgroups, const char *path)
{
	for (size_t i = 0; i < FAKE_CGROUPS_MAX; i++)
		if (cgroups->groups[i].id && strcmp(cgroups->groups[i].path, path) == 0)
			return &cgroups->groups[i];
	return NULL;
}

struct fake_cgroup *fake_cgroups_add(struct fake_cgroups *cgroups, const char *path)
{
	struct fake_cgroup *group = cgroups->groups;

	while (group < &cgroups->groups[FAKE_CGROUPS_MAX] && group->id)
		group++;
	CU_ASSERT_FATAL(group < &cgroups->groups[FAKE_CGROUPS_MAX]);
	*group = (struct fake_cgroup){.id = ++cgroups->last_id, .populated_fd = -1};
	for (size_t key = 0; key < CGM_KEYS; key++)
		group->value[key] = key == CGM_MEMORY_MIN ? 0 : CGM_NO_LIMIT;
	(void)snprintf(group->path, sizeof(group->path), "%s", path); /* it fits */
	return group;
}

/* Whether a cgroup is another, or below it. */
static bool group_is_in(const struct fake_cgroup *group, const struct fake_cgroup *other)
{
	const size_t len = strlen(other->path);

	return strncmp(group->path, other->path, len) == 0 &&
	       (group->path[len] == '\0' || group->path[len] == '/');
}

bool fake_cgroups_populated(const struct fake_cgroups *cgroups, const struct fake_cgroup *group)
{
	for (size_t i = 0; i < FAKE_CGROUPS_PROCESSES; i++)
		if (cgroups->processes[i].pid && group_is_in(cgroups->processes[i].group, group))
			return true;
	return false;
}

static bool group_has_children(const struct fake_cgroups *cgroups, const struct fake_cgroup *group)
{
	for (size_t i = 0; i < FAKE_CGROUPS_MAX; i++)
		if (cgroups->groups[i].id && &cgroups->groups[i] != group &&
		    group_is_in(&cgroups->groups[i], group))
			return true;
	return false;
}

void fake_cgroups_drop(struct fake_cgroup *group)
{
	CU_ASSERT_FALSE(fake_cgroups_populated(fake, group));
	fd_closep(&group->populated_fd);
	group->id = 0;
}

void fake_cgroups_put(struct fake_cgroups *cgroups, pid_t pid, struct fake_cgroup *group)
{
	size_t at = 0;

	while (at < FAKE_CGROUPS_PROCESSES && cgroups->processes[at].pid != pid)
		at++;
	for (size_t i = 0; at == FAKE_CGROUPS_PROCESSES && i < FAKE_CGROUPS_PROCESSES; i++)
		if (!cgroups->processes[i].pid)
			at = i;
	CU_ASSERT_FATAL(at < FAKE_CGROUPS_PROCESSES);
	cgroups->processes[at].pid = group ? pid : 0;
	cgroups->processes[at].group = group;
	for (size_t i = 0; i < FAKE_CGROUPS_MAX; i++) {
		struct fake_cgroup *left = &cgroups->groups[i];

		if (left->populated_fd < 0 || fake_cgroups_populated(cgroups, left))
			continue;
		CU_ASSERT_EQUAL(send(left->populated_fd, "x", 1, MSG_OOB), 1); /* POLLPRI */
		fd_closep(&left->populated_fd);
	}
}

static int fake_fails(enum fake_cgroups_call call, const struct fake_cgroup *group)
{
	if (call == FAKE_CGROUPS_SET && fake->set_err)
		return fake->set_err;
	return fake->fails ? fake->fails(call, group, fake->arg) : 0;
}

/* As cgroup/ proves a name. */
static int fake_open(const struct cgm_name *name, struct fake_cgroup **ret_group)
{
	struct fake_cgroup *group = fake_cgroups_find(fake, name->path);

	if (name->path[0] != '/')
		return -EINVAL;
	if (!group)
		return -ENOENT;
	if (group->id != name->id)
		return -ESTALE;
	*ret_group = group;
	return 0;
}

static void fake_name(const struct fake_cgroup *group, struct cgm_name *ret_name)
{
	*ret_name = (struct cgm_name){.id = group->id};
	(void)snprintf(ret_name->path, sizeof(ret_name->path), "%s", group->path); /* it fits */
}

static uint64_t fake_usage(const struct fake_cgroup *group, enum cgm_key key)
{
	if (key == CGM_MEMORY_MIN)
		return 0;
	return key == CGM_MEMORY_MAX ? group->usage.current
				     : group->usage.huge[key - CGM_HUGE_MAX_FIRST];
}

static void fake_write(struct fake_cgroup *group, enum cgm_key key, uint64_t value)
{
	uint64_t before = group->value[key];

	group->value[key] = value;
	if (fake->written)
		fake->written(group, key, before, fake->arg);
}

/* What the linker makes of the names; nothing else calls them.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
#define WRAP(type, name, params)   \
	type __real_##name params; \
	type __wrap_##name params;

WRAP(int, cgm_tree_open, (struct cgm_tree * *ret_tree))
WRAP(bool, cgm_tree_huge_in_memory, (const struct cgm_tree *tree))
WRAP(int, cgm_manager_new, (struct cgm_manager * *ret_manager))
WRAP(void, cgm_manager_free, (struct cgm_manager * manager))
WRAP(int, cgm_manager_unit,
     (struct cgm_manager * manager, const struct cgm_name *name,
      char ret_unit[static CGM_UNIT_MAX]))
WRAP(int, cgm_manager_set,
     (struct cgm_manager * manager, const char *unit, enum cgm_key key, uint64_t value))
WRAP(int, cgm_place_find,
     (const struct cgm_tree *tree, const char *path, const pid_t *pids, size_t n_pids,
      struct cgm_place *ret_place))
WRAP(int, cgm_group_find, (const struct cgm_tree *tree, uint64_t id, struct cgm_name *ret_name))
WRAP(int, cgm_group_name,
     (const struct cgm_tree *tree, const char *path, struct cgm_name *ret_name))
WRAP(int, cgm_group_limits,
     (const struct cgm_tree *tree, const struct cgm_name *name, struct cgm_limits *ret_limits))
WRAP(int, cgm_group_usage,
     (const struct cgm_tree *tree, const struct cgm_name *name, struct cgm_usage *ret_usage))
WRAP(int, cgm_group_set,
     (const struct cgm_tree *tree, const struct cgm_name *name, enum cgm_key key, uint64_t value,
      uint64_t *ret_value))
WRAP(int, cgm_events_open, (const struct cgm_tree *tree, const struct cgm_name *name, int *ret_fd))
WRAP(int, cgm_pressure_open,
     (const struct cgm_tree *tree, const struct cgm_name *name, unsigned int stall_ms, int *ret_fd))
WRAP(int, cgm_populated_open,
     (const struct cgm_tree *tree, const struct cgm_name *name, int *ret_fd))
WRAP(int, cgm_place_make,
     (const struct cgm_tree *tree, const char *path, struct cgm_name *ret_name))
WRAP(int, cgm_place_move, (const struct cgm_tree *tree, const struct cgm_name *name, pid_t pid))
WRAP(int, cgm_place_remove, (const struct cgm_tree *tree, const struct cgm_name *name))
WRAP(int, procfs_cgroup, (pid_t pid, char ret_cgroup[static PROCFS_CGROUP_MAX]))

int __wrap_cgm_tree_open(struct cgm_tree **ret_tree)
{
	struct cgm_tree *tree;

	if (!fake)
		return __real_cgm_tree_open(ret_tree);
	tree = calloc(1, sizeof(*tree));
	if (!tree)
		return -ENOMEM;
	*tree = (struct cgm_tree){.fd = -1, .n_huge = 1, .huge = {FAKE_CGROUPS_HUGE}};
	*ret_tree = tree;
	return 0;
}

bool __wrap_cgm_tree_huge_in_memory(const struct cgm_tree *tree)
{
	return fake ? false : __real_cgm_tree_huge_in_memory(tree);
}

int __wrap_cgm_manager_new(struct cgm_manager **ret_manager)
{
	if (!fake)
		return __real_cgm_manager_new(ret_manager);
	if (!fake->manager)
		return -ENODEV;
	*ret_manager = (struct cgm_manager *)fake; /* nobody looks into it */
	return 0;
}

void __wrap_cgm_manager_free(struct cgm_manager *manager)
{
	if (!fake)
		__real_cgm_manager_free(manager);
}

int __wrap_cgm_manager_unit(struct cgm_manager *manager, const struct cgm_name *name,
			    char ret_unit[static CGM_UNIT_MAX])
{
	struct fake_cgroup *group;

	if (!fake)
		return __real_cgm_manager_unit(manager, name, ret_unit);
	if (fake_open(name, &group) || !group->unit)
		return -ENOENT;
	(void)snprintf(ret_unit, CGM_UNIT_MAX, "%s", group->path); /* it fits */
	return 0;
}

/* It writes whatever it is told. */
int __wrap_cgm_manager_set(struct cgm_manager *manager, const char *unit, enum cgm_key key,
			   uint64_t value)
{
	struct fake_cgroup *group;
	int err;

	if (!fake)
		return __real_cgm_manager_set(manager, unit, key, value);
	fake->n_sets++;
	group = fake_cgroups_find(fake, unit);
	if (!group)
		return -ENOENT;
	err = fake_fails(FAKE_CGROUPS_SET, group);
	if (!err)
		fake_write(group, key, value);
	return err;
}

static int fake_above(const struct fake_cgroup *group, struct cgm_place *place)
{
	char path[sizeof(group->path)];

	place->above = calloc(FAKE_CGROUPS_MAX, sizeof(*place->above));
	if (!place->above)
		return -ENOMEM;
	memcpy(path, group->path, sizeof(path));
	for (char *end = strrchr(path, '/'); end && end != path; end = strrchr(path, '/')) {
		const struct fake_cgroup *above;

		*end = '\0';
		above = fake_cgroups_find(fake, path);
		CU_ASSERT_PTR_NOT_NULL_FATAL(above);
		fake_name(above, &place->above[place->n_above++]);
	}
	return 0;
}

int __wrap_cgm_place_find(const struct cgm_tree *tree, const char *path, const pid_t *pids,
			  size_t n_pids, struct cgm_place *ret_place)
{
	const struct fake_cgroup *group;
	int err;

	if (!fake)
		return __real_cgm_place_find(tree, path, pids, n_pids, ret_place);
	*ret_place = (struct cgm_place){.verdict = CGM_ROOT};
	if (!path[1])
		return 0;
	group = fake_cgroups_find(fake, path);
	err = group ? fake_fails(FAKE_CGROUPS_LOOK, group) : -ENOENT;
	if (err)
		return err;
	ret_place->verdict = group->others ? CGM_OTHERS : CGM_TARGET;
	ret_place->other = 1;
	fake_name(group, &ret_place->target);
	return fake_above(group, ret_place);
}

int __wrap_cgm_group_find(const struct cgm_tree *tree, uint64_t id, struct cgm_name *ret_name)
{
	if (!fake)
		return __real_cgm_group_find(tree, id, ret_name);
	for (size_t i = 0; i < FAKE_CGROUPS_MAX; i++)
		if (id && fake->groups[i].id == id) {
			fake_name(&fake->groups[i], ret_name);
			return 0;
		}
	return -ENOENT;
}

int __wrap_cgm_group_name(const struct cgm_tree *tree, const char *path, struct cgm_name *ret_name)
{
	const struct fake_cgroup *group;

	if (!fake)
		return __real_cgm_group_name(tree, path, ret_name);
	group = fake_cgroups_find(fake, path);
	if (group)
		fake_name(group, ret_name);
	return group ? 0 : -ENOENT;
}

int __wrap_cgm_group_limits(const struct cgm_tree *tree, const struct cgm_name *name,
			    struct cgm_limits *ret_limits)
{
	struct fake_cgroup *group;
	int err;

	if (!fake)
		return __real_cgm_group_limits(tree, name, ret_limits);
	fake->n_looks++;
	err = fake_open(name, &group);
	if (!err)
		err = fake_fails(FAKE_CGROUPS_LOOK, group);
	if (err)
		return err;
	for (size_t key = 0; key < CGM_KEYS; key++) {
		ret_limits->known[key] =
			key < CGM_HUGE_MAX_FIRST || (key == CGM_HUGE_MAX_FIRST && !fake->no_huge);
		ret_limits->value[key] = group->value[key];
	}
	return 0;
}

int __wrap_cgm_group_usage(const struct cgm_tree *tree, const struct cgm_name *name,
			   struct cgm_usage *ret_usage)
{
	struct fake_cgroup *group;
	int err;

	if (!fake)
		return __real_cgm_group_usage(tree, name, ret_usage);
	err = fake_open(name, &group);
	if (!err)
		*ret_usage = group->told = group->usage;
	return err;
}

/* As the real one: a maximum is raised to what is in use. */
int __wrap_cgm_group_set(const struct cgm_tree *tree, const struct cgm_name *name, enum cgm_key key,
			 uint64_t value, uint64_t *ret_value)
{
	struct fake_cgroup *group;
	int err;

	if (!fake)
		return __real_cgm_group_set(tree, name, key, value, ret_value);
	fake->n_sets++;
	err = fake_open(name, &group);
	if (!err)
		err = fake_fails(FAKE_CGROUPS_SET, group);
	if (err)
		return err;
	if (value < fake_usage(group, key))
		value = fake_usage(group, key);
	fake_write(group, key, value);
	*ret_value = value;
	return 0;
}

int __wrap_cgm_events_open(const struct cgm_tree *tree, const struct cgm_name *name, int *ret_fd)
{
	return fake ? -ENODATA : __real_cgm_events_open(tree, name, ret_fd);
}

int __wrap_cgm_pressure_open(const struct cgm_tree *tree, const struct cgm_name *name,
			     unsigned int stall_ms, int *ret_fd)
{
	return fake ? -ENODATA : __real_cgm_pressure_open(tree, name, stall_ms, ret_fd);
}

int __wrap_cgm_populated_open(const struct cgm_tree *tree, const struct cgm_name *name, int *ret_fd)
{
	struct fake_cgroup *group;
	int pair[2], err;

	if (!fake)
		return __real_cgm_populated_open(tree, name, ret_fd);
	err = fake_open(name, &group);
	if (err)
		return err;
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fd_closep(&group->populated_fd); /* of one who does not listen any more */
	group->populated_fd = pair[0];
	*ret_fd = pair[1];
	return 0;
}

int __wrap_cgm_place_make(const struct cgm_tree *tree, const char *path, struct cgm_name *ret_name)
{
	struct fake_cgroup *group;
	int err;

	if (!fake)
		return __real_cgm_place_make(tree, path, ret_name);
	err = fake_fails(FAKE_CGROUPS_MAKE, NULL);
	if (err)
		return err;
	group = fake_cgroups_find(fake, path);
	fake_name(group ? group : fake_cgroups_add(fake, path), ret_name);
	return 0;
}

int __wrap_cgm_place_move(const struct cgm_tree *tree, const struct cgm_name *name, pid_t pid)
{
	struct fake_cgroup *group;
	int err;

	if (!fake)
		return __real_cgm_place_move(tree, name, pid);
	err = fake_open(name, &group);
	if (!err)
		err = fake_fails(FAKE_CGROUPS_MOVE, group);
	if (!err)
		fake_cgroups_put(fake, pid, group);
	return err;
}

int __wrap_cgm_place_remove(const struct cgm_tree *tree, const struct cgm_name *name)
{
	struct fake_cgroup *group;
	int err;

	if (!fake)
		return __real_cgm_place_remove(tree, name);
	if (fake_open(name, &group))
		return 0;
	err = fake_fails(FAKE_CGROUPS_REMOVE, group);
	if (err)
		return err;
	if (fake_cgroups_populated(fake, group) || group_has_children(fake, group))
		return -EBUSY;
	fake_cgroups_drop(group);
	return 0;
}

int __wrap_procfs_cgroup(pid_t pid, char ret_cgroup[static PROCFS_CGROUP_MAX])
{
	if (!fake)
		return __real_procfs_cgroup(pid, ret_cgroup);
	for (size_t i = 0; i < FAKE_CGROUPS_PROCESSES; i++)
		if (fake->processes[i].pid == pid) {
			(void)snprintf(ret_cgroup, PROCFS_CGROUP_MAX, "%s",
				       fake->processes[i].group->path); /* it fits */
			return 0;
		}
	return -ENOENT;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
