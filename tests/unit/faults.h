/* SPDX-License-Identifier: MIT */
/*
 * Memory and system calls that run out, where the broker calls them directly and not through struct
 * sys_ops: the linker puts these in front of the C library's (--wrap, see the Makefile).
 */
#ifndef TESTS_UNIT_FAULTS_H
#define TESTS_UNIT_FAULTS_H

#include <stdbool.h>

/**
 * faults_arm() - the nth call from now on fails, once
 * @err: errno of a system call; an allocation fails as it always does
 */
void faults_arm(unsigned int nth, int err);

/* No call fails any more. Returns whether one did. */
bool faults_disarm(void);

#endif
