/* SPDX-License-Identifier: MIT */
#include "client/libvirt_session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/hook.h"
#include "common/cleanup.h"

int libvirt_session_dir(const char *below, char ret_path[PATH_MAX])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
	int len;

	if (runtime && runtime[0])
		len = snprintf(ret_path, PATH_MAX, "%s/libvirt%s", runtime, below);
	else if (home && home[0])
		len = snprintf(ret_path, PATH_MAX, "%s/.cache/libvirt%s", home, below);
	else
		return -ENOENT;
	return len < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* The file of one that was killed may be there still, beside that of the other. */
int libvirt_session_pidfd(int *ret_pidfd)
{
	static const char *const daemons[] = {"virtqemud", "libvirtd"};
	char dir[PATH_MAX];
	int err = libvirt_session_dir("", dir);

	if (err)
		return err;
	for (size_t i = 0; i < ARRAY_SIZE(daemons); i++)
		if (hook_pidfd(dir, daemons[i], ret_pidfd) == 0)
			return 0;
	return -ESRCH;
}
