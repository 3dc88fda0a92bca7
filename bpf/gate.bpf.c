/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The gate: no session maps more, or has more mappings and objects, than its slot says, whoever
 * maps through it, and while no daemon runs.
 *
 * LSM programs reserve; they are never skipped. Programs on iommufd's own functions may be, and say
 * only that something ended or was smaller: a skip makes a session stricter until the next reading,
 * never looser.
 */
#include "bpf/adopt.bpf.h"
#include "bpf/caller.bpf.h"
#include "bpf/command.bpf.h"
#include "bpf/enter.bpf.h"
#include "bpf/expect.bpf.h"
#include "bpf/file.bpf.h"
#include "bpf/plug.bpf.h"
#include "bpf/recount.bpf.h"
#include "bpf/timer.bpf.h"

#define CLOCK_MONOTONIC 1
#define MINE_TRIES 6

char LICENSE[] SEC("license") = "GPL";

/* A device goes to the live context of its own session. */
static __always_inline int bind_check(__u32 slot, const struct gate_session *s, __s32 fd)
{
	const struct gate_file *known = file_known(file_of_fd(fd));

	if (!known || known->cdev || known->slot != slot || READ(s->bits) & GATE_CLOSED)
		return -EPERM;
	return 0;
}

/* What a command needs. Return: 0; -EPERM of BIND. */
static __always_inline int session_need(__u32 slot, const struct gate_session *s,
					enum gate_class class, const struct gate_argument *argument,
					__u64 *ret_used, __u32 *ret_objects)
{
	__u64 n;

	*ret_used = 0;
	*ret_objects = 0;
	if (argument->odd)
		return -EINVAL;
	switch (class) {
	case CLASS_MAP:
		*ret_used = GATE_USED(pages_of(argument->address, argument->length), 1);
		return 0;
	case CLASS_COPY:
		n = pages_of(0, argument->length);
		*ret_used = n < GATE_MAPPINGS_MAX ? n : GATE_MAPPINGS_MAX;
		return 0;
	case CLASS_BIND:
		*ret_objects = 1;
		return bind_check(slot, s, argument->fd);
	case CLASS_CREATE:
	case CLASS_TEST: /* whatever it does: the reading after it says */
		*ret_objects = 1;
		return 0;
	default:
		return 0;
	}
}

static __always_inline long session_refuse(__u32 slot, struct gate_session *s, enum trace_why why,
					   int err)
{
	denied(slot, s, why, err, TRACE_UNKNOWN);
	return err;
}

/* Decides about an ioctl that changes something. */
static __always_inline long session_ioctl(__u32 slot, struct gate_session *s,
					  struct gate_mine *mine, __u32 cmd, enum gate_class class,
					  const struct gate_argument *argument, bool sleeps)
{
	long number;
	__u64 used;
	__u32 objects;
	int err;

	if (class == CLASS_UNKNOWN || (class == CLASS_TEST && !(READ(s->bits) & GATE_TESTER)))
		return session_refuse(slot, s, TRACE_WHY_COMMAND, -ENOTTY);
	if (class != CLASS_SHRINK && READ(s->bits) & (GATE_REVOKED | GATE_POISONED | GATE_CLOSED))
		return session_refuse(slot, s, TRACE_WHY_STATE, -EPERM);
	err = session_need(slot, s, class, argument, &used, &objects);
	if (err)
		return session_refuse(slot, s,
				      err == -EINVAL ? TRACE_WHY_COMMAND : TRACE_WHY_DEVICE, err);
	for (int i = 0; !mine && i < MINE_TRIES; i++) {
		/* Another thread was preempted on this processor while it took storage of its own.
		 */
		wait_a_moment(sleeps);
		mine = mine_of_thread();
	}
	if (!mine)
		return session_refuse(slot, s, TRACE_WHY_BUSY, -EAGAIN);
	number = session_enter(slot, cmd, used, objects, argument->unread ? OP_UNREAD : 0, sleeps);
	if (number < 0)
		return number;
	mine->slot = slot;
	mine->number = number;
	return 0;
}

/*
 * The verifier wants to see that an LSM program returns 0 or an errno, and clang hides it, or knows
 * it from a function that the verifier looks at alone.
 */
static __always_inline int lsm_return(long err)
{
	opaque(err);
	if (err >= 0)
		return 0;
	if (err < -4095)
		return -EPERM;
	return (int)err;
}

/* An ioctl that changes something, through a file of a session. */
struct ioctl {
	struct gate_mine *mine; /* NULL: see op_end_mine() */
	struct gate_session *s;
	__u32 slot;
	enum gate_class class;
	__u32 bind; /* of a device that is in no session yet, nor are slot and s */
};

