/* SPDX-License-Identifier: MIT */
/* libpinbroker: what the broker would decide. */
#include <errno.h>
#include <string.h>

#include "client/ask.h"
#include "client/connection.h"

static void copy_explanation(const struct proto_explanation *from, struct pinbroker_explanation *to)
{
	*to = (struct pinbroker_explanation){
		.granted = from->granted,
		.accounting = (enum pinbroker_accounting)from->accounting,
		.limit = from->limit,
		.limit_auto = from->flags & PROTO_EXPLAIN_LIMIT_AUTO,
		.policy_limit = from->policy_limit,
		.auto_limit = from->auto_limit,
		.factor = from->factor,
		.memory = from->memory,
		.user_limit = from->user_limit,
		.user_sum = from->user_sum,
		.host_limit = from->host_limit,
		.host_sum = from->host_sum,
		.max_mappings = from->max_mappings,
		.mappings_auto = from->flags & PROTO_EXPLAIN_MAPPINGS_AUTO,
		.max_objects = from->max_objects,
		.max_sessions = from->max_sessions,
		.n_sessions = from->n_sessions,
		.extra_memlock = from->extra_memlock,
		.headroom = from->headroom,
		.migration_buffers = from->migration_buffers,
		.require_reset = from->flags & PROTO_EXPLAIN_REQUIRE_RESET,
		.multi_p2p = from->flags & PROTO_EXPLAIN_MULTI_P2P,
	};
	proto_text_set(to->reason, sizeof(to->reason), from->reason);
	proto_text_set(to->text, sizeof(to->text), from->text);
	proto_text_set(to->warning, sizeof(to->warning), from->warning);
	proto_text_set(to->policy, sizeof(to->policy), from->policy);
}

int pinbroker_explain(struct pinbroker *broker, const struct pinbroker_subject *subject,
		      const struct pinbroker_request *request,
		      struct pinbroker_explanation *ret_explanation)
{
	struct answer answer = {.msg = FDMSG_INIT};
	struct proto_explanation explanation;
	struct proto_explain explain;
	struct question question = {.op = PROTO_EXPLAIN, .body = &explain, .len = sizeof(explain)};
	const struct proto_explain *at_hand = connection_at_hand(broker, PROTO_EXPLAIN);
	int err;

	err = ask_subject(subject, at_hand ? &at_hand->subject.process : NULL, &explain.subject);
	if (!err)
		err = ask_open(request, &explain.open);
	if (err)
		return err;
	err = connection_ask(broker, &question, &answer);
	if (err)
		return err;
	memcpy(&explanation, answer.body, sizeof(explanation));
	if (!proto_explanation_valid(&explanation))
		return connection_broken(broker);
	copy_explanation(&explanation, ret_explanation);
	return 0;
}
