/* SPDX-License-Identifier: MIT */
/* Records, as a daemon that was killed leaves them. */
#include <stdio.h>
#include <string.h>

#include "daemon/record.h"
#include "tests/fuzz/fuzz_broker.h"
#include "tests/fuzz/seed.h"

#define GIB (UINT64_C(1) << 30)
#define SESSION_ACTIVE 1 /* daemon/session.h, whose objects are not linked */
#define SESSION_REVOKED 2

/* The file's first place, and the places of entries (daemon/record.c). */
static void add_header(const char *magic, const char *boot_id)
{
	char place[256] = "";

	memcpy(place, magic, 8);
	(void)snprintf(place + 8, sizeof(place) - 8, "%s", boot_id); /* it fits */
	seed_add(place, sizeof(place));
}

static void add_entry(enum record_kind kind, const union record_body *body)
{
	const uint32_t head[2] = {kind};

	seed_add(head, sizeof(head));
	seed_add(body, sizeof(*body));
}

static union record_body owner_of(unsigned int who, uid_t uid)
{
	return (union record_body){.owner = {.inode = FUZZ_INODE(who, 0),
					     .locked_besides = 4096,
					     .original_cur = 65536,
					     .original_max = 131072,
					     .ours = GIB,
					     .next = GIB,
					     .pid = FUZZ_PID(who),
					     .uid = uid,
					     .changed = 1}};
}

static void add_owner(unsigned int who, uid_t uid)
{
	const union record_body body = owner_of(who, uid);

	add_entry(RECORD_OWNER, &body);
}

static union record_body session_of(uint64_t id, unsigned int who, uint8_t state,
				    uint8_t accounting)
{
	return (union record_body){.session = {.id = id,
					       .owner = FUZZ_INODE(who, 0),
					       .extra_memlock = 65536,
					       .numbers[1] = {.limit = GIB,
							      .charged = GIB,
							      .max_mappings = 65535,
							      .max_objects = UINT64_MAX,
							      .migration_buffers = UINT64_MAX},
					       .which = 1,
					       .uid = FUZZ_UID_TENANT,
					       .state = state,
					       .accounting = accounting,
					       .name = "vm",
					       .policy = "tenants"}};
}

static void add_session(uint64_t id, unsigned int who, uint8_t state, uint8_t accounting)
{
	const union record_body body = session_of(id, who, state, accounting);

	add_entry(RECORD_SESSION, &body);
}

static void add_device(uint64_t session, int group, const char *name)
{
	union record_body body = {.device = {.session = session, .group = group}};

	memcpy(body.device.name, name, strlen(name));
	add_entry(RECORD_DEVICE, &body);
}

static void add_begin(void)
{
	add_header("pinbrec6", FUZZ_BOOT_ID);
}

/* What a user has lowered and given up, and an original limit that was stored by half. */
static void add_unlike(void)
{
	union record_body owner = owner_of(FUZZ_TENANT, FUZZ_UID_TENANT);
	union record_body session =
		session_of(1, FUZZ_TENANT, SESSION_REVOKED, PROTO_ACCOUNTING_USER);

	owner.owner.original_cur = 2 * owner.owner.original_max;
	session.session.numbers[session.session.which].charged = 2 * GIB;
	add_entry(RECORD_OWNER, &owner);
	add_entry(RECORD_SESSION, &session);
}

static void add_handoff(uint64_t session, uint32_t at, uint32_t len)
{
	union record_body body = {
		.handoff = {.session = session, .deadline_ms = 5000, .at = at, .len = len}};
	size_t piece = len - at < RECORD_HANDOFF_PIECE ? len - at : RECORD_HANDOFF_PIECE;

	memset(body.handoff.text, 'a', piece);
	if (!at)
		memcpy(body.handoff.text, "/kubepods/", 10);
	add_entry(RECORD_HANDOFF, &body);
}

