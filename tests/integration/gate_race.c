/* SPDX-License-Identifier: MIT */
/*
 * MAP's length flipped by a second thread between what fits and what does not, while a first one
 * maps: who decides by what it read of it decides about another mapping. Each value stays for up to
 * --hold turns of a loop, at random: the longer, the more tries there are before one is won.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/integration/gate.h"
#include "tests/integration/gate_call.h"
#include "tests/integration/gate_watch.h"

static struct uapi_iommu_ioas_map argument;

/* Until the process ends. */
static void *race_flipper(void *arg)
{
	const struct gate *gate = arg;
	uint64_t random = (uint64_t)getpid();
	volatile uapi_u64 *length = &argument.length;

	for (uint64_t n = 0;; n++) {
		*length = n % 2 ? WATCH_LARGE : WATCH_SMALL;
		for (uint64_t i = gate_random(&random) % gate->options.hold; i > 0; i--)
			__asm__ volatile("" ::: "memory");
	}
	return NULL;
}

/* Whether a MAP that went through was the large one. It is gone then unless that is all we want. */
static bool race_won(const struct gate *gate)
{
	if (strcmp(gate->options.mode, "unmap") == 0)
		return watch_unmap(gate) > WATCH_SMALL / GATE_PAGE;
	if (watch_pinned_pages() > WATCH_SMALL / GATE_PAGE)
		return true;
	(void)watch_unmap(gate);
	return false;
}

/*
 * Until --count tries are over that began with what fits; in the modes sleep and spin until the
 * first one that is won.
 */
static void race_map(struct gate *gate, struct watch *watch)
{
	bool on = strcmp(gate->options.mode, "unmap") == 0;
	pthread_t flipper;
	bool won = false;

	argument = (struct uapi_iommu_ioas_map){
		.size = sizeof(argument),
		.flags = CALL_MAP_FLAGS | UAPI_IOMMU_IOAS_MAP_FIXED_IOVA,
		.ioas_id = gate->ioas[0],
		.user_va = (uintptr_t)gate_memory(WATCH_LARGE),
		.length = WATCH_SMALL,
		.iova = WATCH_IOVA,
	};
	if (!argument.user_va || pthread_create(&flipper, NULL, race_flipper, gate))
		return;
	while (*(volatile uapi_u64 *)&argument.length != WATCH_LARGE)
		; /* until it runs */
	for (uint64_t i = 0; (on || !won) && i < gate->options.count;) {
		int err;

		atomic_fetch_add(&watch->tries, 1); /* it may be the last */
		err = call(gate->iommufd, UAPI_IOMMU_IOAS_MAP, &argument);
		if (err) {
			atomic_fetch_add(&watch->refused, 1);
			atomic_store(&watch->error, err);
			if (err == -EPERM)
				return; /* found out, and about to be killed */
			continue;
		}
		i++;
		won = race_won(gate);
		if (won)
			atomic_fetch_add(&watch->larger, 1);
	}
}

int race_flip(struct gate *gate)
{
	return watch_run(gate, race_map);
}
