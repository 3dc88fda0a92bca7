/* SPDX-License-Identifier: MIT */
#include "daemon/loop.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define LOOP_SQ_ENTRIES 256
#define LOOP_CQ_ENTRIES 2048 /* more at once wait in the kernel (IORING_FEAT_NODROP) */

enum loop_op {
	LOOP_OP_NONE, /* a free slot; of a completion: nobody waits for it */
	LOOP_OP_POLL,
	LOOP_OP_ACCEPT,
};

/* sqe->user_data, and the number of a watch. */
union loop_tag {
	uint64_t u64;
	struct {
		uint32_t slot;
		uint32_t gen : 24, op : 8;
	};
};
static_assert(sizeof(union loop_tag) == 8, "fits user_data");

struct loop_slot {
	uint32_t gen : 24, op : 8;
	int fd; /* borrowed from whoever watches */
	uint32_t events;
	uint32_t next_free;
	union {
		loop_ready_fn ready;
		loop_accept_fn accept;
	} fn;
	void *arg;
};

struct loop {
	struct io_uring ring;
	struct loop_slot *slots;
	uint32_t n_slots;
	uint32_t free; /* first free slot; n_slots: none */
	bool stopped;
};

int loop_new(struct loop **ret_loop)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN,
		.cq_entries = LOOP_CQ_ENTRIES,
	};
	CLEANUP(freep) struct loop *loop = calloc(1, sizeof(*loop));
	int err;

	if (!loop)
		return -ENOMEM;
	err = io_uring_queue_init_params(LOOP_SQ_ENTRIES, &loop->ring, &params);
	if (err)
		return err;
	if (!(params.features & IORING_FEAT_NODROP)) {
		io_uring_queue_exit(&loop->ring);
		return -ENOSYS;
	}
	*ret_loop = STEAL(loop);
	return 0;
}

/* What was accepted and is still in the ring belongs to nobody. */
static void loop_drain(struct loop *loop)
{
	struct io_uring_cqe *cqe;

	while (io_uring_peek_cqe(&loop->ring, &cqe) == 0) {
		union loop_tag tag = {.u64 = io_uring_cqe_get_data64(cqe)};
		int res = cqe->res;

		io_uring_cqe_seen(&loop->ring, cqe);
		if (tag.op == LOOP_OP_ACCEPT && res >= 0)
			fd_closep(&res);
	}
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	loop_drain(loop);
	io_uring_queue_exit(&loop->ring);
	free(loop->slots);
	free(loop);
}

void loop_freep(struct loop **loop)
{
	loop_free(*loop);
}

/* The queue is emptied by submitting it; the kernel takes entries at once. */
static struct io_uring_sqe *loop_sqe(struct loop *loop)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&loop->ring)))
		(void)io_uring_submit(&loop->ring); /* -EBUSY, -EAGAIN: taken at the next try */
	return sqe;
}

static union loop_tag loop_tag_of(const struct loop *loop, uint32_t slot)
{
	return (union loop_tag){
		.slot = slot, .gen = loop->slots[slot].gen, .op = loop->slots[slot].op};
}

/* Queues the request of a slot; it reaches the kernel with the next wait. */
static void loop_arm(struct loop *loop, uint32_t slot)
{
	const struct loop_slot *s = &loop->slots[slot];
	struct io_uring_sqe *sqe = loop_sqe(loop);

	if (s->op == LOOP_OP_ACCEPT)
		io_uring_prep_multishot_accept(sqe, s->fd, NULL, NULL,
					       SOCK_CLOEXEC | SOCK_NONBLOCK);
	else
		io_uring_prep_poll_add(sqe, s->fd, s->events);
	io_uring_sqe_set_data64(sqe, loop_tag_of(loop, slot).u64);
}

