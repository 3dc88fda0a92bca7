/* SPDX-License-Identifier: MIT */
/*
 * seeds DIR: writes the corpora DIR/proto and DIR/record, one file per kind of packet and a few
 * conversations. Run by hand when the wire or the record changes (see fuzz_proto.c and
 * fuzz_record.c for the form of an input).
 */
#include <err.h>
#include <stdio.h>

#include "common/proto.h"
#include "tests/fuzz/fuzz_kernel.h"
#include "tests/fuzz/seed.h"

static void add_open(uint64_t serial, const struct proto_open *open)
{
	seed_packet(PROTO_REQUEST, PROTO_OPEN, serial, open, sizeof(*open));
}

static void add_list(uint64_t after)
{
	const struct proto_list list = {.after = after};

	seed_packet(PROTO_REQUEST, PROTO_LIST, 0, &list, sizeof(list));
}

static void write_opens(void)
{
	const uint64_t gib = UINT64_C(1) << 30;
	struct proto_open open = seed_open("vm", gib, NULL, NULL);

	add_open(0, &open);
	seed_write("open");
	add_open(WHO(FUZZ_ROOT), &open);
	seed_write("open-root");
	add_open(WHO(FUZZ_WHO_NO_CRED), &open);
	add_open(WHO(FUZZ_WHO_OTHER_PID), &open);
	add_open(WHO(FUZZ_WHO_OTHER_UID), &open);
	add_open(WHO(FUZZ_WHO_NO_PID), &open);
	seed_write("open-wrong-sender");
	open = seed_open("", 0, NULL, NULL);
	for (int i = 0; i < 5; i++)
		add_open(0, &open);
	add_list(0);
	seed_write("open-until-refused");
	open = seed_open("vm", gib, FUZZ_DEVICE, FUZZ_DEVICE_PEER);
	open.flags |= PROTO_OPEN_VIOMMU;
	add_open(0, &open);
	add_open(0, &open); /* busy */
	seed_write("open-devices");
	open = seed_open("vm", gib, FUZZ_DEVICE_HOST, "0000:99:00.0");
	add_open(0, &open);
	open = seed_open("vm", gib, FUZZ_DEVICE, FUZZ_DEVICE);
	add_open(0, &open);
	open = seed_open("vm", gib, "11111111-2222-3333-4444-555555555555", "../../etc");
	add_open(0, &open);
	seed_write("open-wrong-devices");
	open = seed_open("vm", UINT64_MAX, NULL, NULL);
	open.accounting = PROTO_ACCOUNTING_USER;
	add_open(0, &open);
	open.memory = gib;
	add_open(0, &open);
	open.flags = 0; /* then VmLck counts */
	open.accounting = PROTO_ACCOUNTING_TASK;
	add_open(0, &open);
	seed_write("open-accounting");
	open.zero = 1;
	add_open(0, &open);
	open = seed_open("bad name", gib, NULL, NULL);
	add_open(0, &open);
	seed_write("open-malformed");
}

/* Each system call of a grant fails once, and at each the daemon is killed once. */
static void write_failures(void)
{
	struct proto_open open = seed_open("vm", UINT64_C(1) << 30, FUZZ_DEVICE, NULL);

	for (unsigned int nth = 1; nth <= 12; nth++) {
		char name[32];

		add_open(FAULT(nth, FUZZ_FAULT_ERROR, nth), &open);
		add_list(0);
		(void)snprintf(name, sizeof(name), "open-fails-%u", nth);
		seed_write(name);
		add_open(FAULT(nth, FUZZ_FAULT_KILLED, nth), &open);
		add_list(0);
		(void)snprintf(name, sizeof(name), "open-killed-%u", nth);
		seed_write(name);
	}
}

static void write_reads(void)
{
	const struct proto_open open = seed_open("vm", 0, FUZZ_DEVICE, NULL);
	struct proto_show show = {.id = 1};
	struct proto_list list = {.zero = 1};
	struct proto_explain explain = {.open = open};

	add_open(0, &open);
	add_list(0);
	add_list(UINT64_MAX);
	seed_packet(PROTO_REQUEST, PROTO_SHOW, 0, &show, sizeof(show));
	seed_write("list-show");
	seed_packet(PROTO_REQUEST, PROTO_LIST, 0, &list, sizeof(list));
	seed_write("list-malformed");
	show.zero = 1;
	seed_packet(PROTO_REQUEST, PROTO_SHOW, 0, &show, sizeof(show));
	seed_write("show-malformed");
	seed_packet(PROTO_REQUEST, PROTO_EXPLAIN, 0, &explain, sizeof(explain));
	explain.subject = (struct proto_subject){
		.flags = PROTO_SUBJECT_UID, .uid = 2000, .n_gids = 1, .gids = {36}};
	seed_packet(PROTO_REQUEST, PROTO_EXPLAIN, 0, &explain, sizeof(explain));
	explain.open.memory = UINT64_C(1) << 30;
	seed_packet(PROTO_REQUEST, PROTO_EXPLAIN, WHO(FUZZ_ROOT), &explain, sizeof(explain));
	explain.subject = (struct proto_subject){.flags = PROTO_SUBJECT_CGROUP};
	proto_text_set(explain.subject.cgroup, sizeof(explain.subject.cgroup),
		       "/machine.slice/a.scope/libvirt/emulator");
	seed_packet(PROTO_REQUEST, PROTO_EXPLAIN, WHO(FUZZ_ROOT), &explain, sizeof(explain));
	seed_write("explain");
	explain.subject.n_gids = PROTO_GIDS_MAX + 1;
	seed_packet(PROTO_REQUEST, PROTO_EXPLAIN, 0, &explain, sizeof(explain));
	seed_write("explain-malformed");
}

