/* SPDX-License-Identifier: MIT */
#include "daemon/warden.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accounting/policy.h"
#include "bpf/gate.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/loop.h"
#include "daemon/owner.h"
#include "daemon/process.h"
#include "daemon/procfs.h"
#include "daemon/selftest.h"
#include "daemon/session.h"
#include "daemon/trace.h"

#define WARDEN_SESSIONS 4096 /* documented in pinbrokerd(8) */
#define WARDEN_HUNTS 16 /* as often as those who are hunted may have made new ones */

static bool warden_has(const struct broker *broker, const struct session *session)
{
	return broker->gate && session->gate != GATE_NO_SLOT;
}

/* Opened and tried out. Return: 0; -ENOMEM; -errno with the reason said, and nothing open. */
static int warden_try(struct broker *broker, bool fallback)
{
	const struct gate_plan plan = {
		.dir = GATE_DIR,
		.n_sessions = WARDEN_SESSIONS,
		.deny_unmanaged = broker->policies->unmanaged == POLICY_UNMANAGED_DENY,
		.fallback = fallback,
	};
	int err = gate_open(&plan, &broker->gate, broker->gate_reason, sizeof(broker->gate_reason));

	if (err)
		return err;
	err = selftest_run(broker->gate, broker->dev_fd, broker->gate_reason,
			   sizeof(broker->gate_reason));
	if (err) {
		gate_drop(broker->gate);
		broker->gate = NULL;
	}
	return err;
}

/* What is not kept is said, and what is takes effect. */
void warden_reload(const struct broker *broker)
{
	if (broker->policies->unmanaged == POLICY_UNMANAGED_LIMIT)
		log_warning("unmanaged = limit is not enforced: contexts of others map what they "
			    "like");
	else if (broker->policies->unmanaged == POLICY_UNMANAGED_DENY && !broker->gate)
		log_warning("unmanaged = deny is not enforced, as there is no gate");
	if (broker->gate)
		gate_deny_unmanaged(broker->gate,
				    broker->policies->unmanaged == POLICY_UNMANAGED_DENY);
}

int warden_start(struct broker *broker)
{
	/* Not tried first where it must fail: at a restart the fallback would stop meanwhile. */
	int err = warden_try(broker, !selftest_lsm_active());

	if (err == -ENOSYS) /* programs that are never called */
		err = warden_try(broker, true);
	if (err == -ENOMEM)
		return err;
	if (gate_level(broker->gate) != GATE_LEVEL_EXACT)
		log_warning("the kernel does not keep the limits of sessions exactly: %s",
			    broker->gate_reason);
	warden_reload(broker);
	return 0;
}

/* --- what a session has there */

static struct gate_limits warden_limits(const struct session *session)
{
	return (struct gate_limits){
		.pages = session->share.limit / (uint64_t)sysconf(_SC_PAGESIZE),
		.mappings = session->max_mappings,
		.objects = session->max_objects,
	};
}

int warden_admit(struct broker *broker, struct session *session, size_t n_files)
{
	const struct gate_limits limits = warden_limits(session);

	if (!broker->gate)
		return 0;
	return gate_reserve(broker->gate, session->id, &limits, (uint32_t)n_files, &session->gate);
}

int warden_enrol(const struct broker *broker, const struct session *session, int fd, bool cdev)
{
	return warden_has(broker, session) ? gate_enrol(broker->gate, session->gate, fd, cdev) : 0;
}

void warden_limit(const struct broker *broker, const struct session *session)
{
	const struct gate_limits limits = warden_limits(session);

	if (warden_has(broker, session))
		gate_set_limits(broker->gate, session->gate, &limits);
}

void warden_revoke(const struct broker *broker, const struct session *session)
{
	if (warden_has(broker, session))
		gate_revoke(broker->gate, session->gate);
}

void warden_forget(const struct broker *broker, const struct session *session)
{
	if (warden_has(broker, session))
		gate_forget(broker->gate, session->gate);
}

