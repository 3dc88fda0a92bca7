/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The gate: no session maps more, or has more mappings and objects, than its slot says, whoever
 * maps through it, and while no daemon runs.
 *
 * LSM programs reserve; they are never skipped. Programs on iommufd's own functions may be, and say
 * only that something ended or was smaller: a skip makes a session stricter until the next reading,
 * never looser.
 */
#include "bpf/caller.bpf.h"
#include "bpf/recount.bpf.h"

#define CLOCK_MONOTONIC 1
#define TIMER_NS (20 * NSEC_PER_MSEC)
#define TIMER_LATER_NS (1000 * NSEC_PER_MSEC)
#define TIMER_MAPPINGS 2000 /* more are not read in a timer, for as long as the daemon may */
/*
 * How long an ioctl tries: by time, as each try may lose to another thread that reads, and gets on
 * by that. Whoever holds up a session pays with the processor's time of its own threads.
 */
#define ENTER_TRIES 4096
#define ENTER_NS (1000 * NSEC_PER_MSEC)
#define MINE_TRIES 6

char LICENSE[] SEC("license") = "GPL";

#define IOMMUFD_TYPE(cmd) ((cmd) >> 8 & 0xff)

enum gate_class {
	CLASS_PASS, /* changes nothing that counts, or the kernel guards it */
	CLASS_UNKNOWN,
	CLASS_MAP,
	CLASS_COPY,
	CLASS_CREATE,
	CLASS_SHRINK,
	CLASS_BIND,
};

static __always_inline enum gate_class class_of_iommufd(__u32 cmd)
{
	if (IOMMUFD_TYPE(cmd) != ';')
		return CLASS_PASS; /* any file's (FIONREAD), or no command: iommufd says so */
	switch (cmd) {
	case CMD_IOAS_MAP:
	case CMD_IOAS_MAP_FILE:
		return CLASS_MAP;
	case CMD_IOAS_COPY:
		return CLASS_COPY;
	case CMD_IOAS_UNMAP:
	case CMD_DESTROY:
		return CLASS_SHRINK;
	case CMD_IOAS_ALLOC:
	case CMD_HWPT_ALLOC:
	case CMD_FAULT_QUEUE_ALLOC:
	case CMD_VIOMMU_ALLOC:
	case CMD_VDEVICE_ALLOC:
	case CMD_VEVENTQ_ALLOC:
	case CMD_HW_QUEUE_ALLOC:
		return CLASS_CREATE;
	case CMD_VFIO_IOAS:
		return CLASS_UNKNOWN;
	}
	/* ALLOW_IOVAS to CHANGE_PROCESS that are not above: they read, or change what is no area.
	 */
	return cmd > CMD_DESTROY && cmd <= CMD_IOAS_CHANGE_PROCESS ? CLASS_PASS : CLASS_UNKNOWN;
}

static __always_inline enum gate_class class_of(__u32 cmd, __u32 cdev)
{
	if (!cdev)
		return class_of_iommufd(cmd);
	if (cmd == CMD_DEVICE_BIND)
		return CLASS_BIND;
	return cmd == CMD_DEVICE_ATTACH ? CLASS_CREATE : CLASS_PASS;
}

/* The fields that count of a command's argument: read once, and judged by what the kernel sees. */
struct gate_argument {
	__u64 address; /* or start, in a file */
	__u64 length;
	__s32 fd;
	__u32 unread; /* nothing is known of it */
	__u32 odd; /* parts of pages */
};

#define ARGUMENT_WORDS 5
#define ARGUMENT_FIXED_IOVA 1 /* of the flags of MAP and COPY */

/* Where the fields are, and not a byte more than the kernel reads: behind may be no memory. */
static __always_inline __u32 argument_offset(enum gate_class class)
{
	return class == CLASS_BIND ? 8 : 0;
}

static __always_inline __u32 argument_size(enum gate_class class)
{
	return class == CLASS_BIND ? 8 : ARGUMENT_WORDS * 8;
}

static __always_inline __u64 page_mask(void)
{
	return (1ULL << gate_page_shift) - 1;
}

/*
 * An area of a part of a page is as dear as any other, and a COPY of few pages would make many:
 * without a device the kernel allows that, and no VMM needs it.
 */
