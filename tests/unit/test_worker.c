/* SPDX-License-Identifier: MIT */
/* Jobs that a thread does, on either loop. One that blocks reads from a pipe. */
#include "daemon/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/faults.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

#define JOBS 200
#define FAULTS_MAX 100

/* A worker and what became of its jobs. */
struct shop {
	struct loop *loop;
	struct worker *worker;
	int n_fds; /* that were open before */
	pthread_t main;
	size_t n_worked; /* by the thread alone, until a job is told or the thread has ended */
	size_t n_done;
	size_t stop_at; /* the loop stops when as many are done */
	size_t n_dropped;
	sem_t begun; /* posted by a job before it waits */
};

struct task {
	struct worker_job job;
	struct shop *shop;
	size_t place; /* 1: worked first; 0: not at all */
	size_t told; /* likewise, as done */
	size_t dropped;
	unsigned int again; /* done() puts it again, as often */
	int wait_fd; /* borrowed: works until there is something to read; -1: does not wait */
};

static struct task *task_of(struct worker_job *job)
{
	return container_of(job, struct task, job);
}

static void task_work(struct worker_job *job)
{
	struct task *task = task_of(job);
	char byte;

	if (task->wait_fd >= 0) {
		(void)sem_post(&task->shop->begun); /* it cannot overflow */
		if (read(task->wait_fd, &byte, sizeof(byte)) != sizeof(byte))
			return;
	}
	if (!pthread_equal(pthread_self(), task->shop->main))
		task->place = ++task->shop->n_worked;
}

static void task_done(struct worker_job *job)
{
	struct task *task = task_of(job);
	struct shop *shop = task->shop;

	CU_ASSERT(pthread_equal(pthread_self(), shop->main));
	task->told = ++shop->n_done;
	if (task->again) {
		task->again--;
		worker_put(shop->worker, job);
	}
	if (shop->n_done == shop->stop_at)
		loop_stop(shop->loop);
}

static void task_drop(struct worker_job *job)
{
	struct task *task = task_of(job);

	task->dropped = ++task->shop->n_dropped;
}

/* With its again and wait_fd. */
static void task_put(struct shop *shop, struct task *task)
{
	*task = (struct task){.job = {.work = task_work, .done = task_done},
			      .shop = shop,
			      .again = task->again,
			      .wait_fd = task->wait_fd};
	worker_put(shop->worker, &task->job);
}

static void tasks_put(struct shop *shop, struct task *tasks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		tasks[i].again = 0;
		tasks[i].wait_fd = -1;
		task_put(shop, &tasks[i]);
	}
}

static bool shop_open(struct shop *shop)
{
	*shop = (struct shop){.main = pthread_self(), .n_fds = suite_count_fds()};
	if (!loop_fixture_init(&shop->loop))
		return false;
	CU_ASSERT_EQUAL_FATAL(worker_new(shop->loop, &shop->worker), 0);
	CU_ASSERT_EQUAL_FATAL(sem_init(&shop->begun, 0, 0), 0);
	return true;
}

/* Nothing is left of it. */
static void shop_close(struct shop *shop)
{
	loop_free(shop->loop);
	(void)sem_destroy(&shop->begun); /* nobody waits */
	CU_ASSERT_EQUAL(suite_count_fds(), shop->n_fds);
}

/* A job that is in the thread's hands until something is written to the pipe. */
static void task_put_blocking(struct shop *shop, struct task *task, int fd)
{
	*task = (struct task){.wait_fd = fd};
	task_put(shop, task);
	while (sem_wait(&shop->begun) < 0)
		CU_ASSERT_EQUAL_FATAL(errno, EINTR);
}

static void shop_run(struct shop *shop, size_t n_done)
{
	shop->stop_at = shop->n_done + n_done;
	CU_ASSERT_EQUAL(loop_run(shop->loop), 0);
	CU_ASSERT_EQUAL(shop->n_done, shop->stop_at);
}

static void order_is_that_of_putting(void)
{
	struct task tasks[JOBS];
	struct shop shop;

	if (!shop_open(&shop))
		return;
	tasks_put(&shop, tasks, JOBS / 2);
	CU_ASSERT_EQUAL(worker_start(shop.worker), 0);
	tasks_put(&shop, tasks + JOBS / 2, JOBS / 2);
	shop_run(&shop, JOBS);
	for (size_t i = 0; i < JOBS; i++) {
		CU_ASSERT_EQUAL(tasks[i].place, i + 1);
		CU_ASSERT_EQUAL(tasks[i].told, i + 1);
	}
	CU_ASSERT_TRUE(worker_free(shop.worker, task_drop));
	CU_ASSERT_EQUAL(shop.n_dropped, 0);
	shop_close(&shop);
}

/* A sandbox is entered in between, which the thread is to have. */
static void nothing_is_done_before_the_start(void)
{
	struct task tasks[2];
	struct shop shop;
	struct spot spot;

	if (!shop_open(&shop))
		return;
	tasks_put(&shop, tasks, 2);
	spot_init(&spot, shop.loop, true);
	spot.stop_at = 3;
	spot_watch(&spot);
	CU_ASSERT_EQUAL(loop_run(shop.loop), 0);
	CU_ASSERT_EQUAL(shop.n_worked, 0);
	CU_ASSERT_EQUAL(shop.n_done, 0);
	spot_fini(&spot);
	CU_ASSERT_EQUAL(worker_start(shop.worker), 0);
	shop_run(&shop, 2);
	CU_ASSERT_EQUAL(shop.n_worked, 2);
	CU_ASSERT_TRUE(worker_free(shop.worker, task_drop));
	shop_close(&shop);
}