/* Whether it is a cdev, of those that nobody here handed out. */
static __always_inline bool is_cdev(const struct gate_control *control, const struct file *file)
{
	return (__u64)file->f_op == control->cdev_fops;
}

/* Return: 1: it is for the session to decide; else that is decided: 0; -errno. */
static __always_inline long ioctl_begin(const struct file *file, __u32 cmd,
					enum gate_program program, bool sleeps, struct ioctl *ret)
{
	struct gate_control *control = control_get();
	const struct gate_file *known;
	__u32 cdev = 0;
	long err;

	if (!control_wants(control, file) &&
	    (cmd != CMD_DEVICE_BIND || !control_acts(control) || !expect_knows(control, file)))
		return 0;
	/*
	 * Whatever file this is: what skippable programs will see of it must not be taken for the
	 * end of an operation before, the end of which nobody saw.
	 */
	ret->mine = op_end_mine();
	known = file_known(file);
	if (known && !(gate_skippable && adopted_before(file, known))) {
		ret->slot = known->slot;
		cdev = known->cdev;
	} else if (cmd == CMD_DEVICE_BIND && is_cdev(control, file)) {
		ret->class = CLASS_BIND;
		ret->bind = 1;
		return 1;
	} else if (cmd == CMD_DEVICE_ATTACH && !gate_skippable && is_cdev(control, file)) {
		err = foreign_attach(address_of(file));
		opaque(err); /* clang knows what the function returns, the verifier does not */
		return err < 0 ? err : 0;
	} else {
		err = unmanaged_ioctl(control, file, cmd, program == GATE_PROGRAM_COMPAT);
		if (err > 0)
			err = unmanaged_adopt(control, file, sleeps);
		if (err <= 0)
			return err;
		ret->slot = (__u32)err;
	}
	ret->s = session_at(ret->slot);
	if (!ret->s)
		return 0;
	control_fired(ret->slot, program);
	ret->class = class_of(cmd, cdev);
	if (!slot_in_pool(ret->slot))
		caller_see(ret->slot, ret->s);
	else if (class_adds(ret->class) && READ(control->unmanaged) == GATE_UNMANAGED_DENY)
		return session_refuse(ret->slot, ret->s, TRACE_WHY_STATE, -EPERM);
	return ret->class != CLASS_PASS;
}

/* Return: 1: its device and context are in a session now; 0: they are nobody's business; -errno. */
static __always_inline long foreign_bind(const struct file *file, __s32 fd, bool sleeps,
					 struct ioctl *ioctl)
{
	__u64 address = address_of(file);
	long slot = expect_bind(address, fd);

	if (slot == -ENOENT && sleeps)
		slot = plug_bind(address, fd);
	if (slot < 0)
		return slot == -ENOENT ? 0 : slot;
	ioctl->slot = (__u32)slot;
	ioctl->s = session_at(ioctl->slot);
	if (!ioctl->s)
		return -EPERM;
	caller_see(ioctl->slot, ioctl->s);
	return 1;
}

static __always_inline long file_ioctl(const struct file *file, __u32 cmd, __u64 arg, bool sleeps)
{
	struct gate_argument argument = {0};
	struct ioctl ioctl = {0};
	long ret = ioctl_begin(file, cmd, GATE_PROGRAM_IOCTL, sleeps, &ioctl);

	if (ret <= 0)
		return ret;
	if (argument_read(ioctl.class, arg, sleeps, &argument))
		return -EFAULT;
	if (ioctl.bind) {
		ret = foreign_bind(file, argument.fd, sleeps, &ioctl);
		if (ret <= 0)
			return ret;
	}
	return session_ioctl(ioctl.slot, ioctl.s, ioctl.mine, cmd, ioctl.class, &argument, sleeps);
}

SEC("lsm.s/file_ioctl")
int BPF_PROG(gate_ioctl, struct file *file, unsigned int cmd, unsigned long arg)
{
	return lsm_return(file_ioctl(file, cmd, arg, true));
}

SEC("?fmod_ret/security_file_ioctl")
int BPF_PROG(gate_fallback_ioctl, struct file *file, unsigned int cmd, unsigned long arg)
{
	return lsm_return(file_ioctl(file, cmd, arg, false));
}

/*
 * Of a 32-bit process: arguments cannot be read here without fail, and what is not accounted for
 * must not happen. No VMM is one. A 64-bit thread may come this way, too.
 */
