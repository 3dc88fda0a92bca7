/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who has what pinned on the whole host: iterators over every descriptor and every process. They
 * change nothing. Nothing is locked, either: what changes meanwhile may be read half, and says so.
 *
 * A file that is shown is held by the iterator, and with it its context or container.
 */
#include "bpf/walk.bpf.h"

#include "bpf/host_map.h"

#define HOST_STEPS (1U << 20) /* objects, areas: some tenths of a second */
#define HOST_SEEN 4096 /* contexts and containers whose figures are told once */
#define DEVICE(major, minor) ((major) << 20 | (minor))
#define MISC_MAJOR 10
#define VFIO_MINOR 196

/* As long as the gate has met no such file its device number tells. Set by the daemon; 0: none. */
__u32 host_iommufd_minor;
__u32 host_cdev_major;

struct host_key {
	__u64 reading; /* bpf_iter_meta.session_id */
	__u64 object;
};

struct host_body {
	__u32 busy; /* somebody walks */
	__u32 zero;
	struct gate_walk walk;
	struct walk_payers payers;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct host_body);
} host_body SEC(".maps");

/* What this reading has told the figures of, and at which step. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, HOST_SEEN);
	__type(key, struct host_key);
	__type(value, __u64);
} host_seen SEC(".maps");

static __always_inline struct host_body *body_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&host_body, &zero);
}

/* With CONFIG_IOMMUFD_VFIO_CONTAINER /dev/vfio/vfio is a context, which its operations tell. */
static __always_inline __u32 kind_of_device(__u32 device)
{
	if (DEVICE_MAJOR(device) == MISC_MAJOR) {
		if (host_iommufd_minor && device == DEVICE(MISC_MAJOR, host_iommufd_minor))
			return HOST_CONTEXT;
		return device == DEVICE(MISC_MAJOR, VFIO_MINOR) ? HOST_CONTAINER : 0;
	}
	return host_cdev_major && DEVICE_MAJOR(device) == host_cdev_major ? HOST_CDEV : 0;
}

/* enum host_kind, 0: none of these. */
static __always_inline __u32 kind_of(const struct gate_control *control, const struct file *file)
{
	__u64 fops = (__u64)BPF_CORE_READ(file, f_op);
	const struct inode *inode;

	if (!fops || !BPF_CORE_READ(file, private_data))
		return 0; /* not open any more, or opened with O_PATH */
	if (fops == control->iommufd_fops)
		return HOST_CONTEXT;
	if (fops == control->cdev_fops)
		return HOST_CDEV;
	inode = BPF_CORE_READ(file, f_inode);
	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFCHR)
		return 0;
	return kind_of_device(BPF_CORE_READ(inode, i_rdev));
}

static __always_inline __u64 object_of(__u32 kind, const struct file *file)
{
	void *data = BPF_CORE_READ(file, private_data);
	struct vfio_device_file *df = data;

	if (kind != HOST_CDEV)
		return (__u64)data;
	if (!bpf_core_field_exists(df->iommufd))
		return 0;
	return (__u64)BPF_CORE_READ(df, iommufd);
}

static __always_inline __u64 session_of(const struct file *file)
{
	__u64 key = (__u64)file;
	const struct gate_file *known = bpf_map_lookup_elem(&gate_files, &key);
	const struct gate_session *s = known ? session_at(known->slot) : NULL;

	return s ? READ(s->id) : 0;
}

static long context_step(__u32 i, void *arg)
{
	struct host_body *body = body_get();

	return body ? walk_one(&body->walk, &body->payers) : 1;
}

static __always_inline void context_walk(struct host_body *body, const struct iommufd_ctx *ctx)
{
	walk_begin(&body->walk, ctx);
	bpf_loop(HOST_STEPS, context_step, NULL, 0);
}

static long container_step(__u32 i, void *arg)
{
	struct host_body *body = body_get();
	struct gate_walk *w;
	struct vfio_dma *dma;
	struct rb_node *rb;
	__u32 depth;

	if (!body)
		return 1;
	w = &body->walk;
	depth = w->depth;
	if (depth - 1 >= GATE_STACK) {
		w->done = 1;
		return 1;
	}
	w->depth = depth - 1;
	rb = (void *)w->stack[depth - 1];
	dma = (void *)((__u64)rb - bpf_core_field_offset(struct vfio_dma, node));
	walk_push(w, (__u64)BPF_CORE_READ(rb, rb_right));
	walk_push(w, (__u64)BPF_CORE_READ(rb, rb_left));
	w->mappings++;
	w->pages += BPF_CORE_READ(dma, size) >> gate_page_shift;
	w->pinned += BPF_CORE_READ(dma, locked_vm);
	return 0;
}

/* Drivers other than type1 are of other processors. A frame of its own, as is_first(). */
static __noinline bool is_type1(const struct vfio_container *container)
{
	static const char type1[] = "vfio-iommu-type1";
	const char *from = BPF_CORE_READ(container, iommu_driver, ops, name);
	char name[sizeof(type1)] = {0};

	if (!from || bpf_probe_read_kernel(name, sizeof(name), from))
		return false;
	for (__u32 i = 0; i < sizeof(type1); i++)
		if (name[i] != type1[i])
			return false;
	return true;
}

