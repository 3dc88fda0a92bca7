/* SPDX-License-Identifier: MIT */
/* Connections to a hand-off's socket, by anybody: few at a time, and closed with care. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/closer.h"
#include "daemon/handoff_private.h"
#include "daemon/loop.h"
#include "daemon/owner.h"
#include "daemon/session.h"

#define HANDOFF_RATE 100 /* connections in a second that are looked at, and as many at once */
#define HANDOFF_PAUSE_MS 100 /* when there were more, or there is no descriptor */
/*
 * Connections whose close takes its time, by what was sent on them. Each counts among those of the
 * broker: without this one socket would keep everybody out.
 */
#define HANDOFF_CROWD 16

/* At most once a second: anybody may connect. */
static void handoff_tell_turned_away(struct handoff *handoff, pid_t pid, const char *fault)
{
	unsigned int n = bucket_take(&handoff->lines, 1, 1, broker_now_ms());
	struct audit audit UNINITIALIZED;

	if (!n)
		return;
	audit_begin(&audit, handoff->broker, "turned-away");
	audit_id(&audit, handoff->session->id);
	audit_number(&audit, "receiver", (uint64_t)pid);
	audit_text(&audit, "receiver_cgroup", handoff->cgroup);
	audit_number(&audit, "left_out", n - 1);
	audit_text(&audit, "text", fault);
	audit_end(&audit, LOG_LEVEL_WARNING);
}

static void handoff_closed(void *arg)
{
	struct handoff_crowd *crowd = arg;

	crowd->broker->n_connections--;
	crowd->n--;
	if (crowd->left && !crowd->n)
		free(crowd);
}

static void handoff_arrived(struct handoff *handoff, int fd)
{
	struct handoff_crowd *crowd = handoff->crowd; /* the hand-off may end by this */
	struct closer *closer = handoff->broker->closer;
	char fault[HANDOFF_FAULT_MAX];
	int conn_fd = fd;
	pid_t pid = 0;

	crowd->n++; /* until it is closed */
	crowd->broker->n_connections++;
	if (!handoff_try(handoff, &conn_fd, &pid, fault))
		handoff_tell_turned_away(handoff, pid, fault);
	if (conn_fd >= 0)
		closer_close_stream(closer, conn_fd, handoff_closed, crowd);
	else
		handoff_closed(crowd); /* the hand-off's, which ends soon */
}

static void handoff_resumed(void *arg)
{
	struct handoff *handoff = arg;

	handoff->timer = LOOP_NONE;
	handoff_listen(handoff);
}

/* Those who wait meanwhile wait in the kernel. */
static void handoff_pause(struct handoff *handoff)
{
	struct loop *loop = handoff->broker->loop;

	if (loop_after(loop, HANDOFF_PAUSE_MS, handoff_resumed, handoff, &handoff->timer) == 0)
		loop_cancel(loop, &handoff->watch);
}

/*
 * Never waits: whether the file blocks is shared with whoever else has it, so it is set again each
 * time. Nobody but root can have undone that.
 */
static int handoff_accept(const struct handoff *handoff)
{
	struct pollfd shut = {.fd = handoff->listen_fd, .events = POLLRDHUP};
	int flags = fcntl(handoff->listen_fd, F_GETFL), fd;

	if (flags < 0 || fcntl(handoff->listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	fd = accept4(handoff->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0 || errno != EAGAIN)
		return fd < 0 ? -errno : fd;
	/* Of one that was shut down it says the same, and poll(2) that it is ready, for ever. */
	return poll(&shut, 1, 0) != 0 ? -EINVAL : -EAGAIN;
}

/* One at a time: then all others have their turn. */
static void handoff_ready(uint32_t events, void *arg)
{
	struct handoff *handoff = arg;
	struct broker *broker = handoff->broker;
	int fd;

	(void)events; /* an error of the socket is accept4()'s too */
	if (broker->n_connections > broker->max_connections || handoff->crowd->n >= HANDOFF_CROWD ||
	    !bucket_take(&handoff->arrivals, HANDOFF_RATE, HANDOFF_RATE, broker_now_ms())) {
		handoff_pause(handoff);
		return;
	}
	fd = handoff_accept(handoff);
	if (fd >= 0) {
		handoff_arrived(handoff, fd);
	} else if (fd == -EINVAL) { /* who passed it has shut it down */
		handoff_tell(handoff, "ended", 0, "the socket was shut down");
		owner_end_session(broker, handoff->session);
	} else if (fd != -EAGAIN && fd != -ECONNABORTED && fd != -EINTR) {
		handoff_tell_turned_away(handoff, 0, strerror(-fd));
		handoff_pause(handoff);
	}
}

void handoff_listen(struct handoff *handoff)
{
	struct broker *broker = handoff->broker;
	int err = loop_watch(broker->loop, handoff->listen_fd, POLLIN, handoff_ready, handoff,
			     &handoff->watch);

	if (!err)
		return;
	handoff_tell(handoff, "ended", 0, strerror(-err));
	owner_end_session(broker, handoff->session);
}
