/* SPDX-License-Identifier: MIT */
/*
 * The daemon keeps uid 0, and two capabilities. Another uid would be the weaker choice: /dev/iommu
 * is root's with mode 0660 and each /dev/vfio/devices/vfioN with 0600, so it would need
 * CAP_DAC_OVERRIDE, which opens every file there is; and root's configuration could not be read
 * again. As uid 0 without that capability the daemon opens what root owns. Of that, the filter
 * leaves reading, and opening for read and write what exists; it makes and truncates no file (a
 * directory, for a cgroup) and starts no program. That those files are the two kinds of device only
 * is the unit's part (ProtectSystem=, DevicePolicy=): seccomp does not see paths.
 *
 * Nor does it see what the ring does: loop_uring.c allows that three operations and no others.
 */
#include "daemon/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/sandbox_calls.h"

/*
 * Measured on 6.12 and 7.2. Not here: CAP_DAC_OVERRIDE, as above; CAP_SYS_PTRACE, which would let
 * whoever took over the daemon write to any process through /proc (procfs_capable() does without).
 * The gate's programs are loaded before; to run one of them, and to ask which were missed, takes
 * a descriptor and no capability.
 */
const struct sandbox_capability sandbox_capabilities[] = {
	{CAP_KILL, "CAP_KILL", "stop processes of other users (revoke --kill)"},
	{CAP_SYS_RESOURCE, "CAP_SYS_RESOURCE",
	 "choose the accounting of a context (IOMMU_OPTION_RLIMIT_MODE) and set RLIMIT_MEMLOCK of "
	 "processes of other users (prlimit)"},
	{.name = NULL},
};

/* Without one of the last three there may be no gate, which status says; without the first no
 * start. */
const struct sandbox_capability sandbox_start_capabilities[] = {
	{CAP_SETPCAP, "CAP_SETPCAP", "give up the next three"},
	{CAP_SYS_ADMIN, "CAP_SYS_ADMIN",
	 "find the types of iommufd and vfio where they are modules"},
	{CAP_PERFMON, "CAP_PERFMON", "load programs that read the kernel's memory"},
	{CAP_BPF, "CAP_BPF", "load the gate's programs"},
	{.name = NULL},
};

/* What a variable may be called; all others are forgotten. */
static const char *const sandbox_environment[] = {
	"FDSTORE=",    "JOURNAL_STREAM=", "LISTEN_FDNAMES=", "LISTEN_FDS=",
	"LISTEN_PID=", "LISTEN_PIDFDID=", "NOTIFY_SOCKET=",  "PINBROKER_",
};

/* For "return sandbox_fault(...)": err, with the sentence that goes with it. */
__attribute__((format(printf, 3, 4))) static int
sandbox_fault(char ret_fault[static SANDBOX_FAULT_MAX], int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(ret_fault, SANDBOX_FAULT_MAX, format, args); /* cut to fit */
	va_end(args);
	return err;
}

static bool sandbox_keeps_variable(const char *variable)
{
	for (size_t i = 0; i < ARRAY_SIZE(sandbox_environment); i++)
		if (strncmp(variable, sandbox_environment[i], strlen(sandbox_environment[i])) == 0)
			return true;
	return false;
}

/* Libraries listen to many variables, and nobody knows all of them. */
static void sandbox_clean_environment(void)
{
	char **kept = environ;

	if (!kept) /* clearenv(3) of whoever started this */
		return;
	for (char **variable = environ; *variable; variable++)
		if (sandbox_keeps_variable(*variable))
			*kept++ = *variable;
	*kept = NULL;
}

/*
 * Needs: descriptors 0 to 2, which may have to be made (stdfds_fill()).
 * Drops: inherited descriptors but 0 to 2 and what a service manager passed; the environment but
 *	for what is known; core files and ptrace(2) by others of its uid; access to what it makes.
 * Must not yet: other descriptors of our own, threads, libraries in use.
 */
int sandbox_prepare(void)
{
	int n = sd_listen_fds(0);

	if (n < 0)
		return n;
	if (close_range(SD_LISTEN_FDS_START + (unsigned int)n, ~0U, 0) < 0)
		return -errno;
	(void)umask(0077); /* the socket's mode is set by chmod() */
	sandbox_clean_environment();
	if (!SANDBOX_SANITIZED && prctl(PR_SET_DUMPABLE, 0) < 0)
		return -errno;
	return 0;
}

static void sandbox_cap_freep(cap_t *caps)
{
	(void)cap_free(*caps); /* of NULL: an error that changes nothing */
}

static const struct sandbox_capability *sandbox_kept(int number)
{
	const struct sandbox_capability *kept = sandbox_capabilities;

	while (kept->name && kept->number != number)
		kept++;
	return kept->name ? kept : NULL;
}

