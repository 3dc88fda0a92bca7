/* SPDX-License-Identifier: MIT */
/* Sessions for others, and orders for live sessions. Sessions are 1, 2, 3, … (fuzz_process.h). */
#include <stdio.h>

#include "common/cleanup.h"
#include "tests/fuzz/seed.h"

#define GIB (UINT64_C(1) << 30)

static void add_open(uint64_t serial, const char *device, enum proto_accounting accounting)
{
	struct proto_open open = seed_open("vm", GIB, device, NULL);

	open.accounting = accounting;
	seed_packet(PROTO_REQUEST, PROTO_OPEN, serial, &open, sizeof(open));
}

static struct proto_process process_of(unsigned int who)
{
	return (struct proto_process){.inode = FUZZ_INODE(who, 0), .pid = FUZZ_PID(who)};
}

/* For a uid, or, with PROTO_SUBJECT_PROCESS, for a process and what else flags say of it. */
static void add_open_for(uint64_t serial, unsigned int flags, unsigned int who)
{
	struct proto_open_for body = {.open = seed_open("vm", GIB, NULL, NULL),
				      .subject = {.flags = flags}};

	if (flags & PROTO_SUBJECT_UID)
		body.subject.uid = who == FUZZ_GUEST ? FUZZ_UID_GUEST : FUZZ_UID_TENANT;
	if (flags & PROTO_SUBJECT_CGROUP)
		proto_text_set(body.subject.cgroup, sizeof(body.subject.cgroup),
			       "/machine.slice/a.scope");
	if (flags & PROTO_SUBJECT_DOMAIN)
		proto_text_set(body.subject.domain, sizeof(body.subject.domain), "vm-1");
	if (flags & PROTO_SUBJECT_PROCESS)
		body.subject.process = process_of(who);
	seed_packet(PROTO_REQUEST, PROTO_OPEN_FOR, serial, &body, sizeof(body));
}

static void add_set(uint64_t serial, uint64_t id, uint64_t limit)
{
	const struct proto_set body = {.id = id, .keys = PROTO_SET_LIMIT, .limit = limit};

	seed_packet(PROTO_REQUEST, PROTO_SET, serial, &body, sizeof(body));
}

static void add_attach(uint64_t serial, uint64_t id, const char *device)
{
	struct proto_attach body = {.id = id};

	proto_text_set(body.device, sizeof(body.device), device);
	seed_packet(PROTO_REQUEST, PROTO_ATTACH, serial, &body, sizeof(body));
}

static void add_adopt(uint64_t serial, uint64_t id, unsigned int who)
{
	const struct proto_adopt body = {.id = id, .process = process_of(who)};

	seed_packet(PROTO_REQUEST, PROTO_ADOPT, serial, &body, sizeof(body));
}

static void add_close(uint64_t serial, uint64_t id)
{
	const struct proto_close body = {.id = id};

	seed_packet(PROTO_REQUEST, PROTO_CLOSE, serial, &body, sizeof(body));
}

static void add_revoke(uint64_t serial, uint64_t id, uint32_t flags)
{
	const struct proto_revoke body = {.id = id, .flags = flags};

	seed_packet(PROTO_REQUEST, PROTO_REVOKE, serial, &body, sizeof(body));
}

static void add_status(uint64_t serial)
{
	const struct proto_status_ask body = {.skip = 0};

	seed_packet(PROTO_REQUEST, PROTO_STATUS, serial, &body, sizeof(body));
}

static void add_host(uint64_t serial, uint64_t skip)
{
	const struct proto_host_ask body = {.skip = skip};

	seed_packet(PROTO_REQUEST, PROTO_HOST, serial, &body, sizeof(body));
}

static void add_trace(uint64_t serial, uint64_t id)
{
	const struct proto_trace body = {.id = id};

	seed_packet(PROTO_REQUEST, PROTO_TRACE, serial, &body, sizeof(body));
}

static void add_mirror(uint64_t serial, uint64_t after)
{
	const struct proto_mirror_ask body = {.after = after};

	seed_packet(PROTO_REQUEST, PROTO_MIRROR, serial, &body, sizeof(body));
}

static void add_place(uint64_t serial, uint64_t id, const char *name)
{
	struct proto_place body = {.id = id};

	proto_text_set(body.name, sizeof(body.name), name);
	seed_packet(PROTO_REQUEST, PROTO_PLACE, serial, &body, sizeof(body));
}

