/* SPDX-License-Identifier: MIT */
/* Grants over a real socket, with a kernel that fails call N, and with requesters that vanish. */
#include "daemon/grant.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accounting/ledger.h"
#include "accounting/policy.h"
#include "common/cleanup.h"
#include "daemon/owner.h"
#include "daemon/procfs.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/captured.h"
#include "tests/unit/child.h"
#include "tests/unit/fake_sys.h"
#include "tests/unit/suite.h"

#define GIB (UINT64_C(1) << 30)
#define CALLS_MAX 100

static bool memlock_is(pid_t pid, uint64_t bytes)
{
	return fake_sys_memlock_is(pid, bytes, bytes);
}

/* Ends every session of this process as its exit would, so that the fixture is idle again. */
static void end_sessions(struct broker_fixture *f)
{
	struct session *session;

	while ((session = session_after(f->broker->sessions, 0))) {
		struct owner *owner = session->owner;

		owner_end_session(f->broker, session);
		if (owner && !owner->sessions)
			owner_put(owner);
	}
}

static void granted_session_has_it_all(void)
{
	struct proto_open open = broker_fixture_open(FIXTURE_DEVICE, FIXTURE_DEVICE_ALONE);
	struct rlimit before, after;
	const struct session *session;
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	CU_ASSERT_EQUAL(getrlimit(RLIMIT_MEMLOCK, &before), 0);
	int fd = broker_fixture_connect(&f);

	f.policy->extra_memlock = 4096;
	broker_fixture_ask(&f, fd, &open, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	CU_ASSERT_EQUAL(answer.header.serial, FIXTURE_SERIAL);
	CU_ASSERT_EQUAL(answer.header.op, PROTO_OPEN);
	CU_ASSERT_TRUE(proto_grant_valid(&answer.body.grant));
	CU_ASSERT_EQUAL(answer.body.grant.limit, 2 * GIB);
	CU_ASSERT_EQUAL(answer.body.grant.max_mappings, 65535);
	CU_ASSERT_EQUAL(answer.body.grant.accounting, PROTO_ACCOUNTING_TASK);
	CU_ASSERT_EQUAL(answer.body.grant.n_devices, 2);
	CU_ASSERT_STRING_EQUAL(answer.body.grant.name, "vm");
	CU_ASSERT_STRING_EQUAL(answer.body.grant.policy, "tenants");
	CU_ASSERT_STRING_EQUAL(answer.body.grant.warning, "");
	CU_ASSERT_EQUAL(answer.msg.n_fds, 3); /* the iommufd and two devices */
	CU_ASSERT_EQUAL(fake_sys_mode(), 1); /* per task */
	session = session_find(f.broker->sessions, answer.body.grant.id);
	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
	CU_ASSERT_EQUAL(session->state, SESSION_ACTIVE);
	CU_ASSERT_EQUAL(session->owner->pid, getpid());
	CU_ASSERT_EQUAL(ledger_user_sum(f.broker->ledger, getuid()), 2 * GIB);
	CU_ASSERT_TRUE(memlock_is(getpid(), 2 * GIB + 4096));
	CU_ASSERT_EQUAL(getrlimit(RLIMIT_MEMLOCK, &after), 0);
	CU_ASSERT_EQUAL(memcmp(&before, &after, sizeof(before)), 0); /* the fake's, not ours */
	fdmsg_close(&answer.msg);
	fd_closep(&fd);
	end_sessions(&f);
	broker_fixture_check_idle(&f, "ended");
	broker_fixture_fini(&f);
}

static void accounting_decides_the_mode(void)
{
	struct proto_open open = broker_fixture_open(NULL, NULL);
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f);

	open.accounting = PROTO_ACCOUNTING_USER;
	open.name[0] = '\0'; /* the broker makes one up */
	memset(open.name, 0, sizeof(open.name));
	broker_fixture_ask(&f, fd, &open, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	CU_ASSERT_EQUAL(answer.body.grant.accounting, PROTO_ACCOUNTING_USER);
	CU_ASSERT_TRUE(proto_name_valid(answer.body.grant.name));
	CU_ASSERT_EQUAL(answer.msg.n_fds, 1);
	CU_ASSERT_EQUAL(fake_sys_mode(), 0);
	CU_ASSERT_EQUAL(ledger_user_mode_sum(f.broker->ledger, getuid()), 2 * GIB);
	fdmsg_close(&answer.msg);
	fd_closep(&fd);
	end_sessions(&f);
	broker_fixture_check_idle(&f, "ended");
	broker_fixture_fini(&f);
}

/* Descriptors: the fixture's own, one connection's client end, and what the broker keeps of it. */
static void fail_each_call(struct broker_fixture *f, const struct proto_open *open, int err)
{
	unsigned int nth = 0;
	bool granted = false;

	while (!granted && ++nth < CALLS_MAX) {
		int fd = broker_fixture_connect(f), n_fds = suite_count_fds();
		struct answer answer;
		char row[64];

		fake_sys_fail(nth, err);
		broker_fixture_ask(f, fd, open, &answer);
		(void)snprintf(row, sizeof(row), "call %u fails with %d", nth, -err);
		granted = strcmp(answer_reason(&answer), "granted") == 0;
		fake_sys_fail(0, 0);
		if (answer.hung_up) /* it could not be told: its end of the connection is gone */
			n_fds -= 2;
		else if (!granted)
			CHECK(row, strcmp(answer_reason(&answer), "kernel") == 0);
		if (!granted) {
			CHECK(row, suite_count_fds() == n_fds);
			CHECK(row, answer.msg.n_fds == 0);
			broker_fixture_check_idle(f, row);
		}
		fdmsg_close(&answer.msg);
		fd_closep(&fd);
		while (f->broker->peers)
			peer_free(f->broker->peers);
	}
	/* iommu: open, set, get; cdev: open, fstat, readlink, each; prlimit; sendmsg */
	CU_ASSERT_TRUE(granted && nth > 4);
	end_sessions(f);
}

static void failed_call_leaves_nothing(void)
{
	static const int errors[] = {-EMFILE, -EIO, -EAGAIN, -EPERM};
	const struct proto_open open = broker_fixture_open(FIXTURE_DEVICE, FIXTURE_DEVICE_PEER);
	struct broker_fixture f;

	if (!broker_fixture_init(&f))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		fail_each_call(&f, &open, errors[i]);
		broker_fixture_check_idle(&f, "after the last");
	}
	broker_fixture_fini(&f);
}

