/* SPDX-License-Identifier: MIT */
/* libpinbroker: events, as they come. */
#include <errno.h>
#include <string.h>

#include "client/connection.h"
#include "client/pages.h"
#include "common/cleanup.h"

int pinbroker_trace(struct pinbroker *broker, uint64_t id)
{
	struct proto_trace trace = {.id = id};
	struct question question = {.op = PROTO_TRACE, .body = &trace, .len = sizeof(trace)};
	struct answer answer = {.msg = FDMSG_INIT};
	struct proto_traced traced;
	int err = connection_ask(broker, &question, &answer);

	if (err)
		return err;
	memcpy(&traced, answer.body, sizeof(traced));
	if (traced.zero)
		return connection_broken(broker);
	broker->kinds = traced.kinds;
	broker->streaming = true;
	return 0;
}

bool pinbroker_trace_offers(const struct pinbroker *broker, const char *kind)
{
	for (unsigned int i = 0; i < PROTO_EVENT_KINDS; i++)
		if (strcmp(proto_event_name(i), kind) == 0)
			return broker->kinds >> i & 1;
	return false;
}

/* States come in the place of figures, which a device has none of. */
static void copy_states(const struct proto_event *from, struct pinbroker_event *to)
{
	to->from = to->to = "";
	if (from->kind != PROTO_EVENT_MIGRATE && from->kind != PROTO_EVENT_DISORDER)
		return;
	if (from->bytes != PROTO_UNKNOWN)
		to->from = proto_migration_name(from->bytes);
	if (from->mappings != PROTO_UNKNOWN)
		to->to = proto_migration_name(from->mappings);
	to->bytes = to->mappings = PINBROKER_UNKNOWN;
}

static void copy_event(const struct proto_event *from, struct pinbroker_event *to)
{
	*to = (struct pinbroker_event){
		.kind = proto_event_name(from->kind),
		.id = from->id,
		.ns = from->ns,
		.took_ns = from->took_ns,
		.bytes = from->bytes,
		.mappings = from->mappings,
		.error = (int)from->error,
		.uid = from->uid,
		.pid = (pid_t)from->pid,
	};
	proto_text_set(to->comm, sizeof(to->comm), from->comm);
	proto_text_set(to->name, sizeof(to->name), from->name);
	proto_text_set(to->what, sizeof(to->what), from->what);
	copy_states(from, to);
}

/* The packet's head, if n records, each well-formed, fill what follows exactly. */
static int take_head(const struct answer *answer, struct proto_events *ret_head)
{
	const char *pos = answer->body + sizeof(*ret_head);
	struct proto_event record;

	memcpy(ret_head, answer->body, sizeof(*ret_head));
	if (ret_head->zero || (size_t)(answer->end - pos) / sizeof(record) != ret_head->n ||
	    (size_t)(answer->end - pos) % sizeof(record))
		return -EPROTO;
	for (; pos < answer->end; pos += sizeof(record)) {
		memcpy(&record, pos, sizeof(record));
		if (!proto_event_valid(&record))
			return -EPROTO;
	}
	return 0;
}

/* Who is shown the events. */
struct walk {
	pinbroker_event_fn fn;
	void *arg;
};

static int show_event(const char **pos, const char *end, void *arg)
{
	const struct walk *walk = arg;
	struct pinbroker_event event;
	struct proto_event record;

	(void)end; /* take_head() has looked */
	memcpy(&record, *pos, sizeof(record));
	*pos += sizeof(record);
	copy_event(&record, &event);
	return walk->fn(&event, walk->arg);
}

int pinbroker_trace_next(struct pinbroker *broker, struct pinbroker_lost *ret_lost,
			 pinbroker_event_fn fn, void *arg)
{
	struct walk walk = {.fn = fn, .arg = arg};
	struct answer answer = {.msg = FDMSG_INIT};
	struct proto_events head;
	int err;

	if (!broker->streaming)
		return -EINVAL;
	err = connection_next(broker, PROTO_TRACE, &answer);
	if (err)
		return err;
	if (take_head(&answer, &head))
		return connection_broken(broker);
	*ret_lost = (struct pinbroker_lost){
		.slow = head.slow, .full = head.full, .skipped = head.skipped};
	return pages_show(broker, answer.body + sizeof(head), answer.end, show_event, &walk);
}
