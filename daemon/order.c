/* SPDX-License-Identifier: MIT */
#include "daemon/order.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "accounting/admission.h"
#include "accounting/ledger.h"
#include "accounting/policy.h"
#include "bpf/gate_pool.h"
#include "common/cleanup.h"
#include "common/device.h"
#include "common/proto.h"
#include "daemon/access.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/memlock.h"
#include "daemon/mirror.h"
#include "daemon/owner.h"
#include "daemon/peer.h"
#include "daemon/process.h"
#include "daemon/report.h"
#include "daemon/request.h"
#include "daemon/reserve.h"
#include "daemon/session.h"
#include "daemon/trace.h"
#include "daemon/unmanaged.h"
#include "daemon/warden.h"
#include "iommufd/cdev.h"

/* An order in hand: whose, and to which session. */
struct order {
	struct peer *peer;
	const struct proto_header *header;
	struct session *session;
	enum access access;
};

/* Finds the session. Return: false: *ret_err is what the handler returns, after an answer. */
static bool order_begin(struct order *order, struct peer *peer, const struct proto_header *header,
			uint64_t id, int *ret_err)
{
	struct gate_context context;

	*order = (struct order){.peer = peer,
				.header = header,
				.session = session_find(peer->broker->sessions, id)};
	if (order->session)
		order->access = access_of(peer, order->session);
	if (order->access != ACCESS_NONE) {
		(void)reserve_bound(peer->broker,
				    order->session); /* the gate's word is on its way */
		return true;
	}
	if (unmanaged_find(peer, id, &context) != GATE_NO_SLOT) {
		*ret_err = unmanaged_refuse(peer, header, id);
		return false;
	}
	*ret_err = request_fail(peer, header, REQUEST_NO_SESSION, "no session %llx",
				(unsigned long long)id);
	return false;
}

static int order_done(const struct order *order, const int *fd)
{
	struct proto_done body = {
		.id = order->session->id,
		.state = report_state(order->peer->broker, order->session),
	};
	struct peer_answer answer = {
		.request = order->header,
		.kind = PROTO_REPLY,
		.parts = {{.iov_base = &body, .iov_len = sizeof(body)}},
		.n_parts = 1,
		.fds = fd,
		.n_fds = fd ? 1 : 0,
	};

	return peer_send(order->peer, &answer);
}

/* It was done. */
static void order_tell(const struct order *order, const char *event)
{
	audit_order(order->peer, order->session, event);
	mirror_changed(order->peer->broker->mirror, order->session);
}

/* Its session was given up. One that is pending has nobody who could keep it. */
static int order_ended(const struct order *order)
{
	int err = order_done(order, NULL);

	if (order->session->state == SESSION_PENDING)
		reserve_end(order->peer->broker, order->session);
	return err;
}

static int order_not_admin(const struct order *order, const char *what)
{
	return request_refuse(order->peer, order->header, REFUSAL_NOT_PERMITTED,
			      "%s session %llx is for root and the admins of policy \"%s\"", what,
			      (unsigned long long)order->session->id, order->session->policy);
}

/* What was given up stays so, and what is not there yet has nothing to be changed. */
static int order_not_active(const struct order *order)
{
	if (order->session->state == SESSION_PENDING)
		return request_refuse(order->peer, order->header, REFUSAL_BAD_REQUEST,
				      "session %llx is reserved, and what it is for has not come",
				      (unsigned long long)order->session->id);
	return request_refuse(order->peer, order->header, REFUSAL_BAD_REQUEST,
			      "session %llx was closed or revoked: it ends when its context and "
			      "devices are released",
			      (unsigned long long)order->session->id);
}

static void order_numbers(const struct proto_set *set, struct session_numbers *numbers)
{
	if (set->keys & PROTO_SET_LIMIT)
		numbers->limit = set->limit;
	if (set->keys & PROTO_SET_MAX_MAPPINGS)
		numbers->max_mappings = set->max_mappings;
	if (set->keys & PROTO_SET_MAX_OBJECTS)
		numbers->max_objects = set->max_objects;
	if (set->keys & PROTO_SET_MIGRATION_BUFFERS)
		numbers->migration_buffers = set->migration_buffers;
}