/* The same for one who has sessions: they keep what they had. */
static void failed_call_leaves_other_sessions(void)
{
	struct proto_open open = broker_fixture_open(NULL, NULL);
	struct broker_fixture f;
	unsigned int nth = 0;
	struct answer answer;
	bool granted = false;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f);

	open.accounting = PROTO_ACCOUNTING_USER;
	broker_fixture_ask(&f, fd, &open, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	fdmsg_close(&answer.msg);
	fd_closep(&fd);
	while (!granted && ++nth < CALLS_MAX) {
		fd = broker_fixture_connect(&f);
		fake_sys_fail(nth, -EIO);
		broker_fixture_ask(&f, fd, &open, &answer);
		fake_sys_fail(0, 0);
		granted = strcmp(answer_reason(&answer), "granted") == 0;
		CU_ASSERT_TRUE(memlock_is(getpid(), granted ? 4 * GIB : 2 * GIB));
		CU_ASSERT_EQUAL(session_count(f.broker->sessions), granted ? 2 : 1);
		CU_ASSERT_EQUAL(ledger_user_mode_sum(f.broker->ledger, getuid()),
				granted ? 4 * GIB : 2 * GIB);
		fdmsg_close(&answer.msg);
		fd_closep(&fd);
	}
	CU_ASSERT_TRUE(granted && nth > 4);
	end_sessions(&f);
	broker_fixture_check_idle(&f, "ended");
	broker_fixture_fini(&f);
}

