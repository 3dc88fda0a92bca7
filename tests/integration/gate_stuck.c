/* SPDX-License-Identifier: MIT */
/*
 * A thread that is inside an ioctl for as long as it takes, as userfaultfd keeps its memory, and
 * the session's others, who are at the limit meanwhile. vm.unprivileged_userfaultfd must be 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
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
#define CALLS 16 /* that may be inside at a time */
#define STUCK_PAGES 4
#define FAULT_MS 60000 /* until then a thread is inside, or something is wrong */
#define GIVEN_BACK 2
#define TOO_MUCH (GIVEN_BACK + 1) /* parts that do not fit, then or before */

struct stuck;

/* A thread that is inside, and where its memory is not there. */
struct stuck_call {
	struct stuck *stuck;
	void *pages; /* of the first one STUCK_PAGES, of the others one */
	uint32_t ioas_id; /* that it destroys */
	int err; /* what the ioctl came to */
	pthread_t thread;
};

struct stuck {
	struct gate *gate;
	struct stuck_call calls[CALLS];
	size_t n_calls;
	void *pages; /* of all of them */
	int uffd;
	bool patient; /* the others try again when they are told to */
	const void *part; /* memory of the others, and how much */
	uint64_t part_len;
};

/* Where the kernel wants it, without @iova. */
static int stuck_map_at(const struct stuck *stuck, const void *memory, uint64_t len, uint64_t iova)
{
	const struct gate *gate = stuck->gate;
	int err;

	do
		err = iova ? call_map_at(gate->iommufd, gate->ioas[0], memory, len, iova)
			   : call_map(gate->iommufd, gate->ioas[0], memory, len, NULL);
	while (err == -EAGAIN && stuck->patient);
	return err;
}

static void *stuck_map(void *arg)
{
	struct stuck_call *c = arg;

	c->err = stuck_map_at(c->stuck, c->pages, STUCK_PAGES * GATE_PAGE, 0);
	return NULL;
}

static void *stuck_destroy(void *arg)
{
	struct stuck_call *c = arg;

	c->err = call(c->stuck->gate->iommufd, UAPI_IOMMU_DESTROY, c->pages);
	return NULL;
}

/* The others map parts of that length. Return: 0; -errno. */
static int stuck_init(struct stuck *stuck, struct gate *gate, uint64_t part_len)
{
	*stuck = (struct stuck){.gate = gate, .part_len = part_len};
	stuck->part = gate_memory(TOO_MUCH * part_len);
	if (!stuck->part)
		return -ENOMEM;
	stuck->uffd = fault_open(CALLS * GATE_PAGE, &stuck->pages);
	if (stuck->uffd < 0)
		return stuck->uffd;
	return fcntl(stuck->uffd, F_SETFL, O_NONBLOCK) < 0 ? -errno
							   : 0; /* else poll() has no say */
}

/* Return: 0: one more thread is inside; -errno. */
static int stuck_begin(struct stuck *stuck, void *(*thread)(void *))
{
	struct stuck_call *c = &stuck->calls[stuck->n_calls];
	struct pollfd fault = {.fd = stuck->uffd, .events = POLLIN};
	struct uffd_msg msg;
	int err = call_ioas_alloc(stuck->gate->iommufd, &c->ioas_id);

	if (err)
		return err;
	c->stuck = stuck;
	c->pages = (char *)stuck->pages + stuck->n_calls++ * GATE_PAGE;
	err = pthread_create(&c->thread, NULL, thread, c);
	if (err)
		return -err;
	if (poll(&fault, 1, FAULT_MS) <= 0)
		return -ETIMEDOUT;
	return read(stuck->uffd, &msg, sizeof(msg)) == sizeof(msg) ? 0 : -EIO;
}

