/* SPDX-License-Identifier: MIT */
/*
 * Sessions: when each is looked at, and what it counts for. What becomes of that in a cgroup is
 * mirror_group.c's.
 */
#include "daemon/mirror.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accounting/policy.h"
#include "bpf/gate.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/broker.h"
#include "daemon/mirror_private.h"
#include "daemon/owner.h"
#include "daemon/payer.h"
#include "daemon/place.h"
#include "daemon/place_work.h"
#include "daemon/warden.h"
#include "daemon/worker.h"

#define MIRROR_LOOKS_MAX 32 /* at a time: each has memory for paths */
#define MIRROR_FIRST_MS 10 /* a client that was granted one session may want the next */
#define MIRROR_STALE_MAX 10 /* readings of no quiet moment, then there is one in a second */
#define MIRROR_STALE_MS 1000

/* --- processes of sessions */

static int mirror_pid_compare(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static size_t mirror_pids_of(const struct session *session, pid_t *pids)
{
	size_t n = 0;

	if (session->owner) {
		if (pids)
			pids[n] = session->owner->pid;
		n++;
	}
	for (const struct payer *p = session->payers; p; p = p->next, n++)
		if (pids)
			pids[n] = p->owner->pid;
	return n;
}

/* Those of sessions that are not mirrored, too: they are nobody else's. */
static struct mirror_pids *mirror_pids_make(const struct session_table *sessions)
{
	struct mirror_pids *pids;
	size_t n = 0;

	for (const struct session *s = session_after(sessions, 0); s; s = s->newer)
		n += mirror_pids_of(s, NULL);
	pids = malloc(sizeof(*pids) + n * sizeof(pid_t));
	if (!pids)
		return NULL;
	atomic_init(&pids->refs, 1);
	pids->n = 0;
	for (const struct session *s = session_after(sessions, 0); s; s = s->newer)
		pids->n += mirror_pids_of(s, &pids->pids[pids->n]);
	qsort(pids->pids, pids->n, sizeof(pid_t), mirror_pid_compare);
	return pids;
}

static struct mirror_pids *mirror_pids(struct mirror *mirror)
{
	if (!mirror->pids)
		mirror->pids = mirror_pids_make(mirror->broker->sessions);
	return mirror->pids ? mirror_pids_ref(mirror->pids) : NULL;
}

/* --- a look at a session */

static uint64_t mirror_view_wait_ms(const struct mirror_view *view)
{
	return view->n_stale > MIRROR_STALE_MAX ? MIRROR_STALE_MS : MIRROR_EVERY_MS;
}

void mirror_view_set(struct mirror_view *view)
{
	const uint64_t now_ms = broker_now_ms();
	uint64_t due_ms = now_ms;

	if (view->busy) {
		view->again = true;
		return;
	}
	if (view->starved)
		return; /* it is looked at as soon as it may be */
	if (view->first)
		due_ms = now_ms + MIRROR_FIRST_MS;
	else if (view->looked_ms + mirror_view_wait_ms(view) > now_ms)
		due_ms = view->looked_ms + mirror_view_wait_ms(view);
	mirror_turn_set(&view->mirror->queue, &view->turn, due_ms);
}

/*
 * What is pinned. Asked for the next change first, then read: none is missed in between. Return:
 * false: somebody was inside, and it is to be read again.
 */
static bool mirror_view_measure(struct mirror_view *view)
{
	const struct broker *broker = view->mirror->broker;
	const struct session *session = view->session;
	struct gate_figures figures;

	view->pinned = UINT64_MAX;
	if (!warden_watch(broker, session) ||
	    !warden_figures(broker, session, WARDEN_RECENT, &figures))
		return true;
	view->pinned = figures.pinned * (uint64_t)sysconf(_SC_PAGESIZE);
	view->n_stale = figures.exact ? 0 : view->n_stale + 1;
	return figures.exact;
}

/* A process by which its target is found; without one that is where it was. */
static const struct owner *mirror_view_process(const struct mirror_view *view)
{
	const struct session *session = view->session;

	if (session->owner)
		return session->owner;
	return session->payers ? session->payers->owner : NULL;
}

static void mirror_look_done(struct worker_job *job);

static struct mirror_look *mirror_view_look(struct mirror_view *view)
{
	struct mirror *mirror = view->mirror;
	const struct owner *owner = mirror_view_process(view);
	const struct mirror_group *group = view->group;
	struct mirror_look *look = mirror_look_new(&mirror->tools, mirror);

	if (!look)
		return NULL;
	look->job.done = mirror_look_done;
	look->session = view->session->id;
	look->ask_unit = !group || !group->asked_unit;
	look->open_watches = !group || group->fds.events < 0;
	if (!owner) {
		look->place.target = *group->name;
		return look;
	}
	look->pid = owner->pid;
	look->inode = owner->inode;
	look->pids = mirror_pids(mirror);
	return look;
}

/* The first look at it is over, or there is none. */
static void mirror_view_looked(struct mirror_view *view)
{
	struct mirror *mirror = view->mirror;

	if (!view->first)
		return;
	view->first = false;
	if (!--mirror->n_first && mirror->resumed)
		mirror_group_sweep(mirror);
}

/* Who came first is looked at first, else some never are. */
static void mirror_starve(struct mirror *mirror, struct mirror_view *view)
{
	view->turn.next = NULL;
	*mirror->starved_end = &view->turn;
	mirror->starved_end = &view->turn.next;
	view->starved = true;
}

static void mirror_unstarve(struct mirror *mirror, struct mirror_view *view)
{
	struct mirror_turn **at = &mirror->starved;

	if (!view->starved)
		return;
	while (*at != &view->turn)
		at = &(*at)->next;
	*at = view->turn.next;
	if (!*at)
		mirror->starved_end = at;
	view->starved = false;
}

static void mirror_view_run(struct mirror_turn *turn)
{
	struct mirror_view *view = container_of(turn, struct mirror_view, turn);
	struct mirror *mirror = view->mirror;
	struct mirror_look *look;

	if (mirror->n_looks >= MIRROR_LOOKS_MAX) {
		mirror_starve(mirror, view);
		return;
	}
	if (!mirror_view_process(view) && !view->group) {
		mirror_view_looked(view);
		return; /* nobody is left to find it by */
	}
	view->again = !mirror_view_measure(view);
	view->looked_ms = broker_now_ms();
	look = mirror_view_look(view);
	if (!look) {
		log_warning("session %llx is not mirrored until it changes: no memory",
			    (unsigned long long)view->session->id);
		return;
	}
	view->busy = true;
	mirror->n_looks++;
	worker_put(mirror->worker, &look->job);
}

/* There is no target. */
static void mirror_view_lost(struct mirror_view *view, const struct mirror_look *look)
{
	char reason[MIRROR_REASON_MAX];

	if (look->err)
		(void)snprintf(reason, sizeof(reason), "its cgroup cannot be looked at: %s",
			       strerror(-look->err));
	else
		cgm_place_reason(&look->place, reason, sizeof(reason));
	if (strcmp(reason, view->reason) != 0)
		log_notice("session %llx is not mirrored: %s",
			   (unsigned long long)view->session->id, reason);
	memcpy(view->reason, reason, sizeof(reason));
	mirror_group_leave(view);
}

static void mirror_view_found(struct mirror_view *view, struct mirror_look *look)
{
	int err = look->err;

	if (err == -ESRCH)
		return; /* its exit is on the way to the loop */
	if (!err && look->place.verdict == CGM_TARGET) {
		err = mirror_group_join(view, look);
		if (!err)
			view->reason[0] = '\0';
		look->err = err;
	}
	if (err || look->place.verdict != CGM_TARGET)
		mirror_view_lost(view, look);
	if (err == -ENOENT || err == -ESTALE)
		view->again = true; /* it moved while it was looked at */
}

/* Of some nothing is left to look at. */
static void mirror_feed_starved(struct mirror *mirror)
{
	while (mirror->starved && mirror->n_looks < MIRROR_LOOKS_MAX) {
		struct mirror_turn *turn = mirror->starved;

		mirror_unstarve(mirror, container_of(turn, struct mirror_view, turn));
		mirror_view_run(turn);
	}
}

static void mirror_look_done(struct worker_job *job)
{
	struct mirror_look *look = container_of(job, struct mirror_look, job);
	struct mirror *mirror = look->mirror;
	const struct session *session = session_find(mirror->broker->sessions, look->session);
	struct mirror_view *view = session ? session->view : NULL;

	mirror->n_looks--;
	if (view && view->busy) {
		view->busy = false;
		mirror_view_found(view, look);
		mirror_view_looked(view);
		if (view->again)
			mirror_view_set(view);
	}
	mirror_look_free(look);
	mirror_feed_starved(mirror);
}

/* --- what the broker tells */

void mirror_begin(struct mirror *mirror, struct session *session)
{
	struct mirror_view *view;

	if (!mirror || !mirror->worker)
		return;
	mirror_pids_unref(STEAL(mirror->pids));
	/* One that was put below others' sums takes part in these. */
	if (session->mirror == POLICY_MIRROR_OFF && !place_has(mirror->broker, session))
		return;
	view = calloc(1, sizeof(*view));
	if (!view) {
		log_warning("session %llx is not mirrored: no memory",
			    (unsigned long long)session->id);
		return;
	}
	view->mirror = mirror;
	view->session = session;
	view->turn.run = mirror_view_run;
	view->first = true;
	mirror->n_first++;
	session->view = view;
	mirror_view_set(view);
}

void mirror_changed(struct mirror *mirror, const struct session *session)
{
	if (!mirror || !mirror->worker)
		return;
	mirror_pids_unref(STEAL(mirror->pids));
	if (session->view)
		mirror_view_set(session->view);
}

void mirror_end(struct mirror *mirror, struct session *session)
{
	struct mirror_view *view = session->view;

	if (!mirror || !mirror->worker)
		return;
	mirror_pids_unref(STEAL(mirror->pids));
	if (!view)
		return;
	session->view = NULL; /* a look that is under way finds nobody */
	mirror_turn_cancel(&mirror->queue, &view->turn);
	mirror_unstarve(mirror, view);
	mirror_group_leave(view);
	mirror_view_looked(view);
	free(view);
}

void mirror_resumed(struct mirror *mirror)
{
	if (!mirror || !mirror->worker)
		return;
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
		if (s->view)
			mirror_turn_cancel(&mirror->queue, &s->view->turn);
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
