/* SPDX-License-Identifier: GPL-2.0 */
/* How programs wait: for a reading that goes on, and for whoever is inside. */
#ifndef BPF_WAIT_BPF_H
#define BPF_WAIT_BPF_H

#include "bpf/op.bpf.h"

#define SPIN_STEPS (8U << 20)
#define GIVE_WAY_MASK 63 /* of so many looks the last one */
#define FROZEN_WAIT_NS (100 * NSEC_PER_MSEC)
#define MOMENT_NS (10 * NSEC_PER_MSEC)
/* Of a thread whose ioctl needs it, and of the daemon, for which everybody waits. */
#define QUIET_WAIT_NS (500 * NSEC_PER_MSEC)
#define QUIET_READ_NS (20 * NSEC_PER_MSEC)
#define WAIT_ON_NS (10 * NSEC_PER_MSEC) /* of who cannot sleep, in place of either */
#define KEEP_NS (100 * NSEC_PER_MSEC) /* so long it keeps its processor from others */
#define KEEP_ANYWAY_NS (10000 * NSEC_PER_MSEC) /* longer than anybody waits */
#define PREEMPT_NS (40 * NSEC_PER_MSEC) /* by then a kernel that preempts has, by its tick */

/*
 * Others get the processor. A kernel that preempts does that by itself; where it does not, whoever
 * is waited for may be waiting for this processor. Then a byte of the thread's own stack is read:
 * get_user_pages() looks whether somebody else should run (cond_resched()).
 */
static __always_inline void give_way(__u32 i)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	const void *sp;
	char byte;

	if ((i & GIVE_WAY_MASK) != GIVE_WAY_MASK)
		return;
	sp = (const void *)BPF_CORE_READ(regs, sp);
	/* Only what is there: to fetch it may take as long as its owner likes. */
	if (!bpf_probe_read_user(&byte, sizeof(byte), sp))
		bpf_copy_from_user_task(&byte, sizeof(byte), sp, task, 0);
}

extern const struct rq runqueues __ksym __weak;

static __always_inline __u64 task_switches(const struct task_struct *task)
{
	return BPF_CORE_READ(task, nvcsw) + BPF_CORE_READ(task, nivcsw);
}

/* Whether somebody else could run here. Who sleeps may be on its way out of the queue yet. */
static __always_inline bool cpu_is_wanted(void)
{
	const struct rq *rq;
	__u32 n;

	if (!&runqueues)
		return true;
	rq = bpf_this_cpu_ptr(&runqueues);
	n = rq->nr_running;
	if (bpf_core_field_exists(rq->cfs.h_nr_runnable))
		n -= rq->cfs.h_nr_queued - rq->cfs.h_nr_runnable;
	return n > 1;
}

/*
 * The scheduler's own account of how long a thread has run. What it adds to it comes with the tick
 * that lets others run: a processor that stood still, or whose tick is late, as under a hypervisor
 * with too much to do, says nothing of whether the kernel preempts.
 */
static __always_inline __u64 task_ran_ns(const struct task_struct *task)
{
	return BPF_CORE_READ(task, se.sum_exec_runtime);
}

/*
 * Of a program that cannot sleep. A kernel that preempts takes the processor away by itself. No
 * field is ever a constant: each one would be another state for the verifier, in each try.
 */
struct keep {
	__u64 until_ns; /* by task_ran_ns(), and KEEP_WANTED */
	__u64 switches; /* of its thread */
};

#define KEEP_WANTED 1UL /* by somebody, for whom the kernel has until then */

static __always_inline void keep_begin(struct keep *keep)
{
	const struct task_struct *task = bpf_get_current_task_btf();

	keep->until_ns = (task_ran_ns(task) + KEEP_NS) & ~KEEP_WANTED;
	keep->switches = task_switches(task);
}

/*
 * The next struct keep::until_ns; 0: it has kept its processor for too long from others, but for
 * who has only just come.
 */
