/* SPDX-License-Identifier: MIT */
/* The self-test: programs that load and attach may still never be called; a context tells. */
#ifndef DAEMON_SELFTEST_H
#define DAEMON_SELFTEST_H

#include <stdbool.h>

struct gate;

/* Whether the kernel says that LSM programs will be called; true where it says nothing. */
bool selftest_lsm_active(void);

/**
 * selftest_run() - use a context of its own, and see who notices
 * @ret_reason: what is missing, and what to do; "": nothing
 *
 * Sets the gate's level by what it saw.
 *
 * Return: 0; -errno: nothing could be tried, or nothing keeps limits here.
 */
int selftest_run(struct gate *gate, int dev_fd, char *ret_reason, unsigned int reason_size);

/* Whether a gate refuses what a context does that is none of its sessions': it may be another's. */
bool selftest_is_denied(int dev_fd);

#endif
