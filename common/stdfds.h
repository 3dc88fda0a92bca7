/* SPDX-License-Identifier: MIT */
/* Descriptors 0-2, which a program may be started without. */
#ifndef COMMON_STDFDS_H
#define COMMON_STDFDS_H

/**
 * stdfds_fill() - make sure that 0, 1 and 2 are taken
 *
 * Something opened later, a granted device even, must not become stdin, stdout or stderr. What is
 * put there is open the wrong way round, so that reading and writing fail as they do on a closed
 * descriptor.
 *
 * Return: 0; -errno.
 */
int stdfds_fill(void);

#endif
