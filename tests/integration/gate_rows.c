/* SPDX-License-Identifier: MIT */
/*
 * Rows of mappings that are given back with one UNMAP each, which the kernel takes down one after
 * the other: somebody may look while it is at it.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "tests/integration/gate.h"
#include "tests/integration/gate_call.h"

#define THREADS_MAX 16
#define ROW 16 /* mappings */

struct rows {
	const struct gate *gate;
	const void *memory; /* of one mapping; borrowed */
	uint64_t count; /* rows of one thread */
	atomic_uint_fast64_t live; /* bytes: never more than there are, but perhaps fewer */
	atomic_uint_fast64_t mapped;
	atomic_uint_fast64_t through;
	atomic_int error; /* another one than a limit's */
};

struct row {
	struct rows *rows;
	uint64_t iova; /* where it begins */
	pthread_t thread;
};

static int row_map(const struct row *row, uint64_t n)
{
	const struct gate *gate = row->rows->gate;
	uint64_t size = gate->options.size;

	return call_map_at(gate->iommufd, gate->ioas[0], row->rows->memory, size,
			   row->iova + n * size);
}

/* Return: how many of them were mapped. */
static uint64_t row_fill(const struct row *row)
{
	struct rows *rows = row->rows;
	const struct gate_options *options = &rows->gate->options;
	uint64_t n;

	for (n = 0; n < ROW; n++) {
		int err = row_map(row, n);

		if (err && err != -ENOMEM && err != -ENOSPC && err != -EAGAIN)
			atomic_store(&rows->error, err);
		if (err)
			break;
		atomic_fetch_add(&rows->mapped, 1);
		if (atomic_fetch_add(&rows->live, options->size) + options->size > options->limit)
			atomic_fetch_add(&rows->through, 1);
	}
	return n;
}

static void *row_thread(void *arg)
{
	const struct row *row = arg;
	struct rows *rows = row->rows;
	const struct gate *gate = rows->gate;

	for (uint64_t i = 0; i < rows->count; i++) {
		uint64_t len = row_fill(row) * gate->options.size;
		int err = 0;

		(void)sched_yield(); /* the others are to find it */
		atomic_fetch_sub(&rows->live, len);
		if (len)
			err = call_unmap(gate->iommufd, gate->ioas[0], row->iova, len, NULL);
		if (err)
			atomic_store(&rows->error, err);
	}
	return NULL;
}

/*
 * --threads with --count rows together, of mappings of --size bytes: where few of them fit at a
 * time. Facts: mapped, through (mappings with which there were more bytes than --limit), error.
 */
int rows_attack(struct gate *gate)
{
	uint64_t n = gate->options.threads < THREADS_MAX ? gate->options.threads : THREADS_MAX;
	struct rows rows = {.gate = gate,
			    .memory = gate_memory(gate->options.size),
			    .count = gate->options.count / n};
	struct row row[THREADS_MAX];

	if (!rows.memory)
		return -ENOMEM;
	for (uint64_t i = 0; i < n; i++) {
		row[i] = (struct row){.rows = &rows,
				      .iova = GATE_IOVA + i * ROW * gate->options.size};
		if (pthread_create(&row[i].thread, NULL, row_thread, &row[i]))
			return -EAGAIN;
	}
	for (uint64_t i = 0; i < n; i++)
		(void)pthread_join(row[i].thread, NULL);
	fact("mapped", atomic_load(&rows.mapped));
	fact("through", atomic_load(&rows.through));
	fact_error("error", atomic_load(&rows.error));
	return 0;
}
