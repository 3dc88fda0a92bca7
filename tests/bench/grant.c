/* SPDX-License-Identifier: MIT */
#include "tests/bench/grant.h"

#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/proto.h"

uint64_t grant_now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

struct open_packet {
	struct proto_header header;
	struct proto_open open;
};

union answer {
	struct proto_header header;
	char bytes[sizeof(struct proto_header) + sizeof(struct proto_grant)];
};

static struct open_packet packet_of(const char *name)
{
	struct open_packet packet = {
		.header = proto_header(PROTO_REQUEST, PROTO_OPEN, 1, sizeof(packet.open)),
		.open = {.flags = PROTO_OPEN_EXEC},
	};

	proto_text_set(packet.open.name, sizeof(packet.open.name), name);
	return packet;
}

/* One descriptor, or the program ends. */
static int answer_receive(int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	union answer answer;
	struct iovec iov = {.iov_base = &answer, .iov_len = sizeof(answer)};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	const struct cmsghdr *cmsg;
	int granted_fd;

	if (recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) < (ssize_t)sizeof(answer.header))
		err(1, "no answer");
	cmsg = CMSG_FIRSTHDR(&msg);
	if (answer.header.kind == PROTO_REFUSAL)
		errx(1, "refused: %.600s",
		     answer.bytes + sizeof(answer.header) + offsetof(struct proto_refusal, text));
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		errx(1, "an answer without a descriptor");
	memcpy(&granted_fd, CMSG_DATA(cmsg), sizeof(granted_fd));
	return granted_fd;
}

/* Connects, asks, and hangs up. Returns the descriptor. */
static int grant_ask(const char *socket_path, const struct open_packet *packet)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path); /* short */
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "%s", socket_path);
	if (send(fd, packet, sizeof(*packet), MSG_NOSIGNAL) != (ssize_t)sizeof(*packet))
		err(1, "send");
	return answer_receive(fd);
}

/* The cgroup while it is still root. */
static void become_client(const struct grant_client *client)
{
	gid_t gid = client->uid;

	if (client->procs_path) {
		CLEANUP(fd_closep) int fd = open(client->procs_path, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "0", 1) != 1)
			err(1, "%s", client->procs_path);
	}
	if (setresgid(gid, gid, gid) < 0 || setresuid(client->uid, client->uid, client->uid) < 0)
		err(1, "cannot become uid %u", client->uid);
}

static void grant_child(const struct grant_client *client, uint64_t *shared_latency)
{
	const struct open_packet packet = packet_of("bench");
	uint64_t began;
	int fd;

	become_client(client);
	began = grant_now_ns();
	fd = grant_ask(client->socket_path, &packet);
	*shared_latency = grant_now_ns() - began;
	_exit(fd < 0);
}

void grant_measure(const struct grant_client *client, struct grant_times *ret_times)
{
	static uint64_t *shared_latency;
	uint64_t began;
	int status;
	pid_t pid;

	if (!shared_latency)
		shared_latency = mmap(NULL, sizeof(*shared_latency), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared_latency == MAP_FAILED)
		err(1, "mmap");
	began = grant_now_ns();
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0)
		grant_child(client, shared_latency);
	if (waitpid(pid, &status, 0) < 0 || status != 0)
		errx(1, "a client failed, see above");
	*ret_times = (struct grant_times){*shared_latency, grant_now_ns() - began};
}

static void holder_child(const struct grant_client *client, size_t first, size_t n, int ready_fd,
			 int hold_fd)
{
	char name[32], byte = 0;

	become_client(client);
	for (size_t i = 0; i < n; i++) {
		struct open_packet packet;

		(void)snprintf(name, sizeof(name), "vm-%zu", first + i);
		packet = packet_of(name);
		if (grant_ask(client->socket_path, &packet) < 0)
			_exit(1);
	}
	if (write(ready_fd, &byte, 1) != 1)
		_exit(1);
	/* Until the other end is closed, or the process is killed. */
	_exit(read(hold_fd, &byte, 1) != 0);
}

void grant_holder_start(const struct grant_client *client, size_t first, size_t n,
			struct grant_holder *ret_holder)
{
	int ready[2], hold[2];
	char byte;

	if (pipe(ready) < 0 || pipe(hold) < 0)
		err(1, "pipe");
	ret_holder->pid = fork();
	if (ret_holder->pid < 0)
		err(1, "fork");
	if (ret_holder->pid == 0) {
		fd_closep(&ready[0]);
		fd_closep(&hold[1]);
		holder_child(client, first, n, ready[1], hold[0]);
	}
	fd_closep(&ready[1]);
	fd_closep(&hold[0]);
	if (read(ready[0], &byte, 1) != 1)
		errx(1, "a holder of %zu sessions failed, see above", n);
	fd_closep(&ready[0]);
	ret_holder->hold_fd = hold[1];
}

void grant_holder_stop(struct grant_holder *holder)
{
	/* Younger holders have a copy of this end. */
	(void)kill(holder->pid, SIGKILL);
	(void)waitpid(holder->pid, NULL, 0);
	fd_closep(&holder->hold_fd);
}
