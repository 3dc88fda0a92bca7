/* SPDX-License-Identifier: MIT */
/* The system call of 32-bit programs, which a 64-bit thread may make, too. */
#ifndef TESTS_INTEGRATION_NARROW_H
#define TESTS_INTEGRATION_NARROW_H

#include <errno.h>

#define NARROW_IOCTL 54 /* its number for 32-bit programs */

/* ioctl(2), with an argument below 4 GiB. Return: what the kernel does: -errno. */
static inline int narrow_ioctl(int fd, unsigned long cmd, void *arg)
{
#ifdef __x86_64__
	long result = NARROW_IOCTL;

	__asm__ volatile("int $0x80"
			 : "+a"(result)
			 : "b"((long)fd), "c"(cmd), "d"(arg)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
#else
	(void)fd, (void)cmd, (void)arg;
	return -ENOSYS;
#endif
}

#endif
