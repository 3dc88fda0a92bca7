/* SPDX-License-Identifier: MIT */
/*
 * A kernel for struct sys_ops that fails call N. /dev/iommu and the cdevs that its openat() hands
 * out are real descriptors of /dev/null; prlimit() plays with limits that live in here, never with
 * those of a process; readlinkat() and sendmsg() are the kernel's own. One at a time.
 */
#ifndef TESTS_UNIT_FAKE_SYS_H
#define TESTS_UNIT_FAKE_SYS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct sys_ops;

extern const struct sys_ops fake_sys_ops;

/* No process known, nothing fails. */
void fake_sys_reset(void);

/* The nth call from now on fails with err (negative), once; 0: none does. */
void fake_sys_fail(unsigned int nth, int err);

/* Calls since fake_sys_reset() or fake_sys_fail(). */
unsigned int fake_sys_calls(void);

/* Makes a process known, with soft and hard RLIMIT_MEMLOCK; others are -ESRCH to prlimit(). */
void fake_sys_set_memlock(pid_t pid, uint64_t soft, uint64_t hard);
struct rlimit fake_sys_memlock(pid_t pid);
bool fake_sys_memlock_is(pid_t pid, uint64_t soft, uint64_t hard);

/* How often the process's limit was written. */
unsigned int fake_sys_writes(pid_t pid);

/* Before the next prlimit() (that writes, if so wanted) takes effect, fn is called, once. */
void fake_sys_before_prlimit(bool writing, void (*fn)(void *arg), void *arg);

/*
 * When the nth call from now on begins, or, if it is a prlimit(), has just ended (after), fn is
 * called and all limits are remembered for fake_sys_rewind(): what a process that is killed there
 * leaves behind.
 */
void fake_sys_snapshot_at(unsigned int nth, bool after, void (*fn)(void *arg), void *arg);
void fake_sys_rewind(void);

/* IOMMU_OPTION_RLIMIT_MODE of the context opened last. */
uint64_t fake_sys_mode(void);

#endif
