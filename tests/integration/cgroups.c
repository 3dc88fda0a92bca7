/* SPDX-License-Identifier: MIT */
/*
 * What cgroup/ does, from a shell: cgroups [--confined] COMMAND [ARG]...; confined is with the
 * daemon's filter of system calls, from the moment on at which the daemon has it.
 *
 *   host                        sizes of huge pages, and whether they are memory
 *   name PATH                   its id
 *   find ID                     where it is
 *   limits PATH
 *   usage PATH
 *   set PATH KEY VALUE          "set N": what was written
 *   replaced PATH KEY VALUE     likewise, behind a line of input
 *   processes PATH
 *   place PATH [PID]...
 *   make PATH, remove PATH, move PATH PID
 *   events PATH                 says "ready", and what there is after each change or line of input
 *   pressure PATH STALL_MS      says "ready", and "pressure" once
 *   cost PATH N                 microseconds of each call, the median of N
 *   unit PATH                   and again for each line of input
 *   property UNIT KEY VALUE
 *   scope UNIT SLICE PID
 *
 * KEY is a number of enum cgm_key. Where a call fails it says the error, as ENOENT, and exits with
 * 1.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cgroup/group.h"
#include "cgroup/manager.h"
#include "cgroup/place.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/sandbox_calls.h"

static struct cgm_tree *tree;

static int name_of(const char *path, struct cgm_name *ret_name)
{
	return cgm_group_name(tree, path, ret_name);
}

static int number(const char *text)
{
	return (int)strtol(text, NULL, 10);
}

static uint64_t value_of(const char *text)
{
	return strcmp(text, "max") == 0 ? CGM_NO_LIMIT : strtoull(text, NULL, 0);
}

static void say(const char *key, uint64_t value)
{
	if (value == CGM_NO_LIMIT)
		printf("%s max\n", key);
	else
		printf("%s %" PRIu64 "\n", key, value);
}

static int host(char **args)
{
	uint64_t sizes[CGM_HUGE_MAX];
	size_t n = cgm_tree_huge_sizes(tree, sizes);

	(void)args;
	for (size_t i = 0; i < n; i++)
		say("huge", sizes[i]);
	say("huge-in-memory", cgm_tree_huge_in_memory(tree));
	return 0;
}

static int name(char **args)
{
	struct cgm_name group;
	int error = name_of(args[0], &group);

	if (!error)
		printf("%" PRIu64 "\n", group.id);
	return error;
}

static int find(char **args)
{
	struct cgm_name group;
	int error = cgm_group_find(tree, strtoull(args[0], NULL, 0), &group);

	if (!error)
		puts(group.path);
	return error;
}

static int limits(char **args)
{
	struct cgm_limits all;
	struct cgm_name group;
	int error = name_of(args[0], &group);

	if (!error)
		error = cgm_group_limits(tree, &group, &all);
	for (enum cgm_key key = 0; !error && key < CGM_KEYS; key++) {
		char text[32];

		if (!all.known[key])
			continue;
		cgm_key_name(tree, key, text);
		say(text, all.value[key]);
	}
	return error;
}

static int usage(char **args)
{
	struct cgm_usage all;
	struct cgm_name group;
	int error = name_of(args[0], &group);

	if (!error)
		error = cgm_group_usage(tree, &group, &all);
	if (error)
		return error;
	say("current", all.current);
	say("anon", all.anon);
	say("shmem", all.shmem);
	say("huge", all.huge[0]);
	return 0;
}

static int set_name(const struct cgm_name *group, char **args)
{
	uint64_t value;
	int error = cgm_group_set(tree, group, (enum cgm_key)number(args[1]), value_of(args[2]),
				  &value);

	if (!error)
		say("set", value);
	return error;
}

static int set(char **args)
{
	struct cgm_name group;
	int error = name_of(args[0], &group);

	return error ? error : set_name(&group, args);
}

/* Until somebody says that the cgroup at the path is another one now, or none. */
static int replaced(char **args)
{
	struct cgm_name group;
	int error = name_of(args[0], &group);

	puts("ready");
	(void)fflush(stdout);
	(void)getchar();
	return error ? error : set_name(&group, args);
}

