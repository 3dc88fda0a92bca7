/* SPDX-License-Identifier: MIT */
/* Every test confines a child of its own: there is no way back. */
#include "daemon/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/names.h"
#include "daemon/procfs.h"
#include "tests/unit/child.h"
#include "tests/unit/suite.h"

#define UNIT "contrib/systemd/pinbrokerd.service.in"
#define JOURNAL "/run/systemd/journal/socket"
#define JOURNAL_LARGE ((size_t)16 << 20) /* twice what the lab's net.core.wmem_max comes to */
#define KILLED (1000 + SIGSYS) /* as in_child() returns it */

/* Runs fn in a child. Returns its exit status, or 1000 and the signal that ended it. */
static int in_child(int (*fn)(const void *arg), const void *arg)
{
	pid_t pid = fork();
	int status = 0;

	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0) {
		(void)alarm(60);
		_exit(fn(arg));
	}
	CU_ASSERT_FATAL(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* In a child: the last two stages. The capabilities go first where there are any to go. */
static bool confine(void)
{
	char fault[SANDBOX_FAULT_MAX];

	(void)sandbox_limit_capabilities(fault); /* has a test of its own, and may lack some */
	return sandbox_forbid_gain(fault) == 0 && sandbox_filter_calls(fault) == 0;
}

static bool can_filter(void)
{
	if (SANDBOX_SANITIZED)
		suite_skip("built with a sanitizer: there is no filter");
	return !SANDBOX_SANITIZED;
}

/* The first word of a line of the unit that begins with key, in "A B C" without line's end. */
static void unit_value(const char *key, char *ret_value, size_t size)
{
	CLEANUP(file_closep) FILE *f = fopen(UNIT, "re");
	char line[512];
	unsigned int n = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f); /* tests run in the project's directory */
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		(void)snprintf(ret_value, size, "%s", line + strlen(key));
		n++;
	}
	CU_ASSERT_EQUAL_FATAL(n, 1);
}

static void add_names(const struct sandbox_capability *kept, char *names, size_t size)
{
	for (; kept->name; kept++) {
		cap_value_t number = -1;

		CHECK(kept->name, cap_from_name(kept->name, &number) == 0);
		CHECK(kept->name, number == kept->number);
		CHECK(kept->name, kept->why[0] != '\0');
		CHECK(kept->name, !kept[1].name || kept[1].number > kept->number);
		(void)snprintf(names + strlen(names), size - strlen(names), "%s%s",
			       names[0] ? " " : "", kept->name);
	}
}

static void unit_has_the_table(void)
{
	char in_unit[512], in_table[512] = "";

	unit_value("CapabilityBoundingSet=", in_unit, sizeof(in_unit));
	add_names(sandbox_capabilities, in_table, sizeof(in_table));
	add_names(sandbox_start_capabilities, in_table, sizeof(in_table));
	CU_ASSERT_STRING_EQUAL(in_unit, in_table);
	unit_value("AmbientCapabilities=", in_unit, sizeof(in_unit));
	CU_ASSERT_STRING_EQUAL(in_unit, "");
}

static bool in_table(int number)
{
	for (const struct sandbox_capability *kept = sandbox_capabilities; kept->name; kept++)
		if (kept->number == number)
			return true;
	return false;
}

static bool has(cap_t caps, int number, cap_flag_t set)
{
	cap_flag_value_t value = CAP_CLEAR;

	return cap_get_flag(caps, number, set, &value) == 0 && value == CAP_SET;
}

