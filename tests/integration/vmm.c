/* SPDX-License-Identifier: MIT */
/*
 * A VMM as far as tests need one: takes a context and cdevs it could not open itself, and performs
 * operations in order. Run as vmm IOMMUFD [DEVICE]... OP [ARG] [OP [ARG]]..., descriptors by
 * number ("-": none). Each operation writes one line, "OP[ ARG]: ok[ KEY=VALUE]..." or
 * "OP[ ARG]: ERRNO[ KEY=VALUE]...", and a failure does not end the program. Exit status: 0; 64
 * for a usage error, before anything is done.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "accounting/size.h"
#include "common/cleanup.h"
#include "iommufd/uapi.h"
#include "tests/integration/migration.h"
#include "tests/integration/mock.h"

#define DEVICES_MAX 8
#define NOTE_MAX 1024
#define EXIT_USAGE 64

struct mapping {
	uint32_t ioas_id;
	uint64_t iova;
	uint64_t len;
	void *memory; /* owned; NULL: a copy, a file, or shared with the mapping before */
};

struct vmm {
	int iommufd; /* owned, like the cdevs; -1: none */
	int devices[DEVICES_MAX];
	uint32_t device_ids[DEVICES_MAX]; /* since bind */
	size_t n_devices;
	uint32_t ioas_id; /* the last one allocated; 0: none yet */
	struct mapping *mappings; /* owned; newest last */
	size_t n_mappings;
	size_t mappings_size;
	struct late *late; /* owned; since late, until arrive */
	struct migration migration;
	/* Of the operation at hand: its argument as its kind says, what it has to say beside ok. */
	size_t device;
	const char *state;
	uint64_t number; /* bytes or a plain number */
	unsigned long count;
	char note[NOTE_MAX];
};

