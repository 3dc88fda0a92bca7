/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/fuzz_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/proto.h"
#include "daemon/procfs.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_kernel.h"

struct person {
	uid_t uid, effective_uid;
	gid_t gids[FUZZ_GIDS];
	bool capable;
	uint64_t locked, pinned;
	const char *cgroup;
};

static const struct person persons[FUZZ_PROCESSES] = {
	[FUZZ_TENANT] = {.uid = FUZZ_UID_TENANT,
			 .effective_uid = FUZZ_UID_TENANT,
			 .gids = {FUZZ_UID_TENANT, 4},
			 .locked = 4096,
			 .cgroup = "/user.slice/tenant"},
	[FUZZ_ROOT] = {.cgroup = "/system.slice/root"},
	[FUZZ_ADMIN] = {.uid = FUZZ_UID_ADMIN,
			.effective_uid = FUZZ_UID_ADMIN,
			.gids = {FUZZ_UID_ADMIN, 4},
			.cgroup = "/user.slice/admin"},
	[FUZZ_STRANGER] = {.uid = FUZZ_UID_STRANGER,
			   .effective_uid = FUZZ_UID_STRANGER,
			   .gids = {FUZZ_UID_STRANGER, FUZZ_UID_STRANGER},
			   .cgroup = "/"},
	[FUZZ_TENANT_TOO] = {.uid = FUZZ_UID_TENANT,
			     .effective_uid = FUZZ_UID_TENANT,
			     .gids = {FUZZ_UID_TENANT, 4},
			     .locked = UINT64_C(1) << 40,
			     .pinned = UINT64_C(1) << 20,
			     .cgroup = "/machine.slice/second.scope"},
	[FUZZ_GUEST] = {.uid = FUZZ_UID_GUEST,
			.effective_uid = FUZZ_UID_GUEST,
			.gids = {FUZZ_UID_GUEST, 36},
			.locked = 8192,
			.pinned = 16384,
			.cgroup = "/machine.slice/guest.scope"},
	[FUZZ_MANAGER] = {.capable = true, .cgroup = "/system.slice/manager"},
	[FUZZ_SETID] = {.uid = FUZZ_UID_TENANT,
			.gids = {FUZZ_UID_TENANT, 4},
			.locked = PROTO_UNKNOWN,
			.cgroup = "/user.slice/tenant"},
};

static struct {
	struct fuzz_process now[FUZZ_PROCESSES];
	struct fuzz_process saved[FUZZ_PROCESSES];
	int pidfds[FUZZ_PROCESSES][FUZZ_GENERATIONS]; /* 0: not made yet */
	struct stat stats[FUZZ_PROCESSES][FUZZ_GENERATIONS]; /* of these */
	fuzz_kill_fn killed;
} world;

/* What these stand for; the linker calls the real ones so. */
int __real_fstat64(int fd, struct stat *ret_st);
int __wrap_fstat64(int fd, struct stat *ret_st);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);
long __wrap_syscall(long number, ...);

/* The table */

static void make_pidfds(void)
{
	for (size_t i = 0; i < FUZZ_PROCESSES; i++) {
		for (size_t g = 0; g < FUZZ_GENERATIONS; g++) {
			int fd = memfd_create("pidfd", MFD_CLOEXEC);

			FUZZ_CHECK(fd > 0 && __real_fstat64(fd, &world.stats[i][g]) == 0);
			world.pidfds[i][g] = fd;
		}
	}
}

void fuzz_process_reset(fuzz_kill_fn killed)
{
	if (!world.pidfds[0][0])
		make_pidfds();
	for (size_t i = 0; i < FUZZ_PROCESSES; i++)
		world.now[i] = (struct fuzz_process){.limit = fuzz_process_limit_before()};
	world.killed = killed;
}

struct rlimit fuzz_process_limit_before(void)
{
	return (struct rlimit){.rlim_cur = 64 << 10, .rlim_max = 128 << 10};
}

const struct fuzz_process *fuzz_process_at(unsigned int who)
{
	return &world.now[who];
}

uid_t fuzz_process_uid(unsigned int who)
{
	return persons[who].effective_uid;
}

uid_t fuzz_process_real_uid(unsigned int who)
{
	return persons[who].uid;
}

const gid_t *fuzz_process_gids(unsigned int who)
{
	return persons[who].gids;
}

int fuzz_process_pidfd(unsigned int who, unsigned int generation)
{
	return world.pidfds[who][generation];
}

