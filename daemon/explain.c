/* SPDX-License-Identifier: MIT */
#include "daemon/explain.h"

#include <string.h>

#include "accounting/policy.h"
#include "common/proto.h"
#include "daemon/broker.h"
#include "daemon/peer.h"
#include "daemon/petition.h"
#include "daemon/request.h"

/* The numbers; they exist once a policy matches. */
static void explain_numbers(const struct admission *admission, struct proto_explanation *body)
{
	const struct policy *policy = admission->policy;

	proto_text_set(body->policy, sizeof(body->policy), policy->name);
	body->accounting = (uint32_t)admission->accounting;
	body->limit = admission->limit;
	body->policy_limit = policy->limit_auto ? PROTO_UNLIMITED : policy->limit;
	body->auto_limit = admission->auto_limit;
	body->memory = admission->memory;
	body->factor = admission->factor;
	body->user_limit = admission->user_limit;
	body->user_sum = admission->sums.user;
	body->host_limit = admission->host_limit;
	body->host_sum = admission->sums.host;
	body->max_mappings = admission->max_mappings;
	body->max_objects = policy->max_objects;
	body->max_sessions = policy->max_sessions;
	body->n_sessions = admission->sums.n_sessions;
	body->extra_memlock = policy->extra_memlock;
	body->headroom = policy->headroom;
	body->migration_buffers = policy->migration_buffers;
	body->flags = (policy->limit_auto ? PROTO_EXPLAIN_LIMIT_AUTO : 0) |
		      (policy->max_mappings_auto ? PROTO_EXPLAIN_MAPPINGS_AUTO : 0) |
		      (policy->require_reset ? PROTO_EXPLAIN_REQUIRE_RESET : 0) |
		      (policy->multi_device == POLICY_MULTI_P2P ? PROTO_EXPLAIN_MULTI_P2P : 0);
}

/* A request that is no request, or not the requester's to make, has no explanation. */
static bool explain_possible(const struct admission *admission)
{
	return admission->policy || admission->refusal == REFUSAL_NO_POLICY ||
	       admission->refusal == REFUSAL_CAPABLE_OWNER;
}

static int explain_answer(struct peer *peer, const struct proto_header *header,
			  const struct admission *admission)
{
	struct proto_explanation explanation = {.granted = 0};
	struct peer_answer answer = {
		.request = header,
		.kind = PROTO_REPLY,
		.parts = {{.iov_base = &explanation, .iov_len = sizeof(explanation)}},
		.n_parts = 1,
	};

	if (!explain_possible(admission))
		return request_refuse(peer, header, admission->refusal, "%s", admission->text);
	if (admission->policy)
		explain_numbers(admission, &explanation);
	explanation.granted = admission->refusal == REFUSAL_NONE;
	proto_text_set(explanation.reason, sizeof(explanation.reason),
		       refusal_name(admission->refusal));
	proto_line_set(explanation.text, sizeof(explanation.text), admission->text);
	proto_text_set(explanation.warning, sizeof(explanation.warning), admission->warning);
	return peer_send(peer, &answer);
}

int explain_serve(struct peer *peer, const struct proto_header *header, const void *body)
{
	struct petition *petition = peer->broker->petition;
	struct proto_explain request;
	int err;

	memcpy(&request, body, sizeof(request));
	if (!proto_explain_valid(&request))
		return request_malformed(peer, header);
	petition_weigh(peer, PETITION_OPEN, &request.open, &request.subject, petition);
	err = explain_answer(peer, header, &petition->admission);
	petition_fini(petition);
	return err;
}
