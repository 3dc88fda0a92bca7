/* SPDX-License-Identifier: MIT */
#include "daemon/session.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/child.h"
#include "tests/unit/record_fixture.h"
#include "tests/unit/suite.h"

#define NAME64 "0123456789012345678901234567890123456789012345678901234567890123"

struct tables {
	struct ledger *ledger;
	struct record *record;
	int record_fd;
	struct session_table *sessions;
};

/* With the record that is in a file, which is closed with them. */
static void tables_open(struct tables *t, int record_fd)
{
	CU_ASSERT_EQUAL_FATAL(ledger_new(&t->ledger), 0);
	t->record_fd = record_fd;
	t->record = record_fixture_open(t->record_fd);
	CU_ASSERT_EQUAL_FATAL(session_table_new(t->ledger, t->record, &t->sessions), 0);
}

static void tables_init(struct tables *t)
{
	tables_open(t, record_fixture_file());
}

/* All but the file, which has what the next daemon finds. */
static void tables_close(struct tables *t)
{
	session_table_free(t->sessions);
	record_close(t->record);
	ledger_free(t->ledger); /* asserts that nothing is charged */
}

static void tables_fini(struct tables *t)
{
	tables_close(t);
	fd_closep(&t->record_fd);
}

static struct session *make(struct tables *t, uid_t uid, const char *name,
			    const struct device *devices, size_t n_devices)
{
	static char policy_name[] = "tenants";
	static const struct policy policy = {.name = policy_name, .extra_memlock = 4096};
	const struct session_plan plan = {
		.uid = uid,
		.name = name,
		.policy = &policy,
		.accounting = POLICY_ACCOUNTING_TASK,
		.limit = 1000,
		.max_mappings = 65535,
		.devices = devices,
		.n_devices = n_devices,
	};
	struct session *session = NULL;

	CU_ASSERT_EQUAL_FATAL(session_new(t->sessions, &plan, &session), 0);
	return session;
}

static void session_is_what_was_planned(void)
{
	const struct device device = {.name = "0000:65:00.0", .group = 7};
	const struct session *s;
	struct tables t;

	tables_init(&t);
	s = make(&t, 1000, "vm", &device, 1);
	CU_ASSERT_EQUAL(s->uid, 1000);
	CU_ASSERT_EQUAL(s->state, SESSION_PENDING);
	CU_ASSERT_EQUAL(s->accounting, POLICY_ACCOUNTING_TASK);
	CU_ASSERT_EQUAL(s->share.limit, 1000);
	CU_ASSERT_EQUAL(s->max_mappings, 65535);
	CU_ASSERT_EQUAL(s->extra_memlock, 4096);
	CU_ASSERT_STRING_EQUAL(s->policy, "tenants");
	CU_ASSERT_EQUAL(s->n_devices, 1);
	CU_ASSERT_PTR_NULL(s->owner);
	CU_ASSERT_EQUAL(ledger_user_sum(t.ledger, 1000), 1000);
	CU_ASSERT_EQUAL(session_count(t.sessions), 1);
	tables_fini(&t); /* frees it, and its share */
}

static void used_names_get_a_number(void)
{
	static const struct {
		uid_t uid;
		const char *wanted;
		const char *given;
	} cases[] = {
		{1000, "vm", "vm"},
		{1000, "vm", "vm-2"},
		{1000, "vm", "vm-3"},
		{1001, "vm", "vm"}, /* per uid */
		{1001, "vm", "vm-2"},
		{1000, "vm-2", "vm-2-2"},
		{1000, "other-2", "other-2"}, /* by name, before its turn comes */
		{1000, "other", "other"},
		{1000, "other", "other-3"},
		{1000, "VM", "VM"}, /* letters count */
		{1000, NAME64, NAME64},
		{1000, NAME64, "01234567890123456789012345678901234567890123456789012345678901-2"},
		{1000, NAME64, "01234567890123456789012345678901234567890123456789012345678901-3"},
		{1000, NAME64 "xyz", NULL}, /* cut, and then it is one of those */
	};
	struct tables t;

	tables_init(&t);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct session *s = make(&t, cases[i].uid, cases[i].wanted, NULL, 0);

		CHECK(s->name, strlen(s->name) <= PROTO_NAME_MAX);
		CHECK(s->name, !cases[i].given || strcmp(s->name, cases[i].given) == 0);
	}
	tables_fini(&t);
}

