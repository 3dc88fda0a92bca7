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
#include "daemon/closer.h"
#include "daemon/loop.h"
#include "daemon/procfs.h"
#include "daemon/request.h"
#include "daemon/trace.h"
#include "iommufd/uapi.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

/* The account of all uids that no policy knows; (uid_t)-1 is nobody's. */
#define PEER_STRANGERS ((uid_t)-1)
#define PEER_STRANGERS_MAX 16

static void peer_closed(void *arg)
{
	struct peer_account *account = arg;

	if (account->user)
		budget_disconnect(account->broker->budget, account->user, broker_now_ms());
	account->broker->n_connections--;
	free(account);
}

void peer_free(struct peer *peer)
{
	struct broker *broker;

	if (!peer)
		return;
	broker = peer->broker;
	loop_cancel(broker->loop, &peer->watch);
	loop_cancel(broker->loop, &peer->pause);
	lobby_leave(peer);
	trace_leave(peer);
	if (peer->prev || broker->peers == peer) {
		*(peer->prev ? &peer->prev->next : &broker->peers) = peer->next;
		if (peer->next)
			peer->next->prev = peer->prev;
	}
	fd_closep(&peer->passed_fd);
	fd_closep(&peer->pidfd);
	closer_close(broker->closer, STEAL_FD(peer->fd), peer_closed, peer->account);
	free(peer->gids);
	free(peer);
}

static void peer_freep(struct peer **peer)
{
	peer_free(*peer);
}

/*
 * The primary group and the supplementary ones, as of connect(2), whenever that was: a reload may
 * bring the first policy that asks for groups.
 */
static int peer_read_gids(struct peer *peer)
{
	socklen_t size = 0;

	if (peer->gids || !peer->broker->ask_groups)
		return 0;
	/* Without room it says how much it needs; with no group at all it succeeds. */
	if (getsockopt(peer->fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) < 0 && errno != ERANGE)
		return -errno;

	CLEANUP(freep) gid_t *gids = malloc(sizeof(gid_t) + size);

	if (!gids)
		return -ENOMEM;
	gids[0] = peer->cred.gid;
	/* The set was fixed when the peer connected: it cannot have grown. */
	if (size && getsockopt(peer->fd, SOL_SOCKET, SO_PEERGROUPS, gids + 1, &size) < 0)
		return -errno;
	peer->n_gids = 1 + size / sizeof(gid_t);
	peer->gids = STEAL(gids);
	return 0;
}

/* Tells a connection too many why it is closed; whether it reads that is its own business. */
static int peer_refuse(const struct peer *peer, unsigned int max, const char *what)
{
	const struct proto_header none = {.op = PROTO_OPEN};

	(void)request_refuse(peer, &none, REFUSAL_RATE_LIMIT, "%u %s", max, what);
	return -EDQUOT;
}

static int peer_refuse_rate(const struct peer *peer)
{
	return peer_refuse(peer, peer->broker->policies->max_requests,
			   "connections in a second are all that one uid may make (max-requests)");
}

/* Who comes too often is turned away by its uid alone: a storm of those must be cheap. */
static int peer_knock(struct peer *peer)
{
	const struct broker *broker = peer->broker;
	unsigned int rate = broker->policies->max_requests;
	socklen_t size = sizeof(peer->cred);
	enum budget_door door;
	int err;

	if (getsockopt(peer->fd, SOL_SOCKET, SO_PEERCRED, &peer->cred, &size) < 0)
		return -errno;
	err = budget_knock(broker->budget, peer->cred.uid, rate, broker_now_ms(), &door);
	if (err || door == BUDGET_OPEN)
		return err;
	return door == BUDGET_TELL ? peer_refuse_rate(peer) : -EDQUOT;
}

/* Root may pass a socket (PROTO_PASS). Before, nobody could: who tries to at once is told so. */
static void peer_unseal(struct peer *peer)
{
	const int yes = 1;

	if (peer->cred.uid != 0)
		return;
	peer->passes = true;
	peer->sealed = false;
	/* Kernels before 6.16 do not know it, and let it pass in any case. */
	(void)setsockopt(peer->fd, SOL_SOCKET, UAPI_SO_PASSRIGHTS, &yes, sizeof(yes));
}

