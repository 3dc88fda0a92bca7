/* SPDX-License-Identifier: MIT */
/* The limits themselves: exactly up to them, and not one more, by whatever means. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/integration/gate.h"
#include "tests/integration/gate_call.h"

#define THREADS_MAX 64
#define CHUNKS 16

/* Where the mapping of that number is, --size bytes each: the kernel's search would take for ever.
 */
static uint64_t slot_iova(const struct gate *gate, uint64_t n)
{
	return GATE_IOVA + n * gate->options.size;
}

static int slot_map(const struct gate *gate, const void *memory, uint64_t n)
{
	return call_map_at(gate->iommufd, gate->ioas[0], memory, gate->options.size,
			   slot_iova(gate, n));
}

/* Maps the same memory until it is refused, or so many times. Return: how often it was. */
static uint64_t slots_map(const struct gate *gate, const void *memory, uint64_t times, int *ret_err)
{
	uint64_t n = 0;
	int err = 0;

	while (n < times) {
		err = slot_map(gate, memory, n);
		if (err)
			break;
		n++;
	}
	*ret_err = err;
	return n;
}

static void *slot_thread(void *arg)
{
	const struct gate *gate = arg;
	int err = call_unmap(gate->iommufd, gate->ioas[0], slot_iova(gate, 0), gate->options.size,
			     NULL);

	return (void *)(intptr_t)err;
}

/* The first one, by a thread that then ends without another system call of the gate's. */
static int slot_unmap_elsewhere(struct gate *gate)
{
	pthread_t thread;
	void *ret = NULL;
	int err = -pthread_create(&thread, NULL, slot_thread, gate);

	if (!err)
		err = -pthread_join(thread, &ret);
	return err ? err : (int)(intptr_t)ret;
}

/*
 * One more than --slots mappings of --size bytes, one unmapped, one more; then again, and another
 * thread unmaps. Facts: mapped, error, after_unmap, after_that, after_other (each of the last three
 * a MAP's result).
 */
int limit_slots(struct gate *gate)
{
	const void *memory = gate_memory(gate->options.size);
	uint64_t mapped;
	int err, error;

	if (!memory)
		return -ENOMEM;
	mapped = slots_map(gate, memory, gate->options.slots + 1, &error);
	fact("mapped", mapped);
	fact_error("error", error);
	if (!mapped)
		return 0;
	err = call_unmap(gate->iommufd, gate->ioas[0], slot_iova(gate, 0), gate->options.size,
			 NULL);
	if (err)
		return err;
	fact_error("after_unmap", slot_map(gate, memory, 0));
	fact_error("after_that", slot_map(gate, memory, mapped));
	err = slot_unmap_elsewhere(gate);
	if (err)
		return err;
	fact_error("after_other", slot_map(gate, memory, 0));
	return 0;
}

/* --count IOASes beside the first. Facts: through, error, after_destroy. */
int limit_objects(struct gate *gate)
{
	uint32_t id = 0;
	uint64_t n;
	int err = 0;

	for (n = 0; n < gate->options.count; n++) {
		err = call_ioas_alloc(gate->iommufd, &id);
		if (err)
			break;
	}
	fact("through", n);
	fact_error("error", err);
	err = n ? call_destroy(gate->iommufd, id) : 0;
	if (!err)
		fact_error("after_destroy", call_ioas_alloc(gate->iommufd, &id));
	return err;
}

/* @len bytes from the first slot on once more, in @to. */
static int copy_to(const struct gate *gate, uint32_t to, uint64_t len)
{
	struct uapi_iommu_ioas_copy copy = {
		.size = sizeof(copy),
		.flags = CALL_MAP_FLAGS,
		.dst_ioas_id = to,
		.src_ioas_id = gate->ioas[0],
		.length = len,
		.src_iova = slot_iova(gate, 0),
	};

	return call(gate->iommufd, UAPI_IOMMU_IOAS_COPY, &copy);
}

/*
 * Mappings by COPY: mode each, one mapping --count times; mode many, a row of --count mappings
 * with one call. Facts: through (calls), mapped (mappings by them), error.
 */
