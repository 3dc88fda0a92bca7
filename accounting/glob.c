/* SPDX-License-Identifier: MIT */
/* fnmatch(3) with the flags that policies mean; see glob.h. */
#include "accounting/glob.h"

#include <fnmatch.h>
#include <limits.h>
#include <string.h>

/* Not FNM_PERIOD: in cgroup and domain names a leading period means nothing. */
#define GLOB_FLAGS (FNM_PATHNAME | FNM_NOESCAPE)

bool glob_match(const char *glob, const char *text)
{
	return fnmatch(glob, text, GLOB_FLAGS) == 0;
}

bool glob_match_nocase(const char *glob, const char *text)
{
	return fnmatch(glob, text, GLOB_FLAGS | FNM_CASEFOLD) == 0;
}

bool glob_match_ancestor(const char *glob, const char *path)
{
	char buf[PATH_MAX];
	size_t len = strlen(path);
	char *slash;

	/* The kernel shows no longer path; a forged one matches nothing rather than its beginning.
	 */
	if (path[0] != '/' || len >= sizeof(buf))
		return false;
	memcpy(buf, path, len + 1);
	while (!glob_match(glob, buf)) {
		slash = strrchr(buf, '/');
		if (slash == buf)
			return glob_match(glob, "/");
		*slash = '\0';
	}
	return true;
}

bool glob_literal(const char *glob)
{
	return !strpbrk(glob, "*?[");
}

bool glob_valid(const char *glob)
{
	const char *p = glob;

	while ((p = strchr(p, '['))) {
		p++;
		if (*p == '!' || *p == '^')
			p++;
		if (*p == ']') /* the first one stands for itself */
			p++;
		p = strchr(p, ']');
		if (!p)
			return false;
	}
	return true;
}
