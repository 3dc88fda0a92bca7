/* SPDX-License-Identifier: MIT */
#include "daemon/reserve.h"

#include <errno.h>
#include <string.h>

#include "accounting/admission.h"
#include "accounting/policy.h"
#include "bpf/gate.h"
#include "bpf/gate_expect.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/proto.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/grant.h"
#include "daemon/loop.h"
#include "daemon/mirror.h"
#include "daemon/owner.h"
#include "daemon/peer.h"
#include "daemon/petition.h"
#include "daemon/procfs.h"
#include "daemon/request.h"
#include "daemon/session.h"
#include "daemon/trace.h"
#include "daemon/warden.h"

#define RESERVE_AGAIN_MS 60000 /* after a restart, for what was not over by then */
#define RESERVE_BUSY_MS 100 /* while a device of it is just being bound */

static bool reserve_waits(const struct session *session)
{
	return session->reserved && session->state == SESSION_PENDING;
}

static void reserve_tell(const struct broker *broker, const struct session *session,
			 const char *event, const char *text)
{
	struct audit audit UNINITIALIZED;

	trace_audit(broker, event, session, NULL);
	audit_begin(&audit, broker, event);
	audit_session(&audit, session);
	audit_text(&audit, "text", text);
	audit_end(&audit, LOG_LEVEL_INFO);
}

/* --- in the gate */

static bool reserve_has_gate(const struct broker *broker, const struct session *session)
{
	return broker->gate && session->gate != GATE_NO_SLOT;
}

/* The first BIND of a device brings the session its context. Return: 0; -errno of gate_expect(). */
static int reserve_expect(struct broker *broker, const struct session *session)
{
	uint32_t major = procfs_cdev_major();
	int err = 0;

	if (!reserve_has_gate(broker, session))
		return 0;
	for (const struct session_claim *c = session->claims; !err && c; c = c->next_claim)
		err = gate_expect(broker->gate, session->gate, c->name, major);
	return err;
}

/* Whether a process has made an ioctl of the session, as far as that is remembered. */
static bool reserve_called(const struct broker *broker, const struct session *session,
			   uint64_t inode)
{
	struct gate_caller callers[GATE_CALLERS_MAX];
	size_t n = 0;

	if (reserve_has_gate(broker, session))
		n = gate_callers(broker->gate, session->gate, callers);
	while (n && callers[n - 1].inode != inode)
		n--;
	return n;
}

/* --- the deadline */

static void reserve_timer(void *arg);

int reserve_arm(struct broker *broker)
{
	const uint64_t now_ms = broker_now_ms();
	uint64_t first_ms = UINT64_MAX;

	for (const struct session *s = session_after(broker->sessions, 0); s; s = s->newer)
		if (reserve_waits(s) && s->deadline_ms < first_ms)
			first_ms = s->deadline_ms;
	loop_cancel(broker->loop, &broker->reserve_timer);
	if (first_ms == UINT64_MAX)
		return 0;
	return loop_after(broker->loop, first_ms > now_ms ? (uint32_t)(first_ms - now_ms) : 0,
			  reserve_timer, broker, &broker->reserve_timer);
}

/*
 * Revoked first: who has not bound a device by then is refused. Who has is through, or it is not
 * over yet. A context that came at the last moment keeps the share, but maps nothing.
 */
void reserve_end(struct broker *broker, struct session *session)
{
	/* Of one that is handed off nobody else can have the context. */
	if (!session->handoff && reserve_has_gate(broker, session)) {
		gate_revoke(broker->gate, session->gate);
		if (gate_expect_settle(broker->gate, session->gate)) {
			session->deadline_ms = broker_now_ms() + RESERVE_BUSY_MS;
			(void)reserve_arm(broker); /* else with the next one that is reserved */
			return;
		}
		if (reserve_bound(broker, session))
			return;
	}
	owner_end_session(broker, session);
}

static void reserve_timer(void *arg)
{
	struct broker *broker = arg;
	const uint64_t now_ms = broker_now_ms();
	struct session *newer;

	broker->reserve_timer = LOOP_NONE;
	for (struct session *s = session_after(broker->sessions, 0); s; s = newer) {
		newer = s->newer;
		if (!reserve_waits(s) || s->deadline_ms > now_ms || reserve_bound(broker, s))
			continue;
		reserve_tell(broker, s, "ended",
			     s->handoff ? "nobody came for it in time"
					: "what it was reserved for did not come in time");
		reserve_end(broker, s);
	}
	if (reserve_arm(broker)) /* the next one that is reserved arms it */
		log_error("no memory to end what is reserved");
}

/* --- reserving */

/* What is the broker's part in a mode that others choose. */
static bool reserve_mode_fits(const struct petition *petition)
{
	return petition->admission.accounting == POLICY_ACCOUNTING_TASK;
}

static const char *reserve_strerror(int err)
{
	return err == -ENODEV ? "VFIO is not there, or came after pinbrokerd started: load it, and "
				"restart pinbrokerd"
			      : strerror(-err);
}

