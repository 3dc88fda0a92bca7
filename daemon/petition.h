/* SPDX-License-Identifier: MIT */
/*
 * A petition: a request for a session with every fact that the decision needs. The only place that
 * gathers these facts; open and explain both decide by it.
 */
#ifndef DAEMON_PETITION_H
#define DAEMON_PETITION_H

#include "accounting/admission.h"
#include "common/device.h"
#include "common/proto.h"
#include "daemon/procfs.h"

struct peer;

struct petition {
	struct proto_open open; /* copied out of the packet */
	struct proto_subject subject; /* likewise; flags 0: the requester itself */
	struct device devices[PROTO_DEVICES_MAX];
	char cgroup[PROCFS_CGROUP_MAX]; /* of the subject; "": not asked for, or not known */
	struct admission admission; /* the answer */
};

/**
 * petition_weigh() - gather the facts and decide
 * @petition: open and subject are filled in, the rest is the answer
 *
 * petition->admission.policy is borrowed from the broker's snapshot: a reload ends it.
 */
void petition_weigh(const struct peer *peer, struct petition *petition);

#endif
