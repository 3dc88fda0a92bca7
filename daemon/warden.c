/* SPDX-License-Identifier: MIT */
#include "daemon/warden.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accounting/policy.h"
#include "bpf/gate.h"
#include "bpf/gate_expect.h"
#include "bpf/gate_pool.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/fdstore.h"
#include "daemon/hunt.h"
#include "daemon/loop.h"
#include "daemon/mirror.h"
#include "daemon/owner.h"
#include "daemon/payer.h"
#include "daemon/plug.h"
#include "daemon/procfs.h"
#include "daemon/reserve.h"
#include "daemon/selftest.h"
#include "daemon/session.h"
#include "daemon/trace.h"
#include "daemon/unmanaged.h"

#define WARDEN_LINE_MS 10000 /* between lines about one session that it can cause */
#define WARDEN_READ_MS 1000
#define WARDEN_SMALL 2000 /* mappings: read in a moment */
#define WARDEN_SMALL_MS 100 /* how old a reading may be; else WARDEN_READ_MS */
#define WARDEN_SESSIONS 10240 /* documented in pinbrokerd(8) */
#define WARDEN_UNMANAGED_MAPPINGS 65535 /* documented in pinbroker.conf(5), like the next */
#define WARDEN_UNMANAGED_OBJECTS 1024

static bool warden_has(const struct broker *broker, const struct session *session)
{
	return broker->gate && session->gate != GATE_NO_SLOT;
}

static struct gate_rules warden_rules(const struct broker *broker)
{
	static const enum gate_unmanaged_rule rules[] = {
		[POLICY_UNMANAGED_ALLOW] = GATE_RULE_ALLOW,
		[POLICY_UNMANAGED_DENY] = GATE_RULE_DENY,
		[POLICY_UNMANAGED_LIMIT] = GATE_RULE_LIMIT,
	};
	const struct policy_set *set = broker->policies;

	return (struct gate_rules){
		.unmanaged = rules[set->unmanaged],
		.unmanaged_limits = {.pages =
					     set->unmanaged_limit / (uint64_t)sysconf(_SC_PAGESIZE),
				     .mappings = WARDEN_UNMANAGED_MAPPINGS,
				     .objects = WARDEN_UNMANAGED_OBJECTS},
		.kill_slipped = set->slip == POLICY_SLIP_KILL,
	};
}

/* Opened and tried out. Return: 0; -ENOMEM; -errno with the reason said, and nothing open. */
static int warden_try(struct broker *broker, bool fallback)
{
	const struct gate_plan plan = {
		.dir = GATE_DIR,
		.n_sessions = WARDEN_SESSIONS,
		.fallback = fallback,
	};
	int err = gate_open(&plan, &broker->gate, broker->gate_reason, sizeof(broker->gate_reason));

	/* Where it is there, but the kernel does not tell its types, waiting for it would not help.
	 */
	broker->gate_early = err == -ENODEV && faccessat(broker->dev_fd, "iommu", F_OK, 0) < 0;
	if (err)
		return err;
	err = selftest_run(broker->gate, broker->dev_fd, broker->gate_reason,
			   sizeof(broker->gate_reason));
	if (err) {
		gate_drop(broker->gate);
		broker->gate = NULL;
		return err;
	}
	fdstore_fill(broker->fdstore, broker->gate); /* the old one is still pinned */
	err = gate_commit(broker->gate);
	if (err)
		log_warning("programs of a daemon before cannot be removed from " GATE_DIR ": %s",
			    strerror(-err));
	return 0;
}

/*
 * A gate of before acts, and nobody can look into it. None is made beside it: the next daemon would
 * take that for the one that counts, and let go of this under its sessions.
 */
static void warden_leave(struct broker *broker, const char *reason)
{
	broker->gate_unseen = true;
	broker->gate_denies = selftest_is_denied(broker->dev_fd);
	log_error("sessions of a daemon before may be under its gate, which this one can neither "
		  "replace nor read (%s): they are taken over as if they lived",
		  reason);
}

