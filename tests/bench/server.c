/* SPDX-License-Identifier: MIT */
#include "tests/bench/server.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"

#define START_MS_MAX 30000
#define FDS_WANTED 65536

void server_prepare(char ret_directory[static SERVER_DIRECTORY_SIZE])
{
	const struct rlimit fds = {.rlim_cur = FDS_WANTED, .rlim_max = FDS_WANTED};

	if (setrlimit(RLIMIT_NOFILE, &fds) < 0)
		err(1, "RLIMIT_NOFILE");
	(void)snprintf(ret_directory, SERVER_DIRECTORY_SIZE, "/run/pinbroker-bench.XXXXXX");
	if (!mkdtemp(ret_directory) || chmod(ret_directory, 0755) < 0)
		err(1, "%s", ret_directory);
}

static bool server_answers(const struct server *server)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", server->socket_path);
	return fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

static void server_child(char *const *argv, const char *log_path)
{
	int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* not left behind when the benchmark fails */
	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(1);
	(void)execv(argv[0], argv);
	_exit(1); /* execv() failed */
}

void server_start(struct server *server, char *const *argv, const char *log_path)
{
	const struct timespec pause = {.tv_nsec = 10000000};

	server->pid = fork();
	if (server->pid < 0)
		err(1, "fork");
	if (server->pid == 0)
		server_child(argv, log_path);
	for (int ms = 0; !server_answers(server); ms += 10) {
		if (ms > START_MS_MAX || waitpid(server->pid, NULL, WNOHANG) != 0)
			errx(1, "%s did not start, see %s", argv[0], log_path);
		(void)nanosleep(&pause, NULL); /* sooner is fine */
	}
}

static void write_config(const char *path, const char *config)
{
	FILE *file = fopen(path, "we");

	if (!file)
		err(1, "%s", path);
	(void)fputs(config, file);
	if (fclose(file)) /* tells of everything before */
		err(1, "%s", path);
}

void server_start_broker(struct server *server, char *pinbrokerd, const char *directory,
			 const char *config)
{
	char *argv[] = {pinbrokerd, "--config", NULL, "--socket", server->socket_path, NULL};
	char path[64], log[64];

	(void)snprintf(path, sizeof(path), "%s/conf", directory); /* it is short */
	(void)snprintf(log, sizeof(log), "%s/log", directory);
	(void)snprintf(server->socket_path, sizeof(server->socket_path), "%s/broker", directory);
	write_config(path, config);
	argv[2] = path;
	server_start(server, argv, log);
}

void server_stop(struct server *server)
{
	(void)kill(server->pid, SIGKILL);
	(void)waitpid(server->pid, NULL, 0);
}

/* The number after a key of a status file. */
static uint64_t status_number(const char *path, const char *key)
{
	CLEANUP(file_closep) FILE *file = fopen(path, "re");
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, key, strlen(key)) == 0)
			return strtoull(line + strlen(key), NULL, 10);
	errx(1, "%s does not say '%s'", path, key);
}

uint64_t server_rss_kib(const struct server *server)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)server->pid);
	return status_number(path, "VmRSS:");
}

uint64_t server_sleeps(const struct server *server)
{
	CLEANUP(dir_closep) DIR *tasks = NULL;
	const struct dirent *entry;
	char path[512];
	uint64_t n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)server->pid);
	tasks = opendir(path);
	if (!tasks)
		err(1, "%s", path);
	while ((entry = readdir(tasks))) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)server->pid,
			       entry->d_name);
		n += status_number(path, "voluntary_ctxt_switches:");
	}
	return n;
}
