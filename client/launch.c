/* SPDX-License-Identifier: MIT */
#include "client/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "client/cmd.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "client/placeholder.h"

/* What a shell ends with; sysexits.h does not have them. */
enum {
	EX_CANNOT_RUN = 126,
	EX_NOT_FOUND = 127,
};

int launch_connect(const struct cmd_env *env, struct pinbroker **ret_broker)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return cmd_internal(-errno);
	return cmd_connect(env, ret_broker);
}

bool launch_wants_vfio_args(char **argv)
{
	for (char **arg = argv + 1; *arg; arg++)
		if (strstr(*arg, PLACEHOLDER_VFIO_ARGS))
			return true;
	return false;
}

/* As the hook has it for libvirt's domains: client/hook_filter.c. */
const char *launch_vfio_args(uint64_t migration_buffers, char buf[static LAUNCH_VFIO_ARGS_MAX])
{
	buf[0] = '\0';
	if (migration_buffers != PINBROKER_UNLIMITED)
		(void)snprintf(buf, LAUNCH_VFIO_ARGS_MAX,
			       ",x-migration-max-queued-buffers-size=%" PRIu64,
			       migration_buffers); /* it fits */
	return buf;
}

/* The command itself is no ARG: no placeholder is looked for in it. */
int launch_check(const struct cmd_env *env, char **argv, bool has_iommufd, size_t n_devices)
{
	enum placeholder_fault fault;
	const char *at;
	size_t len;

	if (!argv[0] || !argv[0][0])
		return cmd_usage(env, "no command to run");
	for (char **arg = argv + 1; *arg; arg++) {
		if (!has_iommufd && strstr(*arg, PLACEHOLDER_IOMMUFD))
			return cmd_usage(env, "'" PLACEHOLDER_IOMMUFD "' was handed out when the "
					      "session was opened, and is not again");
		if (!has_iommufd && strstr(*arg, PLACEHOLDER_VFIO_ARGS))
			return cmd_usage(env, "'" PLACEHOLDER_VFIO_ARGS "' is known to run alone");
		if (!placeholder_check(*arg, n_devices, &fault, &at, &len))
			continue;
		if (fault == PLACEHOLDER_NO_DEVICE)
			return cmd_usage(env, "'%.*s' has no device: %zu given, counted from 0",
					 (int)len, at, n_devices);
		return cmd_usage(env, "'%.*s' is no placeholder: {device:0}, {device:1}...",
				 (int)len, at);
	}
	return 0;
}

/* Frees only pointers: the strings go with the process, as those of argv do. */
static int expand_args(char **argv, const struct pinbroker_grant *grant, const char *vfio_args)
{
	const struct placeholder_values values = {.iommufd = grant->iommufd,
						  .devices = grant->devices,
						  .n_devices = grant->n_devices,
						  .vfio_args = vfio_args};

	for (char **arg = argv + 1; *arg; arg++) {
		int err = placeholder_expand(*arg, &values, arg);

		if (err)
			return err;
	}
	return 0;
}

static int set_env_number(const char *name, const char *format, uint64_t number)
{
	char value[32];

	(void)snprintf(value, sizeof(value), format[0] == 'x' ? "%" PRIx64 : "%" PRIu64, number);
	return setenv(name, value, 1) < 0 ? -errno : 0;
}

/* One that an enclosing run or attach has set would name another descriptor. */
static int set_env_fd(const char *name, int fd)
{
	if (fd < 0)
		return unsetenv(name) < 0 ? -errno : 0;
	return set_env_number(name, "u", (uint64_t)fd);
}

static int set_env(const struct pinbroker_grant *grant)
{
	int err;

	err = set_env_number("PINBROKER_SESSION", "x", grant->id);
	if (!err)
		err = set_env_fd("PINBROKER_IOMMUFD", grant->iommufd);
	for (size_t i = 0; !err && i < PINBROKER_DEVICES_MAX; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "PINBROKER_DEVICE_%zu", i);
		err = set_env_fd(name, i < grant->n_devices ? grant->devices[i] : -1);
	}
	return err;
}

static int inherit_fds(const struct pinbroker_grant *grant)
{
	if (grant->iommufd >= 0 && fcntl(grant->iommufd, F_SETFD, 0) < 0)
		return -errno;
	for (size_t i = 0; i < grant->n_devices; i++) {
		if (fcntl(grant->devices[i], F_SETFD, 0) < 0)
			return -errno;
	}
	return 0;
}

int launch_exec(const struct pinbroker_grant *grant, const char *vfio_args, char **argv)
{
	int err;

	err = expand_args(argv, grant, vfio_args);
	if (!err)
		err = set_env(grant);
	if (!err)
		err = inherit_fds(grant);
	if (err)
		return cmd_internal(err);
	if (grant->warning[0])
		output_error("warning: %s", grant->warning);
	(void)execvp(argv[0], argv); /* returns only to say in errno why not */
	err = errno;
	output_error("cannot run %s: %s", argv[0], strerror(err));
	return err == ENOENT ? EX_NOT_FOUND : EX_CANNOT_RUN;
}