/* Wherever the broker runs out of descriptors on the way, also where no fake could fail. */
static void lack_of_descriptors_leaves_nothing(void)
{
	const struct proto_open open = broker_fixture_open(FIXTURE_DEVICE, FIXTURE_DEVICE_ALONE);
	const struct proto_header header =
		proto_header(PROTO_REQUEST, PROTO_OPEN, FIXTURE_SERIAL, sizeof(open));
	struct rlimit original, few;
	struct broker_fixture f;
	bool granted = false;

	if (!broker_fixture_init(&f))
		return;
	CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &original), 0);
	int fd = broker_fixture_connect(&f), n_fds = suite_count_fds();

	few = original;
	for (few.rlim_cur = 4; !granted && few.rlim_cur < original.rlim_cur; few.rlim_cur++) {
		CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &few), 0);
		CU_ASSERT_EQUAL(grant_open(broker_fixture_peer(&f), &header, &open), 0);
		CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &original), 0);

		struct answer answer;

		broker_fixture_answer(&f, fd, &answer);
		granted = strcmp(answer_reason(&answer), "granted") == 0;
		if (!granted) {
			CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "kernel");
			CU_ASSERT_EQUAL(suite_count_fds(), n_fds);
			broker_fixture_check_idle(&f, "too few descriptors");
		}
		fdmsg_close(&answer.msg);
	}
	CU_ASSERT_TRUE(granted);
	fd_closep(&fd);
	end_sessions(&f);
	broker_fixture_fini(&f);
}

static bool no_peers(void *arg)
{
	const struct broker_fixture *f = arg;

	return !f->broker->peers;
}

static void hung_up_peer_leaves_nothing(void)
{
	const struct proto_open open = broker_fixture_open(FIXTURE_DEVICE, NULL);
	struct broker_fixture f;

	if (!broker_fixture_init(&f))
		return;
	int n_fds = suite_count_fds(), fd = broker_fixture_connect(&f);

	broker_fixture_send(fd, PROTO_OPEN, &open, sizeof(open));
	fd_closep(&fd); /* the request is there, nobody waits for the answer */
	broker_fixture_run(&f, no_peers, &f);
	CU_ASSERT_TRUE(fake_sys_calls() > 3); /* it was tried */
	broker_fixture_check_idle(&f, "hung up");
	CU_ASSERT_EQUAL(suite_count_fds(), n_fds);
	broker_fixture_fini(&f);
}

static void connections_end_does_not_end_the_session(void)
{
	const struct proto_open open = broker_fixture_open(FIXTURE_DEVICE, NULL);
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f);

	broker_fixture_ask(&f, fd, &open, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	fdmsg_close(&answer.msg);
	fd_closep(&fd);
	broker_fixture_run(&f, no_peers, &f);
	CU_ASSERT_EQUAL(session_count(f.broker->sessions), 1);
	CU_ASSERT_TRUE(memlock_is(getpid(), 2 * GIB));
	end_sessions(&f);
	broker_fixture_fini(&f);
}

/* The broker keeps no duplicate: when the client closes its own, the context is gone. */
static void broker_keeps_no_descriptor(void)
{
	const struct proto_open open = broker_fixture_open(FIXTURE_DEVICE, FIXTURE_DEVICE_PEER);
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f), n_fds = suite_count_fds();

	broker_fixture_ask(&f, fd, &open, &answer);
	CU_ASSERT_EQUAL(answer.msg.n_fds, 3);
	fdmsg_close(&answer.msg);
	CU_ASSERT_EQUAL(suite_count_fds(), n_fds + 1); /* the owner's pidfd */
	fd_closep(&fd);
	end_sessions(&f);
	broker_fixture_fini(&f);
}

