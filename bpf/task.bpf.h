/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BPF_TASK_BPF_H
#define BPF_TASK_BPF_H

/* Of a pidfd of its process; 0: not known. */
static __always_inline __u64 task_inode(const struct task_struct *task)
{
	const struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);

	return bpf_core_field_exists(pid->ino) ? BPF_CORE_READ(pid, ino) : 0;
}

#endif
