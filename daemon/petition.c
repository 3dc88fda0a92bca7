/* SPDX-License-Identifier: MIT */
#include "daemon/petition.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "accounting/ledger.h"
#include "accounting/policy.h"
#include "common/cleanup.h"
#include "daemon/broker.h"
#include "daemon/peer.h"
#include "daemon/session.h"

/* Always false, for "return petition_refuse(...)". */
__attribute__((format(printf, 3, 4))) static bool
petition_refuse(struct petition *petition, enum refusal refusal, const char *format, ...)
{
	struct admission *admission = &petition->admission;
	va_list args;

	admission->refusal = refusal;
	va_start(args, format);
	(void)vsnprintf(admission->text, sizeof(admission->text), format, args); /* cut to fit */
	va_end(args);
	return false;
}

/* The form of the request; what the fields mean is for the policy. */
static bool petition_check_form(struct petition *petition)
{
	if (!proto_subject_valid(&petition->subject))
		return petition_refuse(petition, REFUSAL_BAD_REQUEST, "the subject is malformed");
	if (proto_open_valid(&petition->open))
		return true;
	return petition_refuse(petition, REFUSAL_BAD_REQUEST,
			       "the request is malformed; a name is 1 to %d of [A-Za-z0-9._:@-]",
			       PROTO_NAME_MAX);
}

static bool petition_check_names(struct petition *petition)
{
	for (size_t i = 0; i < petition->open.n_devices; i++) {
		char *name = petition->devices[i].name;

		if (device_name(petition->open.devices[i], name))
			return petition_refuse(petition, REFUSAL_BAD_REQUEST,
					       "\"%s\" is neither a PCI address (0000:65:00.0) nor "
					       "an mdev UUID",
					       petition->open.devices[i]);
		for (size_t k = 0; k < i; k++)
			if (strcmp(petition->devices[k].name, name) == 0)
				return petition_refuse(petition, REFUSAL_BAD_REQUEST,
						       "device %s is given twice", name);
	}
	return true;
}

/* Reads each device from sysfs. A device that is not there is a matter for the policy's words. */
static bool petition_probe(const struct broker *broker, struct petition *petition)
{
	for (size_t i = 0; i < petition->open.n_devices; i++) {
		char name[DEVICE_NAME_MAX];
		int err;

		memcpy(name, petition->devices[i].name, sizeof(name));
		err = device_probe(broker->sysfs_fd, name, &petition->devices[i]);
		if (err)
			return petition_refuse(petition, REFUSAL_KERNEL,
					       "sysfs cannot say what device %s is: %s", name,
					       strerror(-err));
	}
	return true;
}

/* Only if a policy asks: it is a read of /proc on the way of every grant. */
static bool petition_read_cgroup(const struct peer *peer, struct petition *petition)
{
	int err;

	petition->cgroup[0] = '\0';
	if (petition->subject.flags & PROTO_SUBJECT_CGROUP) {
		memcpy(petition->cgroup, petition->subject.cgroup, sizeof(petition->cgroup));
		return true;
	}
	if (!peer->broker->ask_cgroup || petition->subject.flags & PROTO_SUBJECT_UID)
		return true;
	err = procfs_cgroup(peer->cred.pid, petition->cgroup);
	if (!err && procfs_exited(peer->pidfd))
		err = -ESRCH;
	if (err == -ENODATA)
		petition->cgroup[0] = '\0';
	else if (err)
		return petition_refuse(petition, REFUSAL_BAD_REQUEST,
				       "the requester's cgroup cannot be read: %s", strerror(-err));
	return true;
}

static bool petition_check_capable(const struct peer *peer, struct petition *petition,
				   bool *ret_capable)
{
	int err;

	if (petition->subject.flags & PROTO_SUBJECT_UID) {
		*ret_capable = petition->subject.uid == 0; /* nobody is there yet to be asked */
		return true;
	}
	err = procfs_capable(peer->cred.pid, ret_capable);
	if (!err && procfs_exited(peer->pidfd))
		err = -ESRCH;
	if (!err)
		return true;
	return petition_refuse(petition, REFUSAL_BAD_REQUEST,
			       "the requester's capabilities cannot be read: %s", strerror(-err));
}

