/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/fuzz_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/sys.h"
#include "daemon/loop.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_process.h"
#include "tests/unit/fake_devices.h"

#define WATCHES_MAX 64

struct watch {
	uint64_t number; /* LOOP_NONE: free */
	uint32_t events;
	loop_ready_fn fn;
	void *arg;
};

struct loop {
	uint64_t last;
	struct watch watches[WATCHES_MAX];
};

/* Also the only loop there is. */
static struct {
	unsigned int n_calls;
	struct fuzz_fault fault;
	struct fake_devices devices;
	fuzz_send_fn send;
	void *send_arg;
	struct loop loop;
	char sysfs[32];
} kernel;

/* The tree */

struct entry {
	const char *path;
	const char *text; /* NULL: a directory */
	bool link;
};

#define DEVICE(name, driver, group)                                                 \
	{"devices/" name, NULL, false},                                             \
		{"devices/" name "/uevent",                                         \
		 "DRIVER=" driver "\nPCI_CLASS=20000\nPCI_ID=8086:10D3\n", false},  \
		{"devices/" name "/driver", "../../bus/pci/drivers/" driver, true}, \
		{"devices/" name "/iommu_group", "../../groups/" group, true},      \
		{"bus/pci/devices/" name, "../../../devices/" name, true},          \
	{                                                                           \
		"groups/" group "/devices/" name, "../../../devices/" name, true    \
	}
#define CDEV(name, number)                                                                   \
	{"devices/" name "/vfio-dev", NULL, false},                                          \
		{"devices/" name "/vfio-dev/vfio" number, NULL, false},                      \
		{"devices/" name "/vfio-dev/vfio" number "/dev", "249:" number "\n", false}, \
	{                                                                                    \
		"dev/char/249:" number, "../../devices/" name "/vfio-dev/vfio" number, true  \
	}

static const struct entry entries[] = {
	{"bus", NULL, false},
	{"bus/pci", NULL, false},
	{"bus/pci/devices", NULL, false},
	{"dev", NULL, false},
	{"dev/char", NULL, false},
	{"devices", NULL, false},
	{"groups", NULL, false},
	{"groups/7", NULL, false},
	{"groups/7/devices", NULL, false},
	{"groups/8", NULL, false},
	{"groups/8/devices", NULL, false},
	DEVICE(FUZZ_DEVICE, "vfio-pci", "7"),
	CDEV(FUZZ_DEVICE, "0"),
	{"devices/" FUZZ_DEVICE "/reset_method", "flr\n", false},
	DEVICE(FUZZ_DEVICE_PEER, "vfio-pci", "7"),
	CDEV(FUZZ_DEVICE_PEER, "1"),
	DEVICE(FUZZ_DEVICE_HOST, "e1000e", "8"),
};

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void sysfs_remove(void)
{
	(void)nftw(kernel.sysfs, entry_remove, 16, FTW_DEPTH | FTW_PHYS); /* nobody else would */
}

static void entry_make(int dir_fd, const struct entry *e)
{
	if (!e->text) {
		FUZZ_CHECK(mkdirat(dir_fd, e->path, 0700) == 0);
	} else if (e->link) {
		FUZZ_CHECK(symlinkat(e->text, dir_fd, e->path) == 0);
	} else {
		CLEANUP(fd_closep) int fd = openat(dir_fd, e->path, O_WRONLY | O_CREAT, 0600);
		size_t len = strlen(e->text);

		FUZZ_CHECK(fd >= 0 && write(fd, e->text, len) == (ssize_t)len);
	}
}

