/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What happens in sessions, for people who watch. These programs are attached only while somebody
 * listens, and no figure depends on them: the kernel skips one that was preempted on the same
 * processor, a full ring loses what does not fit, and both are counted.
 *
 * An operation is known by two programs: fentry remembers when it began, fexit tells. Without the
 * first one how long it took is not known.
 */
#include "bpf/trace.bpf.h"

#define TRACE_RING (256 * 1024)

__u32 trace_on;
__u64 trace_lost; /* did not fit into the ring */

/* When the thread began what it is in; number: of the operation, or the file's address. */
struct trace_start {
	__u64 number;
	__u64 ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TRACE_RING);
} trace_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct trace_start);
} trace_starts SEC(".maps");

/* NULL: no room, counted. Else to be submitted. */
static __always_inline struct trace_event *event_new(__u64 id, __u32 kind, __s32 result)
{
	struct trace_event *event = bpf_ringbuf_reserve(&trace_ring, sizeof(*event), 0);

	if (!event) {
		atomic_add(&trace_lost, 1);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->id = id;
	event->ns = bpf_ktime_get_ns();
	event->took_ns = event->bytes = event->mappings = TRACE_UNKNOWN;
	event->kind = kind;
	event->result = result;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	return event;
}

__noinline int trace_tell(__u32 slot, __u32 word, __s32 result, __u64 number, __u64 took_ns)
{
	const struct gate_session *s = session_at(slot);
	__u32 kind = word & 0xff;
	struct trace_event *event;

	if (!READ(trace_on) || !s || slot == GATE_SELF_TEST)
		return 0;
	event = event_new(s->id, kind, result);
	if (!event)
		return 0;
	event->why = word >> 16;
	event->took_ns = took_ns;
	if (kind == TRACE_RECOUNT)
		event->mappings = number;
	else
		event->bytes = number;
	if (word & TRACE_NOBODY) {
		event->pid = 0;
		event->comm[0] = '\0';
	}
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* --- when it began */

static __always_inline int start(__u64 number)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct trace_start *start =
		bpf_task_storage_get(&trace_starts, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!start)
		return 0; /* how long it took will not be known */
	start->number = number;
	start->ns = bpf_ktime_get_ns();
	return 0;
}

static __always_inline __u64 start_took(__u64 number)
{
	struct trace_start *start =
		bpf_task_storage_get(&trace_starts, bpf_get_current_task_btf(), 0, 0);
	__u64 took;

	if (!start || start->number != number)
		return TRACE_UNKNOWN;
	took = bpf_ktime_get_ns() - start->ns;
	start->number = 0;
	return took;
}

/* The session in whose ioctl this thread is, and the number of that; 0: in none. */
static __always_inline __u64 thread_session(__u64 *ret_number)
{
	__u32 slot = 0;
	const struct gate_op *op = op_of_thread(&slot);
	const struct gate_session *s = session_at(slot);

	if (!op || !s || slot == GATE_SELF_TEST)
		return 0;
	*ret_number = READ(op->state);
	return s->id;
}

static __always_inline int thread_start(void)
{
	__u64 number = 0;

	return thread_session(&number) ? start(number) : 0;
}

#define START(function)                          \
	SEC("fentry/" #function)                 \
	int trace_start_##function(void *unused) \
	{                                        \
		return thread_start();           \
	}

START(iommufd_ioas_map)
START(iommufd_ioas_map_file)
START(iommufd_ioas_copy)
START(iommufd_ioas_unmap)
START(vfio_df_ioctl_bind_iommufd)
START(vfio_df_ioctl_attach_pt)

/* --- what it was */

/* Where the kernel's copy of the argument has the length (include/uapi/linux/iommufd.h). */
#define MAP_LENGTH 24
#define COPY_LENGTH 16
#define UNMAP_LENGTH 16 /* when it returns: how much is gone */

static __always_inline int command_done(__u32 kind, const struct iommufd_ucmd *ucmd, __u32 offset,
					int ret)
{
	struct trace_event *event;
	__u64 number = 0, length = 0, id = thread_session(&number);
	const char *cmd;

	if (!id)
		return 0;
	cmd = BPF_CORE_READ(ucmd, cmd);
	if (bpf_probe_read_kernel(&length, sizeof(length), cmd + offset))
		length = TRACE_UNKNOWN;
	event = event_new(id, kind, ret);
	if (!event)
		return 0;
	event->bytes = length;
	event->took_ns = start_took(number);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("fexit/iommufd_ioas_map")
int BPF_PROG(trace_map, struct iommufd_ucmd *ucmd, int ret)
{
	return command_done(TRACE_MAP, ucmd, MAP_LENGTH, ret);
}

SEC("fexit/iommufd_ioas_map_file")
int BPF_PROG(trace_map_file, struct iommufd_ucmd *ucmd, int ret)
{
	return command_done(TRACE_MAP, ucmd, MAP_LENGTH, ret);
}

SEC("fexit/iommufd_ioas_copy")
int BPF_PROG(trace_copy, struct iommufd_ucmd *ucmd, int ret)
{
	return command_done(TRACE_COPY, ucmd, COPY_LENGTH, ret);
}

SEC("fexit/iommufd_ioas_unmap")
int BPF_PROG(trace_unmap, struct iommufd_ucmd *ucmd, int ret)
{
	return command_done(TRACE_UNMAP, ucmd, UNMAP_LENGTH, ret);
}

static __always_inline void device_name(struct trace_event *event, const struct vfio_device *device)
{
	const char *name = BPF_CORE_READ(device, dev, kobj.name);

	if (bpf_probe_read_kernel_str(event->device, sizeof(event->device), name) < 0)
		event->device[0] = '\0';
}

static __always_inline int device_done(__u32 kind, const struct vfio_device_file *df, int ret)
{
	__u64 number = 0, id = thread_session(&number);
	struct trace_event *event;

	if (!id)
		return 0;
	event = event_new(id, kind, ret);
	if (!event)
		return 0;
	device_name(event, BPF_CORE_READ(df, device));
	event->took_ns = start_took(number);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("fexit/vfio_df_ioctl_bind_iommufd")
int BPF_PROG(trace_bind, struct vfio_device_file *df, void *arg, long ret)
{
	return device_done(TRACE_BIND, df, (int)ret);
}

SEC("fexit/vfio_df_ioctl_attach_pt")
int BPF_PROG(trace_attach, struct vfio_device_file *df, void *arg, int ret)
{
	return device_done(TRACE_ATTACH, df, ret);
}

/* Where a thread of the session maps, attaches or unmaps; what the kernel's own threads charge for
 * it is not seen. */
static __always_inline int charge_done(unsigned long npages, bool inc, int ret)
{
	__u64 number = 0, id = thread_session(&number);
	struct trace_event *event;

	if (!id)
		return 0;
	event = event_new(id, inc ? TRACE_CHARGE : TRACE_UNCHARGE, ret);
	if (!event)
		return 0;
	event->bytes = (__u64)npages << gate_page_shift;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("fexit/iopt_pages_update_pinned")
int BPF_PROG(trace_charge, void *pages, unsigned long npages, bool inc, void *user, int ret)
{
	return charge_done(npages, inc, ret);
}

/* Its name until 6.12. */
SEC("fexit/do_update_pinned")
int BPF_PROG(trace_charge_before, void *pages, unsigned long npages, bool inc, void *user, int ret)
{
	return charge_done(npages, inc, ret);
}

/*
 * Drivers ask it for the next state on the way to the one that is wanted, and go there: a walk is
 * as many events as it has steps. A step that the driver then fails at is seen by the next one,
 * which begins where it was. Whose the device is, its name tells.
 */
SEC("fexit/vfio_mig_get_next_state")
int BPF_PROG(trace_migrate, struct vfio_device *device, int from, int wanted, void *next, int ret)
{
	struct trace_event *event = event_new(0, TRACE_MIGRATE, ret);
	__u32 to = wanted;
	__u64 at = 0;

	if (!event)
		return 0;
	/* 6.12 lets no program touch an argument that points to an enum. */
	if (!ret && (bpf_get_func_arg(ctx, 3, &at) ||
		     bpf_probe_read_kernel(&to, sizeof(to), (const void *)at)))
		to = wanted;
	device_name(event, device);
	event->bytes = (__u32)from;
	event->mappings = to;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* --- a context's beginning and end */

SEC("fexit/iommufd_fops_open")
int BPF_PROG(trace_open, void *inode, struct file *file, int ret)
{
	struct trace_event *event = event_new(0, TRACE_OPEN, ret);

	if (event)
		bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("fentry/iommufd_fops_release")
int BPF_PROG(trace_start_release, void *inode, struct file *file)
{
	return start((__u64)file);
}

SEC("fexit/iommufd_fops_release")
int BPF_PROG(trace_release, void *inode, struct file *file, int ret)
{
	__u64 key = (__u64)file;
	const struct gate_file *known = bpf_map_lookup_elem(&gate_files, &key);
	const struct gate_session *s;
	struct trace_event *event;
	__u64 id = 0;

	if (known) {
		s = session_at(known->slot);
		id = s && known->slot != GATE_SELF_TEST ? s->id : 0;
	}
	event = event_new(id, TRACE_RELEASE, ret);
	if (!event)
		return 0;
	event->took_ns = start_took(key);
	bpf_ringbuf_submit(event, 0);
	return 0;
}
