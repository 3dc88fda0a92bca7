/* SPDX-License-Identifier: MIT */
#include "tests/integration/gate_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/integration/gate_call.h"

uint64_t watch_pinned_pages(void)
{
	CLEANUP(fd_closep) int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	char text[4096];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *line;

	text[n < 0 ? 0 : n] = '\0';
	line = strstr(text, "VmPin:");
	return line ? strtoull(line + strlen("VmPin:"), NULL, 10) * 1024 / GATE_PAGE : 0;
}

uint64_t watch_unmap(const struct gate *gate)
{
	uint64_t len = 0;

	(void)call_unmap(gate->iommufd, gate->ioas[0], WATCH_IOVA, WATCH_LARGE, &len);
	return len / GATE_PAGE;
}

static void watch_child(struct gate *gate, struct watch *watch, watch_race race, int over)
{
	char c = 0;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	race(gate, watch);
	if (write(over, &c, 1) != 1)
		_exit(1);
	while (strcmp(gate->options.mode, "spin") != 0)
		(void)pause();
	for (;;)
		__asm__ volatile("" ::: "memory");
}

/* Return: 1: it was killed; 0: it lives, or has ended otherwise. */
static int watch_wait(const struct gate *gate, pid_t pid, int over)
{
	struct pollfd fds[2] = {
		{.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN},
		{.fd = over, .events = POLLIN},
	};
	uint64_t since;
	int status = 0;

	(void)poll(fds, 2, -1);
	since = clock_ms(CLOCK_MONOTONIC);
	/* Its end of the pipe goes before it is dead. */
	(void)poll(fds, 1, fds[1].revents & POLLIN ? (int)gate->options.wait_ms : -1);
	if (!(fds[1].revents & POLLIN))
		since = clock_ms(CLOCK_MONOTONIC);
	(void)close(fds[0].fd);
	fact("after_ms", clock_ms(CLOCK_MONOTONIC) - since);
	return waitpid(pid, &status, WNOHANG) == pid && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGKILL;
}

static int watch_fill(const struct gate *gate)
{
	uint64_t len = gate->options.limit / 4 * 3;
	const void *memory = gate_memory(len);

	return memory ? call_map(gate->iommufd, gate->ioas[0], memory, len, NULL) : -ENOMEM;
}

int watch_run(struct gate *gate, watch_race race)
{
	struct watch *watch = gate_shared(sizeof(*watch));
	int over[2], err = watch ? watch_fill(gate) : -ENOMEM;
	pid_t pid;

	if (!err && pipe2(over, O_CLOEXEC) < 0)
		err = -errno;
	if (err)
		return err;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		watch_child(gate, watch, race, over[1]);
	(void)close(over[1]);
	gate_leave(gate);
	fact("killed", (uint64_t)watch_wait(gate, pid, over[0]));
	(void)close(over[0]);
	fact("tries", atomic_load(&watch->tries));
	fact("larger", atomic_load(&watch->larger));
	fact("refused", atomic_load(&watch->refused));
	fact_error("error", atomic_load(&watch->error));
	return 0;
}