int fuzz_kernel_sysfs(void)
{
	int fd;

	(void)snprintf(kernel.sysfs, sizeof(kernel.sysfs), "%s/pinbroker-fuzz.XXXXXX",
		       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"); /* it fits */
	FUZZ_CHECK(mkdtemp(kernel.sysfs) && atexit(sysfs_remove) == 0);
	fd = open(kernel.sysfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_CHECK(fd >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		entry_make(fd, &entries[i]);
	return fd;
}

/* System calls */

void fuzz_kernel_reset(fuzz_send_fn send, void *arg)
{
	fuzz_kernel_fault(NULL);
	kernel.devices.mode = UINT64_MAX;
	kernel.send = send;
	kernel.send_arg = arg;
}

void fuzz_kernel_fault(const struct fuzz_fault *fault)
{
	kernel.n_calls = 0;
	kernel.fault = fault ? *fault : (struct fuzz_fault){.nth = 0};
}

int fuzz_kernel_call(void)
{
	const struct fuzz_fault *fault = &kernel.fault;

	if (++kernel.n_calls != fault->nth)
		return 0;
	switch (fault->kind) {
	case FUZZ_FAULT_ERROR:
		return fault->err;
	case FUZZ_FAULT_EXIT:
		fuzz_process_exit(fault->who);
		return 0;
	case FUZZ_FAULT_REUSE:
		fuzz_process_reuse(fault->who);
		return 0;
	default:
		if (!fault->after)
			fault->killed();
		return 0;
	}
}

void fuzz_kernel_called(void)
{
	const struct fuzz_fault *fault = &kernel.fault;

	if (kernel.n_calls == fault->nth && fault->kind == FUZZ_FAULT_KILLED && fault->after)
		fault->killed();
}

static int fake_openat(int dir_fd, const char *path, int flags)
{
	int fd, err = fuzz_kernel_call();

	(void)dir_fd; /* there is only one tree */
	if (err)
		return err;
	fd = fake_devices_openat(&kernel.devices, path, flags);
	FUZZ_CHECK(fd >= 0 || fd == -ENOENT);
	return fd;
}

static ssize_t fake_readlinkat(int dir_fd, const char *path, char *ret_target, size_t size)
{
	int err = fuzz_kernel_call();

	return err ? err : sys_real.readlinkat(dir_fd, path, ret_target, size);
}

static int fake_ioctl(int fd, unsigned long cmd, void *arg)
{
	int err = fuzz_kernel_call();

	FUZZ_CHECK(fd >= 0);
	if (err)
		return err;
	err = fake_devices_ioctl(&kernel.devices, cmd, arg);
	FUZZ_CHECK(!err);
	return 0;
}

static int fake_fstat(int fd, struct stat *ret_st)
{
	int err = fuzz_kernel_call();

	if (err)
		return err;
	fake_devices_fstat(&kernel.devices, fd, ret_st);
	return 0;
}

static int fake_prlimit(pid_t pid, int resource, const struct rlimit *new_limit,
			struct rlimit *ret_old)
{
	FUZZ_CHECK(resource == RLIMIT_MEMLOCK);
	return fuzz_process_prlimit(pid, new_limit, ret_old);
}

static ssize_t fake_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	int err = fuzz_kernel_call();

	(void)fd; /* who is served is known */
	return err ? err : kernel.send(msg, flags, kernel.send_arg);
}

static int fake_poll(struct pollfd *fds, nfds_t n_fds, int timeout_ms)
{
	int err = fuzz_kernel_call();

	return err ? err : sys_real.poll(fds, n_fds, timeout_ms);
}

const struct sys_ops fuzz_kernel_ops = {
	.openat = fake_openat,
	.readlinkat = fake_readlinkat,
	.ioctl = fake_ioctl,
	.fstat = fake_fstat,
	.prlimit = fake_prlimit,
	.sendmsg = fake_sendmsg,
	.poll = fake_poll,
};

void log_escape(char *text, size_t len)
{
	FUZZ_CHECK(text && len); /* nobody reads it here */
}

/* The log: whatever is formatted for it must be there. */
void log_text(enum log_level level, char *text, size_t len)
{
	FUZZ_CHECK(level < LOG_LEVEL_DEBUG && text && len && memchr(text, '\0', len) == NULL);
}

void log_line(enum log_level level, const char *format, ...)
{
	char text[2048];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* cut when too long */
	va_end(args);
	FUZZ_CHECK(level <= LOG_LEVEL_DEBUG && text[0]);
}

/* The loop */

int loop_new(enum loop_kind kind, struct loop **ret_loop)
{
	(void)kind;
	*ret_loop = &kernel.loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	(void)loop; /* static */
}

void loop_freep(struct loop **loop)
{
	loop_free(*loop);
}

int loop_watch(struct loop *loop, int fd, uint32_t events, loop_ready_fn fn, void *arg,
	       uint64_t *ret_watch)
{
	/* Peers have no socket here, and wait for room in it after an answer that failed. */
	FUZZ_CHECK(events == POLLOUT || (events == POLLIN && fd >= 0));
	for (size_t i = 0; i < WATCHES_MAX; i++) {
		struct watch *watch = &loop->watches[i];

		if (watch->number != LOOP_NONE)
			continue;
		*watch = (struct watch){
			.number = ++loop->last, .events = events, .fn = fn, .arg = arg};
		*ret_watch = watch->number;
		return 0;
	}
	return -ENOMEM;
}

int loop_accept(struct loop *loop, int fd, loop_accept_fn fn, void *arg, uint64_t *ret_watch)
{
	(void)loop;
	(void)fd;
	(void)fn;
	(void)arg;
	(void)ret_watch;
	return -ENOSYS; /* nobody connects */
}

void loop_cancel(struct loop *loop, uint64_t *watch)
{
	for (size_t i = 0; i < WATCHES_MAX && *watch != LOOP_NONE; i++)
		if (loop->watches[i].number == *watch)
			loop->watches[i].number = LOOP_NONE;
	*watch = LOOP_NONE;
}

int loop_after(struct loop *loop, uint32_t ms, loop_timer_fn fn, void *arg, uint64_t *ret_watch)
{
	(void)loop;
	(void)ms;
	(void)fn;
	(void)arg;
	(void)ret_watch;
	return -ENOSYS; /* no time passes */
}

int loop_kind_parse(const char *name, enum loop_kind *ret_kind)
{
	(void)name;
	*ret_kind = LOOP_AUTO;
	return 0;
}

const char *loop_backend_name(const struct loop *loop)
{
	(void)loop;
	return "none";
}

int loop_run(struct loop *loop)
{
	(void)loop;
	return -ENOSYS;
}

void loop_stop(struct loop *loop)
{
	(void)loop;
}

size_t fuzz_kernel_watches(void)
{
	size_t n = 0;

	for (size_t i = 0; i < WATCHES_MAX; i++)
		n += kernel.loop.watches[i].number != LOOP_NONE &&
		     kernel.loop.watches[i].events == POLLIN;
	return n;
}

void fuzz_kernel_ready(void)
{
	for (size_t i = 0; i < WATCHES_MAX; i++) {
		const struct watch *watch = &kernel.loop.watches[i];

		if (watch->number != LOOP_NONE && watch->events == POLLIN)
			watch->fn(POLLIN, watch->arg);
	}
}
