/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/fuzz_wire.h"

#include <string.h>

#include "common/device.h"
#include "common/proto.h"
#include "tests/fuzz/fuzz.h"

size_t fuzz_wire_unpack(const uint8_t *data, size_t len, char *ret_bytes, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n < size; i++) {
		size_t zeros = 0;

		if (data[i] == 0)
			zeros = i + 1 < len ? data[++i] + (size_t)1 : 1;
		if (zeros > size - n)
			zeros = size - n;
		memset(ret_bytes + n, 0, zeros);
		n += zeros;
		if (!zeros)
			ret_bytes[n++] = (char)data[i];
	}
	return n;
}

size_t fuzz_wire_packet_len(const char *bytes, size_t left)
{
	struct proto_header header;

	if (left < sizeof(header))
		return left;
	memcpy(&header, bytes, sizeof(header));
	return header.size >= sizeof(header) && header.size <= left ? header.size : left;
}

static void check_open(const struct proto_open *open)
{
	char name[DEVICE_NAME_MAX], again[DEVICE_NAME_MAX];

	FUZZ_CHECK(open->n_devices <= PROTO_DEVICES_MAX);
	FUZZ_CHECK(!open->name[0] || proto_name_valid(open->name));
	for (size_t i = 0; i < open->n_devices; i++) {
		if (device_name(open->devices[i], name))
			continue;
		FUZZ_CHECK(device_name(name, again) == 0 && strcmp(name, again) == 0);
		FUZZ_CHECK(!strchr(name, '/') && strspn(name, "0123456789abcdef:.-"));
	}
}

static void check_subject(const struct proto_subject *subject)
{
	FUZZ_CHECK(subject->n_gids <= PROTO_GIDS_MAX);
	FUZZ_CHECK(strlen(subject->cgroup) < sizeof(subject->cgroup));
	FUZZ_CHECK(strlen(subject->domain) < sizeof(subject->domain));
	FUZZ_CHECK(!(subject->flags & PROTO_SUBJECT_PROCESS) || (pid_t)subject->process.pid > 0);
}

static void check_orders(const struct proto_header *header, const char *body)
{
	struct proto_adopt adopt;
	struct proto_attach attach;
	struct proto_place place;
	struct proto_set set;

	if (header->op == PROTO_SET) {
		memcpy(&set, body, sizeof(set));
		FUZZ_CHECK(!proto_set_valid(&set) || (set.keys && set.limit != PROTO_UNLIMITED));
	} else if (header->op == PROTO_ATTACH) {
		memcpy(&attach, body, sizeof(attach));
		FUZZ_CHECK(!proto_attach_valid(&attach) || strlen(attach.device) < 40);
	} else if (header->op == PROTO_ADOPT) {
		memcpy(&adopt, body, sizeof(adopt));
		FUZZ_CHECK(!proto_adopt_valid(&adopt) || (pid_t)adopt.process.pid > 0);
	} else if (header->op == PROTO_PLACE) {
		memcpy(&place, body, sizeof(place));
		FUZZ_CHECK(!proto_place_valid(&place) || proto_name_valid(place.name));
	}
}

static void check_request(const struct proto_header *header, const char *body)
{
	static_assert(sizeof(struct proto_explain) == sizeof(struct proto_open_for) &&
			      offsetof(struct proto_explain, open) ==
				      offsetof(struct proto_open_for, open),
		      "one for both");
	struct proto_explain explain;
	struct proto_open open;

	if (header->op == PROTO_EXPLAIN || header->op == PROTO_OPEN_FOR) {
		memcpy(&explain, body, sizeof(explain));
		if (!proto_explain_valid(&explain))
			return;
		check_subject(&explain.subject);
		check_open(&explain.open);
	} else if (header->op == PROTO_OPEN) {
		memcpy(&open, body, sizeof(open));
		if (proto_open_valid(&open))
			check_open(&open);
	} else {
		check_orders(header, body);
	}
}

/* What a client does with records. */
static void check_sessions(const char *body, const char *end)
{
	const char *pos = body + sizeof(struct proto_sessions), *cgroup, (*devices)[40];
	struct proto_session session;

	while (proto_session_next(&pos, end, &session, &cgroup, &devices) == 0) {
		FUZZ_CHECK(pos <= end && cgroup + session.cgroup_len <= end);
		FUZZ_CHECK(!memchr(cgroup, '\0', session.cgroup_len));
		FUZZ_CHECK(strcmp(proto_state_name(session.state), "unknown") != 0);
		for (size_t i = 0; i < session.n_devices; i++)
			FUZZ_CHECK(strlen(devices[i]) > 0 && strlen(devices[i]) < 40);
	}
}