static __always_inline void argument_take(enum gate_class class, const __u64 *words,
					  struct gate_argument *ret)
{
	__u64 mask = page_mask(), flags = words[0] >> 32;

	if (class == CLASS_BIND) {
		ret->fd = (__s32)words[0];
		return;
	}
	if (class == CLASS_COPY) { /* length, dst_iova, src_iova */
		ret->length = words[2];
		ret->odd = !!((words[2] | words[4]) & mask);
		if (flags & ARGUMENT_FIXED_IOVA && words[3] & mask)
			ret->odd = 1;
		return;
	}
	ret->address = words[2]; /* user_va or start, length, iova */
	ret->length = words[3];
	ret->odd = !!((words[2] | words[3]) & mask);
	if (flags & ARGUMENT_FIXED_IOVA && words[4] & mask)
		ret->odd = 1;
}

static __always_inline __u64 pages_of(__u64 address, __u64 length)
{
	__u64 mask = page_mask(), pages;

	if (length >> gate_page_shift >= GATE_PAGES_MAX)
		return GATE_PAGES_MAX;
	pages = ((address & mask) + length + mask) >> gate_page_shift;
	return pages < GATE_PAGES_MAX ? pages : GATE_PAGES_MAX;
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

/* A device goes to the live context of its own session. */
static __always_inline int bind_check(__u32 slot, const struct gate_session *s, __s32 fd)
{
	__u64 file = (__u64)file_of_fd(fd);
	const struct gate_file *known = bpf_map_lookup_elem(&gate_files, &file);

	if (!known || known->cdev || known->slot != slot || READ(s->bits) & GATE_CLOSED)
		return -EPERM;
	return 0;
}

static __always_inline void timer_start(struct gate_session *s, struct gate_body *body, __u64 ns)
{
	if (!READ(s->timer) && !atomic_cas(&s->timer, 0, 1))
		bpf_timer_start(&body->timer, ns, 0);
}

/* One try to let an ioctl in; the words are those of recount.bpf.h. */
struct enter {
	__u64 used;
	__u64 number;
	__u32 slot;
	__u32 cmd;
	__u32 objects;
	__s32 ret;
	__u32 seen; /* OP_UNREAD, or nothing yet */
	__u32 zero;
	__u64 until_ns;
};

/*
 * A COPY may make one more area of each that others make while it is inside: a MAP reserves one for
 * each COPY, a COPY all that is there for each COPY.
 */
static __always_inline __u64 enter_used(const struct gate_session *s, const struct enter *enter,
					__u32 n_copies)
{
	__u64 mappings;

	if (cmd_maps(enter->cmd))
		return enter->used + n_copies;
	if (enter->cmd != CMD_IOAS_COPY)
		return enter->used;
	mappings = GATE_USED_MAPPINGS(READ(s->used)) * n_copies;
	if (mappings > GATE_MAPPINGS_MAX)
		mappings = GATE_MAPPINGS_MAX;
	return enter->used < mappings ? enter->used : mappings;
}

/*
 * Reserves, after the place says what. A COPY counts itself in n_copies before it looks at used; a
 * MAP adds to used before it looks at n_copies for the last time: one of them sees the other. A MAP
 * that finds one more gives back, and is tried again.
 */
static __always_inline int enter_take(struct gate_session *s, struct gate_op *op,
				      const struct enter *enter)
{
	__u32 n_copies = READ(s->n_copies);
	int ret;

	op->used = enter_used(s, enter, n_copies);
	ret = session_take(enter->slot, op->used, enter->objects);
	if (ret || !cmd_maps(enter->cmd) || READ(s->n_copies) <= n_copies)
		return ret;
	atomic_add(&s->used, -op->used);
	return -EAGAIN;
}

/* With room for it, or after a reading that made room; frozen is not held. */
static __always_inline int enter_reserve(struct gate_session *s, struct gate_op *op,
					 struct enter *enter)
{
	int ret = -EAGAIN;

	if (!READ(s->suspect)) {
		ret = enter_take(s, op, enter);
		if (ret == 0 || ret == -EAGAIN || !READ(s->dirty))
			return ret; /* refused: nothing is there that a reading could find gone */
	}
	if (atomic_cas(&s->frozen, 0, 1))
		return -EAGAIN; /* another reads */
	ret = -EAGAIN;
	if (recount(enter->slot, enter->number, 1))
		ret = READ(s->bits) & GATE_POISONED ? -EPERM : enter_take(s, op, enter);
	atomic_set(&s->frozen, 0);
	return ret;
}

/* The first try, which nearly always does, looks at no clock. */
static __always_inline bool enter_is_last(struct enter *enter, __u32 i)
{
	__u64 now_ns;

	if (i == 0)
		return false;
	now_ns = bpf_ktime_get_ns();
	if (i == 1)
		enter->until_ns = now_ns + ENTER_NS;
	return now_ns > enter->until_ns || i == ENTER_TRIES - 1;
}

static long enter_try(__u32 i, void *arg)
{
	struct enter *enter = arg;
	struct gate_session *s = session_at(enter->slot);
	struct gate_body *body = body_at(enter->slot);
	struct gate_op *op;
	bool last;

	if (!s || !body)
		return 1;
	wait_unfrozen(enter->slot, s);
	last = enter_is_last(enter, i);
	enter->number = op_begin(enter->slot, enter->cmd, enter->used, enter->objects);
	if (!enter->number) {
		op_inside(enter->slot, 0); /* ends whose end was not seen: there is room */
		wait_a_moment();
		return last;
	}
	op = op_at(body, enter->number);
	op->seen = enter->seen; /* nobody else looks at it but this thread */
	if (READ(s->frozen)) {
		if (!last) {
			op_abandon(s, op, enter->number);
			return 0;
		}
		/*
		 * A large session is read for long, and nobody shall be refused for that: this one
		 * goes on, and that reading shall not count. One that has looked at breaks already
		 * is at its end: it takes what it read for what there is only if nothing was
		 * reserved meanwhile, and what it read was there before this begins.
		 */
		atomic_add(&s->breaks, 1);
	}
	/* Not before it has its place and nobody reads: a reading that ends clears it. */
	if (enter->cmd == CMD_IOAS_COPY)
		atomic_set(&s->shared, 1);
	if (!enter->used && !enter->objects) {
		if (READ(s->suspect) && !atomic_cas(&s->frozen, 0, 1)) {
			recount(enter->slot, enter->number, 1);
			atomic_set(&s->frozen, 0);
		}
		enter->ret = 0;
		return 1;
	}
	enter->ret = enter_reserve(s, op, enter);
	if (enter->ret)
		op_abandon(s, op, enter->number);
	return last || enter->ret != -EAGAIN;
}

static __always_inline void denied(__u32 slot, struct gate_session *s, enum trace_why why, int err,
				   __u64 bytes)
{
	atomic_add(&s->denied, 1);
	if (READ(trace_on))
		trace_tell(slot, TRACE_WORD(TRACE_DENY, why), err, bytes, TRACE_UNKNOWN);
}

static __always_inline void enter_denied(const struct enter *enter, struct gate_session *s)
{
	__u64 bytes = TRACE_UNKNOWN;
	enum trace_why why = TRACE_WHY_STATE;

	if (cmd_maps(enter->cmd))
		bytes = GATE_USED_PAGES(enter->used) << gate_page_shift;
	if (enter->ret == -ENOMEM)
		why = TRACE_WHY_BYTES;
	else if (enter->ret == -ENOSPC)
		why = enter->used ? TRACE_WHY_MAPPINGS : TRACE_WHY_OBJECTS;
	else if (enter->ret == -EAGAIN)
		why = TRACE_WHY_BUSY;
	denied(enter->slot, s, why, enter->ret, bytes);
}

/* Return: the operation's number: go on; -errno: refused, and counted. */
__noinline long session_enter(__u32 slot, __u32 cmd, __u64 used, __u32 objects, __u32 seen)
{
	struct enter enter = {.slot = slot,
			      .cmd = cmd,
			      .used = used,
			      .objects = objects,
			      .ret = -EAGAIN,
			      .seen = seen};
	struct gate_session *s = session_at(slot);
	struct gate_body *body = body_at(slot);

	if (!s || !body)
		return -EPERM;
	bpf_loop(ENTER_TRIES, enter_try, &enter, 0);
	timer_start(s, body, TIMER_NS);
	atomic_add(&s->changes, 1);
	if (!enter.ret)
		return (long)enter.number;
	enter_denied(&enter, s);
	return enter.ret;
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
					  const struct gate_argument *argument)
{
	long number;
	__u64 used;
	__u32 objects;
	int err;

	if (class == CLASS_UNKNOWN)
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
		wait_a_moment();
		mine = mine_of_thread();
	}
	if (!mine)
		return session_refuse(slot, s, TRACE_WHY_BUSY, -EAGAIN);
	number = session_enter(slot, cmd, used, objects, argument->unread ? OP_UNREAD : 0);
	if (number < 0)
		return number;
	mine->slot = slot;
	mine->number = number;
	return 0;
}

