/* SPDX-License-Identifier: MIT */
#include "daemon/mirror_plan.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "accounting/admission.h"
#include "accounting/limits.h"
#include "accounting/mirror.h"
#include "common/log.h"
#include "daemon/broker.h"
#include "daemon/mirror_private.h"
#include "daemon/record.h"
#include "daemon/unmanaged.h"

static struct record_limit *plan_record(const struct mirror_group *group, enum cgm_key key)
{
	uint32_t slot = group->limits[key].slot;

	if (slot == RECORD_NONE)
		return NULL;
	return &record_at(group->mirror->broker->record, slot)->limit;
}

static void plan_drop(struct mirror_group *group, enum cgm_key key)
{
	record_drop(group->mirror->broker->record, &group->limits[key].slot);
}

static void plan_claim(struct mirror_limit *limit, uint32_t slot, const struct record_limit *body)
{
	limit->slot = slot;
	limit->foreign = body->foreign;
}

void mirror_plan_claim(struct mirror_group *group)
{
	struct record *record = group->mirror->broker->record;
	uint32_t slot = RECORD_NONE;

	if (group->mirror->settled)
		return; /* what the record has is some group's */
	while ((slot = record_next(record, RECORD_LIMIT, slot)) != RECORD_NONE) {
		const struct record_limit *body = &record_at(record, slot)->limit;

		if (body->cgroup == group->name->id && body->key < CGM_KEYS)
			plan_claim(&group->limits[body->key], slot, body);
	}
}

bool mirror_plan_holds(const struct mirror_group *group)
{
	for (size_t key = 0; key < CGM_KEYS; key++)
		if (group->limits[key].slot != RECORD_NONE && !group->limits[key].foreign)
			return true;
	return false;
}

void mirror_plan_forget(struct mirror_group *group)
{
	for (size_t key = 0; key < CGM_KEYS; key++)
		plan_drop(group, (enum cgm_key)key);
}

bool mirror_plan_tracks(const struct mirror_group *group)
{
	for (const struct mirror_view *v = group->views; v; v = v->next)
		if (v->session->mirror != POLICY_MIRROR_TRACK)
			return false;
	return group->views;
}

/* --- sums */

static struct mirror_session plan_session(const struct mirror_view *view)
{
	const struct session *session = view->session;

	return (struct mirror_session){
		.mode = session->mirror,
		.limit = session->share.limit,
		.factor = session->factor,
		.headroom = session->headroom,
		.migration_buffers = session->migration_buffers,
		.n_devices = session->n_devices,
		.pinned = view->pinned,
	};
}

/* By its own sessions. Beside others those that only want to know count as sessions without limits.
 */
static void plan_own(const struct mirror_group *group, struct mirror_limits *ret_limits)
{
	const struct mirror *mirror = group->mirror;
	bool tracks = mirror_plan_tracks(group);
	struct mirror_usage usage = {
		.current = group->usage.current,
		.anon = group->usage.anon,
		.shmem = group->usage.shmem,
		.huge_in_memory = mirror->huge_in_memory,
	};
	struct mirror_share share = {0};

	_Static_assert(MIRROR_HUGE_MAX == CGM_HUGE_MAX, "one numbering");
	memcpy(usage.huge, group->usage.huge, sizeof(usage.huge));
	for (const struct mirror_view *v = group->views; v; v = v->next) {
		struct mirror_session session = plan_session(v);

		if (!tracks && session.mode == POLICY_MIRROR_TRACK)
			session.mode = POLICY_MIRROR_OFF;
		mirror_add(&share, &session);
	}
	mirror_limits(&share, &usage, mirror->huge_size, ret_limits);
}

static bool plan_gives_same(const struct mirror_group *group, const struct mirror_limits *given,
			    bool gives)
{
	return gives == group->gives && given->min == group->given.min &&
	       given->max == group->given.max && given->memory_min == group->given.memory_min &&
	       given->memory_max == group->given.memory_max;
}

/* Adds or takes what a target counts for in one above it. */
static void plan_count(struct mirror_group *above, const struct mirror_limits *given, bool add)
{
	size_t *n = given->max ? &above->n_below_capped : &above->n_below_open;
	uint64_t min = given->min ? given->memory_min : 0;
	uint64_t max = given->max ? given->memory_max : 0;

	*n += add ? 1 : -1UL;
	above->below_min = add ? above->below_min + min : above->below_min - min;
	above->below_max = add ? above->below_max + max : above->below_max - max;
}

