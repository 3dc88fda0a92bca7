/* SPDX-License-Identifier: MIT */
/* libpinbroker: events, as they come. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "client/pinbroker.h"
#include "common/cleanup.h"
#include "common/proto.h"
#include "tests/unit/lib_fixture.h"
#include "tests/unit/suite.h"

struct packet {
	struct proto_events head;
	struct proto_event events[2];
};

static const struct proto_traced traced = {.kinds = BIT(PROTO_EVENT_GRANT) | BIT(PROTO_EVENT_MAP)};

static const struct packet two = {
	.head = {.n = 2, .slow = 3, .full = 4, .skipped = 5},
	.events = {{.id = 0x1a,
		    .ns = 1,
		    .took_ns = 2,
		    .bytes = 4096,
		    .mappings = PROTO_UNKNOWN,
		    .kind = PROTO_EVENT_MAP,
		    .error = ENOMEM,
		    .uid = 1000,
		    .pid = 42,
		    .comm = "vmm",
		    .name = "vm",
		    .what = "bytes"},
		   {.kind = PROTO_EVENT_GRANT, .uid = UINT32_MAX}},
};

static const struct packet states = {
	.head = {.n = 2},
	.events = {{.kind = PROTO_EVENT_MIGRATE,
		    .bytes = PROTO_MIGRATION_RUNNING,
		    .mappings = PROTO_MIGRATION_RUNNING_P2P,
		    .what = "0000:65:00.0"},
		   {.kind = PROTO_EVENT_DISORDER,
		    .bytes = 77,
		    .mappings = PROTO_UNKNOWN,
		    .what = "0000:66:00.0"}},
};

static void packet_send(const struct pair *pair, const struct packet *packet, size_t n_records)
{
	pair_reply(pair, PROTO_EVENTS, PROTO_TRACE, 1, packet,
		   sizeof(packet->head) + n_records * sizeof(packet->events[0]));
}

static void begin(struct pair *pair)
{
	pair_init(pair);
	pair_reply(pair, PROTO_REPLY, PROTO_TRACE, 1, &traced, sizeof(traced));
	CU_ASSERT_EQUAL_FATAL(pinbroker_trace(pair->broker, 0x1a), 0);
}

struct seen {
	struct pinbroker *broker;
	struct pinbroker_event events[4];
	size_t n;
	int ret;
};

static int see(const struct pinbroker_event *event, void *arg)
{
	struct pinbroker_lost lost;
	struct seen *seen = arg;

	CU_ASSERT_FATAL(seen->n < ARRAY_SIZE(seen->events));
	seen->events[seen->n++] = *event;
	CU_ASSERT_EQUAL(pinbroker_trace_next(seen->broker, &lost, see, seen), -EBUSY);
	return seen->ret;
}

static void events_come_as_they_are(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_lost lost = {.slow = 9};
	struct seen seen = {.n = 0};
	struct proto_trace ask;

	begin(&pair);
	pair_expect(&pair, PROTO_TRACE, &ask, sizeof(ask));
	CU_ASSERT_EQUAL(ask.id, 0x1a);
	CU_ASSERT_TRUE(pinbroker_trace_offers(pair.broker, "map"));
	CU_ASSERT_FALSE(pinbroker_trace_offers(pair.broker, "charge"));
	CU_ASSERT_FALSE(pinbroker_trace_offers(pair.broker, "nonsense"));
	seen.broker = pair.broker;
	packet_send(&pair, &two, 2);
	CU_ASSERT_EQUAL(pinbroker_trace_next(pair.broker, &lost, see, &seen), 0);
	CU_ASSERT_EQUAL_FATAL(seen.n, 2);
	CU_ASSERT_TRUE(lost.slow == 3 && lost.full == 4 && lost.skipped == 5);
	CU_ASSERT_STRING_EQUAL(seen.events[0].kind, "map");
	CU_ASSERT_TRUE(seen.events[0].id == 0x1a && seen.events[0].bytes == 4096);
	CU_ASSERT_TRUE(seen.events[0].error == ENOMEM && seen.events[0].pid == 42);
	CU_ASSERT_EQUAL(seen.events[0].mappings, PINBROKER_UNKNOWN);
	CU_ASSERT_STRING_EQUAL(seen.events[0].what, "bytes");
	CU_ASSERT_EQUAL(seen.events[1].uid, PINBROKER_NO_UID);
	seen.ret = 7;
	packet_send(&pair, &two, 2);
	CU_ASSERT_EQUAL(pinbroker_trace_next(pair.broker, &lost, see, &seen), 7);
	CU_ASSERT_EQUAL(seen.n, 3);
	fd_closep(&pair.fd);
	CU_ASSERT_EQUAL(pinbroker_trace_next(pair.broker, &lost, see, &seen), -ECONNRESET);
}

static void states_of_devices_have_names(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_lost lost;
	struct seen seen = {.n = 0};

	begin(&pair);
	seen.broker = pair.broker;
	packet_send(&pair, &states, 2);
	packet_send(&pair, &two, 2);
	CU_ASSERT_EQUAL(pinbroker_trace_next(pair.broker, &lost, see, &seen), 0);
	CU_ASSERT_EQUAL(pinbroker_trace_next(pair.broker, &lost, see, &seen), 0);
	CU_ASSERT_EQUAL_FATAL(seen.n, 4);
	CU_ASSERT_STRING_EQUAL(seen.events[0].kind, "migrate");
	CU_ASSERT_STRING_EQUAL(seen.events[0].from, "RUNNING");
	CU_ASSERT_STRING_EQUAL(seen.events[0].to, "RUNNING_P2P");
	CU_ASSERT_EQUAL(seen.events[0].bytes, PINBROKER_UNKNOWN);
	CU_ASSERT_EQUAL(seen.events[0].mappings, PINBROKER_UNKNOWN);
	CU_ASSERT_STRING_EQUAL(seen.events[1].kind, "disorder");
	CU_ASSERT_STRING_EQUAL(seen.events[1].from, "unknown"); /* to this version */
	CU_ASSERT_STRING_EQUAL(seen.events[1].to, "");
	CU_ASSERT_STRING_EQUAL(seen.events[2].from, ""); /* 4096 is none */
}

