/* SPDX-License-Identifier: MIT */
#include "daemon/place.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/access.h"
#include "daemon/broker.h"
#include "daemon/loop.h"
#include "daemon/mirror_private.h"
#include "daemon/owner.h"
#include "daemon/peer.h"
#include "daemon/place_work.h"
#include "daemon/record.h"
#include "daemon/request.h"
#include "daemon/worker.h"

/* The entry of a cgroup; RECORD_NONE: it is none of ours. */
static uint32_t place_slot(const struct broker *broker, uint64_t id)
{
	uint32_t slot = RECORD_NONE;

	while ((slot = record_next(broker->record, RECORD_PLACE, slot)) != RECORD_NONE)
		if (record_at(broker->record, slot)->place.cgroup == id)
			break;
	return slot;
}

bool place_is_ours(const struct broker *broker, uint64_t id)
{
	return place_slot(broker, id) != RECORD_NONE;
}

bool place_has(const struct broker *broker, const struct session *session)
{
	uint32_t slot = RECORD_NONE;

	while ((slot = record_next(broker->record, RECORD_PLACE, slot)) != RECORD_NONE)
		if (record_at(broker->record, slot)->place.session == session->id)
			return true;
	return false;
}

/* --- removal */

static void place_removal_free(struct place_removal *removal)
{
	struct place_removal **at = &removal->broker->mirror->removals;

	while (*at != removal)
		at = &(*at)->next;
	*at = removal->next;
	loop_cancel(removal->broker->loop, &removal->watch);
	fd_closep(&removal->fd);
	free(removal);
}

static void place_removal_try(struct place_removal *removal)
{
	if (removal->busy) {
		removal->again = true;
		return;
	}
	loop_cancel(removal->broker->loop, &removal->watch);
	fd_closep(&removal->fd);
	removal->busy = true;
	worker_put(removal->broker->mirror->worker, &removal->job);
}

static void place_left(uint32_t events, void *arg)
{
	(void)events;
	place_removal_try(arg);
}

/* It stays, and is tried again when another one has gone. */
static bool place_removal_waits(struct place_removal *removal)
{
	return removal->err == -EBUSY && removal->fd >= 0 &&
	       !loop_watch(removal->broker->loop, removal->fd, POLLPRI, place_left, removal,
			   &removal->watch);
}

static void place_remove(struct broker *broker, uint64_t id);

/* It is gone: the one above may be empty now. */
static void place_forget(struct broker *broker, uint64_t id)
{
	uint32_t slot = place_slot(broker, id);
	uint64_t above;

	if (slot == RECORD_NONE)
		return;
	above = record_at(broker->record, slot)->place.above;
	record_drop(broker->record, &slot);
	slot = above ? place_slot(broker, above) : RECORD_NONE;
	if (slot != RECORD_NONE && !record_at(broker->record, slot)->place.session)
		place_remove(broker, above);
}

static void place_removed(struct worker_job *job)
{
	struct place_removal *removal = container_of(job, struct place_removal, job);
	struct broker *broker = removal->broker;
	int err = removal->err;

	removal->busy = false;
	if (removal->again) {
		removal->again = false;
		place_removal_try(removal);
	} else if (err == 0 || err == -ENOENT) {
		const uint64_t id = removal->id;

		place_removal_free(removal);
		place_forget(broker, id);
	} else if (!place_removal_waits(removal)) {
		if (err != -EBUSY)
			log_warning("a cgroup that was made for a session cannot be removed: %s",
				    strerror(-err));
		place_removal_free(removal);
	}
}

static struct place_removal *place_removal_get(struct broker *broker, uint64_t id)
{
	struct mirror *mirror = broker->mirror;
	struct place_removal *removal = mirror->removals;
	uint32_t slot;

