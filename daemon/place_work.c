/* SPDX-License-Identifier: MIT */
#include "daemon/place_work.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgroup/group.h"
#include "cgroup/manager.h"
#include "common/cleanup.h"
#include "daemon/procfs.h"

__attribute__((format(printf, 3, 4))) static int place_fault(struct place_making *making, int err,
							     const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(making->fault, sizeof(making->fault), format, args); /* cut to fit */
	va_end(args);
	return err;
}

/* A name as part of a path: nothing that the kernel or systemd takes for something else, as all of
 * the kernel's files have a dot. */
static void place_escape(const char *name, char ret_escaped[static POLICY_NAME_MAX + 1])
{
	size_t i;

	for (i = 0; i < POLICY_NAME_MAX && name[i]; i++) {
		char c = name[i];
		bool plain =
			(c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		ret_escaped[i] = plain ? c : '_';
	}
	ret_escaped[i] = '\0';
}

/* Whether the process is still the one that asked. */
static int place_check_process(const struct place_making *making)
{
	CLEANUP(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, making->pid, 0);
	struct stat st;

	if (pidfd < 0 || fstat(pidfd, &st) < 0)
		return -errno;
	return st.st_ino == making->inode && !procfs_exited(pidfd) ? 0 : -ESRCH;
}

/* It is there. */
static void place_add_level(struct place_making *making, const struct cgm_name *name, bool made)
{
	making->levels[making->n_levels++] = (struct place_level){.id = name->id, .made = made};
	making->place = *name;
}

/* --- without systemd: directories */

/*
 * The last one must be new. An empty one is of a broker that was killed before it had recorded it,
 * and is made again.
 */
static int place_make_level(struct place_making *making, const char *path, bool last)
{
	const struct cgm_tree *tree = making->tools->tree;
	struct cgm_name name;
	int err = cgm_group_name(tree, path, &name);

	if (!err && last)
		err = cgm_place_remove(tree, &name) ? -EEXIST : -ENOENT;
	if (err == -EEXIST)
		return place_fault(making, err, "there is a cgroup %s", path);
	if (!err) {
		place_add_level(making, &name, false);
		return 0;
	}
	if (err == -ENOENT)
		err = cgm_place_make(tree, path, &name);
	if (err == -EACCES && !making->n_levels)
		return place_fault(making, err,
				   "the cgroup %s is made at the broker's start only, or by an "
				   "administrator",
				   path);
	if (err)
		return place_fault(making, err, "cannot make the cgroup %s: %s", path,
				   strerror(-err));
	place_add_level(making, &name, true);
	return 0;
}

static int place_make_path(struct place_making *making)
{
	char path[CGM_PATH_MAX], policy[POLICY_NAME_MAX + 1], name[POLICY_NAME_MAX + 1];
	size_t end = strlen(making->parent);
	int err = place_make_level(making, making->parent, false);

	_Static_assert(sizeof(making->name) <= sizeof(name), "names fit");
	place_escape(making->policy, policy);
	place_escape(making->name, name);
	if (end > sizeof(path) - sizeof(policy) - sizeof(name) - 32)
		return place_fault(making, -ENAMETOOLONG, "%s is too long", making->parent);
	memcpy(path, making->parent, end);
	if (!err) {
		end += (size_t)sprintf(path + end, "/%s", policy);
		err = place_make_level(making, path, false);
	}
	if (!err) {
		end += (size_t)sprintf(path + end, "/%u", making->uid);
		err = place_make_level(making, path, false);
	}
	if (!err) {
		(void)sprintf(path + end, "/%s", name);
		err = place_make_level(making, path, true);
	}
	return err;
}

static int place_make_and_move(struct place_making *making)
{
	int err = place_make_path(making);

	if (err)
		return err;
	err = place_check_process(making);
	if (!err)
		err = cgm_place_move(making->tools->tree, &making->place, making->pid);
	/*
	 * There is no call that takes a pidfd. If the pid was another's by then, that one is in a
	 * cgroup that nobody is else, which is said.
	 */
	if (!err)
		err = place_check_process(making);
	return err ? place_fault(making, err, "process %d cannot be put into %s: %s",
				 (int)making->pid, making->place.path, strerror(-err))
		   : 0;
}

/* --- with systemd: slices and a scope */

/* "/pinbroker.slice": the name of a slice; another place systemd knows nothing of. */
static int place_slice(struct place_making *making, char *ret_slice, size_t size)
{
	const char *slash = strrchr(making->parent, '/');
	const char *end = strstr(slash, ".slice");
	char policy[POLICY_NAME_MAX + 1];

	if (!end || strcmp(end, ".slice") != 0 || end == slash + 1)
		return place_fault(making, -EINVAL,
				   "cgroup-parent %s is no slice, and systemd makes cgroups in "
				   "slices only",
				   making->parent);
	place_escape(making->policy, policy);
	if ((size_t)snprintf(ret_slice, size, "%.*s-%s-%u.slice", (int)(end - slash - 1), slash + 1,
			     policy, making->uid) >= size)
		return place_fault(making, -ENAMETOOLONG, "%s is too long", making->parent);
	return 0;
}

/* The scope, and the slices of the user and the policy above it. */
static int place_note_scope(struct place_making *making, char *cgroup)
{
	const char *slash = cgroup;
	size_t n = 0, first;
	int err = 0;

	making->kept = true;
	while ((slash = strchr(slash + 1, '/')))
		n++;
	first = n > 2 ? n - 2 : 0; /* which of them is the policy's slice */
	for (n = 0, slash = cgroup; !err && slash; n++) {
		struct cgm_name name;

		slash = strchr(slash + 1, '/');
		if (n < first)
			continue;
		if (slash)
			cgroup[slash - cgroup] = '\0';
		err = cgm_group_name(making->tools->tree, cgroup, &name);
		if (slash)
			cgroup[slash - cgroup] = '/';
		if (!err)
			place_add_level(making, &name, true);
	}
	return err;
}

static int place_make_scope(struct place_making *making)
{
	char slice[CGM_UNIT_MAX], scope[CGM_UNIT_MAX], cgroup[PROCFS_CGROUP_MAX];
	int err = place_slice(making, slice, sizeof(slice));

	if (err)
		return err;
	(void)snprintf(scope, sizeof(scope), "pinbroker-%llx-%s.scope",
		       (unsigned long long)making->session, making->name);
	err = place_check_process(making);
	if (!err)
		err = cgm_manager_scope(making->tools->manager, scope, slice, making->pid);
	if (!err)
		err = procfs_cgroup(making->pid, cgroup);
	if (!err)
		err = place_check_process(making);
	if (!err)
		err = place_note_scope(making, cgroup);
	return err ? place_fault(making, err, "systemd did not make %s: %s", scope, strerror(-err))
		   : 0;
}

void place_making_work(struct worker_job *job)
{
	struct place_making *making = container_of(job, struct place_making, job);

	making->err =
		making->tools->manager ? place_make_scope(making) : place_make_and_move(making);
}

/* --- removal */

struct place_removal *place_removal_new(const struct mirror_tools *tools, struct broker *broker,
					uint64_t id)
{
	struct place_removal *removal = calloc(1, sizeof(*removal));

	if (!removal)
		return NULL;
	removal->job.work = place_removal_work;
	removal->tools = tools;
	removal->broker = broker;
	removal->id = id;
	removal->fd = -1;
	return removal;
}

void place_removal_work(struct worker_job *job)
{
	struct place_removal *removal = container_of(job, struct place_removal, job);
	const struct cgm_tree *tree = removal->tools->tree;
	struct cgm_name name;

	removal->err = cgm_group_find(tree, removal->id, &name);
	/* Listened to before it is tried: nobody leaves unheard. */
	if (!removal->err && removal->listens && cgm_populated_open(tree, &name, &removal->fd))
		removal->fd = -1;
	if (!removal->err)
		removal->err = cgm_place_remove(tree, &name);
	if (removal->err != -EBUSY)
		fd_closep(&removal->fd);
}
