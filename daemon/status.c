/* SPDX-License-Identifier: MIT */
#include "daemon/status.h"

#include <stdbool.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "accounting/admission.h"
#include "accounting/ledger.h"
#include "accounting/policy.h"
#include "bpf/gate.h"
#include "common/proto.h"
#include "daemon/broker.h"
#include "daemon/loop.h"
#include "daemon/peer.h"
#include "daemon/request.h"
#include "daemon/session.h"
#include "daemon/trace.h"

/* A page in the making: records go into the broker's packet. */
struct status_page {
	const struct peer *peer;
	uint64_t skip;
	size_t room;
	size_t len;
	uint32_t n;
	bool more;
};

static void status_share(const struct broker *broker, const struct ledger_line *line,
			 struct proto_share *share)
{
	const struct policy *policy = policy_find(broker->policies, line->policy);

	*share = (struct proto_share){
		.uid = line->uid,
		.flags = policy ? PROTO_SHARE_POLICY : 0,
		.n_sessions = line->n_sessions,
		.max_sessions = policy ? policy->max_sessions : 0,
		.sum = line->sum,
		.user_mode_sum = line->user_mode_sum,
		.user_limit = policy ? policy->user_limit : 0,
	};
	proto_text_set(share->policy, sizeof(share->policy), line->policy);
}

static bool status_add(const struct ledger_line *line, void *arg)
{
	struct status_page *page = arg;
	struct broker *broker = page->peer->broker;
	struct proto_share share;

	if (page->peer->cred.uid != 0 && page->peer->cred.uid != line->uid)
		return true;
	if (page->skip) {
		page->skip--;
		return true;
	}
	page->more = page->room - page->len < sizeof(share);
	if (page->more)
		return false;
	status_share(broker, line, &share);
	memcpy(broker->packet.bytes + page->len, &share, sizeof(share));
	page->len += sizeof(share);
	page->n++;
	return true;
}

static const enum proto_gate status_gates[] = {
	[GATE_LEVEL_NONE] = PROTO_GATE_NONE,
	[GATE_LEVEL_OBSERVE] = PROTO_GATE_OBSERVE,
	[GATE_LEVEL_BEST_EFFORT] = PROTO_GATE_BEST_EFFORT,
	[GATE_LEVEL_EXACT] = PROTO_GATE_EXACT,
};

static void status_fill(const struct broker *broker, struct proto_status *ret_status)
{
	struct utsname name;

	*ret_status = (struct proto_status){
		.mem_total = broker->mem_total,
		.host_limit = admission_host_limit(broker->policies, broker->mem_total),
		.host_sum = ledger_host_sum(broker->ledger),
		.n_sessions = session_count(broker->sessions),
		.lost_events = broker->gate ? gate_lost(broker->gate) : PROTO_UNKNOWN,
		.recursion_misses = broker->gate ? gate_misses(broker->gate) : PROTO_UNKNOWN,
		.trace_missing = trace_missing(broker->trace),
		.gate = status_gates[gate_level(broker->gate)],
		.pid = (uint32_t)getpid(),
	};
	(void)uname(&name); /* cannot fail */
	proto_text_set(ret_status->version, sizeof(ret_status->version), PINBROKER_VERSION);
	proto_text_set(ret_status->kernel, sizeof(ret_status->kernel), name.release);
	proto_text_set(ret_status->loop, sizeof(ret_status->loop), loop_backend_name(broker->loop));
	proto_text_set(ret_status->gate_reason, sizeof(ret_status->gate_reason),
		       broker->gate_reason);
}

int status_serve(struct peer *peer, const struct proto_header *header, const void *body)
{
	struct broker *broker = peer->broker;
	struct proto_status_ask ask;
	struct proto_status status;
	struct status_page page = {
		.peer = peer,
		.room = PROTO_MESSAGE_MAX - sizeof(*header) - sizeof(status),
	};
	struct peer_answer answer = {
		.request = header,
		.kind = PROTO_REPLY,
		.parts = {{.iov_base = &status, .iov_len = sizeof(status)},
			  {.iov_base = broker->packet.bytes}},
		.n_parts = 2,
	};

	memcpy(&ask, body, sizeof(ask));
	if (ask.zero)
		return request_malformed(peer, header);
	page.skip = ask.skip;
	status_fill(broker, &status);
	ledger_walk(broker->ledger, status_add, &page);
	status.n = page.n;
	status.more = page.more;
	answer.parts[1].iov_len = page.len;
	return peer_send(peer, &answer);
}