static void note(struct vmm *vmm, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(struct vmm *vmm, const char *format, ...)
{
	size_t used = strlen(vmm->note);
	va_list args;

	va_start(args, format);
	(void)vsnprintf(vmm->note + used, sizeof(vmm->note) - used, format, args); /* may be cut */
	va_end(args);
}

static int call(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? -errno : 0;
}

enum arg {
	ARG_NONE,
	ARG_DEVICE, /* index among the devices */
	ARG_STATE, /* DEVICE:STATE */
	ARG_NUMBER,
	ARG_SIZE,
	ARG_TIMES, /* COUNTxSIZE */
};

static const char *const arg_names[] = {
	[ARG_NONE] = "",         [ARG_DEVICE] = "DEVICE", [ARG_STATE] = "DEVICE:STATE",
	[ARG_NUMBER] = "NUMBER", [ARG_SIZE] = "SIZE",     [ARG_TIMES] = "COUNTxSIZE",
};

/* Return: 0; -EINVAL, -ERANGE. */
static int arg_parse(struct vmm *vmm, enum arg kind, const char *text)
{
	char *end;

	switch (kind) {
	case ARG_NONE:
		return 0;
	case ARG_DEVICE:
		vmm->device = strtoul(text, &end, 10);
		return *end || vmm->device >= vmm->n_devices ? -EINVAL : 0;
	case ARG_STATE:
		vmm->device = strtoul(text, &end, 10);
		vmm->state = end + 1;
		return *end != ':' || vmm->device >= vmm->n_devices ? -EINVAL : 0;
	case ARG_NUMBER:
		vmm->number = strtoull(text, &end, 0);
		return *end ? -EINVAL : 0;
	case ARG_SIZE:
		return size_parse(text, &vmm->number);
	case ARG_TIMES:
		vmm->count = strtoul(text, &end, 10);
		return *end != 'x' ? -EINVAL : size_parse(end + 1, &vmm->number);
	}
	return -EINVAL;
}

static int mapping_add(struct vmm *vmm, const struct mapping *mapping)
{
	size_t size = vmm->mappings_size ? 2 * vmm->mappings_size : 64;
	struct mapping *larger;

	if (vmm->n_mappings == vmm->mappings_size) {
		larger = reallocarray(vmm->mappings, size, sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		vmm->mappings = larger;
		vmm->mappings_size = size;
	}
	vmm->mappings[vmm->n_mappings++] = *mapping;
	return 0;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int op_alloc_ioas(struct vmm *vmm)
{
	struct uapi_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	int err = call(vmm->iommufd, UAPI_IOMMU_IOAS_ALLOC, &alloc);

	if (err)
		return err;
	vmm->ioas_id = alloc.out_ioas_id;
	note(vmm, " ioas=%u", alloc.out_ioas_id);
	return 0;
}

static int ioas_ensure(struct vmm *vmm)
{
	return vmm->ioas_id ? 0 : op_alloc_ioas(vmm);
}

static int map_memory(struct vmm *vmm, void *memory, uint64_t len, uint64_t *ret_iova)
{
	struct uapi_iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = UAPI_IOMMU_IOAS_MAP_READABLE | UAPI_IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = vmm->ioas_id,
		.user_va = (uintptr_t)memory,
		.length = len,
	};
	int err = call(vmm->iommufd, UAPI_IOMMU_IOAS_MAP, &map);

	if (!err)
		*ret_iova = map.iova;
	return err;
}

/* Maps vmm->count times the same fresh memory. Return: 0; -errno of the first that failed. */
static int map_fresh(struct vmm *vmm, int flags)
{
	uint64_t len = vmm->number;
	void *memory =
		mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	struct mapping mapping = {.len = len, .memory = memory};
	unsigned long n = 0;
	int err;

	if (memory == MAP_FAILED)
		return -errno;
	err = ioas_ensure(vmm);
	mapping.ioas_id = vmm->ioas_id;
	while (!err && n < vmm->count) {
		err = map_memory(vmm, memory, len, &mapping.iova);
		if (err)
			break;
		n++;
		err = mapping_add(vmm, &mapping);
		mapping.memory = NULL; /* the first one has it */
	}
	if (mapping.memory)
		(void)munmap(memory, len); /* nothing is mapped of it */
	note(vmm, " n=%lu", n);
	return err;
}

static int op_map_many(struct vmm *vmm)
{
	return map_fresh(vmm, 0);
}

static int op_map(struct vmm *vmm)
{
	vmm->count = 1;
	return op_map_many(vmm);
}

/* A thread in IOAS_MAP, the argument of which nobody has put there yet. */
struct late {
	pthread_t thread;
	int iommufd; /* borrowed */
	int uffd; /* owned */
	void *page; /* the argument's */
	uint64_t len;
	int err; /* what came of it */
};

static void *late_thread(void *arg)
{
	struct late *late = arg;

	late->err = call(late->iommufd, UAPI_IOMMU_IOAS_MAP, late->page);
	return NULL;
}

/* vm.unprivileged_userfaultfd must be 1. Return: 0: the thread waits for its argument; -errno. */
static int op_late(struct vmm *vmm)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	struct late *late = calloc(1, sizeof(*late));
	struct uffd_msg msg;
	sigset_t set;

	if (!late || vmm->late)
		return -ENOMEM;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM); /* which is for hold, and not the thread's end */
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	vmm->late = late;
	late->iommufd = vmm->iommufd;
	late->len = vmm->number;
	late->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	late->page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range = (struct uffdio_range){.start = (uintptr_t)late->page, .len = size};
	if (late->uffd < 0 || late->page == MAP_FAILED || ioctl(late->uffd, UFFDIO_API, &api) < 0 ||
	    ioctl(late->uffd, UFFDIO_REGISTER, &range) < 0)
		return -errno;
	if (pthread_create(&late->thread, NULL, late_thread, late))
		return -EAGAIN;
	return read(late->uffd, &msg, sizeof(msg)) == sizeof(msg) ? 0 : -EIO;
}

/* Here it is: fresh memory for the address space that there is by now. */
static int op_arrive(struct vmm *vmm)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	struct late *late = vmm->late;
	struct uapi_iommu_ioas_map *map = calloc(1, size);
	struct uffdio_copy copy = {.src = (uintptr_t)map, .len = size};
	int err;

	if (!late || !map)
		return -EINVAL;
	*map = (struct uapi_iommu_ioas_map){
		.size = sizeof(*map),
		.flags = UAPI_IOMMU_IOAS_MAP_READABLE | UAPI_IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = vmm->ioas_id,
		.user_va = (uintptr_t)mmap(NULL, late->len, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		.length = late->len,
	};
	copy.dst = (uintptr_t)late->page;
	if (ioctl(late->uffd, UFFDIO_COPY, &copy) < 0)
		return -errno;
	(void)pthread_join(late->thread, NULL); /* it is there, and nobody else waits for it */
	err = late->err;
	(void)close(late->uffd); /* of a test that ends soon, as what follows */
	free(map);
	free(late);
	vmm->late = NULL;
	return err;
}

