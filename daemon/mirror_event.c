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
#define EVENT_PRESSURE_MS 10000

static void event_watch(struct mirror_group *group);

static void event_audit(const struct mirror_group *group, const char *event, uint64_t n,
			enum log_level level)
{
	const struct broker *broker = group->mirror->broker;
	const struct mirror_limit *max = &group->limits[CGM_MEMORY_MAX];
	char what[40];

	(void)snprintf(what, sizeof(what), "%llu", (unsigned long long)n);
	for (const struct mirror_view *v = group->views; v; v = v->next) {
		struct audit audit UNINITIALIZED;

		trace_memory(broker, event, v->session, group->usage.current, what);
		audit_begin(&audit, broker, event);
		audit_session(&audit, v->session);
		audit_text(&audit, "cgroup", group->name->path);
		audit_number(&audit, "times", n);
		audit_number(&audit, "memory_current", group->usage.current);
		audit_number(&audit, "anon", group->usage.anon);
		audit_number(&audit, "shmem", group->usage.shmem);
		if (max->known && max->now != CGM_NO_LIMIT)
			audit_number(&audit, "memory_max", max->now);
		if (v->pinned != UINT64_MAX)
			audit_number(&audit, "pinned", v->pinned);
		audit_end(&audit, level);
	}
}

/* By what was read last, which is from before. */
static void event_compare(struct mirror_group *group, const struct cgm_events *events)
{
	const struct cgm_events was = group->events;

	group->events = *events;
	if (events->oom_kill > was.oom_kill)
		event_audit(group, "oom-kill", events->oom_kill - was.oom_kill, LOG_LEVEL_WARNING);
	if (events->max > was.max)
		event_audit(group, "memory-max", events->max - was.max, LOG_LEVEL_NOTICE);
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
	const uint64_t now_ms = broker_now_ms();

	if (revents & POLLERR) {
		loop_cancel(group->mirror->broker->loop, &group->pressure_watch);
		fd_closep(&group->fds.pressure);
		return;
	}
	if (now_ms >= group->pressure_ms + EVENT_PRESSURE_MS || !group->pressure_ms) {
		group->pressure_ms = now_ms;
		event_audit(group, "pressure", 1, LOG_LEVEL_NOTICE);
	}
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
