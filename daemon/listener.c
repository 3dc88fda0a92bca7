/* SPDX-License-Identifier: MIT */
#include "daemon/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/sockfile.h"
#include "daemon/broker.h"
#include "daemon/bucket.h"
#include "daemon/closer.h"
#include "daemon/fdstore.h"
#include "daemon/loop.h"
#include "daemon/peer.h"
#include "iommufd/uapi.h"

#define LISTENER_BACKLOG 1024
#define LISTENER_PAUSE_MS 100

struct listener {
	struct broker *broker; /* borrowed */
	int fd; /* owned */
	int spare_fd; /* owned; given up for a moment to turn a connection away, see below */
	const char *path; /* borrowed; NULL: the socket is systemd's */
	bool sealed; /* SO_PASSRIGHTS is off, which only newer kernels know */
	struct stat made; /* the socket file, as it was made here */
	struct bucket lines; /* of the log, about connections turned away */
	uint64_t watch; /* LOOP_NONE during a pause */
	uint64_t pause; /* the timer that ends it */
};

/* Only what was made here: another daemon may have its socket there by now. */
static void listener_remove_path(const struct listener *listener)
{
	struct stat st;

	if (listener->path && listener->fd >= 0 && lstat(listener->path, &st) == 0 &&
	    st.st_dev == listener->made.st_dev && st.st_ino == listener->made.st_ino)
		(void)unlink(listener->path); /* somebody else did: just as well */
}

void listener_free(struct listener *listener)
{
	if (!listener)
		return;
	loop_cancel(listener->broker->loop, &listener->watch);
	loop_cancel(listener->broker->loop, &listener->pause);
	listener_remove_path(listener);
	fd_closep(&listener->fd);
	fd_closep(&listener->spare_fd);
	free(listener);
}

void listener_freep(struct listener **listener)
{
	listener_free(*listener);
}

static int listener_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* At most once a second: who is turned away is not the one to write the log. */
static void listener_warn(struct listener *listener, int err)
{
	unsigned int n = bucket_take(&listener->lines, 1, 1, broker_now_ms());

	if (n)
		log_warning("turned %u connections away, the last: %s", n, strerror(-err));
}

/*
 * Each connection inherits them: the kernel adds the sender to every packet, and takes none with
 * descriptors (sealed). One that was there before (on systemd's socket) did not: libpinbroker sends
 * its credentials itself. Before Linux 6.16 descriptors come all the same, see daemon/closer.h.
 */
static int listener_set_options(int fd, bool *ret_sealed)
{
	int yes = 1, no = 0;

	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)) < 0)
		return -errno;
	*ret_sealed = setsockopt(fd, SOL_SOCKET, UAPI_SO_PASSRIGHTS, &no, sizeof(no)) == 0;
	return *ret_sealed || errno == ENOPROTOOPT ? 0 : -errno;
}

/*
 * A connection to systemd's socket may be older than the listener's options. They are set now, and
 * what was sent before that may have descriptors, unless the connection has inherited that none do.
 */
static bool listener_seal(const struct listener *listener, int fd)
{
	socklen_t size = sizeof(int);
	int rights = 1;
	bool sealed, late;

	if (listener->path)
		return listener->sealed;
	sealed = listener->sealed &&
		 getsockopt(fd, SOL_SOCKET, UAPI_SO_PASSRIGHTS, &rights, &size) == 0 && !rights;
	(void)listener_set_options(fd, &late); /* without them it is served with more care */
	return sealed;
}

static void listener_take(struct listener *listener, int fd)
{
	int err = peer_new(listener->broker, fd, listener_seal(listener, fd));

	if (err && err != -EDQUOT)
		listener_warn(listener, err);
}

static void listener_waited(uint32_t events, void *arg);
static void listener_resume(void *arg);

/*
 * Somebody waits, and nothing can be done for them: others on this host take every file that is
 * given up, or there is no memory. Nothing tells when that ends.
 */
static void listener_pause(struct listener *listener)
{
	struct loop *loop = listener->broker->loop;

	/* Where even that fails the loop goes on calling. */
	if (loop_after(loop, LISTENER_PAUSE_MS, listener_resume, listener, &listener->pause) == 0)
		loop_cancel(loop, &listener->watch);
}

static void listener_resume(void *arg)
{
	struct listener *listener = arg;

	listener->pause = LOOP_NONE;
	if (loop_watch(listener->broker->loop, listener->fd, POLLIN, listener_waited, listener,
		       &listener->watch))
		listener_pause(listener);
}

