/* SPDX-License-Identifier: MIT */
/* The wire of the cgroup mirror: its records, and what places a session. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/proto.h"
#include "tests/unit/suite.h"

#define PATH "/a.slice/vm"
#define PATH_LEN (sizeof(PATH) - 1)
#define RECORD (sizeof(struct proto_mirror) + PATH_LEN)

/* Room for two records. */
static char bytes[2 * RECORD];

static struct proto_mirror good_mirror(void)
{
	return (struct proto_mirror){
		.id = 9,
		.mode = PROTO_MIRROR_TRACK,
		.by = PROTO_MIRROR_BY_SYSTEMD,
		.known = 1,
		.path_len = PATH_LEN,
		.reason = "a login scope is never written",
	};
}

static size_t put_record(char *to, const struct proto_mirror *mirror)
{
	memcpy(to, mirror, sizeof(*mirror));
	memcpy(to + sizeof(*mirror), PATH, PATH_LEN);
	return RECORD;
}

/* Return: what proto_mirror_next() says of from[0..len). Nothing is moved by a failure. */
static int next_of(const char *from, size_t len)
{
	const char *pos = from, *path;
	struct proto_mirror mirror;
	int ret = proto_mirror_next(&pos, from + len, &mirror, &path);

	CU_ASSERT_PTR_EQUAL(pos, ret ? from : from + RECORD);
	return ret;
}

static void records_are_taken_one_by_one(void)
{
	struct proto_mirror mirror = good_mirror();
	size_t len = put_record(bytes, &mirror);
	const char *pos = bytes, *path;

	mirror.id = 10;
	len += put_record(bytes + len, &mirror);
	CU_ASSERT_EQUAL(proto_mirror_next(&pos, bytes + len, &mirror, &path), 0);
	CU_ASSERT_EQUAL(mirror.id, 9);
	CU_ASSERT_EQUAL(memcmp(path, PATH, PATH_LEN), 0);
	CU_ASSERT_EQUAL(proto_mirror_next(&pos, bytes + len, &mirror, &path), 0);
	CU_ASSERT_EQUAL(mirror.id, 10);
	CU_ASSERT_PTR_EQUAL(pos, bytes + len);
	CU_ASSERT_EQUAL(proto_mirror_next(&pos, bytes + len, &mirror, &path), -EPROTO);
}

static void a_record_cut_anywhere_is_refused(void)
{
	struct proto_mirror mirror = good_mirror();
	size_t len = put_record(bytes, &mirror);

	for (size_t i = 0; i < len; i++) {
		/* Its own memory, so that a sanitizer sees a read behind the end. */
		CLEANUP(freep) char *copy = malloc(i ? i : 1);

		if (!copy) {
			CU_FAIL("out of memory");
			return;
		}
		memcpy(copy, bytes, i);
		CU_ASSERT_EQUAL(next_of(copy, i), -EPROTO);
	}
	CU_ASSERT_EQUAL(next_of(bytes, len - 1), -EPROTO); /* whatever comes behind it */
	CU_ASSERT_EQUAL(next_of(bytes, len), 0);
}

static void fields_are_within_their_rules(void)
{
	struct proto_mirror cases[7];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cases[i] = good_mirror();
	cases[0].mode = PROTO_MIRROR_MODES;
	cases[1].by = PROTO_MIRROR_BYS;
	cases[2].known = 2;
	cases[3].zero = 1;
	memset(cases[4].reason, 'x', sizeof(cases[4].reason)); /* no NUL */
	cases[5].reason[sizeof(cases[5].reason) - 1] = 'x'; /* behind it */
	cases[6].path_len = UINT32_MAX;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		(void)put_record(bytes, &cases[i]);
		CU_ASSERT_EQUAL(next_of(bytes, RECORD), -EPROTO);
	}
	cases[0].mode = PROTO_MIRROR_MODES - 1;
	(void)put_record(bytes, &cases[0]);
	CU_ASSERT_EQUAL(next_of(bytes, RECORD), 0);
	bytes[RECORD - 1] = '\0'; /* in the path */
	CU_ASSERT_EQUAL(next_of(bytes, RECORD), -EPROTO);
}

static void place_has_a_name(void)
{
	static const struct {
		const char *name;
		struct proto_place place;
		bool valid;
	} cases[] = {
		{"a name", {.id = 1, .name = "vm-1"}, true},
		{"none", {.id = 1}, false},
		{"the directory above", {.id = 1, .name = ".."}, false},
		{"the kernel's", {.id = 1, .name = "cgroup.procs"}, false},
		{"dots in it", {.id = 1, .name = "a..b"}, true},
		{"a path", {.id = 1, .name = "../vm-1"}, false},
		{"zero", {.id = 1, .zero = 1, .name = "vm-1"}, false},
		{"a byte behind the NUL", {.id = 1, .name = {'v', [71] = 'x'}}, false},
	};
	struct proto_place place = {.id = 1};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK(cases[i].name, proto_place_valid(&cases[i].place) == cases[i].valid);
	memset(place.name, 'x', sizeof(place.name)); /* no NUL */
	CU_ASSERT_FALSE(proto_place_valid(&place));
}

static void placed_has_a_path(void)
{
	struct proto_placed placed = {.id = 1, .path = PATH};

	CU_ASSERT_TRUE(proto_placed_valid(&placed));
	placed.path[sizeof(placed.path) - 1] = 'x'; /* behind the NUL */
	CU_ASSERT_FALSE(proto_placed_valid(&placed));
	placed = (struct proto_placed){.path = "vm"};
	CU_ASSERT_FALSE(proto_placed_valid(&placed));
	placed = (struct proto_placed){.path = ""};
	CU_ASSERT_FALSE(proto_placed_valid(&placed));
}

static void modes_and_writers_have_names(void)
{
	CU_ASSERT_STRING_EQUAL(proto_mirror_mode_name(PROTO_MIRROR_BOTH), "both");
	CU_ASSERT_STRING_EQUAL(proto_mirror_mode_name(PROTO_MIRROR_MODES), "unknown");
	CU_ASSERT_STRING_EQUAL(proto_mirror_by_name(PROTO_MIRROR_BY_SYSTEMD), "systemd");
	CU_ASSERT_STRING_EQUAL(proto_mirror_by_name(PROTO_MIRROR_BYS), "unknown");
	for (uint32_t i = 0; i < PROTO_MIRROR_MODES; i++)
		CU_ASSERT_PTR_NOT_NULL(proto_mirror_mode_name(i));
	for (uint32_t i = 0; i < PROTO_MIRROR_BYS; i++)
		CU_ASSERT_PTR_NOT_NULL(proto_mirror_by_name(i));
}

static const CU_TestInfo tests[] = {
	{"records are taken one by one", records_are_taken_one_by_one},
	{"a record cut anywhere is refused", a_record_cut_anywhere_is_refused},
	{"fields are within their rules", fields_are_within_their_rules},
	{"place has a name", place_has_a_name},
	{"placed has a path", placed_has_a_path},
	{"modes and writers have names", modes_and_writers_have_names},
	CU_TEST_INFO_NULL,
};

const struct suite suite_proto_mirror = {"proto_mirror", tests};