static void names_stay_unique(void)
{
	const struct session *a, *b;
	struct tables t;

	tables_init(&t);
	for (int i = 0; i < 1100; i++) /* to numbers of four digits */
		CU_ASSERT_EQUAL(strlen(make(&t, 1000, NAME64, NULL, 0)->name), PROTO_NAME_MAX);
	for (a = session_after(t.sessions, 0); a; a = a->newer)
		for (b = a->newer; b; b = b->newer)
			CU_ASSERT_FATAL(strcmp(a->name, b->name) != 0);
	tables_fini(&t);
}

static void freed_name_is_given_again(void)
{
	struct session *first;
	struct tables t;

	tables_init(&t);
	first = make(&t, 1000, "vm", NULL, 0);
	(void)make(&t, 1000, "vm", NULL, 0);
	session_free(t.sessions, first);
	CU_ASSERT_STRING_EQUAL(make(&t, 1000, "vm", NULL, 0)->name, "vm");
	CU_ASSERT_STRING_EQUAL(make(&t, 1000, "vm", NULL, 0)->name, "vm-3");
	session_free(t.sessions, session_after(t.sessions, 0)); /* vm-2, the oldest */
	CU_ASSERT_STRING_EQUAL(make(&t, 1000, "vm", NULL, 0)->name, "vm-2");
	CU_ASSERT_STRING_EQUAL(make(&t, 1000, "vm", NULL, 0)->name, "vm-4");
	tables_fini(&t);
}

static void ids_are_unique_and_grow(void)
{
	uint64_t last = 0;
	struct tables t;

	tables_init(&t);
	for (int i = 0; i < 3000; i++) { /* faster than a microsecond each, some of them */
		struct session *s = make(&t, 1000, "vm", NULL, 0);

		CU_ASSERT_FATAL(s->id > last);
		CU_ASSERT_PTR_EQUAL(session_find(t.sessions, s->id), s);
		last = s->id;
		if (i % 3 == 0)
			session_free(t.sessions, s);
	}
	CU_ASSERT_EQUAL(session_count(t.sessions), 2000);
	CU_ASSERT_PTR_NULL(session_find(t.sessions, last + 1));
	CU_ASSERT_PTR_NULL(session_find(t.sessions, 0));
	tables_fini(&t);
}

/* The clock is behind, as after it was set back: only the record knows what was used. */
static void ids_of_ended_sessions_are_not_used_again(void)
{
	const uint64_t far = UINT64_C(1) << 62;
	struct session *s;
	struct tables t;

	tables_init(&t);
	*record_last_id(t.record) = far;
	for (uint64_t n = 1; n <= 3; n++) {
		s = make(&t, 1000, "vm", NULL, 0);
		CU_ASSERT_EQUAL(s->id, far + n);
		session_free(t.sessions, s);
		CU_ASSERT_EQUAL(session_count(t.sessions), 0);
		tables_close(&t);
		tables_open(&t, t.record_fd);
		CU_ASSERT_EQUAL(record_fixture_count(t.record, RECORD_SESSION), 0);
	}
	tables_fini(&t);
}