static int op_map_huge(struct vmm *vmm)
{
	vmm->count = 1;
	return map_fresh(vmm, MAP_HUGETLB);
}

static int op_map_file(struct vmm *vmm)
{
	CLEANUP(fd_closep) int fd = memfd_create("vmm", MFD_CLOEXEC);
	struct mapping mapping = {.len = vmm->number};
	struct uapi_iommu_ioas_map_file map = {
		.size = sizeof(map),
		.flags = UAPI_IOMMU_IOAS_MAP_READABLE | UAPI_IOMMU_IOAS_MAP_WRITEABLE,
		.fd = fd,
		.length = mapping.len,
	};
	int err;

	if (fd < 0 || ftruncate(fd, (off_t)mapping.len) < 0)
		return -errno;
	err = ioas_ensure(vmm);
	map.ioas_id = mapping.ioas_id = vmm->ioas_id;
	if (!err)
		err = call(vmm->iommufd, UAPI_IOMMU_IOAS_MAP_FILE, &map);
	if (err)
		return err;
	mapping.iova = map.iova;
	return mapping_add(vmm, &mapping);
}

/* The newest mapping once more, at another address of the current IOAS. */
static int op_copy(struct vmm *vmm)
{
	struct uapi_iommu_ioas_copy copy = {
		.size = sizeof(copy),
		.flags = UAPI_IOMMU_IOAS_MAP_READABLE | UAPI_IOMMU_IOAS_MAP_WRITEABLE,
		.dst_ioas_id = vmm->ioas_id,
	};
	struct mapping mapping;
	int err;

	if (!vmm->n_mappings)
		return -ENOENT;
	mapping = vmm->mappings[vmm->n_mappings - 1];
	copy.src_ioas_id = mapping.ioas_id;
	copy.src_iova = mapping.iova;
	copy.length = mapping.len;
	err = call(vmm->iommufd, UAPI_IOMMU_IOAS_COPY, &copy);
	if (err)
		return err;
	mapping.memory = NULL;
	mapping.ioas_id = vmm->ioas_id;
	mapping.iova = copy.dst_iova;
	return mapping_add(vmm, &mapping);
}

/* The newest mapping. */
/* *length: what was unmapped. */
static int unmap_range(struct vmm *vmm, uint32_t ioas_id, uint64_t iova, uint64_t *length)
{
	struct uapi_iommu_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = ioas_id,
		.iova = iova,
		.length = *length,
	};
	int err = call(vmm->iommufd, UAPI_IOMMU_IOAS_UNMAP, &unmap);

	*length = unmap.length;
	return err;
}

/* Maps and unmaps the same memory, vmm->count times. */
static int op_churn(struct vmm *vmm)
{
	uint64_t len = vmm->number, iova, began = now_ms();
	void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (memory == MAP_FAILED)
		return -errno;
	err = ioas_ensure(vmm);
	for (unsigned long n = 0; !err && n < vmm->count; n++) {
		err = map_memory(vmm, memory, len, &iova);
		if (!err)
			err = unmap_range(vmm, vmm->ioas_id, iova, &len);
	}
	(void)munmap(memory, vmm->number);
	note(vmm, " ms=%" PRIu64, now_ms() - began);
	return err;
}

static int op_unmap(struct vmm *vmm)
{
	const struct mapping *mapping;
	uint64_t length;
	int err;

	if (!vmm->n_mappings)
		return -ENOENT;
	mapping = &vmm->mappings[vmm->n_mappings - 1];
	length = mapping->len;
	err = unmap_range(vmm, mapping->ioas_id, mapping->iova, &length);
	if (err)
		return err;
	if (mapping->memory)
		(void)munmap(mapping->memory, mapping->len); /* ours alone now */
	vmm->n_mappings--;
	note(vmm, " bytes=%" PRIu64, length);
	return 0;
}

static int op_unmap_all(struct vmm *vmm)
{
	int err = 0;

	while (!err && vmm->n_mappings) {
		vmm->note[0] = '\0';
		err = op_unmap(vmm);
	}
	vmm->note[0] = '\0';
	return err;
}

