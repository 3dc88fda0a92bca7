/* SPDX-License-Identifier: MIT */
/*
 * Many short-lived clients, one after the other, without the price of a program each:
 * client COUNT MEMORY [DEVICE]... asks COUNT times for a session, each time as a new process, and
 * prints "granted N refused N [REASON]", the reason being that of the last refusal.
 */
#include <err.h>
#include <errno.h>
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
	return err ? CLIENT_FAILED : CLIENT_GRANTED;
}

int main(int argc, char **argv)
{
	struct pinbroker_request request = {.name = "client"};
	long counts[3] = {0}, count;
	const size_t size = 64;
	char *reason;

	if (argc < 3 || size_parse(argv[2], &request.memory))
		errx(64, "usage: client COUNT MEMORY [DEVICE]...");
	count = strtol(argv[1], NULL, 10);
	request.devices = (const char *const *)argv + 3;
	request.n_devices = (size_t)argc - 3;
	reason = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (reason == MAP_FAILED)
		err(1, "mmap");
	for (long i = 0; i < count; i++) {
		pid_t child = fork();
		int status;

		if (child < 0)
			err(1, "fork");
		if (child == 0)
			_exit(client_run(&request, reason, size));
		if (waitpid(child, &status, 0) < 0 || !WIFEXITED(status))
			errx(1, "client %ld died", i);
		counts[WEXITSTATUS(status) % 3]++;
	}
	(void)printf("granted %ld refused %ld%s%s\n", counts[CLIENT_GRANTED],
		     counts[CLIENT_REFUSED], *reason ? " " : "", reason);
	return counts[CLIENT_FAILED] != 0;
}