static __always_inline long file_ioctl_compat(const struct file *file, __u32 cmd)
{
	struct ioctl ioctl = {0};
	long ret = ioctl_begin(file, cmd, GATE_PROGRAM_COMPAT, false, &ioctl);

	if (ret <= 0)
		return ret;
	if (ioctl.bind)
		return expect_compat(address_of(file));
	return session_refuse(ioctl.slot, ioctl.s, TRACE_WHY_COMMAND, -ENOTTY);
}

SEC("lsm/file_ioctl_compat")
int BPF_PROG(gate_ioctl_compat, struct file *file, unsigned int cmd, unsigned long arg)
{
	return lsm_return(file_ioctl_compat(file, cmd));
}

SEC("?fmod_ret/security_file_ioctl_compat")
int BPF_PROG(gate_fallback_compat, struct file *file, unsigned int cmd, unsigned long arg)
{
	return lsm_return(file_ioctl_compat(file, cmd));
}

/* The last reference is gone: nobody is inside, and the kernel begins to take the trees down. */
static __always_inline int file_release(const struct file *file)
{
	const struct gate_file *known = file_of_session(file);
	struct gate_session *s;

	if (!known || known->cdev)
		return 0;
	s = session_at(known->slot);
	if (!s)
		return 0;
	control_fired(known->slot, GATE_PROGRAM_RELEASE);
	atomic_or(&s->bits, GATE_CLOSED);
	atomic_add(&s->breaks, 1);
	return 0;
}

SEC("lsm/file_release")
int BPF_PROG(gate_release, struct file *file)
{
	return file_release(file);
}

SEC("?fentry/security_file_release")
int BPF_PROG(gate_fallback_release, struct file *file)
{
	return file_release(file);
}

static __always_inline int file_free(const struct file *file)
{
	const struct gate_file *known = file_of_session(file);

	if (!known)
		return 0;
	control_fired(known->slot, GATE_PROGRAM_FREE);
	file_forget((__u64)file, known);
	return 0;
}

SEC("lsm/file_free_security")
int BPF_PROG(gate_free, struct file *file)
{
	return file_free(file);
}

SEC("?fentry/security_file_free")
int BPF_PROG(gate_fallback_free, struct file *file)
{
	return file_free(file);
}

/* For programs that give something back: the thread's operation, if this generation acts. */
static __always_inline struct gate_op *op_to_credit(__u32 *ret_slot)
{
	const struct gate_control *control = control_get();

	return control && READ(control->generation) == gate_generation ? op_of_thread(ret_slot)
								       : NULL;
}

/* What was to be given back has been: from here on anybody may take the operation for seen. */
static __always_inline void op_see(struct gate_session *s, struct gate_op *op)
{
	atomic_set(&op->seen, OP_SEEN);
	atomic_add(&s->n_unseen, -1);
}

/*
 * A MAP that was inside when its context was brought into a session: nobody reserved for it, and no
 * ioctl of the session tells that something is new.
 */
static __always_inline int map_before(__u64 ctx)
{
	const struct gate_file *known = bpf_map_lookup_elem(&gate_files, &ctx);
	struct gate_session *s;
	struct gate_body *body;

	if (!known)
		return 0;
	s = session_at(known->slot);
	body = body_at(known->slot);
	if (!s || !body)
		return 0;
	atomic_add(&s->suspect, 1);
	timer_start(s, body, TIMER_NS);
	return 0;
}

/*
 * A MAP is larger than what its thread has reserved. Of the fallback the kernel may have skipped
 * who sees it begin, and who saw the one before it end: what was reserved is that one's then, so
 * that less is known than is there, and nobody is a racer who has not got above the limits by it.
 */
static __always_inline void map_larger(__u32 slot, struct gate_session *s, const struct gate_op *op)
{
	if (op->seen == OP_UNREAD)
		session_excess(slot, s, READ(s->used), true);
	else if (!gate_skippable || !is_within(s, READ(s->used)))
		session_poison(slot, s, true);
	else
		atomic_add(&s->suspect, 1);
}

/* One firing that knows all of a MAP: its true length, and whether it is there. */
static __always_inline int map_done(void *ctx, __u64 address, __u64 length, int ret,
				    enum gate_program program)
{
	__u32 slot = 0;
	struct gate_op *op = op_to_credit(&slot);
	struct gate_session *s = session_at(slot);
	__u64 pages, reserved;
	bool odd;