/*
 * There is no gate of this daemon, but maybe one of another before, in which sessions live: it goes
 * on to keep their limits, and what it says of them is heard. Nothing new is taken into it.
 */
static void warden_look_after(struct broker *broker)
{
	const struct gate_plan plan = {
		.dir = GATE_DIR, .n_sessions = WARDEN_SESSIONS, .passive = true};
	char reason[sizeof(broker->gate_reason)];
	uint64_t id;

	if (access(GATE_DIR "/gate_sessions", F_OK) < 0)
		return;
	if (gate_open(&plan, &broker->gate, reason, sizeof(reason))) {
		warden_leave(broker, reason);
	} else if (gate_next(broker->gate, GATE_NO_SLOT, &id) == GATE_NO_SLOT) {
		gate_close(broker->gate);
		broker->gate = NULL;
	} else {
		log_error("the gate of the daemon before could not be replaced, and goes on for "
			  "the sessions that are in it; new ones have none");
	}
}

static int warden_bring(struct broker *broker)
{
	/* Not tried first where it must fail: at a restart the fallback would stop meanwhile. */
	int err = warden_try(broker, !selftest_lsm_active());

	if (err == -ENOSYS) /* programs that are never called */
		err = warden_try(broker, true);
	if (err == -ENOMEM)
		return err;
	/* Who looked after it would put maps in the place of those it lacks. */
	if (err == -EUCLEAN || err == -EALREADY)
		warden_leave(broker, broker->gate_reason);
	else if (err)
		warden_look_after(broker);
	return 0;
}

bool warden_denies(const struct broker *broker)
{
	if (gate_level(broker->gate) != GATE_LEVEL_NONE)
		return false;
	return broker->gate ? broker->policies->unmanaged == POLICY_UNMANAGED_DENY
			    : broker->gate_denies;
}

const char *warden_fault(const struct broker *broker)
{
	if (warden_denies(broker))
		return "the gate of an earlier daemon, which goes on, denies contexts that are not "
		       "in it";
	if (broker->gate_early)
		return "there was no iommufd when pinbrokerd started, which therefore has no gate: "
		       "load the module, if it is one, and restart pinbrokerd";
	return NULL;
}

const char *warden_strerror(int err)
{
	return err == -ENODEV ? "VFIO was loaded after pinbrokerd started, which must be restarted"
			      : strerror(-err);
}

/* What is not kept is said, and what is takes effect. */
void warden_reload(const struct broker *broker)
{
	const struct gate_rules rules = warden_rules(broker);
	const bool rule = broker->policies->unmanaged != POLICY_UNMANAGED_ALLOW;
	const char *name = policy_unmanaged_name(broker->policies->unmanaged);

	if (warden_denies(broker))
		log_warning("the gate of the daemon before denies what is unmanaged, as what is "
			    "granted now would be to it: nothing is granted");
	else if (rule && broker->gate_unseen)
		log_warning("unmanaged = %s is not enforced: the gate of the daemon before goes on "
			    "with its own rule, and cannot be told",
			    name);
	else if (rule && !broker->gate)
		log_warning("unmanaged = %s is not enforced, as there is no gate", name);
	if (!broker->gate)
		return;
	gate_set_rules(broker->gate, &rules);
	gate_set_cdev_major(broker->gate, procfs_cdev_major());
}

