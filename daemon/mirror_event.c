/* SPDX-License-Identifier: MIT */
/*
 * What happens to a target for want of memory, by the kernel's notification: told in the log and
 * the trace, with the numbers that led there. As often as its processes like there is something to
 * tell: no more than once in a second is listened to.
 */
#include <poll.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/proto.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/loop.h"
#include "daemon/mirror_private.h"
#include "daemon/trace.h"

#define EVENT_EVERY_MS 1000
#define EVENT_LINE_MS 10000 /* between lines of a kind about one cgroup */

static void event_watch(struct mirror_group *group);

static const struct {
	const char *word;
	enum log_level level;
} event_kinds[] = {
	[MIRROR_EVENT_OOM_KILL] = {"oom-kill", LOG_LEVEL_WARNING},
	[MIRROR_EVENT_MEMORY_MAX] = {"memory-max", LOG_LEVEL_NOTICE},
	[MIRROR_EVENT_PRESSURE] = {"pressure", LOG_LEVEL_NOTICE},
};

static void event_audit(const struct mirror_group *group, enum mirror_event kind, uint64_t n)
{
	const struct mirror_limit *max = &group->limits[CGM_MEMORY_MAX];

	for (const struct mirror_view *v = group->views; v; v = v->next) {
		struct audit audit UNINITIALIZED;

		audit_begin(&audit, group->mirror->broker, event_kinds[kind].word);
		audit_session(&audit, v->session);
		audit_text(&audit, "cgroup", group->name->path);
		if (n)
			audit_number(&audit, "times", n);
		audit_number(&audit, "memory_current", group->usage.current);
		audit_number(&audit, "anon", group->usage.anon);
		audit_number(&audit, "shmem", group->usage.shmem);
		if (max->known && max->now != CGM_NO_LIMIT)
			audit_number(&audit, "memory_max", max->now);
		if (v->pinned != UINT64_MAX)
			audit_number(&audit, "pinned", v->pinned);
		audit_end(&audit, event_kinds[kind].level);
	}
}

/*
 * The trace has each. Its processes cause them as often as they like: the log has the first, and
 * then one line for those of ten seconds. @n: how often; 0: that does not apply
 */
static void event_tell(struct mirror_group *group, enum mirror_event kind, uint64_t n)
{
	struct mirror_line *line = &group->lines[kind];
	const uint64_t now_ms = broker_now_ms();
	char what[40] = "";

	if (n)
		(void)snprintf(what, sizeof(what), "%llu", (unsigned long long)n);
	for (const struct mirror_view *v = group->views; v; v = v->next)
		trace_memory(group->mirror->broker, event_kinds[kind].word, v->session,
			     group->usage.current, what);
	line->left_out += n;
	if (now_ms < line->next_ms)
		return;
	event_audit(group, kind, line->left_out);
	*line = (struct mirror_line){.next_ms = now_ms + EVENT_LINE_MS};
}

/* By what was read last, which is from before. */
static void event_compare(struct mirror_group *group, const struct cgm_events *events)
{
	const struct cgm_events was = group->events;

	group->events = *events;
	if (events->oom_kill > was.oom_kill)
		event_tell(group, MIRROR_EVENT_OOM_KILL, events->oom_kill - was.oom_kill);
	if (events->max > was.max)
		event_tell(group, MIRROR_EVENT_MEMORY_MAX, events->max - was.max);
}

static void event_listen(struct mirror_turn *turn)
{
	struct mirror_group *group = container_of(turn, struct mirror_group, listen);

	event_watch(group);
}

/* Until then nobody listens: what happens meanwhile is found by the first look after it. */
static void event_pause(struct mirror_group *group, uint64_t *watch)
{
	loop_cancel(group->mirror->broker->loop, watch);
	mirror_turn_set(&group->mirror->queue, &group->listen, broker_now_ms() + EVENT_EVERY_MS);
}

static void event_happened(uint32_t revents, void *arg)
{
	struct mirror_group *group = arg;
	struct cgm_events events;

	(void)revents; /* POLLERR comes with each POLLPRI */
	if (cgm_events_read(group->fds.events, &events)) {
		loop_cancel(group->mirror->broker->loop, &group->events_watch);
		fd_closep(&group->fds.events); /* the cgroup is gone */
	} else {
		event_compare(group, &events);
		event_pause(group, &group->events_watch);
	}
	for (struct mirror_view *v = group->views; v; v = v->next)
		mirror_view_set(v);
}

static void event_pressed(uint32_t revents, void *arg)
{
	struct mirror_group *group = arg;

	if (revents & POLLERR) {
		loop_cancel(group->mirror->broker->loop, &group->pressure_watch);
		fd_closep(&group->fds.pressure);
		return;
	}
	event_tell(group, MIRROR_EVENT_PRESSURE, 0);
	event_pause(group, &group->pressure_watch);
}

static void event_watch_one(struct mirror_group *group, int *fd, loop_ready_fn fn, uint64_t *watch)
{
	if (*fd < 0 || *watch)
		return;
	if (loop_watch(group->mirror->broker->loop, *fd, POLLPRI, fn, group, watch))
		fd_closep(fd); /* no memory: not listened to */
}

static void event_watch(struct mirror_group *group)
{
	event_watch_one(group, &group->fds.events, event_happened, &group->events_watch);
	event_watch_one(group, &group->fds.pressure, event_pressed, &group->pressure_watch);
}

void mirror_event_begin(struct mirror_group *group, struct mirror_watch_fds *fds)
{
	if (group->fds.events >= 0 || fds->events < 0)
		return;
	group->fds.events = STEAL_FD(fds->events);
	group->fds.pressure = STEAL_FD(fds->pressure);
	group->listen.run = event_listen;
	if (cgm_events_read(group->fds.events, &group->events))
		group->events = (struct cgm_events){0};
	event_watch(group);
}

void mirror_event_end(struct mirror_group *group)
{
	struct loop *loop = group->mirror->broker->loop;

	mirror_turn_cancel(&group->mirror->queue, &group->listen);
	loop_cancel(loop, &group->events_watch);
	loop_cancel(loop, &group->pressure_watch);
	fd_closep(&group->fds.events);
	fd_closep(&group->fds.pressure);
}

void mirror_event_written(const struct mirror_group *group, enum cgm_key key)
{
	const struct mirror *mirror = group->mirror;
	char name[32];

	cgm_key_name(mirror->tools.tree, key, name);
	log_debug("%s of cgroup %s: %llu", name, group->name->path,
		  (unsigned long long)group->limits[key].now);
	for (const struct mirror_view *v = group->views; v; v = v->next)
		trace_memory(mirror->broker, "mirror", v->session, group->limits[key].now, name);
}
