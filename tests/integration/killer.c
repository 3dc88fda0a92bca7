/* SPDX-License-Identifier: MIT */
/*
 * Kills a program between two of its system calls: killer [-c CALL]... PROGRAM [ARG]... runs it as
 * a tracee, with all its threads, its standard input /dev/null and its output on standard error.
 *
 * A line "entry N" or "exit N" on standard input arms it, and it says "armed". From the next
 * recvmsg(2) on, a request's arrival, system calls are counted (with -c only those of the names
 * given), and at the Nth the program gets SIGKILL: at entry, where the call is not made, or at
 * exit, where it was. "killed WHEN N CALL" is said once the program is gone, and that ends this
 * one, too. If the program comes to wait for the next request first: "unharmed COUNT", and it can
 * be armed again. A program that ends by itself gives its exit status, one that is killed by
 * somebody else 128 + the signal. When this one dies, the program is killed.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

#define EXIT_USAGE 64
#define CALLS_MAX 1024

#define CALL(name)                \
	{                         \
#name, SYS_##name \
	}

/* Those that a daemon may be asked to stop at by name; any other is known by its number. */
static const struct {
	const char *name;
	uint64_t nr;
} calls[] = {
	CALL(clone3),
	CALL(close),
	CALL(epoll_wait),
	CALL(fallocate),
	CALL(fcntl),
	CALL(fstat),
	CALL(ftruncate),
	CALL(getdents64),
	CALL(getsockopt),
	CALL(io_uring_enter),
	CALL(ioctl),
	CALL(lseek),
	CALL(madvise),
	CALL(mremap),
	CALL(newfstatat),
	CALL(openat),
	CALL(openat2),
	CALL(pidfd_open),
	CALL(pidfd_send_signal),
	CALL(poll),
	CALL(prlimit64),
	CALL(pread64),
	CALL(read),
	CALL(readlinkat),
	CALL(recvmsg),
	CALL(sendmsg),
	CALL(setsockopt),
	CALL(write),
	CALL(writev),
};

struct killer {
	pid_t pid;
	bool wanted[CALLS_MAX]; /* by number */
	bool all; /* no name was given */
	bool armed;
	bool at_exit;
	bool arrived; /* since it was armed: the request */
	unsigned long nth, count;
	uint64_t nr; /* of the call that it was killed at */
	pid_t leaving; /* the thread that is to be killed at the exit of what it does; 0: none */
	bool killed;
};

static const char *call_name(uint64_t nr, char ret_number[static 24])
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		if (calls[i].nr == nr)
			return calls[i].name;
	}
	(void)snprintf(ret_number, 24, "%llu", (unsigned long long)nr); /* it fits */
	return ret_number;
}

static bool want_call(struct killer *killer, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		if (strcmp(calls[i].name, name) == 0) {
			killer->wanted[calls[i].nr] = true;
			return true;
		}
	}
	return false;
}

/* For somebody who waits for it at the other end of a pipe. */
static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vprintf(format, args);
	va_end(args);
	(void)fflush(stdout);
}

