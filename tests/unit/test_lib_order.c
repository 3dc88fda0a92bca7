/* SPDX-License-Identifier: MIT */
/* libpinbroker: set, attach, adopt, close and revoke. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/pinbroker.h"
#include "common/cleanup.h"
#include "common/proto.h"
#include "tests/unit/lib_fixture.h"
#include "tests/unit/suite.h"

#define ID 0x660c87f48dc00U

static int device_fd;

static int do_set(struct pinbroker *broker)
{
	const struct pinbroker_limits limits = {
		.keys = PINBROKER_SET_LIMIT | PINBROKER_SET_MIGRATION_BUFFERS,
		.limit = 5,
		.max_mappings = 6, /* not given: stays here */
		.migration_buffers = PINBROKER_UNLIMITED,
	};

	return pinbroker_set(broker, ID, &limits);
}

static int do_attach(struct pinbroker *broker)
{
	return pinbroker_attach(broker, ID, "0000:65:00.0", &device_fd);
}

static int do_adopt(struct pinbroker *broker)
{
	CLEANUP(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	return pinbroker_adopt(broker, ID, pidfd);
}

static int do_close(struct pinbroker *broker)
{
	return pinbroker_close(broker, ID);
}

static int do_revoke(struct pinbroker *broker)
{
	return pinbroker_revoke(broker, ID, PINBROKER_REVOKE_KILL);
}

/* Every request, as it goes over the wire. */
union body {
	struct proto_set set;
	struct proto_attach attach;
	struct proto_adopt adopt;
	struct proto_close close;
	struct proto_revoke revoke;
};

static const struct order {
	const char *name;
	unsigned int op;
	int (*fn)(struct pinbroker *broker);
	size_t n_fds; /* that the answer carries */
	size_t len;
	union body sent;
} orders[] = {
	{"set",
	 PROTO_SET,
	 do_set,
	 0,
	 sizeof(struct proto_set),
	 {.set = {ID, PROTO_SET_LIMIT | PROTO_SET_MIGRATION_BUFFERS, 0, 5, 0, 0, UINT64_MAX}}},
	{"attach",
	 PROTO_ATTACH,
	 do_attach,
	 1,
	 sizeof(struct proto_attach),
	 {.attach = {ID, "0000:65:00.0"}}},
	{"adopt", PROTO_ADOPT, do_adopt, 0, sizeof(struct proto_adopt), {.adopt = {ID, {0, 0, 0}}}},
	{"close", PROTO_CLOSE, do_close, 0, sizeof(struct proto_close), {.close = {ID, 0}}},
	{"revoke",
	 PROTO_REVOKE,
	 do_revoke,
	 0,
	 sizeof(struct proto_revoke),
	 {.revoke = {ID, PROTO_REVOKE_KILL, 0}}},
};

/* This one; then its fields are cleared. */
static void check_process(struct proto_process *process)
{
	CLEANUP(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(fstat(pidfd, &st), 0);
	CU_ASSERT_EQUAL(process->inode, st.st_ino);
	CU_ASSERT_EQUAL(process->pid, (uint32_t)getpid());
	memset(process, 0, sizeof(*process));
}

static void orders_are_carried_out(void)
{
	struct proto_done done = {.id = ID, .state = PROTO_STATE_REVOKED};
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		CLEANUP(pair_fini) struct pair pair = {.fd = -1};
		const struct order *order = &orders[i];
		union body body;

		pair_init(&pair);
		CHECK(order->name, strcmp(pinbroker_state(pair.broker), "") == 0);
		pair_reply_fds(&pair, order->op, 1, &done, sizeof(done), order->n_fds);
		device_fd = -1;
		CHECK(order->name, order->fn(pair.broker) == 0);
		CHECK(order->name, strcmp(pinbroker_state(pair.broker), "revoked") == 0);
		CHECK(order->name, !order->n_fds || fcntl(device_fd, F_GETFD) == FD_CLOEXEC);
		fd_closep(&device_fd);
		pair_expect(&pair, order->op, &body, order->len);
		if (order->op == PROTO_ADOPT)
			check_process(&body.adopt.process);
		CHECK(order->name, memcmp(&body, &order->sent, order->len) == 0);
	}
}

static void no_session_is_told(void)
{
	const struct proto_refusal refusal = {.status = 66, .text = "no session 660c87f48dc00"};
	const struct proto_done done = {.id = ID, .state = PROTO_STATE_ACTIVE};

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		CLEANUP(pair_fini) struct pair pair = {.fd = -1};
		const struct order *order = &orders[i];

		pair_init(&pair);
		pair_reply(&pair, PROTO_REPLY, PROTO_CLOSE, 1, &done, sizeof(done));
		CHECK(order->name, do_close(pair.broker) == 0);
		pair_reply(&pair, PROTO_REFUSAL, order->op, 2, &refusal, sizeof(refusal));
		CHECK(order->name, order->fn(pair.broker) == -EACCES);
		CHECK(order->name, pinbroker_refusal(pair.broker)->status == 66);
		CHECK(order->name, pinbroker_state(pair.broker)[0] == '\0'); /* not close's */
	}
}

