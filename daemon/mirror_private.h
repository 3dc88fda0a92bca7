/* SPDX-License-Identifier: MIT */
/* What the files of the mirror share. Nobody else includes it. */
#ifndef DAEMON_MIRROR_PRIVATE_H
#define DAEMON_MIRROR_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounting/mirror.h"
#include "cgroup/group.h"
#include "daemon/mirror.h"
#include "daemon/mirror_turn.h"
#include "daemon/mirror_work.h"
#include "daemon/session.h"

#define MIRROR_BUCKETS 1024
#define MIRROR_REASON_MAX 168 /* as struct proto_mirror has room for */

struct mirror {
	struct broker *broker; /* borrowed */
	struct worker *worker; /* NULL: nothing is mirrored here */
	struct mirror_tools tools;
	struct mirror_queue queue;
	uint64_t huge_size[CGM_HUGE_MAX];
	bool huge_in_memory;
	bool resumed; /* all sessions of before are back */
	bool settled; /* and whatever the record has is known to a group */
	size_t n_first; /* views that nobody has looked at yet */
	size_t n_looks; /* in the worker's hands */
	struct mirror_turn *starved, **starved_end; /* views that wait until there are fewer */
	struct mirror_pids *pids; /* of all sessions; NULL: to be made anew */
	struct mirror_group *groups[MIRROR_BUCKETS];
	struct place_removal *removals; /* of daemon/place.c */
	bool top_told; /* that there is none by its name */
	struct mirror_group *top; /* struct policy_set::top_cgroup; NULL: there is none */
};

/* One session's part. */
struct mirror_view {
	struct mirror_view *next; /* struct mirror_group::views */
	struct mirror_turn turn; /* to be looked at */
	struct mirror *mirror; /* borrowed */
	struct session *session; /* borrowed */
	struct mirror_group *group; /* its target; NULL: there is none, or not yet */
	uint32_t slot; /* of the record: struct record_target; RECORD_NONE */
	char *cgroup; /* owned; of the process that group was found by; NULL: to be found anew */
	uint64_t pinned; /* bytes; UINT64_MAX: not known */
	uint64_t looked_ms; /* when a look began last */
	uint64_t found_ms; /* when its target was looked for last */
	uint64_t told_ms; /* when a line of the log said why there is none */
	unsigned int n_failed; /* looks in a row */
	unsigned int n_stale; /* readings in a row that were of no quiet moment */
	bool first; /* counted in n_first */
	bool starved; /* waits in the list of these */
	bool busy; /* a look is in the worker's hands */
	bool again; /* and another is to follow */
	char reason[MIRROR_REASON_MAX]; /* why there is no target; "" */
};

/* One file of a cgroup. */
struct mirror_limit {
	bool known; /* it is there, and now was read */
	bool wants; /* there is a value for it */
	bool foreign; /* somebody else has changed it since: it is left alone */
	uint64_t now;
	uint64_t formula; /* what its sessions come to */
	uint64_t wanted; /* and with what was there before, and what is in use: as it was planned */
	int err; /* of the last attempt to write it */
	uint32_t slot; /* of the record: struct record_limit; RECORD_NONE: not changed */
};

enum mirror_event {
	MIRROR_EVENT_OOM_KILL,
	MIRROR_EVENT_MEMORY_MAX,
	MIRROR_EVENT_PRESSURE,
	MIRROR_EVENTS,
};

/* A cgroup: a target, or one above a target. */
struct mirror_group {
	struct mirror_group *next; /* of the mirror's bucket */
	struct mirror *mirror; /* borrowed */
	struct mirror_group *above; /* the nearest one; NULL */
	size_t n_below; /* whose above this is */
	struct mirror_view *views; /* whose target it is */
	struct mirror_turn turn;
	struct cgm_name *name; /* owned */
	bool has_unit; /* systemd's, by which limits are set */
	char unit[CGM_UNIT_MAX];
	bool asked_unit;
	bool linked; /* above is known */
	bool raised; /* more is in use than there should be */
	bool fresh; /* limits and usage were read for what comes next */
	bool busy; /* a job is in the worker's hands */
	bool again; /* and another is to follow */
	bool owned; /* the broker made it, for sessions */
	uint64_t worked_ms; /* when a job began last */
	struct mirror_limit limits[CGM_KEYS];
	struct cgm_usage usage;
	/* Of the targets below: sums, and how many of them have no maximum. */
	uint64_t below_min, below_max;
	size_t n_below_open, n_below_capped;
	struct mirror_limits given; /* what this one adds to those above */
	bool gives;
	unsigned int n_failed; /* writes in a row, or readings with too much in use */
	int err; /* what a plan met that is no write's */
	uint64_t n_written;
	/* Events. */
	struct mirror_watch_fds fds;
	uint64_t events_watch, pressure_watch;
	struct mirror_turn listen; /* when events are listened to again */
	struct cgm_events events; /* as they were told */
	struct mirror_line {
		uint64_t next_ms; /* before that the log has none */
		uint64_t left_out; /* since the last one: times, of those that have a number */
	} lines[MIRROR_EVENTS];
};

/* --- mirror_view.c */

/* A session is mirrored from here on; without memory it is not, which is said. */
void mirror_view_new(struct mirror *mirror, struct session *session);

/* It is no more. */
void mirror_view_end(struct mirror_view *view);

/* A view is to be looked at, as soon as it may. */
void mirror_view_set(struct mirror_view *view);

/* --- mirror_group.c */

/**
 * mirror_group_join() - what a look found is a view's target
 * @look: its verdict is CGM_TARGET; its descriptors are taken
 *
 * Return: 0; -ENOMEM: the view has no target then.
 */
int mirror_group_join(struct mirror_view *view, struct mirror_look *look);

/* The view has no target any more; what only it needed is put back. */
void mirror_group_leave(struct mirror_view *view);

/* What a view counts for has changed, and the group was read for that. */
void mirror_group_set(struct mirror_group *group);

/* After all views were looked at once: what the record has of others is put back. */
void mirror_group_sweep(struct mirror *mirror);

/* The top cgroup by its path, or none. */
void mirror_group_set_top(struct mirror *mirror, const char *path);

/* At the end: nothing is written. */
void mirror_group_free_all(struct mirror *mirror);

/* --- mirror_event.c */

/* Takes the descriptors of a look. */
void mirror_event_begin(struct mirror_group *group, struct mirror_watch_fds *fds);
void mirror_event_end(struct mirror_group *group);

/* A limit was written. */
void mirror_event_written(const struct mirror_group *group, enum cgm_key key);

#endif