	if (!op)
		return ret ? 0 : map_before((__u64)ctx);
	if (!s || !cmd_maps(op->cmd) || op->seen == OP_SEEN)
		return 0;
	control_fired(slot, program);
	pages = pages_of(address, length);
	reserved = GATE_USED_PAGES(op->used);
	odd = (address | length) & page_mask() && op->seen != OP_UNREAD;
	if (pages > reserved || odd) {
		if (!ret && pages > reserved)
			atomic_add(&s->used, GATE_USED(pages - reserved, 0));
		map_larger(slot, s, op);
		if (ret)
			atomic_add(&s->used, -op->used);
	} else if (ret) {
		atomic_add(&s->used, -op->used);
	} else if (pages < reserved) {
		atomic_add(&s->used, -GATE_USED(reserved - pages, 0));
	}
	op_see(s, op);
	return 0;
}

SEC("fexit/iopt_map_user_pages")
int BPF_PROG(gate_map, void *ictx, void *iopt, void *iova, unsigned long uptr, unsigned long length,
	     int prot, unsigned int flags, int ret)
{
	return map_done(ictx, uptr, length, ret, GATE_PROGRAM_MAP);
}

SEC("fexit/iopt_map_file_pages")
int BPF_PROG(gate_map_file, void *ictx, void *iopt, void *iova, int fd, unsigned long start,
	     unsigned long length, int prot, unsigned int flags, int ret)
{
	return map_done(ictx, start, length, ret, GATE_PROGRAM_MAP_FILE);
}

/*
 * An UNMAP that took something away took at least one area, and no fewer pages than it says, if no
 * page is in two areas. While a MAP is inside that nobody saw it may be that one, and larger.
 */
SEC("fexit/iopt_unmap_iova")
int BPF_PROG(gate_unmap, void *iopt, unsigned long iova, unsigned long length,
	     unsigned long *unmapped, int ret)
{
	__u32 slot = 0;
	struct gate_op *op = op_to_credit(&slot);
	struct gate_session *s = session_at(slot);
	unsigned long bytes = 0;

	if (!op || !s || op->cmd != CMD_IOAS_UNMAP)
		return 0;
	control_fired(slot, GATE_PROGRAM_UNMAP);
	if (bpf_probe_read_kernel(&bytes, sizeof(bytes), unmapped) || !bytes)
		return 0;
	/* suspect last: who ends sets it before he takes himself out of the others. */
	if (READ(s->n_unseen) || READ(s->n_copies) || READ(s->suspect))
		return 0;
	bytes = READ(s->shared) ? 0 : bytes >> gate_page_shift;
	if (gate_skippable && atomic_cas(&op->seen, 0, OP_CREDITS))
		return 0; /* a reading has seen that it is gone: see sleeper_note() */
	atomic_add(&s->used, -GATE_USED(bytes, 1));
	if (gate_skippable)
		atomic_set(&op->seen, OP_SEEN);
	return 0;
}

/* -EFAULT says nothing: the kernel may fail to answer after it has mapped. */
static __always_inline void op_failed(struct gate_session *s, struct gate_op *op)
{
	if (op->objects)
		atomic_add(&s->objects, -(__u64)op->objects);
	if (op->cmd == CMD_IOAS_COPY)
		atomic_add(&s->used, -op->used);
	if (cmd_maps(op->cmd) && op->seen != OP_SEEN) {
		atomic_add(&s->used, -op->used);
		op_see(s, op);
	}
}

SEC("fexit/iommufd_fops_ioctl")
int BPF_PROG(gate_over, void *file, unsigned int cmd, unsigned long arg, long ret)
{
	__u32 slot = 0;
	struct gate_op *op = op_to_credit(&slot);
	struct gate_session *s = session_at(slot);

	if (!op || !s)
		return 0;
	control_fired(slot, GATE_PROGRAM_OVER);
	if (ret < 0 && ret != -EFAULT)
		op_failed(s, op);
	op_end(slot, s, op, READ(op->state));
	return 0;
}

/*
 * The fallback's program that is called when a file is freed may be skipped. That there is another
 * one at its address proves that it was.
 */
static __always_inline void enrol_replace(__u64 file)
{
	const struct gate_file *stale = bpf_map_lookup_elem(&gate_files, &file);

	if (stale)
		file_forget(file, stale);
}

