/* SPDX-License-Identifier: MIT */
#include "daemon/payer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/gate.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/proto.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/memlock.h"
#include "daemon/mirror.h"
#include "daemon/owner.h"
#include "daemon/process.h"
#include "daemon/session.h"
#include "daemon/warden.h"

#define PAYER_LINE_MS 10000 /* between lines about one session that it can cause */

static bool payer_is_known(const struct session *session, uint64_t inode)
{
	const struct payer *p = session->payers;

	while (p && p->owner->inode != inode)
		p = p->next;
	return p || (session->owner && session->owner->inode == inode);
}

static int payer_link(struct session *session, struct owner *owner, struct payer **ret_payer)
{
	struct payer *payer = calloc(1, sizeof(*payer));

	if (!payer)
		return -ENOMEM;
	payer->session = session;
	payer->owner = owner;
	payer->next = session->payers;
	session->payers = payer;
	payer->next_paid = owner->payments;
	owner->payments = payer;
	*ret_payer = payer;
	mirror_changed(owner->broker->mirror, session);
	return 0;
}

/* The owner may be without any session then: owner_put(). */
static void payer_free(struct payer *payer)
{
	struct payer **at = &payer->session->payers;

	while (*at != payer)
		at = &(*at)->next;
	*at = payer->next;
	at = &payer->owner->payments;
	while (*at != payer)
		at = &(*at)->next_paid;
	*at = payer->next_paid;
	free(payer);
}

/* Its processes come and go as they like. */
static void payer_audit(const struct broker *broker, struct session *session,
			const struct process *process)
{
	struct session_told *told = &session->told;
	const uint64_t now_ms = broker_now_ms();
	struct audit audit UNINITIALIZED;

	if (now_ms < told->next_payer_ms) {
		told->payers_left_out++;
		return;
	}
	audit_begin(&audit, broker, "payer");
	audit_session(&audit, session);
	audit_number(&audit, "payer", (uint64_t)process->pid);
	if (told->payers_left_out)
		audit_number(&audit, "left_out", told->payers_left_out);
	audit_text(&audit, "text", "it maps through the session");
	audit_end(&audit, LOG_LEVEL_INFO);
	told->next_payer_ms = now_ms + PAYER_LINE_MS;
	told->payers_left_out = 0;
}

static int payer_take(struct broker *broker, struct session *session, const struct process *process,
		      bool limit)
{
	struct owner_plan plan = {
		.pidfd = process->pidfd,
		.pid = process->pid,
		.uid = process->uid,
		.locked_besides =
			memlock_besides(process, session->accounting == POLICY_ACCOUNTING_TASK),
	};
	struct owner *owner;
	struct payer *payer;
	int err = process_capable(process, &plan.exempt);

	if (!err)
		err = owner_get(broker->owners, &plan, &owner);
	if (err)
		return err;
	err = payer_link(session, owner, &payer);
	if (!err && session->owner)
		memlock_inherit(owner, session->owner);
	if (!err && limit)
		err = memlock_limit(owner, false);
	if (err) {
		if (owner->payments && owner->payments->session == session)
			payer_free(owner->payments);
		owner_put(owner);
		return err;
	}
	if (limit)
		payer_audit(broker, session, process);
	return 0;
}

/*
 * Only a process of the session's own user: of anybody else the limit is none of the session's, and
 * one with CAP_IPC_LOCK needs none.
 */
static void payer_meet(struct broker *broker, struct session *session,
		       const struct gate_caller *caller, bool limit)
{
	const struct proto_process named = {.pid = caller->pid, .inode = caller->inode};
	CLEANUP(process_fini) struct process process = PROCESS_INIT;
	int err = process_open(&named, &process);

	if (err == -ESRCH)
		gate_forget_caller(broker->gate, session->gate, caller->inode);
	if (err || process.uid != session->uid)
		return;
	err = payer_take(broker, session, &process, limit);
	if (err && err != -ESRCH)
		log_warning("session %llx: RLIMIT_MEMLOCK of process %d, which maps through it, "
			    "cannot be set: %s",
			    (unsigned long long)session->id, (int)process.pid, strerror(-err));
}

static void payers_meet(struct broker *broker, struct session *session, bool limit)
{
	struct gate_caller callers[GATE_CALLERS_MAX];
	size_t n;

	if (!broker->gate || session->gate == GATE_NO_SLOT || session->state != SESSION_ACTIVE)
		return;
	n = gate_callers(broker->gate, session->gate, callers);
	for (size_t i = 0; i < n; i++)
		if (!payer_is_known(session, callers[i].inode))
			payer_meet(broker, session, &callers[i], limit);
}

void payers_look(struct broker *broker, struct session *session)
{
	payers_meet(broker, session, true);
}

void payers_link(struct broker *broker, struct session *session)
{
	payers_meet(broker, session, false);
}

void payers_limit(const struct session *session, bool force)
{
	for (const struct payer *p = session->payers; p; p = p->next)
		owner_limit(p->owner, force);
}

void payers_leave(struct broker *broker, struct session *session)
{
	while (session->payers) {
		struct owner *owner = session->payers->owner;

		payer_free(session->payers);
		warden_forget_caller(broker, session, owner->inode);
		if (owner_is_idle(owner))
			owner_put(owner);
		else
			owner_limit(owner, false);
	}
}

void payers_exited(struct owner *owner)
{
	const struct broker *broker = owner->broker;

	while (owner->payments) {
		const struct session *session = owner->payments->session;

		warden_forget_caller(broker, session, owner->inode);
		payer_free(owner->payments);
	}
}

void payers_promote(struct session *session, const struct owner *owner)
{
	struct payer *p = session->payers;

	while (p && p->owner != owner)
		p = p->next;
	if (p)
		payer_free(p);
}

void payers_free(struct owner *owner)
{
	while (owner->payments)
		payer_free(owner->payments);
}