static void check_host(const char *body, const char *end)
{
	const char *pos = body + sizeof(struct proto_host), *holders, *cgroup;
	struct proto_holding holding;

	while (proto_holding_next(&pos, end, &holding, &holders, &cgroup) == 0) {
		FUZZ_CHECK(pos <= end && strlen(holding.comm) < sizeof(holding.comm));
		FUZZ_CHECK(holders + holding.n_told * sizeof(struct proto_holder) == cgroup);
		FUZZ_CHECK(cgroup + holding.cgroup_len == pos);
		FUZZ_CHECK(!memchr(cgroup, '\0', holding.cgroup_len));
		FUZZ_CHECK(strcmp(proto_holding_name(holding.kind), "unknown") != 0);
	}
}

static void check_mirrors(const char *body, const char *end)
{
	const char *pos = body + sizeof(struct proto_mirrors), *path;
	struct proto_mirror mirror;

	while (proto_mirror_next(&pos, end, &mirror, &path) == 0) {
		FUZZ_CHECK(pos <= end && path + mirror.path_len == pos);
		FUZZ_CHECK(!memchr(path, '\0', mirror.path_len));
		FUZZ_CHECK(strlen(mirror.reason) < sizeof(mirror.reason));
		FUZZ_CHECK(strcmp(proto_mirror_mode_name(mirror.mode), "unknown") != 0);
		FUZZ_CHECK(strcmp(proto_mirror_by_name(mirror.by), "unknown") != 0);
	}
}

static void check_placed(const char *body)
{
	struct proto_placed placed;

	memcpy(&placed, body, sizeof(placed));
	FUZZ_CHECK(!proto_placed_valid(&placed) || strlen(placed.path) < sizeof(placed.path));
}

static void check_status(const char *body)
{
	struct proto_status status;

	memcpy(&status, body, sizeof(status));
	FUZZ_CHECK(!proto_status_valid(&status) ||
		   (strlen(status.gate_reason) < sizeof(status.gate_reason) &&
		    strcmp(proto_gate_name(status.gate), "unknown") != 0));
}

static void check_answer(const struct proto_header *header, const char *body, const char *end)
{
	struct proto_explanation explanation;
	struct proto_refusal refusal;
	struct proto_grant grant;

	if (header->kind == PROTO_REFUSAL) {
		memcpy(&refusal, body, sizeof(refusal));
		FUZZ_CHECK(!proto_refusal_valid(&refusal) || strlen(refusal.reason) < 24);
	} else if (header->op == PROTO_OPEN || header->op == PROTO_OPEN_FOR) {
		memcpy(&grant, body, sizeof(grant));
		FUZZ_CHECK(!proto_grant_valid(&grant) || strlen(grant.warning) < 512);
	} else if (header->op == PROTO_EXPLAIN) {
		memcpy(&explanation, body, sizeof(explanation));
		FUZZ_CHECK(!proto_explanation_valid(&explanation) || explanation.granted <= 1);
	} else if (header->op == PROTO_STATUS) {
		check_status(body);
	} else if (header->op == PROTO_HOST) {
		check_host(body, end);
	} else if (header->op == PROTO_MIRROR) {
		check_mirrors(body, end);
	} else if (header->op == PROTO_PLACE) {
		check_placed(body);
	} else if (header->op == PROTO_LIST || header->op == PROTO_SHOW) {
		check_sessions(body, end);
	}
}

void fuzz_wire_check(const char *packet, size_t len)
{
	const char *body = packet + sizeof(struct proto_header);
	struct proto_header header;

	if (proto_check(packet, len, PROTO_REQUEST, &header) == 0) {
		FUZZ_CHECK(header.size == len && header.kind == PROTO_REQUEST);
		check_request(&header, body);
	}
	if (proto_check(packet, len, PROTO_REPLY, &header) == 0) {
		FUZZ_CHECK(header.size == len && header.kind != PROTO_REQUEST);
		check_answer(&header, body, packet + len);
	}
	if (proto_check(packet, len, PROTO_EVENTS, &header) == 0)
		FUZZ_CHECK(header.size == len && header.op == PROTO_TRACE);
}
