/* SPDX-License-Identifier: MIT */
/* What a peer may do with a session. */
#ifndef DAEMON_ACCESS_H
#define DAEMON_ACCESS_H

struct peer;
struct session;

enum access {
	ACCESS_NONE, /* it does not even learn that there is one */
	ACCESS_USER, /* the session is of its uid: see it, give things up, take devices */
	ACCESS_ADMIN, /* root, or an admin of the session's policy as it is now */
};

enum access access_of(const struct peer *peer, const struct session *session);

#endif