	while (removal && removal->id != id)
		removal = removal->next;
	if (removal)
		return removal;
	removal = place_removal_new(&mirror->tools, broker, id);
	if (!removal)
		return NULL;
	removal->job.done = place_removed;
	/* One above others is tried again when one of those has gone. */
	slot = place_slot(broker, id); /* none: there was no room for it */
	removal->listens = slot != RECORD_NONE && record_at(broker->record, slot)->place.session;
	removal->next = mirror->removals;
	mirror->removals = removal;
	return removal;
}

/* Without memory the next start does it. */
static void place_remove(struct broker *broker, uint64_t id)
{
	struct place_removal *removal = place_removal_get(broker, id);

	if (removal)
		place_removal_try(removal);
}

void place_fini(struct mirror *mirror)
{
	struct place_removal *next;

	for (struct place_removal *r = mirror->removals; r; r = next) {
		next = r->next;
		if (!r->busy)
			place_removal_free(r);
	}
}

/* What systemd keeps goes by itself; what is above others goes with the last of them. */
static void place_drop_kept(struct broker *broker, uint64_t session)
{
	uint32_t slot = RECORD_NONE;
	bool others = false;

	while ((slot = record_next(broker->record, RECORD_PLACE, slot)) != RECORD_NONE) {
		const struct record_place *body = &record_at(broker->record, slot)->place;
		uint32_t dropped = slot;

		if (body->kept && body->session == session)
			record_drop(broker->record, &dropped);
		else
			others |= body->kept && body->session;
	}
	if (session && !others)
		place_drop_kept(broker, 0);
}

void place_end(struct broker *broker, const struct session *session)
{
	uint32_t slot = RECORD_NONE;
	bool kept = false;

	if (!broker->mirror || !broker->mirror->worker)
		return;
	while ((slot = record_next(broker->record, RECORD_PLACE, slot)) != RECORD_NONE) {
		const struct record_place *body = &record_at(broker->record, slot)->place;

		if (body->session != session->id)
			continue;
		kept = body->kept;
		if (!kept)
			place_remove(broker, body->cgroup);
	}
	if (kept)
		place_drop_kept(broker, session->id);
}

void place_sweep(struct broker *broker)
{
	uint32_t slot = RECORD_NONE;

	while ((slot = record_next(broker->record, RECORD_PLACE, slot)) != RECORD_NONE) {
		const struct record_place *body = &record_at(broker->record, slot)->place;

		if (body->session && session_find(broker->sessions, body->session))
			continue;
		if (!body->kept)
			place_remove(broker, body->cgroup);
		else if (body->session)
			place_drop_kept(broker, body->session);
	}
}

/* --- making */

static struct peer *place_peer(const struct broker *broker, uint64_t number)
{
	struct peer *peer = broker->peers;

	while (peer && peer->number != number)
		peer = peer->next;
	return peer;
}

static int place_answer(const struct peer *peer, const struct place_making *making)
{
	struct proto_placed body = {.id = making->session};
	struct peer_answer answer = {
		.request = &making->header,
		.kind = PROTO_REPLY,
		.parts = {{.iov_base = &body, .iov_len = sizeof(body)}},
		.n_parts = 1,
	};

	if (making->err)
		return request_refuse(peer, &making->header, REFUSAL_KERNEL, "policy \"%s\": %s",
				      making->policy, making->fault);
	proto_text_set(body.path, sizeof(body.path), making->place.path);
	return peer_send(peer, &answer);
}

static bool place_add(struct broker *broker, const struct place_making *making, size_t level,
		      uint64_t session)
{
	const union record_body body = {.place = {.cgroup = making->levels[level].id,
						  .session = session,
						  .above = level ? making->levels[level - 1].id : 0,
						  .kept = making->kept}};
	uint32_t slot;

	return record_add(broker->record, RECORD_PLACE, &body, &slot) == 0;
}

/*
 * Those above the last one are of no session: they go when nothing is in them. Others may have
 * recorded those of systemd before.
 */
