/* SPDX-License-Identifier: MIT */
/* libpinbroker: who has what pinned on the host, page by page. */
#include <errno.h>
#include <string.h>

#include "client/connection.h"
#include "client/pages.h"

static_assert(PINBROKER_UNKNOWN == PROTO_UNKNOWN, "copied as it is");
static_assert(PINBROKER_HOLDING_CONTEXT == (int)PROTO_HOLDING_CONTEXT, "copied as it is");
static_assert(PINBROKER_HOLDING_CONTAINER == (int)PROTO_HOLDING_CONTAINER, "copied as it is");
static_assert(PINBROKER_HOLDING_PROCESS == (int)PROTO_HOLDING_PROCESS, "copied as it is");
static_assert(PINBROKER_HOLDING_USER == (int)PROTO_HOLDING_USER, "copied as it is");
static_assert(PINBROKER_HOLDING_PAYER == (int)PROTO_HOLDING_PAYER, "copied as it is");
static_assert(PINBROKER_HOLDING_CGROUP == (int)PROTO_HOLDING_CGROUP, "copied as it is");
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
		.cgroup_id = from->cgroup,
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

/* Who is shown the holdings. */
struct walk {
	struct pinbroker_host *ret_host;
	pinbroker_holding_fn fn;
	void *arg;
};

/* The page's head, if n records, each well-formed, fill what follows exactly. */
static int take_page(const struct answer *answer, uint64_t cursor, struct page *ret_page)
{
	struct proto_host head;
	const char *pos = answer->body + sizeof(head), *holders, *cgroup;
	struct proto_holding record;

	memcpy(&head, answer->body, sizeof(head));
	if (!proto_host_valid(&head))
		return -EPROTO;
	*ret_page = (struct page){.records = pos, .next = cursor + head.n, .more = head.more};
	for (uint32_t i = 0; i < head.n; i++)
		if (proto_holding_next(&pos, answer->end, &record, &holders, &cgroup))
			return -EPROTO;
	if (pos != answer->end)
		return -EPROTO;
	return 0;
}

static void take_host(const struct answer *answer, void *arg)
{
	const struct walk *walk = arg;
	struct proto_host head;

	memcpy(&head, answer->body, sizeof(head));
	*walk->ret_host = (struct pinbroker_host){.held = head.held,
						  .explained = head.explained,
						  .kernel = head.flags & PROTO_HOST_KERNEL};
}

static int show_holding(const char **pos, const char *end, void *arg)
{
	const struct walk *walk = arg;
	struct pinbroker_holder holders[PROTO_HOLDERS_MAX];
	struct pinbroker_holding holding;
	char cgroup[PROTO_CGROUP_MAX];
	struct proto_holding record;
	const char *from, *path;
	int err = proto_holding_next(pos, end, &record, &from, &path);

	if (err)
		return err; /* cannot be: take_page() has looked */
	copy_holding(&record, &holding);
	copy_holders(from, holding.n_holders, holders);
	holding.holders = holders;
	if (record.cgroup_len) {
		memcpy(cgroup, path, record.cgroup_len);
		cgroup[record.cgroup_len] = '\0';
		holding.cgroup = cgroup;
	}
	return walk->fn(&holding, walk->arg);
}

int pinbroker_host(struct pinbroker *broker, struct pinbroker_host *ret_host,
		   pinbroker_holding_fn fn, void *arg)
{
	const struct pages pages = {.op = PROTO_HOST,
				    .take = take_page,
				    .head = take_host,
				    .show = fn ? show_holding : NULL};
	struct walk walk = {.ret_host = ret_host, .fn = fn, .arg = arg};

	return pages_walk(broker, &pages, &walk);
}
