/* SPDX-License-Identifier: MIT */
/*
 * Every check is made on an open descriptor, never on a path. Symbolic links are followed, because
 * that is how configuration management installs files, but one at a time: each directory in which
 * a name on the way is looked up is checked like the first, so a link leads out of root's
 * directories only if root made it so. Directories further up are the administrator's business.
 */
#include "common/conffile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"

#define FILE_MAX_LEN (1 << 20)
#define DROPINS_MAX 1000
#define LINKS_MAX 8
#define TEXT_MAX 256

struct reader {
	uid_t owner;
	conffile_report_fn report;
	void *arg;
	struct conffile_set *set; /* borrowed */
	int err; /* of the first finding */
	unsigned int n_findings;
};

/* Reports and returns @err, which conffile_read() will return if it is the first. */
__attribute__((format(printf, 4, 5))) static int finding(struct reader *r, int err,
							 const char *name, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* all of ours fit */
	va_end(ap);
	r->report(name, text, r->arg);
	r->n_findings++;
	if (!r->err)
		r->err = err;
	return err;
}

/* ACLs need no look of their own: their mask shows as the group's bits. */
static int owner_check(struct reader *r, const struct stat *st, const char *name)
{
	if (st->st_uid != 0 && st->st_uid != r->owner)
		return r->owner ? finding(r, -EPERM, name,
					  "belongs to uid %u, neither to root nor to uid %u",
					  st->st_uid, r->owner)
				: finding(r, -EPERM, name, "belongs to uid %u, not to root",
					  st->st_uid);
	return 0;
}

/* Whether nobody else may rename or remove what is in it; a sticky directory sees to that itself.
 */
static int dir_check(struct reader *r, int fd, const char *name)
{
	struct stat st;
	int err;

	if (fstat(fd, &st))
		return finding(r, -errno, name, "cannot be looked at: %m");
	err = owner_check(r, &st, name);
	if (err)
		return err;
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX))
		return finding(r, -EPERM, name,
			       "is a directory that others may write (mode %04o): they could "
			       "replace what is in it",
			       (unsigned int)(st.st_mode & 07777));
	return 0;
}