/* Exit status: 0 right; 1 wrong; 2 refused with the capability's name. */
static int limit_capabilities(const void *arg)
{
	char fault[SANDBOX_FAULT_MAX] = "";
	int err = sandbox_limit_capabilities(fault);
	cap_t caps = cap_get_proc();

	(void)arg;
	if (err)
		return err == -EPERM && strstr(fault, "CAP_") ? 2 : 1;
	for (int number = 0; cap_get_bound(number) >= 0; number++) {
		bool kept = in_table(number);

		if (has(caps, number, CAP_PERMITTED) != kept ||
		    has(caps, number, CAP_EFFECTIVE) != kept ||
		    has(caps, number, CAP_INHERITABLE) || cap_get_ambient(number) != 0 ||
		    (cap_get_bound(number) == 1) != kept)
			return 1;
	}
	/* What is gone is gone; and nothing is left to drop when it is done again. */
	return sandbox_limit_capabilities(fault) == 0 ? 0 : 1;
}

static void capabilities_are_the_table(void)
{
	int status = in_child(limit_capabilities, NULL);

	if (status == 2) /* that it says so was checked */
		suite_skip("this process lacks CAP_SYS_RESOURCE or CAP_SETPCAP");
	else
		CU_ASSERT_EQUAL(status, 0);
}

/* Without one of the table there is no daemon. */
static int limit_without(const void *arg)
{
	char fault[SANDBOX_FAULT_MAX] = "";
	cap_t none = cap_init();

	(void)arg;
	if (!none || cap_set_proc(none) < 0)
		return 1;
	return sandbox_limit_capabilities(fault) == -EPERM && strstr(fault, "CAP_") ? 0 : 1;
}

static void missing_capability_is_an_error(void)
{
	CU_ASSERT_EQUAL(in_child(limit_without, NULL), 0);
}

static int forbid_gain(const void *arg)
{
	char fault[SANDBOX_FAULT_MAX];

	(void)arg;
	return sandbox_forbid_gain(fault) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0
											      : 1;
}

static void no_new_privs_is_set(void)
{
	CU_ASSERT_EQUAL(in_child(forbid_gain, NULL), 0);
}

struct call {
	const char *name;
	long number;
	long args[4];
	int expected; /* KILLED or errno */
};

#define DEAD(call)                                                      \
	{                                                               \
		.name = #call, .number = SYS_##call, .expected = KILLED \
	}
#define GONE(call)                                                      \
	{                                                               \
		.name = #call, .number = SYS_##call, .expected = ENOSYS \
	}

