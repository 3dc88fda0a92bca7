/* SPDX-License-Identifier: MIT */
#include "daemon/restore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/gate.h"
#include "bpf/gate_index.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/broker.h"
#include "daemon/mirror.h"
#include "daemon/owner.h"
#include "daemon/record.h"
#include "daemon/session.h"

/*
 * Only what is proved to be over, or to make no sense, is dropped: of anything else the entry may
 * be taken over at the next start. pidfd_open(2) says EINVAL (or ENOENT) of a pid that is by now
 * that of a thread.
 */
static bool restore_must_stop(int err)
{
	return err && err != -ESRCH && err != -EINVAL && err != -ENOENT && err != -EBADMSG &&
	       err != -EEXIST;
}

static int restore_owners(struct broker *broker)
{
	struct record *record = broker->record;
	uint32_t slot = RECORD_NONE;

	while ((slot = record_next(record, RECORD_OWNER, slot)) != RECORD_NONE) {
		struct owner *owner;
		int err = owner_revive(broker->owners, slot, &owner);
		uint32_t dropped = slot;

		if (restore_must_stop(err))
			return err;
		if (err && err != -ESRCH)
			log_warning("an owner in the record makes no sense: %s", strerror(-err));
		if (err)
			record_drop(record, &dropped);
	}
	return 0;
}

static void restore_drop(struct broker *broker, uint32_t slot, const char *why)
{
	const struct record_session *body = &record_at(broker->record, slot)->session;

	log_info("session %llx of uid %u ended: %s", (unsigned long long)body->id, body->uid, why);
	record_drop(broker->record, &slot);
}

/*
 * What the kernel keeps says so; a session that it does not know ends with its owner. Where that
 * cannot be read nothing proves it.
 */
static bool restore_is_over(const struct broker *broker, const struct gate_index *gated,
			    const struct record_session *body, const struct owner *owner)
{
	uint32_t gate = gate_index_find(gated, body->id);

	return gate == GATE_NO_SLOT ? !owner && !broker->gate_unseen
				    : gate_state(broker->gate, gate).ended;
}

static int restore_session(struct broker *broker, const struct gate_index *gated, uint32_t slot)
{
	const struct record_session *body = &record_at(broker->record, slot)->session;
	struct owner *owner = owner_find(broker->owners, body->owner);
	struct session *session;
	int err;

	if (body->state == SESSION_PENDING && !body->reserved) {
		restore_drop(broker, slot, "it was never handed out");
		return 0;
	}
	if (body->state != SESSION_PENDING && restore_is_over(broker, gated, body, owner)) {
		restore_drop(broker, slot, "it was over before this daemon started");
		return 0;
	}
	err = session_revive(broker->sessions, slot, &session);
	if (restore_must_stop(err))
		return err;
	if (err)
		restore_drop(broker, slot, strerror(-err));
	else if (owner)
		owner_add_session(owner, session);
	return 0;
}

/* A slot and the id in it. */
struct restore_entry {
	uint64_t id;
	uint32_t slot;
};

static int restore_compare(const void *a, const void *b)
{
	const struct restore_entry *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

/* In the order of their ids, which is that of the table. */
static int restore_in_order(struct broker *broker)
{
	CLEANUP(gate_index_freep) struct gate_index *gated = NULL;
	CLEANUP(freep) struct restore_entry *entries = NULL;
	struct record *record = broker->record;
	size_t n = 0, i = 0;
	int err = 0;

	for (uint32_t s = record_next(record, RECORD_SESSION, RECORD_NONE); s != RECORD_NONE;
	     s = record_next(record, RECORD_SESSION, s))
		n++;
	entries = calloc(n ? n : 1, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	for (uint32_t s = record_next(record, RECORD_SESSION, RECORD_NONE); s != RECORD_NONE;
	     s = record_next(record, RECORD_SESSION, s))
		entries[i++] = (struct restore_entry){record_at(record, s)->session.id, s};
	qsort(entries, n, sizeof(*entries), restore_compare);
	err = gate_index_new(broker->gate, &gated);
	for (i = 0; !err && i < n; i++)
		err = restore_session(broker, gated, entries[i].slot);
	return err;
}

static int restore_devices(struct broker *broker)
{
	struct record *record = broker->record;
	uint32_t slot = RECORD_NONE;

	while ((slot = record_next(record, RECORD_DEVICE, slot)) != RECORD_NONE) {
		struct session *session =
			session_find(broker->sessions, record_at(record, slot)->device.session);
		int err = session ? session_revive_device(broker->sessions, session, slot) : -ESRCH;
		uint32_t dropped = slot;

		if (restore_must_stop(err))
			return err;
		if (err)
			record_drop(record, &dropped);
	}
	return 0;
}

int restore_sessions(struct broker *broker)
{
	int err = restore_owners(broker);

	if (!err)
		err = restore_in_order(broker);
	if (!err)
		err = restore_devices(broker);
	if (err)
		return err;
	for (struct session *s = session_after(broker->sessions, 0); s; s = s->newer)
		mirror_begin(broker->mirror, s);
	if (session_count(broker->sessions))
		log_info("took over %zu sessions", session_count(broker->sessions));
	return 0;
}
