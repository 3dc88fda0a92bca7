/* SPDX-License-Identifier: MIT */
/* The answer to host without a gate: for root, and processes alone. */
#include "daemon/host_report.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/suite.h"

static void ask(struct broker_fixture *f, const struct proto_host_ask *body,
		struct answer *ret_answer)
{
	CLEANUP(fd_closep) int fd = broker_fixture_connect(f);

	broker_fixture_send(fd, PROTO_HOST, body, sizeof(*body));
	broker_fixture_answer(f, fd, ret_answer);
}

/* Whether this process is in the answer, with a page locked at least. */
static bool lists_self(const struct answer *answer)
{
	const char *pos = answer->body.bytes + sizeof(struct proto_host), *holders, *cgroup;
	const char *end = answer->body.bytes + answer->len;
	struct proto_holding holding;
	bool found = false;

	while (pos < end) {
		CU_ASSERT_EQUAL_FATAL(proto_holding_next(&pos, end, &holding, &holders, &cgroup),
				      0);
		CU_ASSERT_EQUAL(holding.kind, PROTO_HOLDING_PROCESS);
		CU_ASSERT_TRUE(holding.locked || holding.pinned);
		CU_ASSERT_EQUAL(holding.n_holders, 0);
		found = found || (holding.pid == (uint32_t)getpid() && holding.uid == getuid() &&
				  holding.locked != PROTO_UNKNOWN && holding.locked >= 4096);
	}
	return found;
}

static void processes_are_known_without_a_gate(void)
{
	static const struct proto_host_ask all = {.skip = 0}, none = {.skip = UINT64_MAX};
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static struct answer answer;
	struct broker_fixture f;
	struct proto_host head;

	CU_ASSERT_FATAL(memory != MAP_FAILED);
	if (!broker_fixture_init(&f))
		return;
	if (getuid() != 0 || syscall(SYS_mlock, memory, page) < 0) {
		suite_skip("only root is answered");
	} else {
		ask(&f, &all, &answer);
		CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
		memcpy(&head, answer.body.bytes, sizeof(head));
		CU_ASSERT_TRUE(proto_host_valid(&head));
		CU_ASSERT_EQUAL(head.flags, 0);
		CU_ASSERT_EQUAL(head.explained, PROTO_UNKNOWN);
		CU_ASSERT_TRUE(head.n >= 1 && !head.more);
		CU_ASSERT_TRUE(lists_self(&answer));
		ask(&f, &none, &answer);
		CU_ASSERT_EQUAL(answer.len, sizeof(head));
	}
	CU_ASSERT_EQUAL(munmap(memory, page), 0);
	broker_fixture_fini(&f);
}

static void others_are_refused(void)
{
	static const struct proto_host_ask fine = {.skip = 0}, malformed = {.zero = 1};
	static struct answer answer;
	struct broker_fixture f;

	if (!broker_fixture_init(&f))
		return;
	ask(&f, &malformed, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "bad-request");
	if (getuid() != 0) {
		ask(&f, &fine, &answer);
		CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "not-permitted");
	}
	broker_fixture_fini(&f);
}

static const CU_TestInfo tests[] = {
	{"without a gate processes are known", processes_are_known_without_a_gate},
	{"others than root are refused, and what is malformed", others_are_refused},
	CU_TEST_INFO_NULL,
};

const struct suite suite_host_report = {"host_report", tests};
