/* SPDX-License-Identifier: MIT */
/*
 * A petition: a request for a session with every fact that the decision needs. The only place that
 * gathers these facts; open and explain both decide by it.
 */
#ifndef DAEMON_PETITION_H
#define DAEMON_PETITION_H

#include <stdbool.h>

#include "accounting/admission.h"
#include "accounting/policy.h"
#include "common/device.h"
#include "common/proto.h"
#include "daemon/process.h"
#include "daemon/procfs.h"

struct peer;

/* Large: the broker keeps one, for the request in hand. Nothing in it is valid without a flag. */
struct petition {
	const struct proto_open *open; /* borrowed, as the next */
	const struct proto_subject *subject; /* NULL: the requester itself */
	struct process process; /* that the subject names; owned */
	struct process owner; /* borrowed: that process, or the requester */
	struct policy_subject who; /* the policy is matched on; borrowed from all of these */
	const struct policy *policy; /* that one, of the broker's snapshot; NULL: none matches */
	bool identified; /* who is known */
	bool exempt; /* the owner has CAP_IPC_LOCK and holds the session for another */
	struct device devices[PROTO_DEVICES_MAX];
	char cgroup[PROCFS_CGROUP_MAX]; /* of the subject; "": not asked for, or not known */
	struct admission admission; /* the answer */
};

enum petition_kind {
	PETITION_OPEN, /* the broker opens what is asked for */
	PETITION_RESERVE, /* somebody else will */
};

/**
 * petition_weigh() - gather the facts and decide
 * @open, @subject: well-formed, borrowed until petition_fini()
 * @petition: the answer; not initialised
 *
 * petition->admission.policy is borrowed from the broker's snapshot: a reload ends it.
 */
void petition_weigh(const struct peer *peer, enum petition_kind kind, const struct proto_open *open,
		    const struct proto_subject *subject, struct petition *petition);

void petition_fini(struct petition *petition);

#endif