static int peer_identify(struct peer *peer)
{
	socklen_t size = sizeof(peer->pidfd);

	peer_unseal(peer);
	/* Close-on-exec by the kernel. -EINVAL on 6.12 when the peer was reaped already. */
	if (getsockopt(peer->fd, SOL_SOCKET, UAPI_SO_PEERPIDFD, &peer->pidfd, &size) < 0)
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

/* From root one descriptor may come along, and whatever it is root has the means to be a nuisance.
 */
static int peer_recv(const struct peer *peer, size_t *ret_len, struct fdmsg *ret_msg)
{
	struct broker *broker = peer->broker;

	return peer->passes
		       ? fdmsg_recv(peer->fd, broker->packet.bytes, sizeof(broker->packet.bytes), 1,
				    MSG_DONTWAIT, ret_len, ret_msg)
		       : fdmsg_recv_plain(peer->fd, peer->sealed, broker->packet.bytes,
					  sizeof(broker->packet.bytes), ret_len, ret_msg);
}

/* One packet; the loop calls again while there are more, after the other peers had their turn. */
static int peer_serve(struct peer *peer)
{
	struct broker *broker = peer->broker;
	struct fdmsg msg;
	size_t len;
	int err = peer_recv(peer, &len, &msg);

	if (err == -EAGAIN)
		return 0;
	if (err)
		return err;
	peer->passed_fd = msg.n_fds ? STEAL_FD(msg.fds[0]) : -1;
	if (len == 0)
		return -ECONNRESET;
	err = peer_read_gids(peer);
	if (!err)
		err = request_serve(peer, broker->packet.bytes, len,
				    msg.has_cred ? &msg.cred : NULL);
	fd_closep(&peer->passed_fd); /* of root's, who was refused */
	if (!err)
		lobby_leave(peer);
	return err;
}

/* Who is dropped is not the one to write the log. */
void peer_drop(struct peer *peer, int err)
{
	unsigned int n = bucket_take(&peer->broker->drop_lines, 1, 1, broker_now_ms());

	if (n)
		log_notice("dropped %u connections, the last of process %d of uid %u: %s", n,
			   (int)peer->cred.pid, peer->cred.uid, strerror(-err));
	peer_free(peer);
}

static void peer_ready(uint32_t events, void *arg);

static void peer_resume(void *arg)
{
	struct peer *peer = arg;
	int err = loop_watch(peer->broker->loop, peer->fd, POLLIN, peer_ready, peer, &peer->watch);

	peer->pause = LOOP_NONE;
	if (err)
		peer_drop(peer, err);
}

/*
 * Whose uid asks too often is not read from for a while: what it sends waits in the kernel, at its
 * own expense. Also its hang-up waits that long.
 */
static int peer_pause(struct peer *peer)
{
	struct broker *broker = peer->broker;
	uint32_t ms =
		budget_pause(peer->account->user, broker->policies->max_requests, broker_now_ms());
	int err;

	if (!ms)
		return 0;
	err = loop_after(broker->loop, ms, peer_resume, peer, &peer->pause);
	if (!err)
		loop_cancel(broker->loop, &peer->watch);
	return err;
}

static void peer_ready(uint32_t events, void *arg)
{
	struct peer *peer = arg;
	int err = events & POLLIN ? peer_serve(peer) : -ECONNRESET;

	if (!err)
		err = peer_pause(peer);
	if (err == -ECONNRESET || err == -EPIPE)
		peer_free(peer);
	else if (err)
		peer_drop(peer, err);
}

/* Whether a policy has to do with the peer. Its cgroup is looked up only if that can decide it. */
static bool peer_is_known(const struct peer *peer)
{
	const struct broker *broker = peer->broker;
	struct policy_subject subject = {
		.uid = peer->cred.uid, .gids = peer->gids, .n_gids = peer->n_gids};
	char cgroup[PROCFS_CGROUP_MAX];

	if (peer->cred.uid == 0 || policy_knows(broker->policies, &subject))
		return true;
	if (!broker->ask_cgroup || procfs_cgroup(peer->cred.pid, cgroup) ||
	    procfs_exited(peer->pidfd))
		return false;
	subject.cgroup = cgroup;
	return policy_knows(broker->policies, &subject);
}

/*
 * Those whom no policy knows share one small account, however many uids they are; and all but root
 * leave descriptors for those who are served.
 */
static int peer_count(struct peer *peer)
{
	struct broker *broker = peer->broker;
	const struct policy_set *set = broker->policies;
	bool known = peer_is_known(peer);
	unsigned int max = set->max_connections;
	int err;

	if (broker->n_connections > broker->max_connections && peer->cred.uid != 0)
		return peer_refuse(peer, broker->max_connections,
				   "connections are open, which is all that the broker takes");
	if (!known && max > PEER_STRANGERS_MAX)
		max = PEER_STRANGERS_MAX;
	/* A known uid's rate has been looked at by peer_knock(). */
	err = budget_connect(broker->budget, known ? peer->cred.uid : PEER_STRANGERS, max,
			     known ? 0 : set->max_requests, broker_now_ms(), &peer->account->user);
	if (err == -EDQUOT)
		return peer_refuse(
			peer, max,
			known ? "connections are open, which is all that one uid may have "
				"(max-connections)"
			      : "connections are open, which is all that uids without a policy may "
				"have together");
	if (err == -EAGAIN)
		return peer_refuse_rate(peer);
	return err;
}

/* A peer and the account that may outlive it. */
static struct peer *peer_alloc(struct broker *broker)
{
	CLEANUP(freep) struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->account = calloc(1, sizeof(*peer->account));
	if (!peer->account)
		return NULL;
	peer->account->broker = peer->broker = broker;
	peer->fd = peer->pidfd = peer->passed_fd = -1;
	return STEAL(peer);
}

int peer_new(struct broker *broker, int fd, bool sealed)
{
	CLEANUP(peer_freep) struct peer *peer = peer_alloc(broker);
	int err;

	if (!peer) {
		closer_close(broker->closer, fd, NULL, NULL);
		return -ENOMEM;
	}
	broker->n_connections++;
	peer->fd = fd;
	peer->sealed = sealed;
	err = peer_knock(peer);
	if (!err)
		err = peer_identify(peer);
	if (!err)
		err = peer_count(peer);
	if (!err)
		err = loop_watch(broker->loop, peer->fd, POLLIN, peer_ready, peer, &peer->watch);
	if (!err)
		err = lobby_enter(peer);
	if (err)
		return err;
	peer->number = ++broker->n_peers_ever;
	peer->next = broker->peers;
	if (peer->next)
		peer->next->prev = peer;
	broker->peers = peer;
	(void)STEAL(peer); /* its hang-up frees it */
	return 0;
}
