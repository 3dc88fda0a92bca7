/* SPDX-License-Identifier: MIT */
/*
 * Prints the frequency of this processor's time stamp counter in kHz. It is the emulated
 * processors' too, and a guest that has to find out for itself while its host is busy can be
 * wrong several times over: its clock then runs away, and every timeout in it.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct reading {
	uint64_t tsc;
	int64_t ns;
};

/* Both clocks at one moment: of several tries the one that was interrupted the least. */
static struct reading reading_take(void)
{
	struct reading best = {0, 0};
	uint64_t best_width = UINT64_MAX;

	for (int i = 0; i < 20; i++) {
		struct timespec now;
		uint64_t before = __rdtsc();

		clock_gettime(CLOCK_MONOTONIC_RAW, &now);
		uint64_t width = __rdtsc() - before;
		if (width < best_width) {
			best_width = width;
			best.tsc = before + width / 2;
			best.ns = now.tv_sec * 1000000000LL + now.tv_nsec;
		}
	}
	return best;
}

int main(void)
{
	const struct timespec span = {.tv_nsec = 20000000};
	struct reading a = reading_take();

	nanosleep(&span, NULL);
	struct reading b = reading_take();
	printf("%.0f\n", (double)(b.tsc - a.tsc) * 1e6 / (double)(b.ns - a.ns));
	return 0;
}
