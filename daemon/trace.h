/* SPDX-License-Identifier: MIT */
/*
 * The trace: what happens in sessions, told to connections that asked for it (PROTO_TRACE). The
 * broker's own events come from where the audit has them, the kernel's from the tracer, which is
 * attached only while somebody listens.
 *
 * Nobody waits for a listener: what its socket does not take is lost to it, and counted. The others
 * and the broker go on.
 */
#ifndef DAEMON_TRACE_H
#define DAEMON_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "accounting/admission.h"
#include "common/proto.h"

struct broker;
struct peer;
struct session;
struct trace;

#define TRACE_LISTENERS_MAX 16
#define TRACE_LISTENERS_OTHERS 12 /* of which not root's */
#define TRACE_LISTENERS_UID 4 /* of one uid, but root's */

/**
 * trace_new() - nobody listens yet
 *
 * Without broker->gate, or where the tracer is not to be had, there are only the broker's own
 * events. Before sandbox_enter().
 *
 * Return: 0; -ENOMEM; -errno of loop_watch().
 */
int trace_new(struct broker *broker, struct trace **ret_trace);

/* After the last peer, before the gate. NULL is fine. */
void trace_free(struct trace *trace);

/* Serves PROTO_TRACE. */
int trace_serve(struct peer *peer, const struct proto_header *header, const void *body);

/* The peer hangs up. Fine if it does not listen. */
void trace_leave(struct peer *peer);

/* A request begins: how long its events take is counted from here, and this is who asks. */
void trace_request(const struct peer *peer);

/**
 * trace_audit() - tell what became of a session
 * @word: as the audit calls it: "granted", "set" …; others are none of the trace's
 * @peer: whose request it was; NULL: nobody's
 */
void trace_audit(const struct broker *broker, const char *word, const struct session *session,
		 const struct peer *peer);

/* The same of its cgroup: @bytes: what it has, or is limited to; @what: as the event's */
void trace_memory(const struct broker *broker, const char *word, const struct session *session,
		  uint64_t bytes, const char *what);

/*
 * 1 << enum proto_event_kind: those that this kernel has no function for; PROTO_UNKNOWN: there are
 * only the broker's own events.
 */
uint64_t trace_missing(const struct trace *trace);
uint64_t trace_kinds_missing(uint32_t have); /* of tracer_kinds() */

void trace_refusal(const struct peer *peer, enum refusal refusal);

#endif
