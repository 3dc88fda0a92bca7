/* SPDX-License-Identifier: MIT */
/*
 * Attaches the tracer's programs and detaches them again, in a thread: each one takes the kernel
 * some milliseconds, for which nobody else is to wait. One turn at a time.
 */
#ifndef DAEMON_TRACE_SWITCH_H
#define DAEMON_TRACE_SWITCH_H

#include <stdbool.h>

struct loop;
struct trace_switch;
struct tracer;

/* From the loop. @err: 0; -errno of tracer_attach() */
typedef void (*trace_switch_fn)(int err, void *arg);

/* @tracer: borrowed, and left alone by others during a turn. Return: 0; -ENOMEM; -errno. */
int trace_switch_new(struct loop *loop, struct tracer *tracer, trace_switch_fn done, void *arg,
		     struct trace_switch **ret_switch);

/* Waits for a turn that is under way; nobody is called. NULL is fine. */
void trace_switch_free(struct trace_switch *turn);

/* Return: 0; -errno: no thread could be had, and nothing happens. */
int trace_switch_turn(struct trace_switch *turn, bool on);

#endif
