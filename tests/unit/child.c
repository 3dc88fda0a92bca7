/* SPDX-License-Identifier: MIT */
#include "tests/unit/child.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

static void on_term(int signal_number)
{
	(void)signal_number; /* there is only one */
	_exit(0);
}

/* Lets go of all else, says so, and waits for the end of its standard input, or to be told. */
static int wait_for_stop(void *arg)
{
	const int *fds = arg;
	char byte = 0;

	if (signal(SIGTERM, on_term) == SIG_ERR || dup2(fds[0], STDIN_FILENO) < 0 ||
	    dup2(fds[1], 3) < 0 || close_range(4, ~0U, 0) < 0 ||
	    write(3, &byte, sizeof(byte)) < 0 || close(3) < 0)
		return 1;
	return read(STDIN_FILENO, &byte, sizeof(byte)) == 0 ? 0 : 1;
}

static void fork_child(struct child *ret_child, int (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that aborts leaves nobody */
		_exit(fn(arg));
	}
	*ret_child = (struct child){.pid = pid, .stop_fd = -1};
	ret_child->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	CU_ASSERT_FATAL(ret_child->pidfd >= 0);
}

void child_start(struct child *ret_child)
{
	int stop_fds[2], ready_fds[2];
	char byte;

	CU_ASSERT_FATAL(pipe2(stop_fds, O_CLOEXEC) == 0 && pipe2(ready_fds, O_CLOEXEC) == 0);
	fork_child(ret_child, wait_for_stop, (int[]){stop_fds[0], ready_fds[1]});
	fd_closep(&stop_fds[0]);
	fd_closep(&ready_fds[1]);
	CU_ASSERT_FATAL(read(ready_fds[0], &byte, sizeof(byte)) == sizeof(byte));
	fd_closep(&ready_fds[0]);
	ret_child->stop_fd = stop_fds[1];
}

void child_run(struct child *ret_child, int (*fn)(void *arg), void *arg)
{
	fork_child(ret_child, fn, arg);
}

/* The signal is for kernels that lose the wakeup of a pipe's reader: one was seen to. */
static void stop(struct child *child)
{
	if (child->stop_fd >= 0)
		(void)kill(child->pid, SIGTERM); /* it may have been killed by the test */
	fd_closep(&child->stop_fd);
}

void child_exit(struct child *child)
{
	siginfo_t info;

	stop(child);
	CU_ASSERT_FATAL(waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT) == 0);
}

int child_end(struct child *child)
{
	siginfo_t info;

	stop(child);
	CU_ASSERT_FATAL(waitid(P_PID, (id_t)child->pid, &info, WEXITED) == 0);
	fd_closep(&child->pidfd);
	return info.si_code == CLD_EXITED ? info.si_status : -1;
}
