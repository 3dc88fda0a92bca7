/* SPDX-License-Identifier: MIT */
/*
 * The client's side of a grant, by system calls alone and the same for both daemons: they speak one
 * protocol. A process of its own asks, as a session lives with its process.
 */
#ifndef TESTS_BENCH_GRANT_H
#define TESTS_BENCH_GRANT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define GRANT_UID 1000 /* whose policy the benchmarks write */

/* Who asks, and whom. */
struct grant_client {
	const char *socket_path;
	uid_t uid; /* root would have to be refused: the kernel charges it nothing */
	const char *procs_path; /* cgroup.procs of the cgroup it moves to first; NULL: none */
};

/* Nanoseconds. */
struct grant_times {
	uint64_t latency; /* from socket(2) to the descriptor in hand */
	uint64_t cycle; /* from fork(2) to the end of the process */
};

/**
 * grant_measure() - one grant to a new process that exits at once
 *
 * Exits when it is refused.
 */
void grant_measure(const struct grant_client *client, struct grant_times *ret_times);

/* A process that holds sessions. */
struct grant_holder {
	pid_t pid;
	int hold_fd; /* owned; its end ends the process */
};

/* Exits when it gets fewer than n. first: of the names, which are all different. */
void grant_holder_start(const struct grant_client *client, size_t first, size_t n,
			struct grant_holder *ret_holder);

/* Gives the sessions back by ending the process. */
void grant_holder_stop(struct grant_holder *holder);

uint64_t grant_now_ns(void);

#endif
