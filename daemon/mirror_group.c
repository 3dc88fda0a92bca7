/* SPDX-License-Identifier: MIT */
/*
 * Cgroups: those that are targets, and those above them. Each is read, planned for and written to
 * in turns, and known for as long as somebody needs it or something of it is to be put back.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/broker.h"
#include "daemon/mirror_plan.h"
#include "daemon/mirror_private.h"
#include "daemon/place.h"
#include "daemon/record.h"
#include "daemon/worker.h"

#define MIRROR_RETRY_MS 1000
#define MIRROR_RETRY_MAX 6 /* doublings: then there is one in a minute */

static struct mirror_group **group_bucket(struct mirror *mirror, uint64_t id)
{
	return &mirror->groups[id % MIRROR_BUCKETS];
}

static struct mirror_group *group_find(struct mirror *mirror, uint64_t id)
{
	struct mirror_group *group = *group_bucket(mirror, id);

	while (group && group->name->id != id)
		group = group->next;
	return group;
}

/* --- its life */

static void group_free(struct mirror_group *group)
{
	struct mirror_group **at = group_bucket(group->mirror, group->name->id);

	while (*at != group)
		at = &(*at)->next;
	*at = group->next;
	mirror_turn_cancel(&group->mirror->queue, &group->turn);
	mirror_event_end(group);
	free(group->name);
	free(group);
}

static bool group_is_needed(const struct mirror_group *group)
{
	return group->views || group->n_below || group->busy || group == group->mirror->top ||
	       mirror_plan_holds(group);
}

/* And those above, which were there for it. */
static void group_put(struct mirror_group *group)
{
	while (group && !group_is_needed(group)) {
		struct mirror_group *above = group->above;

		mirror_plan_forget(group); /* what is somebody else's by now */
		group_free(group);
		if (above)
			above->n_below--;
		group = above;
	}
}

static void group_run(struct mirror_turn *turn);

static struct mirror_group *group_new(struct mirror *mirror, const struct cgm_name *name)
{
	struct mirror_group *group = calloc(1, sizeof(*group));

	if (!group)
		return NULL;
	group->name = malloc(sizeof(*name));
	if (!group->name) {
		free(group);
		return NULL;
	}
	*group->name = *name;
	group->mirror = mirror;
	group->turn.run = group_run;
	group->fds = (struct mirror_watch_fds){-1, -1};
	group->owned = place_is_ours(mirror->broker, name->id);
	for (size_t key = 0; key < CGM_KEYS; key++)
		group->limits[key].slot = RECORD_NONE;
	mirror_plan_claim(group);
	group->next = *group_bucket(mirror, name->id);
	*group_bucket(mirror, name->id) = group;
	return group;
}

static struct mirror_group *group_get(struct mirror *mirror, const struct cgm_name *name)
{
	struct mirror_group *group = group_find(mirror, name->id);

	return group ? group : group_new(mirror, name);
}

void mirror_group_free_all(struct mirror *mirror)
{
	for (size_t i = 0; i < MIRROR_BUCKETS; i++)
		while (mirror->groups[i])
			group_free(mirror->groups[i]);
}

/* --- turns */

void mirror_group_set(struct mirror_group *group)
{
	const uint64_t now_ms = broker_now_ms();
	uint64_t due_ms = group->worked_ms + MIRROR_EVERY_MS;

	if (group->busy) {
		group->again = true;
		return;
	}
	mirror_turn_set(&group->mirror->queue, &group->turn, due_ms > now_ms ? due_ms : now_ms);
}

static void group_take_limits(struct mirror_group *group, const struct mirror_look *look)
{
	for (size_t key = 0; key < CGM_KEYS; key++) {
		group->limits[key].known = look->limits.known[key];
		group->limits[key].now = look->limits.value[key];
	}
	group->usage = look->usage;
	group->fresh = true;
}

static void group_take_unit(struct mirror_group *group, const struct mirror_look *look)
{
	if (!look->ask_unit)
		return;
	group->has_unit = look->has_unit;
	memcpy(group->unit, look->unit, sizeof(group->unit));
	group->asked_unit = true;
}

/* It was removed: its sessions, if there are any, are somewhere else. */
static void group_gone(struct mirror_group *group)
{
	log_debug("cgroup %s is gone", group->name->path);
	mirror_plan_forget(group);
	if (group == group->mirror->top)
		group->mirror->top = NULL;
	while (group->views) {
		struct mirror_view *view = group->views;

		mirror_group_leave(view);
		mirror_view_set(view);
	}
	group->fresh = false;
}