int warden_start(struct broker *broker)
{
	int err = fdstore_restore(broker->fdstore, GATE_DIR);

	if (err) {
		(void)snprintf(broker->gate_reason, sizeof(broker->gate_reason),
			       "a gate that the service manager keeps cannot be pinned in " GATE_DIR
			       ": %s",
			       strerror(-err));
		warden_leave(broker, broker->gate_reason);
	} else {
		err = warden_bring(broker);
		if (err)
			return err;
	}
	if (gate_level(broker->gate) != GATE_LEVEL_EXACT)
		log_warning("the kernel does not keep the limits of sessions exactly: %s",
			    broker->gate_reason);
	warden_reload(broker);
	return hunts_init(broker);
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
	const struct policy *policy = policy_find(broker->policies, session->policy);
	const struct gate_limits limits = warden_limits(session);
	int err;

	if (gate_level(broker->gate) == GATE_LEVEL_NONE)
		return 0;
	err = gate_reserve(broker->gate, session->id, &limits, (uint32_t)n_files, &session->gate);
	if (!err && policy && policy->allow_test_commands)
		gate_allow_test(broker->gate, session->gate);
	return err;
}

int warden_enrol(const struct broker *broker, const struct session *session, int fd, bool cdev)
{
	return warden_has(broker, session) ? gate_enrol(broker->gate, session->gate, fd, cdev) : 0;
}

