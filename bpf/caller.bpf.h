/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who calls: each process is told of once, at its first ioctl, which in a VMM maps nothing: the
 * kernel will compare what it maps with a limit of its own.
 */
#ifndef BPF_CALLER_BPF_H
#define BPF_CALLER_BPF_H

#include "bpf/maps.bpf.h"
#include "bpf/task.bpf.h"

#define CROWD_NS (1000 * NSEC_PER_MSEC)

/* No room: the daemon is told now and then, to make some where processes have exited. */
static __always_inline void caller_crowd(__u32 slot, struct gate_session *s)
{
	__u64 now_ns = bpf_ktime_get_ns();

	if (now_ns - READ(s->crowd_ns) < CROWD_NS)
		return;
	s->crowd_ns = now_ns;
	event_send(slot, s, GATE_EVENT_CALLER);
}

static __always_inline void caller_see(__u32 slot, struct gate_session *s)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	if (slot == GATE_SELF_TEST)
		return;
	for (int i = 0; i < GATE_CALLERS; i++)
		if (READ(s->callers[i].pid) == pid)
			return;
	for (int i = 0; i < GATE_CALLERS; i++) {
		if (READ(s->callers[i].pid) || atomic_cas(&s->callers[i].pid, 0, pid))
			continue;
		atomic_set(&s->callers[i].inode, task_inode((void *)bpf_get_current_task()));
		event_send(slot, s, GATE_EVENT_CALLER);
		return;
	}
	caller_crowd(slot, s);
}

#endif