static bool plan_is_not_kept(const struct mirror_limit *limit)
{
	return limit->foreign || limit->err;
}

/* One that nothing is kept for counts as well: as one without limits. */
static void plan_give(struct mirror_group *group, const struct mirror_limits *own)
{
	static const struct mirror_limits none;
	struct mirror_limits kept = *own;
	bool gives = group->views;

	if (mirror_plan_tracks(group))
		kept = none;
	if (plan_is_not_kept(&group->limits[CGM_MEMORY_MIN]))
		kept.min = false; /* nothing is protected there */
	own = &kept;
	if (plan_gives_same(group, own, gives))
		return;
	for (struct mirror_group *a = group->above; a; a = a->above) {
		if (group->gives)
			plan_count(a, &group->given, false);
		if (gives)
			plan_count(a, own, true);
		mirror_group_set(a);
	}
	group->gives = gives;
	group->given = *own;
}

static void plan_want(struct mirror_group *group, enum cgm_key key, bool wants, uint64_t value)
{
	struct mirror_limit *limit = &group->limits[key];

	limit->formula = wants ? value : 0;
	if (!wants || !limit->wants)
		limit->wanted = limit->formula; /* not planned yet */
	limit->wants = wants;
}

/* What all machines together may have: the host's memory but for its reserve, and others' pins. */
static void plan_want_top(struct mirror_group *group)
{
	const struct broker *broker = group->mirror->broker;
	uint64_t limit = admission_host_limit(broker->policies, broker->mem_total);
	uint64_t others = unmanaged_pinned(broker);

	plan_want(group, CGM_MEMORY_MAX, limit != POLICY_UNLIMITED,
		  limit > others ? limit - others : 0);
}

void mirror_plan_sum(struct mirror_group *group)
{
	struct mirror_limits own;
	bool sums;

	plan_own(group, &own);
	group->raised = own.raised && !mirror_plan_tracks(group);
	plan_give(group, &own);
	/* A cgroup of the broker's own, above those of sessions. */
	sums = group->owned && group->n_below_capped && !group->n_below_open;
	plan_want(group, CGM_MEMORY_MIN, own.min || group->below_min,
		  limits_add(own.min ? own.memory_min : 0, group->below_min));
	if (group == group->mirror->top && !group->views)
		plan_want_top(group);
	else
		plan_want(group, CGM_MEMORY_MAX, own.max || (sums && !group->views),
			  limits_add(own.max ? own.memory_max : 0, group->below_max));
	for (size_t i = 0; i < CGM_HUGE_MAX; i++)
		plan_want(group, (enum cgm_key)(CGM_HUGE_MAX_FIRST + i),
			  own.max && group->mirror->huge_size[i], own.huge_max[i]);
}

/* --- orders */

/* In whole pages of this kernel's: it would round by itself, and look like somebody else. */
static uint64_t plan_round(uint64_t value)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return value > UINT64_MAX - page ? CGM_NO_LIMIT : (value + page - 1) & ~(page - 1);
}

static uint64_t plan_value(const struct mirror_group *group, enum cgm_key key, uint64_t original)
{
	uint64_t wanted = plan_round(group->limits[key].formula);

	if (key == CGM_MEMORY_MIN)
		return mirror_min_over(wanted, original);
	if (key == CGM_MEMORY_MAX)
		return mirror_max_under(wanted, original, group->usage.current);
	return mirror_max_under(wanted, original, group->usage.huge[key - CGM_HUGE_MAX_FIRST]);
}

bool mirror_plan_is_ours(const struct record_limit *body, uint64_t now)
{
	if (now == body->ours || now == body->next)
		return true;
	return body->key != CGM_MEMORY_MIN && body->next != body->ours && now > body->next &&
	       now < body->original;
}

/*
 * What is neither ours nor what was there when ours was written is somebody else's: it stays, now
 * and at the end. The service manager may not have come to it yet.
 */
static void plan_look_for_others(struct mirror_group *group, enum cgm_key key)
{
	struct mirror_limit *limit = &group->limits[key];
	struct record_limit *body = plan_record(group, key);
	char name[32];

	if (!body || limit->foreign)
		return;
	if (mirror_plan_is_ours(body, limit->now)) {
		if (limit->now != body->ours)
			body->next = limit->now; /* by a daemon that was killed behind its write */
		body->before = body->ours = limit->now;
		return;
	}
	if (limit->now == body->before || limit->now == body->original)
		return;
	cgm_key_name(group->mirror->tools.tree, key, name);
	log_notice("%s of cgroup %s was set by somebody else, to %llu: it is left alone", name,
		   group->name->path, (unsigned long long)limit->now);
	limit->foreign = true;
	body->foreign = 1;
}

