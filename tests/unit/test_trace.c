/* SPDX-License-Identifier: MIT */
/* The trace over real sockets, without a gate: the broker's own events. */
#include "daemon/trace.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/trace_event.h"
#include "common/cleanup.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/suite.h"

#define FLOOD 20000

/* Asks for the trace. Returns the end that listens. */
static int listen_to(struct broker_fixture *f, uint64_t id, const char *expected)
{
	const struct proto_trace ask = {.id = id};
	int fd = broker_fixture_connect(f);
	struct answer answer;

	broker_fixture_send(fd, PROTO_TRACE, &ask, sizeof(ask));
	broker_fixture_answer(f, fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), expected);
	return fd;
}

struct packet {
	struct proto_header header;
	struct proto_events head;
	struct proto_event events[256];
};

/* What has arrived. Return: how many events; -1: nothing, or no packet of events. */
static int take(int fd, struct packet *packet)
{
	struct proto_header header;
	ssize_t len = recv(fd, packet, sizeof(*packet), MSG_DONTWAIT);

	if (len < 0 || proto_check(packet, (size_t)len, PROTO_EVENTS, &header))
		return -1;
	CU_ASSERT_EQUAL(header.serial, FIXTURE_SERIAL);
	for (uint32_t i = 0; i < packet->head.n; i++)
		CU_ASSERT_TRUE(proto_event_valid(&packet->events[i]));
	return (int)packet->head.n;
}