static bool process_say(pid_t pid, void *arg)
{
	(void)arg;
	printf("%d\n", (int)pid);
	return true;
}

static int processes(char **args)
{
	struct cgm_name group;
	int error = name_of(args[0], &group);

	return error ? error : cgm_group_processes(tree, &group, process_say, NULL);
}

static int place(char **args)
{
	struct cgm_place found;
	pid_t pids[64];
	size_t n = 0;
	char text[512];
	int error;

	for (; args[1 + n] && n < ARRAY_SIZE(pids); n++)
		pids[n] = (pid_t)number(args[1 + n]);
	error = cgm_place_find(tree, args[0], pids, n, &found);
	if (error)
		return error;
	cgm_place_reason(&found, text, sizeof(text));
	puts(text);
	for (size_t i = 0; i < found.n_above; i++)
		printf("above %s\n", found.above[i].path);
	cgm_place_fini(&found);
	return 0;
}

static int make(char **args)
{
	struct cgm_name group;
	int error = cgm_place_make(tree, args[0], &group);

	if (!error)
		printf("%" PRIu64 "\n", group.id);
	return error;
}

static int drop(char **args)
{
	struct cgm_name group;
	int error = name_of(args[0], &group);

	return error ? error : cgm_place_remove(tree, &group);
}

static int move(char **args)
{
	struct cgm_name group;
	int error = name_of(args[0], &group);

	return error ? error : cgm_place_move(tree, &group, (pid_t)number(args[1]));
}

/* What there is to a descriptor, or a line of input. */
static short poll_once(int fd)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLPRI},
			       {.fd = STDIN_FILENO, .events = POLLIN}};

	if (poll(fds, ARRAY_SIZE(fds), 60000) < 1)
		errx(1, "nothing happens");
	if (fds[1].revents)
		(void)getchar();
	return fds[0].revents;
}

static int events(char **args)
{
	CLEANUP(fd_closep) int fd = -1;
	struct cgm_events now;
	struct cgm_name group;
	int error = name_of(args[0], &group);

	if (!error)
		error = cgm_events_open(tree, &group, &fd);
	if (!error)
		error = cgm_events_read(fd, &now);
	for (const char *word = "ready"; !error; word = "changed") {
		printf("%s max %" PRIu64 " oom %" PRIu64 " oom_kill %" PRIu64 "\n", word, now.max,
		       now.oom, now.oom_kill);
		(void)fflush(stdout);
		(void)poll_once(fd);
		error = cgm_events_read(fd, &now);
	}
	return error;
}