static void devices_are_for_one_session(void)
{
	static const struct {
		const char *name;
		const char *device, *other;
		const char *reason;
		const char *says;
	} cases[] = {
		{"the same", FIXTURE_DEVICE, NULL, "device-busy", "is in session"},
		{"of the same group", FIXTURE_DEVICE_PEER, NULL, "device-busy", "IOMMU group 7"},
		{"of another group", FIXTURE_DEVICE_ALONE, NULL, "granted", ""},
		{"on a host driver", FIXTURE_DEVICE_HOST, NULL, "device-not-found", "e1000e"},
		{"not there", "0000:70:00.0", NULL, "device-not-found", "not on this host"},
		{"not the policy's", "0001:70:00.0", NULL, "device-not-allowed", "tenants"},
		{"twice", "0000:70:00.0", "0000:70:00.0", "bad-request", "twice"},
		{"twice in other letters", "0000:7a:00.0", "0000:7A:00.0", "bad-request", "twice"},
		{"no device's name", "../../etc", NULL, "bad-request", "neither a PCI address"},
	};
	struct proto_open open = broker_fixture_open(FIXTURE_DEVICE, NULL);
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f);

	broker_fixture_ask(&f, fd, &open, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	fdmsg_close(&answer.msg);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		open = broker_fixture_open(cases[i].device, cases[i].other);
		broker_fixture_ask(&f, fd, &open, &answer);
		CHECK(cases[i].name, strcmp(answer_reason(&answer), cases[i].reason) == 0);
		CHECK(cases[i].name, answer.header.kind == PROTO_REPLY ||
					     strstr(answer.body.refusal.text, cases[i].says));
		fdmsg_close(&answer.msg);
	}
	CU_ASSERT_EQUAL(session_count(f.broker->sessions), 2);
	fd_closep(&fd);
	end_sessions(&f);
	broker_fixture_check_idle(&f, "ended");
	broker_fixture_fini(&f);
}

/* What mlock(2) took counts, unless exec follows, which lets go of it. */
static void locked_memory_is_added_unless_exec_follows(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct proto_open open = broker_fixture_open(NULL, NULL);
	struct procfs_locked locked;
	struct broker_fixture f;
	struct answer answer;

	CU_ASSERT_FATAL(memory != MAP_FAILED);
	if (!broker_fixture_init(&f))
		return;
	/* Not mlock(): sanitizers make that do nothing. */
	if (syscall(SYS_mlock, memory, page) < 0)
		suite_skip("mlock(2) of a page is not allowed: half of this test");
	CU_ASSERT_EQUAL(procfs_locked(getpid(), &locked), 0);
	int fd = broker_fixture_connect(&f);

	for (int exec = 0; exec < 2; exec++) {
		open.flags = exec ? PROTO_OPEN_EXEC : 0;
		broker_fixture_ask(&f, fd, &open, &answer);
		CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
		fdmsg_close(&answer.msg);
		CU_ASSERT_TRUE(memlock_is(getpid(), 2 * GIB + (exec ? 0 : locked.locked)));
		end_sessions(&f);
	}
	fd_closep(&fd);
	broker_fixture_check_idle(&f, "ended");
	broker_fixture_fini(&f);
	CU_ASSERT_EQUAL(munmap(memory, page), 0);
}

/*
 * A process may have inherited a limit that was raised for a session, lock that much (which costs
 * no memory), and ask: without a bound each generation would add a session's limit to the next.
 */
static void locked_memory_is_believed_to_a_point(void)
{
	const size_t size = 9 << 20, believed = 8 << 20;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct proto_open open = broker_fixture_open(NULL, NULL);
	const struct rlimit enough = {4 * size, 4 * size}; /* others lock, too */
	struct broker_fixture f;
	struct answer answer;

	CU_ASSERT_FATAL(memory != MAP_FAILED);
	if (setrlimit(RLIMIT_MEMLOCK, &enough) < 0 ||
	    syscall(SYS_mlock2, memory, size, MLOCK_ONFAULT) < 0) {
		suite_skip("mlock2(2) of 9 MiB is not allowed");
	} else if (broker_fixture_init(&f)) {
		int fd = broker_fixture_connect(&f);

		broker_fixture_ask(&f, fd, &open, &answer);
		CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
		fdmsg_close(&answer.msg);
		CU_ASSERT_TRUE(memlock_is(getpid(), 2 * GIB + believed));
		end_sessions(&f);
		fd_closep(&fd);
		broker_fixture_fini(&f);
	}
	CU_ASSERT_EQUAL(munmap(memory, size), 0);
}

/* Another process's connection: a peer of ours with the identity of a child. */
static int connect_as(struct broker_fixture *f, const struct child *child)
{
	int fd = broker_fixture_connect(f);
	struct peer *peer = broker_fixture_peer(f);

	fd_closep(&peer->pidfd);
	peer->pidfd = fcntl(child->pidfd, F_DUPFD_CLOEXEC, 0);
	CU_ASSERT_FATAL(peer->pidfd >= 0);
	peer->cred.pid = child->pid;
	return fd;
}

