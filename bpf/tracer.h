/* SPDX-License-Identifier: MIT */
/*
 * The tracer: programs that tell what happens in sessions (bpf/trace_event.h), attached only while
 * somebody listens. They are loaded with the gate's; to attach them later takes no capability.
 */
#ifndef BPF_TRACER_H
#define BPF_TRACER_H

#include <stddef.h>
#include <stdint.h>

struct gate;
struct trace_event;
struct tracer;

/* @event: for the time of the call */
typedef void (*tracer_fn)(const struct trace_event *event, void *arg);

/* What did not arrive, since the programs were loaded. */
struct tracer_lost {
	uint64_t full; /* for want of room in the ring */
	uint64_t skipped; /* programs that the kernel did not run */
};

/**
 * tracer_open() - get ready; nothing is attached
 * @gate: borrowed for the tracer's life
 *
 * Before sandbox_enter().
 *
 * Return: 0; -errno.
 */
int tracer_open(struct gate *gate, struct tracer **ret_tracer);

/* Detaches. NULL is fine. */
void tracer_close(struct tracer *tracer);
void tracer_closep(struct tracer **tracer);

/* 1 << enum trace_kind: those that this kernel has functions for. */
uint32_t tracer_kinds(const struct tracer *tracer);

/**
 * tracer_attach() - attach the programs, and have the gate tell
 *
 * Each program takes the kernel some milliseconds, here and in tracer_detach(), which waits until
 * no processor is in one: not for a loop. From any thread, one call at a time.
 *
 * Return: 0; -errno, nothing attached.
 */
int tracer_attach(struct tracer *tracer);
void tracer_detach(struct tracer *tracer);

/* Becomes readable when tracer_dispatch() has something to do. */
int tracer_fd(const struct tracer *tracer);

/* Calls fn for at most so many events: who makes events faster than they are read must not keep
 * the reader for ever. */
void tracer_dispatch(struct tracer *tracer, size_t max, tracer_fn fn, void *arg);

struct tracer_lost tracer_lost(const struct tracer *tracer);

#endif
