/* SPDX-License-Identifier: MIT */
/*
 * The worker: one thread for what may block, so that the loop never does. It takes one job after
 * the other, in the order they were put; what a job found is told in the loop.
 *
 * A job has nothing of the broker's: what it needs is copied into it, and it is nobody else's until
 * it is done.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include <stdbool.h>

struct loop;
struct worker;
struct worker_job;

typedef void (*worker_fn)(struct worker_job *job);

/* Embedded in what it is about. */
struct worker_job {
	struct worker_job *next; /* of the worker's */
	worker_fn work; /* in the thread */
	worker_fn done; /* in the loop; frees it, or puts it again */
};

int worker_new(struct loop *loop, struct worker **ret_worker);

/**
 * worker_start() - begin with what was put, and with what comes
 *
 * After sandbox_enter(): the thread has what this one has by then. Return: 0; -errno.
 */
int worker_start(struct worker *worker);

/* Never fails; before worker_start() it waits. */
void worker_put(struct worker *worker, struct worker_job *job);

/**
 * worker_free() - ends the thread, and gives up the jobs
 * @drop: called for each job that is not in hand
 *
 * The one in hand is waited for, for two seconds at most: if it blocks for longer it, the thread
 * and the worker are left to the end of the process, which must come next. NULL is
 * fine.
 *
 * Return: false: that is so.
 */
bool worker_free(struct worker *worker, worker_fn drop);

#endif