__noinline __u64 keep_on(__u64 until_ns, __u64 switches)
{
	const struct task_struct *task = bpf_get_current_task_btf();
	__u64 ran_ns = task_ran_ns(task);

	if (ran_ns <= until_ns)
		return until_ns;
	if (task_switches(task) != switches)
		return ran_ns + KEEP_ANYWAY_NS; /* others get it by themselves */
	if (!cpu_is_wanted())
		return (ran_ns + KEEP_NS) & ~KEEP_WANTED;
	return until_ns & KEEP_WANTED ? 0 : (ran_ns + PREEMPT_NS) | KEEP_WANTED;
}

struct spin {
	__u64 until_ns;
	__u64 besides; /* the caller's operation, where it has one */
	__u32 slot;
	__u32 inside; /* gate_read: another reads */
};

static __always_inline long spin_frozen(const struct spin *spin)
{
	const struct gate_session *s = session_at(spin->slot);

	return !s || !READ(s->frozen) || bpf_ktime_get_ns() > spin->until_ns;
}

static __always_inline long spin_time(const struct spin *spin)
{
	return bpf_ktime_get_ns() > spin->until_ns;
}

static __always_inline long spin_inside(const struct spin *spin)
{
	return !op_inside(spin->slot, spin->besides) || bpf_ktime_get_ns() > spin->until_ns;
}

/*
 * Each as two programs: one that gives way, and one for the fallback, which must not sleep. The
 * verifier wants no function in a program of the fallback that could, be it never called.
 */
#define SPIN(what)                                        \
	static long what##_giving_way(__u32 i, void *arg) \
	{                                                 \
		give_way(i);                              \
		return what(arg);                         \
	}                                                 \
	static long what##_on(__u32 i, void *arg)         \
	{                                                 \
		return what(arg);                         \
	}

SPIN(spin_frozen)
SPIN(spin_time)
SPIN(spin_inside)

/* Whoever does not run may be waiting for this processor. */
static long spin_running_on(__u32 i, void *arg)
{
	const struct spin *spin = arg;

	return !op_running(spin->slot, spin->besides) || bpf_ktime_get_ns() > spin->until_ns;
}

/* A reading takes a moment; it never waits for one who waits here. */
static __always_inline void wait_unfrozen(__u32 slot, const struct gate_session *s, bool sleeps)
{
	struct spin spin = {.slot = slot};

	if (!READ(s->frozen))
		return;
	spin.until_ns = bpf_ktime_get_ns() + (sleeps ? FROZEN_WAIT_NS : WAIT_ON_NS);
	bpf_loop(SPIN_STEPS, sleeps ? spin_frozen_giving_way : spin_frozen_on, &spin, 0);
}

static __always_inline void wait_a_moment(bool sleeps)
{
	struct spin spin = {.until_ns = bpf_ktime_get_ns() + MOMENT_NS};

	bpf_loop(SPIN_STEPS, sleeps ? spin_time_giving_way : spin_time_on, &spin, 0);
}

static __always_inline int wait_inside(__u32 slot, __u64 besides, __u64 ns, bool sleeps)
{
	struct spin spin = {.slot = slot, .besides = besides, .until_ns = bpf_ktime_get_ns() + ns};

	bpf_loop(SPIN_STEPS, sleeps ? spin_inside_giving_way : spin_inside_on, &spin, 0);
	return 0;
}

__noinline int wait_quiet_giving_way(__u32 slot, __u64 besides, __u64 ns)
{
	return wait_inside(slot, besides, ns, true);
}

__noinline int wait_quiet_on(__u32 slot, __u64 besides)
{
	return wait_inside(slot, besides, WAIT_ON_NS, false);
}

/* Until nobody else is inside, or for too long: @ns, of who can sleep. The caller holds frozen:
 * nobody comes meanwhile. */
static __always_inline void wait_quiet(__u32 slot, __u64 besides, __u64 ns, bool sleeps)
{
	if (sleeps)
		wait_quiet_giving_way(slot, besides, ns);
	else
		wait_quiet_on(slot, besides);
}

/* The same, but for those inside who do not run, of a program that cannot sleep. */
__noinline int wait_running_on(__u32 slot, __u64 besides)
{
	struct spin spin = {
		.slot = slot, .besides = besides, .until_ns = bpf_ktime_get_ns() + WAIT_ON_NS};

	bpf_loop(SPIN_STEPS, spin_running_on, &spin, 0);
	return 0;
}

#endif
