/* SPDX-License-Identifier: MIT */
#include "daemon/request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "accounting/policy.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/budget.h"
#include "daemon/explain.h"
#include "daemon/grant.h"
#include "daemon/handoff.h"
#include "daemon/host_report.h"
#include "daemon/mirror.h"
#include "daemon/order.h"
#include "daemon/peer.h"
#include "daemon/petition.h"
#include "daemon/place.h"
#include "daemon/report.h"
#include "daemon/reserve.h"
#include "daemon/status.h"
#include "daemon/trace.h"

/* The body has the size of its operation; it is copied out before it is looked at. */
typedef int (*request_fn)(struct peer *peer, const struct proto_header *header, const void *body);

static const request_fn request_handlers[PROTO_OPS] = {
	[PROTO_OPEN] = grant_open,       [PROTO_OPEN_FOR] = grant_open_for,
	[PROTO_LIST] = report_list,      [PROTO_SHOW] = report_show,
	[PROTO_SET] = order_set,         [PROTO_ATTACH] = order_attach,
	[PROTO_ADOPT] = order_adopt,     [PROTO_CLOSE] = order_close,
	[PROTO_REVOKE] = order_revoke,   [PROTO_STATUS] = status_serve,
	[PROTO_EXPLAIN] = explain_serve, [PROTO_HOST] = host_report,
	[PROTO_TRACE] = trace_serve,     [PROTO_MIRROR] = mirror_serve,
	[PROTO_PLACE] = place_serve,     [PROTO_RESERVE] = reserve_open,
	[PROTO_HANDOFF] = handoff_open,  [PROTO_PASS] = handoff_pass,
};

static int request_refusal(const struct peer *peer, const struct proto_header *header,
			   unsigned int status, const char *reason, const char *text)
{
	struct proto_refusal body = {.status = status};
	struct peer_answer answer = {
		.request = header,
		.kind = PROTO_REFUSAL,
		.parts = {{.iov_base = &body, .iov_len = sizeof(body)}},
		.n_parts = 1,
	};

	proto_text_set(body.reason, sizeof(body.reason), reason);
	proto_line_set(body.text, sizeof(body.text), text);
	return peer_send(peer, &answer);
}

int request_refuse(const struct peer *peer, const struct proto_header *header, enum refusal refusal,
		   const char *format, ...)
{
	char text[sizeof(((struct proto_refusal *)NULL)->text)];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* cut to the field */
	va_end(args);
	audit_refusal(peer, refusal, text, NULL);
	return request_refusal(peer, header, REQUEST_REFUSED, refusal_name(refusal), text);
}

int request_refuse_petition(const struct peer *peer, const struct proto_header *header,
			    const struct petition *petition)
{
	const struct admission *admission = &petition->admission;

	audit_refusal(peer, admission->refusal, admission->text, petition);
	return request_refusal(peer, header, REQUEST_REFUSED, refusal_name(admission->refusal),
			       admission->text);
}

int request_malformed(const struct peer *peer, const struct proto_header *header)
{
	return request_refuse(peer, header, REFUSAL_BAD_REQUEST,
			      "the request is malformed; a name is 1 to %d of [A-Za-z0-9._:@-]",
			      PROTO_NAME_MAX);
}

int request_fail(const struct peer *peer, const struct proto_header *header, unsigned int status,
		 const char *format, ...)
{
	char text[sizeof(((struct proto_refusal *)NULL)->text)];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* cut to the field */
	va_end(args);
	return request_refusal(peer, header, status, "", text);
}

/*
 * The process that connected, and nobody else, with one identity. SO_PEERCRED has the effective ids
 * of who connected; SCM_CREDENTIALS, where the kernel fills it in, the real ones of the sender. A
 * sender that fills it in itself may name any of its own ids (and with CAP_SYS_ADMIN over its pid
 * namespace any pid in it): this stops accidents and set-id programs, not a process from lying
 * about which of its own ids it uses.
 */
static const char *request_sender_fault(const struct peer *peer, const struct ucred *cred)
{
	uid_t overflow = peer->broker->overflow_uid;

	if (peer->cred.pid == 0)
		return "the requester is in a pid namespace that the broker cannot see; run it "
		       "with "
		       "the host's pids (hostPID)";
	if (peer->cred.uid == overflow || (cred && cred->uid == overflow))
		return "the requester's uid has no mapping in the broker's user namespace";
	if (!cred)
		return "the request carries no credentials";
	if (cred->pid != peer->cred.pid)
		return "the request was sent by another process than the one that connected";
	if (cred->uid != peer->cred.uid || cred->gid != peer->cred.gid)
		return "the requester's real and effective ids differ, or changed since it "
		       "connected";
	return NULL;
}

int request_serve(struct peer *peer, const void *bytes, size_t len, const struct ucred *cred)
{
	struct broker *broker = peer->broker;
	struct proto_header header;
	int err = proto_check(bytes, len, PROTO_REQUEST, &header);
	const char *fault;

	/* Operation 0 is none: not even a refusal could answer it. */
	if (err && (err != -EOPNOTSUPP || !header.op))
		return err;
	if (peer->listener || (peer->passed_fd >= 0 && header.op != PROTO_PASS))
		return -EPROTO;
	trace_request(peer);
	if (!budget_request(peer->account->user, broker->policies->max_requests, broker_now_ms()))
		return request_refuse(peer, &header, REFUSAL_RATE_LIMIT,
				      "uid %u makes more than %u requests a second (max-requests)",
				      peer->cred.uid, broker->policies->max_requests);
	if (err)
		return request_refuse(peer, &header, REFUSAL_BAD_REQUEST,
				      "this broker does not serve operation %u", header.op);
	fault = request_sender_fault(peer, cred);
	if (fault)
		return request_refuse(peer, &header, REFUSAL_BAD_REQUEST, "%s", fault);
	return request_handlers[header.op](peer, &header, (const char *)bytes + sizeof(header));
}