/* The verifier wants to see that an LSM program returns 0 or an errno, and clang hides it. */
static __always_inline int lsm_return(long err)
{
	if (err >= 0)
		return 0;
	if (err < -4095)
		return -EPERM;
	return (int)err;
}

/*
 * Whether the LSM programs of this object act, on files with these operations.
 *
 * The kernel calls the program that was attached last first. If the daemon switches generations
 * between the two calls of one ioctl, the new one has not acted any more than before, and the old
 * one must, or nobody does. So the old ones go on until they are taken off: twice is strict (the
 * second begins anew and leaves what the first reserved to the next reading). Programs that give
 * something back act in one generation only: twice would be loose, and not at all is strict.
 */
static __always_inline bool control_wants(const struct gate_control *control,
					  const struct file *file)
{
	__u64 fops;

	if (!control || (READ(control->generation) != gate_generation &&
			 READ(control->before) != gate_generation))
		return false;
	fops = (__u64)file->f_op;
	return fops == control->iommufd_fops || fops == control->cdev_fops;
}

/* A context that nobody here handed out. */
static __always_inline long unmanaged_ioctl(struct gate_control *control, const struct file *file,
					    __u32 cmd)
{
	enum gate_class class;

	if (READ(control->unmanaged) == GATE_UNMANAGED_ALLOW ||
	    (__u64)file->f_op != control->iommufd_fops)
		return 0;
	class = class_of_iommufd(cmd);
	if (class == CLASS_PASS || class == CLASS_SHRINK)
		return 0;
	atomic_add(&control->unmanaged_denied, 1);
	return -EPERM;
}