static void write_headers(void)
{
	struct proto_header header = proto_header(PROTO_REQUEST, PROTO_SET, 0, 0);

	seed_packet(PROTO_REQUEST, PROTO_STATUS, 0, "", 0);
	seed_packet(PROTO_REQUEST, 200, 0, "later", 5);
	seed_write("unknown-operations");
	header.version = 2;
	seed_add(&header, sizeof(header));
	seed_write("version");
	header = proto_header(PROTO_REQUEST, PROTO_OPEN, 0, 100);
	seed_add(&header, sizeof(header));
	seed_write("size-lies");
	seed_add(&header, 7);
	seed_write("short");
	seed_packet(PROTO_REQUEST, 0, 0, "", 0);
	seed_write("operation-0");
}

static void write_sessions(void)
{
	struct {
		struct proto_sessions head;
		struct proto_session first;
		char cgroup[16];
		char device[40];
		struct proto_session second;
	} body = {
		.head = {.n = 2},
		.first = {.id = 1,
			  .pinned = PROTO_UNKNOWN,
			  .max_mappings = PROTO_UNLIMITED,
			  .accounting = PROTO_ACCOUNTING_TASK,
			  .state = PROTO_STATE_ACTIVE,
			  .cgroup_len = sizeof(body.cgroup),
			  .n_devices = 1},
		.cgroup = "/machine.slice/a",
		.second = {.id = 2, .state = PROTO_STATE_ORPHANED},
	};

	static_assert(sizeof(body) == 8 + 2 * 232 + 16 + 40, "no padding: it is the packet");
	proto_text_set(body.first.name, sizeof(body.first.name), "vm");
	proto_text_set(body.first.policy, sizeof(body.first.policy), "tenants");
	proto_text_set(body.device, sizeof(body.device), FUZZ_DEVICE);
	seed_packet(PROTO_REPLY, PROTO_LIST, 1, &body, sizeof(body));
	seed_write("answer-sessions");
	body.cgroup[3] = '\0';
	seed_packet(PROTO_REPLY, PROTO_SHOW, 1, &body, sizeof(body));
	seed_write("answer-sessions-malformed");
	body.first.cgroup_len = UINT16_MAX;
	body.first.n_devices = PROTO_DEVICES_MAX;
	seed_packet(PROTO_REPLY, PROTO_SHOW, 1, &body, sizeof(body));
	seed_write("answer-sessions-too-long");
}

static void write_mirrors(void)
{
	struct {
		struct proto_mirrors head;
		struct proto_mirror first;
		char path[16];
		struct proto_mirror second;
	} body = {
		.head = {.n = 2},
		.first = {.id = 1,
			  .min = {.wanted = 4096, .now = 0},
			  .max = {.wanted = PROTO_UNKNOWN, .now = PROTO_UNLIMITED},
			  .huge_size = {UINT64_C(1) << 21},
			  .mode = PROTO_MIRROR_BOTH,
			  .by = PROTO_MIRROR_BY_SYSTEMD,
			  .known = 1,
			  .n_sessions = 1,
			  .path_len = sizeof(body.path)},
		.path = "/machine.slice/a",
		.second = {.id = 2, .mode = PROTO_MIRROR_TRACK},
	};

	static_assert(sizeof(body) == 8 + 2 * 344 + 16, "no padding: it is the packet");
	proto_text_set(body.second.reason, sizeof(body.second.reason), "the cgroup is gone");
	seed_packet(PROTO_REPLY, PROTO_MIRROR, 1, &body, sizeof(body));
	seed_write("answer-mirrors");
	body.path[3] = '\0';
	seed_packet(PROTO_REPLY, PROTO_MIRROR, 1, &body, sizeof(body));
	seed_write("answer-mirrors-malformed");
	body.first.path_len = UINT32_MAX;
	seed_packet(PROTO_REPLY, PROTO_MIRROR, 1, &body, sizeof(body));
	seed_write("answer-mirrors-too-long");
}

static void write_answers(void)
{
	struct proto_grant grant = {.id = 1, .limit = 4096, .accounting = PROTO_ACCOUNTING_TASK};
	struct proto_refusal refusal = {.status = 77};
	struct proto_explanation explanation = {.granted = 1};
	struct proto_placed placed = {.id = 1};

	proto_text_set(grant.name, sizeof(grant.name), "vm");
	seed_packet(PROTO_REPLY, PROTO_OPEN, 1, &grant, sizeof(grant));
	seed_write("answer-grant");
	proto_text_set(refusal.reason, sizeof(refusal.reason), "no-policy");
	proto_text_set(refusal.text, sizeof(refusal.text), "none of the 0 policies matches");
	seed_packet(PROTO_REFUSAL, PROTO_OPEN, 1, &refusal, sizeof(refusal));
	seed_write("answer-refusal");
	seed_packet(PROTO_REPLY, PROTO_EXPLAIN, 1, &explanation, sizeof(explanation));
	seed_write("answer-explanation");
	proto_text_set(placed.path, sizeof(placed.path), "/pinbroker.slice/vm-1");
	seed_packet(PROTO_REPLY, PROTO_PLACE, 1, &placed, sizeof(placed));
	seed_write("answer-placed");
}

int main(int argc, char **argv)
{
	if (argc != 2)
		errx(64, "usage: seeds DIR");
	seed_directory(argv[1], "proto");
	write_opens();
	write_failures();
	write_reads();
	write_headers();
	write_sessions();
	write_mirrors();
	write_answers();
	seeds_orders();
	seed_directory(argv[1], "record");
	seeds_record();
	return 0;
}
