/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Devices that come later: one that nobody expects is to be bound to the context of a session, as
 * libvirt has a device plugged in. Whether the session may have it depends on policies, files and
 * other sessions: the thread that asks for it waits for the daemon, which expects the device or
 * does not. Nothing is locked, or held, while a thread waits; it pays with its own time.
 *
 * The fallback cannot wait: there a device that nobody expects is nobody's business.
 */
#ifndef BPF_PLUG_BPF_H
#define BPF_PLUG_BPF_H

#include "bpf/enter.bpf.h"
#include "bpf/expect.bpf.h"

#define PLUG_WAIT_NS (3000 * NSEC_PER_MSEC) /* documented in pinbroker-libvirt(7) */

#define PLUG_LOOPS 256 /* of SPIN_STEPS; more than there is time for */
#define PLUG_SLOTS (1U << 20) /* more than there are */

struct plug_wait {
	__u64 until_ns;
	__u32 slot;
	__u32 asked; /* gate_session.plug until there is an answer */
};

struct context_look {
	__u64 ctx;
	__u32 found;
	__u32 zero;
};

static __always_inline bool plug_is_over(const struct plug_wait *wait)
{
	const struct gate_session *s = session_at(wait->slot);

	return !s || READ(s->plug) != wait->asked || bpf_ktime_get_ns() > wait->until_ns ||
	       is_dying();
}

static long plug_look(__u32 i, void *arg)
{
	give_way(i);
	return plug_is_over(arg);
}

/* By time: how long the steps of one loop take depends on the processor. */
static long plug_look_on(__u32 i, void *arg)
{
	bpf_loop(SPIN_STEPS, plug_look, arg, 0);
	return plug_is_over(arg);
}

/*
 * Return: the question's number and GATE_PLUG_ASKED; 0: another thread asks, or the session has
 * asked too much.
 */
static __always_inline __u32 plug_ask(__u32 slot, struct gate_session *s, const struct file *cdev)
{
	__u32 plug = READ(s->plug);
	char name[EXPECT_NAME_MAX] = {};

	if (bpf_ktime_get_ns() < READ(s->plug_ns) || plug & GATE_PLUG_STATE ||
	    cdev_name(cdev, name) || atomic_cas(&s->plug, plug, plug + GATE_PLUG_FILLING) != plug)
		return 0;
	__builtin_memcpy(s->plug_name, name, sizeof(name));
	s->plug_pid = bpf_get_current_pid_tgid() >> 32;
	/* Where it is not, all files of the session were closed, and the slot is another's. */
	if (atomic_cas(&s->plug, plug + GATE_PLUG_FILLING, plug + GATE_PLUG_ASKED) !=
	    plug + GATE_PLUG_FILLING)
		return 0;
	event_send(slot, s, GATE_EVENT_PLUG);
	return plug + GATE_PLUG_ASKED;
}

/*
 * The next question has another number. Where it is neither, all files of the session were closed
 * meanwhile, and the slot is another's. Return: whether there was an answer in time.
 */
static __always_inline bool plug_is_answered(struct gate_session *s, __u32 asked)
{
	const __u32 answered = asked - GATE_PLUG_ASKED + GATE_PLUG_ANSWERED;
	const __u32 none = asked - GATE_PLUG_ASKED + GATE_PLUG_NEXT;

	if (atomic_cas(&s->plug, asked, none) == asked)
		return false;
	return atomic_cas(&s->plug, answered, none) == answered;
}

/* The daemon expects it, and it was not bound after all: as if it had been, and had gone. */
static __always_inline void plug_give_back(__u32 slot, struct gate_session *s,
					   const struct file *cdev)
{
	struct expected *e;
	__u32 number = 0;

	if (expect_hold(cdev, &number))
		return;
	e = expected_at(number);
	if (!e)
		return;
	if (READ(e->slot) == slot && READ(e->id) == READ(s->id))
		atomic_add(&e->n_bound, 1);
	expect_release(e);
	event_send(slot, s, GATE_EVENT_PLUG);
}

/* Return: as expect_bind(); -ENOENT: the context is of no session. */
__noinline long plug_bind(__u64 address, __s32 fd)
{
	const struct file *cdev = (const struct file *)address;
	const struct gate_file *known = file_known(file_of_fd(fd));
	struct plug_wait wait = {.asked = 0};
	struct gate_session *s;
	long ret = -EPERM;

	if (!known || known->cdev || slot_in_pool(known->slot))
		return -ENOENT;
	wait.slot = known->slot;
	s = session_at(wait.slot);
	if (!s || wait.slot == GATE_SELF_TEST)
		return -ENOENT;
	if (READ(s->bits) & (GATE_REVOKED | GATE_POISONED | GATE_CLOSED)) {
		denied(wait.slot, s, TRACE_WHY_STATE, -EPERM, TRACE_UNKNOWN);
		return -EPERM;
	}
	wait.asked = plug_ask(wait.slot, s, cdev);
	if (!wait.asked)
		return -EAGAIN;
	wait.until_ns = bpf_ktime_get_ns() + PLUG_WAIT_NS;
	bpf_loop(PLUG_LOOPS, plug_look_on, &wait, 0);
	if (plug_is_answered(s, wait.asked)) {
		ret = expect_bind(address, fd);
		if (ret < 0)
			plug_give_back(wait.slot, s, cdev);
	}
	if (ret != -EPERM && ret != -ENOENT)
		return ret;
	denied(wait.slot, s, TRACE_WHY_DEVICE, -EPERM, TRACE_UNKNOWN);
	return -EPERM;
}

/* --- what was bound without a question, where one is asked */

static long context_step(__u32 i, void *arg)
{
	struct context_look *look = arg;
	const struct gate_session *s = session_at(i + 1);

	if (!s)
		return 1;
	look->found = READ(s->ctx) == look->ctx && READ(s->id) && !slot_in_pool(i + 1) &&
		      !(READ(s->bits) & GATE_CLOSED);
	return look->found;
}

/*
 * A thread may change the argument of a BIND between the program's look and the kernel's, or come
 * by a way on which it cannot be read: then a device is bound to the context of a session, and is
 * not the session's. It is of no use there: it is attached to nothing. What it is bound to stays so
 * from the moment the kernel grants access.
 *
 * Return: 0: its context is nobody's business; -EPERM; -EINVAL, as the kernel has it, if it is not
 * bound yet.
 */
__noinline int foreign_attach(__u64 address)
{
	const struct file *cdev = (const struct file *)address;
	const struct vfio_device_file *df = BPF_CORE_READ(cdev, private_data);
	struct context_look look = {.found = 0};

	if (!bpf_core_field_exists(struct vfio_device_file, iommufd))
		return 0;
	if (!BPF_CORE_READ(df, access_granted))
		return -EINVAL;
	look.ctx = (__u64)BPF_CORE_READ(df, iommufd);
	if (look.ctx)
		bpf_loop(PLUG_SLOTS, context_step, &look, 0);
	return look.found ? -EPERM : 0;
}

#endif