static void end_child(void *arg)
{
	struct child *child = arg;

	child_exit(child);
	fake_sys_set_memlock(child->pid, 111, 222); /* its pid is somebody else's now */
}

static void requester_that_exits_meanwhile_gets_nothing(void)
{
	const struct proto_open open = broker_fixture_open(FIXTURE_DEVICE, NULL);
	const struct proto_header header =
		proto_header(PROTO_REQUEST, PROTO_OPEN, FIXTURE_SERIAL, sizeof(open));
	struct broker_fixture f;
	struct answer answer;
	struct child child;

	if (!broker_fixture_init(&f))
		return;
	child_start(&child);
	fake_sys_set_memlock(child.pid, FIXTURE_SOFT, FIXTURE_HARD);
	int fd = connect_as(&f, &child), n_fds = suite_count_fds();

	fake_sys_before_prlimit(true, end_child, &child);
	CU_ASSERT_EQUAL(grant_open(broker_fixture_peer(&f), &header, &open), 0);
	broker_fixture_answer(&f, fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "kernel");
	CU_ASSERT_PTR_NOT_NULL(strstr(answer.body.refusal.text, "No such process"));
	CU_ASSERT_EQUAL(fake_sys_memlock(child.pid).rlim_cur, 111);
	CU_ASSERT_EQUAL(fake_sys_memlock(child.pid).rlim_max, 222);
	CU_ASSERT_EQUAL(suite_count_fds(), n_fds - 1); /* the child's stop_fd went with it */
	broker_fixture_check_idle(&f, "exited");
	/* And once it is known to be gone. */
	CU_ASSERT_EQUAL(grant_open(broker_fixture_peer(&f), &header, &open), 0);
	broker_fixture_answer(&f, fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "kernel");
	fd_closep(&fd);
	CU_ASSERT_EQUAL(child_end(&child), 0);
	broker_fixture_fini(&f);
}

/* Its context could do nothing. */
static void nothing_is_granted_beside_a_gate_that_denies(void)
{
	const struct proto_open open = broker_fixture_open(FIXTURE_DEVICE, NULL);
	const struct proto_header header =
		proto_header(PROTO_REQUEST, PROTO_OPEN, FIXTURE_SERIAL, sizeof(open));
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f), n_fds = suite_count_fds();

	f.broker->gate_unseen = f.broker->gate_denies = true;
	CU_ASSERT_EQUAL(grant_open(broker_fixture_peer(&f), &header, &open), 0);
	broker_fixture_answer(&f, fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "kernel");
	CU_ASSERT_PTR_NOT_NULL(strstr(answer.body.refusal.text, "denies contexts"));
	CU_ASSERT_EQUAL(suite_count_fds(), n_fds);
	broker_fixture_check_idle(&f, "denied");
	/* One that allows them is no reason. */
	f.broker->gate_denies = false;
	f.broker->gate_early = true;
	CU_ASSERT_EQUAL(grant_open(broker_fixture_peer(&f), &header, &open), 0);
	broker_fixture_answer(&f, fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "kernel");
	CU_ASSERT_PTR_NOT_NULL(strstr(answer.body.refusal.text, "restart pinbrokerd"));
	broker_fixture_check_idle(&f, "no iommufd at the start");
	f.broker->gate_early = false;
	CU_ASSERT_EQUAL(grant_open(broker_fixture_peer(&f), &header, &open), 0);
	broker_fixture_answer(&f, fd, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	fdmsg_close(&answer.msg);
	fd_closep(&fd);
	broker_fixture_fini(&f);
}

