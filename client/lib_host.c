/* SPDX-License-Identifier: MIT */
/* libpinbroker: who has what pinned on the host, page by page. */
#include <errno.h>
#include <string.h>

#include "client/connection.h"

static_assert(PINBROKER_UNKNOWN == PROTO_UNKNOWN, "copied as it is");
static_assert(PINBROKER_HOLDING_CONTEXT == (int)PROTO_HOLDING_CONTEXT, "copied as it is");
static_assert(PINBROKER_HOLDING_CONTAINER == (int)PROTO_HOLDING_CONTAINER, "copied as it is");
static_assert(PINBROKER_HOLDING_PROCESS == (int)PROTO_HOLDING_PROCESS, "copied as it is");
static_assert(PINBROKER_HOLDING_USER == (int)PROTO_HOLDING_USER, "copied as it is");
static_assert(sizeof(((struct pinbroker_holder *)NULL)->comm) ==
		      sizeof(((struct proto_holder *)NULL)->comm),
	      "copied as it is");

static void copy_holding(const struct proto_holding *from, struct pinbroker_holding *to)
{
	*to = (struct pinbroker_holding){
		.kind = (enum pinbroker_holding_kind)from->kind,
		.kind_name = proto_holding_name(from->kind),
		.session = from->session,
		.mapped = from->mapped,
		.pinned = from->pinned,
		.mappings = from->mappings,
		.locked = from->locked,
		.accounting = (enum pinbroker_accounting)from->accounting,
		.exact = from->flags & PROTO_HOLDING_EXACT,
		.uid = from->uid,
		.pid = (pid_t)from->pid,
		.n_holders = from->n_told,
		.n_holders_all = from->n_holders,
	};
	proto_text_set(to->comm, sizeof(to->comm), from->comm);
}

static void copy_holders(const char *from, size_t n, struct pinbroker_holder *to)
{
	for (size_t i = 0; i < n; i++) {
		struct proto_holder holder;

		memcpy(&holder, from + i * sizeof(holder), sizeof(holder));
		to[i] = (struct pinbroker_holder){.pid = (pid_t)holder.pid, .uid = holder.uid};
		proto_text_set(to[i].comm, sizeof(to[i].comm), holder.comm);
	}
}

/* The page's head, if n records, each well-formed, fill what follows exactly. */
static int take_page(const struct answer *answer, struct proto_host *ret_page)
{
	struct proto_host page;
	const char *pos = answer->body + sizeof(page), *holders;
	struct proto_holding record;

	memcpy(&page, answer->body, sizeof(page));
	/* A page that leads nowhere would be asked for without end. */
	if (!proto_host_valid(&page) || (page.more && !page.n))
		return -EPROTO;
	for (uint32_t i = 0; i < page.n; i++)
		if (proto_holding_next(&pos, answer->end, &record, &holders))
			return -EPROTO;
	if (pos != answer->end)
		return -EPROTO;
	*ret_page = page;
	return 0;
}

static int show_holdings(struct pinbroker *broker, const struct answer *answer,
			 pinbroker_holding_fn fn, void *arg)
{
	const char *pos = answer->body + sizeof(struct proto_host), *from;
	struct pinbroker_holder holders[PROTO_HOLDERS_MAX];
	struct pinbroker_holding holding;
	struct proto_holding record;
	int ret = 0;

	broker->walking = true;
	while (!ret && pos < answer->end) {
		ret = proto_holding_next(&pos, answer->end, &record, &from);
		if (ret)
			break; /* cannot be: take_page() has looked */
		copy_holding(&record, &holding);
		copy_holders(from, holding.n_holders, holders);
		holding.holders = holders;
		ret = fn(&holding, arg);
	}
	broker->walking = false;
	return ret;
}

int pinbroker_host(struct pinbroker *broker, struct pinbroker_host *ret_host,
		   pinbroker_holding_fn fn, void *arg)
{
	struct proto_host_ask ask = {.skip = connection_cursor(broker, PROTO_HOST)};
	struct question question = {.op = PROTO_HOST, .body = &ask, .len = sizeof(ask)};
	struct proto_host page;
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
			*ret_host =
				(struct pinbroker_host){.held = page.held,
							.explained = page.explained,
							.kernel = page.flags & PROTO_HOST_KERNEL};
		if (!fn)
			return 0;
		err = show_holdings(broker, &answer, fn, arg);
		if (err)
			return err;
		ask.skip += page.n;
	} while (page.more);
	return 0;
}
