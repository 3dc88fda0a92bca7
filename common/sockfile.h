/* SPDX-License-Identifier: MIT */
/* The file of a listening socket. */
#ifndef COMMON_SOCKFILE_H
#define COMMON_SOCKFILE_H

#include <sys/types.h>

/**
 * sockfile_bind() - bind a socket to a file that it makes
 * @fd: an AF_UNIX socket of @type, with all options that a connection must find; borrowed
 * @mode: of the file, whatever the umask of the process is
 *
 * A socket file that nobody answers is a leftover, and replaced.
 *
 * Return: 0; -ENAMETOOLONG; -EADDRINUSE: somebody listens there; -EEXIST: it is there, and no
 * socket; -errno.
 */
int sockfile_bind(int fd, int type, const char *path, mode_t mode);

#endif