static void bad_answers_are_refused(void)
{
	static const struct {
		const char *name;
		struct proto_done done;
		int more_fds; /* than there should be */
	} cases[] = {
		{"another session", {.id = ID + 1}, 0},
		{"no state", {.id = ID, .state = PROTO_STATES}, 0},
		{"not zero", {.id = ID, .zero = 1}, 0},
		{"a descriptor too many", {.id = ID}, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(orders) * ARRAY_SIZE(cases); i++) {
		CLEANUP(pair_fini) struct pair pair = {.fd = -1};
		const struct order *order = &orders[i % ARRAY_SIZE(orders)];
		size_t c = i / ARRAY_SIZE(orders);
		int before;

		pair_init(&pair);
		before = suite_count_fds();
		pair_reply_fds(&pair, order->op, 1, &cases[c].done, sizeof(cases[c].done),
			       order->n_fds + (size_t)cases[c].more_fds);
		device_fd = -7;
		CHECK(cases[c].name, order->fn(pair.broker) == -EPROTO);
		CHECK(cases[c].name, device_fd == -7);
		CHECK(cases[c].name, suite_count_fds() == before);
	}
}

static void attach_needs_its_descriptor(void)
{
	const struct proto_done done = {.id = ID, .state = PROTO_STATE_ACTIVE};
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};

	pair_init(&pair);
	pair_reply(&pair, PROTO_REPLY, PROTO_ATTACH, 1, &done, sizeof(done));
	CU_ASSERT_EQUAL(do_attach(pair.broker), -EPROTO);
}

static void nonsense_is_not_sent(void)
{
	static const struct pinbroker_limits limits[] = {
		{.keys = 0, .limit = 1},
		{.keys = 16},
		{.keys = PINBROKER_SET_LIMIT, .limit = PINBROKER_UNLIMITED},
	};
	CLEANUP(pair_fini) struct pair pair = {.fd = -1};

	pair_init(&pair);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		CU_ASSERT_EQUAL(pinbroker_set(pair.broker, ID, &limits[i]), -EINVAL);
	CU_ASSERT_EQUAL(pinbroker_attach(pair.broker, ID, "", &device_fd), -EINVAL);
	CU_ASSERT_EQUAL(pinbroker_attach(pair.broker, ID, NULL, &device_fd), -EINVAL);
	CU_ASSERT_EQUAL(pinbroker_attach(pair.broker, ID,
					 "0123456789012345678901234567890123456789", &device_fd),
			-EINVAL);
	CU_ASSERT_EQUAL(pinbroker_revoke(pair.broker, ID, 2), -EINVAL);
	pair_expect_nothing(&pair);
}

static const CU_TestInfo tests[] = {
	{"an order is sent and its answer's state kept", orders_are_carried_out},
	{"a session that is not there", no_session_is_told},
	{"an answer that is not right leaves no descriptor", bad_answers_are_refused},
	{"attach is not answered without a descriptor", attach_needs_its_descriptor},
	{"what makes no sense is not sent", nonsense_is_not_sent},
	CU_TEST_INFO_NULL,
};

const struct suite suite_lib_order = {"lib_order", tests};
