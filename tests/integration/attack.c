/* SPDX-License-Identifier: MIT */
/* What an unprivileged local user can throw at the daemon: attack NAME, see the table below. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/pinbroker.h"
#include "common/cleanup.h"
#include "common/fdmsg.h"
#include "common/proto.h"
#include "common/sys.h"

#define FLOOD_CONNECTIONS 10000
#define FLOOD_REQUESTS 2000 /* each is answered, but none before it is our turn: ten seconds */
#define GENERATIONS 8

static int attack_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = PROTO_SOCKET};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, PROTO_SOCKET);
	return fd;
}

/* A TCP socket with a full queue that lingers: its last close waits for us. */
static int attack_linger(void)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 100000};
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(address);
	static const char junk[65536];

	if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) < 0 ||
	    connect(fd, (struct sockaddr *)&address, size) < 0 ||
	    accept4(listener, NULL, NULL, SOCK_CLOEXEC) < 0 || /* kept open, never read */
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0)
		err(1, "linger");
	while (send(fd, junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
	return fd;
}

static void send_linger(bool second)
{
	int fd = attack_connect(), poison = attack_linger();
	char byte = 'x';
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};

	if (second && send(fd, &byte, 1, MSG_NOSIGNAL) < 0)
		err(1, "send");
	int result = fdmsg_send(&sys_real, fd, &iov, 1, &poison, 1);

	/* Linux 6.16 and later do not take it for the daemon: it must not stop us instead. */
	if (result == -EPERM)
		(void)setsockopt(poison, SOL_SOCKET, SO_LINGER, &(struct linger){0},
				 sizeof(struct linger));
	else if (result)
		errx(1, "not sent");
	fd_closep(&poison);
	(void)printf("sent\n");
	(void)fflush(stdout);
	if (read(STDIN_FILENO, &byte, 1) < 0) /* until the test has seen enough */
		err(1, "read");
}

static void linger_first(void)
{
	send_linger(false);
}

static void linger_second(void)
{
	send_linger(true);
}

static void flood_requests(void)
{
	int fd = attack_connect();

	for (int i = 0; i < FLOOD_REQUESTS; i++) {
		struct {
			struct proto_header header;
			struct proto_list list;
		} request = {
			.header = proto_header(PROTO_REQUEST, PROTO_LIST, 1, sizeof(request.list))};
		char answer[PROTO_MESSAGE_MAX];

		if (send(fd, &request, sizeof(request), MSG_NOSIGNAL) < 0 ||
		    recv(fd, answer, sizeof(answer), 0) <= 0)
			errx(1, "hung up after %d requests", i);
	}
	(void)printf("done\n");
}

static void flood_connections(void)
{
	for (int i = 0; i < FLOOD_CONNECTIONS; i++) {
		int fd = attack_connect();

		(void)send(fd, "x", 1, MSG_NOSIGNAL); /* no message: worth a line, once */
		fd_closep(&fd);
	}
	(void)printf("done\n");
}

/* Its context, which is all that it lives with. */
static int open_session(void)
{
	const struct pinbroker_request request = {.name = "ratchet"};
	struct pinbroker *broker = NULL;
	struct pinbroker_grant grant;
	int result = pinbroker_connect(NULL, &broker);

	/* The session of the generation before ends a moment after its process. */
	do {
		result = result ? result : pinbroker_open(broker, &request, &grant);
	} while (result == -EACCES &&
		 strcmp(pinbroker_refusal(broker)->reason, "too-many-sessions") == 0 &&
		 (result = 0) == 0);
	if (result)
		errx(1, "%s", pinbroker_refusal(broker)->text);
	pinbroker_free(broker); /* the session lives with its context, not with the connection */
	return grant.iommufd;
}

static void ratchet(void)
{
	struct rlimit limit = {0};

	for (int i = 0; i < GENERATIONS; i++) {
		pid_t parent = getpid(), child;
		int iommufd = open_session();
		void *memory;

		(void)getrlimit(RLIMIT_MEMLOCK, &limit);
		child = fork();
		if (child < 0)
			err(1, "fork");
		if (child) /* its session ends; whoever reads the output waits for the last of us */
			_exit(0);
		(void)close(iommufd); /* an orphan would keep its place */
		while (getppid() == parent)
			;
		memory = mmap(NULL, limit.rlim_cur, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (memory == MAP_FAILED || mlock2(memory, limit.rlim_cur, MLOCK_ONFAULT) < 0)
			err(1, "mlock2");
	}
	(void)printf("limit %llu\n", (unsigned long long)limit.rlim_cur);
}

/* All of the host's open files, and each that is closed from now on, until the test has seen
 * enough. */
static void hog_files(void)
{
	struct pollfd end = {.fd = STDIN_FILENO, .events = POLLIN};
	bool full = false;

	while (poll(&end, 1, 0) == 0) {
		if (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0 || full)
			continue;
		if (errno != ENFILE)
			err(1, "/dev/null");
		full = true;
		(void)printf("full\n");
		(void)fflush(stdout);
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} attacks[] = {
	{"hog-files", hog_files},
	{"linger-first", linger_first},
	{"linger-second", linger_second},
	{"flood-requests", flood_requests},
	{"flood-connections", flood_connections},
	{"ratchet", ratchet},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(attacks); i++) {
		if (strcmp(argv[1], attacks[i].name) == 0) {
			attacks[i].run();
			return 0;
		}
	}
	errx(64, "usage: attack NAME");
}
