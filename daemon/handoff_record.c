/* SPDX-License-Identifier: MIT */
/* A hand-off in the record, and after a start. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/broker.h"
#include "daemon/fdstore.h"
#include "daemon/handoff.h"
#include "daemon/handoff_private.h"
#include "daemon/owner.h"
#include "daemon/record.h"
#include "daemon/session.h"

void handoff_unrecord(const struct handoff *handoff)
{
	struct record *record = handoff->broker->record;
	uint32_t slot = RECORD_NONE;

	while ((slot = record_next(record, RECORD_HANDOFF, slot)) != RECORD_NONE) {
		uint32_t dropped = slot;

		if (record_at(record, slot)->handoff.session == handoff->session->id)
			record_drop(record, &dropped);
	}
}

/* In pieces, as many as it takes. */
int handoff_record(const struct handoff *handoff)
{
	const size_t len = strlen(handoff->cgroup), piece = RECORD_HANDOFF_PIECE;
	int err = 0;

	for (size_t at = 0; !err && at < len; at += piece) {
		union record_body body = {.handoff = {.session = handoff->session->id,
						      .deadline_ms = handoff->session->deadline_ms,
						      .at = (uint32_t)at,
						      .len = (uint32_t)len}};
		uint32_t slot;

		memcpy(body.handoff.text, handoff->cgroup + at,
		       len - at < piece ? len - at : piece);
		err = record_add(handoff->broker->record, RECORD_HANDOFF, &body, &slot);
	}
	return err;
}

/* What the record says is checked like anything that was not made here. Return: whether it fits. */
static bool handoff_piece(struct handoff *handoff, const struct record_handoff *body, size_t *n)
{
	const size_t piece = RECORD_HANDOFF_PIECE;
	size_t len;

	if (body->len >= sizeof(handoff->cgroup) || body->at >= body->len || body->at % piece)
		return false;
	len = body->len - body->at < piece ? body->len - body->at : piece;
	if (memchr(body->text, '\0', len) || handoff->cgroup[body->at])
		return false;
	memcpy(handoff->cgroup + body->at, body->text, len);
	handoff->session->deadline_ms = body->deadline_ms;
	*n += len;
	return *n <= body->len;
}

/* Return: whether all of it is there. */
static bool handoff_recorded(struct handoff *handoff)
{
	const struct record *record = handoff->broker->record;
	uint32_t slot = RECORD_NONE;
	size_t n = 0, len = 0;

	while ((slot = record_next(record, RECORD_HANDOFF, slot)) != RECORD_NONE) {
		const struct record_handoff *body =
			&record_at(handoff->broker->record, slot)->handoff;

		if (body->session != handoff->session->id)
			continue;
		if ((len && body->len != len) || !handoff_piece(handoff, body, &n))
			return false;
		len = body->len;
	}
	return n && n == len && handoff->cgroup[0] == '/';
}

/* --- after a start */

static void handoff_forget(struct broker *broker)
{
	uint32_t slot = RECORD_NONE;

	while ((slot = record_next(broker->record, RECORD_HANDOFF, slot)) != RECORD_NONE) {
		const struct session *session = session_find(
			broker->sessions, record_at(broker->record, slot)->handoff.session);
		uint32_t dropped = slot;

		if (!session || !session->handoff)
			record_drop(broker->record, &dropped);
	}
}

/* The socket, if the service manager has kept it; else it is passed again. */
static void handoff_recover(struct handoff *handoff)
{
	struct fdstore *store = handoff->broker->fdstore;
	int fd = fdstore_take_handoff(store, handoff->session->id);

	if (fd < 0)
		return;
	if (handoff_socket_fault(fd)) {
		fd_closep(&fd); /* not the last: the service manager has it */
		fdstore_drop_handoff(store, handoff->session->id);
		return;
	}
	handoff->listen_fd = fd;
	handoff_listen(handoff);
}

/* Return: 0; -ENOMEM. */
static int handoff_revive(struct broker *broker, struct session *session)
{
	int err = handoff_new(broker, session);

	if (err)
		return err;
	if (!session->owner && handoff_recorded(session->handoff)) {
		handoff_recover(session->handoff);
		return 0;
	}
	log_warning("session %llx ended: the record does not say to whom it goes",
		    (unsigned long long)session->id);
	owner_end_session(broker, session);
	return 0;
}

int handoff_resume(struct broker *broker)
{
	struct session *newer;
	int err = 0;

	for (struct session *s = session_after(broker->sessions, 0); s && !err; s = newer) {
		newer = s->newer;
		if (s->state == SESSION_PENDING && s->reserved == SESSION_RESERVED_HANDOFF)
			err = handoff_revive(broker, s);
	}
	if (err)
		return err;
	handoff_forget(broker);
	fdstore_drop_handoffs(broker->fdstore);
	return 0;
}
