/* SPDX-License-Identifier: MIT */
#include "daemon/sandbox_calls.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "iommufd/uapi.h"

/*
 * What an open() for the daemon's purposes never has: it neither makes nor truncates files, and
 * what it writes to (devices) it also reads.
 */
#define SANDBOX_TMPFILE (O_TMPFILE & ~O_DIRECTORY)
#define SANDBOX_OPEN_NEVER (O_WRONLY | O_CREAT | O_TRUNC | SANDBOX_TMPFILE)

#define SANDBOX_NAMESPACES                                                            \
	(CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | \
	 CLONE_NEWUSER | CLONE_NEWUTS)

/* What happens to a system call. */
struct sandbox_call {
	const char *name; /* unknown to this libseccomp or processor: no row */
	uint32_t action; /* SCMP_ACT_* */
	unsigned int n_args; /* how many of args count: 0 or 1 */
	struct scmp_arg_cmp args[1]; /* the row holds for calls like this */
};

#define IF(number, comparison, ...) \
	.n_args = 1, .args = {{.arg = (number), .op = (comparison), __VA_ARGS__}}
#define IF_IS(number, value) IF(number, SCMP_CMP_EQ, .datum_a = (value))
#define IF_NOT(number, value) IF(number, SCMP_CMP_NE, .datum_a = (value))
#define IF_BITS(number, mask, value) \
	IF(number, SCMP_CMP_MASKED_EQ, .datum_a = (mask), .datum_b = (value))

/* Each row has its reason, for who reads this. */
#define ROW(call, what, reason, ...)                            \
	{                                                       \
		.name = (call), .action = (what), ##__VA_ARGS__ \
	}
#define PASS(call, ...) ROW(call, SCMP_ACT_ALLOW, __VA_ARGS__)
#define FAIL(number, call, ...) ROW(call, SCMP_ACT_ERRNO(number), __VA_ARGS__)
#define KILL(call, ...) ROW(call, SCMP_ACT_KILL_PROCESS, __VA_ARGS__)

#define SERVE "the broker's own work"
#define LIBC "the C library, any time"
#define JOURNAL "audit lines to the journal (sd_journal_sendv)"
#define RECORD "the record of sessions"
#define NSS "names of users and groups at a reload: files, nscd, and the modules sss and systemd"
#define COPES "libraries try it and go on without"
#define PROCESSES "reaches into other processes"
#define SYSTEM "changes the whole system"
#define FILES "changes files"
#define SELF "turns this process into another"

/*
 * As from an older kernel, without the call: libraries are made to cope with that. So they do
 * without clone3() and openat2(), whose flags a filter cannot see.
 */
#define SANDBOX_OTHERS SCMP_ACT_ERRNO(ENOSYS)

/*
 * In ascending order of suspicion: what the broker does; what the C library does; what modules of
 * the name service do, which are strangers in this process; what those want and can do without;
 * what nobody but an intruder tries.
 *
 * What is not here fails with SANDBOX_OTHERS. It does not kill: which calls a name service makes
 * changes with each version of it (systemd 262 reads extended attributes, on 7.2 only), and a
 * reload that ended the daemon would be worse than one that does not find a name.
 */