static const struct call forbidden[] = {
	DEAD(execve),
	DEAD(execveat),
	DEAD(ptrace),
	DEAD(process_vm_readv),
	DEAD(process_vm_writev),
	DEAD(mount),
	DEAD(umount2),
	DEAD(move_mount),
	DEAD(pivot_root),
	DEAD(chroot),
	{"unshare, a namespace", SYS_unshare, {CLONE_NEWNS}, KILLED},
	{"unshare, descriptors", SYS_unshare, {CLONE_FILES}, KILLED},
	DEAD(setns),
	{"bpf, a map", SYS_bpf, {BPF_MAP_CREATE}, ENOSYS},
	{"bpf, a program", SYS_bpf, {BPF_PROG_LOAD}, ENOSYS},
	{"bpf, an element", SYS_bpf, {BPF_MAP_UPDATE_ELEM}, ENOSYS},
	{"bpf, somebody's map", SYS_bpf, {BPF_MAP_GET_FD_BY_ID}, ENOSYS},
	DEAD(perf_event_open),
	DEAD(init_module),
	DEAD(finit_module),
	DEAD(kexec_load),
	DEAD(reboot),
	DEAD(keyctl),
	DEAD(io_uring_setup),
	DEAD(io_uring_register),
	DEAD(open_by_handle_at),
	DEAD(pidfd_getfd),
	DEAD(setuid),
	DEAD(setresuid),
	DEAD(capset),
	DEAD(seccomp),
	DEAD(fchmodat),
	DEAD(fchownat),
	DEAD(linkat),
	DEAD(symlinkat),
	DEAD(renameat2),
	DEAD(mknodat),
	DEAD(kill),
	{"a signal that does not end", SYS_pidfd_send_signal, {-1, SIGSTOP}, ENOSYS},
	DEAD(personality),
	DEAD(userfaultfd),
	GONE(bind),
	GONE(listen),
	GONE(openat2),
	GONE(clone3),
	GONE(setrlimit),
	GONE(mkdir),
	GONE(ftruncate),
	GONE(flock),
	GONE(setxattr),
	GONE(mlockall),
	{"no call of this kernel", 9999, {0}, ENOSYS},
	{"a signal to init", SYS_tgkill, {1, 1, 0}, ENOSYS},
	{"RLIMIT_NOFILE, set", SYS_prlimit64, {0, RLIMIT_NOFILE, 8}, ENOSYS},
	{"the network, IPv4", SYS_socket, {AF_INET, SOCK_STREAM}, EAFNOSUPPORT},
	{"the network, IPv6", SYS_socket, {AF_INET6, SOCK_DGRAM}, EAFNOSUPPORT},
	{"netlink", SYS_socket, {AF_NETLINK, SOCK_RAW}, EAFNOSUPPORT},
	{"packets", SYS_socket, {AF_PACKET, SOCK_RAW}, EAFNOSUPPORT},
	{"TIOCSTI", SYS_ioctl, {0, TIOCSTI}, ENOSYS},
	{"open for writing", SYS_openat, {AT_FDCWD, (long)"/dev/null", O_WRONLY}, EROFS},
	{"open a new file",
	 SYS_openat,
	 {AT_FDCWD, (long)"/dev/null/x", O_RDWR | O_CREAT | O_CLOEXEC, 0600},
	 EROFS},
	{"open and truncate", SYS_openat, {AT_FDCWD, (long)"/dev/null", O_RDWR | O_TRUNC}, EROFS},
	{"a file without a name", SYS_openat, {AT_FDCWD, (long)"/dev", O_RDWR | O_TMPFILE}, EROFS},
	{"memory to write and execute",
	 SYS_mmap,
	 {0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS},
	 EACCES},
	{"memory becomes executable", SYS_mprotect, {0, 0, PROT_READ | PROT_EXEC}, EACCES},
	{"a process", SYS_clone, {SIGCHLD}, EPERM},
	{"prctl", SYS_prctl, {PR_SET_DUMPABLE, 1}, EINVAL},
#ifdef __x86_64__
	{"a call of x32", 0x40000000 + SYS_getpid, {0}, KILLED},
#endif
};

/* Exit status: errno, 0 for success. */
static int call_confined(const void *arg)
{
	const struct call *call = arg;
	const long *args = call->args;

	if (!confine())
		return 255;
	return syscall(call->number, args[0], args[1], args[2], args[3], -1, 0) < 0 ? errno : 0;
}

static void forbidden_calls_kill_or_fail(void)
{
	if (!can_filter())
		return;
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
		CHECK(forbidden[i].name,
		      in_child(call_confined, &forbidden[i]) == forbidden[i].expected);
}

/* Returns NULL if it worked. */
static void *leave_table(void *arg)
{
	static char failed;

	(void)arg;
	return dup3(STDIN_FILENO, 3, O_CLOEXEC) == 3 &&
			       close_range(4, ~0U, CLOSE_RANGE_UNSHARE) == 0 &&
			       close_range(3, 3, 0) == 0
		       ? NULL
		       : &failed;
}

static int serve_confined(const void *arg)
{
	struct rlimit limit;
	struct stat st;
	uint64_t bytes;
	bool capable;
	pthread_t thread;
	void *left = NULL;
	char byte;
	int pair[2], fd;

	(void)arg;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 || !confine())
		return 255;
	fd = openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0 || fcntl(fd, F_DUPFD_CLOEXEC, 0) < 0)
		return 1;
	if (prlimit(0, RLIMIT_MEMLOCK, NULL, &limit) < 0 ||
	    prlimit(0, RLIMIT_MEMLOCK, &limit, NULL) < 0)
		return 2;
	if (procfs_mem_total(&bytes) || procfs_capable(getppid(), &capable))
		return 3;
	if (send(pair[0], "x", 1, MSG_NOSIGNAL) != 1 ||
	    poll(&(struct pollfd){.fd = pair[1], .events = POLLIN}, 1, 0) != 1 ||
	    recv(pair[1], &byte, 1, 0) != 1)
		return 4;
	/* What closer.c does, which is not to wait for strangers: a thread that leaves. */
	if (pthread_create(&thread, NULL, leave_table, NULL) != 0 ||
	    pthread_join(thread, &left) != 0 || left)
		return 5;
	return 0;
}

