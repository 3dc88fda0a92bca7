/* SPDX-License-Identifier: MIT */
/*
 * What a peer may do: with a session, and in the name of whom. Root may do everything. An admin's
 * word is believed about what cannot be looked at (a guest that does not run yet); a process that
 * is there is looked at, and must be one that the admin's policy covers.
 */
#ifndef DAEMON_ACCESS_H
#define DAEMON_ACCESS_H

#include <stdbool.h>

#include "accounting/admission.h"
#include "accounting/policy.h"
#include "common/device.h"
#include "common/proto.h"
#include "daemon/procfs.h"

struct broker;
struct peer;
struct process;
struct session;

enum access {
	ACCESS_NONE, /* it does not even learn that there is one */
	ACCESS_USER, /* the session is of its uid: see it, and give things up */
	ACCESS_ADMIN, /* root, or an admin of the session's policy as it is now */
};

enum access access_of(const struct peer *peer, const struct session *session);

/* Who has a device, or a member of its IOMMU group, as far as the peer may know. */
void access_claim(const struct peer *peer, const struct device *device,
		  struct admission_device *ret_device);

/* Whether a device has RUNNING_P2P, as far as root has asked it (pinbroker device). */
enum admission_p2p access_p2p(const struct broker *broker, const struct device *device);

/* The devices that a session has already. */
struct access_others {
	struct device device[PROTO_DEVICES_MAX];
	struct admission_device entry[PROTO_DEVICES_MAX];
};

/**
 * access_together() - which devices can be kept apart, where the policy in @change asks
 * @device: one more for the session; its p2p is filled in
 * @others: for those that it has; must outlive @change, to which they are added
 */
void access_together(const struct broker *broker, const struct session *session,
		     struct admission_device *device, struct access_others *others,
		     struct admission_change *change);

/* Whether the peer is root, or an admin of any policy: others name nobody but themselves. */
bool access_may_name(const struct peer *peer);

/* A process as policies match it. @cgroup: a buffer, read only if some policy asks for it. */
struct policy_subject access_subject(const struct broker *broker, const struct process *process,
				     char cgroup[static PROCFS_CGROUP_MAX]);

/*
 * Whether the peer, an admin of the policy or root, may make a process the owner of a session under
 * it: by what the process is, not by what is said of it, and never one of root's.
 */
bool access_may_own(const struct peer *peer, const struct policy *policy,
		    const struct process *process);

/*
 * Whether a peer with ACCESS_USER may have more devices for a session: as its owner, or as one whom
 * the session's policy matches. A uid may be that of many guests, under several policies.
 */
bool access_may_attach(const struct peer *peer, const struct session *session);

/*
 * Whether a peer with ACCESS_ADMIN may kill the session's owner: root all, others a process that
 * still has no other user's ids and no CAP_IPC_LOCK. Managers and set-id programs are not theirs.
 */
bool access_may_kill(const struct peer *peer, const struct session *session);

#endif
