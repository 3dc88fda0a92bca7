/* SPDX-License-Identifier: MIT */
/* A daemon under measurement, as a process: started, looked at through /proc, and killed. */
#ifndef TESTS_BENCH_SERVER_H
#define TESTS_BENCH_SERVER_H

#include <stdint.h>
#include <sys/types.h>

struct server {
	const char *name;
	char socket_path[64];
	pid_t pid;
};

#define SERVER_DIRECTORY_SIZE 32

/* For daemons, clients and this program alike: a directory, and descriptors for all of them. */
void server_prepare(char ret_directory[static SERVER_DIRECTORY_SIZE]);

/**
 * server_start() - run a daemon until it can be connected to
 * @argv: ends with NULL; knows server->socket_path by itself
 * @log_path: where its standard error goes
 *
 * Exits when it does not come up.
 */
void server_start(struct server *server, char *const *argv, const char *log_path);

/**
 * server_start_broker() - as server_start(), pinbrokerd
 * @directory: where its files are
 * @config: the text of its configuration
 */
void server_start_broker(struct server *server, char *pinbrokerd, const char *directory,
			 const char *config);

void server_stop(struct server *server);

/* VmRSS in KiB. */
uint64_t server_rss_kib(const struct server *server);

/* How often its threads have gone to sleep so far: once for each time they were woken. */
uint64_t server_sleeps(const struct server *server);

#endif
