/* SPDX-License-Identifier: MIT */
#include "daemon/unmanaged.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "accounting/admission.h"
#include "accounting/policy.h"
#include "bpf/gate_pool.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/access.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/hunt.h"
#include "daemon/peer.h"
#include "daemon/process.h"
#include "daemon/request.h"
#include "daemon/warden.h"

#define UNMANAGED_LINES 32 /* of the log, at once */
#define UNMANAGED_LINES_RATE 1 /* and per second */
#define UNMANAGED_READ_MS 1000 /* between readings of those that are large */
#define UNMANAGED_SHARE 10 /* and that take no more than one part in so many of the time */

static uint64_t unmanaged_page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t unmanaged_pinned(const struct broker *broker)
{
	struct gate_context context;
	struct gate_figures figures;
	uint32_t slot = GATE_NO_SLOT;
	uint64_t pages = 0;

	if (!broker->gate || broker->policies->unmanaged != POLICY_UNMANAGED_LIMIT)
		return 0; /* the gate knows of none */
	while ((slot = gate_pool_next(broker->gate, slot, &context)) != GATE_NO_SLOT) {
		gate_look(broker->gate, slot, &figures);
		pages += figures.pinned;
	}
	return pages * unmanaged_page_size();
}

static void unmanaged_audit_begin(struct audit *audit, const struct gate_context *context)
{
	audit_id(audit, context->id);
	if (context->policy[0])
		audit_text(audit, "policy", context->policy);
	audit_number(audit, "uid", context->uid);
	audit_number(audit, "pid", context->pid);
	audit_number(audit, "limit", context->limits.pages * unmanaged_page_size());
	audit_number(audit, "max_mappings", context->limits.mappings);
	audit_number(audit, "max_objects", context->limits.objects);
}

/* Whoever opens one after the other fills no log. Return: whether there is to be a line. */
static bool unmanaged_line_begin(struct broker *broker, struct audit *audit, const char *event)
{
	unsigned int n = bucket_take(&broker->unmanaged_lines, UNMANAGED_LINES,
				     UNMANAGED_LINES_RATE, broker_now_ms());

	if (!n)
		return false;
	audit_begin(audit, broker, event);
	if (n > 1)
		audit_number(audit, "left_out", n - 1);
	return true;
}

static void unmanaged_audit(struct broker *broker, uint32_t slot,
			    const struct gate_context *context, const char *event, const char *text)
{
	struct gate_figures figures;
	struct audit audit UNINITIALIZED;

	if (!unmanaged_line_begin(broker, &audit, event))
		return;
	unmanaged_audit_begin(&audit, context);
	warden_read(broker, slot, WARDEN_RECENT, &figures);
	audit_number(&audit, "mapped_pages", figures.mapped);
	audit_number(&audit, "mappings", figures.mappings);
	audit_number(&audit, "denied", figures.denied);
	audit_text(&audit, "text", text);
	audit_end(&audit, LOG_LEVEL_WARNING);
}

/* --- what the kernel says */

/* NULL: none matches, or the process has gone. The pid is believed by its pidfd. */
static const struct policy *unmanaged_policy(const struct broker *broker,
					     const struct gate_context *context)
{
	const struct proto_process named = {.pid = context->pid, .inode = context->inode};
	CLEANUP(process_fini) struct process process = PROCESS_INIT;
	char cgroup[PROCFS_CGROUP_MAX] UNINITIALIZED;
	struct policy_subject subject;

	if (process_open(&named, &process))
		return NULL;
	subject = access_subject(broker, &process, cgroup);
	return policy_match(broker->policies, &subject);
}

/* What a policy leaves to the request stays as it is. */
static void unmanaged_limits(const struct policy *policy, struct gate_limits *limits)
{
	if (!policy->limit_auto)
		limits->pages = policy->limit / unmanaged_page_size();
	if (!policy->max_mappings_auto)
		limits->mappings = policy->max_mappings;
	limits->objects = policy->max_objects;
}

static void unmanaged_judge(struct broker *broker, uint32_t slot, const struct gate_context *found)
{
	const struct policy *policy = unmanaged_policy(broker, found);
	struct gate_context context = *found;

	context.judged = true;
	if (policy) {
		unmanaged_limits(policy, &context.limits);
		(void)snprintf(context.policy, sizeof(context.policy), "%s", policy->name);
	}
	if (gate_pool_change(broker->gate, slot, &context) == 0)
		unmanaged_audit(broker, slot, &context, "unmanaged",
				"a context that nobody here handed out: it is limited");
}