int limit_copy(struct gate *gate)
{
	bool many = strcmp(gate->options.mode, "many") == 0;
	uint64_t row = many ? gate->options.count : 1, calls = many ? 1 : gate->options.count, n;
	const void *memory = gate_memory(gate->options.size);
	uint32_t to = 0;
	int err = memory ? gate_ioas_add(gate, &to) : -ENOMEM;

	if (!err)
		(void)slots_map(gate, memory, row, &err);
	if (err)
		return err;
	for (n = 0; n < calls; n++) {
		err = copy_to(gate, to, row * gate->options.size);
		if (err)
			break;
	}
	fact("through", n);
	fact("mapped", row + n * row);
	fact_error("error", err);
	return 0;
}

struct full {
	struct gate *gate;
	const void *memory; /* borrowed */
	uint64_t tries; /* of one thread; 0: until the end of standard input */
	uint64_t left; /* mappings that fit yet, all threads together */
	atomic_uint_fast64_t live; /* of those: never more than there are, but perhaps fewer */
	atomic_uint_fast64_t mapped;
	atomic_uint_fast64_t through;
	atomic_uint_fast64_t refused;
	atomic_uint_fast64_t again; /* EAGAIN: come back later */
	atomic_int error; /* another one than a limit's */
};

static bool full_is_over(const struct full *full, uint64_t n)
{
	struct pollfd end = {.fd = STDIN_FILENO, .events = POLLIN};

	return full->tries ? n >= full->tries : poll(&end, 1, 0) != 0;
}

static void *full_thread(void *arg)
{
	struct full *full = arg;
	struct gate *gate = full->gate;
	uint64_t iova = 0;

	for (uint64_t i = 0; !full_is_over(full, i); i++) {
		int err = call_map(gate->iommufd, gate->ioas[0], full->memory, GATE_PAGE, &iova);

		if (!err) {
			atomic_fetch_add(&full->mapped, 1);
			if (atomic_fetch_add(&full->live, 1) >= full->left)
				atomic_fetch_add(&full->through, 1);
			(void)sched_yield(); /* the others are to find it */
			atomic_fetch_sub(&full->live, 1);
			err = call_unmap(gate->iommufd, gate->ioas[0], iova, GATE_PAGE, NULL);
			if (err)
				atomic_store(&full->error, -err);
			continue;
		}
		atomic_fetch_add(&full->refused, 1);
		if (err == -EAGAIN)
			atomic_fetch_add(&full->again, 1);
		else if (err != -ENOSPC && err != -ENOMEM)
			atomic_store(&full->error, -err);
	}
	return NULL;
}

/* Uses up what the mode says, but for what is left. Return: 0; -errno. */
static int full_fill(struct gate *gate, const void *memory, uint64_t left)
{
	uint64_t chunk = gate->options.limit / CHUNKS;
	int err = 0;

	if (strcmp(gate->options.mode, "bytes") != 0) {
		(void)slots_map(gate, memory, gate->options.slots - left, &err);
		return err;
	}
	memory = gate_memory(chunk);
	for (int i = 0; memory && !err && i < CHUNKS; i++)
		err = call_map(gate->iommufd, gate->ioas[0], memory, chunk, NULL);
	return memory ? err : -ENOMEM;
}

/*
 * Threads at the last slot (mode slots) or the last byte (mode bytes), where nothing is left, or
 * where each second of them finds a slot (mode few): --count tries by all of them together; 0:
 * until the end of standard input. Says "full" first. Facts: mapped, through (of those, what was
 * too much), refused, again, error.
 */
int limit_full(struct gate *gate)
{
	uint64_t n = gate->options.threads < THREADS_MAX ? gate->options.threads : THREADS_MAX;
	struct full full = {
		.gate = gate,
		.memory = gate_memory(GATE_PAGE),
		.tries = gate->options.count / n,
	};
	pthread_t threads[THREADS_MAX];
	int err = -ENOMEM;

	if (strcmp(gate->options.mode, "few") == 0)
		full.left = n / 2;
	if (full.memory)
		err = full_fill(gate, full.memory, full.left);
	if (err)
		return err;
	puts("full");
	for (uint64_t i = 0; i < n; i++) {
		if (pthread_create(&threads[i], NULL, full_thread, &full))
			return -EAGAIN;
	}
	for (uint64_t i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
	fact("mapped", atomic_load(&full.mapped));
	fact("through", atomic_load(&full.through));
	fact("refused", atomic_load(&full.refused));
	fact("again", atomic_load(&full.again));
	fact_error("error", atomic_load(&full.error));
	return 0;
}
