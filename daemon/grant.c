/* SPDX-License-Identifier: MIT */
#include "daemon/grant.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/proto.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/memlock.h"
#include "daemon/mirror.h"
#include "daemon/owner.h"
#include "daemon/peer.h"
#include "daemon/petition.h"
#include "daemon/request.h"
#include "daemon/session.h"
#include "daemon/trace.h"
#include "daemon/warden.h"
#include "iommufd/cdev.h"
#include "iommufd/iommu.h"

/* A grant in the making. Until it is made, leaving the scope undoes every step. */
struct grant {
	struct broker *broker;
	struct session *session; /* NULL: nothing is reserved, or it was granted */
	struct owner *owner; /* borrowed; NULL: not reached yet, or granted */
	int fds[PROTO_FDS_MAX]; /* owned: the iommufd, then the devices */
	size_t n_fds;
	char fault[256]; /* what failed, for the refusal */
};

/* In reverse: limits, share and devices. The descriptors go in any case. */
static void grant_fini(struct grant *grant)
{
	for (size_t i = 0; i < grant->n_fds; i++)
		fd_closep(&grant->fds[i]);
	if (grant->session)
		owner_end_session(grant->broker, grant->session);
	if (grant->owner && !grant->owner->sessions)
		owner_put(grant->owner);
}

static int grant_open_context(struct grant *grant)
{
	bool task = grant->session->accounting == POLICY_ACCOUNTING_TASK;
	int fd = -1, err = iommu_open(grant->broker->sys, grant->broker->dev_fd,
				      task ? IOMMU_MODE_TASK : IOMMU_MODE_USER, &fd);

	if (err) {
		(void)snprintf(grant->fault, sizeof(grant->fault), "cannot open IOMMUFD: %s",
			       iommu_strerror(err));
		return err;
	}
	grant->fds[grant->n_fds++] = fd;
	return 0;
}

static int grant_open_device(struct grant *grant, const struct device *device)
{
	int fd = -1, err = cdev_open(grant->broker->sys, grant->broker->dev_fd,
				     grant->broker->sysfs_fd, device, &fd);

	if (err) {
		(void)snprintf(grant->fault, sizeof(grant->fault),
			       "cannot open /dev/vfio/devices/%s of device %s: %s", device->cdev,
			       device->name, strerror(-err));
		return err;
	}
	grant->fds[grant->n_fds++] = fd;
	return 0;
}

/* Nobody else has them yet: from the first ioctl on each counts. */
static int grant_enrol(struct grant *grant)
{
	int err = 0;

	for (size_t i = 0; !err && i < grant->n_fds; i++)
		err = warden_enrol(grant->broker, grant->session, grant->fds[i], i > 0);
	if (err)
		(void)snprintf(grant->fault, sizeof(grant->fault),
			       "the gate does not take its files: %s", warden_strerror(err));
	return err;
}

static int grant_set_limit(struct grant *grant, const struct petition *petition)
{
	const struct process *owner = &petition->owner;
	const struct owner_plan plan = {
		.pidfd = owner->pidfd,
		.pid = owner->pid,
		.uid = owner->uid,
		/* exec() resets the memory of a process. */
		.locked_besides =
			petition->open->flags & PROTO_OPEN_EXEC ? 0 : memlock_besides(owner, false),
		.exempt = petition->exempt,
	};
	int err = owner_get(grant->broker->owners, &plan, &grant->owner);

	if (err) {
		(void)snprintf(grant->fault, sizeof(grant->fault),
			       "cannot record process %d as the owner: %s", (int)owner->pid,
			       err == -EPERM ? "it owns sessions as another uid" : strerror(-err));
		return err;
	}
	owner_add_session(grant->owner, grant->session);
	err = owner_limit_session(grant->session);
	if (err)
		(void)snprintf(grant->fault, sizeof(grant->fault),
			       "cannot set RLIMIT_MEMLOCK of process %d: %s", (int)owner->pid,
			       strerror(-err));
	return err;
}

struct session_plan grant_plan(const struct petition *petition)
{
	const struct admission *admission = &petition->admission;

	return (struct session_plan){
		.uid = petition->who.uid,
		.name = petition->open->name[0] ? petition->open->name : "session",
		.policy = admission->policy,
		.accounting = admission->accounting,
		.limit = admission->limit,
		.max_mappings = admission->max_mappings,
		.factor = admission->factor,
		.devices = petition->devices,
		.n_devices = petition->open->n_devices,
	};
}