static struct hunt_aim unmanaged_aim(uint32_t slot, const struct gate_context *context)
{
	return (struct hunt_aim){.id = context->id, .slot = slot, .uid = context->uid};
}

static void unmanaged_poison(struct broker *broker, uint32_t slot,
			     const struct gate_context *context)
{
	const struct hunt_aim aim = unmanaged_aim(slot, context);

	if (hunt_is_on(broker, slot, context->id))
		return;
	unmanaged_audit(broker, slot, context, "poisoned",
			"more was found mapped than was reserved: its holders are killed");
	if (hunt_start(broker, &aim))
		log_error("context %llx: no memory to kill its holders",
			  (unsigned long long)context->id);
}

static void unmanaged_act(struct broker *broker, uint32_t slot, const struct gate_context *context)
{
	if (!context->judged)
		unmanaged_judge(broker, slot, context);
	if (gate_state(broker->gate, slot).poisoned)
		unmanaged_poison(broker, slot, context);
	if (gate_slipped(broker->gate, slot))
		unmanaged_audit(broker, slot, context, "slipped",
				"more is mapped than its limits: an ioctl passed the gate, which "
				"this kernel may skip");
}

/* Whoever is killed in his own ioctl is often the last who has it, and its slot says no more. */
static void unmanaged_audit_gone(struct broker *broker, uint64_t id)
{
	struct audit audit UNINITIALIZED;

	if (!unmanaged_line_begin(broker, &audit, "poisoned"))
		return;
	audit_id(&audit, id);
	audit_text(&audit, "text",
		   "more was found mapped than was reserved; the kernel has released all of it");
	audit_end(&audit, LOG_LEVEL_WARNING);
}

/* As often as its processes like there is one that the kernel's timer cannot read. */
static void unmanaged_read(struct broker *broker, uint32_t slot)
{
	const uint64_t start_ms = broker_now_ms();
	struct gate_figures figures;

	if (start_ms < broker->unmanaged_read_ms)
		return; /* the timer comes again */
	(void)gate_read(broker->gate, slot, false, &figures);
	broker->unmanaged_read_ms =
		start_ms + UNMANAGED_SHARE * (broker_now_ms() - start_ms) + UNMANAGED_READ_MS;
}

void unmanaged_look(struct broker *broker)
{
	struct gate_context context;
	uint32_t slot = GATE_NO_SLOT;

	gate_pool_heard(broker->gate);
	hunts_settle(broker);
	while ((slot = gate_pool_next(broker->gate, slot, &context)) != GATE_NO_SLOT)
		unmanaged_act(broker, slot, &context);
}

static void unmanaged_warn(struct broker *broker, uint32_t uid)
{
	struct gate_pool_use use;

	gate_pool_use(broker->gate, uid, &use);
	log_warning("unmanaged = limit: no slot is left for user %u, who has %u of %u for contexts "
		    "that nobody here handed out; %u are free: %llu ioctls were refused",
		    uid, use.n_own, use.n_slots, use.n_free,
		    (unsigned long long)gate_pool_refused(broker->gate));
}

void unmanaged_event(struct broker *broker, uint32_t slot, uint64_t id, enum gate_notice notice)
{
	struct gate_context context;

	if (notice == GATE_NOTICE_POOL)
		unmanaged_look(broker);
	if (notice == GATE_NOTICE_POOL_FULL)
		unmanaged_warn(broker, (uint32_t)id);
	if (!gate_pool_look(broker->gate, slot, &context) || context.id != id) {
		if (notice == GATE_NOTICE_POISONED)
			unmanaged_audit_gone(broker, id);
		return;
	}
	if (notice == GATE_NOTICE_LARGE)
		unmanaged_read(broker, slot);
	unmanaged_act(broker, slot, &context);
}

/* --- orders */

bool unmanaged_shows(const struct peer *peer, const struct gate_context *context)
{
	return peer->cred.uid == 0 || peer->cred.uid == context->uid;
}

