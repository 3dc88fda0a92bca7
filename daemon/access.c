/* SPDX-License-Identifier: MIT */
#include "daemon/access.h"

#include "accounting/policy.h"
#include "daemon/broker.h"
#include "daemon/peer.h"
#include "daemon/session.h"

enum access access_of(const struct peer *peer, const struct session *session)
{
	const struct policy *policy;

	if (peer->cred.uid == 0)
		return ACCESS_ADMIN;
	policy = policy_find(peer->broker->policies, session->policy);
	if (policy && policy_admin(policy, peer->cred.uid))
		return ACCESS_ADMIN;
	return peer->cred.uid == session->uid ? ACCESS_USER : ACCESS_NONE;
}
