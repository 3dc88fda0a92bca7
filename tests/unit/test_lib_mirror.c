/* SPDX-License-Identifier: MIT */
/* libpinbroker: what is mirrored, page by page, and the way into a cgroup. */
#include <errno.h>
#include <string.h>

#include "client/pinbroker.h"
#include "common/cleanup.h"
#include "common/proto.h"
#include "tests/unit/lib_fixture.h"
#include "tests/unit/suite.h"

#define PATH "/a.slice"
#define NOTHING                                                 \
	{                                                       \
		.wanted = PROTO_UNKNOWN, .now = PROTO_UNLIMITED \
	}

/* A page that is being written. */
struct page {
	struct proto_mirrors head;
	struct proto_mirror first;
	char path[sizeof(PATH) - 1];
	struct proto_mirror second;
};

static const struct page first_page = {
	.head = {.n = 2, .more = 1},
	.first = {.id = 0x1a,
		  .min = {.wanted = 8192, .now = 8192},
		  .max = {.wanted = 16384, .now = 16384},
		  .huge = {{.wanted = 4096, .now = 4096}, NOTHING},
		  .huge_size = {2U << 20, 1U << 30},
		  .oom_kills = 3,
		  .written = 4,
		  .mode = PROTO_MIRROR_BOTH,
		  .by = PROTO_MIRROR_BY_SYSTEMD,
		  .known = 1,
		  .n_sessions = 2,
		  .path_len = sizeof(PATH) - 1},
	.path = {'/', 'a', '.', 's', 'l', 'i', 'c', 'e'},
	.second = {.id = 0x1b,
		   .min = {.wanted = 4096, .now = 0},
		   .max = NOTHING,
		   .oom_kills = PROTO_UNKNOWN,
		   .mode = PROTO_MIRROR_TRACK,
		   .n_sessions = 1,
		   .reason = "a login scope is never written"},
};

static const struct {
	struct proto_mirrors head;
	struct proto_mirror third;
} last_page = {
	.head = {.n = 1},
	.third = {.id = 0x1c, .max = NOTHING, .mode = PROTO_MIRROR_PROTECT, .known = 1},
};

struct seen {
	struct pinbroker *broker;
	struct pinbroker_mirror mirrors[4];
	char cgroup[16]; /* of the first one that has one */
	size_t n;
	int ret;
};

static int see(const struct pinbroker_mirror *mirror, void *arg)
{
	struct seen *seen = arg;

	CU_ASSERT_FATAL(seen->n < ARRAY_SIZE(seen->mirrors));
	if (mirror->cgroup && !seen->cgroup[0])
		proto_text_set(seen->cgroup, sizeof(seen->cgroup), mirror->cgroup);
	seen->mirrors[seen->n++] = *mirror;
	CU_ASSERT_EQUAL(pinbroker_place(seen->broker, 1, "vm", NULL), -EBUSY);
	return seen->ret;
}

static void mirrors_walk_pages(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct seen seen = {.n = 0};
	const struct pinbroker_mirror *m = seen.mirrors;
	struct proto_mirror_ask ask;

	pair_init(&pair);
	seen.broker = pair.broker;
	pair_reply(&pair, PROTO_REPLY, PROTO_MIRROR, 1, &first_page, sizeof(first_page));
	pair_reply(&pair, PROTO_REPLY, PROTO_MIRROR, 2, &last_page, sizeof(last_page));
	CU_ASSERT_EQUAL(pinbroker_mirrors(pair.broker, see, &seen), 0);
	CU_ASSERT_EQUAL_FATAL(seen.n, 3);
	CU_ASSERT_EQUAL(m[0].id, 0x1a);
	CU_ASSERT_STRING_EQUAL(m[0].mode, "both");
	CU_ASSERT_STRING_EQUAL(m[0].by, "systemd");
	CU_ASSERT_STRING_EQUAL(seen.cgroup, PATH);
	CU_ASSERT_TRUE(m[0].known && !m[0].drift);
	CU_ASSERT_EQUAL(m[0].min.wanted, 8192);
	CU_ASSERT_EQUAL(m[0].max.now, 16384);
	CU_ASSERT_EQUAL_FATAL(m[0].n_huge, 2);
	CU_ASSERT_EQUAL(m[0].huge[0].size, 2U << 20);
	CU_ASSERT_EQUAL(m[0].huge[0].max.wanted, 4096);
	CU_ASSERT_EQUAL(m[0].huge[1].max.now, PINBROKER_UNLIMITED);
	CU_ASSERT_EQUAL(m[0].oom_kills, 3);
	CU_ASSERT_EQUAL(m[0].n_writes, 4);
	CU_ASSERT_EQUAL(m[0].n_sessions, 2);
	CU_ASSERT_STRING_EQUAL(m[0].reason, "");
	CU_ASSERT_PTR_NULL(m[1].cgroup);
	CU_ASSERT_STRING_EQUAL(m[1].mode, "track");
	CU_ASSERT_STRING_EQUAL(m[1].by, "nobody");
	CU_ASSERT_STRING_EQUAL(m[1].reason, first_page.second.reason);
	CU_ASSERT_EQUAL(m[1].oom_kills, PINBROKER_UNKNOWN);
	CU_ASSERT_EQUAL(m[1].n_huge, 0);
	CU_ASSERT_EQUAL(m[2].id, 0x1c);
	pair_expect(&pair, PROTO_MIRROR, &ask, sizeof(ask));
	CU_ASSERT_EQUAL(ask.after, 0);
	pair_expect(&pair, PROTO_MIRROR, &ask, sizeof(ask));
	CU_ASSERT_EQUAL(ask.after, 0x1b);
}

