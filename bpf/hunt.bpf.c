/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who has a descriptor of a session that is hunted (daemon/hunt.h): an iterator over every
 * descriptor, for the daemon, which kills them; and a hook in fork, which kills those who would be
 * more before they are.
 */
#include "bpf/maps.bpf.h"

#include "bpf/hunt_map.h"
#include "bpf/task.bpf.h"

#define SIGKILL 9
#define HUNT_LOOKS 64 /* descriptors between two looks at the clock; a power of two */
#define HUNT_TABLE (1U << 20) /* descriptors of a process: fs.nr_open unless somebody raised it */
#define SIGNAL_GROUP_EXIT 4 /* include/linux/sched/signal.h */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hunt_marks);
} hunt_marks SEC(".maps");

static __always_inline struct hunt_marks *marks_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&hunt_marks, &zero);
}

/* HUNT_MARK() of the session that a file is of; 0: of none, or it is not hunted. */
static __always_inline __u64 mark_of(const struct hunt_marks *marks, const struct file *file,
				     __u32 *ret_slot)
{
	__u64 key = (__u64)file;
	const struct gate_file *known = bpf_map_lookup_elem(&gate_files, &key);
	__u32 slot;

	if (!known)
		return 0;
	slot = known->slot;
	if (slot >= HUNT_SLOTS)
		return 0;
	*ret_slot = slot;
	return READ(marks->hunted[slot]);
}

/* One that dumps core takes its time, until it is killed. */
static __always_inline bool is_exiting(const struct task_struct *task)
{
	return (BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT) &&
	       !BPF_CORE_READ(task, signal, core_state);
}

/*
 * In flight between processes, or in a ring, a file is not seen. A reader has so much time: then it
 * is told EAGAIN or what there is, and the next one begins with the same file.
 */
SEC("iter/task_file")
int hunt_holders(struct bpf_iter__task_file *ctx)
{
	const struct hunt_marks *marks = marks_get();
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct hunt_holder holder = {0};

	if (!file || !task || !marks)
		return 0; /* the end of the list */
	if (!(ctx->meta->seq_num % HUNT_LOOKS) && bpf_ktime_get_ns() > READ(marks->until_ns))
		return 1;
	if (!mark_of(marks, file, &holder.slot))
		return 0;
	holder.inode = task_inode(task);
	holder.pid = (__u32)task->tgid;
	holder.uid = BPF_CORE_READ(task, real_cred, uid.val);
	holder.dying = is_exiting(task);
	bpf_seq_write(ctx->meta->seq, &holder, sizeof(holder));
	return 0;
}

/* A look at the descriptors of the thread that forks. */
struct fork_look {
	struct file **files;
	__u64 mark; /* that is looked for */
	__u32 found;
};

static long fork_step(__u32 i, void *arg)
{
	struct fork_look *look = arg;
	const struct hunt_marks *marks = marks_get();
	struct file *file = NULL;
	__u32 slot;

	if (!marks || bpf_probe_read_kernel(&file, sizeof(file), look->files + i))
		return 1;
	if (!file || mark_of(marks, file, &slot) != look->mark)
		return 0;
	look->found = 1;
	return 1;
}

/*
 * Who forks on and on is always one ahead of somebody who looks for him. Within fork he is at hand:
 * he dies, and there is no child. Its own table is held: the thread is in it. The daemon has
 * descriptors that it hands out or closes, and makes threads; init cannot be killed.
 */
static __always_inline int task_alloc(void)
{
	const struct task_struct *task = bpf_get_current_task_btf();
	__u32 uid = BPF_CORE_READ(task, real_cred, uid.val);
	const struct hunt_marks *marks = marks_get();
	struct fork_look look = {.mark = HUNT_MARK((__u64)uid)};
	const struct fdtable *table;
	__u32 n;

	if (!marks || !READ(marks->users[HUNT_USER(uid)]))
		return 0;
	if (task->tgid == 1 || task_inode(task) == READ(marks->spared))
		return 0;
	table = BPF_CORE_READ(task, files, fdt);
	if (!table)
		return 0;
	look.files = BPF_CORE_READ(table, fd);
	n = BPF_CORE_READ(table, max_fds);
	bpf_loop(n < HUNT_TABLE ? n : HUNT_TABLE, fork_step, &look, 0);
	if (!look.found)
		return 0;
	bpf_send_signal(SIGKILL);
	return -EPERM;
}

SEC("lsm/task_alloc")
int BPF_PROG(hunt_fork, struct task_struct *task, unsigned long flags)
{
	return task_alloc();
}

SEC("?fmod_ret/security_task_alloc")
int BPF_PROG(hunt_fallback_fork, struct task_struct *task, unsigned long flags)
{
	return task_alloc();
}
