/* SPDX-License-Identifier: MIT */
/*
 * A command that takes the place of pinbroker with descriptors inherited: run's and attach's. The
 * order matters: no_new_privs before the request, so that the broker never grants to a process that
 * may still gain capabilities by exec; close-on-exec is cleared last.
 */
#ifndef CLIENT_LAUNCH_H
#define CLIENT_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAUNCH_VFIO_ARGS_MAX 80

struct cmd_env;
struct pinbroker;
struct pinbroker_grant;

/**
 * launch_check() - look for what is wrong with a command before the broker hears of it
 * @argv: the command and its arguments; NULL at the end
 * @has_iommufd: whether {iommufd} will have a number, and {vfio-args} a value
 * @n_devices: how many {device:N} will have one
 *
 * Return: 0; 64 after a line on stderr.
 */
int launch_check(const struct cmd_env *env, char **argv, bool has_iommufd, size_t n_devices);

/* Whether {vfio-args} is in an argument. */
bool launch_wants_vfio_args(char **argv);

/* What it becomes under a policy's migration-buffers; "": they are not limited. */
const char *launch_vfio_args(uint64_t migration_buffers, char buf[static LAUNCH_VFIO_ARGS_MAX]);

/* As cmd_connect(), after setting no_new_privs. */
int launch_connect(const struct cmd_env *env, struct pinbroker **ret_broker);

/**
 * launch_exec() - become the command
 * @grant: its id and descriptors; iommufd -1: there is none; devices beyond n_devices do not count
 * @vfio_args: what {vfio-args} becomes
 *
 * Return: only when it fails: the exit status, said on stderr.
 */
int launch_exec(const struct pinbroker_grant *grant, const char *vfio_args, char **argv);

#endif