void fuzz_process_exit(unsigned int who)
{
	struct fuzz_process *process = &world.now[who];

	process->gone = process->exited;
	process->exited = true;
}

void fuzz_process_reuse(unsigned int who)
{
	struct fuzz_process *process = &world.now[who];

	if (process->generation + 1 == FUZZ_GENERATIONS)
		return;
	*process = (struct fuzz_process){.generation = process->generation + 1,
					 .limit = fuzz_process_limit_before()};
}

void fuzz_process_lower(unsigned int who)
{
	struct fuzz_process *process = &world.now[who];

	if (process->limit.rlim_cur == process->limit.rlim_max)
		process->limit.rlim_cur /= 2;
	else
		process->limit.rlim_max = process->limit.rlim_cur;
	process->lowered = true;
}

void fuzz_process_excuse(bool went_on)
{
	for (size_t i = 0; i < FUZZ_PROCESSES; i++) {
		world.now[i].excused |= went_on && world.now[i].limit_failed;
		world.now[i].limit_failed = false;
	}
}

void fuzz_process_save(void)
{
	memcpy(world.saved, world.now, sizeof(world.saved));
}

void fuzz_process_rewind(void)
{
	memcpy(world.now, world.saved, sizeof(world.now));
}

/* By pid; NULL: there is none. */
static struct fuzz_process *find(pid_t pid)
{
	const long who = (long)pid - FUZZ_PID(0);

	if (who < 0 || who >= FUZZ_PROCESSES || world.now[who].gone)
		return NULL;
	return &world.now[who];
}

static const struct person *person(const struct fuzz_process *process)
{
	return &persons[process - world.now];
}

/* What a descriptor is a pidfd of. */
static bool find_pidfd(const struct stat *st, size_t *ret_who, unsigned int *ret_generation)
{
	for (size_t i = 0; i < FUZZ_PROCESSES; i++) {
		for (unsigned int g = 0; g < FUZZ_GENERATIONS; g++) {
			if (world.stats[i][g].st_ino != st->st_ino ||
			    world.stats[i][g].st_dev != st->st_dev)
				continue;
			*ret_who = i;
			*ret_generation = g;
			return true;
		}
	}
	return false;
}

static bool has_exited(size_t who, unsigned int generation)
{
	return generation < world.now[who].generation || world.now[who].exited;
}

/* System calls */

int fuzz_process_prlimit(pid_t pid, const struct rlimit *new_limit, struct rlimit *ret_old)
{
	struct fuzz_process *process = find(pid);
	int err = fuzz_kernel_call();

	if (process)
		process->limit_failed |= err != 0;
	if (!process || err)
		return err ? err : -ESRCH;
	process = find(pid); /* that call may have been its last */
	if (!process)
		return -ESRCH;
	if (ret_old)
		*ret_old = process->limit;
	if (new_limit) {
		FUZZ_CHECK(new_limit->rlim_cur <= new_limit->rlim_max);
		process->limit = *new_limit;
	}
	fuzz_kernel_called();
	return 0;
}

int __wrap_fstat64(int fd, struct stat *ret_st)
{
	unsigned int generation;
	size_t who;

	if (__real_fstat64(fd, ret_st) < 0)
		return -1;
	if (find_pidfd(ret_st, &who, &generation))
		ret_st->st_ino = FUZZ_INODE(who, generation);
	return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	(void)clock;
	*ret_time = (struct timespec){.tv_sec = 0};
	return 0;
}

static int open_pidfd(pid_t pid)
{
	int err = fuzz_kernel_call();
	const struct fuzz_process *process = find(pid);

	/* Nothing else happens to one that is there (pidfd_open(2)). */
	if (err)
		return err == -ENOMEM ? -ENOMEM : -EMFILE;
	if (!process)
		return -ESRCH;
	return fcntl(world.pidfds[process - world.now][process->generation], F_DUPFD_CLOEXEC, 0);
}

static int send_signal(int pidfd, int number)
{
	int err = fuzz_kernel_call();
	unsigned int generation;
	struct stat st;
	size_t who;

	FUZZ_CHECK(number == SIGKILL && __real_fstat64(pidfd, &st) == 0);
	FUZZ_CHECK(find_pidfd(&st, &who, &generation));
	if (err)
		return err;
	world.killed(FUZZ_INODE(who, generation));
	if (generation != world.now[who].generation || world.now[who].gone)
		return -ESRCH;
	world.now[who].exited = true;
	return 0;
}

