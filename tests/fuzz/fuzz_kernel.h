/* SPDX-License-Identifier: MIT */
/*
 * What the request path stands on in the fuzzer: system calls that fail when told to, a loop whose
 * events the fuzzer makes, a sysfs with three devices, and a log that goes nowhere. Takes the place
 * of common/log.c and of the files daemon/loop*.c at the link; no root, no io_uring. One at a time.
 */
#ifndef TESTS_FUZZ_FUZZ_KERNEL_H
#define TESTS_FUZZ_FUZZ_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* Two of IOMMU group 7 on vfio-pci, and one of group 8 that the host drives. */
#define FUZZ_DEVICE "0000:65:00.0"
#define FUZZ_DEVICE_PEER "0000:65:00.1"
#define FUZZ_DEVICE_HOST "0000:66:00.0"

struct sys_ops;

/* ioctl() knows RLIMIT_MODE; prlimit() is that of fuzz_process.h; sendmsg() the function below. */
extern const struct sys_ops fuzz_kernel_ops;

/* Called with what the broker sends; returns what sendmsg(2) would. */
typedef ssize_t (*fuzz_send_fn)(const struct msghdr *msg, int flags, void *arg);

/**
 * fuzz_kernel_sysfs() - make the tree, once; it goes at exit
 *
 * Return: a directory's descriptor, for /sys and, as nothing there is opened, for /dev.
 */
int fuzz_kernel_sysfs(void);

/* Nothing fails. */
void fuzz_kernel_reset(fuzz_send_fn send, void *arg);

enum fuzz_fault_kind {
	FUZZ_FAULT_ERROR, /* the call fails */
	FUZZ_FAULT_EXIT, /* a process exits before it */
	FUZZ_FAULT_REUSE, /* another one gets a process's pid before it */
	FUZZ_FAULT_KILLED, /* the daemon is killed before or after it; it goes on all the same */
	FUZZ_FAULTS,
};

/* What goes wrong, once. */
struct fuzz_fault {
	unsigned int nth; /* call from now on; 0: none */
	enum fuzz_fault_kind kind;
	int err; /* negative */
	unsigned int who; /* enum fuzz_who */
	bool after; /* KILLED, if it is a prlimit() */
	void (*killed)(void);
};

/* NULL: nothing. */
void fuzz_kernel_fault(const struct fuzz_fault *fault);

/* Counts a call into this kernel. Return: 0: go on; -errno. */
int fuzz_kernel_call(void);

/* That call has had its effect. */
void fuzz_kernel_called(void);

/* Every watched descriptor becomes readable, until nothing is watched or nobody lets go of it. */
void fuzz_kernel_ready(void);

/* How many descriptors are watched for that. */
size_t fuzz_kernel_watches(void);

#endif
