/* SPDX-License-Identifier: MIT */
/*
 * Owners with CAP_IPC_LOCK. The first suite of all: the others give the capability up for good.
 */
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "daemon/procfs.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/fake_sys.h"
#include "tests/unit/suite.h"

/* In a container, uid 0 may be root of its own user namespace only, or lack the bit. */
static bool capable_here(void)
{
	bool capable = false;

	CU_ASSERT_EQUAL(procfs_capable(getpid(), &capable), 0);
	if (!capable)
		suite_skip("this process has no CAP_IPC_LOCK to be refused for");
	return capable;
}

static void capable_owner_is_refused(void)
{
	const struct proto_open open = broker_fixture_open(FIXTURE_DEVICE, NULL);
	struct broker_fixture f;
	struct answer answer;
	int fd;

	if (!capable_here() || !broker_fixture_init_as_is(&f))
		return;
	fd = broker_fixture_connect(&f);
	broker_fixture_ask(&f, fd, &open, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "capable-owner");
	CU_ASSERT_EQUAL(fake_sys_calls(), 1); /* the answer: nothing was opened for it */
	fd_closep(&fd);
	broker_fixture_check_idle(&f, "refused");
	broker_fixture_fini(&f);
}

static void what_is_permitted_counts(void)
{
	bool capable = true;

	if (!capable_here())
		return;
	broker_fixture_ipc_lock(true); /* not in force, but it could be at any time */
	CU_ASSERT_TRUE(capable_here());
	broker_fixture_ipc_lock(false);
	CU_ASSERT_EQUAL(procfs_capable(getpid(), &capable), 0);
	CU_ASSERT_FALSE(capable);
}

static const CU_TestInfo tests[] = {
	{"an owner with CAP_IPC_LOCK is refused", capable_owner_is_refused},
	{"what is permitted counts, in force or not", what_is_permitted_counts},
	CU_TEST_INFO_NULL,
};

const struct suite suite_capable = {"capable", tests};
