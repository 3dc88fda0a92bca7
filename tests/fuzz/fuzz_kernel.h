/* SPDX-License-Identifier: MIT */
/*
 * What the request path stands on in the fuzzer: system calls that fail when told to, a loop whose
 * events the fuzzer makes, a sysfs with three devices, and a log that goes nowhere. Takes the place
 * of common/log.c and of the files daemon/loop*.c at the link; no root, no io_uring. One at a time.
 */
#ifndef TESTS_FUZZ_FUZZ_KERNEL_H
#define TESTS_FUZZ_FUZZ_KERNEL_H

#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* Two of IOMMU group 7 on vfio-pci, and one of group 8 that the host drives. */
#define FUZZ_DEVICE "0000:65:00.0"
#define FUZZ_DEVICE_PEER "0000:65:00.1"
#define FUZZ_DEVICE_HOST "0000:66:00.0"

struct sys_ops;

/* ioctl() knows RLIMIT_MODE, prlimit() only this process; sendmsg() goes to fuzz_kernel_reset(). */
extern const struct sys_ops fuzz_kernel_ops;

/* Called with what the broker sends; returns what sendmsg(2) would. */
typedef ssize_t (*fuzz_send_fn)(const struct msghdr *msg, int flags, void *arg);

/**
 * fuzz_kernel_sysfs() - make the tree, once; it goes at exit
 *
 * Return: a directory's descriptor, for /sys and, as nothing there is opened, for /dev.
 */
int fuzz_kernel_sysfs(void);

/* No limit was ever changed and nothing fails. */
void fuzz_kernel_reset(fuzz_send_fn send, void *arg);

/* The nth call from now on fails with err (negative), once; 0: none does. */
void fuzz_kernel_fail(unsigned int nth, int err);

/* Whether RLIMIT_MEMLOCK of this process is what it was at fuzz_kernel_reset(). */
int fuzz_kernel_limit_untouched(void);

/* Every watched descriptor becomes readable, until nothing is watched or nobody lets go of it. */
void fuzz_kernel_ready(void);

size_t fuzz_kernel_watches(void);

#endif