/*
 * Without a descriptor to spare the connection stays in the backlog, and the loop would report it
 * for ever. The spare one makes room to take it and hang up: its client sees that the broker is
 * full instead of waiting.
 */
static void listener_shed(struct listener *listener, int err)
{
	int fd;

	listener_warn(listener, err);
	fd_closep(&listener->spare_fd);
	fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		closer_close(listener->broker->closer, fd, NULL, NULL);
	else
		listener_pause(listener);
	listener->spare_fd = listener_spare();
}

/* That connection's own trouble; anything else is ours, and would come again at once. */
static bool listener_may_go_on(int err)
{
	return err == -EAGAIN || err == -ECONNABORTED || err == -EINTR;
}

static void listener_accepted(int fd, void *arg);

/* Somebody waits, and there was no descriptor lately. The first one that fits ends this. */
static void listener_waited(uint32_t events, void *arg)
{
	struct listener *listener = arg;
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int err = fd < 0 ? -errno : 0;
	uint64_t watch;

	(void)events; /* an error of the socket is accept4()'s too */
	if (err && !listener_may_go_on(err))
		listener_shed(listener, err);
	if (err)
		return;
	if (listener->spare_fd < 0)
		listener->spare_fd = listener_spare(); /* there was none when it was given up */
	if (loop_accept(listener->broker->loop, listener->fd, listener_accepted, listener,
			&watch) == 0) {
		loop_cancel(listener->broker->loop, &listener->watch);
		listener->watch = watch;
	}
	listener_take(listener, fd);
}

/*
 * The kernel takes a descriptor before it looks for a connection: with none to be had, an accept
 * in the ring fails at once and for ever, with nobody there. Polling needs none.
 */
static void listener_accepted(int fd, void *arg)
{
	struct listener *listener = arg;
	uint64_t watch;

	if (fd >= 0)
		listener_take(listener, fd);
	if (fd >= 0 || listener_may_go_on(fd))
		return;
	if (loop_watch(listener->broker->loop, listener->fd, POLLIN, listener_waited, listener,
		       &watch) == 0) {
		loop_cancel(listener->broker->loop, &listener->watch);
		listener->watch = watch;
	}
}

/* The options come first: there is no connection without them. */
static int listener_bind(const char *path, bool *ret_sealed, int *ret_fd)
{
	CLEANUP(fd_closep)
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = listener_set_options(fd, ret_sealed);
	if (!err)
		err = sockfile_bind(fd, SOCK_SEQPACKET, path, 0666);
	if (err)
		return err;
	if (listen(fd, LISTENER_BACKLOG) < 0) {
		err = -errno;
		(void)unlink(path); /* the error at hand is the one to report */
		return err;
	}
	*ret_fd = STEAL_FD(fd);
	return 0;
}

static int listener_inherit(int fd, bool *ret_sealed)
{
	int flags;

	if (sd_is_socket_unix(fd, SOCK_SEQPACKET, 1, NULL, 0) <= 0)
		return -EINVAL;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return listener_set_options(fd, ret_sealed);
}

static int listener_open(struct listener *listener, const char *path)
{
	int err;

	listener->fd = fdstore_take_socket(listener->broker->fdstore);
	if (listener->fd >= 0)
		return listener_inherit(listener->fd, &listener->sealed);
	err = listener_bind(path, &listener->sealed, &listener->fd);
	if (err)
		return err;
	listener->path = path;
	return lstat(path, &listener->made) < 0 ? -errno : 0;
}

int listener_new(struct broker *broker, const char *path, struct listener **ret_listener)
{
	CLEANUP(listener_freep) struct listener *listener = NULL;
	struct listener *new = calloc(1, sizeof(*new));
	int err;

	if (!new)
		return -ENOMEM;
	listener = new;
	*listener = (struct listener){.broker = broker, .fd = -1, .spare_fd = listener_spare()};
	err = listener->spare_fd < 0 ? -errno : listener_open(listener, path);
	if (!err)
		err = loop_accept(broker->loop, listener->fd, listener_accepted, listener,
				  &listener->watch);
	if (err) {
		log_error("cannot listen on %s: %s", path,
			  err == -EADDRINUSE ? "another pinbrokerd serves it" : strerror(-err));
		return err;
	}
	*ret_listener = STEAL(listener);
	return 0;
}