static bool order_raises(const struct session_numbers *from, const struct session_numbers *to)
{
	return to->limit > from->limit || to->max_mappings > from->max_mappings ||
	       to->max_objects > from->max_objects ||
	       to->migration_buffers > from->migration_buffers;
}

/* What admission needs to know of the session. */
static struct admission_change order_change(const struct order *order)
{
	const struct session *session = order->session;

	return (struct admission_change){
		.policy = policy_find(order->peer->broker->policies, session->policy),
		.policy_name = session->policy,
		.uid = session->uid,
	};
}

static void order_weigh_raise(const struct order *order, uint64_t charged,
			      struct admission_change *change)
{
	const struct broker *broker = order->peer->broker;
	const struct session *session = order->session;
	const struct admission_sums sums = {
		.user = ledger_user_sum(broker->ledger, session->uid),
		.host = ledger_host_sum(broker->ledger),
		.others = unmanaged_pinned(broker),
		.mem_total = broker->mem_total,
	};

	if (charged > session->share.charged)
		admission_raise(broker->policies, &sums, session->share.charged, charged, change);
}

static int order_limit(const struct order *order)
{
	struct broker *broker = order->peer->broker;

	warden_limit(broker, order->session);
	if (order->session->owner)
		return owner_limit_session(order->session);
	owner_limit_orphan(broker, order->session);
	return 0;
}

/* Books first, then limits; after a failure both are as they were. */
static int order_apply(const struct order *order, const struct session_numbers *old,
		       const struct session_numbers *numbers)
{
	struct session_table *sessions = order->peer->broker->sessions;
	int err = session_set_numbers(sessions, order->session, numbers);

	if (err)
		return err;
	err = order_limit(order);
	if (!err)
		return 0;
	(void)session_set_numbers(sessions, order->session, old); /* it was so a moment ago */
	(void)order_limit(order); /* the error at hand is the one to report */
	return err;
}

static void order_audit_set(const struct order *order, const struct session_numbers *old)
{
	const struct session_numbers now = session_numbers(order->session);
	struct audit audit UNINITIALIZED;

	trace_audit(order->peer->broker, "set", order->session, order->peer);
	if (!audit_begin_for(&audit, order->peer, "set"))
		return;
	audit_session(&audit, order->session);
	audit_number(&audit, "old_limit", old->limit);
	audit_number(&audit, "max_mappings", now.max_mappings);
	audit_number(&audit, "max_objects", now.max_objects);
	audit_number(&audit, "migration_buffers", now.migration_buffers);
	audit_peer(&audit, order->peer);
	audit_end(&audit, LOG_LEVEL_INFO);
}

static int order_set_numbers(const struct order *order, const struct session_numbers *numbers)
{
	const struct session_numbers old = session_numbers(order->session);
	struct admission_change change = order_change(order);
	int err;

	if (order->access != ACCESS_ADMIN && order_raises(&old, numbers))
		return order_not_admin(order, "raising a limit of");
	order_weigh_raise(order, numbers->charged, &change);
	if (change.refusal)
		return request_refuse(order->peer, order->header, change.refusal, "%s",
				      change.text);
	err = order_apply(order, &old, numbers);
	if (err)
		return request_refuse(order->peer, order->header, REFUSAL_KERNEL,
				      "cannot set RLIMIT_MEMLOCK of the owner of session %llx: %s",
				      (unsigned long long)order->session->id, strerror(-err));
	order_audit_set(order, &old);
	mirror_changed(order->peer->broker->mirror, order->session);
	return order_done(order, NULL);
}

