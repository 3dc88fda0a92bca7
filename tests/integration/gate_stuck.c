/* SPDX-License-Identifier: MIT */
/*
 * A thread that is inside an ioctl for as long as it takes, as userfaultfd keeps its memory, and
 * the session's others, who are at the limit meanwhile. vm.unprivileged_userfaultfd must be 1.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/sys.h"
#include "tests/integration/gate.h"
#include "tests/integration/gate_call.h"
#include "tests/integration/gate_fault.h"

#define PARTS 64 /* of the limit */
#define STUCK_PAGES 4
#define GIVEN_BACK 2
#define TOO_MUCH (GIVEN_BACK + 1) /* parts that do not fit, then or before */

struct stuck {
	struct gate *gate;
	void *pages; /* STUCK_PAGES that are not there */
	int uffd;
	int err; /* what the ioctl came to */
	pthread_t thread;
	uint32_t ioas_id; /* that is destroyed */
	uint64_t iova[PARTS]; /* of what others have mapped */
	const void *part; /* memory, and how much */
	uint64_t part_len;
};

static void *stuck_map(void *arg)
{
	struct stuck *stuck = arg;

	stuck->err = call_map(stuck->gate->iommufd, stuck->gate->ioas[0], stuck->pages,
			      STUCK_PAGES * GATE_PAGE, NULL);
	return NULL;
}

static void *stuck_destroy(void *arg)
{
	struct stuck *stuck = arg;

	stuck->err = call(stuck->gate->iommufd, UAPI_IOMMU_DESTROY, stuck->pages);
	return NULL;
}

/* Return: 0: the thread is inside; -errno. */
static int stuck_start(struct stuck *stuck, void *(*thread)(void *))
{
	struct uffd_msg msg;
	int err;

	stuck->part_len = stuck->gate->options.limit / PARTS;
	stuck->part = gate_memory(TOO_MUCH * stuck->part_len);
	if (!stuck->part)
		return -ENOMEM;
	stuck->uffd = fault_open(STUCK_PAGES * GATE_PAGE, &stuck->pages);
	if (stuck->uffd < 0)
		return stuck->uffd;
	err = pthread_create(&stuck->thread, NULL, thread, stuck);
	if (err)
		return -err;
	return read(stuck->uffd, &msg, sizeof(msg)) == sizeof(msg) ? 0 : -EIO;
}

/* Its memory is there. Fact: late, what the ioctl came to. Return: 0; -errno. */
static int stuck_end(struct stuck *stuck)
{
	void *source = gate_memory(STUCK_PAGES * GATE_PAGE);
	struct uffdio_copy copy = {
		.dst = (uintptr_t)stuck->pages,
		.src = (uintptr_t)source,
		.len = STUCK_PAGES * GATE_PAGE,
	};

	if (!source)
		return -ENOMEM;
	*(struct uapi_iommu_destroy *)source = (struct uapi_iommu_destroy){
		.size = sizeof(struct uapi_iommu_destroy),
		.id = stuck->ioas_id,
	};
	if (ioctl(stuck->uffd, UFFDIO_COPY, &copy) < 0 || pthread_join(stuck->thread, NULL))
		return -EIO;
	fact_error("late", stuck->err);
	return 0;
}

/* One more of the others, of @n parts. Facts: NAME (what it came to), NAME_ms. */
static void part_map(struct stuck *stuck, const char *name, const char *name_ms, uint64_t n)
{
	uint64_t begin_ms = clock_ms(CLOCK_MONOTONIC);
	int err = call_map(stuck->gate->iommufd, stuck->gate->ioas[0], stuck->part,
			   n * stuck->part_len, NULL);

	fact(name_ms, clock_ms(CLOCK_MONOTONIC) - begin_ms);
	fact_error(name, err);
}

/* All but one part. Return: 0; -errno. */
static int parts_fill(struct stuck *stuck)
{
	int err = 0;

	for (int i = 0; !err && i < PARTS - 1; i++)
		err = call_map(stuck->gate->iommufd, stuck->gate->ioas[0], stuck->part,
			       stuck->part_len, &stuck->iova[i]);
	return err;
}

/* Page by page until one is refused. Return: how many were not. */
static uint64_t pages_map(const struct stuck *stuck)
{
	const struct gate *gate = stuck->gate;
	uint64_t n = 0;

	while (!call_map(gate->iommufd, gate->ioas[0], stuck->part, GATE_PAGE, NULL))
		n++;
	return n;
}

/*
 * A MAP is halfway there, and the others fill the limit beside it. Nobody knows what they give back
 * then but a reading. The device must be attached. Facts: again (one part after two were given
 * back), again_ms, full (more than there is then), full_ms, singly (pages, up to the limit), late.
 */
int stuck_halfway(struct gate *gate)
{
	struct stuck stuck = {.gate = gate, .uffd = -1};
	int err = stuck_start(&stuck, stuck_map);

	if (!err)
		err = parts_fill(&stuck);
	if (err)
		return err;
	for (int i = 0; !err && i < GIVEN_BACK; i++)
		err = call_unmap(gate->iommufd, gate->ioas[0], stuck.iova[i], stuck.part_len, NULL);
	if (err)
		return err;
	part_map(&stuck, "again", "again_ms", 1);
	part_map(&stuck, "full", "full_ms", TOO_MUCH);
	fact("singly", pages_map(&stuck));
	return stuck_end(&stuck);
}

/* What it sees of its processor. */
struct neighbour {
	atomic_bool runs;
	atomic_uint_fast64_t most_ms; /* the longest time without it */
};

static int processor_first(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0;
}

static void neighbour_run(struct neighbour *neighbour)
{
	uint64_t last_ms = clock_ms(CLOCK_MONOTONIC);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	atomic_store(&neighbour->runs, true);
	for (;;) {
		uint64_t ms = clock_ms(CLOCK_MONOTONIC);

		if (ms - last_ms > atomic_load(&neighbour->most_ms))
			atomic_store(&neighbour->most_ms, ms - last_ms);
		last_ms = ms;
	}
}

/* A child that wants this thread's processor, which both keep to. Return: its pid; -errno. */
static pid_t neighbour_start(struct neighbour **ret)
{
	struct neighbour *neighbour = gate_shared(sizeof(*neighbour));
	int err = neighbour ? processor_first() : -ENOMEM;
	pid_t pid;

	if (err)
		return err;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		neighbour_run(neighbour); /* until it is killed */
	while (!atomic_load(&neighbour->runs))
		(void)sched_yield();
	*ret = neighbour;
	return pid;
}

/*
 * A DESTROY is inside, and nobody knows of what; the others are at the limit, beside somebody who
 * wants their processor. Facts: full (more than there is), full_ms, gap_ms (how long the neighbour
 * was without it), late.
 */
int stuck_unknown(struct gate *gate)
{
	struct stuck stuck = {.gate = gate, .uffd = -1};
	struct neighbour *neighbour;
	int err = call_ioas_alloc(gate->iommufd, &stuck.ioas_id);
	pid_t pid;

	if (!err)
		err = stuck_start(&stuck, stuck_destroy);
	if (!err)
		err = parts_fill(&stuck);
	if (err)
		return err;
	pid = neighbour_start(&neighbour);
	if (pid < 0)
		return pid;
	part_map(&stuck, "full", "full_ms", TOO_MUCH);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	fact("gap_ms", atomic_load(&neighbour->most_ms));
	return stuck_end(&stuck);
}