long __wrap_syscall(long number, ...)
{
	int first, second, ret;
	va_list args;

	va_start(args, number);
	first = va_arg(args, int);
	second = va_arg(args, int);
	va_end(args);
	FUZZ_CHECK(number == SYS_pidfd_open || number == SYS_pidfd_send_signal);
	ret = number == SYS_pidfd_open ? open_pidfd(first) : send_signal(first, second);
	if (ret >= 0)
		return ret;
	errno = -ret;
	return -1;
}

/* daemon/procfs.h */

/* The process that has the pid, unless the look fails. */
static int look(pid_t pid, const struct fuzz_process **ret_process)
{
	int err = fuzz_kernel_call();

	*ret_process = find(pid);
	if (err)
		return err;
	return *ret_process ? 0 : -ESRCH;
}

int procfs_locked(pid_t pid, struct procfs_locked *ret_locked)
{
	const struct fuzz_process *process;
	int err = look(pid, &process);

	if (!err)
		*ret_locked = (struct procfs_locked){.locked = person(process)->locked,
						     .pinned = person(process)->pinned};
	return err;
}

int procfs_ids(pid_t pid, struct procfs_ids *ret_ids)
{
	const struct fuzz_process *process;
	const struct person *who;
	int err = look(pid, &process);

	if (err)
		return err;
	who = person(process);
	*ret_ids = (struct procfs_ids){.uid = who->uid,
				       .effective_uid = who->effective_uid,
				       .effective_gid = who->gids[0],
				       .gids = malloc(sizeof(who->gids)),
				       .n_gids = ARRAY_SIZE(who->gids)};
	FUZZ_CHECK(ret_ids->gids);
	memcpy(ret_ids->gids, who->gids, sizeof(who->gids));
	return 0;
}

int procfs_cgroup(pid_t pid, char ret_cgroup[static PROCFS_CGROUP_MAX])
{
	const struct fuzz_process *process;
	int err = look(pid, &process);

	if (!err)
		(void)snprintf(ret_cgroup, PROCFS_CGROUP_MAX, "%s", person(process)->cgroup);
	return err;
}

/* A number for each name, as far as that matters. */
int procfs_cgroup_id(const char *cgroup, uint64_t *ret_id)
{
	uint64_t id = 1;

	for (; *cgroup; cgroup++)
		id = id * 31 + (unsigned char)*cgroup;
	*ret_id = id;
	return 0;
}

int procfs_comm(pid_t pid, char ret_comm[static PROCFS_COMM_MAX])
{
	(void)snprintf(ret_comm, PROCFS_COMM_MAX, "fuzz-%d", (int)pid);
	return 0;
}

int procfs_capable(pid_t pid, bool *ret_capable)
{
	const struct fuzz_process *process;
	int err = look(pid, &process);

	if (!err)
		*ret_capable = person(process)->capable;
	return err;
}

bool procfs_exited(int pidfd)
{
	unsigned int generation;
	struct stat st;
	size_t who;

	FUZZ_CHECK(__real_fstat64(pidfd, &st) == 0 && find_pidfd(&st, &who, &generation));
	return has_exited(who, generation);
}

int procfs_processes(procfs_process_fn fn, void *arg)
{
	int err = fuzz_kernel_call();

	for (size_t i = 0; !err && i < FUZZ_PROCESSES; i++) {
		const struct procfs_process process = {
			.pid = FUZZ_PID(i),
			.uid = persons[i].uid,
			.comm = "\n\x80 a name\\",
			.locked = {.locked = persons[i].locked, .pinned = persons[i].pinned},
		};

		if (!fn(&process, arg))
			break;
	}
	return err;
}

int procfs_pins(uint64_t *ret_pages)
{
	*ret_pages = 4711;
	return fuzz_kernel_call();
}

uint32_t procfs_device_number(const char *path, const char *name)
{
	(void)path;
	(void)name;
	return 0;
}

uint32_t procfs_cdev_major(void)
{
	return 0;
}

/* Of a daemon's start, which there is none of. */
int procfs_mem_total(uint64_t *ret_bytes)
{
	(void)ret_bytes;
	return -ENOSYS;
}

int procfs_boot_id(char ret_id[static PROCFS_BOOT_ID_MAX])
{
	ret_id[0] = '\0';
	return -ENOSYS;
}

int procfs_overflow_uid(uid_t *ret_uid)
{
	(void)ret_uid;
	return -ENOSYS;
}
