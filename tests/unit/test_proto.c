/* SPDX-License-Identifier: MIT */
#include "common/proto.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

/* Room for a message and for records behind it. */
union packet {
	struct proto_header header;
	char bytes[PROTO_MESSAGE_MAX + 16];
};

static union packet packet;

static void test_body_size(void)
{
	static const struct {
		enum proto_kind kind;
		unsigned int op;
		size_t expected;
	} cases[] = {
		{PROTO_REQUEST, PROTO_OPEN, sizeof(struct proto_open)},
		{PROTO_REQUEST, PROTO_LIST, sizeof(struct proto_list)},
		{PROTO_REQUEST, PROTO_SHOW, sizeof(struct proto_show)},
		{PROTO_REQUEST, PROTO_EXPLAIN, sizeof(struct proto_explain)},
		{PROTO_REQUEST, PROTO_OPEN_FOR, sizeof(struct proto_open_for)},
		{PROTO_REQUEST, PROTO_SET, sizeof(struct proto_set)},
		{PROTO_REQUEST, PROTO_ATTACH, sizeof(struct proto_attach)},
		{PROTO_REQUEST, PROTO_ADOPT, sizeof(struct proto_adopt)},
		{PROTO_REQUEST, PROTO_RESERVE, sizeof(struct proto_reserve)},
		{PROTO_REPLY, PROTO_RESERVE, sizeof(struct proto_grant)},
		{PROTO_REQUEST, PROTO_HANDOFF, sizeof(struct proto_handoff)},
		{PROTO_REPLY, PROTO_HANDOFF, sizeof(struct proto_grant)},
		{PROTO_REQUEST, PROTO_PASS, sizeof(struct proto_pass)},
		{PROTO_REPLY, PROTO_PASS, sizeof(struct proto_done)},
		{PROTO_REQUEST, PROTO_CLOSE, sizeof(struct proto_close)},
		{PROTO_REQUEST, PROTO_REVOKE, sizeof(struct proto_revoke)},
		{PROTO_REQUEST, PROTO_STATUS, sizeof(struct proto_status_ask)},
		{PROTO_REQUEST, PROTO_HOST, sizeof(struct proto_host_ask)},
		{PROTO_REPLY, PROTO_HOST, sizeof(struct proto_host)},
		{PROTO_REPLY, PROTO_OPEN_FOR, sizeof(struct proto_grant)},
		{PROTO_REPLY, PROTO_ADOPT, sizeof(struct proto_done)},
		{PROTO_REPLY, PROTO_STATUS, sizeof(struct proto_status)},
		{PROTO_REPLY, PROTO_OPEN, sizeof(struct proto_grant)},
		{PROTO_REPLY, PROTO_LIST, sizeof(struct proto_sessions)},
		{PROTO_REPLY, PROTO_SHOW, sizeof(struct proto_sessions)},
		{PROTO_REPLY, PROTO_EXPLAIN, sizeof(struct proto_explanation)},
		{PROTO_REFUSAL, PROTO_OPEN, sizeof(struct proto_refusal)},
		{PROTO_REFUSAL, 200, sizeof(struct proto_refusal)},
		{PROTO_REFUSAL, 0, 0},
		{PROTO_REQUEST, 0, 0},
		{PROTO_REPLY, 0, 0},
		{PROTO_REQUEST, PROTO_OPS, 0},
		{PROTO_REPLY, PROTO_OPS, 0},
		{PROTO_REQUEST, 255, 0},
		{PROTO_REQUEST, PROTO_TRACE, sizeof(struct proto_trace)},
		{PROTO_REPLY, PROTO_TRACE, sizeof(struct proto_traced)},
		{PROTO_EVENTS, PROTO_TRACE, sizeof(struct proto_events)},
		{PROTO_REQUEST, PROTO_MIRROR, sizeof(struct proto_mirror_ask)},
		{PROTO_REPLY, PROTO_MIRROR, sizeof(struct proto_mirrors)},
		{PROTO_REQUEST, PROTO_PLACE, sizeof(struct proto_place)},
		{PROTO_REPLY, PROTO_PLACE, sizeof(struct proto_placed)},
		{PROTO_EVENTS, PROTO_MIRROR, 0},
		{PROTO_EVENTS, PROTO_OPEN, 0},
		{(enum proto_kind)4, PROTO_OPEN, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CU_ASSERT_EQUAL(proto_body_size(cases[i].kind, cases[i].op), cases[i].expected);
	/* The largest body must fit. */
	for (unsigned int op = 1; op < PROTO_OPS; op++)
		CU_ASSERT_TRUE(proto_body_size(PROTO_REQUEST, op) + sizeof(struct proto_header) <=
			       PROTO_MESSAGE_MAX);
}

static void test_header(void)
{
	struct proto_header header = proto_header(PROTO_REQUEST, PROTO_SHOW, 77, 16);

	CU_ASSERT_EQUAL(header.version, PROTO_VERSION);
	CU_ASSERT_EQUAL(header.kind, PROTO_REQUEST);
	CU_ASSERT_EQUAL(header.op, PROTO_SHOW);
	CU_ASSERT_EQUAL(header.size, 32);
	CU_ASSERT_EQUAL(header.serial, 77);
}

#define HEADER 16
#define SHOW (HEADER + sizeof(struct proto_show))
#define PAGE (HEADER + sizeof(struct proto_sessions))
#define STATUS (HEADER + sizeof(struct proto_status))
#define HOST (HEADER + sizeof(struct proto_host))
#define MIRRORS (HEADER + sizeof(struct proto_mirrors))
#define PLACED (HEADER + sizeof(struct proto_placed))
#define EVENTS (HEADER + sizeof(struct proto_events))
#define TRACED (HEADER + sizeof(struct proto_traced))
#define REFUSAL (HEADER + sizeof(struct proto_refusal))

static const struct check_case {
	const char *name;
	enum proto_kind expected_kind;
	unsigned int version, kind, op;
	size_t size; /* as the header says */
	size_t len; /* as it is */
	int expected;
} check_cases[] = {
	{"request", PROTO_REQUEST, 1, PROTO_REQUEST, PROTO_SHOW, SHOW, SHOW, 0},
	{"a byte short", PROTO_REQUEST, 1, PROTO_REQUEST, PROTO_SHOW, SHOW - 1, SHOW - 1, -EPROTO},
	{"a byte long", PROTO_REQUEST, 1, PROTO_REQUEST, PROTO_SHOW, SHOW + 1, SHOW + 1, -EPROTO},
	{"size field low", PROTO_REQUEST, 1, PROTO_REQUEST, PROTO_SHOW, SHOW - 1, SHOW, -EPROTO},
	{"size field high", PROTO_REQUEST, 1, PROTO_REQUEST, PROTO_SHOW, SHOW + 1, SHOW, -EPROTO},
	{"empty", PROTO_REQUEST, 1, PROTO_REQUEST, PROTO_SHOW, 0, 0, -EPROTO},
	{"header cut", PROTO_REQUEST, 1, PROTO_REQUEST, PROTO_SHOW, HEADER - 1, HEADER - 1,
	 -EPROTO},
	{"header only", PROTO_REQUEST, 1, PROTO_REQUEST, PROTO_SHOW, HEADER, HEADER, -EPROTO},
	{"too large", PROTO_REPLY, 1, PROTO_REPLY, PROTO_LIST, PROTO_MESSAGE_MAX + 1,
	 PROTO_MESSAGE_MAX + 1, -EPROTO},
	{"largest", PROTO_REPLY, 1, PROTO_REPLY, PROTO_LIST, PROTO_MESSAGE_MAX, PROTO_MESSAGE_MAX,
	 0},
	{"version 0", PROTO_REQUEST, 0, PROTO_REQUEST, PROTO_SHOW, SHOW, SHOW, -EPROTONOSUPPORT},
	{"version 2", PROTO_REQUEST, 2, PROTO_REQUEST, PROTO_SHOW, SHOW, SHOW, -EPROTONOSUPPORT},
	{"version 2 of any size", PROTO_REQUEST, 2, 9, 9, 1, SHOW, -EPROTONOSUPPORT},
	{"version 257", PROTO_REQUEST, 257, PROTO_REQUEST, PROTO_SHOW, SHOW, SHOW,
	 -EPROTONOSUPPORT},
	{"answer to a broker", PROTO_REQUEST, 1, PROTO_REPLY, PROTO_LIST, PAGE, PAGE, -EPROTO},
	{"refusal to a broker", PROTO_REQUEST, 1, PROTO_REFUSAL, PROTO_SHOW, REFUSAL, REFUSAL,
	 -EPROTO},
	{"request to a client", PROTO_REPLY, 1, PROTO_REQUEST, PROTO_SHOW, SHOW, SHOW, -EPROTO},
	{"unknown kind", PROTO_REPLY, 1, 4, PROTO_SHOW, SHOW, SHOW, -EPROTO},
	{"events", PROTO_EVENTS, 1, PROTO_EVENTS, PROTO_TRACE, EVENTS, EVENTS, 0},
	{"events with records", PROTO_EVENTS, 1, PROTO_EVENTS, PROTO_TRACE, EVENTS + 184,
	 EVENTS + 184, 0},
	{"events for an answer", PROTO_REPLY, 1, PROTO_EVENTS, PROTO_TRACE, EVENTS, EVENTS,
	 -EPROTO},
	{"answer for events", PROTO_EVENTS, 1, PROTO_REPLY, PROTO_TRACE, EVENTS, EVENTS, -EPROTO},
	{"events of another operation", PROTO_EVENTS, 1, PROTO_EVENTS, PROTO_SHOW, EVENTS, EVENTS,
	 -EOPNOTSUPP},
	{"trace with a tail", PROTO_REPLY, 1, PROTO_REPLY, PROTO_TRACE, TRACED + 1, TRACED + 1,
	 -EPROTO},
	{"unknown kind to a broker", PROTO_REQUEST, 1, 255, PROTO_SHOW, SHOW, SHOW, -EPROTO},
	{"operation 0", PROTO_REQUEST, 1, PROTO_REQUEST, 0, SHOW, SHOW, -EOPNOTSUPP},
	{"later operation", PROTO_REQUEST, 1, PROTO_REQUEST, PROTO_OPS, HEADER, HEADER,
	 -EOPNOTSUPP},
	{"last operation", PROTO_REQUEST, 1, PROTO_REQUEST, 255, SHOW, SHOW, -EOPNOTSUPP},
	{"refusal", PROTO_REPLY, 1, PROTO_REFUSAL, PROTO_SHOW, REFUSAL, REFUSAL, 0},
	{"refusal of a later operation", PROTO_REPLY, 1, PROTO_REFUSAL, 99, REFUSAL, REFUSAL, 0},
	{"refusal with a tail", PROTO_REPLY, 1, PROTO_REFUSAL, PROTO_LIST, REFUSAL + 1, REFUSAL + 1,
	 -EPROTO},
	{"page of none", PROTO_REPLY, 1, PROTO_REPLY, PROTO_LIST, PAGE, PAGE, 0},
	{"page with records", PROTO_REPLY, 1, PROTO_REPLY, PROTO_SHOW, PAGE + 232, PAGE + 232, 0},
	{"status with records", PROTO_REPLY, 1, PROTO_REPLY, PROTO_STATUS, STATUS + 120,
	 STATUS + 120, 0},
	{"host with records", PROTO_REPLY, 1, PROTO_REPLY, PROTO_HOST, HOST + 88, HOST + 88, 0},
	{"mirror with records", PROTO_REPLY, 1, PROTO_REPLY, PROTO_MIRROR, MIRRORS + 344,
	 MIRRORS + 344, 0},
	{"mirror cut", PROTO_REPLY, 1, PROTO_REPLY, PROTO_MIRROR, MIRRORS - 1, MIRRORS - 1,
	 -EPROTO},
	{"placed with a tail", PROTO_REPLY, 1, PROTO_REPLY, PROTO_PLACE, PLACED + 1, PLACED + 1,
	 -EPROTO},
	{"page cut", PROTO_REPLY, 1, PROTO_REPLY, PROTO_LIST, PAGE - 1, PAGE - 1, -EPROTO},
};

static void test_check(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(check_cases); i++) {
		const struct check_case *c = &check_cases[i];
		struct proto_header out = {.serial = 1};
		int ret;

		memset(&packet, 0, sizeof(packet));
		packet.header = (struct proto_header){
			.version = (uint16_t)c->version,
			.kind = (uint8_t)c->kind,
			.op = (uint8_t)c->op,
			.size = (uint32_t)c->size,
			.serial = 0x1122334455667788,
		};
		ret = proto_check(packet.bytes, c->len, c->expected_kind, &out);
		if (ret != c->expected)
			(void)fprintf(stderr, "check: %s: %d\n", c->name, ret);
		CU_ASSERT_EQUAL(ret, c->expected);
		/* With -EOPNOTSUPP the sender can be told. */
		CU_ASSERT_EQUAL(out.serial == 1, ret != 0 && ret != -EOPNOTSUPP);
	}
}

static void test_text(void)
{
	char field[8];

	memset(field, 0, sizeof(field));
	CU_ASSERT_TRUE(proto_text_valid(field, sizeof(field)));
	proto_text_set(field, sizeof(field), "1234567");
	CU_ASSERT_TRUE(proto_text_valid(field, sizeof(field)));
	CU_ASSERT_STRING_EQUAL(field, "1234567");
	field[7] = '8'; /* no NUL */
	CU_ASSERT_FALSE(proto_text_valid(field, sizeof(field)));
	proto_text_set(field, sizeof(field), "ab"); /* leaves nothing of what was there */
	CU_ASSERT_TRUE(proto_text_valid(field, sizeof(field)));
	field[7] = 'x'; /* bytes after the NUL */
	CU_ASSERT_FALSE(proto_text_valid(field, sizeof(field)));
	proto_text_set(field, sizeof(field), "123456789");
	CU_ASSERT_STRING_EQUAL(field, "1234567");
	CU_ASSERT_TRUE(proto_text_valid("", 1));
	CU_ASSERT_FALSE(proto_text_valid("x", 1));
	CU_ASSERT_FALSE(proto_text_valid("", 0));
}

static void test_name(void)
{
	static const struct {
		const char *name;
		bool expected;
	} cases[] = {
		{"vm1", true},
		{"a.B_9:@-", true},
		{"0123456789012345678901234567890123456789012345678901234567890123", true},
		{"01234567890123456789012345678901234567890123456789012345678901234", false},
		{"", false},
		{"a b", false},
		{"a/b", false},
		{"a\n", false},
		{"\xc3\xa9", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CU_ASSERT_EQUAL(proto_name_valid(cases[i].name), cases[i].expected);
}

static struct proto_open good_open(void)
{
	struct proto_open open = {.memory = 1, .n_devices = 1, .name = "vm"};

	proto_text_set(open.devices[0], sizeof(open.devices[0]), "0000:65:00.0");
	return open;
}

static void test_open(void)
{
	struct proto_open open = good_open();

	CU_ASSERT_TRUE(proto_open_valid(&open));
	open.flags = PROTO_OPEN_VIOMMU | PROTO_OPEN_EXEC;
	open.accounting = PROTO_ACCOUNTING_USER;
	CU_ASSERT_TRUE(proto_open_valid(&open));
	memset(open.name, 0, sizeof(open.name)); /* no name is fine */
	CU_ASSERT_TRUE(proto_open_valid(&open));
	open.flags = 4;
	CU_ASSERT_FALSE(proto_open_valid(&open));
	open = good_open();
	open.accounting = 3;
	CU_ASSERT_FALSE(proto_open_valid(&open));
	open = good_open();
	open.zero = 1;
	CU_ASSERT_FALSE(proto_open_valid(&open));
	open = good_open();
	open.name[0] = '/';
	CU_ASSERT_FALSE(proto_open_valid(&open));
	open = good_open();
	open.name[71] = 'x'; /* after the NUL */
	CU_ASSERT_FALSE(proto_open_valid(&open));
	open = good_open();
	memset(open.name, 'a', 65); /* a character more than a name has */
	CU_ASSERT_FALSE(proto_open_valid(&open));
	open.name[64] = '\0';
	CU_ASSERT_TRUE(proto_open_valid(&open));
}

static void test_open_devices(void)
{
	struct proto_open open = good_open();

	open.n_devices = 0; /* with the name of one still there */
	CU_ASSERT_FALSE(proto_open_valid(&open));
	open.n_devices = 2; /* the second has no name */
	CU_ASSERT_FALSE(proto_open_valid(&open));
	for (unsigned int i = 0; i < PROTO_DEVICES_MAX; i++)
		proto_text_set(open.devices[i], sizeof(open.devices[i]), "0000:65:00.0");
	open.n_devices = PROTO_DEVICES_MAX;
	CU_ASSERT_TRUE(proto_open_valid(&open));
	open.n_devices = PROTO_DEVICES_MAX + 1;
	CU_ASSERT_FALSE(proto_open_valid(&open));
	open.n_devices = UINT32_MAX;
	CU_ASSERT_FALSE(proto_open_valid(&open));
	open.n_devices = PROTO_DEVICES_MAX;
	memset(open.devices[15], 'a', 40); /* no NUL */
	CU_ASSERT_FALSE(proto_open_valid(&open));
	open = good_open();
	open.devices[0][39] = 'x';
	CU_ASSERT_FALSE(proto_open_valid(&open));
	open = good_open();
	open.devices[15][39] = 'x'; /* the last byte of a device that is not counted */
	CU_ASSERT_FALSE(proto_open_valid(&open));
}

static struct proto_explain good_explain(void)
{
	struct proto_explain explain = {
		.subject = {.flags = PROTO_SUBJECT_UID | PROTO_SUBJECT_CGROUP,
			    .uid = 1000,
			    .n_gids = 2,
			    .gids = {1000, 27},
			    .cgroup = "/machine.slice"},
		.open = good_open(),
	};

	return explain;
}

static void test_subject(void)
{
	struct proto_subject subject = {.flags = 0};

	CU_ASSERT_TRUE(proto_subject_valid(&subject)); /* the requester */
	subject.uid = 1; /* without the flag */
	CU_ASSERT_FALSE(proto_subject_valid(&subject));
	subject.uid = 0;
	subject.n_gids = 1;
	CU_ASSERT_FALSE(proto_subject_valid(&subject));
	subject.n_gids = 0;
	subject.cgroup[0] = '/';
	CU_ASSERT_FALSE(proto_subject_valid(&subject));
	subject.flags = PROTO_SUBJECT_CGROUP;
	CU_ASSERT_TRUE(proto_subject_valid(&subject));
	subject.cgroup[0] = 'x'; /* not absolute */
	CU_ASSERT_FALSE(proto_subject_valid(&subject));
	subject.cgroup[0] = '\0';
	CU_ASSERT_FALSE(proto_subject_valid(&subject));
	memset(subject.cgroup, '/', sizeof(subject.cgroup)); /* no NUL */
	CU_ASSERT_FALSE(proto_subject_valid(&subject));
	subject.cgroup[4095] = '\0';
	CU_ASSERT_TRUE(proto_subject_valid(&subject));
	subject.domain[0] = 'd'; /* without the flag */
	CU_ASSERT_FALSE(proto_subject_valid(&subject));
	subject.flags |= PROTO_SUBJECT_DOMAIN;
	CU_ASSERT_TRUE(proto_subject_valid(&subject));
	subject.process.pid = 7; /* without the flag */
	CU_ASSERT_FALSE(proto_subject_valid(&subject));
	subject.flags |= PROTO_SUBJECT_PROCESS; /* without an inode */
	CU_ASSERT_FALSE(proto_subject_valid(&subject));
	subject.process.inode = 8;
	CU_ASSERT_TRUE(proto_subject_valid(&subject));
	subject.domain[255] = 'd'; /* behind the NUL */
	CU_ASSERT_FALSE(proto_subject_valid(&subject));
	memset(subject.domain, 0, sizeof(subject.domain)); /* the flag alone */
	CU_ASSERT_FALSE(proto_subject_valid(&subject));
}

static void test_set(void)
{
	static const struct {
		const char *name;
		struct proto_set set;
		bool valid;
	} cases[] = {
		{"one", {.keys = PROTO_SET_LIMIT, .limit = 1}, true},
		{"a limit of nothing", {.keys = PROTO_SET_LIMIT}, true},
		{"all",
		 {.keys = 15,
		  .limit = 1,
		  .max_mappings = UINT64_MAX,
		  .max_objects = UINT64_MAX,
		  .migration_buffers = UINT64_MAX},
		 true},
		{"none", {.id = 1}, false},
		{"a key of later", {.keys = 1 | 16, .limit = 1}, false},
		{"zero", {.keys = 1, .zero = 1}, false},
		{"unlimited", {.keys = 1, .limit = UINT64_MAX}, false},
		{"limit without key", {.keys = 2, .limit = 1}, false},
		{"mappings without key", {.keys = 1, .max_mappings = 1}, false},
		{"objects without key", {.keys = 1, .max_objects = 1}, false},
		{"buffers without key", {.keys = 1, .migration_buffers = 1}, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (proto_set_valid(&cases[i].set) != cases[i].valid)
			(void)fprintf(stderr, "set: %s\n", cases[i].name);
		CU_ASSERT_EQUAL(proto_set_valid(&cases[i].set), cases[i].valid);
	}
}

static void test_small_requests(void)
{
	struct proto_attach attach = {.id = 1};
	struct proto_revoke revoke = {.id = 1, .flags = PROTO_REVOKE_KILL};

	struct proto_adopt adopt = {.process = {.inode = 5, .pid = INT32_MAX}};

	CU_ASSERT_TRUE(proto_adopt_valid(&adopt));
	adopt.process.pid++;
	CU_ASSERT_FALSE(proto_adopt_valid(&adopt));
	adopt.process.pid = 0;
	CU_ASSERT_FALSE(proto_adopt_valid(&adopt));
	adopt.process = (struct proto_process){.inode = 5, .pid = 1, .zero = 1};
	CU_ASSERT_FALSE(proto_adopt_valid(&adopt));
	CU_ASSERT_FALSE(proto_attach_valid(&attach));
	attach.device[0] = 'x';
	CU_ASSERT_TRUE(proto_attach_valid(&attach));
	memset(attach.device, 'x', sizeof(attach.device));
	CU_ASSERT_FALSE(proto_attach_valid(&attach));
	CU_ASSERT_TRUE(proto_revoke_valid(&revoke));
	revoke.zero = 1;
	CU_ASSERT_FALSE(proto_revoke_valid(&revoke));
	revoke = (struct proto_revoke){.flags = 2};
	CU_ASSERT_FALSE(proto_revoke_valid(&revoke));
}

static void test_reserve(void)
{
	const struct proto_reserve good = {
		.subject = {.flags = PROTO_SUBJECT_DOMAIN, .domain = "db-1"},
		.open = {.n_devices = 1, .devices = {"0000:65:00.0"}},
		.wait_ms = PROTO_RESERVE_WAIT_MAX_MS,
	};
	struct proto_reserve bad[9];

	CU_ASSERT_TRUE(proto_reserve_valid(&good));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		bad[i] = good;
	bad[0].subject = (struct proto_subject){.flags = 0};
	bad[1].subject = (struct proto_subject){.flags = PROTO_SUBJECT_PROCESS,
						.process = {.inode = 5, .pid = 1}};
	bad[2].open = (struct proto_open){.n_devices = 0};
	bad[3].open.flags = PROTO_OPEN_EXEC;
	bad[4].open.accounting = PROTO_ACCOUNTING_USER;
	bad[5].wait_ms = 0;
	bad[6].wait_ms++;
	bad[7].zero = 1;
	bad[8].open.zero = 1;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK("reserve", !proto_reserve_valid(&bad[i]));
}

static void test_handoff(void)
{
	const struct proto_handoff good = {
		.subject = {.flags = PROTO_SUBJECT_UID | PROTO_SUBJECT_CGROUP,
			    .uid = 107,
			    .cgroup = "/kubepods"},
		.wait_ms = PROTO_RESERVE_WAIT_MAX_MS,
	};
	struct proto_handoff bad[11];

	CU_ASSERT_TRUE(proto_handoff_valid(&good));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		bad[i] = good;
	bad[0].subject = (struct proto_subject){.flags = PROTO_SUBJECT_UID, .uid = 107};
	bad[1].subject = (struct proto_subject){.flags = PROTO_SUBJECT_CGROUP, .cgroup = "/a"};
	bad[2].subject.flags |= PROTO_SUBJECT_PROCESS;
	bad[2].subject.process = (struct proto_process){.inode = 5, .pid = 1};
	bad[3].subject.cgroup[1] = '\0';
	memset(bad[3].subject.cgroup + 1, 0, sizeof(bad[3].subject.cgroup) - 1);
	bad[4].subject.cgroup[strlen("/kubepods")] = '/';
	bad[5].open.flags = PROTO_OPEN_EXEC;
	bad[6].open.zero = 1;
	bad[7].wait_ms = 0;
	bad[8].wait_ms++;
	bad[9].zero = 1;
	bad[10].subject.cgroup[0] = 'k';
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK("handoff", !proto_handoff_valid(&bad[i]));
}

static void test_event(void)
{
	struct proto_event event = {.kind = PROTO_EVENT_KILL, .uid = UINT32_MAX};

	CU_ASSERT_TRUE(proto_event_valid(&event));
	event.kind = PROTO_EVENT_KINDS;
	CU_ASSERT_FALSE(proto_event_valid(&event));
	event = (struct proto_event){.comm = {[15] = 'x'}};
	CU_ASSERT_FALSE(proto_event_valid(&event));
	event = (struct proto_event){.what = {[39] = 'x'}};
	CU_ASSERT_FALSE(proto_event_valid(&event));
	for (unsigned int i = 0; i < PROTO_EVENT_KINDS; i++)
		CU_ASSERT_PTR_NOT_NULL(proto_event_name(i));
	CU_ASSERT_STRING_EQUAL(proto_event_name(PROTO_EVENT_KINDS), "unknown");
}

static void test_status(void)
{
	struct proto_status status = {.gate = PROTO_GATE_EXACT, .more = 1};
	struct proto_done done = {.state = PROTO_STATE_REVOKED};
	struct proto_share share = {.uid = 1};

	CU_ASSERT_TRUE(proto_status_valid(&status));
	status.gate = PROTO_GATES;
	CU_ASSERT_FALSE(proto_status_valid(&status));
	status = (struct proto_status){.more = 2};
	CU_ASSERT_FALSE(proto_status_valid(&status));
	status = (struct proto_status){.gate_reason = {[255] = 'x'}};
	CU_ASSERT_FALSE(proto_status_valid(&status));
	CU_ASSERT_TRUE(proto_share_valid(&share));
	share.policy[71] = 'x';
	CU_ASSERT_FALSE(proto_share_valid(&share));
	CU_ASSERT_TRUE(proto_done_valid(&done));
	done.state = PROTO_STATES;
	CU_ASSERT_FALSE(proto_done_valid(&done));
	done = (struct proto_done){.zero = 1};
	CU_ASSERT_FALSE(proto_done_valid(&done));
	CU_ASSERT_STRING_EQUAL(proto_gate_name(PROTO_GATE_BEST_EFFORT), "best-effort");
	CU_ASSERT_STRING_EQUAL(proto_gate_name(PROTO_GATES), "unknown");
}

static void test_explain(void)
{
	struct proto_explain explain = good_explain();

	CU_ASSERT_TRUE(proto_explain_valid(&explain));
	explain.subject.flags |= 16;
	CU_ASSERT_FALSE(proto_explain_valid(&explain));
	explain = good_explain();
	explain.subject.zero = 1;
	CU_ASSERT_FALSE(proto_explain_valid(&explain));
	explain = good_explain();
	explain.subject.uid = UINT32_MAX;
	CU_ASSERT_FALSE(proto_explain_valid(&explain));
	explain = good_explain();
	explain.subject.n_gids = 1; /* with a second one still there */
	CU_ASSERT_FALSE(proto_explain_valid(&explain));
	explain.subject.n_gids = PROTO_GIDS_MAX;
	CU_ASSERT_TRUE(proto_explain_valid(&explain));
	explain.subject.n_gids = PROTO_GIDS_MAX + 1;
	CU_ASSERT_FALSE(proto_explain_valid(&explain));
	explain = good_explain();
	explain.subject.cgroup[4095] = 'x';
	CU_ASSERT_FALSE(proto_explain_valid(&explain));
	explain = good_explain();
	explain.open.zero = 1;
	CU_ASSERT_FALSE(proto_explain_valid(&explain));
}

static void test_grant(void)
{
	struct proto_grant good = {.accounting = PROTO_ACCOUNTING_TASK, .n_devices = 16};
	struct proto_grant grant = good;

	CU_ASSERT_TRUE(proto_grant_valid(&grant));
	grant.accounting = PROTO_ACCOUNTING_POLICY;
	CU_ASSERT_FALSE(proto_grant_valid(&grant));
	grant.accounting = 3;
	CU_ASSERT_FALSE(proto_grant_valid(&grant));
	grant = good;
	grant.n_devices = 17;
	CU_ASSERT_FALSE(proto_grant_valid(&grant));
	grant = good;
	grant.name[71] = 'x';
	CU_ASSERT_FALSE(proto_grant_valid(&grant));
	grant = good;
	grant.policy[71] = 'x';
	CU_ASSERT_FALSE(proto_grant_valid(&grant));
	grant = good;
	memset(grant.warning, 'x', sizeof(grant.warning));
	CU_ASSERT_FALSE(proto_grant_valid(&grant));
}

static void test_refusal(void)
{
	static const struct {
		const char *name;
		uint32_t status;
		uint32_t zero;
		const char *reason;
		bool expected;
	} cases[] = {
		{"refused", 77, 0, "no-policy", true},
		{"refused for no reason", 77, 0, "", false},
		{"no such session", 66, 0, "", true},
		{"no such session with a reason", 66, 0, "no-policy", false},
		{"internal", 70, 0, "", true},
		{"status 0", 0, 0, "", false},
		{"other status", 69, 0, "", false},
		{"reserved field", 77, 1, "no-policy", false},
	};
	struct proto_refusal refusal;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		refusal = (struct proto_refusal){.status = cases[i].status, .zero = cases[i].zero};
		proto_text_set(refusal.reason, sizeof(refusal.reason), cases[i].reason);
		CU_ASSERT_EQUAL(proto_refusal_valid(&refusal), cases[i].expected);
	}
	refusal = (struct proto_refusal){.status = 70};
	memset(refusal.text, 'x', sizeof(refusal.text));
	CU_ASSERT_FALSE(proto_refusal_valid(&refusal));
	refusal = (struct proto_refusal){.status = 77};
	memset(refusal.reason, 'x', sizeof(refusal.reason));
	CU_ASSERT_FALSE(proto_refusal_valid(&refusal));
}

static void test_explanation(void)
{
	struct proto_explanation explanation = {.granted = 1, .flags = 0xffffffff};

	CU_ASSERT_TRUE(proto_explanation_valid(&explanation));
	explanation.granted = 2;
	CU_ASSERT_FALSE(proto_explanation_valid(&explanation));
	explanation.granted = 0; /* refused for no reason */
	CU_ASSERT_FALSE(proto_explanation_valid(&explanation));
	proto_text_set(explanation.reason, sizeof(explanation.reason), "user-limit");
	CU_ASSERT_TRUE(proto_explanation_valid(&explanation));
	explanation.granted = 1;
	CU_ASSERT_FALSE(proto_explanation_valid(&explanation));
	explanation.granted = 0;
	explanation.accounting = 3;
	CU_ASSERT_FALSE(proto_explanation_valid(&explanation));
	explanation.accounting = 0;
	explanation.text[607] = 'x';
	CU_ASSERT_FALSE(proto_explanation_valid(&explanation));
}

/* Writes a record with 3 bytes of cgroup and 2 devices. Return: its length. */
static size_t put_record(char *to, const struct proto_session *session)
{
	static const char tail[3 + 80] = "/ab"
					 "0000:65:00.0";

	memcpy(to, session, sizeof(*session));
	memcpy(to + sizeof(*session), tail, sizeof(tail));
	memcpy(to + sizeof(*session) + 3 + 40, "x", 2);
	return sizeof(*session) + sizeof(tail);
}

#define RECORD (sizeof(struct proto_session) + 3 + 80)

static struct proto_session good_session(void)
{
	return (struct proto_session){
		.id = 9,
		.accounting = PROTO_ACCOUNTING_TASK,
		.state = PROTO_STATE_IDLE,
		.cgroup_len = 3,
		.n_devices = 2,
		.name = "vm",
		.policy = "tenants",
	};
}

/* Return: what proto_session_next() says of bytes[0..len). Nothing is moved by a failure. */
static int next_of(const char *bytes, size_t len)
{
	const char *pos = bytes;
	struct proto_session session;
	const char(*devices)[40];
	const char *cgroup;
	int ret = proto_session_next(&pos, bytes + len, &session, &cgroup, &devices);

	CU_ASSERT_PTR_EQUAL(pos, ret ? bytes : bytes + RECORD);
	return ret;
}

static void test_session_next(void)
{
	struct proto_session session = good_session();
	size_t len = put_record(packet.bytes, &session);
	const char *pos = packet.bytes;
	const char(*devices)[40];
	const char *cgroup;

	session.id = 10;
	len += put_record(packet.bytes + len, &session);
	CU_ASSERT_EQUAL(proto_session_next(&pos, packet.bytes + len, &session, &cgroup, &devices),
			0);
	CU_ASSERT_EQUAL(session.id, 9);
	CU_ASSERT_EQUAL(memcmp(cgroup, "/ab", 3), 0);
	CU_ASSERT_STRING_EQUAL(devices[0], "0000:65:00.0");
	CU_ASSERT_STRING_EQUAL(devices[1], "x");
	CU_ASSERT_EQUAL(proto_session_next(&pos, packet.bytes + len, &session, &cgroup, &devices),
			0);
	CU_ASSERT_EQUAL(session.id, 10);
	CU_ASSERT_PTR_EQUAL(pos, packet.bytes + len);
	CU_ASSERT_EQUAL(proto_session_next(&pos, packet.bytes + len, &session, &cgroup, &devices),
			-EPROTO);
}

static void test_session_cut(void)
{
	struct proto_session session = good_session();
	size_t len = put_record(packet.bytes, &session);

	CU_ASSERT_EQUAL(len, RECORD);
	for (size_t i = 0; i < len; i++) {
		/* Its own memory, so that a sanitizer sees a read behind the end. */
		CLEANUP(freep) char *copy = malloc(i ? i : 1);

		if (!copy) {
			CU_FAIL("out of memory");
			return;
		}
		memcpy(copy, packet.bytes, i);
		CU_ASSERT_EQUAL(next_of(copy, i), -EPROTO);
	}
	CU_ASSERT_EQUAL(next_of(packet.bytes, len), 0);
}

static void test_session_fields(void)
{
	struct proto_session session = good_session();

	session.state = PROTO_STATES;
	(void)put_record(packet.bytes, &session);
	CU_ASSERT_EQUAL(next_of(packet.bytes, RECORD), -EPROTO);
	session = good_session();
	session.accounting = 3;
	(void)put_record(packet.bytes, &session);
	CU_ASSERT_EQUAL(next_of(packet.bytes, RECORD), -EPROTO);
	session = good_session();
	session.n_devices = PROTO_DEVICES_MAX + 1;
	(void)put_record(packet.bytes, &session);
	CU_ASSERT_EQUAL(next_of(packet.bytes, sizeof(packet)), -EPROTO);
	session = good_session();
	session.name[71] = 'x';
	(void)put_record(packet.bytes, &session);
	CU_ASSERT_EQUAL(next_of(packet.bytes, RECORD), -EPROTO);
	session = good_session();
	session.flags = UINT32_MAX; /* unknown ones only add */
	(void)put_record(packet.bytes, &session);
	CU_ASSERT_EQUAL(next_of(packet.bytes, RECORD), 0);
}

static void test_session_texts(void)
{
	struct proto_session session = good_session();

	(void)put_record(packet.bytes, &session);
	packet.bytes[sizeof(session) + 1] = '\0'; /* in the cgroup */
	CU_ASSERT_EQUAL(next_of(packet.bytes, RECORD), -EPROTO);
	(void)put_record(packet.bytes, &session);
	packet.bytes[sizeof(session) + 3] = '\0'; /* a device without a name, rubbish behind */
	CU_ASSERT_EQUAL(next_of(packet.bytes, RECORD), -EPROTO);
	(void)put_record(packet.bytes, &session);
	memset(packet.bytes + sizeof(session) + 3 + 40, 'x', 40); /* no NUL */
	CU_ASSERT_EQUAL(next_of(packet.bytes, RECORD), -EPROTO);
	memset(packet.bytes + sizeof(session) + 3 + 40, 0, 40);
	CU_ASSERT_EQUAL(next_of(packet.bytes, RECORD), -EPROTO);
}

static void test_state_names(void)
{
	CU_ASSERT_STRING_EQUAL(proto_state_name(PROTO_STATE_PENDING), "pending");
	CU_ASSERT_STRING_EQUAL(proto_state_name(PROTO_STATE_UNMANAGED), "unmanaged");
	CU_ASSERT_STRING_EQUAL(proto_state_name(PROTO_STATES), "unknown");
	for (uint32_t i = 0; i < PROTO_STATES; i++)
		CU_ASSERT_PTR_NOT_NULL(proto_state_name(i));
}

static const CU_TestInfo tests[] = {
	{"bodies have the size of their operation", test_body_size},
	{"a header counts itself", test_header},
	{"a packet of another form is refused", test_check},
	{"text ends in NUL and nothing follows", test_text},
	{"names", test_name},
	{"open", test_open},
	{"open: devices beyond the count are zero", test_open_devices},
	{"a subject has what its flags say", test_subject},
	{"set has what its keys say", test_set},
	{"attach and revoke are within their rules", test_small_requests},
	{"reserve", test_reserve},
	{"handoff", test_handoff},
	{"status, its records, and what was done", test_status},
	{"events have a kind and text that ends", test_event},
	{"explain", test_explain},
	{"grant", test_grant},
	{"refusal", test_refusal},
	{"explanation", test_explanation},
	{"session records are taken one by one", test_session_next},
	{"a record cut anywhere is refused", test_session_cut},
	{"session fields", test_session_fields},
	{"session texts", test_session_texts},
	{"every state has a name", test_state_names},
	CU_TEST_INFO_NULL,
};

const struct suite suite_proto = {"proto", tests};
