/* SPDX-License-Identifier: MIT */
/* Who has come: whether it is the one, what it gets, and its word that it has it. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/fdmsg.h"
#include "common/log.h"
#include "daemon/broker.h"
#include "daemon/closer.h"
#include "daemon/handoff_private.h"
#include "daemon/loop.h"
#include "daemon/memlock.h"
#include "daemon/mirror.h"
#include "daemon/owner.h"
#include "daemon/process.h"
#include "daemon/procfs.h"
#include "daemon/session.h"
#include "daemon/trace.h"
#include "daemon/warden.h"
#include "iommufd/iommu.h"
#include "iommufd/uapi.h"

#define HANDOFF_ACK_MS 10000 /* for the receiver's byte */

/* --- the receiver, when it has the context */

/* 0: it has exited, and others have what it got. */
static pid_t handoff_receiver(const struct handoff *handoff)
{
	const struct owner *owner = handoff->session->owner;

	return owner ? owner->pid : 0;
}

static void handoff_give_up(struct handoff *handoff, const char *why)
{
	struct session *session = handoff->session;
	struct broker *broker = handoff->broker;

	handoff_tell(handoff, "unacknowledged", handoff_receiver(handoff), why);
	if (session->state == SESSION_ACTIVE) {
		warden_revoke(broker, session);
		session_enter(broker->sessions, session, SESSION_REVOKED);
		owner_give_up(session, false);
		mirror_changed(broker->mirror, session);
	}
	handoff_finish(handoff, "is revoked: who came for it did not say that it has it");
}

static void handoff_silent(void *arg)
{
	struct handoff *handoff = arg;

	handoff->timer = LOOP_NONE;
	handoff_give_up(handoff, "the receiver sent no byte in time");
}

/* Its byte is taken, so that it reads an end and no error; descriptors with it are not. */
static void handoff_acknowledged(uint32_t events, void *arg)
{
	struct handoff *handoff = arg;
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = sizeof(byte)};
	struct msghdr hdr = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n = recvmsg(handoff->conn_fd, &hdr, MSG_PEEK | MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		handoff_give_up(handoff, "the receiver hung up before it sent its byte");
		return;
	}
	if (!(hdr.msg_flags & MSG_CTRUNC))
		(void)recv(handoff->conn_fd, &byte, sizeof(byte), MSG_DONTWAIT);
	handoff_tell(handoff, "picked-up", handoff_receiver(handoff), "it said that it has it");
	handoff_finish(handoff, NULL);
}

/* Return: 0; -ENOMEM. */
static int handoff_await(struct handoff *handoff, int *conn_fd)
{
	struct loop *loop = handoff->broker->loop;
	int err = loop_after(loop, HANDOFF_ACK_MS, handoff_silent, handoff, &handoff->timer);

	closer_show_urgent(*conn_fd); /* else one that is urgent wakes the loop, and is not there */
	if (!err)
		err = loop_watch(loop, *conn_fd, POLLIN, handoff_acknowledged, handoff,
				 &handoff->watch);
	if (!err)
		handoff->conn_fd = STEAL_FD(*conn_fd);
	return err;
}

/* --- who gets it */

/* As adopt does; nothing is charged to it by the session yet. */
static int handoff_own(const struct handoff *handoff, const struct process *process)
{
	const struct owner_plan plan = {
		.pidfd = process->pidfd,
		.pid = process->pid,
		.uid = process->uid,
		.locked_besides = memlock_besides(process, false),
	};
	struct owner *owner;
	int err = owner_get(handoff->broker->owners, &plan, &owner);

	if (err)
		return err;
	owner_add_session(owner, handoff->session);
	return owner_limit_session(handoff->session);
}

/* Exactly one byte, and one descriptor. */
static int handoff_send(const struct handoff *handoff, int conn_fd, int iommufd)
{
	char byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = sizeof(byte)};

	return fdmsg_send(handoff->broker->sys, conn_fd, &iov, 1, &iommufd, 1);
}

/* What is done cannot be taken back: the session ends if one step fails, and nothing is left. */
static void handoff_failed(struct handoff *handoff, const struct process *process, const char *what,
			   int err)
{
	struct owner *owner = handoff->session->owner;

	log_error("session %llx cannot be handed to process %d: %s: %s",
		  (unsigned long long)handoff->session->id, (int)process->pid, what,
		  strerror(-err));
	handoff_tell(handoff, "ended", process->pid, what);
	owner_end_session(handoff->broker, handoff->session);
	if (owner)
		owner_put(owner); /* unless it has others */
}

/* Recorded and active before it is sent: if this process dies in between, the receiver may have it.
 */
static void handoff_give(struct handoff *handoff, const struct process *process, int *conn_fd,
			 int iommufd)
{
	struct session *session = handoff->session;
	struct broker *broker = handoff->broker;
	const char *what = "the gate does not take its context";
	int err = warden_enrol(broker, session, iommufd, false);

	if (!err) {
		what = "it cannot be recorded as the owner, or its RLIMIT_MEMLOCK not be set";
		session_unreserve(broker->sessions, session);
		session_enter(broker->sessions, session, SESSION_ACTIVE);
		err = handoff_own(handoff, process);
	}
	if (!err) {
		what = "it takes nothing";
		err = handoff_send(handoff, *conn_fd, iommufd);
	}
	if (err) {
		handoff_failed(handoff, process, what, err);
		return;
	}
	handoff_shut(handoff);
	mirror_changed(broker->mirror, session);
	trace_audit(broker, "adopted", session, NULL);
	handoff_tell(handoff, "handed-off", process->pid, "it was the first that may have it");
	err = handoff_await(handoff, conn_fd);
	if (err)
		handoff_give_up(handoff, strerror(-err));
}