/* The daemon's own file becomes one of the session's. It has shown it to nobody yet. */
static __always_inline int enrol(const struct gate_call *call)
{
	struct gate_session *s = session_at(call->slot);
	struct gate_body *body = body_at(call->slot);
	struct gate_control *control = control_get();
	struct file *file = file_of_fd(call->fd);
	struct gate_file known = {.slot = call->slot, .cdev = call->cdev};
	__u64 key = (__u64)file, fops;
	int err;

	if (!s || !body || !control || !file)
		return -EINVAL;
	fops = (__u64)BPF_CORE_READ(file, f_op);
	if (call->cdev && !bpf_core_field_exists(struct vfio_device_file, iommufd))
		return -ENODEV;
	/* Another address is that of a module that was loaded anew: none of its files was left. */
	atomic_set(call->cdev ? &control->cdev_fops : &control->iommufd_fops, fops);
	if (call->cdev && cdev_remember(body, key))
		return -ENOSPC;
	if (!call->cdev)
		s->ctx = (__u64)BPF_CORE_READ(file, private_data);
	enrol_replace(key);
	err = bpf_map_update_elem(&gate_files, &key, &known, BPF_NOEXIST);
	if (err) {
		if (call->cdev)
			cdev_forget(body, key);
		return err;
	}
	atomic_add(&s->n_files, 1);
	bpf_timer_init(&body->timer, &gate_bodies, CLOCK_MONOTONIC); /* once for all */
	bpf_timer_set_callback(&body->timer, timer_fired);
	return 0;
}

SEC("syscall")
int gate_enrol(struct gate_call *call)
{
	call->err = enrol(call);
	return 0;
}

/*
 * The timer of a session that was there before, or of a slot of the pool, which no daemon fills,
 * calls this object's program, and soon.
 */
SEC("syscall")
int gate_renew(struct gate_call *call)
{
	struct gate_session *s = session_at(call->slot);
	struct gate_body *body = body_at(call->slot);

	call->err = -EINVAL;
	if (!s || !body)
		return 0;
	bpf_timer_init(&body->timer, &gate_bodies, CLOCK_MONOTONIC); /* EBUSY: it is */
	bpf_timer_set_callback(&body->timer, timer_fired);
	atomic_set(&s->timer, 1);
	bpf_timer_start(&body->timer, TIMER_NS, 0);
	call->err = 0;
	return 0;
}

/* Forgets the operations of a session that is over, for the next one in its slot. */
SEC("syscall")
int gate_clear(struct gate_call *call)
{
	struct gate_body *body = body_at(call->slot);

	call->err = -EINVAL;
	if (!body)
		return 0;
	for (int i = 0; i < GATE_OPS; i++)
		atomic_set(&body->ops[i].state, OP_FREE);
	for (int i = 0; i < GATE_CDEVS; i++)
		atomic_set(&body->cdevs[i], 0);
	call->err = 0;
	return 0;
}

/*
 * Counted as a writer first, then the id: whoever takes the slot has changed the id first, and then
 * looks for writers. One of them sees the other.
 */
SEC("syscall")
int gate_change(struct gate_change *change)
{
	struct gate_session *s = session_at(change->slot);
	struct gate_adopted *adopted = adopted_at(change->slot);

	change->err = -EINVAL;
	if (!s || !adopted)
		return 0;
	change->err = -ESRCH;
	atomic_add(&adopted->writers, 1);
	if (READ(s->id) == change->id) {
		slot_change(s, adopted, change);
		change->err = 0;
	}
	atomic_add(&adopted->writers, -1);
	return 0;
}

static long spin_freeze(__u32 i, void *arg)
{
	struct spin *spin = arg;
	struct gate_session *s = session_at(spin->slot);

	give_way(i);
	if (!s)
		return 1;
	spin->inside = atomic_cas(&s->frozen, 0, 1);
	return !spin->inside || bpf_ktime_get_ns() > spin->until_ns;
}

/* A reading for people. Without a quiet moment it says what is near the truth, and changes nothing.
 */
SEC("syscall")
int gate_read(struct gate_call *call)
{
	struct spin spin = {.slot = call->slot, .inside = 1};
	struct gate_session *s = session_at(call->slot);
	struct gate_body *body = body_at(call->slot);
	int counted;

	call->err = -EINVAL;
	if (!s || !body)
		return 0;
	call->err = -EBUSY;
	spin.until_ns = bpf_ktime_get_ns() + (call->wait ? QUIET_READ_NS : 0);
	bpf_loop(SPIN_STEPS, spin_freeze, &spin, 0);
	if (spin.inside)
		return 0;
	call->err = 0;
	if (call->wait)
		wait_quiet(call->slot, 0, QUIET_READ_NS, true);
	counted = recount(call->slot, 0, call->wait);
	if (counted == RECOUNT_VOID && !(READ(s->bits) & GATE_CLOSED))
		walk_session(call->slot);
	call->exact = counted == RECOUNT_DONE;
	call->used = GATE_USED(body->walk.pages, body->walk.mappings);
	call->pinned = body->walk.pinned;
	call->objects = body->walk.objects;
	atomic_set(&s->frozen, 0);
	return 0;
}