/* In the record before it is written. Return: 0; -errno of record_add(). */
static int plan_note(struct mirror_group *group, enum cgm_key key, uint64_t value)
{
	struct mirror_limit *limit = &group->limits[key];
	struct record *record = group->mirror->broker->record;
	struct record_limit *body;

	if (limit->slot == RECORD_NONE) {
		const union record_body first = {.limit = {.cgroup = group->name->id,
							   .original = limit->now,
							   .ours = limit->now,
							   .before = limit->now,
							   .next = value,
							   .key = (uint32_t)key}};

		return record_add(record, RECORD_LIMIT, &first, &limit->slot);
	}
	body = &record_at(record, limit->slot)->limit;
	body->before = limit->now;
	record_barrier();
	body->next = value;
	return 0;
}

/* What the broker has made goes with its last process: until then that is no freer than before. */
static bool plan_is_left(const struct mirror_group *group, enum cgm_key key)
{
	return group->owned && !group->views && !group->n_below && key != CGM_MEMORY_MIN;
}

/* Return: whether it is to be written. */
static bool plan_order(struct mirror_group *group, enum cgm_key key, struct mirror_order *ret_order)
{
	struct mirror_limit *limit = &group->limits[key];
	bool keeps = limit->wants && !mirror_plan_tracks(group);
	const struct record_limit *body;
	uint64_t original, value;
	int err;

	if (!limit->known)
		return false;
	body = plan_record(group, key);
	original = body ? body->original : limit->now;
	limit->wanted = plan_round(limit->formula);
	if (limit->foreign)
		return false;
	value = limit->wants ? plan_value(group, key, original) : original;
	limit->wanted = value;
	if (!keeps && !body)
		return false;
	if (!keeps && plan_is_left(group, key)) {
		plan_drop(group, key);
		return false;
	}
	if (!keeps)
		value = original;
	/* What the service manager was told otherwise it may not have come to yet. */
	if (value == limit->now && !(group->has_unit && body && body->next != value)) {
		if (!keeps)
			plan_drop(group, key);
		limit->err = 0;
		return false;
	}
	err = plan_note(group, key, value);
	if (err)
		group->err = limit->err = err;
	*ret_order = (struct mirror_order){.key = key, .value = value};
	return !err;
}

size_t mirror_plan_orders(struct mirror_group *group, struct mirror_order *ret_orders)
{
	size_t n = 0;

	group->err = 0;
	for (size_t key = 0; key < CGM_KEYS; key++)
		if (group->limits[key].known)
			plan_look_for_others(group, (enum cgm_key)key);
	mirror_plan_sum(group);
	for (size_t key = 0; key < CGM_KEYS; key++)
		n += plan_order(group, (enum cgm_key)key, &ret_orders[n]);
	return n;
}

static void plan_failed(struct mirror_group *group, const struct mirror_order *order)
{
	struct mirror_limit *limit = &group->limits[order->key];
	struct record_limit *body = plan_record(group, order->key);
	char name[32];

	cgm_key_name(group->mirror->tools.tree, order->key, name);
	if (limit->err != order->err && order->err != -ENOENT && order->err != -ESTALE)
		log_warning("%s of cgroup %s cannot be set to %llu: %s", name, group->name->path,
			    (unsigned long long)order->value, strerror(-order->err));
	limit->err = order->err;
	if (!body || order->err == -ETIMEDOUT) /* the service manager may do it yet */
		return;
	body->next = body->ours;
	if (body->ours == body->original)
		plan_drop(group, order->key); /* nothing was changed yet */
}

void mirror_plan_written(struct mirror_group *group, const struct mirror_order *order)
{
	struct mirror_limit *limit = &group->limits[order->key];
	struct record_limit *body = plan_record(group, order->key);

	if (order->err) {
		plan_failed(group, order);
		return;
	}
	limit->err = 0;
	limit->now = order->value;
	group->n_written++;
	if (!body)
		return;
	body->next = body->ours = order->value;
	if (order->value == body->original && (!limit->wants || mirror_plan_tracks(group)))
		plan_drop(group, order->key);
}