static void job_may_be_put_again_when_done(void)
{
	struct task task = {.again = 3, .wait_fd = -1};
	struct shop shop;

	if (!shop_open(&shop))
		return;
	CU_ASSERT_EQUAL(worker_start(shop.worker), 0);
	task_put(&shop, &task);
	shop_run(&shop, 4);
	CU_ASSERT_EQUAL(shop.n_worked, 4);
	CU_ASSERT_TRUE(worker_free(shop.worker, task_drop));
	shop_close(&shop);
}

/* What else the loop has to do is done while a job blocks. */
static void job_that_blocks_delays_nobody(void)
{
	int pipe_fds[2];
	struct task task;
	struct shop shop;
	struct spot spot;

	if (!shop_open(&shop))
		return;
	CU_ASSERT_EQUAL_FATAL(pipe2(pipe_fds, O_CLOEXEC), 0);
	CU_ASSERT_EQUAL(worker_start(shop.worker), 0);
	task_put_blocking(&shop, &task, pipe_fds[0]);
	spot_init(&spot, shop.loop, true);
	spot.stop_at = 100;
	spot_watch(&spot);
	CU_ASSERT_EQUAL(loop_run(shop.loop), 0);
	CU_ASSERT_EQUAL(spot.n_calls, 100);
	CU_ASSERT_EQUAL(shop.n_done, 0);
	spot_fini(&spot);
	CU_ASSERT_EQUAL(write(pipe_fds[1], "x", 1), 1);
	shop_run(&shop, 1);
	CU_ASSERT_TRUE(worker_free(shop.worker, task_drop));
	fd_closep(&pipe_fds[0]);
	fd_closep(&pipe_fds[1]);
	shop_close(&shop);
}

/* Whether it was worked on or not: nobody is told any more, and each is given up once. */
static void end_drops_what_is_left(void)
{
	for (int started = 0; started < 2; started++) {
		struct task tasks[JOBS];
		struct shop shop;

		if (!shop_open(&shop))
			return;
		if (started)
			CU_ASSERT_EQUAL(worker_start(shop.worker), 0);
		tasks_put(&shop, tasks, JOBS);
		CU_ASSERT_TRUE(worker_free(shop.worker, task_drop));
		CU_ASSERT_EQUAL(shop.n_done, 0);
		CU_ASSERT_EQUAL(shop.n_dropped, JOBS);
		if (!started)
			CU_ASSERT_EQUAL(shop.n_worked, 0);
		for (size_t i = 0; i < JOBS; i++)
			CU_ASSERT(tasks[i].dropped && !tasks[i].told);
		shop_close(&shop);
	}
}

/* The two seconds that it may take pass at once. */
static void end_does_not_wait_for_ever(void)
{
	struct task tasks[2];
	struct shop shop;
	int pipe_fds[2];

	if (!shop_open(&shop))
		return;
	CU_ASSERT_EQUAL_FATAL(pipe2(pipe_fds, O_CLOEXEC), 0);
	CU_ASSERT_EQUAL(worker_start(shop.worker), 0);
	task_put_blocking(&shop, &tasks[0], pipe_fds[0]);
	tasks_put(&shop, tasks + 1, 1);
	fake_clock_add(CLOCK_REALTIME, -2000);
	CU_ASSERT_FALSE(worker_free(shop.worker, task_drop));
	fake_clock_reset();
	CU_ASSERT_EQUAL(shop.n_dropped, 0); /* it is still the thread's */
	CU_ASSERT_EQUAL(write(pipe_fds[1], "x", 1), 1);
	CU_ASSERT_TRUE(worker_free(shop.worker, task_drop)); /* the thread has ended, or does */
	CU_ASSERT_EQUAL(shop.n_dropped, 2);
	CU_ASSERT_EQUAL(shop.n_done, 0);
	fd_closep(&pipe_fds[0]);
	fd_closep(&pipe_fds[1]);
	shop_close(&shop);
}

static void nothing_is_left_when_memory_runs_out(void)
{
	int n_fds = suite_count_fds();
	unsigned int nth = 0;
	struct worker *worker;
	struct loop *loop;
	int err;

	if (!loop_fixture_init(&loop))
		return;
	do {
		faults_arm(++nth, ENOMEM);
		err = worker_new(loop, &worker);
		if (!faults_disarm())
			break;
		CU_ASSERT_EQUAL(err, -ENOMEM);
	} while (err && nth < FAULTS_MAX);
	CU_ASSERT_EQUAL(err, 0);
	CU_ASSERT(nth > 1);
	CU_ASSERT_TRUE(worker_free(worker, task_drop));
	CU_ASSERT_TRUE(worker_free(NULL, task_drop));
	loop_free(loop);
	CU_ASSERT_EQUAL(suite_count_fds(), n_fds);
}

#define TESTS(X)                                                                         \
	X(order_is_that_of_putting, "jobs are done as they were put, told in the loop")  \
	X(nothing_is_done_before_the_start, "what is put before the start waits for it") \
	X(job_may_be_put_again_when_done, "a job may be put again when it is done")      \
	X(job_that_blocks_delays_nobody, "a job that blocks delays nobody")              \
	X(end_drops_what_is_left, "the end gives up what is left, each once")            \
	X(end_does_not_wait_for_ever, "the end does not wait for ever")                  \
	X(nothing_is_left_when_memory_runs_out, "without memory nothing is left")

TESTS(LOOP_FIXTURE_DEFINE)

static const CU_TestInfo tests[] = {TESTS(LOOP_FIXTURE_ROWS) CU_TEST_INFO_NULL};

const struct suite suite_worker = {"worker", tests};
