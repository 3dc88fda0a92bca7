/* SPDX-License-Identifier: MIT */
#include "tests/unit/stage.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fdmsg.h"
#include "common/sys.h"
#include "tests/unit/suite.h"

#define SAID_MAX 4096
#define HANG_MS 60000 /* only a command that never connects takes this */

/* A command that runs. */
struct stage {
	struct sockaddr_un address;
	int listen_fd, out_fd, err_fd; /* owned */
	pid_t pid;
};

static void stage_init(struct stage *stage)
{
	char dir[] = "/tmp/pinbroker-test-XXXXXX";

	*stage = (struct stage){.address = {.sun_family = AF_UNIX}};
	stage->out_fd = memfd_create("out", MFD_CLOEXEC);
	stage->err_fd = memfd_create("err", MFD_CLOEXEC);
	stage->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CU_ASSERT_FATAL(stage->out_fd >= 0 && stage->err_fd >= 0 && stage->listen_fd >= 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	(void)snprintf(stage->address.sun_path, sizeof(stage->address.sun_path), "%s/s", dir);
	CU_ASSERT_EQUAL_FATAL(
		bind(stage->listen_fd, (struct sockaddr *)&stage->address, sizeof(stage->address)),
		0);
	CU_ASSERT_EQUAL_FATAL(listen(stage->listen_fd, 1), 0);
}

static void stage_fini(struct stage *stage)
{
	(void)unlink(stage->address.sun_path);
	*strrchr(stage->address.sun_path, '/') = '\0';
	(void)rmdir(stage->address.sun_path);
	fd_closep(&stage->listen_fd);
	fd_closep(&stage->out_fd);
	fd_closep(&stage->err_fd);
}

/* In the child. Does not return. */
static void become(const struct stage *stage, const struct stage_run *run)
{
	char program[PATH_MAX + 16], pid[16];
	ssize_t len = readlink("/proc/self/exe", program, PATH_MAX);
	const char *argv[STAGE_WORDS_MAX + 4] = {"pinbroker", "--socket", stage->address.sun_path};

	(void)snprintf(pid, sizeof(pid), "%d", (int)getppid());
	for (size_t i = 0; i < STAGE_WORDS_MAX && run->words[i]; i++)
		argv[i + 3] = strcmp(run->words[i], "PID") == 0 ? pid : run->words[i];
	if (len < 0 || dup2(stage->out_fd, STDOUT_FILENO) < 0 ||
	    dup2(stage->err_fd, STDERR_FILENO) < 0)
		_exit(99);
	program[len] = '\0';
	(void)strcpy(strrchr(program, '/') + 1, "pinbroker");
	/* By way of a number: execv() does not write there. */
	(void)execv(program, (char *const *)(uintptr_t)argv);
	_exit(99);
}

static void stage_question(int fd, const struct stage_talk *talk, const char *name)
{
	static char packet[PROTO_MESSAGE_MAX];
	struct proto_header header;
	struct fdmsg msg = FDMSG_INIT;
	size_t len = 0;

	CHECK(name, fdmsg_recv(fd, packet, sizeof(packet), 1, 0, &len, &msg) == 0);
	CHECK(name, msg.n_fds == 0);
	fdmsg_close(&msg);
	memcpy(&header, packet, sizeof(header));
	CHECK(name, len == sizeof(header) + talk->asked_len);
	CHECK(name, header.op == talk->op);
	CHECK(name, memcmp(packet + sizeof(header), talk->asked, talk->asked_len) == 0);
}

static void stage_answer(int fd, const struct stage_talk *talk, uint64_t serial, const char *name)
{
	struct proto_header header = proto_header(talk->kind, talk->op, serial, talk->answer_len);
	struct iovec iov[] = {
		{.iov_base = &header, .iov_len = sizeof(header)},
		{.iov_base = (void *)(uintptr_t)talk->answer, .iov_len = talk->answer_len},
	};
	int null_fd = STDIN_FILENO;

	CHECK(name, fdmsg_send(&sys_real, fd, iov, 2, &null_fd, talk->n_fds) == 0);
}

/* All of it. That the command then asks no more is seen by its end. */
static void stage_talk(const struct stage *stage, const struct stage_talk *first,
		       const struct stage_talk *then, size_t n, const char *name)
{
	struct pollfd poll_fd = {.fd = stage->listen_fd, .events = POLLIN};
	CLEANUP(fd_closep) int fd = -1;
	uint64_t serial = 0;

	CU_ASSERT_EQUAL_FATAL(poll(&poll_fd, 1, HANG_MS), 1);
	fd = accept4(stage->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	for (size_t i = 0; i <= n; i++) {
		const struct stage_talk *talk = i ? &then[i - 1] : first;

		if (talk->kind != PROTO_EVENTS) {
			stage_question(fd, talk, name);
			serial++;
		}
		stage_answer(fd, talk, serial, name);
	}
}

static void read_said(int fd, char said[static SAID_MAX])
{
	ssize_t len = pread(fd, said, SAID_MAX - 1, 0);

	said[len > 0 ? len : 0] = '\0';
}

void stage_run_then(const struct stage_run *run, const struct stage_talk *then, size_t n)
{
	char name[256], out[SAID_MAX], err[SAID_MAX];
	struct stage stage;
	int status = 0;

	(void)snprintf(name, sizeof(name), "%s %s %s %s", run->words[0],
		       run->words[1] ? run->words[1] : "", run->words[2] ? run->words[2] : "",
		       run->words[3] ? run->words[3] : "");
	stage_init(&stage);
	if (!run->talk.op)
		fd_closep(&stage.listen_fd); /* whoever asks all the same is refused */
	stage.pid = fork();
	CU_ASSERT_FATAL(stage.pid >= 0);
	if (stage.pid == 0)
		become(&stage, run);
	if (run->talk.op)
		stage_talk(&stage, &run->talk, then, n, name);
	CHECK(name, waitpid(stage.pid, &status, 0) == stage.pid);
	read_said(stage.out_fd, out);
	read_said(stage.err_fd, err);
	stage_fini(&stage);
	CHECK(name, WIFEXITED(status) && WEXITSTATUS(status) == run->status);
	CHECK(name, strcmp(out, run->out) == 0);
	CHECK(name, run->err[0] ? strstr(err, run->err) != NULL : !err[0]);
}

void stage_run(const struct stage_run *run)
{
	stage_run_then(run, NULL, 0);
}
