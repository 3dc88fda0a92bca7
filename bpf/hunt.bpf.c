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

extern void bpf_preempt_disable(void) __ksym __weak; /* since 6.11 */
extern void bpf_preempt_enable(void) __ksym __weak;
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

/* A session that is hunted. */
struct quarry {
	__u64 id;
	__u64 whose; /* see struct hunt_mark */
	__u32 slot;
	__u32 zero;
};

/* Whether a file is of one: as long as somebody has the file its slot is no other session's. */
static __always_inline bool file_is_hunted(const struct hunt_marks *marks, const struct file *file,
					   struct quarry *ret)
{
	__u64 key = (__u64)file;
	const struct gate_file *known = bpf_map_lookup_elem(&gate_files, &key);
	const struct gate_session *s;
	__u32 slot;

	if (!known)
		return false;
	slot = known->slot;
	s = session_at(slot);
	if (!s || slot >= HUNT_SLOTS)
		return false;
	ret->slot = slot;
	ret->id = READ(marks->hunted[slot].id);
	ret->whose = READ(marks->hunted[slot].whose);
	return ret->whose && ret->id == READ(s->id);
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
	struct quarry quarry = {0};

	if (!file || !task || !marks)
		return 0; /* the end of the list */
	if (!(ctx->meta->seq_num % HUNT_LOOKS) && bpf_ktime_get_ns() > READ(marks->until_ns))
		return 1;
	if (!file_is_hunted(marks, file, &quarry))
		return 0;
	holder.id = quarry.id;
	holder.slot = quarry.slot;
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
	__u64 whose; /* files that are looked for */
	__u32 found;
};

static long fork_step(__u32 i, void *arg)
{
	struct fork_look *look = arg;
	const struct hunt_marks *marks = marks_get();
	struct quarry quarry = {0};
	struct file *file = NULL;

	if (!marks || bpf_probe_read_kernel(&file, sizeof(file), look->files + i))
		return 1;
	if (!file || !file_is_hunted(marks, file, &quarry) || quarry.whose != look->whose)
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
	struct fork_look look = {.whose = HUNT_OF((__u64)uid)};
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

/*
 * A thread that loses its processor in here has all who fork on that one meanwhile skip the
 * program: among hundreds it gets it back late, and by then there are more of them.
 */
SEC("?fmod_ret/security_task_alloc")
int BPF_PROG(hunt_fallback_fork, struct task_struct *task, unsigned long flags)
{
	int ret;

	if (!gate_keeps_cpu)
		return task_alloc();
	bpf_preempt_disable();
	ret = task_alloc();
	bpf_preempt_enable();
	return ret;
}