static void place_note(struct broker *broker, const struct place_making *making)
{
	for (size_t i = 0; i < making->n_levels; i++) {
		bool last = i == making->n_levels - 1 && !making->err;

		if (!making->levels[i].made || place_is_ours(broker, making->levels[i].id))
			continue;
		if (!place_add(broker, making, i, last ? making->session : 0))
			log_warning("a cgroup that was made for session %llx stays: no room in the "
				    "record",
				    (unsigned long long)making->session);
	}
}

/* The session has not got it: the last of what was made goes, and with it those above. */
static void place_take_back(struct broker *broker, const struct place_making *making)
{
	size_t n = making->n_levels;

	if (making->kept)
		place_drop_kept(broker, making->session);
	else if (n && making->levels[n - 1].made)
		place_remove(broker, making->levels[n - 1].id);
}

static void place_made(struct worker_job *job)
{
	struct place_making *making = container_of(job, struct place_making, job);
	struct broker *broker = making->broker;
	struct session *session = session_find(broker->sessions, making->session);
	struct peer *peer = place_peer(broker, making->peer);
	int err;

	place_note(broker, making);
	if (!session || making->err)
		place_take_back(broker, making);
	if (session) {
		session->placing = false;
		if (session->view)
			mirror_changed(broker->mirror, session);
		else
			mirror_begin(broker->mirror, session);
	}
	if (peer) {
		err = place_answer(peer, making);
		if (err)
			peer_drop(peer, err);
	}
	free(making);
}

/* Why not; NULL: it may. */
static const char *place_fault_of(const struct peer *peer, const struct session *session,
				  const struct policy *policy)
{
	if (session->state != SESSION_ACTIVE || !session->owner ||
	    session->owner->pid != peer->cred.pid)
		return "only the owner of a live session puts itself into a cgroup";
	if (!policy || !policy->cgroup_parent || !policy->cgroup_parent[0])
		return "its policy has no cgroup-parent";
	if (session->placing || place_has(peer->broker, session))
		return "it has a cgroup of its own, or that is under way";
	return NULL;
}

static int place_begin(struct peer *peer, const struct proto_header *header,
		       struct session *session, const struct policy *policy, const char *name)
{
	struct broker *broker = peer->broker;
	struct place_making *making = calloc(1, sizeof(*making));

	if (!making)
		return request_fail(peer, header, REQUEST_INTERNAL, "no memory");
	making->job.work = place_making_work;
	making->job.done = place_made;
	making->tools = &broker->mirror->tools;
	making->broker = broker;
	making->peer = peer->number;
	making->header = *header;
	making->session = session->id;
	making->uid = session->uid;
	making->pid = session->owner->pid;
	making->inode = session->owner->inode;
	proto_text_set(making->parent, sizeof(making->parent), policy->cgroup_parent);
	proto_text_set(making->policy, sizeof(making->policy), policy->name);
	proto_text_set(making->name, sizeof(making->name), name);
	session->placing = true;
	worker_put(broker->mirror->worker, &making->job);
	return 0;
}

int place_serve(struct peer *peer, const struct proto_header *header, const void *body)
{
	struct broker *broker = peer->broker;
	const struct policy *policy;
	struct session *session;
	struct proto_place place;
	const char *fault;

	memcpy(&place, body, sizeof(place));
	if (!proto_place_valid(&place))
		return request_malformed(peer, header);
	session = session_find(broker->sessions, place.id);
	if (!session || access_of(peer, session) == ACCESS_NONE)
		return request_fail(peer, header, REQUEST_NO_SESSION, "no session %llx",
				    (unsigned long long)place.id);
	policy = policy_find(broker->policies, session->policy);
	fault = place_fault_of(peer, session, policy);
	if (fault)
		return request_refuse(peer, header, REFUSAL_NOT_PERMITTED, "policy \"%s\": %s",
				      session->policy, fault);
	if (!broker->mirror->worker)
		return request_refuse(peer, header, REFUSAL_KERNEL,
				      "policy \"%s\": this host has no cgroup hierarchy of version "
				      "2 alone",
				      session->policy);
	return place_begin(peer, header, session, policy, place.name);
}
