/* SPDX-License-Identifier: MIT */
#include "common/names.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>

/* NULL and errno 0 is the documented "not found"; some of these are said instead of it. */
static int names_missing(int err)
{
	switch (err) {
	case 0:
	case ENOENT:
	case ESRCH:
	case EBADF:
	case EPERM:
		return -ENOENT;
	default:
		return -err;
	}
}

int names_uid(const char *name, uid_t *ret_uid, void *arg)
{
	const struct passwd *entry;

	(void)arg;
	errno = 0;
	entry = getpwnam(name);
	if (!entry)
		return names_missing(errno);
	*ret_uid = entry->pw_uid;
	return 0;
}

int names_gid(const char *name, gid_t *ret_gid, void *arg)
{
	const struct group *entry;

	(void)arg;
	errno = 0;
	entry = getgrnam(name);
	if (!entry)
		return names_missing(errno);
	*ret_gid = entry->gr_gid;
	return 0;
}
