/* SPDX-License-Identifier: MIT */
/* libpinbroker: host, page by page. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "client/pinbroker.h"
#include "common/cleanup.h"
#include "common/proto.h"
#include "tests/unit/lib_fixture.h"
#include "tests/unit/suite.h"

/* A page that is being written. */
struct page {
	struct proto_host head;
	struct proto_holding context;
	struct proto_holder holders[2];
	struct proto_holding process;
};

static const struct page first_page = {
	.head = {.held = 10,
		 .explained = 11,
		 .flags = PROTO_HOST_KERNEL | 0x80, /* one that is not known yet */
		 .n = 2,
		 .more = 1},
	.context = {.session = 0x1a,
		    .mapped = 4,
		    .pinned = 3,
		    .mappings = 2,
		    .locked = PROTO_UNKNOWN,
		    .flags = PROTO_HOLDING_EXACT,
		    .accounting = PROTO_ACCOUNTING_USER,
		    .n_holders = 2,
		    .n_told = 2},
	.holders = {{.pid = 5, .uid = 6, .comm = "fifteen chars.."}, {.pid = 7}},
	.process = {.kind = PROTO_HOLDING_PROCESS, .pid = 8, .uid = 9, .comm = "p"},
};

static const struct last_page {
	struct proto_host head;
	struct proto_holding user, cgroup;
	char path[4];
} last_page = {
	.head = {.held = 99, .n = 2},
	.user = {.kind = PROTO_HOLDING_USER, .uid = 1000, .locked = 12},
	.cgroup = {.kind = PROTO_HOLDING_CGROUP, .cgroup = 77, .cgroup_len = 4},
	.path = {'/', 'a', '/', 'b'},
};
#define LAST_PAGE_LEN (offsetof(struct last_page, path) + sizeof(last_page.path))

struct seen {
	struct pinbroker *broker;
	const struct pinbroker_host *host;
	struct pinbroker_holding holdings[4];
	struct pinbroker_holder holders[2];
	char cgroup[PROTO_CGROUP_MAX];
	size_t n;
	int ret;
};

static int see(const struct pinbroker_holding *holding, void *arg)
{
	struct seen *seen = arg;

	CU_ASSERT_FATAL(seen->n < ARRAY_SIZE(seen->holdings));
	CU_ASSERT_FATAL(holding->n_holders <= ARRAY_SIZE(seen->holders));
	if (holding->n_holders)
		memcpy(seen->holders, holding->holders,
		       holding->n_holders * sizeof(*holding->holders));
	if (holding->cgroup)
		(void)snprintf(seen->cgroup, sizeof(seen->cgroup), "%s", holding->cgroup);
	CU_ASSERT_EQUAL(!holding->cgroup, holding->kind != PINBROKER_HOLDING_CGROUP);
	seen->holdings[seen->n++] = *holding;
	CU_ASSERT_EQUAL(seen->host->held, 10); /* there before the first */
	CU_ASSERT_EQUAL(pinbroker_close(seen->broker, 1), -EBUSY);
	return seen->ret;
}

static void host_walks_pages(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_host host = {.held = 0};
	struct seen seen = {.host = &host};
	struct proto_host_ask ask;

	pair_init(&pair);
	seen.broker = pair.broker;
	pair_reply(&pair, PROTO_REPLY, PROTO_HOST, 1, &first_page, sizeof(first_page));
	pair_reply(&pair, PROTO_REPLY, PROTO_HOST, 2, &last_page, LAST_PAGE_LEN);
	CU_ASSERT_EQUAL(pinbroker_host(pair.broker, &host, see, &seen), 0);
	CU_ASSERT_EQUAL(host.explained, 11);
	CU_ASSERT_TRUE(host.kernel);
	CU_ASSERT_EQUAL_FATAL(seen.n, 4);
	CU_ASSERT_EQUAL(seen.holdings[0].kind, PINBROKER_HOLDING_CONTEXT);
	CU_ASSERT_STRING_EQUAL(seen.holdings[0].kind_name, "context");
	CU_ASSERT_EQUAL(seen.holdings[0].session, 0x1a);
	CU_ASSERT_EQUAL(seen.holdings[0].locked, PINBROKER_UNKNOWN);
	CU_ASSERT_EQUAL(seen.holdings[0].accounting, PINBROKER_ACCOUNTING_USER);
	CU_ASSERT_TRUE(seen.holdings[0].exact);
	CU_ASSERT_EQUAL(seen.holdings[0].n_holders_all, 2);
	CU_ASSERT_EQUAL(seen.holders[0].uid, 6);
	CU_ASSERT_STRING_EQUAL(seen.holders[0].comm, "fifteen chars..");
	CU_ASSERT_EQUAL(seen.holders[1].pid, 7);
	CU_ASSERT_EQUAL(seen.holdings[1].pid, 8);
	CU_ASSERT_STRING_EQUAL(seen.holdings[1].comm, "p");
	CU_ASSERT_STRING_EQUAL(seen.holdings[2].kind_name, "user");
	CU_ASSERT_EQUAL(seen.holdings[2].locked, 12);
	CU_ASSERT_STRING_EQUAL(seen.holdings[3].kind_name, "cgroup");
	CU_ASSERT_EQUAL(seen.holdings[3].cgroup_id, 77);
	CU_ASSERT_STRING_EQUAL(seen.cgroup, "/a/b");
	pair_expect(&pair, PROTO_HOST, &ask, sizeof(ask));
	CU_ASSERT_EQUAL(ask.skip, 0);
	pair_expect(&pair, PROTO_HOST, &ask, sizeof(ask));
	CU_ASSERT_EQUAL(ask.skip, 2);
}