static void listed_in_the_order_they_were_made(void)
{
	struct session *s[5];
	uint64_t ids[5];
	struct tables t;

	tables_init(&t);
	CU_ASSERT_PTR_NULL(session_after(t.sessions, 0));
	CU_ASSERT_PTR_NULL(session_after(t.sessions, UINT64_MAX));
	for (size_t i = 0; i < ARRAY_SIZE(s); i++) {
		s[i] = make(&t, (uid_t)i, "vm", NULL, 0);
		ids[i] = s[i]->id;
	}
	CU_ASSERT_PTR_EQUAL(session_after(t.sessions, 0), s[0]);
	CU_ASSERT_PTR_EQUAL(session_after(t.sessions, ids[1]), s[2]);
	CU_ASSERT_PTR_NULL(session_after(t.sessions, ids[4]));
	session_free(t.sessions, s[2]); /* a page ended here */
	CU_ASSERT_PTR_EQUAL(session_after(t.sessions, ids[1]), s[3]);
	CU_ASSERT_PTR_EQUAL(session_after(t.sessions, ids[2]), s[3]);
	session_free(t.sessions, s[0]);
	CU_ASSERT_PTR_EQUAL(session_after(t.sessions, 0), s[1]);
	CU_ASSERT_PTR_EQUAL(session_after(t.sessions, ids[0]), s[1]);
	session_free(t.sessions, s[4]);
	CU_ASSERT_PTR_NULL(session_after(t.sessions, ids[4]));
	CU_ASSERT_PTR_NULL(session_after(t.sessions, ids[3]));
	tables_fini(&t);
}

static const struct session_claim *claim_of(const struct tables *t, const char *name, int group)
{
	struct device device = {.group = group};

	(void)snprintf(device.name, sizeof(device.name), "%s", name);
	return session_claim_find(t->sessions, &device);
}

static void claims_are_by_group(void)
{
	const struct device devices[] = {{.name = "0000:65:00.0", .group = 7},
					 {.name = "0000:66:00.0", .group = 8}};
	const struct session_claim *claim;
	struct session *s;
	struct tables t;

	tables_init(&t);
	CU_ASSERT_PTR_NULL(claim_of(&t, "0000:65:00.0", 7));
	s = make(&t, 1000, "vm", devices, 2);
	claim = claim_of(&t, "0000:65:00.0", 7);
	CU_ASSERT_PTR_NOT_NULL_FATAL(claim);
	CU_ASSERT_PTR_EQUAL(claim->session, s);
	claim = claim_of(&t, "0000:65:00.1", 7); /* another member */
	CU_ASSERT_PTR_NOT_NULL_FATAL(claim);
	CU_ASSERT_STRING_EQUAL(claim->name, "0000:65:00.0");
	CU_ASSERT_PTR_NOT_NULL(claim_of(&t, "0000:66:00.0", 8));
	CU_ASSERT_PTR_NULL(claim_of(&t, "0000:67:00.0", 9));
	CU_ASSERT_PTR_NULL(claim_of(&t, "0000:67:00.0", 0)); /* a group like any other */
	session_free(t.sessions, s);
	CU_ASSERT_PTR_NULL(claim_of(&t, "0000:65:00.0", 7));
	CU_ASSERT_PTR_NULL(claim_of(&t, "0000:66:00.0", 8));
	tables_fini(&t);
}

static void claims_without_a_group_are_by_name(void)
{
	const struct device device = {.name = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
				      .mdev = true,
				      .group = DEVICE_NO_GROUP};
	struct session *s;
	struct tables t;

	tables_init(&t);
	s = make(&t, 1000, "vm", &device, 1);
	CU_ASSERT_PTR_NOT_NULL(claim_of(&t, device.name, DEVICE_NO_GROUP));
	CU_ASSERT_PTR_NULL(claim_of(&t, "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002", DEVICE_NO_GROUP));
	session_free(t.sessions, s);
	CU_ASSERT_PTR_NULL(claim_of(&t, device.name, DEVICE_NO_GROUP));
	tables_fini(&t);
}