static bool hung_up(void *arg)
{
	char byte;

	return recv(*(const int *)arg, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

static void the_broker_tells_its_own(void)
{
	struct broker_fixture f;
	struct proto_open open = broker_fixture_open(NULL, NULL);
	struct answer answer;
	struct packet packet;
	int listener, fd, one;
	uint64_t id;

	if (!broker_fixture_init(&f))
		return;
	listener = listen_to(&f, 0, "granted");
	fd = broker_fixture_connect(&f);
	broker_fixture_ask(&f, fd, &open, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	id = answer.body.grant.id;
	fdmsg_close(&answer.msg);
	CU_ASSERT_EQUAL_FATAL(take(listener, &packet), 1);
	CU_ASSERT_EQUAL(packet.events[0].kind, PROTO_EVENT_GRANT);
	CU_ASSERT_EQUAL(packet.events[0].id, id);
	CU_ASSERT_EQUAL(packet.events[0].pid, (uint32_t)getpid());
	CU_ASSERT_EQUAL(packet.events[0].uid, getuid());
	CU_ASSERT_EQUAL(packet.events[0].bytes, answer.body.grant.limit);
	CU_ASSERT_STRING_EQUAL(packet.events[0].name, "vm");
	CU_ASSERT_STRING_EQUAL(packet.events[0].comm, "unit");
	CU_ASSERT_TRUE(packet.events[0].took_ns < UINT64_C(60000000000));

	one = listen_to(&f, id, "granted");
	open.n_devices = 1;
	proto_text_set(open.devices[0], sizeof(open.devices[0]), "0000:99:00.0");
	broker_fixture_ask(&f, fd, &open, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "device-not-found");
	CU_ASSERT_EQUAL_FATAL(take(listener, &packet), 1);
	CU_ASSERT_EQUAL(packet.events[0].kind, PROTO_EVENT_REFUSAL);
	CU_ASSERT_STRING_EQUAL(packet.events[0].what, "device-not-found");
	CU_ASSERT_EQUAL(take(one, &packet), -1); /* it is of no session */

	const struct proto_close ask = {.id = id};

	broker_fixture_send(fd, PROTO_CLOSE, &ask, sizeof(ask));
	broker_fixture_answer(&f, fd, &answer);
	CU_ASSERT_EQUAL_FATAL(take(one, &packet), 1);
	CU_ASSERT_EQUAL(packet.events[0].kind, PROTO_EVENT_CLOSE);
	CU_ASSERT_EQUAL(take(listener, &packet), 1);
	fd_closep(&one);
	fd_closep(&listener);
	fd_closep(&fd);
	broker_fixture_fini(&f);
}

static void a_listener_asks_nothing_else(void)
{
	const struct proto_list list = {.after = 0};
	struct broker_fixture f;
	int fd;

	if (!broker_fixture_init(&f))
		return;
	fd = listen_to(&f, 0x1234, "failed");
	fd_closep(&fd);
	fd = listen_to(&f, 0, "granted");
	broker_fixture_send(fd, PROTO_LIST, &list, sizeof(list));
	broker_fixture_run(&f, hung_up, &fd);
	fd_closep(&fd);
	broker_fixture_fini(&f);
}

static void only_so_many_listen(void)
{
	const unsigned int max = getuid() == 0 ? TRACE_LISTENERS_MAX : TRACE_LISTENERS_UID;
	int fds[TRACE_LISTENERS_MAX + 1];
	struct broker_fixture f;
	unsigned int i;

	if (!broker_fixture_init(&f))
		return;
	for (i = 0; i < max; i++)
		fds[i] = listen_to(&f, 0, "granted");
	fds[i] = listen_to(&f, 0, "rate-limit");
	for (i = 0; i <= max; i++)
		fd_closep(&fds[i]);
	broker_fixture_fini(&f);
}

struct slow {
	int fd;
	uint64_t told; /* events, and those that were lost */
};

static bool all_told(void *arg)
{
	struct slow *slow = arg;
	struct packet packet;
	int n;

	while ((n = take(slow->fd, &packet)) >= 0)
		slow->told += (uint64_t)n + packet.head.slow;
	return slow->told == FLOOD;
}

static void who_does_not_read_loses_and_is_told(void)
{
	struct broker_fixture f;
	struct slow slow = {.told = 0};
	const struct peer *peer;

	if (!broker_fixture_init(&f))
		return;
	slow.fd = listen_to(&f, 0, "granted");
	peer = broker_fixture_peer(&f);
	for (int i = 0; i < FLOOD; i++)
		trace_refusal(peer, REFUSAL_NO_POLICY);
	CU_ASSERT_FALSE(all_told(&slow)); /* some are lost, and that is not told yet */
	broker_fixture_run(&f, all_told, &slow);
	fd_closep(&slow.fd);
	broker_fixture_fini(&f);
}

static void a_kind_without_its_function_is_missing(void)
{
	const uint32_t all = (1U << TRACE_KINDS) - 1;

	CU_ASSERT_EQUAL(trace_missing(NULL), PROTO_UNKNOWN); /* nobody to ask */
	CU_ASSERT_EQUAL(trace_kinds_missing(all), 0);
	CU_ASSERT_EQUAL(trace_kinds_missing(all & ~(1U << TRACE_MAP)), 1ULL << PROTO_EVENT_MAP);
	CU_ASSERT_EQUAL(trace_kinds_missing(all & ~(1U << TRACE_CHARGE | 1U << TRACE_UNCHARGE)),
			1ULL << PROTO_EVENT_CHARGE | 1ULL << PROTO_EVENT_UNCHARGE);
	/* The broker's own never are. */
	CU_ASSERT_EQUAL(trace_kinds_missing(0),
			((1ULL << PROTO_EVENT_MEMORY_MAX) - (1ULL << PROTO_EVENT_OPEN)) |
				1ULL << PROTO_EVENT_MIGRATE | 1ULL << PROTO_EVENT_DISORDER);
}

static CU_TestInfo tests[] = {
	{"the broker tells its own events, of the session that was asked for",
	 the_broker_tells_its_own},
	{"a listener asks nothing else", a_listener_asks_nothing_else},
	{"only so many listen", only_so_many_listen},
	{"who does not read loses events, and is told how many",
	 who_does_not_read_loses_and_is_told},
	{"a kind without its function is missing", a_kind_without_its_function_is_missing},
	CU_TEST_INFO_NULL,
};

const struct suite suite_trace = {"trace", tests};
