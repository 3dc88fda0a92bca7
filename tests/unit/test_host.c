/* SPDX-License-Identifier: MIT */
/* bpf/host.c: what the kernel's records make of a host. */
#include "bpf/host.h"

#include <errno.h>
#include <string.h>

#include "bpf/gate_map.h"
#include "bpf/gate_private.h"
#include "bpf/host_map.h"
#include "common/cleanup.h"
#include "tests/unit/faults.h"
#include "tests/unit/suite.h"

#define CONTEXT 0xffff888000000000ULL
#define CONTAINER 0xffff888000001000ULL
#define OTHER 0xffff888000002000ULL

/* A context of pid 20, which 10 has, too, twice; a container; a device bound to nothing. */
static const struct host_file files[] = {
	{.kind = HOST_CONTAINER,
	 .flags = HOST_READ,
	 .pid = 5,
	 .object = CONTAINER,
	 .pages = 9,
	 .pinned = 7,
	 .mappings = 2,
	 .comm = "type1"},
	{.kind = HOST_CONTEXT, .pid = 20, .uid = 1000, .object = CONTEXT, .comm = "vmm"},
	{.kind = HOST_CDEV, .pid = 10, .object = CONTEXT, .comm = "child"},
	{.kind = HOST_CONTEXT,
	 .flags = HOST_READ,
	 .pid = 10,
	 .object = CONTEXT,
	 .pages = 100,
	 .pinned = 60,
	 .orphaned = 3,
	 .mappings = 4,
	 .accounting = HOST_ACCOUNT_TASK,
	 .comm = "child"},
	{.kind = HOST_CDEV, .pid = 6, .comm = "unbound"},
	{.kind = HOST_CONTEXT, .flags = HOST_READ, .pid = 30, .object = OTHER, .comm = "broker"},
	{.kind = HOST_CDEV, .pid = 30, .object = OTHER, .session = 0x1a},
};

static void files_become_objects(void)
{
	CLEANUP(host_freep) struct host *host = NULL;
	const struct host_object *o;

	CU_ASSERT_EQUAL_FATAL(host_of_records(files, ARRAY_SIZE(files), NULL, 0, &host), 0);
	CU_ASSERT_EQUAL_FATAL(host->n_objects, 3);
	o = host->objects; /* a session comes first, whichever of its files is known */
	CU_ASSERT_EQUAL(o[0].session, 0x1a);
	CU_ASSERT_FALSE(o[0].task || o[0].container || o[0].exact);
	CU_ASSERT_EQUAL(o[0].n_holders, 1);
	CU_ASSERT_EQUAL(o[1].session, 0);
	CU_ASSERT_EQUAL(o[1].mapped, 100);
	CU_ASSERT_EQUAL(o[1].pinned, 60);
	CU_ASSERT_EQUAL(o[1].mappings, 4);
	CU_ASSERT_TRUE(o[1].task);
	CU_ASSERT_EQUAL_FATAL(o[1].n_holders, 2);
	CU_ASSERT_EQUAL(host->holders[o[1].first_holder].pid, 10);
	CU_ASSERT_STRING_EQUAL(host->holders[o[1].first_holder].comm, "child");
	CU_ASSERT_EQUAL(host->holders[o[1].first_holder + 1].pid, 20);
	CU_ASSERT_EQUAL(host->holders[o[1].first_holder + 1].uid, 1000);
	CU_ASSERT_TRUE(o[2].container);
	CU_ASSERT_EQUAL(o[2].mapped, 9);
	/* What the container has, and what is nobody's any more. */
	CU_ASSERT_EQUAL(host->explained, 7 + 3);
}

#define HOST_PAY(in, of, n, n_pinned)                                                              \
	.used = HOST_PAYER_LIVES, .cgroup = (in), .uid = (of), .pages = (n), .pinned = (n_pinned), \
	.mappings = 1