/* Whether there is a point in trying again when nothing has changed. */
static bool group_may_pass(int err)
{
	return err == -EBUSY || err == -EAGAIN || err == -EINTR || err == -ENOMEM ||
	       err == -ENOSPC || err == -ETIMEDOUT || err == -EIO || err == -EMFILE ||
	       err == -ENFILE;
}

static void group_retry(struct mirror_group *group)
{
	unsigned int n = group->n_failed++;

	if (n > MIRROR_RETRY_MAX)
		n = MIRROR_RETRY_MAX;
	mirror_turn_set(&group->mirror->queue, &group->turn,
			broker_now_ms() + ((uint64_t)MIRROR_RETRY_MS << n));
}

/* What a job was for is over: what came meanwhile has its turn. */
static void group_rest(struct mirror_group *group, int err)
{
	if (!err && !group->raised)
		group->n_failed = 0;
	if (group->again)
		mirror_group_set(group);
	else if (group->raised || (err && group_may_pass(err)))
		group_retry(group); /* nothing tells that less is in use */
	group->again = false;
	if (!group->turn.queued)
		group_put(group);
}

static void group_write_done(struct worker_job *job)
{
	struct mirror_write *write = container_of(job, struct mirror_write, job);
	struct mirror_group *group = group_find(write->mirror, write->name.id);
	int err = 0;

	assert(group); /* as it was busy */
	group->busy = false;
	group->worked_ms = broker_now_ms(); /* it may have waited for others */
	for (size_t i = 0; i < write->n; i++) {
		const struct mirror_order *order = &write->orders[i];

		mirror_plan_written(group, order);
		if (!order->err)
			mirror_event_written(group, order->key);
		else
			err = order->err;
	}
	mirror_plan_sum(group); /* what could not be written is nothing to those above */
	free(write);
	if (err == -ENOENT || err == -ESTALE)
		group_gone(group);
	group_rest(group, err);
}

/* Whatever is to be written is; else nothing is left to do. */
static void group_write(struct mirror_group *group)
{
	struct mirror *mirror = group->mirror;
	struct mirror_write *write = calloc(1, sizeof(*write));

	group->fresh = false;
	if (!write) {
		group_rest(group, -ENOMEM);
		return;
	}
	write->n = mirror_plan_orders(group, write->orders);
	if (!write->n) {
		free(write);
		group_rest(group, group->err);
		return;
	}
	write->job.work = mirror_write_work;
	write->job.done = group_write_done;
	write->tools = &mirror->tools;
	write->mirror = mirror;
	write->name = *group->name;
	write->has_unit = group->has_unit;
	memcpy(write->unit, group->unit, sizeof(write->unit));
	group->busy = true;
	group->worked_ms = broker_now_ms();
	worker_put(mirror->worker, &write->job);
}

static void group_look_done(struct worker_job *job)
{
	struct mirror_look *look = container_of(job, struct mirror_look, job);
	struct mirror_group *group = group_find(look->mirror, look->id);
	int err = look->err;

	assert(group); /* as it was busy */
	group->busy = false;
	if (!err) {
		*group->name = look->place.target;
		group_take_limits(group, look);
		group_take_unit(group, look);
	}
	mirror_look_free(look);
	if (!err) {
		group_write(group);
		return;
	}
	if (err == -ENOENT || err == -ESTALE)
		group_gone(group);
	group_rest(group, err);
}

static void group_look(struct mirror_group *group)
{
	struct mirror *mirror = group->mirror;
	struct mirror_look *look = mirror_look_new(&mirror->tools, mirror);

	if (!look) {
		group_rest(group, -ENOMEM);
		return;
	}
	look->job.done = group_look_done;
	look->id = group->name->id;
	look->place.target = *group->name;
	look->ask_unit = !group->asked_unit;
	group->busy = true;
	group->worked_ms = broker_now_ms();
	worker_put(mirror->worker, &look->job);
}

static void group_run(struct mirror_turn *turn)
{
	struct mirror_group *group = container_of(turn, struct mirror_group, turn);

	if (group->busy)
		group->again = true;
	else if (group->fresh)
		group_write(group);
	else
		group_look(group);
}

