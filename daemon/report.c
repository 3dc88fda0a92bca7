/* SPDX-License-Identifier: MIT */
#include "daemon/report.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "bpf/gate.h"
#include "bpf/gate_pool.h"
#include "common/cleanup.h"
#include "daemon/access.h"
#include "daemon/broker.h"
#include "daemon/owner.h"
#include "daemon/peer.h"
#include "daemon/process.h"
#include "daemon/procfs.h"
#include "daemon/request.h"
#include "daemon/session.h"
#include "daemon/unmanaged.h"
#include "daemon/warden.h"

#define REPORT_READS_MS 50 /* a reply takes no longer to be made with new readings */

/* A reply in the making. */
struct report {
	const struct broker *broker;
	enum warden_reading reading;
	uint64_t until_ms; /* of CLOCK_MONOTONIC; from then on the last readings are told */
};

static struct report report_begin(const struct broker *broker, enum warden_reading reading)
{
	return (struct report){
		.broker = broker,
		.reading = reading,
		.until_ms = broker_now_ms() + REPORT_READS_MS,
	};
}

static const enum proto_state report_states[] = {
	[SESSION_PENDING] = PROTO_STATE_PENDING,
	[SESSION_ACTIVE] = PROTO_STATE_ACTIVE,
	[SESSION_REVOKED] = PROTO_STATE_REVOKED,
};
static_assert(ARRAY_SIZE(report_states) == SESSION_STATES, "a word for each state");

enum proto_state report_state(const struct broker *broker, const struct session *session)
{
	if (warden_poisoned(broker, session))
		return PROTO_STATE_POISONED;
	if (session->state == SESSION_ACTIVE && !session->owner && !session->reserved)
		return PROTO_STATE_ORPHANED;
	return report_states[session->state];
}

static void report_put_figures(const struct gate_figures *figures, struct proto_session *record)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	record->pinned = figures->pinned * page;
	record->pinned_peak = figures->peak * page;
	record->mapped = figures->mapped * page;
	record->mappings = figures->mappings;
	record->denied = figures->denied;
	record->flags |= figures->exact ? PROTO_SESSION_EXACT : 0;
}

static enum warden_reading report_reading(const struct report *report)
{
	return broker_now_ms() < report->until_ms ? report->reading : WARDEN_LAST;
}

/* Read in the kernel; what is not known there stays so. */
static void report_figures(const struct report *report, const struct session *session,
			   struct proto_session *record)
{
	struct gate_figures figures;

	if (!warden_figures(report->broker, session, report_reading(report), &figures))
		return;
	report_put_figures(&figures, record);
	if (record->state == PROTO_STATE_ACTIVE && figures.exact && !figures.mappings &&
	    !figures.objects)
		record->state = PROTO_STATE_IDLE;
}

/* What /proc knows of the owner; believed only if the process was there all the time. */
static void report_owner(const struct owner *owner, struct proto_session *record,
			 char cgroup[static PROCFS_CGROUP_MAX])
{
	struct procfs_locked locked;
	bool has_cgroup, has_locked;

	cgroup[0] = '\0';
	record->pinned = PROTO_UNKNOWN;
	if (!owner)
		return;
	record->pid = (uint32_t)owner->pid;
	has_locked = procfs_locked(owner->pid, &locked) == 0;
	has_cgroup = procfs_cgroup(owner->pid, cgroup) == 0;
	if (procfs_exited(owner->pidfd)) {
		cgroup[0] = '\0';
		return;
	}
	if (has_locked)
		record->pinned = locked.pinned;
	if (!has_cgroup)
		cgroup[0] = '\0';
}

/* Figures that only the kernel's structures can give are not known; never zero. */
static void report_fill(const struct report *report, const struct session *session,
			struct proto_session *ret_record, char cgroup[static PROCFS_CGROUP_MAX])
{
	*ret_record = (struct proto_session){
		.id = session->id,
		.limit = session->share.limit,
		.pinned_peak = PROTO_UNKNOWN,
		.mapped = PROTO_UNKNOWN,
		.mappings = PROTO_UNKNOWN,
		.denied = PROTO_UNKNOWN,
		.max_mappings = session->max_mappings,
		.uid = session->uid,
		.accounting = (uint32_t)session->accounting,
		.state = report_state(report->broker, session),
		.n_devices = (uint16_t)session->n_devices,
	};
	proto_text_set(ret_record->name, sizeof(ret_record->name), session->name);
	proto_text_set(ret_record->policy, sizeof(ret_record->policy), session->policy);
	report_owner(session->owner, ret_record, cgroup);
	report_figures(report, session, ret_record);
	ret_record->cgroup_len = (uint16_t)strlen(cgroup);
}

/* The process that a context was adopted for, if that is still there. */
static void report_caller(const struct gate_context *context, struct proto_session *record,
			  char cgroup[static PROCFS_CGROUP_MAX])
{
	const struct proto_process named = {.pid = context->pid, .inode = context->inode};
	CLEANUP(process_fini) struct process process = PROCESS_INIT;

	cgroup[0] = '\0';
	if (process_open(&named, &process))
		return;
	record->pid = context->pid;
	if (process_cgroup(&process, cgroup))
		cgroup[0] = '\0';
}