int order_set(struct peer *peer, const struct proto_header *header, const void *body)
{
	struct session_numbers numbers;
	struct gate_context context;
	struct proto_set set;
	struct order order;
	int err;

	memcpy(&set, body, sizeof(set));
	if (!proto_set_valid(&set))
		return request_malformed(peer, header);
	if (unmanaged_find(peer, set.id, &context) != GATE_NO_SLOT)
		return unmanaged_set(peer, header, &set);
	if (!order_begin(&order, peer, header, set.id, &err))
		return err;
	if (order.session->state != SESSION_ACTIVE)
		return order_not_active(&order);
	numbers = session_numbers(order.session);
	order_numbers(&set, &numbers);
	/* What was mapped under a higher limit stays: only root may say that it counts no more. */
	if (peer->cred.uid == 0 || numbers.limit > numbers.charged)
		numbers.charged = numbers.limit;
	return order_set_numbers(&order, &numbers);
}

/* A group's other members may be in this session; the device itself must be in none. */
static void order_claimed(const struct order *order, const struct device *device,
			  struct admission_device *ret_device)
{
	const struct session *session = order->session;

	access_claim(order->peer, device, ret_device);
	if (ret_device->busy_id != session->id)
		return;
	*ret_device = (struct admission_device){.device = device};
	if (session_claim_own(session, device->name))
		ret_device->busy_id = session->id;
}

/* Return: false: the request was refused, and *ret_err is what the handler returns. */
static bool order_may_attach(const struct order *order, const char *name, struct device *ret_device,
			     int *ret_err)
{
	struct broker *broker = order->peer->broker;
	struct admission_change change = order_change(order);
	struct access_others others UNINITIALIZED;
	struct admission_device device;
	char normal[DEVICE_NAME_MAX];
	int err;

	if (device_name(name, normal)) {
		*ret_err = request_refuse(order->peer, order->header, REFUSAL_BAD_REQUEST,
					  "\"%s\" is neither a PCI address (0000:65:00.0) nor an "
					  "mdev UUID",
					  name);
		return false;
	}
	err = device_probe(broker->sysfs_fd, normal, ret_device);
	if (err) {
		*ret_err = request_refuse(order->peer, order->header, REFUSAL_KERNEL,
					  "sysfs cannot say what device %s is: %s", normal,
					  strerror(-err));
		return false;
	}
	order_claimed(order, ret_device, &device);
	access_together(broker, order->session, &device, &others, &change);
	admission_attach(broker->policies, &device, &change);
	if (!change.refusal)
		return true;
	*ret_err = request_refuse(order->peer, order->header, change.refusal, "%s", change.text);
	return false;
}

/*
 * Claimed and recorded before it is sent, and not before it is about to be: nothing tells a daemon
 * that starts after this one was killed whether a device of a session was ever handed out. Whatever
 * fails, nothing is left of it.
 */
static int order_hand_out(const struct order *order, const struct device *device)
{
	struct broker *broker = order->peer->broker;
	CLEANUP(fd_closep) int fd = -1;
	int err = cdev_open(broker->sys, broker->dev_fd, broker->sysfs_fd, device, &fd);

	if (err)
		return request_refuse(order->peer, order->header, REFUSAL_KERNEL,
				      "cannot open /dev/vfio/devices/%s of device %s: %s",
				      device->cdev, device->name, strerror(-err));
	err = warden_enrol(broker, order->session, fd, true);
	if (err)
		return request_refuse(order->peer, order->header, REFUSAL_KERNEL,
				      "the gate does not take device %s: %s", device->name,
				      warden_strerror(err));
	err = session_claim(broker->sessions, order->session, device);
	if (err)
		warden_unenrol(broker, order->session);
	if (err)
		return request_refuse(order->peer, order->header, REFUSAL_KERNEL,
				      "cannot record device %s: %s", device->name, strerror(-err));
	err = order_done(order, &fd);
	if (err) {
		session_unclaim(broker->sessions, order->session);
		warden_unenrol(broker, order->session);
	} else {
		order_tell(order, "attached");
	}
	return err;
}