/*
 * Reads the fields that count. A program that may sleep reads what the kernel will read. One that
 * may not fails on a page that nobody has touched yet: then a COPY is taken for the largest there
 * is, and a MAP for one of no length, until its true length is seen.
 */
static __always_inline int argument_read(enum gate_class class, __u64 arg, bool sleeps,
					 struct gate_argument *ret)
{
	const void *from = (const void *)(arg + argument_offset(class));
	__u64 words[ARGUMENT_WORDS] = {0};

	if (class != CLASS_MAP && class != CLASS_COPY && class != CLASS_BIND)
		return 0;
	if (sleeps) {
		if (bpf_copy_from_user(words, argument_size(class), from))
			return -EFAULT; /* as the kernel would say */
	} else if (bpf_probe_read_user(words, argument_size(class), from)) {
		if (class == CLASS_BIND)
			return -EFAULT;
		ret->length = class == CLASS_COPY ? ~0ULL : 0;
		ret->unread = 1;
		return 0;
	}
	argument_take(class, words, ret);
	return 0;
}

static __always_inline long file_ioctl(struct file *file, __u32 cmd, __u64 arg, bool sleeps)
{
	struct gate_control *control = control_get();
	struct gate_argument argument = {0};
	const struct gate_file *known;
	__u64 key = (__u64)file;
	struct gate_mine *mine;
	struct gate_session *s;
	enum gate_class class;
	__u32 slot;

	if (!control_wants(control, file))
		return 0;
	/*
	 * Whatever file this is: what skippable programs will see of it must not be taken for the
	 * end of an operation before, the end of which nobody saw.
	 */
	mine = op_end_mine();
	known = bpf_map_lookup_elem(&gate_files, &key);
	if (!known)
		return unmanaged_ioctl(control, file, cmd);
	slot = known->slot;
	s = session_at(slot);
	if (!s)
		return 0;
	control_fired(slot, GATE_PROGRAM_IOCTL);
	caller_see(slot, s);
	class = class_of(cmd, known->cdev);
	if (class == CLASS_PASS)
		return 0;
	if (argument_read(class, arg, sleeps, &argument))
		return -EFAULT;
	return session_ioctl(slot, s, mine, cmd, class, &argument);
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
 * must not happen. No VMM is one.
 */
static __always_inline long file_ioctl_compat(struct file *file, __u32 cmd)
{
	struct gate_control *control = control_get();
	const struct gate_file *known;
	struct gate_session *s;
	__u64 key = (__u64)file;

	if (!control_wants(control, file))
		return 0;
	op_end_mine(); /* a 64-bit thread may come this way, too: see gate_ioctl */
	known = bpf_map_lookup_elem(&gate_files, &key);
	if (!known)
		return unmanaged_ioctl(control, file, cmd);
	s = session_at(known->slot);
	control_fired(known->slot, GATE_PROGRAM_COMPAT);
	if (!s || class_of(cmd, known->cdev) == CLASS_PASS)
		return 0;
	return session_refuse(known->slot, s, TRACE_WHY_COMMAND, -ENOTTY);
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
static __always_inline int file_release(struct file *file)
{
	struct gate_control *control = control_get();
	const struct gate_file *known;
	struct gate_session *s;
	__u64 key = (__u64)file;

	if (!control_wants(control, file))
		return 0;
	known = bpf_map_lookup_elem(&gate_files, &key);
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
	s->ctx = 0;
}

static __always_inline void file_forget(__u64 file, const struct gate_file *known)
{
	__u32 slot = known->slot;
	struct gate_session *s = session_at(slot);
	struct gate_body *body = body_at(slot);

	if (!s || !body)
		return;
	if (known->cdev)
		cdev_forget(body, file);
	else
		context_forget(s);
	bpf_map_delete_elem(&gate_files, &file);
	if (atomic_add(&s->n_files, -1) == 1)
		event_send(slot, s, GATE_EVENT_ENDED);
}

static __always_inline int file_free(struct file *file)
{
	const struct gate_file *known;
	__u64 key = (__u64)file;

	if (!control_wants(control_get(), file))
		return 0;
	known = bpf_map_lookup_elem(&gate_files, &key);
	if (!known)
		return 0;
	control_fired(known->slot, GATE_PROGRAM_FREE);
	file_forget(key, known);
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

/* One firing that knows all of a MAP: its true length, and whether it is there. */
static __always_inline int map_done(__u64 address, __u64 length, int ret, enum gate_program program)
{
	__u32 slot = 0;
	struct gate_op *op = op_to_credit(&slot);
	struct gate_session *s = session_at(slot);
	__u64 pages, reserved;
	bool odd;

	if (!op || !s || !cmd_maps(op->cmd) || op->seen == OP_SEEN)
		return 0;
	control_fired(slot, program);
	pages = pages_of(address, length);
	reserved = GATE_USED_PAGES(op->used);
	odd = (address | length) & page_mask() && op->seen != OP_UNREAD;
	if (pages > reserved || odd) {
		if (!ret && pages > reserved)
			atomic_add(&s->used, GATE_USED(pages - reserved, 0));
		if (op->seen == OP_UNREAD)
			session_excess(slot, s, READ(s->used), true);
		else
			session_poison(slot, s, true);
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
	return map_done(uptr, length, ret, GATE_PROGRAM_MAP);
}

SEC("fexit/iopt_map_file_pages")
int BPF_PROG(gate_map_file, void *ictx, void *iopt, void *iova, int fd, unsigned long start,
	     unsigned long length, int prot, unsigned int flags, int ret)
{
	return map_done(start, length, ret, GATE_PROGRAM_MAP_FILE);
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
	atomic_add(&s->used, -GATE_USED(bytes, 1));
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
	op_end(s, op, READ(op->state));
	return 0;
}

/* The daemon reads it, once a second at most. */
static __always_inline void timer_large(__u32 slot, struct gate_session *s)
{
	__u64 now_ns = bpf_ktime_get_ns();

	if (now_ns - READ(s->large_ns) < TIMER_LATER_NS && READ(s->large_ns))
		return;
	s->large_ns = now_ns;
	event_send(slot, s, GATE_EVENT_LARGE);
}

/* Something is inside, or nobody knows what is there: looks again until that is over. */
static int timer_fired(void *map, __u32 *key, struct gate_body *body)
{
	__u32 slot = *key;
	struct gate_session *s = session_at(slot);
	__u64 again = 0, mappings;
	bool stale;

	if (!s)
		return 0;
	atomic_set(&s->timer, 0); /* whoever enters from here on sets it again */
	control_fired(slot, GATE_PROGRAM_TIMER);
	if (READ(s->bits) & GATE_CLOSED)
		return 0;
	mappings = GATE_USED_MAPPINGS(READ(s->used));
	if (op_inside(slot, 0))
		again = TIMER_NS;
	stale = READ(s->dirty) || READ(s->used) != READ(s->read_used);
	if (READ(s->suspect) ||
	    (stale && bpf_ktime_get_ns() - READ(s->read_ns) >= TIMER_LATER_NS)) {
		if (mappings > TIMER_MAPPINGS) {
			timer_large(slot, s);
		} else if (!atomic_cas(&s->frozen, 0, 1)) {
			recount(slot, 0, 0);
			atomic_set(&s->frozen, 0);
		}
	}
	if (READ(s->suspect) && mappings <= TIMER_MAPPINGS)
		again = TIMER_NS;
	else if (!again && (READ(s->suspect) || READ(s->dirty)))
		again = TIMER_LATER_NS;
	if (again)
		timer_start(s, body, again);
	return 0;
}

static __always_inline int cdev_remember(struct gate_body *body, __u64 file)
{
	for (int i = 0; i < GATE_CDEVS; i++)
		if (!atomic_cas(&body->cdevs[i], 0, file))
			return 0;
	return -ENOSPC;
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
	if (call->cdev)
		atomic_cas(&control->cdev_fops, 0, fops);
	else
		atomic_cas(&control->iommufd_fops, 0, fops);
	if (fops != (call->cdev ? control->cdev_fops : control->iommufd_fops))
		return -EINVAL;
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

/* The timer of a session that was there before calls this object's program, and soon. */
SEC("syscall")
int gate_renew(struct gate_call *call)
{
	struct gate_session *s = session_at(call->slot);
	struct gate_body *body = body_at(call->slot);

	call->err = -EINVAL;
	if (!s || !body)
		return 0;
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

static long spin_freeze(__u32 i, void *arg)
{
	struct spin *spin = arg;
	struct gate_session *s = session_at(spin->slot);

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

	call->err = -EINVAL;
	if (!s || !body)
		return 0;
	call->err = -EBUSY;
	spin.until_ns = bpf_ktime_get_ns() + (call->wait ? QUIET_WAIT_NS : 0);
	bpf_loop(SPIN_STEPS, spin_freeze, &spin, 0);
	if (spin.inside)
		return 0;
	call->err = 0;
	call->exact = recount(call->slot, 0, call->wait);
	if (!call->exact && !(READ(s->bits) & GATE_CLOSED))
		walk_session(call->slot);
	call->used = GATE_USED(body->walk.pages, body->walk.mappings);
	call->pinned = body->walk.pinned;
	call->objects = body->walk.objects;
	atomic_set(&s->frozen, 0);
	return 0;
}

/* Who has a descriptor of a session. In flight between processes, or in a ring, it is not seen. */
SEC("iter/task_file")
int gate_holders(struct bpf_iter__task_file *ctx)
{
	__u64 key = (__u64)ctx->file;
	struct task_struct *task = ctx->task;
	const struct gate_file *known;
	struct gate_holder holder;

	if (!key || !task)
		return 0; /* the end of the list */
	known = bpf_map_lookup_elem(&gate_files, &key);
	if (!known)
		return 0;
	holder.slot = known->slot;
	holder.pid = (__u32)task->tgid;
	bpf_seq_write(ctx->meta->seq, &holder, sizeof(holder));
	return 0;
}