/* Every step but the last. A failure leaves its reason in grant->fault. */
static int grant_prepare(struct grant *grant, const struct petition *petition)
{
	const struct session_plan plan = grant_plan(petition);
	const char *fault = warden_fault(grant->broker);
	int err;

	if (fault) {
		(void)snprintf(grant->fault, sizeof(grant->fault), "%s", fault);
		return -EPERM;
	}
	err = session_new(grant->broker->sessions, &plan, &grant->session);
	if (err) {
		(void)snprintf(grant->fault, sizeof(grant->fault),
			       "cannot reserve and record a session: %s", strerror(-err));
		return err;
	}
	err = warden_admit(grant->broker, grant->session, 1 + petition->open->n_devices);
	if (err) {
		(void)snprintf(grant->fault, sizeof(grant->fault),
			       "the gate has no room for one more session: %s", strerror(-err));
		return err;
	}
	err = grant_open_context(grant);
	for (size_t i = 0; !err && i < petition->open->n_devices; i++)
		err = grant_open_device(grant, &petition->devices[i]);
	if (!err)
		err = grant_enrol(grant);
	return err ? err : grant_set_limit(grant, petition);
}

int grant_answer(const struct peer *peer, struct peer_answer *answer, const struct session *session,
		 const struct petition *petition)
{
	struct proto_grant body = {
		.id = session->id,
		.limit = session->share.limit,
		.max_mappings = session->max_mappings,
		.accounting = (uint32_t)session->accounting,
		.n_devices = (uint32_t)session->n_devices,
	};
	int err;

	proto_text_set(body.name, sizeof(body.name), session->name);
	proto_text_set(body.policy, sizeof(body.policy), session->policy);
	proto_text_set(body.warning, sizeof(body.warning), petition->admission.warning);
	answer->kind = PROTO_REPLY;
	answer->parts[0] = (struct iovec){.iov_base = &body, .iov_len = sizeof(body)};
	answer->n_parts = 1;
	err = peer_send(peer, answer);
	answer->n_parts = 0; /* which are gone with this function */
	answer->parts[0] = (struct iovec){.iov_base = NULL};
	return err;
}

void grant_audit(const struct peer *peer, const char *event, const struct session *session,
		 const struct petition *petition)
{
	struct audit audit UNINITIALIZED;

	trace_audit(peer->broker, event, session, peer);
	audit_begin(&audit, peer->broker, event);
	audit_session(&audit, session);
	audit_peer(&audit, peer);
	audit_number(&audit, "max_mappings", session->max_mappings);
	audit_petition(&audit, petition);
	audit_end(&audit, LOG_LEVEL_INFO);
}

static int grant_make(struct peer *peer, const struct proto_header *header,
		      const struct petition *petition)
{
	CLEANUP(grant_fini) struct grant grant = {.broker = peer->broker};
	struct peer_answer answer = {.request = header};
	struct session *session;
	int err = grant_prepare(&grant, petition);

	if (err)
		return request_refuse(peer, header, REFUSAL_KERNEL, "policy \"%s\": %s",
				      petition->admission.policy->name, grant.fault);
	/* Before it is sent: if this process dies in between, the peer may have it. */
	session_enter(peer->broker->sessions, grant.session, SESSION_ACTIVE);
	answer.fds = grant.fds;
	answer.n_fds = grant.n_fds;
	err = grant_answer(peer, &answer, grant.session, petition);
	if (err)
		return err;
	session = STEAL(grant.session);
	grant.owner = NULL;
	mirror_begin(peer->broker->mirror, session);
	grant_audit(peer, "granted", session, petition);
	return 0;
}

static int grant_decide(struct peer *peer, const struct proto_header *header,
			const struct proto_open *open, const struct proto_subject *subject)
{
	struct petition *petition = peer->broker->petition;
	int err;

	petition_weigh(peer, PETITION_OPEN, open, subject, petition);
	if (petition->admission.refusal)
		err = request_refuse_petition(peer, header, petition);
	else
		err = grant_make(peer, header, petition);
	petition_fini(petition);
	return err;
}

int grant_open(struct peer *peer, const struct proto_header *header, const void *body)
{
	struct proto_open open;

	memcpy(&open, body, sizeof(open));
	if (!proto_open_valid(&open))
		return request_malformed(peer, header);
	return grant_decide(peer, header, &open, NULL);
}

int grant_open_for(struct peer *peer, const struct proto_header *header, const void *body)
{
	struct proto_open_for request;

	memcpy(&request, body, sizeof(request));
	if (!proto_open_valid(&request.open) || !proto_subject_valid(&request.subject) ||
	    !request.subject.flags)
		return request_malformed(peer, header);
	return grant_decide(peer, header, &request.open, &request.subject);
}