static void payers_are_told_with_their_context(void)
{
	static const struct host_file file = {
		.kind = HOST_CONTEXT,
		.flags = HOST_READ,
		.pid = 10,
		.object = CONTEXT,
		.payers = {{.used = HOST_PAYER_LIVES,
			    .pid = 10,
			    .uid = 5,
			    .accounting = HOST_ACCOUNT_TASK,
			    .pages = 4,
			    .pinned = 3},
			   {.used = HOST_PAYER_GONE,
			    .pid = 11,
			    .uid = 5,
			    .accounting = HOST_ACCOUNT_USER,
			    .pages = 2,
			    .pinned = 1},
			   {.used = HOST_PAYER_LIVES, .accounting = HOST_ACCOUNT_NONE}},
	};
	static const struct host_task task = {.pid = 10,
					      .uid = 5,
					      .mm = 1,
					      .pinned = 3,
					      .user = 5,
					      .user_locked = 1,
					      .comm = "vmm"};
	CLEANUP(host_freep) struct host *host = NULL;
	const struct host_charge *c;

	CU_ASSERT_EQUAL_FATAL(host_of_records(&file, 1, &task, 1, &host), 0);
	CU_ASSERT_EQUAL_FATAL(host->n_objects, 1);
	CU_ASSERT_EQUAL_FATAL(host->objects[0].n_charges, 3);
	c = host->charges + host->objects[0].first_charge;
	CU_ASSERT_TRUE(c[0].task && !c[0].nobody && c[0].mapped == 4 && c[0].pinned == 3);
	CU_ASSERT_STRING_EQUAL(c[0].comm, "vmm");
	CU_ASSERT_TRUE(!c[1].task && !c[1].nobody && c[1].pid == 11);
	CU_ASSERT_STRING_EQUAL(c[1].comm, ""); /* it has exited */
	CU_ASSERT_TRUE(c[2].nobody);
	CU_ASSERT_EQUAL_FATAL(host->n_users, 1);
	CU_ASSERT_TRUE(host->users[0].uid == 5 && host->users[0].pinned == 4);
	CU_ASSERT_EQUAL(host->users[0].locked, 1);
}

/* Two contexts in three cgroups; who is in a place with others may have been in one of them. */
static void payers_are_summed_by_cgroup_and_user(void)
{
	static const struct host_file two[] = {
		{.kind = HOST_CONTEXT,
		 .flags = HOST_READ,
		 .object = CONTEXT,
		 .payers = {{HOST_PAY(70, 1000, 4, 3)}, {HOST_PAY(60, 1001, 2, 1)}}},
		{.kind = HOST_CONTEXT,
		 .flags = HOST_READ,
		 .object = OTHER,
		 .payers = {{HOST_PAY(70, 1000, 8, 0)},
			    {.used = HOST_PAYER_OTHERS, .pages = 16, .pinned = 16, .mappings = 1}}},
	};
	static const struct {
		uint64_t id, mapped, pinned, mappings;
	} cgroups[] = {{60, 2, 1, 1}, {70, 12, 3, 2}, {0, 16, 16, 1}},
	  users[] = {{1000, 12, 3, 2}, {1001, 2, 1, 1}};
	CLEANUP(host_freep) struct host *host = NULL;

	CU_ASSERT_EQUAL_FATAL(host_of_records(two, ARRAY_SIZE(two), NULL, 0, &host), 0);
	CU_ASSERT_EQUAL_FATAL(host->n_cgroups, ARRAY_SIZE(cgroups));
	for (size_t i = 0; i < ARRAY_SIZE(cgroups); i++) {
		CU_ASSERT_EQUAL(host->cgroups[i].id, cgroups[i].id);
		CU_ASSERT_EQUAL(host->cgroups[i].mapped, cgroups[i].mapped);
		CU_ASSERT_EQUAL(host->cgroups[i].pinned, cgroups[i].pinned);
		CU_ASSERT_EQUAL(host->cgroups[i].mappings, cgroups[i].mappings);
	}
	CU_ASSERT_EQUAL_FATAL(host->n_users, ARRAY_SIZE(users));
	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		CU_ASSERT_EQUAL(host->users[i].uid, users[i].id);
		CU_ASSERT_EQUAL(host->users[i].mapped, users[i].mapped);
		CU_ASSERT_EQUAL(host->users[i].pinned, users[i].pinned);
		CU_ASSERT_EQUAL(host->users[i].mappings, users[i].mappings);
	}
}

static void without_figures_is_not_known(void)
{
	struct host_file file = {.kind = HOST_CONTEXT, .pid = 1, .object = CONTEXT};
	CLEANUP(host_freep) struct host *host = NULL;

	memcpy(file.comm, "sixteen bytes...", sizeof(file.comm));
	CU_ASSERT_EQUAL_FATAL(host_of_records(&file, 1, NULL, 0, &host), 0);
	CU_ASSERT_EQUAL_FATAL(host->n_objects, 1);
	CU_ASSERT_EQUAL(host->objects->mapped, UINT64_MAX);
	CU_ASSERT_EQUAL(host->objects->pinned, UINT64_MAX);
	CU_ASSERT_EQUAL(host->objects->mappings, UINT64_MAX);
	CU_ASSERT_STRING_EQUAL(host->holders->comm, "sixteen bytes.."); /* never without an end */
	CU_ASSERT_EQUAL(host->explained, 0);
}

static const struct host_task tasks[] = {
	{.pid = 9, .mm = 2, .pinned = 5, .locked = 6, .user = 1000, .user_locked = 8, .comm = "b"},
	{.pid = 8, .uid = 7, .mm = 1, .locked = 4, .user = 1000, .user_locked = 8, .comm = "a"},
	{.pid = 11, .mm = 2, .pinned = 5, .locked = 6, .user = 999, .user_locked = 1, .comm = "c"},
	/* VmPin can be below 0, and a process be of a user only. */
	{.pid = 12, .mm = 3, .pinned = -4ULL, .user = 1000, .user_locked = 8},
};

