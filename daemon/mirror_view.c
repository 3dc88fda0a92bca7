/* SPDX-License-Identifier: MIT */
/*
 * Sessions: when each is looked at, and what it counts for. What becomes of that in a cgroup is
 * mirror_group.c's.
 */
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
#include "daemon/record.h"
#include "daemon/warden.h"
#include "daemon/worker.h"

#define MIRROR_LOOKS_MAX 32 /* at a time: each has memory for paths */
#define MIRROR_FIND_MS 10000 /* a process may have moved, or another have come */
#define MIRROR_LINE_MS 10000 /* of the log about one session */
#define MIRROR_FAILED_MS 1000 /* after a look that failed, and twice as long after each more */
#define MIRROR_FAILED_MAX 6
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

	if (!session->view || session->mirror == POLICY_MIRROR_OFF)
		return 0;
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

/*
 * Those of sessions that are not mirrored are others: nobody has said that they may be limited.
 */
static struct mirror_pids *mirror_pids_make(const struct session_table *sessions)
{
	struct mirror_pids *pids;
	size_t n = 0;

	for (const struct session *s = session_after(sessions, 0); s; s = s->newer)
		n += mirror_pids_of(s, NULL);
	pids = mirror_pids_new(n);
	if (!pids)
		return NULL;
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

/* As the record has it; 0: it has none. */
static uint64_t mirror_view_target(const struct mirror_view *view)
{
	if (view->slot == RECORD_NONE)
		return 0;
	return record_at(view->mirror->broker->record, view->slot)->target.cgroup;
}

static void mirror_look_done(struct worker_job *job);

/* The target is looked for when processes came or went, and now and then: one may have moved. */
static void mirror_look_for(struct mirror_look *look, struct mirror_view *view)
{
	const uint64_t now_ms = broker_now_ms();
	const struct mirror_group *group = view->group;

	if (group && view->cgroup && now_ms < view->found_ms + MIRROR_FIND_MS) {
		look->place.target = *group->name;
		look->cgroup = STEAL(view->cgroup);
		return;
	}
	free(STEAL(view->cgroup));
	view->found_ms = now_ms;
	look->pids = mirror_pids(view->mirror);
}

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
	if (owner) {
		look->pid = owner->pid;
		look->inode = owner->inode;
		mirror_look_for(look, view);
	} else if (group) {
		look->place.target = *group->name;
	} else {
		look->place.target.id = mirror_view_target(view);
		look->judge = true;
		look->pids = mirror_pids(mirror);
	}
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
	if (!mirror_view_process(view) && !view->group && !mirror_view_target(view)) {
		mirror_view_looked(view);
		return; /* nobody is left to find it by */
	}
	view->again = !mirror_view_measure(view);
	view->looked_ms = broker_now_ms();
	look = mirror_view_look(view);
	if (!look) {
		log_warning("session %llx is not mirrored until it changes: no memory",
			    (unsigned long long)view->session->id);
		mirror_view_looked(view);
		return;
	}
	view->busy = true;
	mirror->n_looks++;
	worker_put(mirror->worker, &look->job);
}

/* Its user can bring it about as often as it likes: that fills no log. */
static void mirror_view_tell(struct mirror_view *view, const char *reason)
{
	const uint64_t now_ms = broker_now_ms();

	if (strcmp(reason, view->reason) == 0)
		return;
	memcpy(view->reason, reason, sizeof(view->reason));
	if (!reason[0] || (view->told_ms && now_ms < view->told_ms + MIRROR_LINE_MS))
		return;
	view->told_ms = now_ms;
	log_notice("session %llx is not mirrored as it should be: %s",
		   (unsigned long long)view->session->id, reason);
}

/* Its limits stay as they are: else who has them could shed them by making it fail. */
static void mirror_view_failed(struct mirror_view *view, int err)
{
	char reason[MIRROR_REASON_MAX] = "";
	unsigned int n = view->n_failed < MIRROR_FAILED_MAX ? view->n_failed : MIRROR_FAILED_MAX;

	if (err == -ENOENT || err == -ESTALE) {
		view->again = true; /* it moved while it was looked at */
		return;
	}
	(void)snprintf(reason, sizeof(reason), "its cgroup cannot be looked at: %s",
		       strerror(-err));
	mirror_view_tell(view, reason);
	view->n_failed++;
	mirror_turn_set(&view->mirror->queue, &view->turn,
			broker_now_ms() + ((uint64_t)MIRROR_FAILED_MS << n));
}

/*
 * Once limits are there they stay while the session's process is: nobody sheds them by starting one
 * that is nobody's child. What the broker has made for a session is that session's, whoever is in
 * it.
 */
static bool mirror_view_stays(const struct mirror_view *view, const struct mirror_look *look)
{
	const uint64_t id = look->place.target.id;

	if (look->place.verdict != CGM_OTHERS && look->place.verdict != CGM_CROWD)
		return false;
	return id == mirror_view_target(view) || place_is_ours(view->mirror->broker, id);
}

static void mirror_view_found(struct mirror_view *view, struct mirror_look *look)
{
	char reason[MIRROR_REASON_MAX] = "";
	int err = look->err;

	if (err == -ESRCH)
		return; /* its exit is on the way to the loop */
	/* Asked last: that looks through the record, and nearly every look finds a target. */
	if (!err && look->place.verdict != CGM_TARGET &&
	    !place_is_ours(view->mirror->broker, look->place.target.id))
		cgm_place_reason(&look->place, reason, sizeof(reason));
	if (!err && mirror_view_stays(view, look))
		look->place.verdict = CGM_TARGET;
	if (!err && look->place.verdict == CGM_TARGET)
		err = mirror_group_join(view, look);
	if (err) {
		mirror_view_failed(view, err);
		return;
	}
	view->n_failed = 0;
	mirror_view_tell(view, reason);
	if (look->place.verdict == CGM_TARGET)
		view->cgroup = STEAL(look->cgroup);
	else
		mirror_group_leave(view);
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

/* --- its life */

void mirror_view_new(struct mirror *mirror, struct session *session)
{
	struct mirror_view *view = calloc(1, sizeof(*view));

	if (!view) {
		log_warning("session %llx is not mirrored: no memory",
			    (unsigned long long)session->id);
		return;
	}
	view->mirror = mirror;
	view->session = session;
	view->turn.run = mirror_view_run;
	view->slot = RECORD_NONE;
	view->first = true;
	mirror->n_first++;
	session->view = view;
	mirror_view_set(view);
}

void mirror_view_end(struct mirror_view *view)
{
	struct mirror *mirror = view->mirror;

	view->session->view = NULL; /* a look that is under way finds nobody */
	mirror_turn_cancel(&mirror->queue, &view->turn);
	mirror_unstarve(mirror, view);
	mirror_group_leave(view);
	mirror_view_looked(view);
	record_drop(mirror->broker->record, &view->slot);
	free(view->cgroup);
	free(view);
}
