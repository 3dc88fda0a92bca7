/* SPDX-License-Identifier: MIT */
#include "daemon/closer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "daemon/loop.h"

/* glibc's least, which close(2) does not come near. */
#define CLOSER_STACK ((size_t)128 * 1024)

#define CLOSER_DRAIN_MAX 16

/* What is next in a socket's queue. */
enum closer_head {
	CLOSER_END,
	CLOSER_PLAIN,
	CLOSER_DESCRIPTORS,
};

/* One socket. Shared by the closer and the thread: the last of the two frees it. */
struct closer_job {
	struct closer_job *next; /* struct closer::jobs */
	closer_done_fn done;
	void *arg;
	int fd; /* owned; in the thread's own table, too, once it has left ours */
	int slot_fd, event_fd; /* borrowed from the closer; duplicates in the thread's own table */
	bool started; /* there is a thread for it */
	sem_t left; /* posted when the thread has a table of its own, or cannot have one */
	bool leaving_failed;
	sem_t released; /* posted when the process has closed its descriptor: the thread's is last
			 */
	atomic_bool closed;
	atomic_int refs;
};

struct closer {
	struct loop *loop; /* borrowed */
	struct closer_job *jobs;
	struct closer_job *leaving; /* borrowed; whose thread is on its way out of our table */
	int event_fd; /* owned; written by a thread that has left or is done */
	/*
	 * Owned; what a thread takes along is put in here first. The number is low, and what is
	 * above need not be copied: with all connections of a busy broker that takes too long.
	 */
	int slot_fd;
	uint64_t watch;
};

static void closer_done(closer_done_fn done, void *arg)
{
	if (done)
		done(arg);
}

static void closer_job_unref(struct closer_job *job)
{
	if (atomic_fetch_sub(&job->refs, 1) != 1)
		return;
	(void)sem_destroy(&job->left); /* nobody waits on them any more */
	(void)sem_destroy(&job->released);
	free(job);
}

/* Everything but the two descriptors the thread needs. */
static void closer_drop_others(int a, int b)
{
	unsigned int low = (unsigned int)(a < b ? a : b), high = (unsigned int)(a < b ? b : a);

	/* Only references are dropped: the process still has all of these. */
	if (low > 0)
		(void)close_range(0, low - 1, 0);
	if (low + 1 < high)
		(void)close_range(low + 1, high - 1, 0);
	(void)close_range(high + 1, UINT_MAX, 0);
}

static void closer_wait(sem_t *sem)
{
	while (sem_wait(sem) < 0 && errno == EINTR)
		;
}

static void closer_tell(int event_fd)
{
	const uint64_t one = 1;

	if (write(event_fd, &one, sizeof(one)) < 0)
		(void)errno; /* the counter is full: the loop has been told */
}

static void *closer_thread(void *arg)
{
	struct closer_job *job = arg;
	int fd = job->slot_fd, event_fd = job->event_fd;

	job->leaving_failed = close_range((unsigned int)(fd > event_fd ? fd : event_fd) + 1,
					  UINT_MAX, CLOSE_RANGE_UNSHARE) < 0;
	if (job->leaving_failed) {
		(void)sem_post(&job->left); /* and no look at the job after this */
		return NULL;
	}
	(void)sem_post(&job->left);
	closer_tell(event_fd);
	closer_drop_others(fd, event_fd);
	closer_wait(&job->released); /* whoever closes last is the one who waits */
	fd_closep(&fd); /* may take for ever */
	atomic_store(&job->closed, true);
	closer_tell(event_fd);
	fd_closep(&event_fd);
	closer_job_unref(job);
	return NULL;
}

static int closer_spawn(struct closer_job *job)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	/* What was in it is somewhere else, too. */
	if (dup3(job->fd, job->slot_fd, O_CLOEXEC) < 0)
		return -errno;
	err = pthread_attr_init(&attr);

	if (err)
		return -err;
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED); /* a valid value */
	(void)pthread_attr_setstacksize(&attr, CLOSER_STACK); /* else the default: also fine */
	atomic_store(&job->refs, 2);
	err = pthread_create(&thread, &attr, closer_thread, job);
	(void)pthread_attr_destroy(&attr);
	if (err)
		atomic_store(&job->refs, 1); /* there is no thread */
	return -err;
}

/* The thread has left our table, or could not: then another has to try. */
static void closer_left(struct closer *closer)
{
	struct closer_job *job = STEAL(closer->leaving);

	(void)dup3(closer->event_fd, closer->slot_fd,
		   O_CLOEXEC); /* both are there: it cannot fail */
	if (job->leaving_failed) {
		atomic_store(&job->refs, 1);
		job->started = false;
		return;
	}
	fd_closep(&job->fd); /* not the last: the thread has one in its own table */
	(void)sem_post(&job->released);
}

/*
 * Goes on with what can; one thread leaves at a time. Nobody waits for it here: whoever sends
 * poison would stop the loop for that time.
 */
static void closer_start(struct closer *closer)
{
	if (closer->leaving && sem_trywait(&closer->leaving->left) == 0)
		closer_left(closer);
	if (closer->leaving)
		return;
	for (struct closer_job *job = closer->jobs; job; job = job->next) {
		if (job->started)
			continue;
		if (closer_spawn(job))
			return;
		job->started = true;
		closer->leaving = job;
		return;
	}
}