bool warden_holds(const struct broker *broker, const struct session *session)
{
	return warden_has(broker, session) && !gate_state(broker->gate, session->gate).ended;
}

bool warden_poisoned(const struct broker *broker, const struct session *session)
{
	return warden_has(broker, session) && gate_state(broker->gate, session->gate).poisoned;
}

bool warden_figures(const struct broker *broker, const struct session *session, bool wait,
		    struct gate_figures *ret_figures)
{
	if (!warden_has(broker, session))
		return false;
	gate_look(broker->gate, session->gate, ret_figures);
	/* -EBUSY: somebody else reads at this moment; what was read last is near. */
	if (!ret_figures->exact)
		(void)gate_read(broker->gate, session->gate, wait, ret_figures);
	return true;
}

/* --- the hunt */

struct warden_prey {
	uint32_t pid;
	int pidfd; /* owned */
	bool seen; /* it still had one after the pidfd was opened: it is that process */
};

struct warden_hunt {
	struct warden_prey prey[64];
	size_t n;
	bool second; /* look whether they still have it */
};

static void warden_spot(uint32_t pid, void *arg)
{
	struct warden_hunt *hunt = arg;

	for (size_t i = 0; i < hunt->n; i++) {
		if (hunt->prey[i].pid == pid) {
			hunt->prey[i].seen = hunt->second;
			return;
		}
	}
	if (!hunt->second && hunt->n < ARRAY_SIZE(hunt->prey))
		hunt->prey[hunt->n++] = (struct warden_prey){.pid = pid, .pidfd = -1};
}

/*
 * A descriptor can be sent to anybody, to be killed for it: only processes of the session's user,
 * and of nobody else, are killed. Others are named.
 */
static bool warden_may_kill(const struct warden_prey *prey, uid_t uid)
{
	struct procfs_ids ids;
	bool same;

	if (prey->pid == (uint32_t)getpid() || procfs_ids((pid_t)prey->pid, &ids))
		return false; /* the daemon has those that it is handing out or closing */
	free(ids.gids);
	same = ids.uid == uid && ids.effective_uid == uid && ids.saved_uid == uid;
	if (!same)
		log_warning("process %u of uid %u has a descriptor of a session of uid %u: it is "
			    "not killed",
			    prey->pid, ids.uid, uid);
	return same;
}

/*
 * A pid may be another process's by the time it is opened: killed is only who had a descriptor
 * after that, too. Return: how many were killed; -errno.
 */
static int warden_hunt(const struct broker *broker, uint32_t slot, uid_t uid)
{
	struct warden_hunt hunt = {.n = 0};
	int err = gate_holders(broker->gate, slot, warden_spot, &hunt), n = 0;

	for (size_t i = 0; i < hunt.n; i++)
		hunt.prey[i].pidfd = (int)syscall(SYS_pidfd_open, (pid_t)hunt.prey[i].pid, 0);
	hunt.second = true;
	if (!err && hunt.n)
		err = gate_holders(broker->gate, slot, warden_spot, &hunt);
	for (size_t i = 0; i < hunt.n; i++) {
		struct warden_prey *prey = &hunt.prey[i];

		if (prey->seen && prey->pidfd >= 0 && warden_may_kill(prey, uid) &&
		    !process_kill(prey->pidfd))
			n++;
		fd_closep(&prey->pidfd);
	}
	return err ? err : n;
}

static int warden_kill_slot(const struct broker *broker, uint32_t slot, uid_t uid)
{
	int n = 1;

	/* Who is killed is gone from the list only when it has exited: counted again, killed again.
	 */
	for (int i = 0; i < WARDEN_HUNTS && n > 0 && !gate_state(broker->gate, slot).ended; i++)
		n = warden_hunt(broker, slot, uid);
	return n < 0 ? n : 0;
}

int warden_kill(const struct broker *broker, const struct session *session)
{
	return warden_has(broker, session) ? warden_kill_slot(broker, session->gate, session->uid)
					   : -ESRCH;
}