static int pressure(char **args)
{
	CLEANUP(fd_closep) int fd = -1;
	struct cgm_name group;
	int error = name_of(args[0], &group);

	if (!error)
		error = cgm_pressure_open(tree, &group, (unsigned int)number(args[1]), &fd);
	if (error)
		return error;
	puts("ready");
	(void)fflush(stdout);
	puts(poll_once(fd) & POLLERR ? "gone" : "pressure");
	return 0;
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* What is timed; each with the same cgroup. */
static int cost_limits(const struct cgm_name *group)
{
	struct cgm_limits all;

	return cgm_group_limits(tree, group, &all);
}

static int cost_usage(const struct cgm_name *group)
{
	struct cgm_usage all;

	return cgm_group_usage(tree, group, &all);
}

static int cost_set_min(const struct cgm_name *group)
{
	uint64_t value;

	return cgm_group_set(tree, group, CGM_MEMORY_MIN, 1 << 20, &value);
}

static int cost_set_max(const struct cgm_name *group)
{
	uint64_t value;

	return cgm_group_set(tree, group, CGM_MEMORY_MAX, 1 << 30, &value);
}

static int cost_find(const struct cgm_name *group)
{
	struct cgm_name found;

	return cgm_group_find(tree, group->id, &found);
}

static int cost_place(const struct cgm_name *group)
{
	struct cgm_place found;
	int error = cgm_place_find(tree, group->path, NULL, 0, &found);

	if (!error)
		cgm_place_fini(&found);
	return error;
}

static bool process_pass(pid_t pid, void *arg)
{
	(void)pid;
	(void)arg;
	return true;
}

/* Of the whole hierarchy. */
static int cost_walk(const struct cgm_name *group)
{
	struct cgm_name root;
	int error = name_of("/", &root);

	(void)group;
	return error ? error : cgm_group_processes(tree, &root, process_pass, NULL);
}

static int cost(char **args)
{
	static const struct {
		const char *name;
		int (*call)(const struct cgm_name *group);
	} calls[] = {
		{"limits", cost_limits},   {"usage", cost_usage}, {"set-min", cost_set_min},
		{"set-max", cost_set_max}, {"find", cost_find},   {"place", cost_place},
		{"walk", cost_walk},
	};
	const size_t n = strtoull(args[1], NULL, 0);
	CLEANUP(freep) uint64_t *ns = calloc(n, sizeof(*ns));
	struct cgm_name group;
	int error = ns ? name_of(args[0], &group) : -ENOMEM;

	for (size_t i = 0; !error && i < ARRAY_SIZE(calls); i++) {
		for (size_t j = 0; !error && j < n; j++) {
			const uint64_t start = clock_ns(CLOCK_MONOTONIC);

			error = calls[i].call(&group);
			ns[j] = clock_ns(CLOCK_MONOTONIC) - start;
		}
		qsort(ns, n, sizeof(*ns), compare);
		if (!error)
			say(calls[i].name, ns[n / 2] / 1000);
	}
	return error;
}

static int with_manager(int (*ask)(struct cgm_manager *manager, char **args), char **args)
{
	CLEANUP(cgm_manager_freep) struct cgm_manager *manager = NULL;
	int error = cgm_manager_new(&manager);

	return error ? error : ask(manager, args);
}

/* Once, and again for each line of input. */
static int ask_unit(struct cgm_manager *manager, char **args)
{
	char text[CGM_UNIT_MAX];
	struct cgm_name group;
	int error = name_of(args[0], &group);

	do {
		if (!error)
			error = cgm_manager_unit(manager, &group, text);
		if (!error)
			puts(text);
		(void)fflush(stdout);
	} while (!error && getchar() != EOF);
	return error;
}

static int unit(char **args)
{
	return with_manager(ask_unit, args);
}

static int ask_property(struct cgm_manager *manager, char **args)
{
	return cgm_manager_set(manager, args[0], (enum cgm_key)number(args[1]), value_of(args[2]));
}

static int property(char **args)
{
	return with_manager(ask_property, args);
}

static int ask_scope(struct cgm_manager *manager, char **args)
{
	return cgm_manager_scope(manager, args[0], args[1], (pid_t)number(args[2]));
}

static int scope(char **args)
{
	return with_manager(ask_scope, args);
}

static void confine(void)
{
	scmp_filter_ctx filter;

	if (sandbox_calls_filter(false, &filter) || seccomp_load(filter))
		errx(2, "no filter");
	seccomp_release(filter);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int n_args; /* at least */
		int (*call)(char **args);
	} commands[] = {
		{"host", 0, host},         {"name", 1, name},           {"find", 1, find},
		{"limits", 1, limits},     {"usage", 1, usage},         {"set", 3, set},
		{"replaced", 3, replaced}, {"processes", 1, processes}, {"place", 1, place},
		{"make", 1, make},         {"remove", 1, drop},         {"move", 2, move},
		{"events", 1, events},     {"pressure", 2, pressure},   {"cost", 2, cost},
		{"unit", 1, unit},         {"property", 3, property},   {"scope", 3, scope},
	};
	const bool confined = argc > 1 && strcmp(argv[1], "--confined") == 0;
	char **args = argv + 1 + confined;
	int (*call)(char **args) = NULL;
	int error;

	for (size_t i = 0; args[0] && !call && i < ARRAY_SIZE(commands); i++)
		if (strcmp(args[0], commands[i].name) == 0 &&
		    argc - (args - argv) - 1 >= commands[i].n_args)
			call = commands[i].call;
	if (!call)
		errx(2, "what?");
	error = cgm_tree_open(&tree);
	if (!error && confined)
		confine();
	if (!error)
		error = call(args + 1);
	cgm_tree_close(tree);
	if (error)
		puts(strerrorname_np(-error));
	return error ? 1 : 0;
}