int order_attach(struct peer *peer, const struct proto_header *header, const void *body)
{
	struct proto_attach attach;
	struct device device;
	struct order order;
	int err;

	memcpy(&attach, body, sizeof(attach));
	if (!proto_attach_valid(&attach))
		return request_malformed(peer, header);
	if (!order_begin(&order, peer, header, attach.id, &err))
		return err;
	if (order.session->state != SESSION_ACTIVE)
		return order_not_active(&order);
	if (order.access != ACCESS_ADMIN && !access_may_attach(peer, order.session))
		return request_refuse(peer, header, REFUSAL_NOT_PERMITTED,
				      "devices of session %llx are for its owner and for whom its "
				      "policy \"%s\" matches",
				      (unsigned long long)attach.id, order.session->policy);
	if (order.session->n_devices == PROTO_DEVICES_MAX)
		return request_refuse(peer, header, REFUSAL_BAD_REQUEST,
				      "session %llx has %d devices, which is all that one may have",
				      (unsigned long long)order.session->id, PROTO_DEVICES_MAX);
	if (!order_may_attach(&order, attach.device, &device, &err))
		return err;
	return order_hand_out(&order, &device);
}

static int order_move(const struct order *order, const struct process *process)
{
	const struct owner_plan plan = {
		.pidfd = process->pidfd,
		.pid = process->pid,
		.uid = process->uid,
		/* What the session charges to it already is no more than what it has pinned. */
		.locked_besides = memlock_besides(process, order->session->accounting ==
								   POLICY_ACCOUNTING_TASK),
	};
	struct owner *owner;
	int err = owner_get(order->peer->broker->owners, &plan, &owner);

	if (err)
		return err;
	err = owner_move_session(order->session, owner);
	if (err)
		owner_put(owner); /* unless it has others */
	return err;
}

/* The session's uid is whose sums it is in: it cannot live with another's process. */
static int order_adopt_process(const struct order *order, const struct process *process,
			       uint64_t inode)
{
	struct broker *broker = order->peer->broker;
	struct session *session = order->session;
	const char *fault = reserve_fault(broker, session, inode);
	bool capable;
	int err = process_capable(process, &capable);

	if (err)
		return request_refuse(order->peer, order->header, REFUSAL_BAD_REQUEST,
				      "the capabilities of process %d cannot be read: %s",
				      (int)process->pid, strerror(-err));
	if (capable)
		return request_refuse(order->peer, order->header, REFUSAL_CAPABLE_OWNER,
				      "process %d has CAP_IPC_LOCK, and the kernel charges nothing "
				      "to such a process, so that no limit would hold: policy %s",
				      (int)process->pid, session->policy);
	if (process->uid != session->uid)
		return request_refuse(order->peer, order->header, REFUSAL_NOT_PERMITTED,
				      "process %d runs as uid %u, and session %llx is of uid %u "
				      "(policy \"%s\")",
				      (int)process->pid, process->uid,
				      (unsigned long long)session->id, session->uid,
				      session->policy);
	if (!access_may_own(order->peer, order_change(order).policy, process))
		return request_refuse(order->peer, order->header, REFUSAL_NOT_PERMITTED,
				      "process %d is not one that policy \"%s\" is for, by its "
				      "user, groups or cgroup",
				      (int)process->pid, session->policy);
	if (fault)
		return request_refuse(order->peer, order->header, REFUSAL_NOT_PERMITTED,
				      "process %d %s %llx (policy \"%s\")", (int)process->pid,
				      fault, (unsigned long long)session->id, session->policy);
	err = order_move(order, process);
	if (err)
		return request_refuse(order->peer, order->header, REFUSAL_KERNEL,
				      "cannot record process %d as the owner or set its "
				      "RLIMIT_MEMLOCK: %s",
				      (int)process->pid, strerror(-err));
	reserve_owned(broker, session);
	order_tell(order, "adopted");
	return order_done(order, NULL);
}

