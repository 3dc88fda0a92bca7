/* SPDX-License-Identifier: MIT */
#include "daemon/worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "daemon/loop.h"

#define WORKER_STACK ((size_t)512 * 1024) /* paths of cgroups, several at a time; libraries */
#define WORKER_END_SECONDS 2

struct worker_queue {
	struct worker_job *first, **last;
};

struct worker {
	struct loop *loop; /* borrowed */
	int event_fd; /* owned; there is something in done */
	uint64_t watch;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t news;
	struct worker_queue todo, done;
	bool stop;
};

static void worker_append(struct worker_queue *queue, struct worker_job *job)
{
	job->next = NULL;
	*queue->last = job;
	queue->last = &job->next;
}

static struct worker_job *worker_shift(struct worker_queue *queue)
{
	struct worker_job *job = queue->first;

	if (!job)
		return NULL;
	queue->first = job->next;
	if (!queue->first)
		queue->last = &queue->first;
	return job;
}

/* Waits for the next job. NULL: no more. */
static struct worker_job *worker_take(struct worker *worker)
{
	struct worker_job *job = NULL;

	(void)pthread_mutex_lock(&worker->lock); /* a default mutex: it cannot fail */
	while (!worker->stop && !(job = worker_shift(&worker->todo)))
		(void)pthread_cond_wait(&worker->news, &worker->lock);
	(void)pthread_mutex_unlock(&worker->lock);
	return job;
}

static void worker_tell(struct worker *worker, struct worker_job *job)
{
	const uint64_t one = 1;

	(void)pthread_mutex_lock(&worker->lock);
	worker_append(&worker->done, job);
	(void)pthread_mutex_unlock(&worker->lock);
	if (write(worker->event_fd, &one, sizeof(one)) < 0)
		(void)errno; /* the counter is full: the loop has been told */
}

static void *worker_thread(void *arg)
{
	struct worker *worker = arg;
	struct worker_job *job;

	while ((job = worker_take(worker))) {
		job->work(job);
		worker_tell(worker, job);
	}
	return NULL;
}

static struct worker_job *worker_next_done(struct worker *worker)
{
	struct worker_job *job;

	(void)pthread_mutex_lock(&worker->lock);
	job = worker_shift(&worker->done);
	(void)pthread_mutex_unlock(&worker->lock);
	return job;
}

static void worker_ready(uint32_t events, void *arg)
{
	struct worker *worker = arg;
	struct worker_job *job;
	uint64_t count;

	(void)events;
	if (read(worker->event_fd, &count, sizeof(count)) < 0)
		return;
	while ((job = worker_next_done(worker)))
		job->done(job);
}

int worker_new(struct loop *loop, struct worker **ret_worker)
{
	CLEANUP(freep) struct worker *worker = calloc(1, sizeof(*worker));
	int err;

	if (!worker)
		return -ENOMEM;
	worker->loop = loop;
	worker->todo.last = &worker->todo.first;
	worker->done.last = &worker->done.first;
	worker->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->event_fd < 0)
		return -errno;
	err = loop_watch(loop, worker->event_fd, POLLIN, worker_ready, worker, &worker->watch);
	if (err) {
		fd_closep(&worker->event_fd);
		return err;
	}
	(void)pthread_mutex_init(&worker->lock, NULL); /* neither can fail without attributes */
	(void)pthread_cond_init(&worker->news, NULL);
	*ret_worker = STEAL(worker);
	return 0;
}

int worker_start(struct worker *worker)
{
	pthread_attr_t attr;
	int err = pthread_attr_init(&attr);

	if (err)
		return -err;
	(void)pthread_attr_setstacksize(&attr, WORKER_STACK); /* else the default: also fine */
	err = pthread_create(&worker->thread, &attr, worker_thread, worker);
	(void)pthread_attr_destroy(&attr);
	worker->started = !err;
	return -err;
}

void worker_put(struct worker *worker, struct worker_job *job)
{
	(void)pthread_mutex_lock(&worker->lock);
	worker_append(&worker->todo, job);
	(void)pthread_cond_signal(&worker->news);
	(void)pthread_mutex_unlock(&worker->lock);
}

/* Return: false: it is still at work. */
static bool worker_join(struct worker *worker)
{
	struct timespec until;

	(void)pthread_mutex_lock(&worker->lock);
	worker->stop = true;
	(void)pthread_cond_signal(&worker->news);
	(void)pthread_mutex_unlock(&worker->lock);
	if (!worker->started)
		return true;
	(void)clock_gettime(CLOCK_REALTIME, &until); /* cannot fail */
	until.tv_sec += WORKER_END_SECONDS;
	return pthread_timedjoin_np(worker->thread, NULL, &until) == 0;
}

static void worker_drop(struct worker_queue *queue, worker_fn drop)
{
	struct worker_job *job;

	while ((job = worker_shift(queue)))
		drop(job);
}

bool worker_free(struct worker *worker, worker_fn drop)
{
	if (!worker)
		return true;
	loop_cancel(worker->loop, &worker->watch);
	if (!worker_join(worker))
		return false;
	worker_drop(&worker->todo, drop);
	worker_drop(&worker->done, drop);
	fd_closep(&worker->event_fd);
	(void)pthread_cond_destroy(&worker->news);
	(void)pthread_mutex_destroy(&worker->lock);
	free(worker);
	return true;
}