/* The send fails after everything is done, and two processes' limits are put right. */
static void failed_send_lowers_the_siblings(void)
{
	struct proto_open open = broker_fixture_open(NULL, NULL);
	const struct proto_header header =
		proto_header(PROTO_REQUEST, PROTO_OPEN, FIXTURE_SERIAL, sizeof(open));
	struct broker_fixture f;
	struct answer answer;
	struct child child;

	if (!broker_fixture_init(&f))
		return;
	child_start(&child);
	fake_sys_set_memlock(child.pid, FIXTURE_SOFT, FIXTURE_HARD);
	open.accounting = PROTO_ACCOUNTING_USER;
	int fd = broker_fixture_connect(&f);

	broker_fixture_ask(&f, fd, &open, &answer);
	CU_ASSERT_STRING_EQUAL(answer_reason(&answer), "granted");
	fdmsg_close(&answer.msg);
	fd_closep(&fd);
	fd = connect_as(&f, &child);
	fake_sys_fail(8, -EAGAIN); /* open, set, get, two prlimits of each, sendmsg */
	CU_ASSERT_EQUAL(grant_open(broker_fixture_peer(&f), &header, &open), -EAGAIN);
	fake_sys_fail(0, 0);
	CU_ASSERT_EQUAL(fake_sys_writes(getpid()), 3); /* set, raised, lowered */
	CU_ASSERT_TRUE(memlock_is(getpid(), 2 * GIB));
	CU_ASSERT_EQUAL(fake_sys_memlock(child.pid).rlim_cur, FIXTURE_SOFT);
	CU_ASSERT_EQUAL(fake_sys_memlock(child.pid).rlim_max, FIXTURE_HARD);
	CU_ASSERT_EQUAL(ledger_user_mode_sum(f.broker->ledger, getuid()), 2 * GIB);
	CU_ASSERT_EQUAL(session_count(f.broker->sessions), 1);
	fd_closep(&fd);
	end_sessions(&f);
	CU_ASSERT_EQUAL(child_end(&child), 0);
	broker_fixture_fini(&f);
}

/* Counted as sums are: what does not fit any more is refused, what ended makes room. */
static void limits_hold_over_many_grants(void)
{
	const struct proto_open open = broker_fixture_open(NULL, NULL);
	struct broker_fixture f;
	struct answer answer;

	if (!broker_fixture_init(&f))
		return;
	int fd = broker_fixture_connect(&f);

	f.policy->user_limit = 5 * GIB; /* two of 2G */
	for (int i = 0; i < 4; i++) {
		broker_fixture_ask(&f, fd, &open, &answer);
		CU_ASSERT_STRING_EQUAL(answer_reason(&answer), i < 2 ? "granted" : "user-limit");
		fdmsg_close(&answer.msg);
	}
	end_sessions(&f);
	f.policy->max_sessions = 1;
	for (int i = 0; i < 2; i++) {
		broker_fixture_ask(&f, fd, &open, &answer);
		CU_ASSERT_STRING_EQUAL(answer_reason(&answer),
				       i < 1 ? "granted" : "too-many-sessions");
		fdmsg_close(&answer.msg);
	}
	fd_closep(&fd);
	end_sessions(&f);
	broker_fixture_check_idle(&f, "ended");
	broker_fixture_fini(&f);
}

static const CU_TestInfo tests[] = {
	{"a granted session has descriptors, share and limit", granted_session_has_it_all},
	{"the accounting decides the context's mode", accounting_decides_the_mode},
	{"a failed call leaves nothing, whichever it is", failed_call_leaves_nothing},
	{"a failed call leaves other sessions as they were", failed_call_leaves_other_sessions},
	{"a lack of descriptors leaves nothing", lack_of_descriptors_leaves_nothing},
	{"a peer that hung up leaves nothing", hung_up_peer_leaves_nothing},
	{"a connection's end does not end the session", connections_end_does_not_end_the_session},
	{"the broker keeps none of the descriptors it sent", broker_keeps_no_descriptor},
	{"a device, and its group, is for one session", devices_are_for_one_session},
	{"locked memory is added unless exec follows", locked_memory_is_added_unless_exec_follows},
	{"what a process has locked is believed to a point", locked_memory_is_believed_to_a_point},
	{"a requester that exits meanwhile gets nothing",
	 requester_that_exits_meanwhile_gets_nothing},
	{"nothing is granted beside a gate that denies",
	 nothing_is_granted_beside_a_gate_that_denies},
	{"a failed send lowers the siblings again", failed_send_lowers_the_siblings},
	{"limits hold over many grants", limits_hold_over_many_grants},
	CU_TEST_INFO_NULL,
};

const struct suite suite_grant = {"grant", tests};