static void petition_subject(const struct peer *peer, const struct petition *petition,
			     struct policy_subject *ret_subject)
{
	static_assert(sizeof(gid_t) == sizeof(petition->subject.gids[0]), "gids are taken as such");
	*ret_subject = (struct policy_subject){
		.uid = peer->cred.uid,
		.gids = peer->gids,
		.n_gids = peer->n_gids,
		.cgroup = petition->cgroup[0] ? petition->cgroup : NULL,
	};
	if (petition->subject.flags & PROTO_SUBJECT_UID) {
		ret_subject->uid = petition->subject.uid;
		ret_subject->gids = petition->subject.gids;
		ret_subject->n_gids = petition->subject.n_gids;
	}
}

/* Another subject than oneself is for root and for the admins of the policy that matches it. */
static bool petition_check_subject(const struct peer *peer, struct petition *petition,
				   const struct policy_subject *subject)
{
	const struct policy *policy;

	if (!petition->subject.flags || peer->cred.uid == 0)
		return true;
	policy = policy_match(peer->broker->policies, subject);
	if (policy && policy_admin(policy, peer->cred.uid))
		return true;
	return petition_refuse(petition, REFUSAL_NOT_PERMITTED,
			       "uid %u may not ask for another subject than itself%s%s",
			       peer->cred.uid, policy ? "; it is no admin of policy " : "",
			       policy ? policy->name : "");
}

/* The broker's sums, as admission asks for them (admission_sums_fn). */
static void petition_sums(uid_t uid, const struct policy *policy, struct admission_sums *ret_sums,
			  void *arg)
{
	const struct broker *broker = arg;

	*ret_sums = (struct admission_sums){
		.user = ledger_user_sum(broker->ledger, uid),
		.host = ledger_host_sum(broker->ledger),
		.n_sessions = ledger_n_sessions(broker->ledger, uid, policy->name),
		.mem_total = broker->mem_total,
	};
}

static void petition_claims(const struct broker *broker, const struct petition *petition,
			    struct admission_device *ret_devices)
{
	for (size_t i = 0; i < petition->open.n_devices; i++) {
		const struct device *device = &petition->devices[i];
		const struct session_claim *claim = session_claim_find(broker->sessions, device);

		ret_devices[i] = (struct admission_device){.device = device};
		if (!claim)
			continue;
		ret_devices[i].busy_id = claim->session->id;
		if (strcmp(claim->name, device->name) != 0)
			ret_devices[i].busy_peer = claim->name;
	}
}

void petition_weigh(const struct peer *peer, struct petition *petition)
{
	struct broker *broker = peer->broker;
	struct admission_device devices[PROTO_DEVICES_MAX];
	struct admission_request request = {.devices = devices};

	petition->admission = (struct admission){.refusal = REFUSAL_NONE};
	if (!petition_check_form(petition) || !petition_check_names(petition) ||
	    !petition_read_cgroup(peer, petition))
		return;
	petition_subject(peer, petition, &request.subject);
	if (!petition_check_subject(peer, petition, &request.subject) ||
	    !petition_check_capable(peer, petition, &request.capable))
		return;
	/* Whom no policy matches is refused without a look at any device. */
	if (policy_match(broker->policies, &request.subject)) {
		if (!petition_probe(broker, petition))
			return;
		petition_claims(broker, petition, devices);
		request.n_devices = petition->open.n_devices;
	}
	request.memory = petition->open.memory;
	request.viommu = petition->open.flags & PROTO_OPEN_VIOMMU;
	request.accounting = (enum policy_accounting)petition->open.accounting;
	admission_decide(broker->policies, &request, petition_sums, broker, &petition->admission);
}
