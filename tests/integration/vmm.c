/* SPDX-License-Identifier: MIT */
/*
 * A VMM as far as tests need one: takes a context and cdevs it could not open itself, and performs
 * operations in order. Run as vmm IOMMUFD [DEVICE]... OP [ARG] [OP [ARG]]..., descriptors by
 * number ("-": none; "PID:NUMBER": that of another process, by root). Each operation writes one
 * line, "OP[ ARG]: ok[ KEY=VALUE]..." or "OP[ ARG]: ERRNO[ KEY=VALUE]...", and a failure does not
 * end the program. Exit status: 0; 64 for a usage error, before anything is done.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accounting/size.h"
#include "common/cleanup.h"
#include "iommufd/uapi.h"
#include "tests/integration/mock.h"
#include "tests/integration/vmm.h"

#define EXIT_USAGE 64

void vmm_note(struct vmm *vmm, const char *format, ...)
{
	size_t used = strlen(vmm->note);
	va_list args;

	va_start(args, format);
	(void)vsnprintf(vmm->note + used, sizeof(vmm->note) - used, format, args); /* may be cut */
	va_end(args);
}

int vmm_call(int fd, unsigned long cmd, void *arg)
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

static int op_alloc_ioas(struct vmm *vmm)
{
	struct uapi_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	int err = vmm_call(vmm->iommufd, UAPI_IOMMU_IOAS_ALLOC, &alloc);

	if (err)
		return err;
	vmm->ioas_id = alloc.out_ioas_id;
	vmm_note(vmm, " ioas=%u", alloc.out_ioas_id);
	return 0;
}

int vmm_ioas(struct vmm *vmm)
{
	return vmm->ioas_id ? 0 : op_alloc_ioas(vmm);
}

static int mode_option(struct vmm *vmm, uint16_t op, uint64_t *value)
{
	struct uapi_iommu_option option = {
		.size = sizeof(option),
		.option_id = UAPI_IOMMU_OPTION_RLIMIT_MODE,
		.op = op,
		.val64 = *value,
	};
	int err = vmm_call(vmm->iommufd, UAPI_IOMMU_OPTION, &option);

	*value = option.val64;
	return err;
}

static int op_get_mode(struct vmm *vmm)
{
	uint64_t mode = 0;
	int err = mode_option(vmm, UAPI_IOMMU_OPTION_OP_GET, &mode);

	if (!err)
		vmm_note(vmm, " mode=%" PRIu64, mode);
	return err;
}

static int op_set_mode(struct vmm *vmm)
{
	uint64_t mode = vmm->number;

	return mode_option(vmm, UAPI_IOMMU_OPTION_OP_SET, &mode);
}

static int op_destroy(struct vmm *vmm)
{
	struct uapi_iommu_destroy destroy = {
		.size = sizeof(destroy),
		.id = (uint32_t)vmm->number,
	};

	return vmm_call(vmm->iommufd, UAPI_IOMMU_DESTROY, &destroy);
}

static int op_mock(struct vmm *vmm)
{
	struct uapi_iommu_test_mock_domain mock = {
		.size = sizeof(mock),
		.op = UAPI_IOMMU_TEST_OP_MOCK_DOMAIN,
	};
	int err = vmm_ioas(vmm);

	mock.id = vmm->ioas_id;
	if (!err)
		err = vmm_call(vmm->iommufd, UAPI_IOMMU_TEST_CMD, &mock);
	if (!err)
		vmm_note(vmm, " stdev=%u", mock.out_stdev_id);
	return err;
}

static int op_change_process(struct vmm *vmm)
{
	struct uapi_iommu_ioas_change_process change = {.size = sizeof(change)};

	return vmm_call(vmm->iommufd, UAPI_IOMMU_IOAS_CHANGE_PROCESS, &change);
}

/* Any command of the context by its number, with a zeroed argument. */
static int op_ioctl(struct vmm *vmm)
{
	union {
		uint32_t size;
		char bytes[256];
	} buf = {.size = 64};

	return vmm_call(vmm->iommufd, _IO(';', vmm->number), &buf);
}

static int op_close_iommufd(struct vmm *vmm)
{
	fd_closep(&vmm->iommufd);
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
		vmm_note(vmm, " %s=%.*s", entry->d_name, (int)(len < 0 ? 0 : len), target);
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
	vmm_note(vmm, " pid=%d uid=%u memlock=%ju memlock_hard=%ju", getpid(), getuid(),
		 (uintmax_t)limit.rlim_cur, (uintmax_t)limit.rlim_max);
	while (fgets(line, sizeof(line), file)) {
		for (n = 0; n < ARRAY_SIZE(wanted); n++) {
			size_t len = strlen(wanted[n].field);

			if (strncmp(line, wanted[n].field, len) != 0)
				continue;
			if (wanted[n].kib) /* signed: the kernel lets VmPin go below 0 */
				vmm_note(vmm, " %s=%lld", wanted[n].key,
					 strtoll(line + len, NULL, 10) * 1024);
			else
				vmm_note(vmm, " %s=%s", wanted[n].key, strtok(line + len, " \t\n"));
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

			vmm_note(vmm, " by=term");
			/* Taken, or the next hold would not wait. */
			return read(term_fd, &info, sizeof(info)) < 0 ? -errno : 0;
		}
		n = read(STDIN_FILENO, &c, 1); /* not stdio: its buffer would eat the next hold's */
	}
	vmm_note(vmm, n > 0 ? " by=line" : " by=eof");
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
	{"bind-narrow", ARG_DEVICE, op_bind_narrow},
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

/* What another process has open. Return: it; -1. */
static int take_fd(pid_t pid, int number)
{
	CLEANUP(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	return pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
}

/* Return: whether it is one. */
static bool parse_fd(const char *text, int *ret_fd)
{
	char *end;

	*ret_fd = -1;
	if (strcmp(text, "-") == 0)
		return true;
	*ret_fd = (int)strtol(text, &end, 10);
	if (end != text && *end == ':')
		*ret_fd = take_fd(*ret_fd, (int)strtol(end + 1, &end, 10));
	return end != text && !*end;
}

/* Return: how many of @args are descriptors; -EINVAL. */
static int parse_fds(struct vmm *vmm, char **args)
{
	int n, fd;

	for (n = 0; args[n] && parse_fd(args[n], &fd); n++) {
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