/* Opens and checks the directory a path's last component is in; -ENOENT is not reported. */
static int parent_open(struct reader *r, int dirfd, const char *path, int *ret_fd)
{
	CLEANUP(fd_closep) int fd = -1;
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];
	int err;

	if (!slash)
		(void)snprintf(parent, sizeof(parent), "."); /* fits */
	else if (slash == path)
		(void)snprintf(parent, sizeof(parent), "/"); /* fits */
	else if ((size_t)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path) >=
		 sizeof(parent))
		return finding(r, -ENAMETOOLONG, path, "is too long for a path");
	fd = openat(dirfd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT
				       : finding(r, -errno, parent, "cannot be opened: %m");
	err = dir_check(r, fd, parent);
	if (err)
		return err;
	*ret_fd = STEAL_FD(fd);
	return 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/**
 * entry_open() - open a name in a directory that was checked
 * @dirfd: borrowed
 * @flags: O_NOFOLLOW is added: links are followed here
 *
 * Return: 0; -errno, not reported; -EPERM and what else a link's directory is worth, reported.
 */
static int entry_open(struct reader *r, int dirfd, const char *entry, int flags, int *ret_fd)
{
	CLEANUP(fd_closep) int parent = -1;
	char name[PATH_MAX], target[PATH_MAX];
	int links, err, fd, next = -1;
	ssize_t n;

	(void)snprintf(name, sizeof(name), "%s", entry); /* cut off: too long for openat() too */
	for (links = 0; links <= LINKS_MAX; links++) {
		fd = openat(parent < 0 ? dirfd : parent, name, flags | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0) {
			*ret_fd = fd;
			return 0;
		}
		err = -errno;
		if (err != -ELOOP && err != -ENOTDIR) /* with O_DIRECTORY a link is ENOTDIR */
			return err;
		n = readlinkat(parent < 0 ? dirfd : parent, name, target, sizeof(target) - 1);
		if (n < 0)
			return err;
		target[n] = '\0';
		err = parent_open(r, parent < 0 ? dirfd : parent, target, &next);
		if (err)
			return err;
		fd_closep(&parent);
		parent = next;
		(void)snprintf(name, sizeof(name), "%s", base_name(target)); /* fits */
	}
	return -ELOOP;
}

/* Reads to the end, one byte more than allowed at most; the buffer is as large as the file. */
static int bytes_read(struct reader *r, int fd, const char *name, char **ret_bytes, size_t *ret_len)
{
	CLEANUP(freep) char *bytes = malloc(FILE_MAX_LEN + 1);
	size_t len = 0;
	char *shrunk;
	ssize_t n;

	if (!bytes)
		return finding(r, -ENOMEM, name, "cannot be read: out of memory");
	while (len <= FILE_MAX_LEN) {
		n = read(fd, bytes + len, FILE_MAX_LEN + 1 - len);
		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return finding(r, -errno, name, "cannot be read: %m");
		len += (size_t)n;
	}
	if (len > FILE_MAX_LEN)
		return finding(r, -EFBIG, name, "is larger than 1 MiB");
	bytes[len] = '\0';
	shrunk = realloc(bytes, len + 1);
	if (shrunk)
		bytes = shrunk;
	*ret_bytes = STEAL(bytes);
	*ret_len = len;
	return 0;
}

static int file_check(struct reader *r, int fd, const char *name)
{
	struct stat st;
	int err;

	if (fstat(fd, &st))
		return finding(r, -errno, name, "cannot be looked at: %m");
	if (!S_ISREG(st.st_mode))
		return finding(r, -EINVAL, name, "is not a regular file");
	err = owner_check(r, &st, name);
	if (err)
		return err;
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return finding(r, -EPERM, name, "may be written by others (mode %04o)",
			       (unsigned int)(st.st_mode & 07777));
	return 0;
}

/* Adds the file @entry of a checked directory to the set, as @name, which it takes over. */
static int file_add(struct reader *r, int dirfd, const char *entry, char **name)
{
	CLEANUP(fd_closep) int fd = -1;
	CLEANUP(freep) char *bytes = NULL;
	struct conffile *files;
	unsigned int before = r->n_findings;
	size_t len = 0;
	int err;

	/* O_NONBLOCK: a FIFO without a writer must not hold the daemon up. */
	err = entry_open(r, dirfd, entry, O_RDONLY | O_NONBLOCK | O_NOCTTY, &fd);
	if (err)
		return r->n_findings != before
			       ? err
			       : finding(r, err, *name, "cannot be opened: %s", strerror(-err));
	err = file_check(r, fd, *name);
	if (!err)
		err = bytes_read(r, fd, *name, &bytes, &len);
	if (err)
		return err;
	files = reallocarray(r->set->files, r->set->n + 1, sizeof(*files));
	if (!files)
		return finding(r, -ENOMEM, *name, "cannot be kept: out of memory");
	files[r->set->n++] = (struct conffile){STEAL(*name), STEAL(bytes), len};
	r->set->files = files;
	return 0;
}

/* As the shell's *.conf: editors' lock and backup files begin with a period. */
static int dropin_wanted(const struct dirent *entry)
{
	const char *suffix = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && suffix && !strcmp(suffix, ".conf");
}

/* alphasort() would follow the locale. */
static int dropin_compare(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

struct dropins {
	struct dirent **entries;
	int n;
};

static void dropins_fini(struct dropins *d)
{
	while (d->n > 0)
		free(d->entries[--d->n]);
	free(d->entries);
}

/* All of them are tried: one run names every file that must be mended. */
static int dropins_add(struct reader *r, int fd, const char *dir)
{
	CLEANUP(dropins_fini) struct dropins d = {0};
	int i, ret = 0;

	d.n = scandirat(fd, ".", &d.entries, dropin_wanted, dropin_compare);
	if (d.n < 0)
		return finding(r, -errno, dir, "cannot be read: %m");
	if (d.n > DROPINS_MAX)
		return finding(r, -E2BIG, dir, "holds %d drop-ins, more than %d", d.n, DROPINS_MAX);
	for (i = 0; i < d.n; i++) {
		CLEANUP(freep) char *name = NULL;
		int err;

		if (asprintf(&name, "%s/%s", dir, d.entries[i]->d_name) < 0) {
			name = NULL; /* undefined by then */
			return finding(r, -ENOMEM, dir, "cannot be read: out of memory");
		}
		err = file_add(r, fd, d.entries[i]->d_name, &name);
		if (!ret)
			ret = err;
	}
	return ret;
}

/* policy.d beside the configuration, if there is one. */
static int dropins_read(struct reader *r, int parent, const char *path)
{
	CLEANUP(freep) char *dir = NULL;
	CLEANUP(fd_closep) int fd = -1;
	unsigned int before = r->n_findings;
	int err;

	if (asprintf(&dir, "%.*spolicy.d", (int)(base_name(path) - path), path) < 0) {
		dir = NULL; /* undefined by then */
		return finding(r, -ENOMEM, path, "cannot be read: out of memory");
	}
	err = entry_open(r, parent, "policy.d", O_RDONLY | O_DIRECTORY, &fd);
	if (err == -ENOENT && faccessat(parent, "policy.d", F_OK, AT_SYMLINK_NOFOLLOW))
		return 0; /* there is none; a dangling link is a mistake */
	if (err)
		return r->n_findings != before
			       ? err
			       : finding(r, err, dir, "cannot be opened: %s", strerror(-err));
	err = dir_check(r, fd, dir);
	return err ? err : dropins_add(r, fd, dir);
}

int conffile_read(const char *path, uid_t owner, conffile_report_fn report, void *arg,
		  struct conffile_set *ret_set)
{
	CLEANUP(conffile_free) struct conffile_set set = {0};
	struct reader r = {.owner = owner, .report = report, .arg = arg, .set = &set};
	CLEANUP(fd_closep) int parent = -1;
	CLEANUP(freep) char *name = strdup(path);
	int err;

	if (!name)
		return finding(&r, -ENOMEM, path, "cannot be read: out of memory");
	err = parent_open(&r, AT_FDCWD, path, &parent);
	if (err)
		return r.err ? r.err
			     : finding(&r, err, path, "cannot be opened: %s", strerror(-err));
	/* Whatever is found is in r.err: the drop-ins are looked at all the same. */
	(void)file_add(&r, parent, base_name(path), &name);
	(void)dropins_read(&r, parent, path);
	if (r.err)
		return r.err;
	*ret_set = set;
	set = (struct conffile_set){0};
	return 0;
}

void conffile_free(struct conffile_set *set)
{
	size_t i;

	for (i = 0; i < set->n; i++) {
		free(set->files[i].name);
		free(set->files[i].bytes);
	}
	free(set->files);
	*set = (struct conffile_set){0};
}
