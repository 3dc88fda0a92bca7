/* SPDX-License-Identifier: MIT */
/*
 * The gate: BPF programs that keep each session's limits in the kernel, and the memory they share
 * with the daemon. The only user of libbpf.
 *
 * Programs, links and maps are pinned in a directory of bpffs: they go on without the daemon, and
 * its successor takes them over. While it serves, the daemon makes no bpf(2) call on elements of a
 * map (that makes other people's programs miss events): it reads and writes shared memory, and runs
 * programs of its own.
 */
#ifndef BPF_GATE_H
#define BPF_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gate;
struct gate_bpf;

#define GATE_NO_SLOT UINT32_MAX
#define GATE_DIR "/sys/fs/bpf/pinbroker"

/* What holds on this host. */
enum gate_level {
	GATE_LEVEL_NONE, /* nothing is loaded */
	GATE_LEVEL_OBSERVE, /* figures, and no refusal */
	GATE_LEVEL_BEST_EFFORT, /* refusals, some of which may be skipped */
	GATE_LEVEL_EXACT,
};

/* Counts; pages are the kernel's. */
struct gate_limits {
	uint64_t pages;
	uint64_t mappings; /* UINT64_MAX: as many as can be counted */
	uint64_t objects;
};

struct gate_figures {
	uint64_t mapped, pinned, peak; /* pages; of the last reading */
	uint64_t mappings, objects;
	uint64_t denied; /* ioctls refused */
	uint64_t read_ns; /* when that was, CLOCK_MONOTONIC; 0: there is none yet */
	bool exact; /* the reading is that of a quiet moment, and nothing changed since */
};

/* What became of a session in the kernel; bits may come together. */
struct gate_state {
	bool ended; /* every file of it is released */
	bool poisoned; /* more was found than was reserved */
	bool revoked;
};

enum gate_unmanaged_rule {
	GATE_RULE_ALLOW,
	GATE_RULE_DENY, /* contexts that nobody here handed out may map nothing new */
	GATE_RULE_LIMIT, /* no more than they are allowed: bpf/gate_pool.h */
};

/* What holds for all, and may change at any time. */
struct gate_rules {
	enum gate_unmanaged_rule unmanaged;
	struct gate_limits unmanaged_limits; /* for the one, until it gets others */
	bool kill_slipped; /* what slipped through a gate that can be skipped is as a racer's */
};

struct gate_plan {
	const char *dir; /* on bpffs; made with mode 0700 */
	uint32_t n_sessions; /* at most; of a gate that is taken over, its own number holds */
	bool passive; /* only look after sessions of before: other programs act on them */
	bool fallback; /* hooks that work without BPF among the LSMs, and may be skipped */
};

/* A process that has made an ioctl of a session. */
struct gate_caller {
	uint64_t inode; /* of its pidfd */
	uint32_t pid; /* in the initial namespace */
};

enum gate_notice {
	GATE_NOTICE_STATE, /* something became of it: see gate_state() */
	GATE_NOTICE_POISONED, /* likewise, that; it may be over since */
	GATE_NOTICE_NEAR_LIMIT, /* it has reached 80% of a limit */
	GATE_NOTICE_CALLER, /* another process has made an ioctl: gate_callers() */
	GATE_NOTICE_LARGE, /* it is too large for the kernel's timer: gate_read() */
	GATE_NOTICE_CHANGED, /* what gate_watch() waits for */
	GATE_NOTICE_PLUG, /* a device comes or has gone: gate_asked(), gate_is_unplugged() */
	GATE_NOTICE_POOL, /* of no slot: look at those of the pool, after gate_pool_heard() */
	GATE_NOTICE_POOL_FULL, /* likewise: one was refused; id: its user, for whom none is left */
};

/* Of the session in a slot, of that id. */
typedef void (*gate_event_fn)(uint32_t slot, uint64_t id, enum gate_notice notice, void *arg);

/**
 * gate_open() - load the programs and attach them, beside those of a daemon before
 *
 * The new programs act from then on, and the old ones with them, until gate_commit() removes those,
 * or gate_drop() takes the new ones away again.
 * Before sandbox_enter(): needs CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN.
 *
 * Return: 0; -errno with *ret_reason said (static or the caller's to free never): the kernel has
 * no such hook, refuses to load, or bpffs is not there. -EUCLEAN: maps are missing that programs
 * act on, which a passive gate does not look at: it would have new ones. -EALREADY: another
 * gate acts, of which nothing is pinned. -ENODEV: iommufd is not there. Nothing is changed then.
 */
int gate_open(const struct gate_plan *plan, struct gate **ret_gate, char *ret_reason,
	      unsigned int reason_size);

/* Everything stays in the kernel. NULL is fine, here and in what follows. */
void gate_close(struct gate *gate);
void gate_closep(struct gate **gate);

/* Programs of a daemon before are removed. Return: 0; -errno: some act on, which is strict. */
int gate_commit(struct gate *gate);