/* --- what the kernel says */

static void warden_audit(const struct broker *broker, const struct session *session,
			 const char *event, const char *text, enum log_level level)
{
	struct gate_figures figures;
	struct audit audit UNINITIALIZED;

	trace_audit(broker, event, session, NULL);
	audit_begin(&audit, broker, event);
	audit_session(&audit, session);
	if (warden_figures(broker, session, false, &figures)) {
		audit_number(&audit, "mapped_pages", figures.mapped);
		audit_number(&audit, "pinned_pages", figures.pinned);
		audit_number(&audit, "mappings", figures.mappings);
		audit_number(&audit, "denied", figures.denied);
	}
	audit_text(&audit, "text", text);
	audit_end(&audit, level);
}

static void warden_ended(struct broker *broker, struct session *session)
{
	struct owner *owner = session->owner;

	warden_audit(broker, session, "ended", "the kernel has released all of it", LOG_LEVEL_INFO);
	owner_end_session(broker, session);
	if (owner)
		owner_put(owner); /* unless it has others */
}

static void warden_act(struct broker *broker, uint32_t slot, struct session *session)
{
	const struct gate_state state = gate_state(broker->gate, slot);

	if (state.ended) {
		warden_ended(broker, session);
		return;
	}
	if (state.poisoned) {
		warden_audit(broker, session, "poisoned",
			     "more was found mapped than was reserved: its holders are killed",
			     LOG_LEVEL_ERROR);
		if (warden_kill_slot(broker, slot, session->uid))
			log_error("session %llx: not every holder could be killed",
				  (unsigned long long)session->id);
	}
	if (gate_slipped(broker->gate, slot))
		warden_audit(broker, session, "slipped",
			     "more is mapped than its limits: an ioctl passed the gate, which this "
			     "kernel may skip",
			     LOG_LEVEL_WARNING);
}

static void warden_event(uint32_t slot, uint64_t id, bool near_limit, void *arg)
{
	struct broker *broker = arg;
	struct session *session = session_find(broker->sessions, id);
	struct gate_figures figures;
	uint64_t there;

	/* An event may come after its slot was given up, and given to another. */
	if (gate_next(broker->gate, slot - 1, &there) != slot || there != id)
		return;
	if (!session) {
		gate_forget(broker->gate, slot);
		return;
	}
	if (session->state == SESSION_PENDING)
		return; /* the grant itself looks after it */
	(void)gate_read(broker->gate, slot, false, &figures); /* too large for a timer, maybe */
	if (near_limit)
		warden_audit(broker, session, "near-limit", "80% of a limit are reached",
			     LOG_LEVEL_NOTICE);
	warden_act(broker, slot, session);
}

static void warden_ready(uint32_t events, void *arg)
{
	struct broker *broker = arg;

	(void)events;
	gate_dispatch(broker->gate, warden_event, broker);
}

/* A context whose record is lost stays capped, and its slot taken, until it is released. */
static void warden_adopt(struct broker *broker, uint32_t slot, uint64_t id)
{
	struct session *session = session_find(broker->sessions, id);

	if (session) {
		session->gate = slot;
		warden_limit(broker, session);
		warden_act(broker, slot, session);
		return;
	}
	if (!gate_state(broker->gate, slot).ended) {
		log_warning("session %llx is not in the record: its context maps nothing new",
			    (unsigned long long)id);
		gate_revoke(broker->gate, slot);
	}
	gate_forget(broker->gate, slot);
}

int warden_resume(struct broker *broker)
{
	uint32_t slot = GATE_NO_SLOT;
	uint64_t id;

	if (!broker->gate)
		return 0;
	while ((slot = gate_next(broker->gate, slot, &id)) != GATE_NO_SLOT)
		warden_adopt(broker, slot, id);
	return loop_watch(broker->loop, gate_event_fd(broker->gate), POLLIN, warden_ready, broker,
			  &broker->gate_watch);
}
