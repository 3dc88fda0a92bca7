/* SPDX-License-Identifier: MIT */
/*
 * Scope-bound ownership: CLEANUP() frees a local on every path out, STEAL() hands it on.
 * A cleanup function takes a pointer to the local and must accept its empty value.
 */
#ifndef COMMON_CLEANUP_H
#define COMMON_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* Moves the value of a pointer out of a CLEANUP() local. */
#define STEAL(ptr)                               \
	({                                       \
		__typeof__(ptr) stolen_ = (ptr); \
		(ptr) = NULL;                    \
		stolen_;                         \
	})

/* Moves a file descriptor out of a CLEANUP(fd_closep) local or a struct. */
#define STEAL_FD(fd)                   \
	({                             \
		int stolen_fd_ = (fd); \
		(fd) = -1;             \
		stolen_fd_;            \
	})

/* For large buffers that are written before they are read: -ftrivial-auto-var-init is not free. */
#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define UNINITIALIZED __attribute__((uninitialized))
#endif
#endif
#ifndef UNINITIALIZED
#define UNINITIALIZED
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (1U << (n))
#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - __builtin_offsetof(type, member)))

/* close() is never retried: on Linux the fd is gone whatever it returns. */
static inline __attribute__((unused)) void fd_closep(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* nothing was written through it that could be lost */
	*fd = -1;
}

static inline __attribute__((unused)) void freep(void *p)
{
	free(*(void **)p);
}

static inline __attribute__((unused)) void file_closep(FILE **f)
{
	if (*f)
		(void)fclose(*f); /* read only users: nothing to lose */
}

static inline __attribute__((unused)) void dir_closep(DIR **d)
{
	if (*d)
		(void)closedir(*d); /* read only */
}

#endif
