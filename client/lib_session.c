/* SPDX-License-Identifier: MIT */
/* libpinbroker: sessions are looked at, page by page. */
#include <errno.h>
#include <string.h>

#include "client/connection.h"
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

/* Who is shown a page of sessions. */
struct walk {
	struct pinbroker *broker;
	pinbroker_session_fn fn;
	void *arg;
};

static int walk_call(const struct walk *walk, const struct pinbroker_session *session)
{
	int ret;

	walk->broker->walking = true;
	ret = walk->fn(session, walk->arg);
	walk->broker->walking = false;
	return ret;
}

/* Takes one record and shows it. */
static int walk_record(const struct walk *walk, const char **pos, const char *end, uint64_t *ret_id)
{
	CLEANUP(freep) char *cgroup = NULL;
	const char *names[PROTO_DEVICES_MAX];
	const char(*devices)[40];
	struct pinbroker_session session;
	struct proto_session record;
	const char *cgroup_bytes;
	int err;

	err = proto_session_next(pos, end, &record, &cgroup_bytes, &devices);
	if (err)
		return connection_broken(walk->broker);
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
	*ret_id = record.id;
	return walk_call(walk, &session);
}

/* Whether n records, each well-formed, fill the page exactly: checked before any is shown. */
static bool page_valid(const char *pos, const char *end, uint32_t n)
{
	struct proto_session record;
	const char(*devices)[40];
	const char *cgroup;

	for (uint32_t i = 0; i < n; i++) {
		if (proto_session_next(&pos, end, &record, &cgroup, &devices))
			return false;
	}
	return pos == end;
}

/* Shows every record of an answer to list or show; @last becomes the id of the last. */
static int walk_page(const struct walk *walk, const struct answer *answer, uint64_t *last)
{
	struct proto_sessions page;
	const char *pos = answer->body + sizeof(page);
	int err;

	memcpy(&page, answer->body, sizeof(page));
	if (!page_valid(pos, answer->end, page.n))
		return connection_broken(walk->broker);
	for (uint32_t i = 0; i < page.n; i++) {
		err = walk_record(walk, &pos, answer->end, last);
		if (err)
			return err;
	}
	return 0;
}

int pinbroker_list(struct pinbroker *broker, pinbroker_session_fn fn, void *arg)
{
	struct walk walk = {.broker = broker, .fn = fn, .arg = arg};
	struct proto_sessions page;
	uint64_t last = connection_cursor(broker, PROTO_LIST);
	int err;

	do {
		struct proto_list list = {.after = last};
		struct question question = {
			.op = PROTO_LIST, .body = &list, .len = sizeof(list), .cursor = last};
		struct answer answer = {.msg = FDMSG_INIT};

		err = connection_ask(broker, &question, &answer);
		if (err)
			return err;
		memcpy(&page, answer.body, sizeof(page));
		err = walk_page(&walk, &answer, &last);
		if (err)
			return err;
		/* A page that leads nowhere would be asked for without end. */
		if (page.more > 1 || (page.more && last == list.after))
			return connection_broken(broker);
	} while (page.more);
	return 0;
}

int pinbroker_show(struct pinbroker *broker, uint64_t id, pinbroker_session_fn fn, void *arg)
{
	struct walk walk = {.broker = broker, .fn = fn, .arg = arg};
	struct answer answer = {.msg = FDMSG_INIT};
	struct proto_show show = {.id = id};
	struct question question = {.op = PROTO_SHOW, .body = &show, .len = sizeof(show)};
	struct proto_sessions page;
	uint64_t last;
	int err;

	err = connection_ask(broker, &question, &answer);
	if (err)
		return err;
	memcpy(&page, answer.body, sizeof(page));
	if (page.n != 1 || page.more)
		return connection_broken(broker);
	return walk_page(&walk, &answer, &last);
}