static int loop_grow(struct loop *loop)
{
	uint32_t n = loop->n_slots ? loop->n_slots * 2 : 64;
	struct loop_slot *slots = reallocarray(loop->slots, n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (uint32_t i = loop->n_slots; i < n; i++)
		slots[i] = (struct loop_slot){.fd = -1, .next_free = i + 1};
	loop->slots = slots;
	loop->n_slots = n;
	return 0;
}

static int loop_slot_take(struct loop *loop, const struct loop_slot *filled, uint64_t *ret_watch)
{
	uint32_t slot = loop->free;

	if (slot == loop->n_slots) {
		int err = loop_grow(loop);

		if (err)
			return err;
	}

	struct loop_slot *s = &loop->slots[slot];
	uint32_t gen = s->gen;

	loop->free = s->next_free;
	*s = *filled;
	s->gen = gen;
	loop_arm(loop, slot);
	*ret_watch = loop_tag_of(loop, slot).u64; /* op is not 0, hence never LOOP_NONE */
	return 0;
}

int loop_watch(struct loop *loop, int fd, uint32_t events, loop_ready_fn fn, void *arg,
	       uint64_t *ret_watch)
{
	struct loop_slot slot = {
		.op = LOOP_OP_POLL, .fd = fd, .events = events, .fn.ready = fn, .arg = arg};

	return loop_slot_take(loop, &slot, ret_watch);
}

int loop_accept(struct loop *loop, int fd, loop_accept_fn fn, void *arg, uint64_t *ret_watch)
{
	struct loop_slot slot = {.op = LOOP_OP_ACCEPT, .fd = fd, .fn.accept = fn, .arg = arg};

	return loop_slot_take(loop, &slot, ret_watch);
}

/* The slot that a tag names, if it still is the same watch. */
static struct loop_slot *loop_slot_of(const struct loop *loop, union loop_tag tag)
{
	struct loop_slot *s;

	if (tag.op == LOOP_OP_NONE || tag.slot >= loop->n_slots)
		return NULL;
	s = &loop->slots[tag.slot];
	return s->op == tag.op && s->gen == tag.gen ? s : NULL;
}

void loop_cancel(struct loop *loop, uint64_t *watch)
{
	union loop_tag tag = {.u64 = *watch};
	struct loop_slot *s = loop_slot_of(loop, tag);

	*watch = LOOP_NONE;
	if (!s)
		return;

	/*
	 * Until the kernel has taken this back it holds a reference to the file behind fd: the
	 * caller may close fd now, the file goes a moment later.
	 */
	struct io_uring_sqe *sqe = loop_sqe(loop);

	io_uring_prep_cancel64(sqe, tag.u64, 0);
	io_uring_sqe_set_data64(sqe, 0);
	*s = (struct loop_slot){.gen = s->gen + 1, .fd = -1, .next_free = loop->free};
	loop->free = tag.slot;
}

/* Handlers may add watches, and slots may move: nothing of the slot is used after the call. */
static void loop_dispatch(struct loop *loop, union loop_tag tag, int res, uint32_t flags)
{
	const struct loop_slot *s = loop_slot_of(loop, tag);
	bool armed = flags & IORING_CQE_F_MORE;

	if (!s) {
		/* A connection that was accepted for a listener which is gone. */
		if (tag.op == LOOP_OP_ACCEPT && res >= 0)
			fd_closep(&res);
		return;
	}
	if (res == -ECANCELED && !armed) {
		loop_arm(loop, tag.slot); /* not by us: ours has another generation by now */
		return;
	}
	if (s->op == LOOP_OP_ACCEPT)
		s->fn.accept(res, s->arg);
	else
		s->fn.ready(res < 0 ? POLLERR : (uint32_t)res, s->arg);
	if (!armed && loop_slot_of(loop, tag))
		loop_arm(loop, tag.slot);
}

/* A copy of each completion first: handlers submit, and the ring's entries are reused by then. */
static void loop_batch(struct loop *loop)
{
	struct io_uring_cqe *cqe;

	while (io_uring_peek_cqe(&loop->ring, &cqe) == 0) {
		union loop_tag tag = {.u64 = io_uring_cqe_get_data64(cqe)};
		uint32_t flags = cqe->flags;
		int res = cqe->res;

		io_uring_cqe_seen(&loop->ring, cqe);
		loop_dispatch(loop, tag, res, flags);
		if (loop->stopped)
			return;
	}
}

int loop_run(struct loop *loop)
{
	loop->stopped = false;
	while (!loop->stopped) {
		int err = io_uring_submit_and_wait(&loop->ring, 1);

		/* -EBUSY: completions wait in the kernel's overflow list; taking some makes room.
		 */
		if (err < 0 && err != -EINTR && err != -EBUSY && err != -EAGAIN)
			return err;
		loop_batch(loop);
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}
