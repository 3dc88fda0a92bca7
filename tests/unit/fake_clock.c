/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_clock.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

static struct {
	int64_t added_ns;
	int64_t stopped_ns;
	bool stopped;
} clocks[CLOCK_MONOTONIC + 1];
static_assert(CLOCK_REALTIME == 0 && CLOCK_MONOTONIC == 1, "the first two");

/* What the linker makes of the name; nothing else calls them.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static int64_t real_ns(clockid_t clock)
{
	struct timespec now;

	(void)__real_clock_gettime(clock, &now); /* cannot fail */
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

void fake_clock_stop(clockid_t clock)
{
	assert(clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC);
	clocks[clock].stopped_ns = real_ns(clock);
	clocks[clock].stopped = true;
}

void fake_clock_add(clockid_t clock, int64_t ms)
{
	assert(clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC);
	clocks[clock].added_ns += ms * NS_PER_MS;
}

void fake_clock_reset(void)
{
	memset(clocks, 0, sizeof(clocks));
}

/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): as above */
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	int64_t ns;

	if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
		return __real_clock_gettime(clock, ret_time);
	ns = clocks[clock].added_ns;
	ns += clocks[clock].stopped ? clocks[clock].stopped_ns : real_ns(clock);
	ret_time->tv_sec = ns / NS_PER_S;
	ret_time->tv_nsec = ns % NS_PER_S;
	return 0;
}
