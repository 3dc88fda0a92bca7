/* SPDX-License-Identifier: MIT */
/*
 * The loop on io_uring. A watch is one request, armed again after each event: a poll that is done
 * once, or an accept that goes on (multishot). Requests reach the kernel with the next wait. The
 * time to wait is an argument of io_uring_enter(2) and no request.
 */
#include "daemon/loop_uring.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "daemon/loop_backend.h"

#define LOOP_SQ_ENTRIES 256
#define LOOP_CQ_ENTRIES 2048 /* more at once wait in the kernel (IORING_FEAT_NODROP) */

static int loop_uring_open(struct loop *loop)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED,
		.cq_entries = LOOP_CQ_ENTRIES,
	};
	CLEANUP(freep) struct loop_uring *uring = calloc(1, sizeof(*uring));
	int err;

	if (!uring)
		return -ENOMEM;
	err = io_uring_queue_init_params(LOOP_SQ_ENTRIES, &uring->ring, &params);
	if (err)
		return err;
	loop->impl = STEAL(uring);
	return 0;
}

/*
 * The ring does what is listed and nothing else from its first request on: no other operation, no
 * flag of a request (IOSQE_*: no links, no registered files), no io_uring_register(2). None of it
 * can be taken back. The thread that enables a ring of a SINGLE_ISSUER becomes the issuer.
 * Source: io_uring_register(2), IORING_REGISTER_RESTRICTIONS, Linux 5.10. The functions that
 * liburing 2.3 has for both are in its header but not in its library (axboe/liburing#773).
 */
static int loop_uring_start(struct loop *loop)
{
	static const uint8_t ops[] = {
		IORING_OP_POLL_ADD,
		IORING_OP_ACCEPT,
		IORING_OP_ASYNC_CANCEL,
	};
	struct loop_uring *uring = loop->impl;
	struct io_uring_restriction allowed[ARRAY_SIZE(ops)] = {{0}};
	int err;

	/* Without EXT_ARG liburing would make a timeout a request, which the ring refuses. */
	if (~uring->ring.features & (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG))
		return -ENOSYS;
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		allowed[i].opcode = IORING_RESTRICTION_SQE_OP;
		allowed[i].sqe_op = ops[i];
	}
	err = io_uring_register((unsigned int)uring->ring.ring_fd, IORING_REGISTER_RESTRICTIONS,
				allowed, ARRAY_SIZE(allowed));
	if (err)
		return err;
	return io_uring_register((unsigned int)uring->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS,
				 NULL, 0);
}

/* What was accepted and is still in the ring belongs to nobody. */
static void loop_uring_drain(struct loop_uring *uring)
{
	struct io_uring_cqe *cqe;

	while (io_uring_peek_cqe(&uring->ring, &cqe) == 0) {
		union loop_tag tag = {.u64 = io_uring_cqe_get_data64(cqe)};
		int res = cqe->res;

		io_uring_cqe_seen(&uring->ring, cqe);
		if (tag.op == LOOP_OP_ACCEPT && res >= 0)
			fd_closep(&res);
	}
}

static void loop_uring_close(struct loop *loop)
{
	struct loop_uring *uring = loop->impl;

	loop_uring_drain(uring);
	io_uring_queue_exit(&uring->ring);
	free(uring);
}

/*
 * The queue is emptied by submitting it; the kernel takes entries at once, or at the next try. NULL
 * when the ring fails, which ends loop_run().
 */
static struct io_uring_sqe *loop_uring_sqe(struct loop_uring *uring)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&uring->ring))) {
		int err = io_uring_submit(&uring->ring);

		if (err < 0 && err != -EBUSY && err != -EAGAIN && err != -EINTR) {
			uring->err = err;
			return NULL;
		}
	}
	return sqe;
}

