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

struct plug_wait {
	__u64 until_ns;
	__u32 slot;
	__u32 asked; /* gate_session.plug until there is an answer */
};

static long plug_look(__u32 i, void *arg)
{
	const struct plug_wait *wait = arg;
	const struct gate_session *s = session_at(wait->slot);

	give_way(i);
	return !s || READ(s->plug) != wait->asked || bpf_ktime_get_ns() > wait->until_ns ||
	       is_dying();
}

/* Return: the question's number and GATE_PLUG_ASKED; 0: another thread asks. */
static __always_inline __u32 plug_ask(__u32 slot, struct gate_session *s, const struct file *cdev)
{
	__u32 plug = READ(s->plug);
	char name[EXPECT_NAME_MAX] = {};

	if (plug & GATE_PLUG_STATE || cdev_name(cdev, name) ||
	    atomic_cas(&s->plug, plug, plug + GATE_PLUG_FILLING) != plug)
		return 0;
	__builtin_memcpy(s->plug_name, name, sizeof(name));
	s->plug_pid = bpf_get_current_pid_tgid() >> 32;
	plug += GATE_PLUG_ASKED;
	atomic_set(&s->plug, plug);
	event_send(slot, s, GATE_EVENT_PLUG);
	return plug;
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
	wait.asked = plug_ask(wait.slot, s, cdev);
	if (!wait.asked)
		return -EAGAIN;
	wait.until_ns = bpf_ktime_get_ns() + PLUG_WAIT_NS;
	bpf_loop(SPIN_STEPS, plug_look, &wait, 0);
	if (plug_is_answered(s, wait.asked))
		ret = expect_bind(address, fd);
	if (ret != -EPERM && ret != -ENOENT)
		return ret;
	denied(wait.slot, s, TRACE_WHY_DEVICE, -EPERM, TRACE_UNKNOWN);
	return -EPERM;
}

#endif
