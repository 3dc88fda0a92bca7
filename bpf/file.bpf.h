/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Files that are gated: which those are, and what a session has to do with each of its own until
 * the kernel frees it.
 */
#ifndef BPF_FILE_BPF_H
#define BPF_FILE_BPF_H

#include "bpf/expected.bpf.h"
#include "bpf/op.bpf.h"

/*
 * Whether the LSM programs of this object act, and on files with these operations.
 *
 * The kernel calls the program that was attached last first. If the daemon switches generations
 * between the two calls of one ioctl, the new one has not acted any more than before, and the old
 * one must, or nobody does. So the old ones go on until they are taken off: twice is strict (the
 * second begins anew and leaves what the first reserved to the next reading). Programs that give
 * something back act in one generation only: twice would be loose, and not at all is strict.
 */
static __always_inline bool control_acts(const struct gate_control *control)
{
	return control && (READ(control->generation) == gate_generation ||
			   READ(control->before) == gate_generation);
}

static __always_inline bool control_wants(const struct gate_control *control,
					  const struct file *file)
{
	__u64 fops;

	if (!control_acts(control))
		return false;
	fops = (__u64)file->f_op;
	return fops == control->iommufd_fops || fops == control->cdev_fops;
}

static __always_inline const struct gate_file *file_known(const struct file *file)
{
	__u64 key = (__u64)file;

	return bpf_map_lookup_elem(&gate_files, &key);
}

/* As file_known(), for LSM programs: most files are neither, and are not looked up. */
static __always_inline const struct gate_file *file_of_session(const struct file *file)
{
	return control_wants(control_get(), file) ? file_known(file) : NULL;
}

/* As a number, which is all that a function may be given that is verified once for all programs. */
static __always_inline __u64 address_of(const struct file *file)
{
	__u64 from = (__u64)file, to = 0;

	bpf_probe_read_kernel(&to, sizeof(to), &from);
	return to;
}

static __always_inline struct file *file_of_fd(__s32 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct files_struct *files = BPF_CORE_READ(task, files);
	struct fdtable *fdt = BPF_CORE_READ(files, fdt);
	struct file **fds = BPF_CORE_READ(fdt, fd);
	struct file *file = NULL;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(fdt, max_fds))
		return NULL;
	if (bpf_probe_read_kernel(&file, sizeof(file), fds + fd))
		return NULL;
	return file;
}

static __always_inline int cdev_remember(struct gate_body *body, __u64 file)
{
	for (int i = 0; i < GATE_CDEVS; i++)
		if (!atomic_cas(&body->cdevs[i], 0, file))
			return 0;
	return -ENOSPC;
}

static __always_inline void cdev_forget(struct gate_body *body, __u64 file)
{
	for (int i = 0; i < GATE_CDEVS; i++)
		if (READ(body->cdevs[i]) == file)
			atomic_set(&body->cdevs[i], 0);
}

/* It is released: nothing is mapped any more. */
static __always_inline void context_forget(struct gate_session *s)
{
	atomic_set(&s->used, 0);
	atomic_set(&s->objects, 0);
	s->read_used = s->read_objects = s->read_pinned = 0;
	s->read_ns = bpf_ktime_get_ns();
	s->read_changes = READ(s->changes);
	bpf_map_delete_elem(&gate_files, &s->ctx); /* where it was brought */
	s->ctx = 0;
}

/*
 * Something in the pool is new: the daemon looks at all of it, so that is told once until it does,
 * however fast somebody opens and closes.
 */
static __always_inline void pool_tell(void)
{
	struct gate_control *control = control_get();

	if (control && !READ(control->pool_news) && !atomic_cas(&control->pool_news, 0, 1))
		event_put(0, 0, GATE_EVENT_POOL);
}

/*
 * A slot of the pool is free again, whether a daemon is there or not. Nobody is inside any more:
 * each operation that is left is over, and is counted out, so that the counters are right for the
 * next one. The id last: it makes the slot somebody else's.
 */
static __always_inline void slot_give_back(__u32 slot, struct gate_session *s,
					   struct gate_body *body)
{
	for (int i = 0; i < GATE_OPS; i++) {
		struct gate_op *op = &body->ops[i];
		__u64 number = READ(op->state);

		if (number != OP_FREE && number != OP_BUSY)
			op_end(slot, s, op, number);
	}
	atomic_set(&s->id, 0);
}

static __always_inline void file_forget(__u64 file, const struct gate_file *known)
{
	/* What is read of it once it is deleted may be another's. */
	__u32 slot = known->slot, cdev = known->cdev, expected = known->expected;
	struct gate_session *s = session_at(slot);
	struct gate_body *body = body_at(slot);

	if (!s || !body)
		return;
	if (bpf_map_delete_elem(&gate_files, &file) == -ENOENT)
		return; /* another did, at this moment */
	if (cdev) {
		cdev_forget(body, file);
		atomic_add(&s->dirty, 1); /* what the kernel had made for the device is gone */
		expected_release(slot, s, expected);
	} else {
		context_forget(s);
	}
	if (atomic_add(&s->n_files, -1) != 1) {
		session_changed(slot, s);
		return;
	}
	if (!slot_in_pool(slot)) {
		event_send(slot, s, GATE_EVENT_ENDED);
		return;
	}
	slot_give_back(slot, s, body);
	pool_tell();
}

#endif
