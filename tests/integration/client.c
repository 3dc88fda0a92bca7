/* SPDX-License-Identifier: MIT */
/*
 * Many short-lived clients, one after the other, without the price of a program each:
 * client [-k] COUNT MEMORY [DEVICE]... asks COUNT times for a session, each time as a new process,
 * and prints "granted N refused N [REASON]", the reason being that of the last refusal. With -k
 * each keeps its session until the standard input ends, and the line is printed before that.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "accounting/size.h"
#include "client/pinbroker.h"

/* Exit statuses of one client. */
enum {
	CLIENT_GRANTED,
	CLIENT_REFUSED,
	CLIENT_FAILED,
};

/* The session ends with the process, whoever is still holding what. */
static int client_run(const struct pinbroker_request *request, char *shared_reason, size_t size)
{
	struct pinbroker *broker = NULL;
	struct pinbroker_grant grant;
	int err = pinbroker_connect(NULL, &broker);

	if (!err)
		err = pinbroker_open(broker, request, &grant);
	if (err == -EACCES) {
		(void)snprintf(shared_reason, size, "%s", pinbroker_refusal(broker)->reason);
		return CLIENT_REFUSED;
	}
	if (err)
		warnx("%s", strerror(-err));
	pinbroker_free(broker); /* a connection for each that keeps a session would be too many */
	return err ? CLIENT_FAILED : CLIENT_GRANTED;
}

/* In the child: says how it went, then keeps what it has. Does not return. */
static void client_keep(int status, int said_fd)
{
	unsigned char byte = (unsigned char)status;

	if (write(said_fd, &byte, 1) != 1)
		_exit(1);
	while (status == CLIENT_GRANTED && read(STDIN_FILENO, &byte, 1) > 0)
		;
	_exit(0);
}

/* Returns how it went with a child. */
static int client_wait(pid_t child, int said_fd)
{
	unsigned char byte = CLIENT_FAILED;
	int status;

	if (said_fd >= 0) {
		if (read(said_fd, &byte, 1) != 1)
			errx(1, "a client died");
		return byte;
	}
	if (waitpid(child, &status, 0) < 0 || !WIFEXITED(status))
		errx(1, "a client died");
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	struct pinbroker_request request = {.name = "client"};
	bool keep = argc > 1 && strcmp(argv[1], "-k") == 0;
	int said_fds[2] = {-1, -1};
	long counts[3] = {0}, count;
	const size_t size = 64;
	char *reason;

	argv += keep;
	argc -= keep;
	if (argc < 3 || size_parse(argv[2], &request.memory))
		errx(64, "usage: client [-k] COUNT MEMORY [DEVICE]...");
	count = strtol(argv[1], NULL, 10);
	request.devices = (const char *const *)argv + 3;
	request.n_devices = (size_t)argc - 3;
	reason = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (reason == MAP_FAILED || (keep && pipe2(said_fds, O_CLOEXEC) < 0))
		err(1, "mmap, pipe");
	for (long i = 0; i < count; i++) {
		pid_t child = fork();

		if (child < 0)
			err(1, "fork");
		if (child == 0) {
			int status = client_run(&request, reason, size);

			if (keep)
				client_keep(status, said_fds[1]);
			_exit(status);
		}
		counts[client_wait(child, said_fds[0]) % 3]++;
	}
	(void)printf("granted %ld refused %ld%s%s\n", counts[CLIENT_GRANTED],
		     counts[CLIENT_REFUSED], *reason ? " " : "", reason);
	(void)fflush(stdout);
	while (keep && wait(NULL) > 0)
		; /* each ends with the standard input, as this does */
	return counts[CLIENT_FAILED] != 0;
}