/* --- its sessions */

/*
 * Those above, the nearest first; once, as sums are counted along them. Without memory for one it
 * and those above it are left alone.
 */
static void group_link_above(struct mirror_group *group, const struct cgm_place *place)
{
	for (size_t i = 0; i < place->n_above && !group->linked; i++) {
		struct mirror_group *above = group_get(group->mirror, &place->above[i]);

		group->linked = true;
		if (!above)
			return;
		group->above = above;
		above->n_below++;
		group = above;
	}
	group->linked = true;
}

/* Without room for it a session whose processes are gone has no limits after the next start. */
static void group_note_target(struct mirror_view *view)
{
	struct record *record = view->mirror->broker->record;
	const union record_body body = {
		.target = {.session = view->session->id, .cgroup = view->group->name->id}};

	if (view->slot != RECORD_NONE)
		record_at(record, view->slot)->target.cgroup = body.target.cgroup;
	else if (record_add(record, RECORD_TARGET, &body, &view->slot))
		view->slot = RECORD_NONE;
}

static void group_add_view(struct mirror_group *group, struct mirror_view *view)
{
	if (view->group == group)
		return;
	mirror_group_leave(view);
	view->group = group;
	view->next = group->views;
	group->views = view;
	group_note_target(view);
}

int mirror_group_join(struct mirror_view *view, struct mirror_look *look)
{
	struct mirror_group *group = group_get(view->mirror, &look->place.target);

	if (!group)
		return -ENOMEM;
	*group->name = look->place.target; /* one of the record's is known by its id alone */
	group_link_above(group, &look->place);
	group_add_view(group, view);
	group_take_unit(group, look);
	mirror_event_begin(group, &look->watches);
	if (!group->busy) /* else what was read may be from before what is being written */
		group_take_limits(group, look);
	mirror_plan_sum(group);
	mirror_group_set(group);
	return 0;
}

void mirror_group_leave(struct mirror_view *view)
{
	struct mirror_group *group = view->group;
	struct mirror_view **at;

	if (!group)
		return;
	for (at = &group->views; *at != view; at = &(*at)->next)
		;
	*at = view->next;
	view->next = NULL;
	view->group = NULL;
	group->fresh = false;
	mirror_plan_sum(group);
	mirror_group_set(group);
}

void mirror_group_sweep(struct mirror *mirror)
{
	struct record *record = mirror->broker->record;
	uint32_t slot = RECORD_NONE;

	if (mirror->settled)
		return;
	while ((slot = record_next(record, RECORD_LIMIT, slot)) != RECORD_NONE) {
		const struct cgm_name name = {.id = record_at(record, slot)->limit.cgroup};
		struct mirror_group *group = group_get(mirror, &name);

		if (group)
			mirror_group_set(group);
	}
	mirror->settled = true;
	place_sweep(mirror->broker);
}

static void group_top_done(struct worker_job *job)
{
	struct mirror_look *look = container_of(job, struct mirror_look, job);
	struct mirror *mirror = look->mirror;
	const char *path = mirror->broker->policies->top_cgroup;
	struct mirror_group *group = NULL;

	if (strcmp(look->place.target.path, path) != 0) {
		mirror_look_free(look); /* of a configuration before */
		return;
	}
	if (!look->err)
		group = group_get(mirror, &look->place.target);
	else if (!mirror->top_told) /* each session that begins asks for it again */
		log_warning("top-cgroup %s cannot be used: %s", path, strerror(-look->err));
	mirror->top_told = look->err;
	mirror_look_free(look);
	if (!group)
		return;
	mirror->top = group;
	mirror_group_set(group);
}

void mirror_group_set_top(struct mirror *mirror, const char *path)
{
	struct mirror_group *was = mirror->top;
	struct mirror_look *look;

	if (was)
		mirror_group_set(was); /* on with a new number, or back to what it had */
	if (was && path && strcmp(was->name->path, path) == 0)
		return;
	mirror->top = NULL;
	if (!path || !path[0])
		return;
	look = mirror_look_new(&mirror->tools, mirror);
	if (!look) {
		log_warning("top-cgroup %s is not used: no memory", path);
		return;
	}
	look->job.done = group_top_done;
	memcpy(look->place.target.path, path, strnlen(path, CGM_PATH_MAX - 1));
	worker_put(mirror->worker, &look->job);
}