/* A context that nobody here handed out: it has no name and no devices that are known. */
static void report_fill_unmanaged(const struct report *report, uint32_t slot,
				  const struct gate_context *context,
				  struct proto_session *ret_record,
				  char cgroup[static PROCFS_CGROUP_MAX])
{
	struct gate_figures figures;

	*ret_record = (struct proto_session){
		.id = context->id,
		.limit = context->limits.pages * (uint64_t)sysconf(_SC_PAGESIZE),
		.max_mappings = context->limits.mappings,
		.uid = context->uid,
		.state = unmanaged_state(report->broker, slot, context),
	};
	proto_text_set(ret_record->policy, sizeof(ret_record->policy), context->policy);
	report_caller(context, ret_record, cgroup);
	warden_read(report->broker, slot, report_reading(report), &figures);
	report_put_figures(&figures, ret_record);
	ret_record->cgroup_len = (uint16_t)strlen(cgroup);
}

/* Appends a record; returns its length, or 0 when it does not fit any more. @claims: its devices */
static size_t report_append(const struct proto_session *record, const char *cgroup,
			    const struct session_claim *claims, char *out, size_t room)
{
	size_t len = sizeof(*record) + record->cgroup_len + record->n_devices * sizeof(char[40]);

	if (len > room)
		return 0;
	memcpy(out, record, sizeof(*record));
	memcpy(out + sizeof(*record), cgroup, record->cgroup_len);
	out += sizeof(*record) + record->cgroup_len;
	for (const struct session_claim *c = claims; c; c = c->next_claim, out += 40)
		proto_text_set(out, 40, c->name);
	return len;
}

static size_t report_append_session(const struct report *report, const struct session *session,
				    char *out, size_t room)
{
	char cgroup[PROCFS_CGROUP_MAX];
	struct proto_session record;

	report_fill(report, session, &record, cgroup);
	return report_append(&record, cgroup, session->claims, out, room);
}

static size_t report_append_unmanaged(const struct report *report, uint32_t slot,
				      const struct gate_context *context, char *out, size_t room)
{
	char cgroup[PROCFS_CGROUP_MAX];
	struct proto_session record;

	report_fill_unmanaged(report, slot, context, &record, cgroup);
	return report_append(&record, cgroup, NULL, out, room);
}

static int report_send(const struct peer *peer, const struct proto_header *header,
		       struct proto_sessions *head, size_t len)
{
	struct peer_answer answer = {
		.request = header,
		.kind = PROTO_REPLY,
		.parts = {{.iov_base = head, .iov_len = sizeof(*head)},
			  {.iov_base = peer->broker->packet.bytes, .iov_len = len}},
		.n_parts = 2,
	};

	return peer_send(peer, &answer);
}

/* A page in the making: records go into the broker's packet. */
struct report_page {
	struct peer *peer;
	struct report report;
	struct proto_sessions head;
	size_t len;
	size_t room;
};

static char *report_end(const struct report_page *page)
{
	return page->peer->broker->packet.bytes + page->len;
}

/* Return: whether it did fit. */
static bool report_count(struct report_page *page, size_t n)
{
	page->head.more = n == 0;
	page->head.n += n != 0;
	page->len += n;
	return n;
}

static void report_sessions(struct report_page *page, uint64_t after)
{
	const struct session *s = session_after(page->peer->broker->sessions, after);
	bool fits = true;

	for (; s && fits; s = s->newer)
		if (access_of(page->peer, s) != ACCESS_NONE)
			fits = report_count(page, report_append_session(&page->report, s,
									report_end(page),
									page->room - page->len));
}

/* Their ids are above all sessions'. */
static void report_unmanaged(struct report_page *page, uint64_t after)
{
	struct gate_context context = {.id = after};
	uint32_t slot;

	while (!page->head.more && (slot = gate_pool_after(page->peer->broker->gate, context.id,
							   &context)) != GATE_NO_SLOT)
		if (unmanaged_shows(page->peer, &context))
			(void)report_count(page, report_append_unmanaged(&page->report, slot,
									 &context, report_end(page),
									 page->room - page->len));
}

/* One page: as many as fit, or all that are left. The request was copied out of the packet. */
int report_list(struct peer *peer, const struct proto_header *header, const void *body)
{
	struct report_page page = {
		.peer = peer,
		.report = report_begin(peer->broker, WARDEN_RECENT),
		.room = PROTO_MESSAGE_MAX - sizeof(*header) - sizeof(struct proto_sessions),
	};
	struct proto_list list;

	memcpy(&list, body, sizeof(list));
	if (list.zero)
		return -EPROTO;
	report_sessions(&page, list.after);
	report_unmanaged(&page, list.after);
	return report_send(peer, header, &page.head, page.len);
}

/* Somebody else's session is no session: an ordinary user learns nothing of it. */
int report_show(struct peer *peer, const struct proto_header *header, const void *body)
{
	struct broker *broker = peer->broker;
	/* Others would keep the loop busy with it. */
	const struct report report =
		report_begin(broker, peer->cred.uid == 0 ? WARDEN_NOW : WARDEN_RECENT);
	struct proto_sessions head = {.n = 1};
	const struct session *session;
	struct gate_context context;
	struct proto_show show;
	uint32_t slot;
	size_t len;

	memcpy(&show, body, sizeof(show));
	if (show.zero)
		return -EPROTO;
	session = session_find(broker->sessions, show.id);
	slot = session ? GATE_NO_SLOT : unmanaged_find(peer, show.id, &context);
	if (slot != GATE_NO_SLOT)
		len = report_append_unmanaged(&report, slot, &context, broker->packet.bytes,
					      PROTO_MESSAGE_MAX / 2);
	else if (session && access_of(peer, session) != ACCESS_NONE)
		len = report_append_session(&report, session, broker->packet.bytes,
					    PROTO_MESSAGE_MAX / 2);
	else
		return request_fail(peer, header, REQUEST_NO_SESSION, "no session %llx",
				    (unsigned long long)show.id);
	return report_send(peer, header, &head, len);
}