static void host_ends_early(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_host host;
	struct seen seen = {.host = &host, .ret = 5};

	pair_init(&pair);
	seen.broker = pair.broker;
	pair_reply(&pair, PROTO_REPLY, PROTO_HOST, 1, &first_page, sizeof(first_page));
	CU_ASSERT_EQUAL(pinbroker_host(pair.broker, &host, see, &seen), 5);
	CU_ASSERT_EQUAL(seen.n, 1);
	/* Who wants the sums alone gets no more pages. */
	pair_reply(&pair, PROTO_REPLY, PROTO_HOST, 2, &first_page, sizeof(first_page));
	CU_ASSERT_EQUAL(pinbroker_host(pair.broker, &host, NULL, NULL), 0);
}

static void bad_cgroups_show_nothing(void)
{
	static const struct {
		const char *name;
		uint32_t path_len; /* as it says */
		char last; /* byte of it */
	} cases[] = {
		{"a path that is cut", 5, 'b'},
		{"something behind it", 3, 'b'},
		{"longer than any", PROTO_CGROUP_MAX, 'b'},
		{"a NUL in it", 4, '\0'},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(pair_fini) struct pair pair = {.fd = -1};
		struct pinbroker_host host = {.held = 10};
		struct seen seen = {.host = &host};
		struct last_page page = last_page;

		pair_init(&pair);
		seen.broker = pair.broker;
		page.cgroup.cgroup_len = cases[i].path_len;
		page.path[3] = cases[i].last;
		pair_reply(&pair, PROTO_REPLY, PROTO_HOST, 1, &page, LAST_PAGE_LEN);
		CHECK(cases[i].name, pinbroker_host(pair.broker, &host, see, &seen) == -EPROTO);
		CHECK(cases[i].name, seen.n == 0);
	}
}

static void bad_pages_show_nothing(void)
{
	static const struct {
		const char *name;
		size_t len; /* that is sent */
		uint32_t n, more, kind, accounting, told;
		char comm_end, holder_end;
	} cases[] = {
		{"cut in a record", sizeof(first_page) - 1, 2, 0, 0, 0, 2, 0, 0},
		{"a record too many", sizeof(first_page), 1, 0, 0, 0, 2, 0, 0},
		{"a record too few", sizeof(first_page), 3, 0, 0, 0, 2, 0, 0},
		{"empty page, and more", sizeof(struct proto_host), 0, 1, 0, 0, 2, 0, 0},
		{"more than more", sizeof(first_page), 2, 2, 0, 0, 2, 0, 0},
		{"unknown kind", sizeof(first_page), 2, 0, PROTO_HOLDING_KINDS, 0, 2, 0, 0},
		{"unknown accounting", sizeof(first_page), 2, 0, 0, 3, 2, 0, 0},
		{"more told than there are", sizeof(first_page), 2, 0, 0, 0, 3, 0, 0},
		{"name without an end", sizeof(first_page), 2, 0, 0, 0, 2, 'x', 0},
		{"holder without an end", sizeof(first_page), 2, 0, 0, 0, 2, 0, 'x'},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(pair_fini) struct pair pair = {.fd = -1};
		struct pinbroker_host host = {.held = 10, .explained = 7};
		struct seen seen = {.host = &host};
		struct page page = first_page;

		pair_init(&pair);
		seen.broker = pair.broker;
		page.head.n = cases[i].n;
		page.head.more = cases[i].more;
		page.context.kind = cases[i].kind;
		page.context.accounting = cases[i].accounting;
		page.context.n_told = cases[i].told;
		page.process.comm[15] = cases[i].comm_end;
		page.holders[1].comm[15] = cases[i].holder_end;
		pair_reply(&pair, PROTO_REPLY, PROTO_HOST, 1, &page, cases[i].len);
		CHECK(cases[i].name, pinbroker_host(pair.broker, &host, see, &seen) == -EPROTO);
		CHECK(cases[i].name, seen.n == 0 && host.explained == 7);
	}
}

static const CU_TestInfo tests[] = {
	{"host walks the pages", host_walks_pages},
	{"a callback ends the walk, and none is fine", host_ends_early},
	{"bad pages show nothing", bad_pages_show_nothing},
	{"nor do bad paths of cgroups", bad_cgroups_show_nothing},
	CU_TEST_INFO_NULL,
};

const struct suite suite_lib_host = {"lib_host", tests};