/* One after the other, each in a process of its own: the way around per-task accounting. */
static int op_fork_map(struct vmm *vmm)
{
	unsigned long n = 0;
	int err = ioas_ensure(vmm), status;
	pid_t pid;

	while (!err && n < vmm->count) {
		pid = fork();
		if (pid == 0)
			_exit(-op_map(vmm));
		if (pid < 0 || waitpid(pid, &status, 0) < 0)
			return -errno;
		err = WIFEXITED(status) ? -WEXITSTATUS(status) : -EPROTO;
		if (!err)
			n++;
	}
	note(vmm, " n=%lu", n);
	return err;
}

static int mode_option(struct vmm *vmm, uint16_t op, uint64_t *value)
{
	struct uapi_iommu_option option = {
		.size = sizeof(option),
		.option_id = UAPI_IOMMU_OPTION_RLIMIT_MODE,
		.op = op,
		.val64 = *value,
	};
	int err = call(vmm->iommufd, UAPI_IOMMU_OPTION, &option);

	*value = option.val64;
	return err;
}

static int op_get_mode(struct vmm *vmm)
{
	uint64_t mode = 0;
	int err = mode_option(vmm, UAPI_IOMMU_OPTION_OP_GET, &mode);

	if (!err)
		note(vmm, " mode=%" PRIu64, mode);
	return err;
}

static int op_set_mode(struct vmm *vmm)
{
	uint64_t mode = vmm->number;

	return mode_option(vmm, UAPI_IOMMU_OPTION_OP_SET, &mode);
}

static int op_bind(struct vmm *vmm)
{
	struct uapi_vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = vmm->iommufd,
	};
	int err = call(vmm->devices[vmm->device], UAPI_VFIO_DEVICE_BIND_IOMMUFD, &bind);

	if (err)
		return err;
	vmm->device_ids[vmm->device] = bind.out_devid;
	note(vmm, " id=%u", bind.out_devid);
	return 0;
}

static int op_attach(struct vmm *vmm)
{
	struct uapi_vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach)};
	int err = ioas_ensure(vmm);

	attach.pt_id = vmm->ioas_id;
	if (!err)
		err = call(vmm->devices[vmm->device], UAPI_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
	if (!err)
		note(vmm, " pt=%u", attach.pt_id);
	return err;
}

static int op_detach(struct vmm *vmm)
{
	struct uapi_vfio_device_detach_iommufd_pt detach = {.argsz = sizeof(detach)};

	return call(vmm->devices[vmm->device], UAPI_VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
}

static int op_info(struct vmm *vmm)
{
	struct uapi_vfio_device_info info = {.argsz = sizeof(info)};
	int err = call(vmm->devices[vmm->device], UAPI_VFIO_DEVICE_GET_INFO, &info);

	if (!err)
		note(vmm, " flags=%#x regions=%u irqs=%u", info.flags, info.num_regions,
		     info.num_irqs);
	return err;
}

/* Of a migration; what a device gives is given to the next one that resumes. */
static int op_state(struct vmm *vmm)
{
	int err = migration_enter(&vmm->migration, vmm->devices[vmm->device], vmm->state);
	const char *state = migration_state(vmm->devices[vmm->device]);

	note(vmm, " state=%s", state ? state : "-");
	return err;
}

static int op_alloc_hwpt(struct vmm *vmm)
{
	struct uapi_iommu_hwpt_alloc alloc = {
		.size = sizeof(alloc),
		.dev_id = vmm->device_ids[vmm->device],
	};
	int err = ioas_ensure(vmm);

	alloc.pt_id = vmm->ioas_id;
	if (!err)
		err = call(vmm->iommufd, UAPI_IOMMU_HWPT_ALLOC, &alloc);
	if (!err)
		note(vmm, " hwpt=%u", alloc.out_hwpt_id);
	return err;
}

static int op_destroy(struct vmm *vmm)
{
	struct uapi_iommu_destroy destroy = {
		.size = sizeof(destroy),
		.id = (uint32_t)vmm->number,
	};

	return call(vmm->iommufd, UAPI_IOMMU_DESTROY, &destroy);
}

static int op_mock(struct vmm *vmm)
{
	struct uapi_iommu_test_mock_domain mock = {
		.size = sizeof(mock),
		.op = UAPI_IOMMU_TEST_OP_MOCK_DOMAIN,
	};
	int err = ioas_ensure(vmm);

	mock.id = vmm->ioas_id;
	if (!err)
		err = call(vmm->iommufd, UAPI_IOMMU_TEST_CMD, &mock);
	if (!err)
		note(vmm, " stdev=%u", mock.out_stdev_id);
	return err;
}

static int op_change_process(struct vmm *vmm)
{
	struct uapi_iommu_ioas_change_process change = {.size = sizeof(change)};

	return call(vmm->iommufd, UAPI_IOMMU_IOAS_CHANGE_PROCESS, &change);
}

/* Any command of the context by its number, with a zeroed argument. */
static int op_ioctl(struct vmm *vmm)
{
	union {
		uint32_t size;
		char bytes[256];
	} buf = {.size = 64};

	return call(vmm->iommufd, _IO(';', vmm->number), &buf);
}

static int op_close_iommufd(struct vmm *vmm)
{
	fd_closep(&vmm->iommufd);
	return 0;
}

static int op_close_device(struct vmm *vmm)
{
	fd_closep(&vmm->devices[vmm->device]);
	return 0;
}

/* Which descriptors came along, and what they are. */
static int op_fds(struct vmm *vmm)
{
	CLEANUP(dir_closep) DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	char target[64];
	ssize_t len;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || strtol(entry->d_name, NULL, 10) == dirfd(dir))
			continue;
		len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target));
		note(vmm, " %s=%.*s", entry->d_name, (int)(len < 0 ? 0 : len), target);
	}
	return 0;
}