/* In the child: not before it is traced. Does not return. */
static void become(int go_fd, char **argv)
{
	sigset_t none;
	char byte;

	(void)sigemptyset(&none);
	if (read(go_fd, &byte, 1) != 1 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		_exit(1);
	if (dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO) < 0 ||
	    dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		err(1, "standard input and output");
	(void)execvp(argv[0], argv); /* returns only to say in errno why not */
	err(127, "%s", argv[0]);
}

static void start(struct killer *killer, char **argv)
{
	int go_fds[2];

	if (pipe2(go_fds, O_CLOEXEC) < 0)
		err(1, "pipe2");
	killer->pid = fork();
	if (killer->pid < 0)
		err(1, "fork");
	if (killer->pid == 0)
		become(go_fds[0], argv);
	if (ptrace(PTRACE_SEIZE, killer->pid, NULL,
		   PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) < 0)
		err(1, "PTRACE_SEIZE");
	if (write(go_fds[1], "", 1) != 1)
		err(1, "pipe");
	(void)close(go_fds[0]);
	(void)close(go_fds[1]);
}

/* All threads stop, and go on with their system calls reported: until then they only run. */
static void interrupt(const struct killer *killer)
{
	const struct dirent *entry;
	char path[64];
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", killer->pid); /* it fits */
	dir = opendir(path);
	if (!dir)
		err(1, "%s", path);
	while ((entry = readdir(dir))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		/* One that is just ending is not missed. */
		if (tid > 0 && ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 && errno != ESRCH)
			err(1, "PTRACE_INTERRUPT");
	}
	(void)closedir(dir);
}

static void arm(struct killer *killer)
{
	char line[64], *number = line, *end;
	ssize_t len = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (len <= 0)
		errx(1, "end of the orders");
	line[len] = '\0';
	killer->at_exit = strncmp(line, "exit ", 5) == 0;
	if (killer->at_exit || strncmp(line, "entry ", 6) == 0)
		number = strchr(line, ' ') + 1;
	killer->nth = strtoul(number, &end, 10);
	if (number == line || *end != '\n' || killer->nth == 0)
		errx(EXIT_USAGE, "no order: %s", line);
	killer->arrived = false;
	killer->count = 0;
	killer->armed = true;
	interrupt(killer);
	/* What is asked from here on comes after the interrupt: each thread stops before it. */
	say("armed\n");
}

static void fire(struct killer *killer)
{
	killer->killed = true;
	if (kill(killer->pid, SIGKILL) < 0)
		err(1, "kill");
}

/* Whether a call waits for the next event, not only hands in requests. */
static bool call_waits(const struct __ptrace_syscall_info *info)
{
	return info->entry.nr == SYS_epoll_wait || info->entry.nr == SYS_epoll_pwait ||
	       info->entry.nr == SYS_epoll_pwait2 ||
	       (info->entry.nr == SYS_io_uring_enter && info->entry.args[2] > 0 &&
		info->entry.args[3] & IORING_ENTER_GETEVENTS);
}

static void call_begins(struct killer *killer, pid_t tid, const struct __ptrace_syscall_info *info)
{
	uint64_t nr = info->entry.nr;

	if (nr == SYS_recvmsg)
		killer->arrived = true;
	if (!killer->arrived)
		return;
	if (tid == killer->pid && call_waits(info)) {
		killer->armed = false;
		say("unharmed %lu\n", killer->count);
		return;
	}
	if (!killer->all && (nr >= CALLS_MAX || !killer->wanted[nr]))
		return;
	if (++killer->count != killer->nth)
		return;
	killer->nr = nr;
	if (killer->at_exit)
		killer->leaving = tid;
	else
		fire(killer);
}

static void call_stopped(struct killer *killer, pid_t tid)
{
	struct __ptrace_syscall_info info = {0};

	if (!killer->armed || killer->killed ||
	    ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) < 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		call_begins(killer, tid, &info);
	else if (info.op == PTRACE_SYSCALL_INFO_EXIT && killer->leaving == tid)
		fire(killer);
}

static void stopped(struct killer *killer, pid_t tid, int status)
{
	long signal = 0;

	if (WSTOPSIG(status) == (SIGTRAP | 0x80))
		call_stopped(killer, tid);
	else if (status >> 16 == 0) /* a signal of its own; else a clone, or our interrupt */
		signal = WSTOPSIG(status);
	if (killer->killed)
		return; /* it must not go on */
	if (ptrace(killer->armed ? PTRACE_SYSCALL : PTRACE_CONT, tid, NULL, signal) < 0 &&
	    errno != ESRCH) /* somebody else has killed it */
		err(1, "cannot let %d go on", tid);
}

/* The program is gone with all its threads. Does not return. */
static void ended(const struct killer *killer, int status)
{
	char number[24];

	if (!killer->killed)
		exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	say("killed %s %lu %s\n", killer->at_exit ? "exit" : "entry", killer->nth,
	    call_name(killer->nr, number));
	exit(0);
}

static void reap(struct killer *killer)
{
	pid_t tid;
	int status;

	while ((tid = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
		if (WIFSTOPPED(status))
			stopped(killer, tid, status);
		else if (tid == killer->pid)
			ended(killer, status);
	}
}

static void run(struct killer *killer, int signal_fd)
{
	struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN},
			       {.fd = STDIN_FILENO, .events = POLLIN}};
	struct signalfd_siginfo info;

	for (;;) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			err(1, "poll");
		if (fds[0].revents && read(signal_fd, &info, sizeof(info)) < 0)
			err(1, "signalfd");
		if (fds[1].revents)
			arm(killer);
		reap(killer);
	}
}

int main(int argc, char **argv)
{
	struct killer killer = {.all = true};
	sigset_t mask;
	int option, signal_fd;

	while ((option = getopt(argc, argv, "+c:")) >= 0) {
		if (option != 'c' || !want_call(&killer, optarg))
			errx(EXIT_USAGE, "usage: killer [-c CALL]... PROGRAM [ARG]...");
		killer.all = false;
	}
	if (optind == argc)
		errx(EXIT_USAGE, "usage: killer [-c CALL]... PROGRAM [ARG]...");
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		err(1, "sigprocmask");
	signal_fd = signalfd(-1, &mask, SFD_CLOEXEC);
	if (signal_fd < 0)
		err(1, "signalfd");
	start(&killer, argv + optind);
	run(&killer, signal_fd);
	return 0;
}