/* Who waits for a receiver: of one whose cgroup is whole, of which a part is gone, or too much. */
static void add_handoffs(void)
{
	for (uint64_t id = 1; id <= 4; id++) {
		union record_body session = session_of(id, 0, 0, PROTO_ACCOUNTING_TASK);

		session.session.owner = 0;
		session.session.reserved = SESSION_RESERVED_HANDOFF;
		session.session.name[2] = (char)('0' + id);
		add_entry(RECORD_SESSION, &session);
	}
	add_handoff(1, RECORD_HANDOFF_PIECE, 300);
	add_handoff(1, 0, 300);
	add_handoff(2, 0, 300);
	add_handoff(3, 0, 20);
	add_handoff(3, 0, 20);
	add_handoff(9, 0, 20); /* of no session */
}

void seeds_record(void)
{
	add_begin();
	seed_write("empty");
	add_header("pinbrec0", FUZZ_BOOT_ID);
	seed_write("version");
	add_header("pinbrec6", "another");
	seed_write("boot");
	add_begin();
	add_owner(FUZZ_TENANT, FUZZ_UID_TENANT);
	add_session(1, FUZZ_TENANT, SESSION_ACTIVE, PROTO_ACCOUNTING_TASK);
	add_device(1, 7, FUZZ_DEVICE);
	seed_write("session");
	add_begin();
	add_device(2, 7, FUZZ_DEVICE);
	add_session(2, FUZZ_TENANT, SESSION_ACTIVE, PROTO_ACCOUNTING_USER);
	add_session(1, FUZZ_TENANT_TOO, SESSION_REVOKED, PROTO_ACCOUNTING_USER);
	add_session(3, FUZZ_TENANT_TOO, 0, PROTO_ACCOUNTING_TASK); /* pending */
	add_owner(FUZZ_TENANT, FUZZ_UID_TENANT);
	add_owner(FUZZ_TENANT_TOO, FUZZ_UID_TENANT);
	add_owner(FUZZ_GUEST, FUZZ_UID_GUEST); /* without a session */
	seed_write("sessions");
	add_begin();
	add_owner(FUZZ_TENANT, FUZZ_UID_TENANT);
	add_owner(FUZZ_TENANT, FUZZ_UID_TENANT);
	add_session(1, FUZZ_TENANT, SESSION_ACTIVE, PROTO_ACCOUNTING_TASK);
	add_session(1, FUZZ_TENANT, SESSION_ACTIVE, PROTO_ACCOUNTING_TASK);
	add_device(1, DEVICE_NO_GROUP, FUZZ_DEVICE);
	add_device(1, DEVICE_NO_GROUP, FUZZ_DEVICE);
	add_device(9, 7, FUZZ_DEVICE_PEER);
	add_session(5, FUZZ_ROOT, SESSION_ACTIVE, PROTO_ACCOUNTING_TASK); /* no owner */
	seed_write("twice");
	add_begin();
	add_owner(FUZZ_TENANT, FUZZ_UID_TENANT);
	add_session(1, FUZZ_TENANT, SESSION_ACTIVE, PROTO_ACCOUNTING_TASK);
	add_device(1, 7, ""); /* no client takes an answer with it */
	add_device(1, 8, "../../etc");
	seed_write("device-names");
	add_begin();
	add_owner(FUZZ_TENANT, FUZZ_UID_TENANT);
	add_session(UINT64_MAX, FUZZ_TENANT, SESSION_ACTIVE, PROTO_ACCOUNTING_TASK);
	seed_write("last-id");
	add_begin();
	add_owner(FUZZ_TENANT, FUZZ_UID_TENANT);
	add_session(1, FUZZ_TENANT, SESSION_ACTIVE, PROTO_ACCOUNTING_TASK);
	for (int i = 0; i <= PROTO_DEVICES_MAX; i++)
		add_device(1, i, FUZZ_DEVICE);
	seed_write("too-many-devices");
	add_begin();
	add_unlike();
	seed_write("unlike");
	add_begin();
	add_handoffs();
	seed_write("handoffs");
}
