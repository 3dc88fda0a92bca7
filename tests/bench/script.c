/* SPDX-License-Identifier: MIT */
#include "tests/bench/script.h"

#include <err.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/bench/gate_lab.h"

#define SCRIPT "tests/bench/count.bt"
#define ENABLED "/sys/kernel/tracing/enabled_functions"
#define OUT_MAX 4096

/* Return: its pid; -1: there is no such program. */
static pid_t script_spawn(int out_fd, char *const argv[])
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int err;

	if (posix_spawn_file_actions_init(&actions) ||
	    posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO) ||
	    posix_spawn_file_actions_adddup2(&actions, out_fd, STDERR_FILENO))
		errx(1, "file actions");
	err = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	return err ? -1 : pid;
}

static int out_open(void)
{
	int fd = memfd_create("bpftrace", MFD_CLOEXEC);

	if (fd < 0)
		err(1, "memfd_create");
	return fd;
}

bool script_is_possible(void)
{
	char *const argv[] = {"bpftrace", "--version", NULL};
	CLEANUP(fd_closep) int out_fd = out_open();
	pid_t pid = script_spawn(out_fd, argv);
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* What it has written so far; static, for the caller to look at. */
static const char *script_text(const struct script *script)
{
	static char text[OUT_MAX];
	ssize_t len = pread(script->out_fd, text, sizeof(text) - 1, 0);

	text[len > 0 ? len : 0] = '\0';
	return text;
}

/* Of its two functions, so many have a program: what ends goes a moment later. */
static int script_n_attached(void)
{
	CLEANUP(file_closep) FILE *enabled = fopen(ENABLED, "re");
	char line[256];
	int n = 0;

	if (!enabled)
		err(1, ENABLED);
	while (fgets(line, sizeof(line), enabled))
		n += strncmp(line, "iopt_map_pages ", 15) == 0 ||
		     strncmp(line, "iopt_unmap_iova ", 16) == 0;
	return n;
}

struct script script_start(void)
{
	char *const argv[] = {"bpftrace", SCRIPT, NULL};
	struct script script = {.out_fd = out_open()};

	script.pid = script_spawn(script.out_fd, argv);
	if (script.pid < 0)
		err(1, "bpftrace");
	while (script_n_attached() < 2) {
		if (waitpid(script.pid, NULL, WNOHANG) != 0)
			errx(1, "%s: %s", SCRIPT, script_text(&script));
		lab_settle();
	}
	lab_settle();
	return script;
}

static uint64_t count_of(const char *text, const char *map)
{
	char key[64];
	const char *at;

	(void)snprintf(key, sizeof(key), "@%s[%d]: ", map, (int)getpid());
	at = strstr(text, key);
	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

struct script_counts script_stop(struct script *script)
{
	struct script_counts counts;
	int status;

	if (kill(script->pid, SIGINT) < 0 || waitpid(script->pid, &status, 0) < 0)
		err(1, "bpftrace");
	if (status != 0)
		errx(1, "%s: status %d: %s", SCRIPT, status, script_text(script));
	counts.mapped = count_of(script_text(script), "mapped");
	counts.unmapped = count_of(script_text(script), "unmapped");
	fd_closep(&script->out_fd);
	while (script_n_attached() > 0)
		lab_settle();
	return counts;
}