int order_adopt(struct peer *peer, const struct proto_header *header, const void *body)
{
	CLEANUP(process_fini) struct process process = PROCESS_INIT;
	struct proto_adopt adopt;
	struct order order;
	int err;

	memcpy(&adopt, body, sizeof(adopt));
	if (!proto_adopt_valid(&adopt))
		return request_malformed(peer, header);
	if (!order_begin(&order, peer, header, adopt.id, &err))
		return err;
	if (order.access != ACCESS_ADMIN)
		return order_not_admin(&order, "giving another owner to");
	if (order.session->state == SESSION_REVOKED)
		return order_not_active(&order);
	err = process_open(&adopt.process, &process);
	if (err)
		return request_refuse(peer, header, REFUSAL_BAD_REQUEST,
				      "process %u cannot be the owner: %s", adopt.process.pid,
				      process_strerror(err));
	return order_adopt_process(&order, &process, adopt.process.inode);
}

/* Nothing new maps: by the owner's limit, and at once. Twice is fine, and may take more away. */
static void order_give_up(const struct order *order, bool force)
{
	struct session *session = order->session;

	if (session->state == SESSION_PENDING || (session->state == SESSION_REVOKED && !force))
		return;
	/* First: what the record says must hold, whenever this process is killed. */
	warden_revoke(order->peer->broker, session);
	if (session->state != SESSION_REVOKED)
		session_enter(order->peer->broker->sessions, session, SESSION_REVOKED);
	owner_give_up(session, force);
}

int order_close(struct peer *peer, const struct proto_header *header, const void *body)
{
	struct proto_close request;
	struct order order;
	int err;

	memcpy(&request, body, sizeof(request));
	if (request.zero)
		return request_malformed(peer, header);
	if (!order_begin(&order, peer, header, request.id, &err))
		return err;
	/* Other processes of the user that it is for know nothing of it: it is another's affair. */
	if (order.session->reserved && order.access != ACCESS_ADMIN)
		return order_not_admin(&order, "giving up the reserved");
	order_give_up(&order, false);
	order_tell(&order, "closed");
	return order_ended(&order);
}

static int order_kill(const struct order *order)
{
	const struct owner *owner = order->session->owner;
	int err = owner ? process_kill(owner->pidfd) : 0;

	if (!err || err == -ESRCH)
		err = warden_kill(order->peer->broker, order->session);
	if (err && err != -ESRCH)
		return request_refuse(order->peer, order->header, REFUSAL_KERNEL,
				      "cannot kill every process that has a descriptor of session "
				      "%llx: %s",
				      (unsigned long long)order->session->id, strerror(-err));
	order_tell(order, "killed");
	return order_done(order, NULL);
}

int order_revoke(struct peer *peer, const struct proto_header *header, const void *body)
{
	struct gate_context context;
	struct proto_revoke request;
	struct order order;
	int err;

	memcpy(&request, body, sizeof(request));
	if (!proto_revoke_valid(&request))
		return request_malformed(peer, header);
	if (unmanaged_find(peer, request.id, &context) != GATE_NO_SLOT)
		return unmanaged_revoke(peer, header, &request);
	if (!order_begin(&order, peer, header, request.id, &err))
		return err;
	if (order.access != ACCESS_ADMIN)
		return order_not_admin(&order, "revoking");
	if (request.flags & PROTO_REVOKE_KILL && !access_may_kill(peer, order.session))
		return request_refuse(peer, header, REFUSAL_NOT_PERMITTED,
				      "session %llx lives with process %d, which is not one of its "
				      "user alone: only root may kill that",
				      (unsigned long long)request.id,
				      order.session->owner ? (int)order.session->owner->pid : 0);
	order_give_up(&order, true);
	order_tell(&order, "revoked");
	if (request.flags & PROTO_REVOKE_KILL && order.session->state != SESSION_PENDING)
		return order_kill(&order);
	return order_ended(&order);
}
