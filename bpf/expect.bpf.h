/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Contexts that somebody else opens for a session that is reserved. It has devices, each of which
 * is in one session only, and a device has to be bound to a context before anything is mapped for
 * it: the first BIND of a device that is expected brings its context and itself into the session,
 * whoever calls. From there on both are gated as if the daemon had handed them out.
 */
#ifndef BPF_EXPECT_BPF_H
#define BPF_EXPECT_BPF_H

#include "bpf/command.bpf.h"
#include "bpf/expected.bpf.h"
#include "bpf/file.bpf.h"
#include "bpf/host_map.h"
#include "bpf/recount.bpf.h"

/*
 * The gate knows cdevs by their operations once it has met one: here it meets the first, or the
 * first of a module that was loaded anew, of whose files before none is left. Block devices have
 * majors of their own, which may be the same.
 */
static __always_inline bool expect_knows(struct gate_control *control, const struct file *file)
{
	const struct expect_table *table = expect_table_get();
	const struct inode *inode = BPF_CORE_READ(file, f_inode);

	if (!control || !table || !READ(table->cdev_major) ||
	    (BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFCHR ||
	    DEVICE_MAJOR(BPF_CORE_READ(inode, i_rdev)) != READ(table->cdev_major))
		return false;
	atomic_set(&control->cdev_fops, (__u64)file->f_op);
	return true;
}

struct expect_look {
	char name[EXPECT_NAME_MAX];
	__u32 found; /* its number + 1; 0: none */
	__u32 busy; /* another thread has it at this moment */
};

static __always_inline bool expect_is(const struct expected *e, const struct expect_look *look)
{
	const __u64 *a = (const __u64 *)e->name, *b = (const __u64 *)look->name;

	_Static_assert(EXPECT_NAME_MAX % sizeof(__u64) == 0, "compared in words");
	for (int i = 0; i < EXPECT_NAME_MAX / (int)sizeof(__u64); i++)
		if (READ(a[i]) != b[i])
			return false;
	return true;
}

/* It is held from here on: the daemon may have given it another name between the two looks. */
static long expect_step(__u32 i, void *arg)
{
	struct expect_look *look = arg;
	struct expect_table *table = expect_table_get();
	struct expected *e;

	if (!table || i >= EXPECT_DEVICES || i >= READ(table->n))
		return 1;
	e = &table->at[i];
	if (READ(e->state) == EXPECT_FREE || !expect_is(e, look))
		return 0;
	look->busy = atomic_cas(&e->state, EXPECT_ARMED, EXPECT_HELD) != EXPECT_ARMED;
	if (look->busy)
		return 1;
	if (!expect_is(e, look)) {
		atomic_set(&e->state, EXPECT_ARMED);
		return 0;
	}
	look->found = i + 1;
	return 1;
}

/* The device of a cdev. @ret_name is NUL-filled. Return: 0; -ENOENT: it is not known. */
static __always_inline int cdev_name(const struct file *file, char ret_name[EXPECT_NAME_MAX])
{
	const struct vfio_device_file *df = BPF_CORE_READ(file, private_data);
	const char *name;

	if (!bpf_core_field_exists(struct vfio_device_file, device))
		return -ENOENT;
	name = BPF_CORE_READ(df, device, dev, kobj.name);
	return bpf_probe_read_kernel_str(ret_name, EXPECT_NAME_MAX, name) > 0 ? 0 : -ENOENT;
}

/*
 * Where VFIO is a module that came later nothing is expected: see gate_expect().
 *
 * Return: 0: the one with *ret_number is held; -ENOENT; -EAGAIN.
 */
static __always_inline int expect_hold(const struct file *file, __u32 *ret_number)
{
	struct expect_look look = {.found = 0};

	if (cdev_name(file, look.name))
		return -ENOENT;
	bpf_loop(EXPECT_DEVICES, expect_step, &look, 0);
	if (look.busy)
		return -EAGAIN;
	if (!look.found)
		return -ENOENT;
	*ret_number = look.found;
	return 0;
}

static __always_inline void expect_release(struct expected *e)
{
	atomic_set(&e->state, EXPECT_ARMED);
}

/* Whether a file that nobody holds for this program is there still, and of this context. */
static __always_inline bool expect_lives(const struct file *file, __u64 ctx)
{
	bool held = bpf_core_field_exists(struct file, f_ref)
			    ? BPF_CORE_READ(file, f_ref.refcnt.counter) >= 0
			    : BPF_CORE_READ(file, f_count.counter) > 0;

	return held && (__u64)BPF_CORE_READ(file, private_data) == ctx;
}

/*
 * The session's context, if it has none yet. What is mapped through it already nobody reserved: the
 * first reading comes before anything else and accuses nobody, but nothing is bound or added until
 * what it finds is within the limits.
 */
static __always_inline int expect_context(__u32 slot, struct gate_session *s, struct file *file)
{
	struct gate_file known = {.slot = slot};
	__u64 key = (__u64)file, ctx = (__u64)BPF_CORE_READ(file, private_data), has;
	int err;

	if (BPF_CORE_READ((const struct iommufd_ctx *)ctx, account_mode) != HOST_ACCOUNT_TASK)
		return -EPERM;
	has = atomic_cas(&s->ctx, 0, ctx);
	if (has)
		return has == ctx ? 0 : -EPERM; /* another thread is about to enrol the same */
	s->read_ns = 0;
	atomic_or(&s->bits, GATE_BROUGHT);
	atomic_set(&s->suspect, 1);
	atomic_add(&s->n_files, 1);
	err = bpf_map_update_elem(&gate_files, &key, &known, BPF_NOEXIST);
	/*
	 * Another thread may have closed it since its descriptor was looked up. Who frees it after
	 * this look finds it known; who did before has left what is of no file.
	 */
	atomic_set(&s->suspect, 1);
	if (!err && expect_lives(file, ctx)) {
		/* There is room: without it somebody is found later. */
		bpf_map_update_elem(&gate_files, &ctx, &known, BPF_ANY);
		return 0;
	}
	if (!err) {
		file_forget(key, &known);
		return -EPERM;
	}
	atomic_set(&s->ctx, 0);
	if (atomic_add(&s->n_files, -1) == 1)
		event_send(slot, s, GATE_EVENT_ENDED); /* the daemon may have seen it come */
	return err;
}

/* The entry is held, and of the session. */
static __always_inline int expect_cdev(__u32 slot, struct gate_session *s, const struct file *file,
				       __u32 number)
{
	struct expected *e = expected_at(number);
	struct gate_body *body = body_at(slot);
	struct gate_file known = {.slot = slot, .cdev = 1, .expected = (__u16)number};
	__u64 key = (__u64)file;
	int err;

	if (!body || !e)
		return -EPERM;
	err = bpf_map_update_elem(&gate_files, &key, &known, BPF_NOEXIST);
	if (err)
		return err == -EEXIST ? 0 : err;
	if (cdev_remember(body, key)) {
		bpf_map_delete_elem(&gate_files, &key);
		return -ENOSPC;
	}
	atomic_add(&s->n_files, 1);
	atomic_add(&e->n_files, 1);
	atomic_add(&e->n_bound, 1);
	return 0;
}

static __always_inline int expect_enrol(__u32 number, const struct file *cdev, struct file *context)
{
	const struct expected *e = expected_at(number);
	const struct gate_control *control = control_get();
	const struct gate_file *known = file_known(context);
	__u32 slot = e ? READ(e->slot) : 0;
	struct gate_session *s = session_at(slot);
	int err = 0;

	if (!control || !e || !s || slot_in_pool(slot) || READ(s->id) != READ(e->id) ||
	    READ(s->bits) & (GATE_REVOKED | GATE_POISONED | GATE_CLOSED))
		return -EPERM;
	if (known ? known->cdev || known->slot != slot
		  : BPF_CORE_READ(context, f_op) != (const void *)control->iommufd_fops)
		return -EPERM;
	if (!known)
		err = expect_context(slot, s, context);
	return err ? err : expect_cdev(slot, s, cdev, number);
}

/*
 * BIND through a file that is of no session. Return: the slot it is of from here on; -ENOENT: its
 * device is not expected; -EPERM: it is, but not with this context; -errno.
 */
__noinline long expect_bind(__u64 address, __s32 fd)
{
	const struct file *cdev = (const struct file *)address;
	struct file *context = file_of_fd(fd);
	__u32 number = 0;
	struct expected *e;
	long ret = expect_hold(cdev, &number);

	e = expected_at(number);
	if (ret || !e)
		return ret;
	ret = context ? expect_enrol(number, cdev, context) : -EPERM;
	if (!ret)
		ret = READ(e->slot);
	expect_release(e);
	return ret;
}

/* Of a 32-bit process, whose argument cannot be read. Return: 0: it may; -errno. */
__noinline long expect_compat(__u64 address)
{
	__u32 number = 0;
	struct expected *e;
	long ret = expect_hold((const struct file *)address, &number);

	e = expected_at(number);
	if (ret || !e)
		return ret == -ENOENT ? 0 : ret;
	expect_release(e);
	return -ENOTTY;
}

#endif
