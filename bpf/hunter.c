/* SPDX-License-Identifier: MIT */
#include "bpf/hunter.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <gate.skel.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bpf/gate.h"
#include "bpf/hunt_map.h"
#include "common/cleanup.h"
#include "common/clock.h"

#define HUNTER_AT_ONCE 64 /* records; the kernel keeps the others until they are read */

struct hunter {
	const struct gate *gate; /* borrowed */
	struct hunt_marks *marks; /* mapped */
	struct bpf_link *link; /* owned; NULL: the programs are those of a daemon before */
};

/* A pid may be one of a namespace; the kernel's programs know none. */
static int hunter_spare_self(struct hunter *hunter)
{
	CLEANUP(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	struct stat st;

	if (pidfd < 0 || fstat(pidfd, &st) < 0)
		return -errno;
	hunter->marks->spared = st.st_ino;
	return 0;
}

int hunter_open(struct gate *gate, struct hunter **ret_hunter)
{
	CLEANUP(hunter_closep) struct hunter *hunter = calloc(1, sizeof(*hunter));
	const struct gate_bpf *skel = gate_skeleton(gate);
	void *marks;
	int err;

	if (!hunter)
		return -ENOMEM;
	hunter->gate = gate;
	marks = mmap(NULL, sizeof(*hunter->marks), PROT_READ | PROT_WRITE, MAP_SHARED,
		     bpf_map__fd(skel->maps.hunt_marks), 0);
	if (marks == MAP_FAILED)
		return -errno;
	hunter->marks = marks;
	err = hunter_spare_self(hunter);
	if (err)
		return err;
	if (bpf_program__fd(skel->progs.hunt_holders) >= 0) {
		hunter->link = bpf_program__attach_iter(skel->progs.hunt_holders, NULL);
		if (!hunter->link)
			return -errno;
	}
	*ret_hunter = STEAL(hunter);
	return 0;
}

void hunter_close(struct hunter *hunter)
{
	if (!hunter)
		return;
	if (hunter->marks)
		(void)munmap(hunter->marks, sizeof(*hunter->marks));
	(void)bpf_link__destroy(hunter->link); /* NULL is fine */
	free(hunter);
}

void hunter_closep(struct hunter **hunter)
{
	hunter_close(*hunter);
}

bool hunter_is_self(const struct hunter *hunter, const struct hunt_holder *holder)
{
	return holder->inode == hunter->marks->spared;
}

/* The user is counted first, and last: the programs look at that first. */
int hunter_mark(struct hunter *hunter, uint32_t slot, uint64_t id, uid_t uid)
{
	const uint64_t whose = HUNT_OF((uint64_t)uid);
	struct hunt_mark *mark;

	if (slot >= HUNT_SLOTS)
		return -ERANGE;
	mark = &hunter->marks->hunted[slot];
	if (mark->id == id && mark->whose == whose)
		return 0;
	hunter_unmark(hunter, slot);
	__atomic_add_fetch(&hunter->marks->users[HUNT_USER(whose)], 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&mark->id, id, __ATOMIC_SEQ_CST);
	__atomic_store_n(&mark->whose, whose, __ATOMIC_SEQ_CST);
	return 0;
}

void hunter_unmark(struct hunter *hunter, uint32_t slot)
{
	struct hunt_marks *marks = hunter->marks;
	uint64_t whose;

	if (slot >= HUNT_SLOTS)
		return;
	whose = __atomic_exchange_n(&marks->hunted[slot].whose, 0, __ATOMIC_SEQ_CST);
	if (whose)
		__atomic_sub_fetch(&marks->users[HUNT_USER(whose)], 1, __ATOMIC_SEQ_CST);
}

/* A daemon that was killed may have left users that are counted once too often: that costs time. */
void hunter_keep(struct hunter *hunter, hunter_keep_fn fn, void *arg)
{
	for (uint32_t slot = 0; slot < HUNT_SLOTS; slot++) {
		const struct hunt_mark *mark = &hunter->marks->hunted[slot];

		if (mark->whose && !fn(slot, mark->id, (uid_t)mark->whose, arg))
			hunter_unmark(hunter, slot);
	}
}

int hunter_look(struct hunter *hunter, int *ret_fd)
{
	int fd;

	if (!hunter->link)
		return gate_open_iterator(hunter->gate, "hunt_holders", ret_fd);
	fd = bpf_iter_create(bpf_link__fd(hunter->link));
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int hunter_read(struct hunter *hunter, int fd, unsigned int ms, hunter_fn fn, void *arg)
{
	const uint64_t until_ns = clock_ns(CLOCK_MONOTONIC) + ms * 1000000ULL;
	struct hunt_holder holders[HUNTER_AT_ONCE];

	__atomic_store_n(&hunter->marks->until_ns, until_ns, __ATOMIC_SEQ_CST);
	do {
		ssize_t n = read(fd, holders, sizeof(holders));

		if (n == 0)
			return 0;
		/* EAGAIN: our time is over, or there was no record in a million descriptors. */
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(*holders); i++)
			fn(&holders[i], arg);
	} while (clock_ns(CLOCK_MONOTONIC) < until_ns);
	return 1;
}
