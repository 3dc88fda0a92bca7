/* SPDX-License-Identifier: MIT */
/*
 * How long an honest client waits: pace COUNT asks for the broker's status COUNT times over one
 * connection; 0: until standard input ends. Prints the longest wait in µs.
 */
#include <err.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/pinbroker.h"

static uint64_t now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static bool over(unsigned long n, unsigned long count)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

	return count ? n == count : poll(&input, 1, 0) != 0;
}

int main(int argc, char **argv)
{
	unsigned long count = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	struct pinbroker_status status;
	struct pinbroker *broker;
	uint64_t longest = 0;
	int ret = pinbroker_connect(NULL, &broker);

	for (unsigned long n = 0; !ret && !over(n, count); n++) {
		uint64_t start = now_us();

		ret = pinbroker_status(broker, &status, NULL, NULL);
		if (now_us() - start > longest)
			longest = now_us() - start;
		if (n == 0) {
			(void)puts("ready");
			(void)fflush(stdout);
		}
	}
	if (ret)
		errx(1, "%s", strerror(-ret));
	pinbroker_free(broker);
	(void)printf("longest %llu\n", (unsigned long long)longest);
	return 0;
}