/* Return: 0; -errno with the sentence said, and nothing reserved. */
static int reserve_make(struct broker *broker, const struct petition *petition, uint32_t wait_ms,
			struct session **ret_session, const char **ret_fault)
{
	struct session_plan plan = grant_plan(petition);
	struct session *session;
	int err;

	plan.reserved = SESSION_RESERVED_OTHERS;
	*ret_fault = "cannot reserve and record a session";
	err = session_new(broker->sessions, &plan, &session);
	if (err)
		return err;
	session->deadline_ms = broker_now_ms() + wait_ms;
	*ret_fault = "the gate has no room for one more session";
	err = warden_admit(broker, session, 2 + session->n_devices); /* a context counts twice */
	if (!err) {
		*ret_fault = "the gate cannot wait for its devices";
		err = reserve_expect(broker, session);
	}
	if (!err)
		err = reserve_arm(broker);
	if (err)
		reserve_end(broker, session);
	else
		*ret_session = session;
	return err;
}

static int reserve_grant(struct peer *peer, const struct proto_header *header,
			 const struct petition *petition, uint32_t wait_ms)
{
	struct peer_answer answer = {.request = header};
	struct session *session = NULL;
	const char *fault;
	int err = reserve_make(peer->broker, petition, wait_ms, &session, &fault);

	if (err)
		return request_refuse(peer, header, REFUSAL_KERNEL, "policy \"%s\": %s: %s",
				      petition->admission.policy->name, fault,
				      reserve_strerror(err));
	err = grant_answer(peer, &answer, session, petition);
	if (err) {
		reserve_end(peer->broker, session);
		return err;
	}
	mirror_begin(peer->broker->mirror, session); /* nothing of it is, while it has no process */
	grant_audit(peer, "reserved", session, petition);
	return 0;
}

int reserve_open(struct peer *peer, const struct proto_header *header, const void *body)
{
	const char *fault = warden_fault(peer->broker);
	struct petition *petition = peer->broker->petition;
	struct proto_reserve request;
	int err;

	memcpy(&request, body, sizeof(request));
	if (!proto_reserve_valid(&request))
		return request_malformed(peer, header);
	petition_weigh(peer, PETITION_RESERVE, &request.open, &request.subject, petition);
	if (petition->admission.refusal)
		err = request_refuse_petition(peer, header, petition);
	else if (!reserve_mode_fits(petition))
		err = request_refuse(peer, header, REFUSAL_NOT_PERMITTED,
				     "policy \"%s\" has accounting = \"user\", and a context that "
				     "the broker does not open is charged per task: have the "
				     "broker open it",
				     petition->admission.policy->name);
	else if (fault)
		err = request_refuse(peer, header, REFUSAL_KERNEL, "policy \"%s\": %s",
				     petition->admission.policy->name, fault);
	else
		err = reserve_grant(peer, header, petition, request.wait_ms);
	petition_fini(petition);
	return err;
}

/* --- what it was reserved for */

bool reserve_bound(struct broker *broker, struct session *session)
{
	if (!reserve_waits(session) || !warden_holds(broker, session))
		return false;
	session_enter(broker->sessions, session, SESSION_ACTIVE);
	reserve_tell(broker, session, "bound", "a device of it was bound to its context");
	if (gate_state(broker->gate, session->gate).revoked) /* when it was just given up */
		session_enter(broker->sessions, session, SESSION_REVOKED);
	return true;
}

const char *reserve_fault(const struct broker *broker, const struct session *session,
			  uint64_t inode)
{
	if (session->reserved == SESSION_RESERVED_HANDOFF)
		return "has not come to the socket of the session";
	if (!session->reserved || reserve_called(broker, session, inode))
		return NULL;
	/* Where the gate can be skipped, or there is none, not to have seen it proves nothing. */
	if (gate_level(broker->gate) != GATE_LEVEL_EXACT && session->state == SESSION_PENDING)
		return NULL;
	return "has not bound a device of the session";
}

void reserve_owned(struct broker *broker, struct session *session)
{
	if (!session->reserved)
		return;
	if (session->state == SESSION_PENDING) { /* nothing of it was seen in the gate */
		warden_forget(broker, session);
		session->gate = GATE_NO_SLOT;
		session_enter(broker->sessions, session, SESSION_ACTIVE);
	}
	session_unreserve(broker->sessions, session);
}

static bool reserve_keeps(uint32_t slot, uint64_t id, void *arg)
{
	const struct broker *broker = arg;
	const struct session *session = session_find(broker->sessions, id);

	return session && session->gate == slot;
}

int reserve_resume(struct broker *broker)
{
	if (broker->gate)
		gate_expect_keep(broker->gate, reserve_keeps, broker);
	for (struct session *s = session_after(broker->sessions, 0); s; s = s->newer) {
		if (s->owner) /* the daemon before was killed before it said so */
			reserve_owned(broker, s);
		if (reserve_waits(s) && !s->handoff)
			s->deadline_ms = broker_now_ms() + RESERVE_AGAIN_MS;
	}
	return reserve_arm(broker);
}
