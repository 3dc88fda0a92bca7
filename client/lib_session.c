/* SPDX-License-Identifier: MIT */
/* libpinbroker: sessions are looked at, page by page. */
#include <errno.h>
#include <string.h>

#include "client/connection.h"
#include "client/pages.h"
#include "common/cleanup.h"

static_assert(PINBROKER_UNKNOWN == PROTO_UNKNOWN, "copied as it is");

static void copy_session(const struct proto_session *from, struct pinbroker_session *session)
{
	*session = (struct pinbroker_session){
		.id = from->id,
		.limit = from->limit,
		.pinned = from->pinned,
		.pinned_peak = from->pinned_peak,
		.mapped = from->mapped,
		.mappings = from->mappings,
		.denied = from->denied,
		.max_mappings = from->max_mappings,
		.uid = from->uid,
		.pid = (pid_t)from->pid,
		.accounting = (enum pinbroker_accounting)from->accounting,
		.exact = from->flags & PROTO_SESSION_EXACT,
		.state = proto_state_name(from->state),
		.n_devices = from->n_devices,
	};
	proto_text_set(session->name, sizeof(session->name), from->name);
	proto_text_set(session->policy, sizeof(session->policy), from->policy);
}

/* Who is shown the sessions. */
struct walk {
	pinbroker_session_fn fn;
	void *arg;
};

static int show_session(const char **pos, const char *end, void *arg)
{
	CLEANUP(freep) char *cgroup = NULL;
	const struct walk *walk = arg;
	const char *names[PROTO_DEVICES_MAX];
	const char(*devices)[40];
	struct pinbroker_session session;
	struct proto_session record;
	const char *cgroup_bytes;
	int err;

	err = proto_session_next(pos, end, &record, &cgroup_bytes, &devices);
	if (err)
		return err; /* cannot be: take_page() has looked */
	copy_session(&record, &session);
	if (record.cgroup_len) {
		cgroup = strndup(cgroup_bytes, record.cgroup_len);
		if (!cgroup)
			return -ENOMEM;
		session.cgroup = cgroup;
	}
	for (size_t i = 0; i < record.n_devices; i++)
		names[i] = devices[i];
	session.devices = names;
	return walk->fn(&session, walk->arg);
}

/* Whether n records, each well-formed, fill the page exactly: checked before any is shown. */
static int take_page(const struct answer *answer, uint64_t cursor, struct page *ret_page)
{
	struct proto_sessions head;
	const char *pos = answer->body + sizeof(head);
	struct proto_session record = {.id = cursor};
	const char(*devices)[40];
	const char *cgroup;

	memcpy(&head, answer->body, sizeof(head));
	if (head.more > 1)
		return -EPROTO;
	*ret_page = (struct page){.records = pos, .more = head.more};
	for (uint32_t i = 0; i < head.n; i++)
		if (proto_session_next(&pos, answer->end, &record, &cgroup, &devices))
			return -EPROTO;
	ret_page->next = record.id;
	return pos == answer->end ? 0 : -EPROTO;
}

int pinbroker_list(struct pinbroker *broker, pinbroker_session_fn fn, void *arg)
{
	static const struct pages pages = {
		.op = PROTO_LIST, .take = take_page, .show = show_session};
	struct walk walk = {.fn = fn, .arg = arg};

	return pages_walk(broker, &pages, &walk);
}

int pinbroker_show(struct pinbroker *broker, uint64_t id, pinbroker_session_fn fn, void *arg)
{
	struct walk walk = {.fn = fn, .arg = arg};
	struct answer answer = {.msg = FDMSG_INIT};
	struct proto_show show = {.id = id};
	struct question question = {.op = PROTO_SHOW, .body = &show, .len = sizeof(show)};
	struct proto_sessions head;
	struct page page;
	int err;

	err = connection_ask(broker, &question, &answer);
	if (err)
		return err;
	memcpy(&head, answer.body, sizeof(head));
	if (head.n != 1 || head.more || take_page(&answer, 0, &page))
		return connection_broken(broker);
	return pages_show(broker, page.records, answer.end, show_session, &walk);
}
