/* SPDX-License-Identifier: MIT */
/*
 * Inside the gate: what bpf/gate_load.c brings into the kernel, and takes away again, bpf/gate.c
 * serves in between.
 */
#ifndef BPF_GATE_PRIVATE_H
#define BPF_GATE_PRIVATE_H

#include <stddef.h>
#include <unistd.h>

#include "bpf/gate.h"

struct bpf_link;
struct expect_table;
struct gate_adopted;
struct gate_context;
struct gate_control;
struct gate_session;
struct ring_buffer;

#define GATE_KEPT_MAX 32
#define GATE_CONTROL_NAME "gate_control" /* of the map, and of its pin */

/* What was read without a quiet moment. */
struct gate_near {
	uint64_t id; /* of whom */
	struct gate_figures figures;
};

struct gate {
	struct gate_bpf *skel; /* owned */
	int dir_fd; /* owned; locked: one daemon at a time */
	struct gate_control *control; /* mapped */
	struct gate_session *sessions; /* by slot; mapped up to n_shown */
	struct gate_adopted *adopted; /* mapped; of the pool */
	struct expect_table *expected; /* mapped */
	struct gate_near *near; /* owned; by slot */
	uint32_t n_sessions; /* slots, with the pool's */
	uint32_t n_shown; /* from there on slots are free, and cannot be looked at */
	uint32_t n_free_from; /* no slot below it is free */
	uint64_t n_files; /* that were reserved */
	uint64_t lost; /* of the events, when they were looked at last */
	struct ring_buffer *ring; /* owned */
	enum gate_level level;
	uint32_t generation;
	uint64_t build; /* gate_control.build of this object */
	bool knows_cdevs; /* the kernel tells VFIO's types, without which cdevs are nobody's */
	bool kept; /* the programs that act are this object's: they stay as they are */
	int kept_fds[GATE_KEPT_MAX]; /* owned: of those, for what they have missed */
	size_t n_kept;
	uint32_t replaced; /* the generation that acted until then */
	bool switched; /* and may be switched back */
	bool fallback;
	gate_event_fn fn; /* during gate_dispatch() */
	void *arg;
	unsigned int left; /* events that it may still take */
};

/* Up to the end of its page. */
static inline size_t gate_page_up(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (n + page - 1) & ~(page - 1);
}

/* A directory of pins and all that is in it; it need not be there. */
int gate_remove_tree(int at, const char *name);

/**
 * gate_show() - have the slots below @n mapped, few others, and somewhere else than before
 *
 * The kernel puts all of a mapped array into the page tables at once and counts it as memory of
 * the daemon: 4 MiB, of which few hosts ever need a tenth.
 *
 * Return: 0; -errno, and all is as it was.
 */
int gate_show(struct gate *gate, uint32_t n);

/**
 * gate_open_dir() - the directory of the pins: only root's, and only one daemon's
 * @dir: made with mode 0700
 *
 * Return: 0 with a descriptor that is locked; -EMEDIUMTYPE: not on bpffs; -EWOULDBLOCK: another
 * daemon has it; -errno.
 */
int gate_open_dir(const char *dir, int *ret_fd);

/* Whether a map is a gate's gate_control. */
bool gate_is_control(int fd);

/* Whether some gate acts, for who has none of its pins. Without CAP_SYS_ADMIN that is not known:
 * no. */
bool gate_acts_unpinned(void);

/* The kernel's id of its map gate_control; 0: it does not say. */
uint32_t gate_control_id(const struct gate *gate);

/**
 * gate_serve() - from here on there are events, figures and room in a gate that is loaded
 *
 * Return: 0; -errno: gate_close() it.
 */
int gate_serve(struct gate *gate);

/* The session's timer can be started by programs from here on. Return: 0; -errno. */
int gate_arm_timer(struct gate *gate, uint32_t slot);

/* So many files more have a place in the maps, until the slot is given up. */
void gate_count_files(struct gate *gate, uint32_t slot, uint32_t n);

/* Limits, judgement and state of a context in the pool. Return: 0; -ESRCH: it is released. */
int gate_change(struct gate *gate, uint32_t slot, const struct gate_context *context);

#endif