/* One that is unplugged, from between others: what comes later is the last. */
static void claims_are_taken_back(void)
{
	const struct device devices[] = {{.name = "0000:65:00.0", .group = 7},
					 {.name = "0000:66:00.0", .group = 8},
					 {.name = "0000:67:00.0", .group = 9}};
	const struct session_claim *claim;
	struct session *s;
	struct tables t;

	tables_init(&t);
	s = make(&t, 1000, "vm", devices, 3);
	session_unclaim_device(t.sessions, s, claim_of(&t, "0000:66:00.0", 8));
	CU_ASSERT_PTR_NULL(claim_of(&t, "0000:66:00.0", 8));
	CU_ASSERT_EQUAL(s->n_devices, 2);
	CU_ASSERT_EQUAL(session_claim(t.sessions, s, &devices[1]), 0);
	claim = claim_of(&t, "0000:66:00.0", 8);
	CU_ASSERT_PTR_NOT_NULL_FATAL(claim);
	CU_ASSERT_PTR_NULL(claim->next_claim);
	CU_ASSERT_EQUAL(claim->nth, 3);
	session_unclaim(t.sessions, s);
	CU_ASSERT_PTR_NULL(claim_of(&t, "0000:66:00.0", 8));
	CU_ASSERT_PTR_NOT_NULL(claim_of(&t, "0000:65:00.0", 7));
	CU_ASSERT_PTR_NOT_NULL(claim_of(&t, "0000:67:00.0", 9));
	CU_ASSERT_EQUAL(record_fixture_count(t.record, RECORD_DEVICE), 2);
	session_free(t.sessions, s);
	tables_fini(&t);
}

static void one_session_may_have_a_whole_group(void)
{
	const struct device devices[] = {{.name = "0000:65:00.0", .group = 7},
					 {.name = "0000:65:00.1", .group = 7}};
	struct session *a, *b;
	struct tables t;

	tables_init(&t);
	a = make(&t, 1000, "vm", devices, 2);
	b = make(&t, 1000, "vm", NULL, 0);
	session_free(t.sessions, a);
	CU_ASSERT_PTR_NULL(claim_of(&t, "0000:65:00.0", 7));
	session_free(t.sessions, b);
	session_free(t.sessions, NULL);
	CU_ASSERT_EQUAL(session_count(t.sessions), 0);
	tables_fini(&t);
}

/* Sessions come and go; the table finds exactly those that are there. */
static void finds_what_is_there(void)
{
	uint64_t seed = suite_seed("session");
	struct session *live[64] = {NULL};
	struct device device = {.name = ""};
	size_t n = 0;
	struct tables t;

	tables_init(&t);
	for (int i = 0; i < 20000; i++) {
		size_t at = suite_random(&seed) % ARRAY_SIZE(live);

		device.group = (int)at; /* nobody else's */
		CU_ASSERT_EQUAL(!live[at], !session_claim_find(t.sessions, &device));
		if (live[at]) {
			CU_ASSERT_PTR_EQUAL(session_find(t.sessions, live[at]->id), live[at]);
			session_free(t.sessions, live[at]);
			live[at] = NULL;
			n--;
		} else {
			live[at] = make(&t, (uid_t)(at % 3), at % 2 ? "a" : "b", &device, 1);
			n++;
		}
		CU_ASSERT_EQUAL(session_count(t.sessions), n);
		CU_ASSERT_EQUAL(ledger_host_sum(t.ledger), n * 1000);
	}
	tables_fini(&t);
}

static const struct session_numbers numbers_before = {1000, 2000, 10, 20, 30};
static const struct session_numbers numbers_after = {5000, 5000, 100, 200, 300};

static bool numbers_equal(const struct session_numbers *a, const struct session_numbers *b)
{
	return a->limit == b->limit && a->charged == b->charged &&
	       a->max_mappings == b->max_mappings && a->max_objects == b->max_objects &&
	       a->migration_buffers == b->migration_buffers;
}

/* A session's numbers as the next daemon finds them in a file that is like this now. */
static struct session_numbers numbers_found(const char *file, size_t len)
{
	struct session_numbers numbers = {.limit = 0};
	struct session *session = NULL;
	int fd = record_fixture_file();
	struct tables t;
	int err;

	CU_ASSERT_EQUAL_FATAL(write(fd, file, len), (ssize_t)len);
	tables_open(&t, fd);
	err = session_revive(t.sessions, record_next(t.record, RECORD_SESSION, RECORD_NONE),
			     &session);
	CU_ASSERT_EQUAL(err, 0);
	if (!err)
		numbers = session_numbers(session);
	tables_fini(&t);
	return numbers;
}

struct change {
	struct tables *t;
	struct session *session;
};

