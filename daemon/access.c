/* SPDX-License-Identifier: MIT */
#include "daemon/access.h"

#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "accounting/admission.h"
#include "accounting/policy.h"
#include "common/cleanup.h"
#include "common/features.h"
#include "daemon/broker.h"
#include "daemon/owner.h"
#include "daemon/peer.h"
#include "daemon/process.h"
#include "daemon/procfs.h"
#include "daemon/session.h"

static const struct policy *access_policy(const struct peer *peer, const struct session *session)
{
	return policy_find(peer->broker->policies, session->policy);
}

enum access access_of(const struct peer *peer, const struct session *session)
{
	const struct policy *policy;

	if (peer->cred.uid == 0)
		return ACCESS_ADMIN;
	policy = access_policy(peer, session);
	if (policy && policy_admin(policy, peer->cred.uid))
		return ACCESS_ADMIN;
	return peer->cred.uid == session->uid ? ACCESS_USER : ACCESS_NONE;
}

void access_claim(const struct peer *peer, const struct device *device,
		  struct admission_device *ret_device)
{
	const struct session_claim *claim = session_claim_find(peer->broker->sessions, device);

	*ret_device = (struct admission_device){.device = device};
	if (!claim)
		return;
	ret_device->busy_id = claim->session->id;
	ret_device->busy_hidden = access_of(peer, claim->session) == ACCESS_NONE;
	if (strcmp(claim->name, device->name) != 0)
		ret_device->busy_peer = claim->name;
}

enum admission_p2p access_p2p(const struct broker *broker, const struct device *device)
{
	struct features features;

	if (!broker->features ||
	    features_load(broker->features, broker->sysfs_fd, device, &features))
		return ADMISSION_P2P_UNKNOWN;
	return features.migration & FEATURES_P2P ? ADMISSION_P2P_YES : ADMISSION_P2P_NO;
}

void access_together(const struct broker *broker, const struct session *session,
		     struct admission_device *device, struct access_others *others,
		     struct admission_change *change)
{
	if (!change->policy || !admission_wants_p2p(change->policy, session->n_devices + 1))
		return;
	device->p2p = access_p2p(broker, device->device);
	for (const struct session_claim *c = session->claims; c; c = c->next_claim) {
		size_t n = change->n_others++;

		others->entry[n] = (struct admission_device){.device = &others->device[n]};
		if (device_probe(broker->sysfs_fd, c->name, &others->device[n]) == 0)
			others->entry[n].p2p = access_p2p(broker, &others->device[n]);
		else
			proto_text_set(others->device[n].name, DEVICE_NAME_MAX, c->name);
	}
	change->others = others->entry;
}

bool access_may_name(const struct peer *peer)
{
	const struct policy_set *set = peer->broker->policies;

	if (peer->cred.uid == 0)
		return true;
	for (size_t i = 0; i < set->n_policies; i++)
		if (policy_admin(&set->policies[i], peer->cred.uid))
			return true;
	return false;
}

struct policy_subject access_subject(const struct broker *broker, const struct process *process,
				     char cgroup[static PROCFS_CGROUP_MAX])
{
	struct policy_subject subject = {
		.uid = process->uid, .gids = process->gids, .n_gids = process->n_gids};

	if (broker->ask_cgroup && process_cgroup(process, cgroup) == 0)
		subject.cgroup = cgroup;
	return subject;
}

bool access_may_own(const struct peer *peer, const struct policy *policy,
		    const struct process *process)
{
	char cgroup[PROCFS_CGROUP_MAX] UNINITIALIZED;
	struct policy_subject subject;

	if (peer->cred.uid == 0)
		return true;
	subject = access_subject(peer->broker, process, cgroup);
	return process->uid != 0 && policy && policy_is_for(policy, &subject);
}

bool access_may_attach(const struct peer *peer, const struct session *session)
{
	const struct process process = process_of_peer(peer);
	char cgroup[PROCFS_CGROUP_MAX] UNINITIALIZED;
	struct policy_subject subject;
	const struct policy *policy;
	struct stat st;

	if (fstat(peer->pidfd, &st) == 0 && session->owner && session->owner->inode == st.st_ino)
		return true;
	subject = access_subject(peer->broker, &process, cgroup);
	policy = policy_match(peer->broker->policies, &subject);
	return policy && policy == access_policy(peer, session);
}

bool access_may_kill(const struct peer *peer, const struct session *session)
{
	const struct owner *owner = session->owner;
	struct procfs_ids ids;
	bool capable, same;

	if (peer->cred.uid == 0)
		return true;
	if (!owner || session->uid == 0)
		return session->uid != 0; /* of an orphan only its user's are killed */
	if (procfs_ids(owner->pid, &ids))
		return false;
	free(ids.gids);
	same = ids.uid == session->uid && ids.effective_uid == ids.uid && ids.saved_uid == ids.uid;
	return same && procfs_capable(owner->pid, &capable) == 0 && !capable &&
	       !procfs_exited(owner->pidfd);
}
