/* SPDX-License-Identifier: MIT */
/*
 * Reading the configuration: the file, its drop-ins (policy.d/NAME.conf beside it, in strcmp order)
 * and the check that nobody but its rightful owner could have written it. Used by the daemon and by
 * the pinbroker command (explain --config), hence here. Knows nothing of the grammar.
 */
#ifndef COMMON_CONFFILE_H
#define COMMON_CONFFILE_H

#include <stddef.h>
#include <sys/types.h>

struct conffile {
	char *name; /* path as opened, for messages */
	char *bytes; /* NUL after len */
	size_t len;
};

struct conffile_set {
	struct conffile *files; /* the first is the configuration itself */
	size_t n;
};

/* Called once per finding that makes the read fail, with a whole sentence. */
typedef void (*conffile_report_fn)(const char *file, const char *text, void *arg);

/**
 * conffile_read() - read a configuration and its drop-ins
 * @path: the configuration
 * @owner: besides root, a uid whose files are accepted (`--check`, `explain`: the caller); root
 *         itself where only root's will do
 * @report: where findings go
 * @ret_set: free with conffile_free()
 *
 * Regular files only, at most 1 MiB each, 1,000 drop-ins; owner and mode are those of the open file
 * (fstat), and a file that group or others may write is refused, as is a policy.d or a directory in
 * which others may replace the file (group- or world-writable without being owned by root or
 * @owner, sticky bit excepted).
 *
 * Return: 0; -errno after a report (-ENOENT: no such configuration; -EPERM: owner or mode).
 */
int conffile_read(const char *path, uid_t owner, conffile_report_fn report, void *arg,
		  struct conffile_set *ret_set);

void conffile_free(struct conffile_set *set);

#endif
