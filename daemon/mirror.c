/* SPDX-License-Identifier: MIT */
/* What the broker tells the mirror, and its beginning and end. */
#include "daemon/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/broker.h"
#include "daemon/mirror_private.h"
#include "daemon/place.h"
#include "daemon/place_work.h"
#include "daemon/record.h"
#include "daemon/worker.h"

/* --- what the broker tells */

void mirror_begin(struct mirror *mirror, struct session *session)
{
	if (!mirror || !mirror->worker)
		return;
	mirror_pids_unref(STEAL(mirror->pids));
	/* One that was put below others' sums takes part in these. */
	if (session->mirror == POLICY_MIRROR_OFF && !place_has(mirror->broker, session))
		return;
	mirror_view_new(mirror, session);
	if (!mirror->top && mirror->resumed) /* it may be there by now */
		mirror_group_set_top(mirror, mirror->broker->policies->top_cgroup);
}

void mirror_changed(struct mirror *mirror, const struct session *session)
{
	if (!mirror || !mirror->worker)
		return;
	mirror_pids_unref(STEAL(mirror->pids));
	if (!session->view)
		return;
	free(STEAL(session->view->cgroup));
	mirror_view_set(session->view);
}

void mirror_figures(struct mirror *mirror, const struct session *session)
{
	if (!mirror || !mirror->worker || !session->view)
		return;
	session->view->n_stale = 0;
	mirror_view_set(session->view);
}

void mirror_others(struct mirror *mirror)
{
	if (mirror && mirror->top)
		mirror_group_set(mirror->top);
}

void mirror_end(struct mirror *mirror, struct session *session)
{
	struct mirror_view *view = session->view;

	if (!mirror || !mirror->worker)
		return;
	mirror_pids_unref(STEAL(mirror->pids));
	if (!view)
		return;
	mirror_view_end(view);
}

/* Sessions whose processes may be gone are found where they were. */
static void mirror_claim_targets(const struct mirror *mirror)
{
	struct record *record = mirror->broker->record;
	uint32_t slot = RECORD_NONE;

	while ((slot = record_next(record, RECORD_TARGET, slot)) != RECORD_NONE) {
		const struct session *session = session_find(
			mirror->broker->sessions, record_at(record, slot)->target.session);
		uint32_t dropped = slot;

		if (session && session->view && session->view->slot == RECORD_NONE)
			session->view->slot = slot;
		else
			record_drop(record, &dropped);
	}
}

void mirror_resumed(struct mirror *mirror)
{
	if (!mirror || !mirror->worker)
		return;
	mirror_claim_targets(mirror);
	mirror->resumed = true;
	if (!mirror->n_first)
		mirror_group_sweep(mirror);
}

void mirror_reload(struct mirror *mirror)
{
	if (mirror && mirror->worker)
		mirror_group_set_top(mirror, mirror->broker->policies->top_cgroup);
}

/* --- beginning and end */

/*
 * What is directly below the root takes CAP_DAC_OVERRIDE to make, which the daemon has until it
 * serves. It stays: an administrator has named it.
 */
static void mirror_make_parents(const struct mirror *mirror)
{
	const struct policy_set *set = mirror->broker->policies;

	for (size_t i = 0; i < set->n_policies; i++) {
		const char *path = set->policies[i].cgroup_parent;
		struct cgm_name name;
		int err = 0;

		if (path && path[0])
			err = cgm_place_make(mirror->tools.tree, path, &name);
		if (err)
			log_warning("cgroup-parent %s of policy \"%s\" cannot be made: %s", path,
				    set->policies[i].name, strerror(-err));
	}
}

static int mirror_open(struct mirror *mirror)
{
	int err = cgm_tree_open(&mirror->tools.tree);

	if (err == -ENOMEM)
		return err;
	if (err) {
		log_notice("nothing is mirrored into cgroups: %s",
			   err == -ENOTSUP ? "this host has cgroups of version 1" : strerror(-err));
		return 0;
	}
	(void)cgm_tree_huge_sizes(mirror->tools.tree, mirror->huge_size);
	mirror->huge_in_memory = cgm_tree_huge_in_memory(mirror->tools.tree);
	err = cgm_manager_new(&mirror->tools.manager);
	if (err && err != -ENODEV)
		return err;
	if (err) /* else systemd makes them */
		mirror_make_parents(mirror);
	return worker_new(mirror->broker->loop, &mirror->worker);
}

static void mirror_freep(struct mirror **mirror)
{
	mirror_free(*mirror);
}

int mirror_new(struct broker *broker, struct mirror **ret_mirror)
{
	CLEANUP(mirror_freep) struct mirror *mirror = calloc(1, sizeof(*mirror));
	int err;

	if (!mirror)
		return -ENOMEM;
	mirror->broker = broker;
	mirror->queue.loop = broker->loop;
	mirror->starved_end = &mirror->starved;
	err = mirror_open(mirror);
	if (err)
		return err;
	*ret_mirror = STEAL(mirror);
	return 0;
}

int mirror_start(struct mirror *mirror)
{
	if (!mirror || !mirror->worker)
		return 0;
	mirror_reload(mirror);
	return worker_start(mirror->worker);
}

static void mirror_drop(struct worker_job *job)
{
	if (job->work == mirror_look_work) {
		mirror_look_free(container_of(job, struct mirror_look, job));
		return;
	}
	if (job->work == place_removal_work)
		fd_closep(&container_of(job, struct place_removal, job)->fd);
	free(job); /* first in what it is embedded in */
}

void mirror_free(struct mirror *mirror)
{
	if (!mirror)
		return;
	for (struct session *s = session_after(mirror->broker->sessions, 0); s; s = s->newer) {
		if (!s->view)
			continue;
		mirror_turn_cancel(&mirror->queue, &s->view->turn);
		free(s->view->cgroup);
		free(s->view);
		s->view = NULL;
	}
	mirror_group_free_all(mirror);
	place_fini(mirror);
	mirror_queue_fini(&mirror->queue);
	mirror_pids_unref(mirror->pids);
	/* A job that is still in hand uses them: then the process is about to end. */
	if (!worker_free(mirror->worker, mirror_drop))
		return;
	cgm_manager_free(mirror->tools.manager);
	cgm_tree_close(mirror->tools.tree);
	free(mirror);
}
