/* SPDX-License-Identifier: MIT */
#include "client/pages.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "client/connection.h"

/* What each question that is asked page by page looks like. */
struct pages_ask {
	uint64_t cursor;
	uint64_t zero;
};
static_assert(sizeof(struct pages_ask) == sizeof(struct proto_list) &&
		      offsetof(struct proto_list, after) == 0,
	      "of list");
static_assert(sizeof(struct pages_ask) == sizeof(struct proto_status_ask) &&
		      offsetof(struct proto_status_ask, skip) == 0,
	      "of status");
static_assert(sizeof(struct pages_ask) == sizeof(struct proto_host_ask) &&
		      offsetof(struct proto_host_ask, skip) == 0,
	      "of host");
static_assert(sizeof(struct pages_ask) == sizeof(struct proto_mirror_ask) &&
		      offsetof(struct proto_mirror_ask, after) == 0,
	      "of mirror");

int pages_show(struct pinbroker *broker, const char *from, const char *end, pages_show_fn show,
	       void *arg)
{
	int ret = 0;

	broker->walking = true;
	while (!ret && from < end)
		ret = show(&from, end, arg);
	broker->walking = false;
	return ret;
}

int pages_walk(struct pinbroker *broker, const struct pages *pages, void *arg)
{
	const struct pages_ask *at_hand = connection_at_hand(broker, pages->op);
	struct pages_ask ask = {.cursor = at_hand ? at_hand->cursor : 0};
	const struct question question = {.op = pages->op, .body = &ask, .len = sizeof(ask)};
	struct page page;
	int err;

	do {
		struct answer answer = {.msg = FDMSG_INIT};

		err = connection_ask(broker, &question, &answer);
		if (err)
			return err;
		/* A page that leads nowhere would be asked for without end. */
		if (pages->take(&answer, ask.cursor, &page) ||
		    (page.more && page.next == ask.cursor))
			return connection_broken(broker);
		if (pages->head && ask.cursor == 0)
			pages->head(&answer, arg);
		if (!pages->show)
			return 0;
		err = pages_show(broker, page.records, answer.end, pages->show, arg);
		if (err)
			return err;
		ask.cursor = page.next;
	} while (page.more);
	return 0;
}
