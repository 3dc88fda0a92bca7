/* SPDX-License-Identifier: MIT */
/* The caller's own libvirt daemon, which runs as the caller does (qemu:///session). */
#ifndef CLIENT_LIBVIRT_SESSION_H
#define CLIENT_LIBVIRT_SESSION_H

#include <linux/limits.h>

/**
 * libvirt_session_dir() - where its files of pids are, or those of its QEMUs
 * @below: "", "/qemu/run"
 *
 * By XDG_RUNTIME_DIR and HOME, as libvirt does.
 *
 * Return: 0; -ENOENT: neither is set; -ENAMETOOLONG.
 */
int libvirt_session_dir(const char *below, char ret_path[PATH_MAX]);

/**
 * libvirt_session_pidfd() - the daemon
 * @ret_pidfd: owned by the caller
 *
 * It keeps the file with its pid locked: one that it has left, whose pid may be anybody's by now,
 * is nobody's.
 *
 * Return: 0; -ESRCH: none runs; -errno of libvirt_session_dir().
 */
int libvirt_session_pidfd(int *ret_pidfd);

#endif
