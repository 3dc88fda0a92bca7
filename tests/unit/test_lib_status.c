/* SPDX-License-Identifier: MIT */
/* libpinbroker: status, page by page. */
#include <errno.h>
#include <string.h>

#include "client/pinbroker.h"
#include "common/cleanup.h"
#include "common/proto.h"
#include "tests/unit/lib_fixture.h"
#include "tests/unit/suite.h"

/* A page of shares that is being written. */
struct page {
	struct proto_status head;
	struct proto_share shares[4];
};

static const struct page first_page = {
	.head = {.mem_total = 10,
		 .host_limit = PROTO_UNLIMITED,
		 .host_sum = 3,
		 .n_sessions = 4,
		 .lost_events = 5,
		 .recursion_misses = PROTO_UNKNOWN,
		 .trace_missing = 1ULL << PROTO_EVENT_MAP | 1ULL << PROTO_EVENT_KILL |
				  1ULL << 62 /* one that is not known yet */,
		 .gate = PROTO_GATE_BEST_EFFORT,
		 .pid = 99,
		 .n = 2,
		 .more = 1,
		 .version = "0.1.0",
		 .kernel = "7.2.0",
		 .loop = "epoll",
		 .gate_reason = "why"},
	.shares = {{.uid = 1000,
		    .flags = PROTO_SHARE_POLICY | 0x80, /* one that is not known yet */
		    .n_sessions = 1,
		    .max_sessions = 16,
		    .sum = 7,
		    .user_mode_sum = 2,
		    .user_limit = PROTO_UNLIMITED,
		    .policy = "tenants"},
		   {.uid = 1001, .policy = "gone"}},
};

static const struct page last_page = {
	.head = {.mem_total = 11, .n = 1, .n_sessions = 9},
	.shares = {{.uid = 1002, .policy = "tenants"}},
};

static void page_send(const struct pair *pair, uint64_t serial, const struct page *page)
{
	pair_reply(pair, PROTO_REPLY, PROTO_STATUS, serial, page,
		   sizeof(page->head) + page->head.n * sizeof(page->shares[0]));
}

struct seen {
	struct pinbroker *broker;
	const struct pinbroker_status *status;
	struct pinbroker_share shares[8];
	size_t n;
	int ret;
};

static int see(const struct pinbroker_share *share, void *arg)
{
	struct seen *seen = arg;

	CU_ASSERT_FATAL(seen->n < ARRAY_SIZE(seen->shares));
	seen->shares[seen->n++] = *share;
	CU_ASSERT_EQUAL(seen->status->mem_total, 10); /* there before the first share */
	CU_ASSERT_EQUAL(pinbroker_close(seen->broker, 1), -EBUSY);
	return seen->ret;
}

static void status_walks_pages(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_status status = {.pid = 0};
	struct seen seen = {.status = &status};
	struct proto_status_ask ask;

	pair_init(&pair);
	seen.broker = pair.broker;
	page_send(&pair, 1, &first_page);
	page_send(&pair, 2, &last_page);
	CU_ASSERT_EQUAL(pinbroker_status(pair.broker, &status, see, &seen), 0);
	CU_ASSERT_EQUAL(status.host_limit, PINBROKER_UNLIMITED);
	CU_ASSERT_EQUAL(status.n_sessions, 4);
	CU_ASSERT_EQUAL(status.lost_events, 5);
	CU_ASSERT_EQUAL(status.recursion_misses, PINBROKER_UNKNOWN);
	CU_ASSERT_TRUE(status.traced);
	CU_ASSERT_EQUAL_FATAL(status.n_trace_missing, 2);
	CU_ASSERT_STRING_EQUAL(status.trace_missing[0], "map");
	CU_ASSERT_STRING_EQUAL(status.trace_missing[1], "kill");
	CU_ASSERT_EQUAL(status.pid, 99);
	CU_ASSERT_STRING_EQUAL(status.gate, "best-effort");
	CU_ASSERT_STRING_EQUAL(status.gate_reason, "why");
	CU_ASSERT_STRING_EQUAL(status.version, "0.1.0");
	CU_ASSERT_STRING_EQUAL(status.kernel, "7.2.0");
	CU_ASSERT_STRING_EQUAL(status.loop, "epoll");
	CU_ASSERT_EQUAL_FATAL(seen.n, 3);
	CU_ASSERT_TRUE(seen.shares[0].known);
	CU_ASSERT_EQUAL(seen.shares[0].max_sessions, 16);
	CU_ASSERT_EQUAL(seen.shares[0].sum, 7);
	CU_ASSERT_EQUAL(seen.shares[0].user_mode_sum, 2);
	CU_ASSERT_EQUAL(seen.shares[0].user_limit, PINBROKER_UNLIMITED);
	CU_ASSERT_FALSE(seen.shares[1].known);
	CU_ASSERT_EQUAL(seen.shares[2].uid, 1002);
	pair_expect(&pair, PROTO_STATUS, &ask, sizeof(ask));
	CU_ASSERT_EQUAL(ask.skip, 0);
	pair_expect(&pair, PROTO_STATUS, &ask, sizeof(ask));
	CU_ASSERT_EQUAL(ask.skip, 2);
}

static void status_ends_early(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_status status;
	struct seen seen = {.status = &status, .ret = 5};

	pair_init(&pair);
	seen.broker = pair.broker;
	page_send(&pair, 1, &first_page);
	CU_ASSERT_EQUAL(pinbroker_status(pair.broker, &status, see, &seen), 5);
	CU_ASSERT_EQUAL(seen.n, 1);
	/* Who wants no shares gets no more pages. */
	page_send(&pair, 2, &first_page);
	CU_ASSERT_EQUAL(pinbroker_status(pair.broker, &status, NULL, NULL), 0);
	CU_ASSERT_EQUAL(status.mem_total, 10);
}

static void bad_pages_show_nothing(void)
{
	static const struct {
		const char *name;
		size_t records; /* that are sent */
		uint32_t n, more, gate;
		char policy_end;
	} cases[] = {
		{"a record too few", 1, 2, 0, 0, 0},
		{"a record too many", 2, 1, 0, 0, 0},
		{"count too high", 2, UINT32_MAX, 0, 0, 0},
		{"empty page, and more", 0, 0, 1, 0, 0},
		{"more than more", 2, 2, 2, 0, 0},
		{"unknown gate", 2, 2, 0, PROTO_GATES, 0},
		{"name without an end", 2, 2, 0, 0, 'x'},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(pair_fini) struct pair pair = {.fd = -1};
		struct pinbroker_status status = {.mem_total = 10, .pid = 7};
		struct seen seen = {.status = &status};
		struct page page = first_page;

		pair_init(&pair);
		seen.broker = pair.broker;
		page.head.n = cases[i].n;
		page.head.more = cases[i].more;
		page.head.gate = cases[i].gate;
		page.shares[1].policy[sizeof(page.shares[1].policy) - 1] = cases[i].policy_end;
		pair_reply(&pair, PROTO_REPLY, PROTO_STATUS, 1, &page,
			   sizeof(page.head) + cases[i].records * sizeof(page.shares[0]));
		CHECK(cases[i].name, pinbroker_status(pair.broker, &status, see, &seen) == -EPROTO);
		CHECK(cases[i].name, seen.n == 0 && status.pid == 7);
	}
}

static const CU_TestInfo tests[] = {
	{"status is filled, then the shares of every page", status_walks_pages},
	{"whoever has enough ends the walk", status_ends_early},
	{"of a page that is not right nothing is shown", bad_pages_show_nothing},
	CU_TEST_INFO_NULL,
};

const struct suite suite_lib_status = {"lib_status", tests};