static void what_serves_is_allowed(void)
{
	if (can_filter())
		CU_ASSERT_EQUAL(in_child(serve_confined, NULL), 0);
}

/* A file that is mapped before, and grown after. */
static int record_confined(const void *arg)
{
	const size_t before = 4096, after = 1 << 20;
	CLEANUP(file_closep) FILE *file = tmpfile();
	struct statfs fs;
	struct stat st;
	char *map;

	(void)arg;
	if (!file || posix_fallocate(fileno(file), 0, (off_t)before) != 0)
		return 255;
	map = mmap(NULL, before, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
	if (map == MAP_FAILED || !confine())
		return 255;
	if (posix_fallocate(fileno(file), 0, (off_t)after) != 0)
		return 1;
	map = mremap(map, before, after, MREMAP_MAYMOVE);
	if (map == MAP_FAILED)
		return 2;
	map[after - 1] = 'x';
	if (fstat(fileno(file), &st) < 0 || st.st_size != (off_t)after ||
	    fstatfs(fileno(file), &fs) < 0)
		return 3;
	/* What posix_fallocate() is made of where the file system has no fallocate(2). */
	return pwrite(fileno(file), "x", 1, 0) == 1 ? 0 : 4;
}

static void record_grows(void)
{
	if (can_filter())
		CU_ASSERT_EQUAL(in_child(record_confined, NULL), 0);
}

/* /proc/PID/FILE */
static bool can_read(pid_t pid, const char *file)
{
	CLEANUP(fd_closep) int fd = -1;
	char path[64], text[256];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, text, sizeof(text)) > 0;
}

/* Looks at a process, and ends it. */
static int stop_confined(const void *arg)
{
	pid_t pid = *(const pid_t *)arg;
	int pidfd;

	if (!confine())
		return 255;
	if (!can_read(pid, "status") || !can_read(pid, "cgroup"))
		return 1;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0 || !can_read(getpid(), "fdinfo/0"))
		return 2;
	if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0 ||
	    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0)
		return 3;
	return poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, 60000) == 1 ? 0 : 4;
}

static void processes_are_stopped(void)
{
	struct child child;

	if (!can_filter())
		return;
	child_start(&child);
	CU_ASSERT_EQUAL(in_child(stop_confined, &child.pid), 0);
	child_exit(&child);
	CU_ASSERT_EQUAL(child_end(&child), -1);
}

/* The second fits into no datagram, however large a buffer is allowed: it goes as a descriptor. */
static int journal_confined(const void *arg)
{
	static char message[] = "MESSAGE=a test", small[] = "PINBROKER_TEST=small";
	CLEANUP(freep) char *large = malloc(JOURNAL_LARGE);
	const struct iovec first[] = {{message, strlen(message)}, {small, strlen(small)}};
	const struct iovec second[] = {{message, strlen(message)}, {large, JOURNAL_LARGE}};

	(void)arg;
	if (!large)
		return 255;
	memset(large, 'x', JOURNAL_LARGE);
	memcpy(large, small, strlen("PINBROKER_TEST="));
	if (!confine())
		return 255;
	if (sd_journal_sendv(first, 2) < 0)
		return 1;
	return sd_journal_sendv(second, 2) < 0 ? 2 : 0;
}

static void journal_is_written(void)
{
	if (access(JOURNAL, W_OK) < 0)
		suite_skip("there is no journal here");
	else if (can_filter())
		CU_ASSERT_EQUAL(in_child(journal_confined, NULL), 0);
}