static void write_cgroups(void)
{
	add_open(0, NULL, PROTO_ACCOUNTING_TASK);
	add_place(0, 1, "vm-1");
	add_mirror(0, 0);
	add_mirror(WHO(FUZZ_ROOT), 1);
	add_mirror(WHO(FUZZ_STRANGER), 0);
	seed_write("mirror");
	add_open(0, NULL, PROTO_ACCOUNTING_TASK);
	add_place(WHO(FUZZ_TENANT_TOO), 1, "vm-1"); /* not its owner */
	add_place(WHO(FUZZ_ROOT), 1, "vm-1");
	add_place(0, 2, "vm-1");
	add_place(0, 1, "../vm-1");
	add_place(0, 1, "");
	seed_write("place-refused");
}

static void write_trace(void)
{
	add_trace(WHO(FUZZ_ROOT), 0);
	add_trace(WHO(FUZZ_TENANT_TOO), 0);
	add_open(0, NULL, PROTO_ACCOUNTING_TASK);
	add_set(WHO(FUZZ_ADMIN), 1, 3 * GIB);
	add_trace(WHO(FUZZ_ADMIN), 1);
	add_close(0, 1);
	add_open_for(WHO(FUZZ_STRANGER), PROTO_SUBJECT_PROCESS, FUZZ_TENANT);
	seed_write("trace");
	add_trace(0, 0);
	add_open(0, NULL, PROTO_ACCOUNTING_TASK); /* it is dropped */
	add_trace(WHO(FUZZ_STRANGER), 1);
	seed_write("trace-asks");
}

static void write_open_for(void)
{
	add_open_for(WHO(FUZZ_ROOT), PROTO_SUBJECT_UID, FUZZ_TENANT);
	seed_write("open-for-uid");
	add_open_for(WHO(FUZZ_MANAGER), PROTO_SUBJECT_UID, FUZZ_TENANT);
	add_adopt(WHO(FUZZ_MANAGER), 1, FUZZ_TENANT);
	seed_write("open-for-uid-adopt");
	add_open_for(WHO(FUZZ_ADMIN), PROTO_SUBJECT_PROCESS, FUZZ_TENANT);
	add_open_for(WHO(FUZZ_ADMIN), PROTO_SUBJECT_PROCESS | PROTO_SUBJECT_UID, FUZZ_TENANT_TOO);
	seed_write("open-for-process");
	add_open_for(WHO(FUZZ_TENANT), PROTO_SUBJECT_PROCESS, FUZZ_GUEST);
	seed_write("open-for-guest");
	add_open_for(WHO(FUZZ_ROOT), PROTO_SUBJECT_CGROUP | PROTO_SUBJECT_DOMAIN, FUZZ_TENANT);
	add_open_for(WHO(FUZZ_ROOT), PROTO_SUBJECT_PROCESS, FUZZ_SETID);
	seed_write("open-for-cgroup");
	add_open_for(WHO(FUZZ_STRANGER), PROTO_SUBJECT_PROCESS, FUZZ_TENANT);
	add_open_for(WHO(FUZZ_TENANT), PROTO_SUBJECT_UID, FUZZ_GUEST);
	add_open_for(WHO(FUZZ_TENANT), 0, FUZZ_GUEST);
	seed_write("open-for-refused");
}

static void add_reserve(uint64_t serial, uint32_t wait_ms)
{
	struct proto_reserve body = {
		.open = seed_open("vm", GIB, FUZZ_DEVICE, NULL),
		.subject = {.flags = PROTO_SUBJECT_UID, .uid = FUZZ_UID_TENANT},
		.wait_ms = wait_ms};

	body.open.flags = 0;
	seed_packet(PROTO_REQUEST, PROTO_RESERVE, serial, &body, sizeof(body));
}

static void write_reserve(void)
{
	add_reserve(WHO(FUZZ_ROOT), 5000);
	add_adopt(WHO(FUZZ_ROOT), 1, FUZZ_TENANT);
	add_set(WHO(FUZZ_ROOT), 1, GIB);
	seed_write("reserve-adopt");
	add_reserve(WHO(FUZZ_MANAGER), 1);
	add_reserve(WHO(FUZZ_MANAGER), 1); /* its device is busy */
	add_close(0, 1);
	add_reserve(WHO(FUZZ_STRANGER), 1);
	add_reserve(WHO(FUZZ_ROOT), 0);
	seed_write("reserve-close");
}

