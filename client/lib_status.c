/* SPDX-License-Identifier: MIT */
/* libpinbroker: how the broker is, and the shares, page by page. */
#include <errno.h>
#include <string.h>

#include "client/connection.h"
#include "client/pages.h"

static_assert(PINBROKER_UNKNOWN == PROTO_UNKNOWN, "copied as it is");
static_assert(PINBROKER_UNLIMITED == PROTO_UNLIMITED, "copied as it is");
static_assert(PROTO_EVENT_KINDS <= PINBROKER_TRACE_KINDS_MAX, "room for each");

/* Kinds that only a newer broker knows have no name here. */
static void copy_missing(uint64_t missing, struct pinbroker_status *to)
{
	to->traced = missing != PROTO_UNKNOWN;
	for (uint32_t kind = 0; to->traced && kind < PROTO_EVENT_KINDS; kind++)
		if (missing & 1ULL << kind)
			to->trace_missing[to->n_trace_missing++] = proto_event_name(kind);
}

static void copy_status(const struct proto_status *from, struct pinbroker_status *to)
{
	*to = (struct pinbroker_status){
		.mem_total = from->mem_total,
		.host_limit = from->host_limit,
		.host_sum = from->host_sum,
		.n_sessions = from->n_sessions,
		.lost_events = from->lost_events,
		.recursion_misses = from->recursion_misses,
		.pid = (pid_t)from->pid,
		.gate = proto_gate_name(from->gate),
	};
	proto_text_set(to->version, sizeof(to->version), from->version);
	proto_text_set(to->kernel, sizeof(to->kernel), from->kernel);
	proto_text_set(to->loop, sizeof(to->loop), from->loop);
	proto_text_set(to->gate_reason, sizeof(to->gate_reason), from->gate_reason);
	copy_missing(from->trace_missing, to);
}

static void copy_share(const struct proto_share *from, struct pinbroker_share *to)
{
	*to = (struct pinbroker_share){
		.uid = from->uid,
		.known = from->flags & PROTO_SHARE_POLICY,
		.n_sessions = from->n_sessions,
		.max_sessions = from->max_sessions,
		.sum = from->sum,
		.user_mode_sum = from->user_mode_sum,
		.user_limit = from->user_limit,
	};
	proto_text_set(to->policy, sizeof(to->policy), from->policy);
}

/* Who is shown the shares. */
struct walk {
	struct pinbroker_status *ret_status;
	pinbroker_share_fn fn;
	void *arg;
};

/* The page's head, if n records, each well-formed, fill what follows exactly. */
static int take_page(const struct answer *answer, uint64_t cursor, struct page *ret_page)
{
	struct proto_status head;
	struct proto_share record;
	const char *pos = answer->body + sizeof(head);

	memcpy(&head, answer->body, sizeof(head));
	if (!proto_status_valid(&head) || (size_t)(answer->end - pos) / sizeof(record) != head.n ||
	    (size_t)(answer->end - pos) % sizeof(record))
		return -EPROTO;
	*ret_page = (struct page){.records = pos, .next = cursor + head.n, .more = head.more};
	for (; pos < answer->end; pos += sizeof(record)) {
		memcpy(&record, pos, sizeof(record));
		if (!proto_share_valid(&record))
			return -EPROTO;
	}
	return 0;
}

static void take_status(const struct answer *answer, void *arg)
{
	const struct walk *walk = arg;
	struct proto_status head;

	memcpy(&head, answer->body, sizeof(head));
	copy_status(&head, walk->ret_status);
}

static int show_share(const char **pos, const char *end, void *arg)
{
	const struct walk *walk = arg;
	struct pinbroker_share share;
	struct proto_share record;

	(void)end; /* take_page() has looked */
	memcpy(&record, *pos, sizeof(record));
	*pos += sizeof(record);
	copy_share(&record, &share);
	return walk->fn(&share, walk->arg);
}

int pinbroker_status(struct pinbroker *broker, struct pinbroker_status *ret_status,
		     pinbroker_share_fn fn, void *arg)
{
	const struct pages pages = {.op = PROTO_STATUS,
				    .take = take_page,
				    .head = take_status,
				    .show = fn ? show_share : NULL};
	struct walk walk = {.ret_status = ret_status, .fn = fn, .arg = arg};

	return pages_walk(broker, &pages, &walk);
}
