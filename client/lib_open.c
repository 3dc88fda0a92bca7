/* SPDX-License-Identifier: MIT */
/* libpinbroker: sessions are opened, and the descriptors that come with them are the caller's. */
#include <errno.h>
#include <string.h>

#include "client/ask.h"
#include "client/connection.h"
#include "common/cleanup.h"

static_assert(PINBROKER_UNLIMITED == PROTO_UNLIMITED, "copied as it is");

/* Without descriptors in the message all are -1. */
static void copy_grant(const struct proto_grant *grant, struct fdmsg *msg,
		       struct pinbroker_grant *ret_grant)
{
	const size_t n_devices = msg->n_fds ? grant->n_devices : 0;

	*ret_grant = (struct pinbroker_grant){
		.id = grant->id,
		.limit = grant->limit,
		.max_mappings = grant->max_mappings,
		.accounting = (enum pinbroker_accounting)grant->accounting,
		.n_devices = grant->n_devices,
	};
	ret_grant->iommufd = msg->n_fds ? STEAL_FD(msg->fds[0]) : -1;
	for (size_t i = 0; i < PINBROKER_DEVICES_MAX; i++)
		ret_grant->devices[i] = i < n_devices ? STEAL_FD(msg->fds[1 + i]) : -1;
	proto_text_set(ret_grant->name, sizeof(ret_grant->name), grant->name);
	proto_text_set(ret_grant->policy, sizeof(ret_grant->policy), grant->policy);
	proto_text_set(ret_grant->warning, sizeof(ret_grant->warning), grant->warning);
}

/* The answer brings as many descriptors as the question says, which is none or all. */
static int open_ask(struct pinbroker *broker, struct question *question, uint32_t n_devices,
		    struct pinbroker_grant *ret_grant)
{
	CLEANUP(answer_fini) struct answer answer = {.msg = FDMSG_INIT};
	struct proto_grant grant;
	int err;

	err = connection_ask(broker, question, &answer);
	if (err)
		return err;
	memcpy(&grant, answer.body, sizeof(grant));
	if (!proto_grant_valid(&grant) || grant.n_devices != n_devices ||
	    answer.msg.n_fds != question->max_fds)
		return connection_broken(broker);
	copy_grant(&grant, &answer.msg, ret_grant);
	return 0;
}

int pinbroker_open(struct pinbroker *broker, const struct pinbroker_request *request,
		   struct pinbroker_grant *ret_grant)
{
	struct proto_open open;
	struct question question = {.op = PROTO_OPEN, .body = &open, .len = sizeof(open)};
	int err = ask_open(request, &open);

	if (err)
		return err;
	question.max_fds = 1 + open.n_devices;
	return open_ask(broker, &question, open.n_devices, ret_grant);
}

int pinbroker_open_for(struct pinbroker *broker, const struct pinbroker_subject *subject,
		       const struct pinbroker_request *request, struct pinbroker_grant *ret_grant)
{
	struct proto_open_for open;
	struct question question = {.op = PROTO_OPEN_FOR, .body = &open, .len = sizeof(open)};
	const struct proto_open_for *at_hand = connection_at_hand(broker, PROTO_OPEN_FOR);
	int err;

	err = ask_subject(subject, at_hand ? &at_hand->subject.process : NULL, &open.subject);
	if (!err && !open.subject.flags)
		err = -EINVAL;
	if (!err)
		err = ask_open(request, &open.open);
	if (err)
		return err;
	question.max_fds = 1 + open.open.n_devices;
	return open_ask(broker, &question, open.open.n_devices, ret_grant);
}

int pinbroker_reserve(struct pinbroker *broker, const struct pinbroker_subject *subject,
		      const struct pinbroker_request *request, unsigned int wait_ms,
		      struct pinbroker_grant *ret_grant)
{
	struct proto_reserve reserve = {.wait_ms = wait_ms};
	struct question question = {.op = PROTO_RESERVE, .body = &reserve, .len = sizeof(reserve)};
	int err = ask_subject(subject, NULL, &reserve.subject);

	if (!err)
		err = ask_open(request, &reserve.open);
	if (!err && !proto_reserve_valid(&reserve))
		err = -EINVAL;
	return err ? err : open_ask(broker, &question, reserve.open.n_devices, ret_grant);
}

int pinbroker_handoff(struct pinbroker *broker, const struct pinbroker_subject *subject,
		      const struct pinbroker_request *request, unsigned int wait_ms,
		      struct pinbroker_grant *ret_grant)
{
	struct proto_handoff handoff = {.wait_ms = wait_ms};
	struct question question = {.op = PROTO_HANDOFF, .body = &handoff, .len = sizeof(handoff)};
	int err = ask_subject(subject, NULL, &handoff.subject);

	if (!err)
		err = ask_open(request, &handoff.open);
	if (!err && !proto_handoff_valid(&handoff))
		err = -EINVAL;
	return err ? err : open_ask(broker, &question, handoff.open.n_devices, ret_grant);
}

void pinbroker_grant_close(struct pinbroker_grant *grant)
{
	fd_closep(&grant->iommufd);
	for (size_t i = 0; i < grant->n_devices; i++)
		fd_closep(&grant->devices[i]);
	grant->n_devices = 0;
}