static void tasks_become_processes_and_users(void)
{
	CLEANUP(host_freep) struct host *host = NULL;

	CU_ASSERT_EQUAL_FATAL(host_of_records(NULL, 0, tasks, ARRAY_SIZE(tasks), &host), 0);
	CU_ASSERT_EQUAL(host->n_objects, 0);
	CU_ASSERT_EQUAL_FATAL(host->n_processes, 2);
	CU_ASSERT_EQUAL(host->processes[0].pid, 8);
	CU_ASSERT_EQUAL(host->processes[0].uid, 7);
	CU_ASSERT_EQUAL(host->processes[0].locked, 4);
	CU_ASSERT_EQUAL(host->processes[1].pid, 9); /* of those that share memory the first */
	CU_ASSERT_EQUAL(host->processes[1].pinned, 5);
	CU_ASSERT_STRING_EQUAL(host->processes[1].comm, "b");
	CU_ASSERT_EQUAL_FATAL(host->n_users, 2);
	CU_ASSERT_EQUAL(host->users[0].uid, 999);
	CU_ASSERT_EQUAL(host->users[1].uid, 1000);
	CU_ASSERT_EQUAL(host->users[1].locked, 8);
	CU_ASSERT_EQUAL(host->explained, 5);
}

/* Each second session of a gate has a context that was read; what the gate knows is old of some. */
static void sessions_of_the_gate_are_added(void)
{
	enum { N = 100, LAST = 2 * N, SLOTS = GATE_FIRST_SESSION + LAST };
	CLEANUP(host_freep) struct host *host = NULL;
	static struct gate_near near[SLOTS];
	static struct gate_session sessions[SLOTS] = {{.id = UINT64_MAX}};
	const struct gate gate = {
		.sessions = sessions, .near = near, .n_sessions = SLOTS, .n_shown = SLOTS};
	struct host_file read[2 * N];

	/* As many contexts of no session come behind all others. */
	for (uint32_t i = 0; i < 2 * N; i++)
		read[i] = (struct host_file){.kind = HOST_CONTEXT,
					     .flags = HOST_READ,
					     .pid = 1,
					     .object = 1 + i,
					     .session = i < N ? 2 * i + 2 : 0,
					     .pages = 7};
	for (uint32_t slot = 1; slot <= LAST; slot++)
		sessions[GATE_FIRST_SESSION - 1 + slot] =
			(struct gate_session){.id = LAST + 1 - slot,
					      .read_used = GATE_USED(slot, 1),
					      .used = GATE_USED(slot, 1),
					      .read_ns = 1,
					      .dirty = slot & 2};
	CU_ASSERT_EQUAL_FATAL(host_of_records(read, ARRAY_SIZE(read), NULL, 0, &host), 0);
	CU_ASSERT_EQUAL_FATAL(host_add_sessions(host, &gate), 0);
	CU_ASSERT_EQUAL_FATAL(host->n_objects, LAST + N);
	for (uint64_t id = 1; id <= LAST; id++) {
		const struct host_object *o = &host->objects[id - 1];
		const uint64_t slot = LAST + 1 - id;
		const bool was_read = id % 2 == 0;

		CU_ASSERT_EQUAL(o->session, id);
		CU_ASSERT_EQUAL(o->n_holders, was_read);
		CU_ASSERT_EQUAL(o->exact, !(slot & 2));
		CU_ASSERT_EQUAL(o->mapped, was_read && !o->exact ? 7 : slot);
	}
	CU_ASSERT_EQUAL(host->objects[LAST].session, 0);
}

static void memory_runs_out(void)
{
	CLEANUP(host_freep) struct host *host = NULL;
	unsigned int n = 0;

	for (int err = -ENOMEM; err;) {
		faults_arm(++n, ENOMEM);
		err = host_of_records(files, ARRAY_SIZE(files), tasks, ARRAY_SIZE(tasks), &host);
		CU_ASSERT_EQUAL(faults_disarm(), err != 0);
		CU_ASSERT_TRUE_FATAL(err == 0 || (err == -ENOMEM && !host));
	}
	CU_ASSERT_TRUE(n > 4);
}

static const CU_TestInfo tests[] = {
	{"files become contexts and containers, each once", files_become_objects},
	{"payers are told with their context", payers_are_told_with_their_context},
	{"payers are summed by cgroup and by user", payers_are_summed_by_cgroup_and_user},
	{"a context that nobody could read is not zero", without_figures_is_not_known},
	{"tasks become processes and users, each once", tasks_become_processes_and_users},
	{"sessions of the gate are added, each once", sessions_of_the_gate_are_added},
	{"out of memory at every step", memory_runs_out},
	CU_TEST_INFO_NULL,
};

const struct suite suite_host = {"host", tests};