/* Whether a cgroup is another, or below it. */
static bool handoff_below(const char *cgroup, const char *above)
{
	size_t len = strlen(above);

	return strncmp(cgroup, above, len) == 0 && (cgroup[len] == '\0' || cgroup[len] == '/');
}

/*
 * Who the process is now, and who it was when it connected: others may have the connection, too,
 * and one that becomes the session's user by a new program has not asked in that one's name.
 *
 * Return: whether the process may have it; if not, the reason is in fault.
 */
static bool handoff_may_have(const struct handoff *handoff, const struct process *process,
			     uid_t connected_uid, char fault[static HANDOFF_FAULT_MAX])
{
	char cgroup[PROCFS_CGROUP_MAX] UNINITIALIZED;
	int err = process_cgroup(process, cgroup);
	bool capable = false;

	if (!err && !handoff_below(cgroup, handoff->cgroup)) {
		(void)snprintf(fault, HANDOFF_FAULT_MAX, "it is in cgroup %.200s", cgroup);
		return false;
	}
	if (!err && process->uid != handoff->session->uid) {
		(void)snprintf(fault, HANDOFF_FAULT_MAX, "it runs as uid %u, and not as uid %u",
			       process->uid, handoff->session->uid);
		return false;
	}
	if (!err && connected_uid != handoff->session->uid) {
		(void)snprintf(fault, HANDOFF_FAULT_MAX,
			       "it was uid %u when it connected, and not uid %u", connected_uid,
			       handoff->session->uid);
		return false;
	}
	if (!err)
		err = process_capable(process, &capable);
	if (!err && !capable)
		return true;
	(void)snprintf(fault, HANDOFF_FAULT_MAX, "%s",
		       err ? strerror(-err)
			   : "it has CAP_IPC_LOCK, and the kernel charges nothing to such a "
			     "process, so that no limit would hold");
	return false;
}

/* By the kernel's word, as a peer is. Return: 0; -errno of process_open(). */
static int handoff_identify(int conn_fd, struct process *ret_process, struct ucred *ret_cred)
{
	CLEANUP(fd_closep) int pidfd = -1;
	struct proto_process named;
	socklen_t cred_size = sizeof(*ret_cred), pidfd_size = sizeof(pidfd);
	struct stat st;

	if (getsockopt(conn_fd, SOL_SOCKET, SO_PEERCRED, ret_cred, &cred_size) < 0)
		return -errno;
	if (ret_cred->pid <= 0) /* in a pid namespace that this process cannot see */
		return -ESRCH;
	/* -EINVAL on 6.12 when it was reaped already. */
	if (getsockopt(conn_fd, SOL_SOCKET, UAPI_SO_PEERPIDFD, &pidfd, &pidfd_size) < 0)
		return errno == EINVAL ? -ESRCH : -errno;
	if (fstat(pidfd, &st) < 0)
		return -errno;
	named = (struct proto_process){.inode = st.st_ino, .pid = (uint32_t)ret_cred->pid};
	return process_open(&named, ret_process);
}

/* One that has gone again would take the context with it. */
static bool handoff_hung_up(int conn_fd)
{
	struct pollfd fd = {.fd = conn_fd};

	return poll(&fd, 1, 0) != 0;
}

bool handoff_try(struct handoff *handoff, int *conn_fd, pid_t *ret_pid,
		 char fault[static HANDOFF_FAULT_MAX])
{
	CLEANUP(process_fini) struct process process = PROCESS_INIT;
	CLEANUP(fd_closep) int iommufd = -1;
	struct broker *broker = handoff->broker;
	bool task = handoff->session->accounting == POLICY_ACCOUNTING_TASK;
	struct ucred cred = {.pid = 0};
	int err = handoff_identify(*conn_fd, &process, &cred);

	*ret_pid = cred.pid;
	if (err) {
		(void)snprintf(fault, HANDOFF_FAULT_MAX, "it is not known: %s",
			       process_strerror(err));
		return false;
	}
	if (!handoff_may_have(handoff, &process, cred.uid, fault))
		return false;
	if (handoff_hung_up(*conn_fd)) {
		(void)snprintf(fault, HANDOFF_FAULT_MAX, "it has hung up");
		return false;
	}
	err = iommu_open(broker->sys, broker->dev_fd, task ? IOMMU_MODE_TASK : IOMMU_MODE_USER,
			 &iommufd);
	if (err) {
		(void)snprintf(fault, HANDOFF_FAULT_MAX, "cannot open IOMMUFD: %s",
			       iommu_strerror(err));
		return false;
	}
	handoff_give(handoff, &process, conn_fd, iommufd);
	return true;
}
