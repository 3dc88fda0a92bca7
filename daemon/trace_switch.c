/* SPDX-License-Identifier: MIT */
#include "daemon/trace_switch.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include "bpf/tracer.h"
#include "common/cleanup.h"
#include "daemon/loop.h"

struct trace_switch {
	struct loop *loop; /* borrowed */
	struct tracer *tracer; /* borrowed */
	trace_switch_fn done;
	void *arg;
	uint64_t watch;
	pthread_t thread;
	int event_fd; /* owned; written by the thread when it is done */
	bool turning; /* there is a thread */
	bool on; /* this and the next one: the thread's until it is done */
	int err;
};

static void *trace_switch_thread(void *arg)
{
	struct trace_switch *turn = arg;
	const uint64_t one = 1;

	turn->err = 0;
	if (turn->on)
		turn->err = tracer_attach(turn->tracer);
	else
		tracer_detach(turn->tracer);
	if (write(turn->event_fd, &one, sizeof(one)) < 0)
		(void)errno; /* the counter is not full: one turn at a time */
	return NULL;
}

static void trace_switch_join(struct trace_switch *turn)
{
	(void)pthread_join(turn->thread, NULL); /* there is one, and it is not this one */
	turn->turning = false;
}

static void trace_switch_ready(uint32_t events, void *arg)
{
	struct trace_switch *turn = arg;
	uint64_t count;

	(void)events;
	if (read(turn->event_fd, &count, sizeof(count)) < 0)
		return;
	trace_switch_join(turn); /* it has nothing left to do */
	turn->done(turn->err, turn->arg);
}

int trace_switch_new(struct loop *loop, struct tracer *tracer, trace_switch_fn done, void *arg,
		     struct trace_switch **ret_switch)
{
	CLEANUP(freep) struct trace_switch *turn = calloc(1, sizeof(*turn));
	int err;

	if (!turn)
		return -ENOMEM;
	*turn = (struct trace_switch){
		.loop = loop, .tracer = tracer, .done = done, .arg = arg, .watch = LOOP_NONE};
	turn->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (turn->event_fd < 0)
		return -errno;
	err = loop_watch(loop, turn->event_fd, POLLIN, trace_switch_ready, turn, &turn->watch);
	if (err) {
		fd_closep(&turn->event_fd);
		return err;
	}
	*ret_switch = STEAL(turn);
	return 0;
}

void trace_switch_free(struct trace_switch *turn)
{
	if (!turn)
		return;
	if (turn->turning)
		trace_switch_join(turn);
	loop_cancel(turn->loop, &turn->watch);
	fd_closep(&turn->event_fd);
	free(turn);
}

int trace_switch_turn(struct trace_switch *turn, bool on)
{
	int err;

	assert(!turn->turning);
	turn->on = on;
	err = pthread_create(&turn->thread, NULL, trace_switch_thread, turn);
	turn->turning = !err;
	return -err;
}
