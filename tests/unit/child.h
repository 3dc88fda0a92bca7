/* SPDX-License-Identifier: MIT */
/* A real process with a pidfd, for tests of what happens when one exits. */
#ifndef TESTS_UNIT_CHILD_H
#define TESTS_UNIT_CHILD_H

#include <sys/types.h>

struct child {
	pid_t pid;
	int pidfd; /* owned */
	int stop_fd; /* owned; the child lives until it is closed; -1: it ends by itself */
};

/* A process that does nothing and holds none of our descriptors, until child_end(). */
void child_start(struct child *ret_child);

/* A process that calls fn with our descriptors and exits with what it returns. */
void child_run(struct child *ret_child, int (*fn)(void *arg), void *arg);

/* Makes it exit; returns when its pidfd says so. It is a zombie then. */
void child_exit(struct child *child);

/* Makes it exit, reaps it and closes the pidfd. Returns its exit status, or -1 for a signal. */
int child_end(struct child *child);

#endif
