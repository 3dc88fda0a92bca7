/* SPDX-License-Identifier: MIT */
#include "daemon/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/loop_backend.h"

static const struct {
	const char *name;
	enum loop_kind kind;
} loop_kinds[] = {
	{"", LOOP_AUTO},
	{"auto", LOOP_AUTO},
	{"io_uring", LOOP_IO_URING},
	{"epoll", LOOP_EPOLL},
};

int loop_kind_parse(const char *name, enum loop_kind *ret_kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(loop_kinds); i++) {
		if (strcmp(name ? name : "", loop_kinds[i].name) == 0) {
			*ret_kind = loop_kinds[i].kind;
			return 0;
		}
	}
	return -EINVAL;
}

/*
 * What io_uring_setup(2) says where there is no io_uring to be had: kernel.io_uring_disabled and
 * seccomp, an LSM, a kernel without it.
 */
static bool loop_err_is_off(int err)
{
	return err == -EPERM || err == -EACCES || err == -ENOSYS;
}

static int loop_open(struct loop *loop, enum loop_kind kind)
{
	int err = 0;

	if (kind != LOOP_EPOLL) {
		loop->backend = &loop_backend_uring;
		err = loop->backend->open(loop);
	}
	if (kind == LOOP_EPOLL || (kind == LOOP_AUTO && loop_err_is_off(err))) {
		loop->backend = &loop_backend_epoll;
		err = loop->backend->open(loop);
	}
	return err ? err : loop->backend->start(loop);
}

int loop_new(enum loop_kind kind, struct loop **ret_loop)
{
	CLEANUP(loop_freep) struct loop *loop = calloc(1, sizeof(*loop));
	int err;

	if (!loop)
		return -ENOMEM;
	err = loop_open(loop, kind);
	if (err)
		return err;
	*ret_loop = STEAL(loop);
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	if (loop->impl)
		loop->backend->close(loop);
	free(loop->timers.heap);
	free(loop->slots);
	free(loop);
}

void loop_freep(struct loop **loop)
{
	loop_free(*loop);
}

const char *loop_backend_name(const struct loop *loop)
{
	return loop->backend->name;
}

static int loop_grow(struct loop *loop)
{
	uint32_t n = loop->n_slots ? loop->n_slots * 2 : 64;
	struct loop_slot *slots = reallocarray(loop->slots, n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (uint32_t i = loop->n_slots; i < n; i++)
		slots[i] = (struct loop_slot){.fd = -1, .next = i + 1};
	loop->slots = slots;
	loop->n_slots = n;
	return 0;
}

int loop_slot_take(struct loop *loop, const struct loop_slot *filled, uint32_t *ret_slot)
{
	uint32_t slot = loop->free;

	if (slot == loop->n_slots) {
		int err = loop_grow(loop);

		if (err)
			return err;
	}

	struct loop_slot *s = &loop->slots[slot];
	uint32_t gen = s->gen;

	loop->free = s->next;
	*s = *filled;
	s->gen = gen;
	*ret_slot = slot;
	return 0;
}

void loop_slot_release(struct loop *loop, uint32_t slot)
{
	struct loop_slot *s = &loop->slots[slot];

	*s = (struct loop_slot){.gen = s->gen + 1, .fd = -1, .next = loop->free};
	loop->free = slot;
}

union loop_tag loop_tag_of(const struct loop *loop, uint32_t slot)
{
	return (union loop_tag){
		.slot = slot, .gen = loop->slots[slot].gen, .op = loop->slots[slot].op};
}

struct loop_slot *loop_slot_of(const struct loop *loop, union loop_tag tag)
{
	struct loop_slot *s;

	if (tag.op == LOOP_OP_NONE || tag.slot >= loop->n_slots)
		return NULL;
	s = &loop->slots[tag.slot];
	return s->op == tag.op && s->gen == tag.gen ? s : NULL;
}

static int loop_add(struct loop *loop, const struct loop_slot *filled, uint64_t *ret_watch)
{
	uint32_t slot;
	int err = loop_slot_take(loop, filled, &slot);

	if (err)
		return err;
	err = loop->backend->arm(loop, slot);
	if (err) {
		loop_slot_release(loop, slot);
		return err;
	}
	*ret_watch = loop_tag_of(loop, slot).u64; /* op is not 0, hence never LOOP_NONE */
	return 0;
}

int loop_watch(struct loop *loop, int fd, uint32_t events, loop_ready_fn fn, void *arg,
	       uint64_t *ret_watch)
{
	struct loop_slot slot = {
		.op = LOOP_OP_POLL, .fd = fd, .events = events, .fn.ready = fn, .arg = arg};

	assert(events <= UINT16_MAX); /* poll(2)'s; above are switches of epoll and io_uring */
	return loop_add(loop, &slot, ret_watch);
}

int loop_accept(struct loop *loop, int fd, loop_accept_fn fn, void *arg, uint64_t *ret_watch)
{
	struct loop_slot slot = {
		.op = LOOP_OP_ACCEPT, .fd = fd, .events = POLLIN, .fn.accept = fn, .arg = arg};

	assert(fcntl(fd, F_GETFL) & O_NONBLOCK); /* or one accept4() too many stops the daemon */
	return loop_add(loop, &slot, ret_watch);
}

void loop_cancel(struct loop *loop, uint64_t *watch)
{
	union loop_tag tag = {.u64 = *watch};

	*watch = LOOP_NONE;
	if (!loop_slot_of(loop, tag))
		return;
	if (tag.op == LOOP_OP_TIMER)
		loop_timers_remove(loop, tag.slot);
	else
		loop->backend->disarm(loop, tag.slot);
	loop_slot_release(loop, tag.slot);
}

bool loop_call(struct loop *loop, union loop_tag tag, int res)
{
	const struct loop_slot *s = loop_slot_of(loop, tag);

	assert(s);
	if (s->op == LOOP_OP_ACCEPT)
		s->fn.accept(res, s->arg);
	else
		s->fn.ready((uint32_t)res, s->arg);
	return loop_slot_of(loop, tag) != NULL;
}

int loop_run(struct loop *loop)
{
	int err = 0;

	loop->stopped = false;
	while (!err && !loop->stopped) {
		uint64_t first_new = loop->timers.serial;

		err = loop->backend->serve(loop, loop_timers_wait_ns(loop));
		if (!err)
			loop_timers_serve(loop, first_new);
	}
	return err;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}