static int loop_uring_arm(struct loop *loop, uint32_t slot)
{
	const struct loop_slot *s = &loop->slots[slot];
	struct loop_uring *uring = loop->impl;
	struct io_uring_sqe *sqe = loop_uring_sqe(uring);

	if (!sqe)
		return uring->err;
	if (s->op == LOOP_OP_ACCEPT)
		io_uring_prep_multishot_accept(sqe, s->fd, NULL, NULL,
					       SOCK_CLOEXEC | SOCK_NONBLOCK);
	else
		io_uring_prep_poll_add(sqe, s->fd, s->events);
	io_uring_sqe_set_data64(sqe, loop_tag_of(loop, slot).u64);
	return 0;
}

/*
 * Until the kernel has taken this back it holds a reference to the file behind fd: the caller may
 * close fd now, the file goes a moment later.
 */
static void loop_uring_disarm(struct loop *loop, uint32_t slot)
{
	struct io_uring_sqe *sqe = loop_uring_sqe(loop->impl);

	if (!sqe)
		return;
	io_uring_prep_cancel64(sqe, loop_tag_of(loop, slot).u64, 0);
	io_uring_sqe_set_data64(sqe, 0);
}

static void loop_uring_dispatch(struct loop *loop, union loop_tag tag, int res, uint32_t flags)
{
	bool armed = flags & IORING_CQE_F_MORE, there = true;

	if (!loop_slot_of(loop, tag)) {
		/* A connection that was accepted for a listener which is gone. */
		if (tag.op == LOOP_OP_ACCEPT && res >= 0)
			fd_closep(&res);
		return;
	}
	/* -ECANCELED not by us, ours has another generation by now: just arm it again. */
	if (res != -ECANCELED || armed)
		there = loop_call(loop, tag, tag.op == LOOP_OP_POLL && res < 0 ? POLLERR : res);
	if (!armed && there)
		(void)loop_uring_arm(loop, tag.slot); /* uring->err has it */
}

/*
 * Only what was complete at the beginning: handlers submit when the queue is full, and what
 * completes by that would keep those waiting that complete in io_uring_enter(2) alone. A copy of
 * each completion first: the ring's entries are reused by then.
 */
static void loop_uring_batch(struct loop *loop)
{
	struct loop_uring *uring = loop->impl;
	struct io_uring_cqe *cqe;

	for (unsigned int n = io_uring_cq_ready(&uring->ring); n && !loop->stopped; n--) {
		if (io_uring_peek_cqe(&uring->ring, &cqe) < 0)
			return;

		union loop_tag tag = {.u64 = io_uring_cqe_get_data64(cqe)};
		uint32_t flags = cqe->flags;
		int res = cqe->res;

		io_uring_cqe_seen(&uring->ring, cqe);
		loop_uring_dispatch(loop, tag, res, flags);
	}
}

/* What is complete is in the ring only after io_uring_enter(2), whether there is a wait or not. */
static int loop_uring_wait(struct io_uring *ring, uint64_t wait_ns)
{
	struct __kernel_timespec wait = {.tv_sec = (int64_t)(wait_ns / LOOP_NS_PER_S),
					 .tv_nsec = (long long)(wait_ns % LOOP_NS_PER_S)};
	struct io_uring_cqe *cqe; /* the first; the batch takes it */

	if (wait_ns == 0)
		return io_uring_submit_and_get_events(ring);
	if (wait_ns == LOOP_FOREVER)
		return io_uring_submit_and_wait(ring, 1);
	return io_uring_submit_and_wait_timeout(ring, &cqe, 1, &wait, NULL);
}

static int loop_uring_serve(struct loop *loop, uint64_t wait_ns)
{
	struct loop_uring *uring = loop->impl;
	int err = loop_uring_wait(&uring->ring, wait_ns);

	/* -EBUSY: completions wait in the kernel's overflow list; taking some makes room. */
	if (err < 0 && err != -ETIME && err != -EINTR && err != -EBUSY && err != -EAGAIN)
		return err;
	loop_uring_batch(loop);
	return uring->err;
}

const struct loop_backend loop_backend_uring = {
	.name = "io_uring",
	.open = loop_uring_open,
	.start = loop_uring_start,
	.close = loop_uring_close,
	.arm = loop_uring_arm,
	.disarm = loop_uring_disarm,
	.serve = loop_uring_serve,
};
