/* SPDX-License-Identifier: MIT */
/*
 * The system calls that the daemon may make while it serves, each with its reason: one table, which
 * becomes the filter of sandbox.c.
 */
#ifndef DAEMON_SANDBOX_CALLS_H
#define DAEMON_SANDBOX_CALLS_H

#include <seccomp.h>
#include <stdbool.h>

/**
 * sandbox_calls_filter() - the filter, not loaded yet
 * @only_log: what is not allowed is done all the same, and the kernel logs it
 *
 * Signals to oneself are allowed for this pid: the process that loads it is not to fork().
 *
 * Return: 0, the caller releases ret_filter with seccomp_release(); -errno.
 */
int sandbox_calls_filter(bool only_log, scmp_filter_ctx *ret_filter);

#endif
