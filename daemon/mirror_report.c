/* SPDX-License-Identifier: MIT */
/* What is mirrored, told to whoever may see the session. From memory: nothing is read for it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "accounting/limits.h"
#include "common/cleanup.h"
#include "common/proto.h"
#include "daemon/access.h"
#include "daemon/broker.h"
#include "daemon/mirror_plan.h"
#include "daemon/mirror_private.h"
#include "daemon/peer.h"

static const enum proto_mirror_mode report_modes[] = {
	[POLICY_MIRROR_OFF] = PROTO_MIRROR_OFF,     [POLICY_MIRROR_PROTECT] = PROTO_MIRROR_PROTECT,
	[POLICY_MIRROR_CAP] = PROTO_MIRROR_CAP,     [POLICY_MIRROR_BOTH] = PROTO_MIRROR_BOTH,
	[POLICY_MIRROR_TRACK] = PROTO_MIRROR_TRACK,
};

static struct proto_mirrored report_limit(const struct mirror_limit *limit)
{
	return (struct proto_mirrored){
		.wanted = limit->wants ? limit->wanted : PROTO_UNKNOWN,
		.now = limit->known ? limit->now : PROTO_UNKNOWN,
	};
}

static enum proto_mirror_by report_by(const struct mirror_group *group)
{
	if (!group || mirror_plan_tracks(group))
		return PROTO_MIRROR_BY_NOBODY;
	return group->has_unit ? PROTO_MIRROR_BY_SYSTEMD : PROTO_MIRROR_BY_BROKER;
}

/* Whether a maximum is wanted, more is pinned than memory tells of, and the rest could be huge
 * pages. */
static bool report_misses_huge(const struct mirror_view *view)
{
	const struct mirror_group *group = view->group;

	return group && group->limits[CGM_MEMORY_MAX].wants && view->mirror->huge_size[0] &&
	       !group->limits[CGM_HUGE_MAX_FIRST].known && view->pinned != UINT64_MAX &&
	       view->pinned > limits_add(group->usage.anon, group->usage.shmem);
}

/* The first thing that is not as it should be. */
static void report_reason(const struct mirror_view *view, char *ret_text, size_t size)
{
	const struct mirror_group *group = view->group;
	char name[32];

	(void)snprintf(ret_text, size, "%s", view->reason);
	for (size_t key = 0; group && key < CGM_KEYS && !ret_text[0]; key++) {
		const struct mirror_limit *limit = &group->limits[key];

		cgm_key_name(view->mirror->tools.tree, (enum cgm_key)key, name);
		if (limit->foreign)
			(void)snprintf(ret_text, size, "%s was set by somebody else", name);
		else if (limit->err)
			(void)snprintf(ret_text, size, "%s: %s", name, strerror(-limit->err));
	}
	if (!ret_text[0] && view->session->mirror == POLICY_MIRROR_PROTECT &&
	    view->pinned == UINT64_MAX)
		(void)snprintf(ret_text, size, "without a gate nothing tells what is pinned");
	if (!ret_text[0] && report_misses_huge(view))
		(void)snprintf(ret_text, size,
			       "more is pinned than anon and shmem have: huge pages have no limit "
			       "here, as the cgroup is without the hugetlb controller");
}

/* Those that have a file there: nothing can be wanted of one that is not. */
static void report_fill_huge(const struct mirror_group *group, struct proto_mirror *record)
{
	size_t n = 0;

	for (size_t i = 0; i < CGM_HUGE_MAX; i++) {
		const struct mirror_limit *limit = &group->limits[CGM_HUGE_MAX_FIRST + i];

		if (!limit->known)
			continue;
		record->huge[n] = report_limit(limit);
		record->huge_size[n++] = group->mirror->huge_size[i];
	}
}

static void report_fill_group(const struct mirror_group *group, struct proto_mirror *record)
{
	record->min = report_limit(&group->limits[CGM_MEMORY_MIN]);
	record->max = report_limit(&group->limits[CGM_MEMORY_MAX]);
	report_fill_huge(group, record);
	record->known = group->limits[CGM_MEMORY_MAX].known;
	record->written = group->n_written;
	record->oom_kills = group->fds.events >= 0 ? group->events.oom_kill : PROTO_UNKNOWN;
	record->path_len = (uint32_t)strlen(group->name->path);
	for (const struct mirror_view *v = group->views; v; v = v->next)
		record->n_sessions++;
}

static void report_fill(const struct mirror_view *view, struct proto_mirror *ret_record)
{
	static const struct proto_mirrored unknown = {PROTO_UNKNOWN, PROTO_UNKNOWN};
	char reason[MIRROR_REASON_MAX];

	*ret_record = (struct proto_mirror){
		.id = view->session->id,
		.min = unknown,
		.max = unknown,
		.oom_kills = PROTO_UNKNOWN,
		.mode = report_modes[view->session->mirror],
		.by = report_by(view->group),
	};
	_Static_assert(PROTO_HUGE_MAX == CGM_HUGE_MAX, "one numbering");
	for (size_t i = 0; i < PROTO_HUGE_MAX; i++)
		ret_record->huge[i] = unknown;
	if (view->group)
		report_fill_group(view->group, ret_record);
	report_reason(view, reason, sizeof(reason));
	proto_line_set(ret_record->reason, sizeof(ret_record->reason), reason);
}

/* Return: its length; 0: it does not fit any more. */
static size_t report_append(const struct mirror_view *view, char *out, size_t room)
{
	struct proto_mirror record;

	report_fill(view, &record);
	if (sizeof(record) + record.path_len > room)
		return 0;
	memcpy(out, &record, sizeof(record));
	if (record.path_len)
		memcpy(out + sizeof(record), view->group->name->path, record.path_len);
	return sizeof(record) + record.path_len;
}

int mirror_serve(struct peer *peer, const struct proto_header *header, const void *body)
{
	struct broker *broker = peer->broker;
	const size_t room = PROTO_MESSAGE_MAX - sizeof(*header) - sizeof(struct proto_mirrors);
	struct proto_mirrors head = {0};
	struct proto_mirror_ask ask;
	size_t len = 0;

	memcpy(&ask, body, sizeof(ask));
	if (ask.zero)
		return -EPROTO;
	for (const struct session *s = session_after(broker->sessions, ask.after); s && !head.more;
	     s = s->newer) {
		size_t n;

		if (!s->view || s->mirror == POLICY_MIRROR_OFF || access_of(peer, s) == ACCESS_NONE)
			continue;
		n = report_append(s->view, broker->packet.bytes + len, room - len);
		head.n += n != 0;
		head.more = n == 0;
		len += n;
	}

	struct peer_answer answer = {
		.request = header,
		.kind = PROTO_REPLY,
		.parts = {{.iov_base = &head, .iov_len = sizeof(head)},
			  {.iov_base = broker->packet.bytes, .iov_len = len}},
		.n_parts = 2,
	};

	return peer_send(peer, &answer);
}
