/* SPDX-License-Identifier: MIT */
#include "daemon/peer.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "accounting/admission.h"
#include "accounting/policy.h"
#include "common/cleanup.h"
#include "common/fdmsg.h"
#include "common/log.h"
#include "daemon/broker.h"
#include "daemon/budget.h"
#include "daemon/loop.h"
#include "daemon/request.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5; Debian 12's headers are older */
#endif

/* The account of all uids that no policy knows; (uid_t)-1 is nobody's. */
#define PEER_STRANGERS ((uid_t)-1)
#define PEER_STRANGERS_MAX 16

void peer_free(struct peer *peer)
{
	struct broker *broker;

	if (!peer)
		return;
	broker = peer->broker;
	loop_cancel(broker->loop, &peer->watch);
	if (peer->budget)
		budget_disconnect(broker->budget, peer->budget, broker_now_ms());
	if (peer->prev || broker->peers == peer) {
		*(peer->prev ? &peer->prev->next : &broker->peers) = peer->next;
		if (peer->next)
			peer->next->prev = peer->prev;
	}
	fd_closep(&peer->pidfd);
	fd_closep(&peer->fd);
	free(peer->gids);
	free(peer);
}

static void peer_freep(struct peer **peer)
{
	peer_free(*peer);
}

/* The primary group and the supplementary ones, as of connect(2). */
static int peer_read_gids(struct peer *peer)
{
	socklen_t size = 0;

	/* Without room it says how much it needs; with no group at all it succeeds. */
	if (getsockopt(peer->fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) < 0 && errno != ERANGE)
		return -errno;
	peer->gids = malloc(sizeof(gid_t) + size);
	if (!peer->gids)
		return -ENOMEM;
	peer->gids[0] = peer->cred.gid;
	/* The set was fixed when the peer connected: it cannot have grown. */
	if (size && getsockopt(peer->fd, SOL_SOCKET, SO_PEERGROUPS, peer->gids + 1, &size) < 0)
		return -errno;
	peer->n_gids = 1 + size / sizeof(gid_t);
	return 0;
}

static int peer_identify(struct peer *peer)
{
	socklen_t size = sizeof(peer->cred);

	if (getsockopt(peer->fd, SOL_SOCKET, SO_PEERCRED, &peer->cred, &size) < 0)
		return -errno;
	/* Close-on-exec by the kernel. -EINVAL on 6.12 when the peer was reaped already. */
	size = sizeof(peer->pidfd);
	if (getsockopt(peer->fd, SOL_SOCKET, SO_PEERPIDFD, &peer->pidfd, &size) < 0)
		return -errno;
	return peer_read_gids(peer);
}

int peer_send(const struct peer *peer, const struct peer_answer *answer)
{
	struct iovec iov[3];
	size_t body_len = 0;

	assert(answer->n_parts <= ARRAY_SIZE(answer->parts));
	for (size_t i = 0; i < answer->n_parts; i++) {
		iov[i + 1] = answer->parts[i];
		body_len += answer->parts[i].iov_len;
	}

	struct proto_header header =
		proto_header(answer->kind, answer->request->op, answer->request->serial, body_len);

	iov[0] = (struct iovec){.iov_base = &header, .iov_len = sizeof(header)};
	return fdmsg_send(peer->broker->sys, peer->fd, iov, answer->n_parts + 1, answer->fds,
			  answer->n_fds);
}

/* One packet; the loop calls again while there are more, after the other peers had their turn. */
static int peer_serve(struct peer *peer)
{
	struct broker *broker = peer->broker;
	struct fdmsg msg = FDMSG_INIT;
	size_t len = 0;
	int err = fdmsg_recv(peer->fd, broker->packet.bytes, sizeof(broker->packet.bytes), 0,
			     MSG_DONTWAIT, &len, &msg);

	if (err == -EAGAIN)
		return 0;
	if (err)
		return err;
	assert(msg.n_fds == 0); /* no operation takes any: more than max_fds were refused */
	if (len == 0)
		return -ECONNRESET;
	return request_serve(peer, broker->packet.bytes, len, msg.has_cred ? &msg.cred : NULL);
}

static void peer_ready(uint32_t events, void *arg)
{
	struct peer *peer = arg;
	int err = events & POLLIN ? peer_serve(peer) : -ECONNRESET;

	if (!err)
		return;
	if (err != -ECONNRESET && err != -EPIPE)
		log_notice("dropped the connection of process %d of uid %u: %s",
			   (int)peer->cred.pid, peer->cred.uid, strerror(-err));
	peer_free(peer);
}

/* Tells a connection too many why it is closed; whether it reads that is its own business. */
static void peer_refuse(struct peer *peer, unsigned int max, const char *who)
{
	const struct proto_header none = {.op = PROTO_OPEN};

	(void)request_refuse(peer, &none, REFUSAL_RATE_LIMIT,
			     "%u connections are open, which is all that %s may have", max, who);
}

/* Those whom no policy knows share one small budget, however many uids they are. */
static int peer_count(struct peer *peer)
{
	const struct policy_subject subject = {
		.uid = peer->cred.uid, .gids = peer->gids, .n_gids = peer->n_gids};
	struct broker *broker = peer->broker;
	bool known = peer->cred.uid == 0 || policy_knows(broker->policies, &subject);
	unsigned int max = broker->policies->max_connections;
	int err;

	if (!known && max > PEER_STRANGERS_MAX)
		max = PEER_STRANGERS_MAX;
	err = budget_connect(broker->budget, known ? peer->cred.uid : PEER_STRANGERS, max,
			     broker_now_ms(), &peer->budget);
	if (err == -EDQUOT)
		peer_refuse(peer, max,
			    known ? "one uid (max-connections)" : "all that no policy knows");
	return err;
}

int peer_new(struct broker *broker, int fd)
{
	CLEANUP(peer_freep) struct peer *peer = NULL;
	struct peer *new = calloc(1, sizeof(*new));
	int err;

	if (!new) {
		fd_closep(&fd);
		return -ENOMEM;
	}
	peer = new;
	*peer = (struct peer){.broker = broker, .fd = fd, .pidfd = -1};
	err = peer_identify(peer);
	if (err)
		return err;
	err = peer_count(peer);
	if (err)
		return err;
	err = loop_watch(broker->loop, peer->fd, POLLIN, peer_ready, peer, &peer->watch);
	if (err)
		return err;
	peer->next = broker->peers;
	if (peer->next)
		peer->next->prev = peer;
	broker->peers = peer;
	(void)STEAL(peer); /* its hang-up frees it */
	return 0;
}