static void closer_ready(uint32_t events, void *arg)
{
	struct closer *closer = arg;
	struct closer_job **slot = &closer->jobs;
	uint64_t count;

	(void)events;
	if (read(closer->event_fd, &count, sizeof(count)) < 0)
		return;
	while (*slot) {
		struct closer_job *job = *slot;

		if (!atomic_load(&job->closed)) {
			slot = &job->next;
			continue;
		}
		*slot = job->next;
		closer_done(job->done, job->arg);
		closer_job_unref(job);
	}
	closer_start(closer);
}

int closer_new(struct loop *loop, struct closer **ret_closer)
{
	CLEANUP(freep) struct closer *closer = calloc(1, sizeof(*closer));
	int err;

	if (!closer)
		return -ENOMEM;
	closer->loop = loop;
	closer->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (closer->event_fd < 0)
		return -errno;
	closer->slot_fd = fcntl(closer->event_fd, F_DUPFD_CLOEXEC, 0);
	err = closer->slot_fd < 0 ? -errno
				  : loop_watch(loop, closer->event_fd, POLLIN, closer_ready, closer,
					       &closer->watch);
	if (err) {
		fd_closep(&closer->event_fd);
		fd_closep(&closer->slot_fd);
		return err;
	}
	*ret_closer = STEAL(closer);
	return 0;
}

void closer_free(struct closer *closer)
{
	if (!closer)
		return;
	if (closer->leaving) {
		closer_wait(&closer->leaving->left); /* or the last close would be ours */
		closer_left(closer);
	}
	while (closer->jobs) {
		struct closer_job *job = closer->jobs;

		closer->jobs = job->next;
		closer_done(job->done, job->arg);
		/* One that never got its thread stays open: the process is about to end anyway. */
		closer_job_unref(job);
	}
	loop_cancel(closer->loop, &closer->watch);
	fd_closep(&closer->event_fd);
	fd_closep(&closer->slot_fd);
	free(closer);
}

/*
 * The packet at the head of the queue, and whether it is without descriptors. Each packet has
 * credentials, so one without any is the end. Peeking drops no descriptor.
 */
static enum closer_head closer_peek(int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = sizeof(byte)};
	struct msghdr hdr = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &hdr, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 || (n == 0 && !hdr.msg_controllen))
		return CLOSER_END;
	return hdr.msg_flags & MSG_CTRUNC ? CLOSER_DESCRIPTORS : CLOSER_PLAIN;
}

/*
 * Takes what is without descriptors out of the queue, which cannot grow after shutdown(2). Bounded:
 * it is cheaper than a thread for a few packets only, and others wait.
 */
static bool closer_drain(int fd)
{
	(void)shutdown(fd, SHUT_RDWR); /* the peer may be gone already */
	for (int i = 0; i < CLOSER_DRAIN_MAX; i++) {
		enum closer_head head = closer_peek(fd);

		if (head != CLOSER_PLAIN)
			return head == CLOSER_END;
		(void)recv(fd, NULL, 0, MSG_DONTWAIT); /* the same one: nobody else reads */
	}
	return false;
}

static void closer_put(struct closer *closer, int fd, closer_done_fn done, void *arg)
{
	struct closer_job *job = calloc(1, sizeof(*job));

	if (!job) {
		/* No memory to be careful with: better one descriptor less than a loop that hangs.
		 */
		closer_done(done, arg);
		return;
	}
	*job = (struct closer_job){.next = closer->jobs,
				   .done = done,
				   .arg = arg,
				   .fd = fd,
				   .event_fd = closer->event_fd,
				   .slot_fd = closer->slot_fd,
				   .refs = 1};
	(void)sem_init(&job->left, 0, 0); /* 0 is a valid value: it cannot fail */
	(void)sem_init(&job->released, 0, 0);
	closer->jobs = job;
	closer_start(closer);
}

void closer_close(struct closer *closer, int fd, closer_done_fn done, void *arg)
{
	if (!closer_drain(fd)) {
		closer_put(closer, fd, done, arg);
		return;
	}
	fd_closep(&fd);
	closer_done(done, arg);
}

/*
 * A byte that is sent urgently (MSG_OOB) waits in the queue, too, with descriptors, and is passed
 * over when others are read: unless it is one of them.
 */
void closer_show_urgent(int fd)
{
	const int yes = 1;

	/* A kernel without urgent data has nothing to show. */
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &yes, sizeof(yes));
}

void closer_close_stream(struct closer *closer, int fd, closer_done_fn done, void *arg)
{
	char byte;

	closer_show_urgent(fd);
	(void)shutdown(fd, SHUT_RDWR); /* the peer may be gone already; nothing comes any more */
	if (recv(fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) > 0) {
		closer_put(closer, fd, done, arg);
		return;
	}
	fd_closep(&fd);
	closer_done(done, arg);
}

void closer_close_any(struct closer *closer, int fd)
{
	closer_put(closer, fd, NULL, NULL);
}
