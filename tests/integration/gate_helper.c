/* SPDX-License-Identifier: MIT */
/*
 * Descriptors in other hands: a helper of the same user, whom the broker has never seen, gets the
 * context by SCM_RIGHTS; a process that outlives its session keeps a cdev of it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fdmsg.h"
#include "common/sys.h"
#include "tests/integration/gate.h"
#include "tests/integration/gate_call.h"

/* In both directions; only the first has a descriptor with it. */
struct word {
	uint32_t ioas_id;
	int32_t err;
	uint64_t through;
	uint64_t limit;
};

/* Abstract: no file, no directory that one could not write to. */
static int peer_socket(const struct gate *gate, struct sockaddr_un *ret_address)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	(void)snprintf(ret_address->sun_path + 1, sizeof(ret_address->sun_path) - 1, "%s",
		       gate->options.peer);
	return fd < 0 ? -errno : fd;
}

static int peer_listen(const struct gate *gate)
{
	struct sockaddr_un address;
	CLEANUP(fd_closep) int fd = peer_socket(gate, &address);

	if (fd < 0)
		return fd;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
		return -errno;
	return STEAL_FD(fd);
}

static int peer_connect(const struct gate *gate)
{
	struct sockaddr_un address;
	CLEANUP(fd_closep) int fd = peer_socket(gate, &address);

	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return STEAL_FD(fd);
}

/* @fd: -1: none goes with it */
static int word_send(int peer, struct word *word, int fd)
{
	struct iovec iov = {.iov_base = word, .iov_len = sizeof(*word)};

	return fdmsg_send(&sys_real, peer, &iov, 1, &fd, fd >= 0);
}

/* @ret_fd: owned; NULL: none is expected. Return: 0; -errno; -EPROTO. */
static int word_recv(int peer, struct word *ret_word, int *ret_fd)
{
	struct fdmsg msg = FDMSG_INIT;
	size_t len;
	int err = fdmsg_recv(peer, ret_word, sizeof(*ret_word), 1, 0, &len, &msg);

	if (err)
		return err;
	if (len != sizeof(*ret_word) || msg.n_fds != (ret_fd != NULL)) {
		fdmsg_close(&msg);
		return -EPROTO;
	}
	if (ret_fd)
		*ret_fd = STEAL_FD(msg.fds[0]);
	return 0;
}

/*
 * Takes a context from --peer and maps --count times --limit bytes, as does whoever sent it. Says
 * "listening" first; it stays as long as the sender does. Facts: those of the sender.
 */
int helper_wait(struct gate *gate)
{
	CLEANUP(fd_closep) int listener = peer_listen(gate);
	CLEANUP(fd_closep) int peer = -1;
	struct word word = {0};
	const void *memory;
	int err;

	if (listener < 0)
		return listener;
	puts("listening");
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	err = peer < 0 ? -errno : word_recv(peer, &word, &gate->iommufd);
	if (err)
		return err;
	memory = gate_memory(word.limit);
	word.through = 0;
	word.err = memory ? 0 : -ENOMEM;
	while (!word.err && word.through < gate->options.count) {
		word.err = call_map(gate->iommufd, word.ioas_id, memory, word.limit, NULL);
		if (!word.err)
			word.through++;
	}
	err = word_send(peer, &word, -1);
	if (!err && read(peer, &word, sizeof(word)) < 0) /* until it hangs up */
		err = -errno;
	return err;
}

/* Maps --limit bytes, then --peer maps. Facts: own, through, error, mapped_pages. */
int helper_send(struct gate *gate)
{
	struct word word = {.ioas_id = gate->ioas[0], .limit = gate->options.limit};
	const void *memory = gate_memory(gate->options.limit);
	int peer = peer_connect(gate); /* open until we end: the helper stays as long */
	int err;

	if (peer < 0)
		return peer;
	if (!memory)
		return -ENOMEM;
	err = call_map(gate->iommufd, gate->ioas[0], memory, gate->options.limit, NULL);
	fact_error("own", err);
	if (!err)
		err = word_send(peer, &word, gate->iommufd);
	if (!err)
		err = word_recv(peer, &word, NULL);
	if (err)
		return err;
	fact("through", word.through);
	fact_error("error", word.err);
	fact("mapped_pages", (1 + word.through) * gate->options.limit / GATE_PAGE);
	return 0;
}

static int keeper_run(const struct gate *gate, int listener)
{
	CLEANUP(fd_closep) int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct word word = {0};

	return peer < 0 ? -errno : word_send(peer, &word, gate->device);
}

/*
 * The session's process ends, another one keeps its cdev, which was never bound, and gives it to
 * --peer. Fact: keeper, a pid.
 */
int cdev_keep(struct gate *gate)
{
	CLEANUP(fd_closep) int listener = peer_listen(gate);
	pid_t pid;

	if (listener < 0)
		return listener;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid) {
		fact("keeper", (uint64_t)pid);
		return 0;
	}
	fd_closep(&gate->iommufd);
	(void)close(
		STDIN_FILENO); /* whoever waits for our end or our output waits for the other's */
	(void)close(STDOUT_FILENO);
	(void)close(STDERR_FILENO);
	_exit(-keeper_run(gate, listener));
}

/* Binds the cdev that --peer kept to this session's context. Facts: bind, attach. */
int cdev_use(struct gate *gate)
{
	CLEANUP(fd_closep) int peer = peer_connect(gate);
	struct word word = {0};
	int err = peer < 0 ? peer : word_recv(peer, &word, &gate->device);

	if (err)
		return err;
	err = call_bind(gate->device, gate->iommufd);
	fact_error("bind", err);
	if (!err)
		fact_error("attach", call_attach(gate->device, gate->ioas[0]));
	return 0;
}
