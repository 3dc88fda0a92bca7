/* SPDX-License-Identifier: MIT */
/*
 * MAP's argument where userfaultfd says what is there, and when. It lies across two pages, head and
 * tail; the length is in the tail. Whoever reads it faults on the head, then on the tail. While
 * somebody waits for the tail the head is taken away, and while somebody waits for the head again,
 * the tail: so each reader asks anew and can be told another length, or kept waiting.
 *
 * vm.unprivileged_userfaultfd must be 1; FUSE does the same without it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/sys.h"
#include "tests/integration/gate.h"
#include "tests/integration/gate_call.h"
#include "tests/integration/gate_fault.h"
#include "tests/integration/gate_watch.h"

#define HEAD (GATE_PAGE - offsetof(struct uapi_iommu_ioas_map, length))

struct fault {
	int uffd;
	char *pages; /* the two that are watched */
	char *source; /* what to put there */
	uint64_t first,
		later; /* what the length is when read for the first time, and from then on */
	uint64_t heads, tails; /* faults so far */
	uint64_t hold_at; /* which fault on the head has to wait; 0: none */
	int held[2]; /* a byte when it does */
	int go[2]; /* a byte when it need not any more */
};

static struct uapi_iommu_ioas_map *fault_argument(char *pages)
{
	return (struct uapi_iommu_ioas_map *)(void *)(pages + HEAD);
}

/* Puts one of the pages in its place and wakes whoever waits for it. */
static void fault_serve(struct fault *fault, size_t offset)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)fault->pages + offset,
		.src = (uintptr_t)fault->source + offset,
		.len = GATE_PAGE,
	};

	(void)ioctl(fault->uffd, UFFDIO_COPY, &copy);
}

static void fault_drop(struct fault *fault, size_t offset)
{
	(void)madvise(fault->pages + offset, GATE_PAGE, MADV_DONTNEED);
}

static void fault_head(struct fault *fault)
{
	char c = 0;

	if (++fault->heads == fault->hold_at) {
		if (write(fault->held[1], &c, 1) != 1 || read(fault->go[0], &c, 1) != 1)
			return;
	}
	if (fault->heads > 1)
		fault_drop(fault, GATE_PAGE);
	fault_serve(fault, 0);
}

static void fault_tail(struct fault *fault)
{
	fault_argument(fault->source)->length = fault->tails++ ? fault->later : fault->first;
	fault_drop(fault, 0);
	fault_serve(fault, GATE_PAGE);
}

static void *fault_thread(void *arg)
{
	struct fault *fault = arg;
	struct uffd_msg msg;

	while (read(fault->uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		if (msg.event != UFFD_EVENT_PAGEFAULT)
			continue;
		if (msg.arg.pagefault.address < (uintptr_t)fault->pages + GATE_PAGE)
			fault_head(fault);
		else
			fault_tail(fault);
	}
	return NULL;
}

int fault_open(uint64_t len, void **ret_pages)
{
	void *pages = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {
		.range = {.start = (uintptr_t)pages, .len = len},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	CLEANUP(fd_closep) int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (pages == MAP_FAILED || fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0 ||
	    ioctl(fd, UFFDIO_REGISTER, &range) < 0)
		return -errno;
	*ret_pages = pages;
	return STEAL_FD(fd);
}

/* The thread stays until the process ends. Return: 0; -errno. */
static int fault_start(struct fault *fault, const struct gate *gate)
{
	pthread_t thread;
	void *pages = NULL;

	fault->uffd = fault_open(2 * GATE_PAGE, &pages);
	if (fault->uffd < 0)
		return fault->uffd;
	fault->pages = pages;
	fault->source = gate_memory(2 * GATE_PAGE);
	if (!fault->source || pipe(fault->held) < 0 || pipe(fault->go) < 0)
		return -ENOMEM;
	*fault_argument(fault->source) = (struct uapi_iommu_ioas_map){
		.size = sizeof(struct uapi_iommu_ioas_map),
		.flags = CALL_MAP_FLAGS | UAPI_IOMMU_IOAS_MAP_FIXED_IOVA,
		.ioas_id = gate->ioas[0],
		.user_va = (uintptr_t)gate_memory(WATCH_LARGE),
		.iova = WATCH_IOVA,
	};
	return -pthread_create(&thread, NULL, fault_thread, fault);
}

static int fault_map(const struct gate *gate, struct fault *fault)
{
	return call(gate->iommufd, UAPI_IOMMU_IOAS_MAP, fault_argument(fault->pages));
}

static void swap_map(struct gate *gate, struct watch *watch)
{
	static struct fault fault = {.first = WATCH_SMALL, .later = WATCH_LARGE};
	int err;

	if (strcmp(gate->options.mode, "plain") == 0)
		fault.first = WATCH_LARGE;
	err = fault_start(&fault, gate);
	if (!err)
		err = fault_map(gate, &fault);
	atomic_fetch_add(&watch->tries, 1);
	if (err) {
		atomic_fetch_add(&watch->refused, 1);
		atomic_store(&watch->error, err);
	}
	if (watch_pinned_pages() > WATCH_SMALL / GATE_PAGE)
		atomic_fetch_add(&watch->larger, 1);
}

/*
 * Small when read for the first time, large from then on; mode plain: large at once, as nobody but
 * the kernel reads it without a gate. The device must be attached.
 */
int fault_swap(struct gate *gate)
{
	return watch_run(gate, swap_map);
}

static struct fault delayed = {.first = WATCH_LARGE, .later = WATCH_LARGE};

static void *delay_thread(void *arg)
{
	static int err;

	err = fault_map(arg, &delayed);
	return &err;
}

/* Maps up to the limit in parts until one is refused. Return: pages. */
static uint64_t delay_fill(const struct gate *gate, int *ret_err)
{
	uint64_t part = gate->options.limit / 16, pages = 0;
	const void *memory = gate_memory(part);
	int err = memory ? 0 : -ENOMEM;

	while (!err && pages < gate->options.limit / GATE_PAGE) {
		err = call_map(gate->iommufd, gate->ioas[0], memory, part, NULL);
		if (!err)
			pages += part / GATE_PAGE;
	}
	*ret_err = err;
	return pages;
}

/*
 * A MAP whose argument is on its way while the limit is used up by others: mode first, the first
 * who reads it waits; mode second, the one after that (without a gate the kernel when it writes
 * back). Facts: filled_pages, fill_error, late (what the MAP came to), mapped_pages.
 */
int fault_delay(struct gate *gate)
{
	uint64_t pages;
	pthread_t thread;
	void *late;
	char c = 0;
	int err, error;

	delayed.hold_at = strcmp(gate->options.mode, "second") == 0 ? 2 : 1;
	err = fault_start(&delayed, gate);
	if (!err)
		err = -pthread_create(&thread, NULL, delay_thread, gate);
	if (err)
		return err;
	if (read(delayed.held[0], &c, 1) != 1)
		return -EIO;
	pages = delay_fill(gate, &error);
	fact("filled_pages", pages);
	fact_error("fill_error", error);
	if (write(delayed.go[1], &c, 1) != 1 || pthread_join(thread, &late))
		return -EIO;
	fact_error("late", *(int *)late);
	fact("mapped_pages", pages + (*(int *)late ? 0 : WATCH_LARGE / GATE_PAGE));
	return 0;
}