/* What a reload and its C library do, in the first use of each by this process. */
static int reload_confined(const void *arg)
{
	CLEANUP(freep) void *small = malloc(8 << 20), *large = NULL;
	CLEANUP(file_closep) FILE *file = NULL;
	uid_t uid = 1;
	gid_t gid = 1;

	(void)arg;
	if (!confine())
		return 255;
	file = fopen("/dev/null", "re");
	if (!file || fgetc(file) != EOF || isatty(fileno(file)))
		return 1;
	large = small ? realloc(small, 64 << 20) : NULL;
	if (!large)
		return 2;
	small = NULL; /* moved */
	if (names_uid("root", &uid, NULL) || uid != 0 || names_gid("root", &gid, NULL) || gid != 0)
		return 3;
	/* These reach every service of nsswitch.conf. */
	if (!names_uid("nobody-has-this-name", &uid, NULL) ||
	    !names_gid("nobody-has-this-name", &gid, NULL))
		return 4;
	return sysconf(_SC_NPROCESSORS_ONLN) > 0 && sysconf(_SC_PHYS_PAGES) > 0 ? 0 : 5;
}

static void what_reloads_is_allowed(void)
{
	if (can_filter())
		CU_ASSERT_EQUAL(in_child(reload_confined, NULL), 0);
}

static int abort_confined(const void *arg)
{
	(void)arg;
	if (!confine())
		return 255;
	abort();
}

static void failed_assertion_is_seen_as_such(void)
{
	if (can_filter())
		CU_ASSERT_EQUAL(in_child(abort_confined, NULL), 1000 + SIGABRT);
}

/* An outer filter, as in a container: it refuses filters whose flags have one of these bits. */
static bool refuse_filters(unsigned int n_args, const struct scmp_arg_cmp *flags)
{
	const struct scmp_arg_cmp mode = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = PR_SET_SECCOMP};
	const uint32_t refuse = SCMP_ACT_ERRNO(EPERM);
	scmp_filter_ctx outer = seccomp_init(SCMP_ACT_ALLOW);

	return outer &&
	       seccomp_rule_add_array(outer, refuse, SCMP_SYS(seccomp), n_args, flags) == 0 &&
	       seccomp_rule_add_array(outer, refuse, SCMP_SYS(prctl), 1, &mode) == 0 &&
	       seccomp_load(outer) == 0;
}

static int filter_refused(const void *arg)
{
	char fault[SANDBOX_FAULT_MAX] = "";

	(void)arg;
	if (!refuse_filters(0, NULL))
		return 255;
	return sandbox_filter_calls(fault) < 0 && strstr(fault, "refuses") ? 0 : 1;
}

static void refused_filter_is_an_error(void)
{
	if (can_filter())
		CU_ASSERT_EQUAL(in_child(filter_refused, NULL), 0);
}

/* With SECCOMP_FILTER_FLAG_LOG the kernel logs what it refuses by this filter. */
static int filter_without_log(const void *arg)
{
	const struct scmp_arg_cmp no_log = {
		.arg = 1, .op = SCMP_CMP_MASKED_EQ, .datum_a = SECCOMP_FILTER_FLAG_LOG};
	char fault[SANDBOX_FAULT_MAX];

	(void)arg;
	return refuse_filters(1, &no_log) && sandbox_filter_calls(fault) == 0 ? 0 : 1;
}

static void refused_calls_are_logged(void)
{
	if (can_filter())
		CU_ASSERT_EQUAL(in_child(filter_without_log, NULL), 0);
}

static int filter_mode(const void *arg)
{
	char fault[SANDBOX_FAULT_MAX] = "";
	int err;

	if (setenv("PINBROKER_SECCOMP", arg, 1) < 0 || freopen("/dev/null", "we", stderr) == NULL ||
	    sandbox_forbid_gain(fault))
		return 255;
	err = sandbox_filter_calls(fault);
	if (err)
		return err == -EINVAL && strstr(fault, arg) ? 2 : 1;
	return getpgid(0) >= 0 ? 0 : 1; /* not in the table */
}

