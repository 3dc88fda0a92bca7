/* SPDX-License-Identifier: MIT */
/* libpinbroker: how the broker is, and the shares, page by page. */
#include <errno.h>
#include <string.h>

#include "client/connection.h"

static_assert(PINBROKER_UNKNOWN == PROTO_UNKNOWN, "copied as it is");
static_assert(PINBROKER_UNLIMITED == PROTO_UNLIMITED, "copied as it is");

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

/* The page's head, if n records, each well-formed, fill what follows exactly. */
static int take_page(const struct answer *answer, struct proto_status *ret_page)
{
	struct proto_status page;
	struct proto_share record;
	const char *pos = answer->body + sizeof(page);

	memcpy(&page, answer->body, sizeof(page));
	/* A page that leads nowhere would be asked for without end. */
	if (!proto_status_valid(&page) || (page.more && !page.n))
		return -EPROTO;
	if ((size_t)(answer->end - pos) / sizeof(record) != page.n ||
	    (size_t)(answer->end - pos) % sizeof(record))
		return -EPROTO;
	for (; pos < answer->end; pos += sizeof(record)) {
		memcpy(&record, pos, sizeof(record));
		if (!proto_share_valid(&record))
			return -EPROTO;
	}
	*ret_page = page;
	return 0;
}

static int show_shares(struct pinbroker *broker, const struct answer *answer, pinbroker_share_fn fn,
		       void *arg)
{
	const char *pos = answer->body + sizeof(struct proto_status);
	struct pinbroker_share share;
	struct proto_share record;
	int ret = 0;

	broker->walking = true;
	for (; !ret && pos < answer->end; pos += sizeof(record)) {
		memcpy(&record, pos, sizeof(record));
		copy_share(&record, &share);
		ret = fn(&share, arg);
	}
	broker->walking = false;
	return ret;
}

int pinbroker_status(struct pinbroker *broker, struct pinbroker_status *ret_status,
		     pinbroker_share_fn fn, void *arg)
{
	struct proto_status_ask ask = {.skip = connection_cursor(broker, PROTO_STATUS)};
	struct question question = {.op = PROTO_STATUS, .body = &ask, .len = sizeof(ask)};
	struct proto_status page;
	int err;

	do {
		struct answer answer = {.msg = FDMSG_INIT};

		question.cursor = ask.skip;
		err = connection_ask(broker, &question, &answer);
		if (err)
			return err;
		if (take_page(&answer, &page))
			return connection_broken(broker);
		if (ask.skip == 0)
			copy_status(&page, ret_status);
		if (!fn)
			return 0;
		err = show_shares(broker, &answer, fn, arg);
		if (err)
			return err;
		ask.skip += page.n;
	} while (page.more);
	return 0;
}