static const struct sandbox_call sandbox_calls[] = {
	PASS("accept4", SERVE),
	PASS("bpf", SERVE ": reads a session's figures", IF_IS(0, BPF_PROG_TEST_RUN)),
	PASS("bpf", SERVE ": firings that were missed", IF_IS(0, BPF_OBJ_GET_INFO_BY_FD)),
	PASS("bpf", SERVE ": who has a session's descriptors", IF_IS(0, BPF_ITER_CREATE)),
	PASS("bpf", SERVE ": somebody listens to the trace", IF_IS(0, BPF_LINK_CREATE)),
	PASS("capget", SERVE ": is a requester capable?"),
	PASS("clone", SERVE ": threads that close (closer.c)",
	     IF_BITS(0, CLONE_THREAD | SANDBOX_NAMESPACES, CLONE_THREAD)),
	PASS("close_range", SERVE ": closer.c leaves the descriptor table"),
	PASS("dup3", SERVE ": closer.c"),
	PASS("connect", SERVE ": notices to systemd; " NSS),
	PASS("epoll_ctl", SERVE ": the loop without io_uring; " NSS),
	PASS("epoll_pwait", SERVE ": epoll_wait() on newer processors"),
	PASS("epoll_wait", SERVE ": the loop without io_uring; " NSS),
	PASS("faccessat", SERVE ": sysfs, configuration"),
	PASS("faccessat2", SERVE ": sysfs, configuration"),
	PASS("fallocate", RECORD " grows"),
	PASS("fcntl", SERVE ": copies of pidfds; " JOURNAL),
	PASS("fstat", SERVE),
	PASS("fstatfs", SERVE ": is it a pidfd? " RECORD),
	PASS("getdents64", SERVE ": sysfs, policy.d"),
	PASS("getsockopt", SERVE ": who is at the other end?"),
	PASS("io_uring_enter", SERVE ": the loop, whose ring allows three operations"),
	PASS("memfd_create", JOURNAL ": large ones"),
	PASS("mkdirat", SERVE ": a cgroup for a session"),
	PASS("mremap", RECORD " grows; " LIBC),
	PASS("newfstatat", SERVE),
	PASS("pidfd_open", SERVE ": processes that the record names, and those to be stopped"),
	PASS("pidfd_send_signal", SERVE ": revoke --kill", IF_IS(1, SIGKILL)),
	PASS("pidfd_send_signal", SERVE ": could it be stopped?", IF_IS(1, 0)),
	PASS("poll", SERVE ": has a process exited?"),
	PASS("ppoll", SERVE ": poll() on newer processors"),
	PASS("prctl", JOURNAL ": the name of a memfd", IF_IS(0, PR_GET_NAME)),
	PASS("prlimit64", SERVE ": limits of owners", IF_IS(1, RLIMIT_MEMLOCK)),
	PASS("pwrite64", RECORD ": posix_fallocate() where the file system has none"),
	PASS("readlinkat", SERVE ": sysfs, configuration"),
	PASS("recvmsg", SERVE),
	PASS("sendmsg", SERVE "; " JOURNAL),
	PASS("sendto", SERVE ": notices to systemd; " NSS),
	PASS("setsockopt", SERVE ": SO_PASSCRED of an early connection, SO_OOBINLINE; " JOURNAL),
	PASS("shutdown", SERVE ": closer.c; " NSS),
	PASS("socket", SERVE ": notices to systemd; " JOURNAL "; " NSS, IF_IS(0, AF_UNIX)),
	PASS("statx", SERVE ": stat() where it is made of it"),
	PASS("umask", SERVE ": a cgroup that its user may look at"),
	PASS("unlink", SERVE ": its socket, at the end"),
	PASS("unlinkat", SERVE ": unlink() on newer processors"),
	PASS("ioctl", SERVE ": a context's accounting", IF_IS(1, UAPI_IOMMU_OPTION)),
	PASS("ioctl", LIBC ": isatty()", IF_IS(1, TCGETS)),
#ifdef TCGETS2
	PASS("ioctl", LIBC ": isatty(), since 2.42", IF_IS(1, TCGETS2)),
#endif
	PASS("openat", SERVE, IF_BITS(2, SANDBOX_OPEN_NEVER, 0)),

	PASS("brk", LIBC),
	PASS("clock_getres", LIBC),
	PASS("clock_gettime", LIBC),
	PASS("clock_nanosleep", LIBC),
	PASS("close", LIBC),
	PASS("exit", LIBC),
	PASS("exit_group", LIBC),
	PASS("futex", LIBC),
	PASS("getcpu", LIBC),
	PASS("getegid", LIBC),
	PASS("geteuid", LIBC),
	PASS("getgid", LIBC),
	PASS("getpid", LIBC),
	PASS("getrandom", LIBC),
	PASS("gettid", LIBC),
	PASS("gettimeofday", LIBC),
	PASS("getuid", LIBC),
	PASS("lseek", LIBC),
	PASS("madvise", LIBC),
	PASS("mmap", LIBC ": nothing is mapped to be written and executed at once",
	     IF_BITS(2, PROT_EXEC, 0)),
	PASS("mmap", LIBC ": loads a module of the name service", IF_BITS(2, PROT_WRITE, 0)),
	PASS("mprotect", LIBC ": nothing becomes executable later", IF_BITS(2, PROT_EXEC, 0)),
	PASS("munmap", LIBC),
	PASS("nanosleep", LIBC),
	PASS("pread64", LIBC),
	PASS("prlimit64", LIBC ": reads limits", IF_IS(2, 0)),
	PASS("read", LIBC),
	PASS("readv", LIBC),
	PASS("restart_syscall", LIBC),
	PASS("rseq", LIBC ": threads"),
	PASS("rt_sigaction", LIBC ": abort()"),
	PASS("rt_sigprocmask", LIBC),
	PASS("rt_sigreturn", LIBC),
	PASS("sched_getaffinity", LIBC ": how many processors?"),
	PASS("sched_yield", LIBC),
	PASS("set_robust_list", LIBC ": threads"),
	PASS("sysinfo", LIBC ": how much memory?"),
	PASS("time", LIBC),
	PASS("uname", LIBC),
	PASS("write", LIBC ": the log"),
	PASS("writev", LIBC "; " JOURNAL),

	PASS("access", NSS),
	PASS("dup", NSS),
	PASS("epoll_create1", NSS),
	PASS("epoll_pwait2", NSS),
	PASS("eventfd2", NSS),
	PASS("getgroups", NSS),
	PASS("getpeername", NSS),
	PASS("getppid", NSS),
	PASS("getresgid", NSS),
	PASS("getresuid", NSS),
	PASS("getsockname", NSS),
	PASS("pselect6", NSS),
	PASS("readlink", NSS),
	PASS("recvfrom", NSS),
	PASS("select", NSS),
	PASS("stat", NSS),
	PASS("statfs", NSS),
	PASS("timerfd_create", NSS),
	PASS("timerfd_settime", NSS),

	FAIL(EPERM, "clone", COPES ": no child processes", IF_BITS(0, CLONE_THREAD, 0)),
	FAIL(EPERM, "fork", COPES ": no child processes"),
	FAIL(EOPNOTSUPP, "fgetxattr", COPES ": systemd's user records"),
	FAIL(EOPNOTSUPP, "fsetxattr", COPES ": systemd's sockets"),
	FAIL(EOPNOTSUPP, "getxattr", COPES ": systemd's user records"),
	FAIL(EOPNOTSUPP, "lgetxattr", COPES ": systemd's user records"),
	FAIL(EACCES, "mmap", COPES, IF_BITS(2, PROT_WRITE | PROT_EXEC, PROT_WRITE | PROT_EXEC)),
	FAIL(EACCES, "mprotect", COPES, IF_BITS(2, PROT_EXEC, PROT_EXEC)),
	FAIL(EOPNOTSUPP, "name_to_handle_at", COPES),
	FAIL(EROFS, "openat", COPES ": files of their own", IF_BITS(2, O_WRONLY, O_WRONLY)),
	FAIL(EROFS, "openat", COPES ": files of their own", IF_BITS(2, O_CREAT, O_CREAT)),
	FAIL(EROFS, "openat", COPES ": files of their own", IF_BITS(2, O_TRUNC, O_TRUNC)),
	FAIL(EROFS, "openat", COPES ": files of their own",
	     IF_BITS(2, SANDBOX_TMPFILE, SANDBOX_TMPFILE)),
	FAIL(EINVAL, "prctl", COPES ": they name themselves and their memory",
	     IF_NOT(0, PR_GET_NAME)),
	FAIL(EAFNOSUPPORT, "socket", COPES ": the network", IF_NOT(0, AF_UNIX)),

	KILL("kill", PROCESSES),
	KILL("pidfd_getfd", PROCESSES),
	KILL("process_madvise", PROCESSES),
	KILL("process_vm_readv", PROCESSES),
	KILL("process_vm_writev", PROCESSES),
	KILL("ptrace", PROCESSES),
	KILL("rt_sigqueueinfo", PROCESSES),
	KILL("rt_tgsigqueueinfo", PROCESSES),
	KILL("tkill", PROCESSES),
	KILL("capset", SELF),
	KILL("execve", SELF),
	KILL("execveat", SELF),
	KILL("io_uring_register", SELF),
	KILL("io_uring_setup", SELF),
	KILL("modify_ldt", SELF),
	KILL("personality", SELF),
	KILL("seccomp", SELF),
	KILL("setfsgid", SELF),
	KILL("setfsuid", SELF),
	KILL("setgid", SELF),
	KILL("setgroups", SELF),
	KILL("setns", SELF),
	KILL("setregid", SELF),
	KILL("setresgid", SELF),
	KILL("setresuid", SELF),
	KILL("setreuid", SELF),
	KILL("setuid", SELF),
	KILL("unshare", SELF),
	KILL("userfaultfd", SELF),
	KILL("chmod", FILES),
	KILL("chown", FILES),
	KILL("fchmod", FILES),
	KILL("fchmodat", FILES),
	KILL("fchmodat2", FILES),
	KILL("fchown", FILES),
	KILL("fchownat", FILES),
	KILL("lchown", FILES),
	KILL("link", FILES),
	KILL("linkat", FILES),
	KILL("mknod", FILES),
	KILL("mknodat", FILES),
	KILL("open_by_handle_at", FILES),
	KILL("rename", FILES),
	KILL("renameat", FILES),
	KILL("renameat2", FILES),
	KILL("symlink", FILES),
	KILL("symlinkat", FILES),
	KILL("acct", SYSTEM),
	KILL("add_key", SYSTEM),
	KILL("adjtimex", SYSTEM),
	KILL("chroot", SYSTEM),
	KILL("clock_adjtime", SYSTEM),
	KILL("clock_settime", SYSTEM),
	KILL("delete_module", SYSTEM),
	KILL("finit_module", SYSTEM),
	KILL("fsconfig", SYSTEM),
	KILL("fsmount", SYSTEM),
	KILL("fsopen", SYSTEM),
	KILL("fspick", SYSTEM),
	KILL("init_module", SYSTEM),
	KILL("ioperm", SYSTEM),
	KILL("iopl", SYSTEM),
	KILL("kexec_file_load", SYSTEM),
	KILL("kexec_load", SYSTEM),
	KILL("keyctl", SYSTEM),
	KILL("mount", SYSTEM),
	KILL("mount_setattr", SYSTEM),
	KILL("move_mount", SYSTEM),
	KILL("open_tree", SYSTEM),
	KILL("perf_event_open", SYSTEM),
	KILL("pivot_root", SYSTEM),
	KILL("quotactl", SYSTEM),
	KILL("quotactl_fd", SYSTEM),
	KILL("reboot", SYSTEM),
	KILL("request_key", SYSTEM),
	KILL("setdomainname", SYSTEM),
	KILL("sethostname", SYSTEM),
	KILL("settimeofday", SYSTEM),
	KILL("swapoff", SYSTEM),
	KILL("swapon", SYSTEM),
	KILL("syslog", SYSTEM),
	KILL("umount2", SYSTEM),
	KILL("vhangup", SYSTEM),
};