/* The table, permitted and effective, nothing inheritable. */
static int sandbox_want(cap_t have, cap_t want, char ret_fault[static SANDBOX_FAULT_MAX])
{
	for (const struct sandbox_capability *kept = sandbox_capabilities; kept->name; kept++) {
		cap_value_t number = kept->number;
		cap_flag_value_t value = CAP_CLEAR;

		if (cap_get_flag(have, number, CAP_PERMITTED, &value) < 0 || value != CAP_SET)
			return sandbox_fault(ret_fault, -EPERM,
					     "%s is missing, which it needs to %s; run it as root, "
					     "outside of containers that withhold it",
					     kept->name, kept->why);
		if (cap_set_flag(want, CAP_PERMITTED, 1, &number, CAP_SET) < 0 ||
		    cap_set_flag(want, CAP_EFFECTIVE, 1, &number, CAP_SET) < 0)
			return sandbox_fault(ret_fault, -errno, "cannot keep %s: %m", kept->name);
	}
	return 0;
}

/* As far as the kernel goes, which may be newer than libcap. */
static int sandbox_drop_bounding(char ret_fault[static SANDBOX_FAULT_MAX])
{
	int has;

	for (int number = 0; (has = cap_get_bound(number)) >= 0; number++)
		if (has && !sandbox_kept(number) && cap_drop_bound(number) < 0)
			return sandbox_fault(ret_fault, -errno,
					     "cannot drop capability %d from its bounding set, for "
					     "want of CAP_SETPCAP: %m",
					     number);
	return 0;
}

/*
 * Needs: every capability of the table; CAP_SETPCAP, unless the bounding set is the table already
 *	(as the unit makes it). Everything open.
 * Drops: all other capabilities, from each of the five sets.
 * Must not yet: the filter, which knows none of these calls.
 */
int sandbox_limit_capabilities(char ret_fault[static SANDBOX_FAULT_MAX])
{
	CLEANUP(sandbox_cap_freep) cap_t have = cap_get_proc();
	CLEANUP(sandbox_cap_freep) cap_t want = cap_init();
	int err;

	if (!have || !want)
		return sandbox_fault(ret_fault, -errno, "cannot read its capabilities: %m");
	err = sandbox_want(have, want, ret_fault);
	if (!err)
		err = sandbox_drop_bounding(ret_fault);
	if (err)
		return err;
	if (cap_reset_ambient() < 0 || cap_set_proc(want) < 0)
		return sandbox_fault(ret_fault, -errno, "cannot drop its capabilities: %m");
	return 0;
}

/*
 * Needs: nothing.
 * Drops: what an execve(2) could ever gain: the filter may be loaded without CAP_SYS_ADMIN then.
 * Must not yet: a filter, which allows no prctl(2).
 */
int sandbox_forbid_gain(char ret_fault[static SANDBOX_FAULT_MAX])
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return sandbox_fault(ret_fault, -errno, "cannot set no_new_privs: %m");
	return 0;
}

static void sandbox_filter_freep(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
}

/* $PINBROKER_SECCOMP=log, to find out what fails or kills. */
static int sandbox_mode(bool *ret_log, char ret_fault[static SANDBOX_FAULT_MAX])
{
	const char *mode = getenv("PINBROKER_SECCOMP");

	if (mode && strcmp(mode, "log") != 0)
		return sandbox_fault(ret_fault, -EINVAL, "PINBROKER_SECCOMP=%s is not \"log\"",
				     mode);
	if (mode)
		log_warning("PINBROKER_SECCOMP=log: system calls are not refused, only logged (by "
			    "the kernel: dmesg, ausearch -m SECCOMP)");
	*ret_log = mode;
	return 0;
}

/*
 * Needs: no_new_privs.
 * Drops: all system calls but those the table passes; those of other modes of the processor
 *	(i386, x32).
 * Must not yet: serve.
 */
int sandbox_filter_calls(char ret_fault[static SANDBOX_FAULT_MAX])
{
	CLEANUP(sandbox_filter_freep) scmp_filter_ctx filter = NULL;
	bool only_log = false;
	int err;

	if (SANDBOX_SANITIZED) {
		log_warning("built with a sanitizer, which makes system calls of its own: there is "
			    "no system call filter");
		return 0;
	}
	err = sandbox_mode(&only_log, ret_fault);
	if (err)
		return err;
	err = sandbox_calls_filter(only_log, &filter);
	if (err)
		return sandbox_fault(ret_fault, err, "cannot make the system call filter: %s",
				     strerror(-err));
	err = seccomp_load(filter); /* which does not tell the kernel's error */
	if (err)
		return sandbox_fault(
			ret_fault, err,
			"the kernel refuses the system call filter: it has no "
			"CONFIG_SECCOMP_FILTER, or a container around this forbids it");
	return 0;
}

int sandbox_enter(void)
{
	char fault[SANDBOX_FAULT_MAX];
	int err = sandbox_limit_capabilities(fault);

	if (!err)
		err = sandbox_forbid_gain(fault);
	if (!err)
		err = sandbox_filter_calls(fault);
	if (err)
		log_error("cannot confine itself, and does not serve: %s", fault);
	return err;
}