/* Of a page with one record. Return: what the library says of it. */
static bool drift_of(const struct proto_mirror *mirror)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct seen seen = {.n = 0};
	const struct {
		struct proto_mirrors head;
		struct proto_mirror mirror;
	} page = {{.n = 1}, *mirror};

	pair_init(&pair);
	seen.broker = pair.broker;
	pair_reply(&pair, PROTO_REPLY, PROTO_MIRROR, 1, &page, sizeof(page));
	CU_ASSERT_EQUAL(pinbroker_mirrors(pair.broker, see, &seen), 0);
	CU_ASSERT_EQUAL_FATAL(seen.n, 1);
	return seen.mirrors[0].drift;
}

static void drift_is_what_is_wanted_and_not_there(void)
{
	static const struct {
		const char *name;
		struct proto_mirrored min, max, huge;
		uint32_t known;
		bool drift;
	} cases[] = {
		{"as it should be", {1, 1}, {2, 2}, {3, 3}, 1, false},
		{"memory.min", {1, 0}, {2, 2}, {3, 3}, 1, true},
		{"memory.max", {1, 1}, {2, PROTO_UNLIMITED}, {3, 3}, 1, true},
		{"huge pages", {1, 1}, {2, 2}, {3, 4}, 1, true},
		{"not read", {1, 0}, {2, 0}, {3, 0}, 0, false},
		{"nothing is wanted", {PROTO_UNKNOWN, 5}, {PROTO_UNKNOWN, 6}, NOTHING, 1, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct proto_mirror mirror = {.id = 1,
						    .min = cases[i].min,
						    .max = cases[i].max,
						    .huge = {[1] = cases[i].huge},
						    .huge_size = {[0] = 4096, [1] = 8192},
						    .known = cases[i].known};

		CHECK(cases[i].name, drift_of(&mirror) == cases[i].drift);
	}
}

static void bad_pages_show_nothing(void)
{
	static const struct {
		const char *name;
		size_t len; /* that is sent */
		uint32_t n, more, mode, by, path_len;
		char reason_end, path_byte;
	} cases[] = {
		{"cut in a record", sizeof(first_page) - 1, 2, 0, 0, 0, 8, 0, 'x'},
		{"a record too many", sizeof(first_page), 1, 0, 0, 0, 8, 0, 'x'},
		{"a record too few", sizeof(first_page), 3, 0, 0, 0, 8, 0, 'x'},
		{"empty page, and more", sizeof(struct proto_mirrors), 0, 1, 0, 0, 8, 0, 'x'},
		{"more than more", sizeof(first_page), 2, 2, 0, 0, 8, 0, 'x'},
		{"unknown mode", sizeof(first_page), 2, 0, PROTO_MIRROR_MODES, 0, 8, 0, 'x'},
		{"unknown writer", sizeof(first_page), 2, 0, 0, PROTO_MIRROR_BYS, 8, 0, 'x'},
		{"a path too long", sizeof(first_page), 2, 0, 0, 0, 1 << 20, 0, 'x'},
		{"reason without an end", sizeof(first_page), 2, 0, 0, 0, 8, 'x', 'x'},
		{"a path with a NUL", sizeof(first_page), 2, 0, 0, 0, 8, 0, '\0'},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(pair_fini) struct pair pair = {.fd = -1};
		struct seen seen = {.n = 0};
		struct page page = first_page;

		pair_init(&pair);
		seen.broker = pair.broker;
		page.head.n = cases[i].n;
		page.head.more = cases[i].more;
		page.first.mode = cases[i].mode;
		page.first.by = cases[i].by;
		page.first.path_len = cases[i].path_len;
		page.path[3] = cases[i].path_byte;
		page.second.reason[sizeof(page.second.reason) - 1] = cases[i].reason_end;
		pair_reply(&pair, PROTO_REPLY, PROTO_MIRROR, 1, &page, cases[i].len);
		CHECK(cases[i].name, pinbroker_mirrors(pair.broker, see, &seen) == -EPROTO);
		CHECK(cases[i].name, seen.n == 0);
	}
}

static void a_callback_ends_the_walk(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct seen seen = {.ret = 5};

	pair_init(&pair);
	seen.broker = pair.broker;
	pair_reply(&pair, PROTO_REPLY, PROTO_MIRROR, 1, &first_page, sizeof(first_page));
	CU_ASSERT_EQUAL(pinbroker_mirrors(pair.broker, see, &seen), 5);
	CU_ASSERT_EQUAL(seen.n, 1);
}

static void place_names_the_cgroup(void)
{
	static const struct proto_placed placed = {.id = 7, .path = PATH "/vm"};
	static const struct proto_refusal refusal = {.status = 77, .reason = "not-permitted"};
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	char path[PINBROKER_PATH_MAX] = "as it was";
	struct proto_place place;

	pair_init(&pair);
	pair_reply(&pair, PROTO_REFUSAL, PROTO_PLACE, 1, &refusal, sizeof(refusal));
	CU_ASSERT_EQUAL(pinbroker_place(pair.broker, 7, "vm", path), -EACCES);
	CU_ASSERT_STRING_EQUAL(path, "as it was");
	pair_expect(&pair, PROTO_PLACE, &place, sizeof(place));
	CU_ASSERT_EQUAL(place.id, 7);
	CU_ASSERT_STRING_EQUAL(place.name, "vm");
	pair_reply(&pair, PROTO_REPLY, PROTO_PLACE, 2, &placed, sizeof(placed));
	CU_ASSERT_EQUAL(pinbroker_place(pair.broker, 7, "vm", path), 0);
	CU_ASSERT_STRING_EQUAL(path, placed.path);
	pair_reply(&pair, PROTO_REPLY, PROTO_PLACE, 3, &placed, sizeof(placed));
	CU_ASSERT_EQUAL(pinbroker_place(pair.broker, 7, "vm", NULL), 0);
	pair_reply(&pair, PROTO_REPLY, PROTO_PLACE, 4, &placed, sizeof(placed));
	CU_ASSERT_EQUAL(pinbroker_place(pair.broker, 8, "vm", NULL), -EPROTO); /* another's */
}

static void a_name_that_is_none_is_not_sent(void)
{
	static const char *const names[] = {
		"", "a/b", "..",
		"x23456789012345678901234567890123456789012345678901234567890123456789012"};
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};

	pair_init(&pair);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		CU_ASSERT_EQUAL(pinbroker_place(pair.broker, 1, names[i], NULL), -EINVAL);
	pair_expect_nothing(&pair);
}

static void placed_nowhere_ends_the_connection(void)
{
	static const struct proto_placed placed = {.id = 7, .path = "vm"};
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};

	pair_init(&pair);
	pair_reply(&pair, PROTO_REPLY, PROTO_PLACE, 1, &placed, sizeof(placed));
	CU_ASSERT_EQUAL(pinbroker_place(pair.broker, 7, "vm", NULL), -EPROTO);
}

static const CU_TestInfo tests[] = {
	{"mirrors walk the pages", mirrors_walk_pages},
	{"drift is what is wanted and not there", drift_is_what_is_wanted_and_not_there},
	{"bad pages show nothing", bad_pages_show_nothing},
	{"a callback ends the walk", a_callback_ends_the_walk},
	{"place names the cgroup", place_names_the_cgroup},
	{"a name that is none is not sent", a_name_that_is_none_is_not_sent},
	{"placed nowhere ends the connection", placed_nowhere_ends_the_connection},
	CU_TEST_INFO_NULL,
};

const struct suite suite_lib_mirror = {"lib_mirror", tests};