void warden_unenrol(const struct broker *broker, const struct session *session)
{
	if (warden_has(broker, session))
		gate_unenrol(broker->gate, session->gate);
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

void warden_forget_caller(const struct broker *broker, const struct session *session,
			  uint64_t inode)
{
	if (warden_has(broker, session))
		gate_forget_caller(broker->gate, session->gate, inode);
}

/* A slot in which a device is just being bound is given up when the kernel has released that. */
void warden_forget(struct broker *broker, struct session *session)
{
	hunt_stop(broker, session->gate, session->id);
	if (!warden_has(broker, session))
		return;
	if (gate_unexpect(broker->gate, session->gate) == 0)
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

static bool warden_is_recent(const struct gate_figures *figures)
{
	uint64_t ms = figures->mappings <= WARDEN_SMALL ? WARDEN_SMALL_MS : WARDEN_READ_MS;

	return figures->read_ns && broker_now_ms() < figures->read_ns / 1000000 + ms;
}

void warden_read(const struct broker *broker, uint32_t slot, enum warden_reading reading,
		 struct gate_figures *ret_figures)
{
	gate_look(broker->gate, slot, ret_figures);
	if (ret_figures->exact || reading == WARDEN_LAST ||
	    (reading == WARDEN_RECENT && warden_is_recent(ret_figures)))
		return;
	/* -EBUSY: somebody else reads at this moment; what was read last is near. */
	(void)gate_read(broker->gate, slot, false, ret_figures);
}

bool warden_figures(const struct broker *broker, const struct session *session,
		    enum warden_reading reading, struct gate_figures *ret_figures)
{
	if (!warden_has(broker, session))
		return false;
	warden_read(broker, session->gate, reading, ret_figures);
	return true;
}

bool warden_watch(const struct broker *broker, const struct session *session)
{
	if (!warden_has(broker, session))
		return false;
	gate_watch(broker->gate, session->gate);
	return true;
}

static struct hunt_aim warden_aim(const struct session *session)
{
	return (struct hunt_aim){.id = session->id, .slot = session->gate, .uid = session->uid};
}

int warden_kill(struct broker *broker, const struct session *session)
{
	const struct hunt_aim aim = warden_aim(session);

	return warden_has(broker, session) ? hunt_now(broker, &aim) : -ESRCH;
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
	if (warden_figures(broker, session, WARDEN_RECENT, &figures)) {
		audit_number(&audit, "mapped_pages", figures.mapped);
		audit_number(&audit, "pinned_pages", figures.pinned);
		audit_number(&audit, "mappings", figures.mappings);
		audit_number(&audit, "denied", figures.denied);
	}
	if (session->told.left_out)
		audit_number(&audit, "left_out", session->told.left_out);
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

static void warden_poison(struct broker *broker, struct session *session)
{
	if (!session->told.poisoned)
		warden_audit(broker, session, "poisoned",
			     "more was found mapped than was reserved: its holders are killed",
			     LOG_LEVEL_ERROR);
	session->told.poisoned = true;
}

static void warden_hunt(struct broker *broker, const struct session *session)
{
	const struct hunt_aim aim = warden_aim(session);

	if (hunt_start(broker, &aim))
		log_error("session %llx: no memory to kill its holders",
			  (unsigned long long)session->id);
}

static void warden_act(struct broker *broker, uint32_t slot, struct session *session)
{
	const struct gate_state state = gate_state(broker->gate, slot);

	/* Whoever was killed in its own ioctl may have been the last: that it was is told first. */
	if (state.poisoned)
		warden_poison(broker, session);
	if (gate_slipped(broker->gate, slot))
		warden_audit(broker, session, "slipped",
			     "more is mapped than its limits: an ioctl passed the gate, which this "
			     "kernel may skip",
			     LOG_LEVEL_WARNING);
	if (state.ended)
		warden_ended(broker, session);
	else if (state.poisoned)
		warden_hunt(broker, session);
}

static void warden_near_limit(const struct broker *broker, struct session *session)
{
	struct session_told *told = &session->told;
	const uint64_t now_ms = broker_now_ms();

	if (now_ms < told->next_line_ms) {
		told->left_out++;
		return;
	}
	warden_audit(broker, session, "near-limit", "80% of a limit are reached", LOG_LEVEL_NOTICE);
	told->next_line_ms = now_ms + WARDEN_LINE_MS;
	told->left_out = 0;
}

/* As often as its processes like there is something to read, and it takes its time. */
static void warden_read_large(const struct broker *broker, struct session *session)
{
	const uint64_t now_ms = broker_now_ms();
	struct gate_figures figures;

	if (now_ms < session->told.next_read_ms)
		return; /* the kernel's timer comes again */
	(void)gate_read(broker->gate, session->gate, false, &figures);
	session->told.next_read_ms = broker_now_ms() + WARDEN_READ_MS;
}

static void warden_event(uint32_t slot, uint64_t id, enum gate_notice notice, void *arg)
{
	struct broker *broker = arg;
	struct session *session = session_find(broker->sessions, id);
	uint64_t there;

	if (notice == GATE_NOTICE_POOL || notice == GATE_NOTICE_POOL_FULL ||
	    gate_in_pool(broker->gate, slot)) {
		unmanaged_event(broker, slot, id, notice);
		mirror_others(broker->mirror);
		return;
	}
	/* An event may come after its slot was given up, and given to another. */
	if (gate_next(broker->gate, slot - 1, &there) != slot || there != id)
		return;
	if (!session) {
		gate_forget(broker->gate, slot);
		return;
	}
	if (session->state == SESSION_PENDING && !reserve_bound(broker, session))
		return; /* the grant itself looks after it, or it waits for its context */
	if (notice == GATE_NOTICE_PLUG || notice == GATE_NOTICE_STATE)
		plug_look(broker, session);
	if (notice == GATE_NOTICE_LARGE)
		warden_read_large(broker, session);
	if (notice == GATE_NOTICE_NEAR_LIMIT)
		warden_near_limit(broker, session);
	/* Where events were lost, any of them may have been one of these. */
	if (notice == GATE_NOTICE_CALLER || notice == GATE_NOTICE_STATE)
		payers_look(broker, session);
	if (notice == GATE_NOTICE_CHANGED || notice == GATE_NOTICE_STATE)
		mirror_figures(broker->mirror, session);
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
		if (session->state == SESSION_REVOKED)
			warden_revoke(broker, session); /* of a daemon that was killed meanwhile */
		if (session->state == SESSION_PENDING && !reserve_bound(broker, session))
			return;
		payers_link(broker, session);
		plug_look(broker, session);
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
	hunts_resume(broker);
	unmanaged_look(broker);
	return loop_watch(broker->loop, gate_event_fd(broker->gate), POLLIN, warden_ready, broker,
			  &broker->gate_watch);
}