/* Their memory is there. Fact: late, what the first error was. Return: 0; -errno. */
static int stuck_end(struct stuck *stuck)
{
	char *source = gate_memory(CALLS * GATE_PAGE);
	struct uffdio_copy copy = {
		.dst = (uintptr_t)stuck->pages,
		.src = (uintptr_t)source,
		.len = CALLS * GATE_PAGE,
	};
	int err = 0;

	if (!source)
		return -ENOMEM;
	for (size_t i = 0; i < stuck->n_calls; i++)
		*(struct uapi_iommu_destroy *)(void *)(source + i * GATE_PAGE) =
			(struct uapi_iommu_destroy){
				.size = sizeof(struct uapi_iommu_destroy),
				.id = stuck->calls[i].ioas_id,
			};
	if (ioctl(stuck->uffd, UFFDIO_COPY, &copy) < 0)
		return -errno;
	for (size_t i = 0; i < stuck->n_calls; i++) {
		if (pthread_join(stuck->calls[i].thread, NULL))
			return -EIO;
		if (!err)
			err = stuck->calls[i].err;
	}
	fact_error("late", err);
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

static uint64_t part_iova(const struct stuck *stuck, uint64_t i)
{
	return GATE_IOVA + i * stuck->part_len;
}

/* @n parts, each in its place: to find one takes long among many. Return: 0; -errno. */
static int parts_map(struct stuck *stuck, uint64_t n)
{
	int err = 0;

	for (uint64_t i = 0; !err && i < n; i++)
		err = stuck_map_at(stuck, stuck->part, stuck->part_len, part_iova(stuck, i));
	return err;
}

static int parts_give_back(const struct stuck *stuck)
{
	const struct gate *gate = stuck->gate;
	int err = 0;

	for (uint64_t i = 0; !err && i < GIVEN_BACK; i++)
		err = call_unmap(gate->iommufd, gate->ioas[0], part_iova(stuck, i), stuck->part_len,
				 NULL);
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
	struct stuck stuck;
	int err = stuck_init(&stuck, gate, gate->options.limit / PARTS);

	if (!err)
		err = stuck_begin(&stuck, stuck_map);
	if (!err)
		err = parts_map(&stuck, PARTS - 1);
	if (!err)
		err = parts_give_back(&stuck);
	if (err)
		return err;
	part_map(&stuck, "again", "again_ms", 1);
	part_map(&stuck, "full", "full_ms", TOO_MUCH);
	fact("singly", pages_map(&stuck));
	return stuck_end(&stuck);
}

/* A MAP is halfway there, and the others ask for one part of two that they give back. */
static int again_beside_map(struct stuck *stuck)
{
	int err = stuck_begin(stuck, stuck_map);

	if (!err)
		err = parts_give_back(stuck);
	if (err)
		return err;
	part_map(stuck, "again", "again_ms", 1);
	return stuck_end(stuck);
}

/* The part that is not given back once more, somewhere else. */
static int parts_copy(const struct stuck *stuck)
{
	const struct gate *gate = stuck->gate;
	struct uapi_iommu_ioas_copy copy = {
		.size = sizeof(copy),
		.flags = CALL_MAP_FLAGS,
		.src_ioas_id = gate->ioas[0],
		.dst_ioas_id = gate->ioas[0],
		.length = stuck->part_len,
		.src_iova = part_iova(stuck, GIVEN_BACK),
	};

	return call(gate->iommufd, UAPI_IOMMU_IOAS_COPY, &copy);
}

/*
 * The same where pages are in two areas, by COPY, and that was read before. Facts: before (more
 * than there is), before_ms, again, again_ms, late.
 */
int stuck_shared(struct gate *gate)
{
	struct stuck stuck;
	int err = stuck_init(&stuck, gate, gate->options.limit / PARTS);

	if (!err)
		err = parts_map(&stuck, PARTS - 1);
	if (!err)
		err = parts_copy(&stuck);
	if (err)
		return err;
	part_map(&stuck, "before", "before_ms", TOO_MUCH);
	return again_beside_map(&stuck);
}

/*
 * And where there are very many mappings, --slots: by a reading of those who keeps its processor
 * may be told to come back. Facts: again, again_ms, late.
 */
int stuck_many(struct gate *gate)
{
	struct stuck stuck;
	int err = stuck_init(&stuck, gate, GATE_PAGE);

	stuck.patient = true;
	if (!err)
		err = parts_map(&stuck, gate->options.slots - 1);
	return err ? err : again_beside_map(&stuck);
}

/* As many are inside as may be. Facts: more (what a MAP comes to), more_ms, late, after (again). */
int stuck_taken(struct gate *gate)
{
	struct stuck stuck;
	int err = stuck_init(&stuck, gate, GATE_PAGE);

	for (size_t i = 0; !err && i < CALLS; i++)
		err = stuck_begin(&stuck, stuck_destroy);
	if (err)
		return err;
	part_map(&stuck, "more", "more_ms", 1);
	err = stuck_end(&stuck);
	if (err)
		return err;
	part_map(&stuck, "after", "after_ms", 1);
	return 0;
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
	struct stuck stuck;
	struct neighbour *neighbour;
	int err = stuck_init(&stuck, gate, gate->options.limit / PARTS);
	pid_t pid;

	if (!err)
		err = stuck_begin(&stuck, stuck_destroy);
	if (!err)
		err = parts_map(&stuck, PARTS - 1);
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