/* Own accounting, in bytes. */
static int op_status(struct vmm *vmm)
{
	static const struct {
		const char *field, *key;
		bool kib;
	} wanted[] = {
		{"VmPin:", "vmpin", true},
		{"VmLck:", "vmlck", true},
		{"CapEff:", "cap_eff", false},
		{"NoNewPrivs:", "no_new_privs", false},
	};
	CLEANUP(file_closep) FILE *file = fopen("/proc/self/status", "re");
	struct rlimit limit;
	char line[256];
	size_t n;

	if (!file || getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return -errno;
	note(vmm, " pid=%d uid=%u memlock=%ju memlock_hard=%ju", getpid(), getuid(),
	     (uintmax_t)limit.rlim_cur, (uintmax_t)limit.rlim_max);
	while (fgets(line, sizeof(line), file)) {
		for (n = 0; n < ARRAY_SIZE(wanted); n++) {
			size_t len = strlen(wanted[n].field);

			if (strncmp(line, wanted[n].field, len) != 0)
				continue;
			if (wanted[n].kib) /* signed: the kernel lets VmPin go below 0 */
				note(vmm, " %s=%lld", wanted[n].key,
				     strtoll(line + len, NULL, 10) * 1024);
			else
				note(vmm, " %s=%s", wanted[n].key, strtok(line + len, " \t\n"));
		}
	}
	return 0;
}

/* Writes "ready", then waits for a line on stdin, its end, or SIGTERM. */
static int op_hold(struct vmm *vmm)
{
	CLEANUP(fd_closep) int term_fd = -1;
	struct pollfd fds[2];
	sigset_t set;
	ssize_t n = 1;
	char c = '\0';

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	term_fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (term_fd < 0)
		return -errno;
	puts("ready");
	fds[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = term_fd, .events = POLLIN};
	while (n > 0 && c != '\n') {
		if (poll(fds, 2, -1) < 0)
			return -errno;
		if (fds[1].revents) {
			struct signalfd_siginfo info;

			note(vmm, " by=term");
			/* Taken, or the next hold would not wait. */
			return read(term_fd, &info, sizeof(info)) < 0 ? -errno : 0;
		}
		n = read(STDIN_FILENO, &c, 1); /* not stdio: its buffer would eat the next hold's */
	}
	note(vmm, n > 0 ? " by=line" : " by=eof");
	return 0;
}

struct op {
	const char *name;
	enum arg arg;
	int (*run)(struct vmm *vmm);
};

static const struct op ops[] = {
	{"alloc-hwpt", ARG_DEVICE, op_alloc_hwpt},
	{"alloc-ioas", ARG_NONE, op_alloc_ioas},
	{"arrive", ARG_NONE, op_arrive},
	{"attach", ARG_DEVICE, op_attach},
	{"bind", ARG_DEVICE, op_bind},
	{"change-process", ARG_NONE, op_change_process},
	{"churn", ARG_TIMES, op_churn},
	{"close-device", ARG_DEVICE, op_close_device},
	{"close-iommufd", ARG_NONE, op_close_iommufd},
	{"copy", ARG_NONE, op_copy},
	{"destroy", ARG_NUMBER, op_destroy},
	{"detach", ARG_DEVICE, op_detach},
	{"fds", ARG_NONE, op_fds},
	{"fork-map", ARG_TIMES, op_fork_map},
	{"get-mode", ARG_NONE, op_get_mode},
	{"hold", ARG_NONE, op_hold},
	{"info", ARG_DEVICE, op_info},
	{"ioctl", ARG_NUMBER, op_ioctl},
	{"late", ARG_SIZE, op_late},
	{"map", ARG_SIZE, op_map},
	{"map-file", ARG_SIZE, op_map_file},
	{"map-huge", ARG_SIZE, op_map_huge},
	{"map-many", ARG_TIMES, op_map_many},
	{"mock", ARG_NONE, op_mock},
	{"set-mode", ARG_NUMBER, op_set_mode},
	{"state", ARG_STATE, op_state},
	{"status", ARG_NONE, op_status},
	{"unmap", ARG_NONE, op_unmap},
	{"unmap-all", ARG_NONE, op_unmap_all},
};

static const struct op *op_find(const char *name)
{
	size_t n;

	for (n = 0; n < ARRAY_SIZE(ops); n++) {
		if (strcmp(ops[n].name, name) == 0)
			return &ops[n];
	}
	return NULL;
}

/* @what: the word that was not understood; NULL: there is none */
static int usage(const char *what)
{
	size_t n;

	if (what)
		(void)fprintf(stderr, "vmm: not understood: %s\n", what);
	(void)fputs("usage: vmm IOMMUFD|- [DEVICE-FD]... [OP [ARG]]...; DEVICE counts from 0\n",
		    stderr);
	for (n = 0; n < ARRAY_SIZE(ops); n++)
		(void)fprintf(stderr, "  %s %s\n", ops[n].name, arg_names[ops[n].arg]);
	return EXIT_USAGE;
}

/* Return: how many of @args are descriptors; -EINVAL. */
static int parse_fds(struct vmm *vmm, char **args)
{
	int n, fd;
	char *end;

	for (n = 0; args[n]; n++) {
		fd = (int)strtol(args[n], &end, 10);
		if (strcmp(args[n], "-") == 0)
			fd = -1;
		else if (end == args[n] || *end)
			break;
		if (n == 0)
			vmm->iommufd = fd;
		else if (vmm->n_devices < DEVICES_MAX)
			vmm->devices[vmm->n_devices++] = fd;
		else
			return -EINVAL;
	}
	return n ? n : -EINVAL;
}

/* Performs an operation, or only checks it. Return: how many of @args it is; -EINVAL. */
static int op_run(struct vmm *vmm, char **args, bool dry)
{
	const struct op *op = op_find(args[0]);
	const char *arg;
	int err;

	if (!op || (op->arg && (!args[1] || arg_parse(vmm, op->arg, args[1]))))
		return -EINVAL;
	arg = op->arg ? args[1] : "";
	if (!dry) {
		vmm->note[0] = '\0';
		err = op->run(vmm);
		printf("%s%s%s: %s%s\n", op->name, *arg ? " " : "", arg,
		       err ? strerrorname_np(-err) : "ok", vmm->note);
	}
	return op->arg ? 2 : 1;
}

int main(int argc, char **argv)
{
	struct vmm vmm = {.iommufd = -1, .migration = {.data_fd = -1}};
	int first = argc > 1 ? parse_fds(&vmm, argv + 1) + 1 : 0, n = first, words;

	if (first <= 0)
		return usage(argv[1]);
	for (; n < argc; n += words) {
		words = op_run(&vmm, argv + n, true);
		if (words < 0)
			return usage(argv[n]);
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* whoever reads waits for a line */
	for (n = first; n < argc; n += words)
		words = op_run(&vmm, argv + n, false);
	free(vmm.mappings);
	return 0;
}