static void add_handoff(uint64_t serial, const char *cgroup)
{
	struct proto_handoff body = {.open = seed_open("vm", GIB, FUZZ_DEVICE, NULL),
				     .subject = {.flags = PROTO_SUBJECT_UID | PROTO_SUBJECT_CGROUP,
						 .uid = FUZZ_UID_TENANT},
				     .wait_ms = 5000};

	body.open.flags = 0;
	proto_text_set(body.subject.cgroup, sizeof(body.subject.cgroup), cgroup);
	seed_packet(PROTO_REQUEST, PROTO_HANDOFF, serial, &body, sizeof(body));
}

static void add_pass(uint64_t serial, uint64_t id)
{
	struct proto_pass body = {.id = id};

	seed_packet(PROTO_REQUEST, PROTO_PASS, serial, &body, sizeof(body));
}

static void write_handoff(void)
{
	add_handoff(WHO(FUZZ_ROOT), "/user.slice");
	add_pass(WHO(FUZZ_ROOT), 1); /* and no socket */
	add_close(WHO(FUZZ_ROOT), 1);
	add_handoff(WHO(FUZZ_ROOT), "/");
	add_handoff(WHO(FUZZ_ADMIN), "/user.slice");
	add_pass(WHO(FUZZ_ADMIN), 1);
	seed_write("handoff");
}

static void write_changes(void)
{
	add_open(0, NULL, PROTO_ACCOUNTING_TASK);
	add_set(WHO(FUZZ_ADMIN), 1, 3 * GIB);
	add_set(0, 1, GIB);
	add_set(0, 1, 2 * GIB); /* may not */
	add_set(WHO(FUZZ_STRANGER), 1, 0);
	seed_write("set");
	add_open(0, NULL, PROTO_ACCOUNTING_USER);
	add_open(WHO(FUZZ_TENANT_TOO), NULL, PROTO_ACCOUNTING_USER);
	add_set(WHO(FUZZ_ROOT), 2, 3 * GIB);
	add_close(0, 1);
	seed_write("set-siblings");
	add_open(0, FUZZ_DEVICE, PROTO_ACCOUNTING_TASK);
	add_attach(0, 1, FUZZ_DEVICE_PEER);
	add_attach(0, 1, FUZZ_DEVICE_PEER);
	add_attach(0, 1, FUZZ_DEVICE_HOST);
	seed_write("attach");
	add_open(0, NULL, PROTO_ACCOUNTING_TASK);
	add_open(WHO(FUZZ_ROOT), FUZZ_DEVICE_PEER, PROTO_ACCOUNTING_TASK);
	add_attach(0, 1, FUZZ_DEVICE); /* its group is busy */
	add_attach(WHO(FUZZ_ADMIN), 2, FUZZ_DEVICE);
	seed_write("attach-busy");
}

static void write_moves(void)
{
	add_open(0, NULL, PROTO_ACCOUNTING_TASK);
	add_adopt(WHO(FUZZ_ADMIN), 1, FUZZ_TENANT_TOO);
	add_adopt(0, 1, FUZZ_TENANT);
	add_adopt(WHO(FUZZ_ROOT), 1, FUZZ_GUEST); /* another uid */
	add_adopt(WHO(FUZZ_ROOT), 1, FUZZ_TENANT);
	seed_write("adopt");
	add_open(WHO(FUZZ_ROOT), NULL, PROTO_ACCOUNTING_TASK);
	add_adopt(WHO(FUZZ_ROOT), 1, FUZZ_MANAGER); /* no limit holds for it */
	add_close(WHO(FUZZ_ROOT), 1);
	add_adopt(WHO(FUZZ_ROOT), 1, FUZZ_ROOT);
	seed_write("adopt-refused");
	add_open(0, NULL, PROTO_ACCOUNTING_TASK);
	add_status(EVENT(FUZZ_EVENT_LOWER, FUZZ_TENANT)); /* the soft limit */
	add_close(0, 1);
	seed_write("lower-close");
}