uint32_t unmanaged_find(const struct peer *peer, uint64_t id, struct gate_context *ret_context)
{
	uint32_t slot =
		id ? gate_pool_after(peer->broker->gate, id - 1, ret_context) : GATE_NO_SLOT;

	if (slot == GATE_NO_SLOT || ret_context->id != id || !unmanaged_shows(peer, ret_context))
		return GATE_NO_SLOT;
	return slot;
}

enum proto_state unmanaged_state(const struct broker *broker, uint32_t slot,
				 const struct gate_context *context)
{
	struct gate_context there;

	if (gate_state(broker->gate, slot).poisoned && gate_pool_look(broker->gate, slot, &there) &&
	    there.id == context->id)
		return PROTO_STATE_POISONED;
	return context->revoked ? PROTO_STATE_REVOKED : PROTO_STATE_UNMANAGED;
}

static int unmanaged_gone(struct peer *peer, const struct proto_header *header, uint64_t id)
{
	return request_fail(peer, header, REQUEST_NO_SESSION, "no session %llx",
			    (unsigned long long)id);
}

int unmanaged_refuse(struct peer *peer, const struct proto_header *header, uint64_t id)
{
	return request_refuse(peer, header, REFUSAL_NOT_PERMITTED,
			      "%llx is a context that nobody here handed out: root may set its "
			      "limit, max-mappings and max-objects, or revoke it, and that is all",
			      (unsigned long long)id);
}

/* An order was carried out, if only to the end of the context: whoever had it may be dead by now.
 */
static int unmanaged_done(struct peer *peer, const struct proto_header *header, uint32_t slot,
			  const struct gate_context *context, const char *event)
{
	struct proto_done body = {
		.id = context->id,
		.state = unmanaged_state(peer->broker, slot, context),
	};
	struct peer_answer answer = {
		.request = header,
		.kind = PROTO_REPLY,
		.parts = {{.iov_base = &body, .iov_len = sizeof(body)}},
		.n_parts = 1,
	};
	struct audit audit UNINITIALIZED;

	if (audit_begin_for(&audit, peer, event)) {
		unmanaged_audit_begin(&audit, context);
		audit_peer(&audit, peer);
		audit_end(&audit, LOG_LEVEL_INFO);
	}
	return peer_send(peer, &answer);
}

int unmanaged_set(struct peer *peer, const struct proto_header *header, const struct proto_set *set)
{
	struct gate_context context;
	uint32_t slot = unmanaged_find(peer, set->id, &context);

	if (slot == GATE_NO_SLOT)
		return unmanaged_gone(peer, header, set->id);
	if (peer->cred.uid != 0 || set->keys & PROTO_SET_MIGRATION_BUFFERS)
		return unmanaged_refuse(peer, header, set->id);
	if (set->keys & PROTO_SET_LIMIT)
		context.limits.pages = set->limit / unmanaged_page_size();
	if (set->keys & PROTO_SET_MAX_MAPPINGS)
		context.limits.mappings = set->max_mappings;
	if (set->keys & PROTO_SET_MAX_OBJECTS)
		context.limits.objects = set->max_objects;
	if (gate_pool_change(peer->broker->gate, slot, &context))
		return unmanaged_gone(peer, header, set->id);
	return unmanaged_done(peer, header, slot, &context, "set");
}

int unmanaged_revoke(struct peer *peer, const struct proto_header *header,
		     const struct proto_revoke *request)
{
	struct broker *broker = peer->broker;
	struct gate_context context;
	uint32_t slot = unmanaged_find(peer, request->id, &context);
	struct hunt_aim aim;
	int err = 0;

	if (slot == GATE_NO_SLOT)
		return unmanaged_gone(peer, header, request->id);
	if (peer->cred.uid != 0)
		return unmanaged_refuse(peer, header, request->id);
	context.revoked = true;
	if (gate_pool_change(broker->gate, slot, &context))
		return unmanaged_gone(peer, header, request->id);
	aim = unmanaged_aim(slot, &context);
	if (request->flags & PROTO_REVOKE_KILL)
		err = hunt_now(broker, &aim);
	if (err)
		return request_refuse(peer, header, REFUSAL_KERNEL,
				      "cannot kill every process that has a descriptor of context "
				      "%llx: %s",
				      (unsigned long long)request->id, strerror(-err));
	return unmanaged_done(peer, header, slot, &context, "revoked");
}