static void nothing_else_can_be_asked(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_lost lost;
	struct seen seen = {.n = 0};

	pair_init(&pair);
	CU_ASSERT_EQUAL(pinbroker_trace_next(pair.broker, &lost, see, &seen), -EINVAL);
	pair_fini(&pair);
	begin(&pair);
	CU_ASSERT_EQUAL(pinbroker_close(pair.broker, 1), -EBUSY);
	CU_ASSERT_EQUAL(pinbroker_trace(pair.broker, 0), -EBUSY);
	CU_ASSERT_EQUAL(pinbroker_events(pair.broker), POLLIN);
	CU_ASSERT_EQUAL(pinbroker_set_nonblocking(pair.broker, true), 0);
	CU_ASSERT_EQUAL(pinbroker_trace_next(pair.broker, &lost, see, &seen), -EAGAIN);
}

static void bad_packets_show_nothing(void)
{
	static const struct {
		const char *name;
		size_t records; /* that are sent */
		uint32_t n, zero, kind;
		char end; /* of the session's name */
	} cases[] = {
		{"a record too few", 1, 2, 0, 0, 0},
		{"a record too many", 2, 1, 0, 0, 0},
		{"count too high", 2, UINT32_MAX, 0, 0, 0},
		{"zero is not", 2, 2, 1, 0, 0},
		{"unknown kind", 2, 2, 0, PROTO_EVENT_KINDS, 0},
		{"name without an end", 2, 2, 0, 0, 'x'},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(pair_fini) struct pair pair = {.fd = -1};
		struct pinbroker_lost lost;
		struct seen seen = {.n = 0};
		struct packet packet = two;

		begin(&pair);
		packet.head.n = cases[i].n;
		packet.head.zero = cases[i].zero;
		packet.events[1].kind = cases[i].kind;
		memset(packet.events[1].name, cases[i].end, sizeof(packet.events[1].name));
		packet_send(&pair, &packet, cases[i].records);
		CHECK(cases[i].name,
		      pinbroker_trace_next(pair.broker, &lost, see, &seen) == -EPROTO);
		CHECK(cases[i].name, seen.n == 0);
	}
}

static void what_is_no_event_ends_it(void)
{
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};
	struct pinbroker_lost lost;
	struct seen seen = {.n = 0};

	begin(&pair);
	pair_reply(&pair, PROTO_REPLY, PROTO_TRACE, 1, &traced, sizeof(traced));
	CU_ASSERT_EQUAL(pinbroker_trace_next(pair.broker, &lost, see, &seen), -EPROTO);
	pair_fini(&pair);
	begin(&pair);
	pair_reply(&pair, PROTO_EVENTS, PROTO_TRACE, 2, &two, sizeof(two)); /* of another */
	CU_ASSERT_EQUAL(pinbroker_trace_next(pair.broker, &lost, see, &seen), -EPROTO);
}

static CU_TestInfo tests[] = {
	{"events come as they are, with what was lost", events_come_as_they_are},
	{"states of devices have names", states_of_devices_have_names},
	{"nothing else can be asked on the connection", nothing_else_can_be_asked},
	{"a bad packet shows nothing", bad_packets_show_nothing},
	{"what is no event ends the connection", what_is_no_event_ends_it},
	CU_TEST_INFO_NULL,
};

const struct suite suite_lib_trace = {"lib_trace", tests};
