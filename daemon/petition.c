/* SPDX-License-Identifier: MIT */
#include "daemon/petition.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "accounting/ledger.h"
#include "accounting/policy.h"
#include "bpf/gate.h"
#include "common/cleanup.h"
#include "daemon/access.h"
#include "daemon/broker.h"
#include "daemon/peer.h"
#include "daemon/process.h"
#include "daemon/session.h"
#include "daemon/unmanaged.h"

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

static bool petition_check_names(struct petition *petition)
{
	for (size_t i = 0; i < petition->open->n_devices; i++) {
		char *name = petition->devices[i].name;

		if (device_name(petition->open->devices[i], name))
			return petition_refuse(petition, REFUSAL_BAD_REQUEST,
					       "\"%s\" is neither a PCI address (0000:65:00.0) nor "
					       "an mdev UUID",
					       petition->open->devices[i]);
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
	for (size_t i = 0; i < petition->open->n_devices; i++) {
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

static unsigned int petition_given(const struct petition *petition)
{
	return petition->subject ? petition->subject->flags : 0;
}

/* The process that is named, or the requester. */
static bool petition_find_owner(const struct peer *peer, struct petition *petition)
{
	int err;

	if (!(petition_given(petition) & PROTO_SUBJECT_PROCESS)) {
		petition->owner = process_of_peer(peer);
		return true;
	}
	err = process_open(&petition->subject->process, &petition->process);
	if (err)
		return petition_refuse(petition, REFUSAL_BAD_REQUEST,
				       "process %u cannot be the owner: %s",
				       petition->subject->process.pid, process_strerror(err));
	petition->owner = petition->process;
	if (!(petition_given(petition) & PROTO_SUBJECT_UID) ||
	    petition->subject->uid == petition->owner.uid)
		return true;
	return petition_refuse(petition, REFUSAL_BAD_REQUEST,
			       "process %d runs as uid %u, and not as uid %u, which is given too",
			       (int)petition->owner.pid, petition->owner.uid,
			       petition->subject->uid);
}

/* Only if a policy asks: it is a read of /proc on the way of every grant. */
static bool petition_read_cgroup(const struct broker *broker, struct petition *petition)
{
	const struct process *owner = &petition->owner;
	int err;

	petition->cgroup[0] = '\0';
	if (petition_given(petition) & PROTO_SUBJECT_CGROUP) {
		memcpy(petition->cgroup, petition->subject->cgroup, sizeof(petition->cgroup));
		return true;
	}
	/* Of a uid without a process no cgroup is known. */
	if (!broker->ask_cgroup || (petition_given(petition) & PROTO_SUBJECT_UID &&
				    !(petition_given(petition) & PROTO_SUBJECT_PROCESS)))
		return true;
	err = process_cgroup(owner, petition->cgroup);
	if (err == -ENODATA)
		petition->cgroup[0] = '\0';
	else if (err)
		return petition_refuse(petition, REFUSAL_BAD_REQUEST,
				       "the cgroup of process %d cannot be read: %s",
				       (int)owner->pid, strerror(-err));
	return true;
}

/*
 * A manager may have the capability itself, and for its subject nobody is there yet to be asked.
 * Whether the pid was the owner's is not asked here: a grant looks for that after it has set the
 * limit, and who has exited reads no explanation.
 */
static bool petition_check_capable(struct petition *petition, bool *ret_capable)
{
	bool for_another = petition->who.uid != petition->owner.uid;
	int err = procfs_capable(petition->owner.pid, ret_capable);

	if (err)
		return petition_refuse(petition, REFUSAL_BAD_REQUEST,
				       "the capabilities of process %d cannot be read: %s",
				       (int)petition->owner.pid, strerror(-err));
	petition->exempt = for_another && *ret_capable;
	if (for_another)
		*ret_capable = petition->who.uid == 0;
	return true;
}

/* Strings and groups stay where they are. */
static void petition_set_who(struct petition *petition)
{
	const struct proto_subject *subject = petition->subject;

	static_assert(sizeof(gid_t) == sizeof(subject->gids[0]), "gids are taken as such");
	petition->who = (struct policy_subject){
		.uid = petition->owner.uid,
		.gids = petition->owner.gids,
		.n_gids = petition->owner.n_gids,
		.cgroup = petition->cgroup[0] ? petition->cgroup : NULL,
	};
	if (petition_given(petition) & PROTO_SUBJECT_UID) {
		petition->who.uid = subject->uid;
		if (subject->n_gids || !(subject->flags & PROTO_SUBJECT_PROCESS)) {
			petition->who.gids = subject->gids;
			petition->who.n_gids = subject->n_gids;
		}
	}
	if (petition_given(petition) & PROTO_SUBJECT_DOMAIN)
		petition->who.domain = subject->domain;
}

/* Before anything is said of a process or a policy. */
static bool petition_may_name(const struct peer *peer, struct petition *petition)
{
	return !petition_given(petition) || access_may_name(peer) ||
	       petition_refuse(petition, REFUSAL_NOT_PERMITTED,
			       "uid %u may not ask for another subject than itself: it is no admin "
			       "of a policy",
			       peer->cred.uid);
}

/*
 * Another subject than oneself is for root and for the admins of the policy that matches it. Whom
 * an admin who is not root names must be somebody the policy is for, whatever else is said.
 */
static bool petition_check_subject(const struct peer *peer, struct petition *petition)
{
	const struct policy *policy = petition->policy;
	bool allowed;

	if (!petition_given(petition) || peer->cred.uid == 0)
		return true;
	allowed = policy && policy_admin(policy, peer->cred.uid);
	if (allowed && petition_given(petition) & PROTO_SUBJECT_PROCESS)
		allowed = access_may_own(peer, policy, &petition->owner);
	else if (allowed && petition->who.uid != peer->cred.uid)
		allowed = petition->who.uid != 0 && policy_lists_user(policy, petition->who.uid);
	return allowed ||
	       petition_refuse(petition, REFUSAL_NOT_PERMITTED,
			       "uid %u may not ask for that subject: it is no admin of the policy "
			       "that matches it, or that policy does not list its user",
			       peer->cred.uid);
}

/* The broker's sums, as admission asks for them (admission_sums_fn). */
static void petition_sums(uid_t uid, const struct policy *policy, struct admission_sums *ret_sums,
			  void *arg)
{
	const struct broker *broker = arg;

	*ret_sums = (struct admission_sums){
		.user = ledger_user_sum(broker->ledger, uid),
		.host = ledger_host_sum(broker->ledger),
		.others = unmanaged_pinned(broker),
		.n_sessions = ledger_n_sessions(broker->ledger, uid, policy->name),
		.mem_total = broker->mem_total,
		.gate_exact = gate_level(broker->gate) == GATE_LEVEL_EXACT,
	};
}

static void petition_claims(const struct peer *peer, const struct petition *petition,
			    struct admission_device *ret_devices)
{
	for (size_t i = 0; i < petition->open->n_devices; i++)
		access_claim(peer, &petition->devices[i], &ret_devices[i]);
	/* A file for each: only where it matters. */
	if (!admission_wants_p2p(petition->policy, petition->open->n_devices))
		return;
	for (size_t i = 0; i < petition->open->n_devices; i++)
		ret_devices[i].p2p = access_p2p(peer->broker, &petition->devices[i]);
}

/* Who is asking for whom, before anything is looked at that only a policy can allow. */
static bool petition_identify(const struct peer *peer, struct petition *petition, bool *ret_capable)
{
	if (!petition_may_name(peer, petition) || !petition_find_owner(peer, petition) ||
	    !petition_read_cgroup(peer->broker, petition))
		return false;
	petition_set_who(petition);
	petition->policy = policy_match(peer->broker->policies, &petition->who);
	petition->identified = true;
	return petition_check_subject(peer, petition) &&
	       petition_check_capable(petition, ret_capable);
}

void petition_weigh(const struct peer *peer, enum petition_kind kind, const struct proto_open *open,
		    const struct proto_subject *subject, struct petition *petition)
{
	struct broker *broker = peer->broker;
	struct admission_device devices[PROTO_DEVICES_MAX];
	struct admission_request request = {
		.devices = devices,
		.memory = open->memory,
		.viommu = open->flags & PROTO_OPEN_VIOMMU,
		.accounting = (enum policy_accounting)open->accounting,
		.unbound = kind == PETITION_RESERVE,
	};

	petition->open = open;
	petition->subject = subject && subject->flags ? subject : NULL;
	petition->process = (struct process)PROCESS_INIT;
	petition->identified = petition->exempt = false;
	petition->admission = (struct admission){.refusal = REFUSAL_NONE};
	if (!petition_check_names(petition) || !petition_identify(peer, petition, &request.capable))
		return;
	request.subject = petition->who;
	request.policy = petition->policy;
	/* Whom no policy matches is refused without a look at any device. */
	if (request.policy) {
		if (!petition_probe(broker, petition))
			return;
		petition_claims(peer, petition, devices);
		request.n_devices = open->n_devices;
	}
	admission_decide(broker->policies, &request, petition_sums, broker, &petition->admission);
}

void petition_fini(struct petition *petition)
{
	process_fini(&petition->process);
}