/*
 * Takes its own programs away again, after which those of before act alone, if it was not
 * committed; the maps stay. Then as gate_close().
 */
void gate_drop(struct gate *gate);

/**
 * gate_purge() - remove whatever is pinned in a directory: no program acts any more
 *
 * Return: 0, also if nothing is there; -EWOULDBLOCK: a daemon has it; -errno.
 */
int gate_purge(const char *dir);

/* Of a gate that has proved itself: until then, those of before hold. */
void gate_set_rules(struct gate *gate, const struct gate_rules *rules);

/* Whether its programs are the fallback's. */
bool gate_is_fallback(const struct gate *gate);

enum gate_level gate_level(const struct gate *gate);
void gate_set_level(struct gate *gate, enum gate_level level);

/*
 * Becomes readable when gate_dispatch() has something to do, and stays so until all is done: a call
 * takes some events only, as their number is in the hands of whoever causes them.
 */
int gate_event_fd(const struct gate *gate);
void gate_dispatch(struct gate *gate, gate_event_fn fn, void *arg);

/**
 * gate_reserve() - a slot for a session, with room for its files
 * @n_files: to be enrolled
 *
 * Return: 0; -ENOSPC: the maps are full.
 */
int gate_reserve(struct gate *gate, uint64_t id, const struct gate_limits *limits, uint32_t n_files,
		 uint32_t *ret_slot);

/**
 * gate_enrol() - from here on what happens through a file counts for a session
 * @fd: of an iommufd, or of a VFIO cdev; shown to nobody yet
 *
 * Return: 0; -ENOSPC; -EINVAL: it is no file; -ENODEV: of a cdev, VFIO is a module that came after
 * gate_open(); -errno.
 */
int gate_enrol(struct gate *gate, uint32_t slot, int fd, bool cdev);

/* A file that was enrolled last is closed and nobody else had it: it counts no more. */
void gate_unenrol(struct gate *gate, uint32_t slot);

/* Takes effect at once, also on what waits. */
void gate_set_limits(struct gate *gate, uint32_t slot, const struct gate_limits *limits);
void gate_revoke(struct gate *gate, uint32_t slot);

/* What it has may have changed, from now on: that is told once, by GATE_NOTICE_CHANGED. */
void gate_watch(struct gate *gate, uint32_t slot);

/* IOMMUFD's test command is for this session, too. */
void gate_allow_test(struct gate *gate, uint32_t slot);

/* As gate_reserve(), the slot of the self-test. */
int gate_reserve_test(struct gate *gate, const struct gate_limits *limits, uint32_t *ret_slot);

/*
 * The processes that have made an ioctl of a session, as many as are remembered, until they are
 * forgotten: only then there is room for others. Return: how many.
 */
#define GATE_CALLERS_MAX 8
size_t gate_callers(const struct gate *gate, uint32_t slot,
		    struct gate_caller ret_callers[static GATE_CALLERS_MAX]);
void gate_forget_caller(struct gate *gate, uint32_t slot, uint64_t inode);

/* Gives the slot up as soon as its files are released: at once, or when called again after that. */
void gate_forget(struct gate *gate, uint32_t slot);

/* The next slot in use after this one (GATE_NO_SLOT: the first) and its id; GATE_NO_SLOT: none. */
uint32_t gate_next(const struct gate *gate, uint32_t slot, uint64_t *ret_id);

struct gate_state gate_state(const struct gate *gate, uint32_t slot);

/* The last reading, from memory. */
void gate_look(const struct gate *gate, uint32_t slot, struct gate_figures *ret_figures);

/**
 * gate_read() - a new reading, some microseconds for each mapping
 * @wait: up to 20 ms for a quiet moment
 *
 * Return: 0; -EBUSY: as gate_look().
 */
int gate_read(struct gate *gate, uint32_t slot, bool wait, struct gate_figures *ret_figures);

/* Whether more was found than the limits allow since that was asked last. */
bool gate_slipped(struct gate *gate, uint32_t slot);

/* Events that did not fit into the ring; firings that the kernel skipped. */
uint64_t gate_lost(const struct gate *gate);
uint64_t gate_misses(const struct gate *gate);

/* For bpf/tracer.c: the object, borrowed; and which of its programs and maps are the tracer's. */
struct gate_bpf *gate_skeleton(struct gate *gate);
bool gate_program_is_traced(const char *name);

/* Which programs the self-test's session has met: bits of enum gate_program. */
uint64_t gate_fired(const struct gate *gate);

/* Device numbers by which files are known that the gate has met none of yet; 0: not known. */
void gate_set_devices(struct gate *gate, uint32_t iommufd_minor, uint32_t cdev_major);

/**
 * gate_open_iterator() - what an iterator of the gate's programs sees now, to be read to its end
 * @program: its name
 *
 * By its pin: that is open(2) and read(2), needs no capability and no bpf(2).
 *
 * Return: 0; -errno.
 */
int gate_open_iterator(const struct gate *gate, const char *program, int *ret_fd);

#endif
