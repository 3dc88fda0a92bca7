/* SPDX-License-Identifier: MIT */
/*
 * What a system call of another process would do: inject PID CALL [ARG]... has the process make it
 * and go on as if nothing had been, and prints "CALL: N", "CALL: EPERM" or the like, or "CALL:
 * killed" if that was the end of it. So a filter is seen from outside, as its process has it.
 *
 * ARG is a number; =TEXT or, in hexadecimal, x:BYTES put this in its memory and pass the address.
 * The process must be waiting in a system call, as the daemon does all day.
 */
#include <err.h>
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "common/cleanup.h"

#define ARGS_MAX 6
#define BELOW_STACK 4096 /* beyond the red zone */
#define BYTES_MAX 256 /* of one argument */
/* What the kernel answers inside for calls that it will make again: include/linux/errno.h */
#define RESTART_FIRST 512
#define RESTART_LAST 516

#ifdef __x86_64__ /* whose registers these are, as are the lab's machines */

/* Returns false if the process is gone. */
static bool stopped(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, __WALL) < 0)
		err(1, "waitpid");
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGSYS)
		errx(1, "ended by signal %d", WTERMSIG(status));
	return WIFSTOPPED(status);
}

static size_t bytes_of(const char *arg, unsigned char bytes[static BYTES_MAX])
{
	size_t len = strlen(arg);

	if (len >= BYTES_MAX)
		errx(64, "too long: %s", arg);
	if (*arg == '=') {
		(void)snprintf((char *)bytes, BYTES_MAX, "%s", arg + 1);
		return len; /* with its NUL */
	}
	for (arg += 2, len = 0; arg[0] && arg[1]; arg += 2) {
		const char digits[] = {arg[0], arg[1], '\0'};

		bytes[len++] = (unsigned char)strtoul(digits, NULL, 16);
	}
	return len;
}

static uint64_t argument(pid_t pid, const char *arg, uint64_t address)
{
	unsigned char bytes[BYTES_MAX];
	struct iovec here = {.iov_base = bytes}, there;

	if (*arg != '=' && strncmp(arg, "x:", 2) != 0)
		return strtoull(arg, NULL, 0);
	here.iov_len = bytes_of(arg, bytes);
	there = (struct iovec){(void *)(uintptr_t)address, here.iov_len}; /* NOLINT: in the other */
	if (process_vm_writev(pid, &here, 1, &there, 1, 0) != (ssize_t)here.iov_len)
		err(1, "process_vm_writev");
	return address;
}

static void registers(enum __ptrace_request request, pid_t pid, struct user_regs_struct *regs)
{
	if (ptrace(request, pid, NULL, regs) < 0)
		err(1, "registers");
}

/* The call it waits in is to be made again, from its beginning. */
static void again(struct user_regs_struct *regs)
{
	long long result = (long long)regs->rax;

	if (result <= -RESTART_FIRST && result >= -RESTART_LAST) {
		regs->rax = regs->orig_rax;
		regs->rip -= 2; /* the instruction syscall */
	}
	regs->orig_rax = (unsigned long long)-1; /* nothing for the kernel to make again */
}

/* On to the next beginning or end of a call, so many times. */
static bool step(pid_t pid, unsigned int n)
{
	while (n--) {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0)
			err(1, "PTRACE_SYSCALL");
		if (!stopped(pid))
			return false;
	}
	return true;
}

/* Returns false if that ended it. */
static bool inject(pid_t pid, int call, char **args, long long *ret_result)
{
	struct user_regs_struct before, regs;
	unsigned long long *const slots[ARGS_MAX] = {&regs.rdi, &regs.rsi, &regs.rdx,
						     &regs.r10, &regs.r8,  &regs.r9};
	uint64_t address;

	registers(PTRACE_GETREGS, pid, &before);
	regs = before;
	address = (before.rsp - BELOW_STACK) & ~15ULL;
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++, address += BYTES_MAX)
		*slots[i] = *args ? argument(pid, *args++, address) : 0;
	regs.rax = (unsigned long long)call;
	regs.orig_rax = (unsigned long long)-1;
	regs.rip -= 2;
	registers(PTRACE_SETREGS, pid, &regs);
	if (!step(pid, 2)) /* into the call, and out of it */
		return false;
	registers(PTRACE_GETREGS, pid, &regs);
	*ret_result = (long long)regs.rax;
	again(&before);
	registers(PTRACE_SETREGS, pid, &before);
	if (!step(pid, 1)) /* a signal that ends it comes after the call; else it waits again */
		return false;
	if (ptrace(PTRACE_DETACH, pid, NULL, NULL) < 0)
		err(1, "PTRACE_DETACH");
	return true;
}

int main(int argc, char **argv)
{
	long long result = 0;
	int call;
	pid_t pid;

	if (argc < 3 || argc > 3 + ARGS_MAX)
		errx(64, "usage: inject PID CALL [ARG]...");
	pid = (pid_t)strtol(argv[1], NULL, 10);
	call = seccomp_syscall_resolve_name(argv[2]);
	if (call < 0)
		errx(64, "no such call: %s", argv[2]);
	if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACESYSGOOD) < 0 ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0)
		err(1, "process %d", (int)pid);
	if (!stopped(pid))
		errx(1, "process %d ended", (int)pid);
	if (!inject(pid, call, argv + 3, &result))
		return printf("%s: killed\n", argv[2]) < 0;
	if (result < 0 && result > -4096)
		return printf("%s: %s\n", argv[2], strerrorname_np((int)-result)) < 0;
	return printf("%s: %lld\n", argv[2], result) < 0;
}

#else

int main(void)
{
	errx(4, "not written for this processor");
}

#endif
