/* SPDX-License-Identifier: MIT */
/*
 * More than one process with the same context, each within what the kernel allows one: --count
 * children map --limit bytes each. Modes: exit (one after the other, each is gone before the next),
 * live (all of them stay), shared (and map the same memory), file (as exit; a memfd, which the
 * kernel pins without any process), lazy (as live; the device is attached after all of them have
 * mapped). Facts: through, refused, error (of the first refusal), mapped_pages.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/integration/gate.h"
#include "tests/integration/gate_call.h"

struct crowd {
	struct gate *gate;
	void *shared; /* NULL: to each its own */
	bool file;
	bool stay;
	int go[2]; /* those who stay do until its write end is closed */
	uint64_t through;
	uint64_t refused;
	int error;
};

static int file_map(const struct gate *gate)
{
	CLEANUP(fd_closep) int fd = memfd_create("crowd", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)gate->options.limit) < 0)
		return -errno;
	return call_map_file(gate->iommufd, gate->ioas[0], fd, gate->options.limit, NULL);
}

static int member_map(const struct crowd *crowd)
{
	const struct gate *gate = crowd->gate;
	const void *memory = crowd->shared;

	if (crowd->file)
		return file_map(gate);
	if (!memory)
		memory = gate_memory(gate->options.limit);
	return memory ? call_map(gate->iommufd, gate->ioas[0], memory, gate->options.limit, NULL)
		      : -ENOMEM;
}

static void member_run(struct crowd *crowd, int answer)
{
	char c = (char)-member_map(crowd);

	(void)close(crowd->go[1]); /* ours would keep it open */
	if (write(answer, &c, 1) != 1)
		_exit(1);
	while (crowd->stay && read(crowd->go[0], &c, 1) > 0)
		;
	_exit(0);
}

static void crowd_count(struct crowd *crowd, int err)
{
	if (!err) {
		crowd->through++;
		return;
	}
	crowd->refused++;
	if (!crowd->error)
		crowd->error = err;
}

static int crowd_add(struct crowd *crowd)
{
	int answer[2];
	char c = 0;
	ssize_t n;
	pid_t pid;

	if (pipe(answer) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		member_run(crowd, answer[1]);
	(void)close(answer[1]);
	n = read(answer[0], &c, 1);
	(void)close(answer[0]);
	if (!crowd->stay && waitpid(pid, NULL, 0) < 0)
		return -errno;
	crowd_count(crowd, n == 1 ? c : EOWNERDEAD); /* killed before it could say */
	return 0;
}

int crowd_attack(struct gate *gate)
{
	const char *mode = gate->options.mode;
	bool lazy = strcmp(mode, "lazy") == 0, shared = strcmp(mode, "shared") == 0;
	struct crowd crowd = {
		.gate = gate,
		.file = strcmp(mode, "file") == 0,
		.stay = lazy || shared || strcmp(mode, "live") == 0,
	};
	int err = pipe(crowd.go) < 0 ? -errno : 0;

	if (shared && !err) {
		crowd.shared = gate_shared(gate->options.limit);
		err = crowd.shared ? 0 : -ENOMEM;
	}
	for (uint64_t i = 0; !err && i < gate->options.count; i++)
		err = crowd_add(&crowd);
	if (!err && lazy) {
		err = call_bind(gate->device, gate->iommufd);
		fact_error("attach", err ? err : call_attach(gate->device, gate->ioas[0]));
	}
	fact("through", crowd.through);
	fact("refused", crowd.refused);
	fact_error("error", crowd.error);
	fact("mapped_pages", crowd.through * gate->options.limit / GATE_PAGE);
	return err; /* those who stay go when this process does */
}