/* Ignored: -EDOM, no such call on this processor. */
static int sandbox_calls_add(scmp_filter_ctx filter, const struct sandbox_call *call)
{
	int number = seccomp_syscall_resolve_name(call->name), err;

	if (number == __NR_SCMP_ERROR)
		return 0;
	err = seccomp_rule_add_array(filter, call->action, number, call->n_args, call->args);
	return err == -EDOM ? 0 : err;
}

static int sandbox_calls_fill(scmp_filter_ctx filter, bool only_log)
{
	const struct scmp_arg_cmp own = {
		.arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)getpid()};
	int err = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	if (!err)
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
	if (!err) /* a tree: else calls whose arguments count come after some hundred others */
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; !err && i < ARRAY_SIZE(sandbox_calls); i++)
		if (!only_log || sandbox_calls[i].action == SCMP_ACT_ALLOW)
			err = sandbox_calls_add(filter, &sandbox_calls[i]);
	if (!err) /* for abort(): uid 0 may signal to more than itself */
		err = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &own);
	return err;
}

int sandbox_calls_filter(bool only_log, scmp_filter_ctx *ret_filter)
{
	scmp_filter_ctx filter = seccomp_init(only_log ? SCMP_ACT_LOG : SANDBOX_OTHERS);
	int err;

	if (!filter)
		return -ENOMEM;
	err = sandbox_calls_fill(filter, only_log);
	if (err) {
		seccomp_release(filter);
		return err;
	}
	*ret_filter = filter;
	return 0;
}
