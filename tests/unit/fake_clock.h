/* SPDX-License-Identifier: MIT */
/*
 * Time that passes when a test says so: clocks go on as they do, plus what was added to each. The
 * linker puts this in front of the C library's (--wrap, see the Makefile); what waits in the kernel
 * does not know it.
 */
#ifndef TESTS_UNIT_FAKE_CLOCK_H
#define TESTS_UNIT_FAKE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* It stands still, but for what is added. */
void fake_clock_stop(clockid_t clock);

/* @clock: CLOCK_REALTIME or CLOCK_MONOTONIC, here and above; @ms: may be negative */
void fake_clock_add(clockid_t clock, int64_t ms);

/* They go on, and nothing is added any more. */
void fake_clock_reset(void);

#endif
