/* SPDX-License-Identifier: MIT */
#include "daemon/migration.h"

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/proto.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/session.h"

#define MIGRATION_LINE_MS 10000 /* one in the log for each session, in that time */

/* It may begin to reach another device. */
#define MIGRATION_LOUD (BIT(PROTO_MIGRATION_RUNNING) | BIT(PROTO_MIGRATION_PRE_COPY))
/* It does something: it takes at least what others send it. */
#define MIGRATION_RUNS \
	(MIGRATION_LOUD | BIT(PROTO_MIGRATION_RUNNING_P2P) | BIT(PROTO_MIGRATION_PRE_COPY_P2P))
#define MIGRATION_STOPPED (BIT(PROTO_MIGRATION_STOP) | BIT(PROTO_MIGRATION_STOP_COPY))

/* States of a kernel of later are in no set. */
static bool migration_in(uint32_t state, uint32_t set)
{
	return state < PROTO_MIGRATION_STATES && set & BIT(state);
}

void migration_is(struct session_claim *claim, uint32_t state)
{
	claim->migration_known = true;
	claim->migration = state;
}

void migration_bound(struct session_claim *claim)
{
	migration_is(claim, PROTO_MIGRATION_RUNNING);
}

/*
 * One that nothing was seen of runs since it was bound. But who begins to look in the middle of a
 * migration has not seen where the first one comes from either.
 */
static bool migration_disturbs(const struct session_claim *other, bool seen_before, uint32_t from)
{
	if (other->migration_known)
		return migration_in(other->migration, MIGRATION_LOUD);
	return seen_before || migration_in(from, MIGRATION_LOUD);
}

const struct session_claim *migration_step(struct session_claim *claim, uint32_t from, uint32_t to)
{
	bool seen_before = claim->migration_known;

	migration_is(claim, to);
	if (!migration_in(from, MIGRATION_RUNS) || !migration_in(to, MIGRATION_STOPPED))
		return NULL;
	for (const struct session_claim *c = claim->session->claims; c; c = c->next_claim)
		if (c != claim && migration_disturbs(c, seen_before, from))
			return c;
	return NULL;
}

/* Who migrates its devices does it as often as it likes. */
void migration_audit(const struct broker *broker, const struct session_claim *stopped,
		     const struct session_claim *other)
{
	struct session_told *told = &stopped->session->told;
	const uint64_t now_ms = broker_now_ms();
	struct audit audit UNINITIALIZED;

	if (now_ms < told->next_disorder_ms) {
		told->disorders_left_out++;
		return;
	}
	audit_begin(&audit, broker, "disorder");
	audit_session(&audit, stopped->session);
	audit_text(&audit, "stopped", stopped->name);
	audit_text(&audit, "running", other->name);
	if (told->disorders_left_out)
		audit_number(&audit, "left_out", told->disorders_left_out);
	audit_text(&audit, "text",
		   "a device is stopped while another of its session may still reach it: it was "
		   "not seen in RUNNING_P2P");
	audit_end(&audit, LOG_LEVEL_WARNING);
	told->next_disorder_ms = now_ms + MIGRATION_LINE_MS;
	told->disorders_left_out = 0;
}

void migration_forget(struct session_table *sessions)
{
	for (struct session *s = session_after(sessions, 0); s; s = session_after(sessions, s->id))
		for (struct session_claim *c = s->claims; c; c = c->next_claim)
			c->migration_known = false;
}