/* In a process of its own, between two stops; by then everything it calls is bound. */
static int change_stopped(void *arg)
{
	const struct change *c = arg;

	if (session_set_numbers(c->t->sessions, c->session, &numbers_before) ||
	    ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return 1;
	(void)raise(SIGSTOP);
	(void)session_set_numbers(c->t->sessions, c->session, &numbers_after);
	(void)raise(SIGSTOP);
	return 0;
}

/* The signal that a child was stopped by; 0: it has ended. */
static int stopped_by(const struct child *child)
{
	siginfo_t info = {.si_pid = 0};

	CU_ASSERT_EQUAL_FATAL(waitid(P_PID, (id_t)child->pid, &info, WEXITED | WSTOPPED | WNOWAIT),
			      0);
	if (info.si_code == CLD_EXITED || info.si_code == CLD_KILLED)
		return 0;
	CU_ASSERT_EQUAL(waitid(P_PID, (id_t)child->pid, &info, WSTOPPED), 0);
	return info.si_status;
}

/* One instruction after the other, with a look at the file after each. */
static void step_through(const struct child *child, int fd)
{
	struct session_numbers found;
	bool changed = false;
	size_t n_seen = 0;
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(fstat(fd, &st), 0);

	const size_t len = (size_t)st.st_size;
	CLEANUP(freep) char *file = calloc(2, len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	do {
		CU_ASSERT_EQUAL_FATAL(pread(fd, file, len, 0), (ssize_t)len);
		if (memcmp(file, file + len, len) != 0) {
			memcpy(file + len, file, len);
			found = numbers_found(file, len);
			CU_ASSERT_TRUE(numbers_equal(&found, &numbers_after) ||
				       (!changed && numbers_equal(&found, &numbers_before)));
			changed = numbers_equal(&found, &numbers_after);
			n_seen++;
		}
		CU_ASSERT_EQUAL_FATAL(ptrace(PTRACE_SINGLESTEP, child->pid, NULL, NULL), 0);
	} while (stopped_by(child) == SIGTRAP);
	CU_ASSERT_TRUE(changed);
	CU_ASSERT_TRUE(n_seen > 3); /* it was looked at in between, too */
}

static void numbers_change_at_once(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct child child;
	struct change c;
	struct tables t;
	uintptr_t at;

	tables_init(&t);
	c = (struct change){.t = &t, .session = make(&t, 1000, "vm", NULL, 0)};
	/* This child may have what no other gets: the lock is not missed in this test. */
	at = (uintptr_t)record_at(t.record, c.session->slot) / page * page;
	CU_ASSERT_EQUAL(madvise((void *)at, page, MADV_DOFORK), 0);
	child_run(&child, change_stopped, &c);
	if (stopped_by(&child) == SIGSTOP) {
		step_through(&child, t.record_fd);
		CU_ASSERT_EQUAL(ptrace(PTRACE_CONT, child.pid, NULL, NULL), 0);
		CU_ASSERT_EQUAL(child_end(&child), 0);
	} else {
		CU_ASSERT_EQUAL(child_end(&child), 1);
		suite_skip("this process may not trace another");
	}
	tables_fini(&t);
}

static const CU_TestInfo tests[] = {
	{"a session is what was planned, its share charged", session_is_what_was_planned},
	{"a name in use gets a number, per uid, cut to 64", used_names_get_a_number},
	{"names of 64 stay unique with any number", names_stay_unique},
	{"a freed name is given again", freed_name_is_given_again},
	{"ids are unique and grow", ids_are_unique_and_grow},
	{"ids of sessions that ended are not used again", ids_of_ended_sessions_are_not_used_again},
	{"sessions are listed in the order they were made", listed_in_the_order_they_were_made},
	{"a device is claimed with its IOMMU group", claims_are_by_group},
	{"a device without a group is claimed by its name", claims_without_a_group_are_by_name},
	{"any of a session's devices is taken back", claims_are_taken_back},
	{"one session may have a whole group", one_session_may_have_a_whole_group},
	{"the table finds exactly the sessions that live", finds_what_is_there},
	{"numbers change at once, wherever a kill comes", numbers_change_at_once},
	CU_TEST_INFO_NULL,
};

const struct suite suite_session = {"session", tests};