static void write_ends(void)
{
	add_open(0, NULL, PROTO_ACCOUNTING_TASK);
	add_close(WHO(FUZZ_TENANT_TOO), 1);
	add_close(0, 1);
	add_set(0, 1, 0);
	add_attach(0, 1, FUZZ_DEVICE);
	seed_write("close");
	add_open(0, NULL, PROTO_ACCOUNTING_TASK);
	add_revoke(0, 1, 0); /* may not */
	add_revoke(WHO(FUZZ_ADMIN), 1, 0);
	add_revoke(WHO(FUZZ_ROOT), 1, PROTO_REVOKE_KILL);
	seed_write("revoke");
	add_open_for(WHO(FUZZ_MANAGER), PROTO_SUBJECT_UID, FUZZ_TENANT);
	add_revoke(WHO(FUZZ_ADMIN), 1, PROTO_REVOKE_KILL); /* not root's process */
	seed_write("revoke-manager");
	add_open(0, NULL, PROTO_ACCOUNTING_USER);
	add_status(0);
	add_status(WHO(FUZZ_ROOT));
	add_status(WHO(FUZZ_STRANGER));
	seed_write("status");
	add_open(0, NULL, PROTO_ACCOUNTING_TASK);
	add_host(WHO(FUZZ_ROOT), 0);
	add_host(WHO(FUZZ_ROOT), 2);
	add_host(WHO(FUZZ_STRANGER), 0);
	seed_write("host");
}

/* Each call of each order goes wrong once, in each way. */
static void write_faults(void)
{
	static const struct {
		const char *name;
		enum fuzz_fault_kind kind;
		unsigned int which;
	} faults[] = {{"error", FUZZ_FAULT_ERROR, 0},
		      {"exit", FUZZ_FAULT_EXIT, FUZZ_TENANT},
		      {"reuse", FUZZ_FAULT_REUSE, FUZZ_TENANT},
		      {"killed", FUZZ_FAULT_KILLED, 0},
		      {"killed-after", FUZZ_FAULT_KILLED, 1}};
	char name[32];

	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		for (unsigned int nth = 1; nth <= 4; nth++) {
			const uint64_t fault = FAULT(nth, faults[i].kind, faults[i].which);

			add_open(0, NULL, PROTO_ACCOUNTING_USER);
			add_open(WHO(FUZZ_TENANT_TOO), NULL, PROTO_ACCOUNTING_USER);
			add_set(WHO(FUZZ_ROOT) | fault, 1, 3 * GIB);
			add_attach(fault, 1, FUZZ_DEVICE);
			add_adopt(WHO(FUZZ_ROOT) | fault, 2, FUZZ_TENANT);
			add_close(fault, 1);
			add_revoke(WHO(FUZZ_ROOT) | fault, 2, PROTO_REVOKE_KILL);
			(void)snprintf(name, sizeof(name), "orders-%s-%u", faults[i].name, nth);
			seed_write(name);
		}
	}
}

static void write_events(void)
{
	static const char *const events[FUZZ_EVENTS] = {"none",  "loop",    "exit",   "reuse",
							"lower", "restart", "reload", "exit-loop"};
	char name[32];

	for (unsigned int event = 1; event < FUZZ_EVENTS; event++) {
		add_open(0, FUZZ_DEVICE, PROTO_ACCOUNTING_USER);
		add_open(WHO(FUZZ_TENANT_TOO), NULL, PROTO_ACCOUNTING_USER);
		add_open(WHO(FUZZ_ROOT), NULL, PROTO_ACCOUNTING_TASK);
		add_status(WHO(FUZZ_ROOT) | EVENT(event, FUZZ_TENANT));
		add_set(WHO(FUZZ_ROOT), 2, GIB / 2);
		add_close(WHO(FUZZ_ROOT), 1);
		add_status(WHO(FUZZ_ROOT) | EVENT(FUZZ_EVENT_RESTART, 0));
		(void)snprintf(name, sizeof(name), "event-%s", events[event]);
		seed_write(name);
	}
	add_open(0, NULL, PROTO_ACCOUNTING_TASK);
	add_status(EVENT(FUZZ_EVENT_REUSE, FUZZ_TENANT));
	add_open(WHO(FUZZ_WHO_BEFORE), NULL, PROTO_ACCOUNTING_TASK);
	add_open(0, NULL, PROTO_ACCOUNTING_TASK);
	seed_write("event-before");
	add_open(0, NULL, PROTO_ACCOUNTING_TASK);
	add_status(EVENT(FUZZ_EVENT_RESTART, 0) | FAULT(1, FUZZ_FAULT_ERROR, 2));
	seed_write("restart-fails");
}

void seeds_orders(void)
{
	write_trace();
	write_open_for();
	write_reserve();
	write_handoff();
	write_changes();
	write_moves();
	write_ends();
	write_cgroups();
	write_faults();
	write_events();
}