static void diagnosis_only_logs(void)
{
	if (!can_filter())
		return;
	CU_ASSERT_EQUAL(in_child(filter_mode, "log"), 0);
	CU_ASSERT_EQUAL(in_child(filter_mode, "off"), 2);
	CU_ASSERT_EQUAL(in_child(filter_mode, ""), 2);
}

static int prepare(const void *arg)
{
	(void)arg;
	if (setenv("LD_PRELOAD", "x", 1) < 0 || setenv("PINBROKER_DEBUG", "1", 1) < 0 ||
	    setenv("NOTIFY_SOCKET", "y", 1) < 0 || setenv("RES_OPTIONS", "z", 1) < 0 ||
	    dup2(STDERR_FILENO, 20) < 0)
		return 255;
	(void)prctl(PR_SET_DUMPABLE, 1); /* a suite before may have been another user for a while */
	if (sandbox_prepare())
		return 1;
	if (getenv("LD_PRELOAD") || getenv("RES_OPTIONS") || !getenv("PINBROKER_DEBUG") ||
	    !getenv("NOTIFY_SOCKET") || getenv("PATH"))
		return 2;
	if (fcntl(20, F_GETFD) >= 0 || fcntl(STDERR_FILENO, F_GETFD) < 0)
		return 3;
	if (umask(0) != 0077)
		return 4;
	return prctl(PR_GET_DUMPABLE) == SANDBOX_SANITIZED ? 0 : 5;
}

static void nothing_is_inherited(void)
{
	CU_ASSERT_EQUAL(in_child(prepare, NULL), 0);
}

/* What a service manager passed stays, and nothing behind it. */
static int prepare_activated(const void *arg)
{
	char pid[16];

	(void)arg;
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (setenv("LISTEN_PID", pid, 1) < 0 || setenv("LISTEN_FDS", "2", 1) < 0)
		return 255;
	for (int fd = 3; fd <= 5; fd++)
		if (dup2(STDERR_FILENO, fd) < 0)
			return 255;
	if (sandbox_prepare())
		return 1;
	return fcntl(3, F_GETFD) == FD_CLOEXEC && fcntl(4, F_GETFD) == FD_CLOEXEC &&
			       fcntl(5, F_GETFD) < 0 && sd_listen_fds(1) == 2
		       ? 0
		       : 2;
}

static void passed_sockets_stay(void)
{
	CU_ASSERT_EQUAL(in_child(prepare_activated, NULL), 0);
}

static const CU_TestInfo tests[] = {
	{"the unit keeps the capabilities of the table", unit_has_the_table},
	{"the process keeps the capabilities of the table", capabilities_are_the_table},
	{"a missing capability is an error that names it", missing_capability_is_an_error},
	{"no_new_privs is set", no_new_privs_is_set},
	{"forbidden calls kill, or fail where libraries cope", forbidden_calls_kill_or_fail},
	{"what serves a request is allowed", what_serves_is_allowed},
	{"a mapped file can grow", record_grows},
	{"a process can be looked at and ended", processes_are_stopped},
	{"the journal can be written, large entries too", journal_is_written},
	{"what reloads the configuration is allowed", what_reloads_is_allowed},
	{"a failed assertion ends it with SIGABRT", failed_assertion_is_seen_as_such},
	{"a filter that is refused is an error", refused_filter_is_an_error},
	{"the kernel is asked to log what it refuses", refused_calls_are_logged},
	{"PINBROKER_SECCOMP is \"log\" or an error", diagnosis_only_logs},
	{"descriptors and variables are not inherited", nothing_is_inherited},
	{"sockets of a service manager are kept", passed_sockets_stay},
	CU_TEST_INFO_NULL,
};

const struct suite suite_sandbox = {"sandbox", tests};