/* Where VFIO is a module that came later they are not, nor where they have no such figure. */
static __always_inline bool containers_are_known(void)
{
	return bpf_core_field_exists(struct vfio_container, iommu_driver) &&
	       bpf_core_field_exists(struct vfio_dma, locked_vm);
}

/*
 * vfio_dma.locked_vm is what type1 has pinned through a mapping but for pages that are reserved,
 * which are nobody's.
 */
static __always_inline void container_walk(struct host_body *body,
					   const struct vfio_container *container)
{
	struct gate_walk *w = &body->walk;
	struct vfio_iommu *iommu;

	w->pages = w->pinned = w->mappings = w->objects = 0;
	w->invalid = w->depth = w->done = 0;
	iommu = is_type1(container) ? BPF_CORE_READ(container, iommu_data) : NULL;
	if (!iommu) {
		w->done = 1;
		return;
	}
	walk_push(w, (__u64)BPF_CORE_READ(iommu, dma_list.rb_node));
	bpf_loop(HOST_STEPS, container_step, NULL, 0);
}

/*
 * Whether this is the first file of its object in this reading. What did not fit into the reader's
 * buffer is shown again, with the same number. A frame of its own: a record nearly fills the stack.
 */
static __noinline bool is_first(__u64 reading, __u64 step, __u64 object)
{
	struct host_key key = {.reading = reading, .object = object};
	const __u64 *first;

	if (!bpf_map_update_elem(&host_seen, &key, &step, BPF_NOEXIST))
		return true;
	first = bpf_map_lookup_elem(&host_seen, &key);
	return first && *first == step;
}

static __always_inline void figures_take(struct host_file *record)
{
	struct host_body *body = body_get();

	if (record->kind == HOST_CONTAINER && !containers_are_known())
		return;
	/* Another reading; it is not told what it has. */
	if (!body || atomic_cas(&body->busy, 0, 1))
		return;
	__builtin_memset(&body->payers, 0, sizeof(body->payers));
	if (record->kind == HOST_CONTAINER)
		container_walk(body, (void *)record->object);
	else
		context_walk(body, (void *)record->object);
	record->flags = HOST_READ | (body->walk.invalid || !body->walk.done ? HOST_PART : 0);
	record->pages = body->walk.pages;
	record->pinned = body->walk.pinned;
	record->orphaned = body->payers.orphaned >> WALK_SHIFT;
	record->mappings = body->walk.mappings;
	for (int i = 0; i < HOST_PAYERS; i++) {
		record->payers[i] = body->payers.of[i];
		record->payers[i].pages >>= WALK_SHIFT;
		record->payers[i].pinned >>= WALK_SHIFT;
	}
	atomic_set(&body->busy, 0);
}

SEC("iter.s/task_file")
int host_files(struct bpf_iter__task_file *ctx)
{
	struct gate_control *control = control_get();
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct host_file record = {0};
	const struct iommufd_ctx *context;

	if (!task || !file || !control)
		return 0;
	record.kind = kind_of(control, file);
	if (!record.kind)
		return 0;
	record.pid = (__u32)task->tgid;
	record.uid = BPF_CORE_READ(task, real_cred, uid.val);
	record.object = object_of(record.kind, file);
	record.session = session_of(file);
	bpf_probe_read_kernel_str(record.comm, sizeof(record.comm), task->comm);
	context = (const void *)record.object;
	if (context && record.kind != HOST_CONTAINER)
		record.accounting = BPF_CORE_READ(context, account_mode);
	if (context && is_first(ctx->meta->session_id, ctx->meta->seq_num, record.object))
		figures_take(&record);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

/* Of each process one thread: its first, or those that outlived that one. */
static __always_inline bool speaks_for_process(const struct task_struct *task)
{
	return task->pid == task->tgid || !BPF_CORE_READ(task, group_leader, mm);
}

SEC("iter/task")
int host_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct host_task record = {0};
	const struct user_struct *user;
	const struct mm_struct *mm;

	if (!task || !speaks_for_process(task))
		return 0;
	mm = BPF_CORE_READ(task, mm);
	user = BPF_CORE_READ(task, real_cred, user);
	if (!mm)
		return 0;
	record.pinned = BPF_CORE_READ(mm, pinned_vm.counter);
	record.locked = BPF_CORE_READ(mm, locked_vm);
	if (mm != BPF_CORE_READ(task, mm))
		return 0; /* it has exited: whose figures these are nobody knows */
	record.user_locked = BPF_CORE_READ(user, locked_vm.counter);
	if (!record.pinned && !record.locked && !record.user_locked)
		return 0;
	record.mm = (__u64)mm;
	record.pid = (__u32)task->tgid;
	record.uid = BPF_CORE_READ(task, real_cred, uid.val);
	record.user = BPF_CORE_READ(user, uid.val);
	bpf_probe_read_kernel_str(record.comm, sizeof(record.comm), task->comm);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}
