/* SPDX-License-Identifier: MIT */
#include "bpf/tracer.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <gate.skel.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/gate.h"
#include "bpf/trace_event.h"
#include "common/cleanup.h"

#define TRACER_PROGRAMS_MAX 32

struct tracer {
	struct gate_bpf *skel; /* borrowed from the gate */
	struct ring_buffer *ring; /* owned */
	const struct bpf_program *programs[TRACER_PROGRAMS_MAX]; /* borrowed */
	size_t n_programs;
	int links[TRACER_PROGRAMS_MAX]; /* owned */
	size_t n_links;
	tracer_fn fn; /* during tracer_dispatch() */
	void *arg;
	size_t left; /* events that it may still take */
};

static int tracer_event(void *arg, void *data, size_t size)
{
	struct tracer *tracer = arg;
	struct trace_event event;

	if (size == sizeof(event)) {
		memcpy(&event, data, sizeof(event));
		event.comm[sizeof(event.comm) - 1] = '\0';
		event.device[sizeof(event.device) - 1] = '\0';
		tracer->fn(&event, tracer->arg);
	}
	/* A negative value ends ring_buffer__consume(), with this event taken. */
	return --tracer->left ? 0 : -ECANCELED;
}

static void tracer_find_programs(struct tracer *tracer)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, tracer->skel->obj)
	{
		if (gate_program_is_traced(bpf_program__name(program)) &&
		    bpf_program__fd(program) >= 0 && tracer->n_programs < TRACER_PROGRAMS_MAX)
			tracer->programs[tracer->n_programs++] = program;
	}
}

int tracer_open(struct gate *gate, struct tracer **ret_tracer)
{
	CLEANUP(tracer_closep) struct tracer *tracer = calloc(1, sizeof(*tracer));

	if (!tracer)
		return -ENOMEM;
	tracer->skel = gate_skeleton(gate);
	tracer_find_programs(tracer);
	tracer->ring = ring_buffer__new(bpf_map__fd(tracer->skel->maps.trace_ring), tracer_event,
					tracer, NULL);
	if (!tracer->ring)
		return -errno;
	*ret_tracer = STEAL(tracer);
	return 0;
}

void tracer_detach(struct tracer *tracer)
{
	__atomic_store_n(&tracer->skel->bss->trace_on, 0, __ATOMIC_SEQ_CST);
	while (tracer->n_links)
		fd_closep(&tracer->links[--tracer->n_links]);
}

void tracer_close(struct tracer *tracer)
{
	if (!tracer)
		return;
	tracer_detach(tracer);
	ring_buffer__free(tracer->ring);
	free(tracer);
}

void tracer_closep(struct tracer **tracer)
{
	tracer_close(*tracer);
}

static bool tracer_has(const struct bpf_program *program)
{
	return bpf_program__fd(program) >= 0;
}

uint32_t tracer_kinds(const struct tracer *tracer)
{
	const struct {
		enum trace_kind kind;
		bool has;
	} kinds[] = {
		{TRACE_OPEN, tracer_has(tracer->skel->progs.trace_open)},
		{TRACE_MAP, tracer_has(tracer->skel->progs.trace_map)},
		{TRACE_COPY, tracer_has(tracer->skel->progs.trace_copy)},
		{TRACE_UNMAP, tracer_has(tracer->skel->progs.trace_unmap)},
		{TRACE_CHARGE, tracer_has(tracer->skel->progs.trace_charge) ||
				       tracer_has(tracer->skel->progs.trace_charge_before)},
		{TRACE_BIND, tracer_has(tracer->skel->progs.trace_bind)},
		{TRACE_ATTACH, tracer_has(tracer->skel->progs.trace_attach)},
		{TRACE_MIGRATE, tracer_has(tracer->skel->progs.trace_migrate)},
		{TRACE_RELEASE, tracer_has(tracer->skel->progs.trace_release)},
	};
	uint32_t all = BIT(TRACE_DENY) | BIT(TRACE_RECOUNT) | BIT(TRACE_POISON) | BIT(TRACE_KILL);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].has)
			all |= BIT(kinds[i].kind);
	if (all & BIT(TRACE_CHARGE))
		all |= BIT(TRACE_UNCHARGE);
	return all;
}

int tracer_attach(struct tracer *tracer)
{
	for (size_t i = 0; i < tracer->n_programs; i++) {
		const struct bpf_program *program = tracer->programs[i];
		int fd = bpf_link_create(bpf_program__fd(program), 0,
					 bpf_program__expected_attach_type(program), NULL);

		if (fd < 0) {
			int err = -errno;

			tracer_detach(tracer);
			return err;
		}
		tracer->links[tracer->n_links++] = fd;
	}
	__atomic_store_n(&tracer->skel->bss->trace_on, 1, __ATOMIC_SEQ_CST);
	return 0;
}

int tracer_fd(const struct tracer *tracer)
{
	return ring_buffer__epoll_fd(tracer->ring);
}

void tracer_dispatch(struct tracer *tracer, size_t max, tracer_fn fn, void *arg)
{
	tracer->left = max;
	tracer->fn = fn;
	tracer->arg = arg;
	(void)ring_buffer__consume(tracer->ring); /* only what the handler returns */
}

struct tracer_lost tracer_lost(const struct tracer *tracer)
{
	struct tracer_lost lost = {
		.full = __atomic_load_n(&tracer->skel->bss->trace_lost, __ATOMIC_SEQ_CST),
	};

	for (size_t i = 0; i < tracer->n_programs; i++) {
		struct bpf_prog_info info = {0};
		__u32 len = sizeof(info);

		if (bpf_obj_get_info_by_fd(bpf_program__fd(tracer->programs[i]), &info, &len) == 0)
			lost.skipped += info.recursion_misses;
	}
	return lost;
}
