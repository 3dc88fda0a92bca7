/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The truth: what is mapped through a context, read from the kernel's own structures.
 *
 * Nothing is locked. The reading is that of a moment only if nobody was inside an ioctl that
 * changes a tree, which is for the caller to know; in any other case it ends, too, and says
 * something near it. One step of the walk is one call: an object, or an area.
 */
#ifndef BPF_WALK_BPF_H
#define BPF_WALK_BPF_H

#include "bpf/host_map.h"
#include "bpf/maps.bpf.h"

#define WALK_STEPS (8U << 20) /* as many as bpf_loop() does */
#define WALK_SHIFT 20
#define XA_RETRY ((256ULL << 2) | 2) /* include/linux/xarray.h: xa_mk_internal() */
#define XA_NODE_MIN 4096 /* internal entries above it are nodes */
#define XA_LEVELS 6 /* of 6 bits: ids have 31 */
#define RWSEM_WRITER_LOCKED 1 /* kernel/locking/rwsem.c */

/* Bits of gate_walk.invalid: why the reading is not that of a moment. */
#define WALK_WRONG 1
#define WALK_HALFWAY 2 /* areas are being made, or taken down */

/* Who pays for it, where that is asked. In parts, as in struct gate_walk. */
struct walk_payers {
	__u64 orphaned; /* of those pinned: the process that mapped them is gone */
	struct host_payer of[HOST_PAYERS];
};

static __always_inline __u64 walk_word(__u64 address, struct gate_walk *w)
{
	__u64 word = 0;

	if (bpf_probe_read_kernel(&word, sizeof(word), (const void *)address))
		w->invalid |= WALK_WRONG;
	return word;
}

/*
 * Pages that several areas have are counted by parts: in a quiet moment only areas hold a reference
 * to them (io_pagetable.c: MAP, COPY and iopt_area_split()), so each has its share, in parts of
 * 1 << WALK_SHIFT. Rounded up: never too little, and for a million areas that share, exact.
 */
static __always_inline __u64 walk_share(struct gate_walk *w, __u64 n, int refs)
{
	if (refs == 1)
		return n << WALK_SHIFT;
	w->shared = 1;
	if (refs < 1) {
		w->invalid |= WALK_WRONG; /* it is being freed */
		return 0;
	}
	return ((n << WALK_SHIFT) + (__u32)refs - 1) / (__u32)refs;
}

static __always_inline void walk_push(struct gate_walk *w, __u64 node)
{
	__u32 at = w->depth;

	if (!node)
		return;
	if (at >= GATE_STACK) {
		w->invalid |= WALK_WRONG;
		return;
	}
	w->stack[at] = node;
	w->depth = at + 1;
}

/* Pages whose process is gone: nobody's VmPin has them. */
static __always_inline bool walk_orphaned(const struct iopt_pages *pages)
{
	return !BPF_CORE_READ(pages, source_mm, mm_users.counter);
}

/* Where whoever mapped them is, or was when it exited. Its threads may be below that. */
static __always_inline __u64 walk_cgroup(const struct iopt_pages *pages)
{
	const struct task_struct *task = BPF_CORE_READ(pages, source_task);

	if (!bpf_core_field_exists(task->cgroups))
		return 0;
	return BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
}

/* Whose the pages are, in parts. The last place is for all that have none of their own. */
static __always_inline void walk_pay(struct walk_payers *payers, const struct iopt_pages *pages,
				     __u64 parts, __u64 pinned)
{
	__u64 cgroup = walk_cgroup(pages);
	__u32 pid = BPF_CORE_READ(pages, source_task, tgid);
	__u32 uid = BPF_CORE_READ(pages, source_user, uid.val);
	__u16 accounting = BPF_CORE_READ(pages, account_mode);
	__u16 used = walk_orphaned(pages) ? HOST_PAYER_GONE : HOST_PAYER_LIVES;

	for (int i = 0; i < HOST_PAYERS; i++) {
		struct host_payer *p = &payers->of[i];

		if (i == HOST_PAYERS - 1) {
			p->cgroup = !p->used || p->cgroup == cgroup ? cgroup : 0;
			p->used = HOST_PAYER_OTHERS;
		} else if (!p->used) {
			p->used = used;
			p->pid = pid;
			p->uid = uid;
			p->cgroup = cgroup;
			p->accounting = accounting;
		} else if (p->pid != pid || p->uid != uid || p->accounting != accounting ||
			   p->used != used) {
			continue;
		}
		p->pages += parts;
		p->pinned += pinned;
		p->mappings++;
		return;
	}
}

/*
 * As many pages as the area can be of, were its pages its own: the kernel has taken them from it,
 * or not given it any yet.
 */
static __always_inline __u64 walk_span(const struct iopt_area *area)
{
	__u64 bytes = BPF_CORE_READ(area, node.last) - BPF_CORE_READ(area, node.start);

	/* The last byte is in it, and the first may be within a page. */
	return (bytes >> gate_page_shift) + 2;
}

/* An area in whatever order. @payers: NULL: does not matter */
static __always_inline void walk_area(struct gate_walk *w, __u64 node, struct walk_payers *payers)
{
	struct iopt_area *area = (void *)(node - bpf_core_field_offset(struct iopt_area, node));
	struct rb_node *rb = (void *)node;
	struct iopt_pages *pages = BPF_CORE_READ(area, pages);
	unsigned long npages = 0, npinned;
	__u64 parts, pinned;
	int refs;

	walk_push(w, (__u64)BPF_CORE_READ(rb, rb_right));
	walk_push(w, (__u64)BPF_CORE_READ(rb, rb_left));
	w->mappings++;
	if (!pages) {
		w->invalid |= WALK_HALFWAY;
		w->halfway += walk_span(area);
		return;
	}
	refs = BPF_CORE_READ(pages, kref.refcount.refs.counter);
	if (bpf_core_read(&npages, sizeof(npages), &pages->npages))
		w->invalid |= WALK_WRONG;
	npinned = BPF_CORE_READ(pages, npinned);
	parts = walk_share(w, npages, refs);
	pinned = walk_share(w, npinned, refs);
	w->parts += parts;
	w->pinned_parts += pinned;
	if (!payers)
		return;
	if (npinned && walk_orphaned(pages))
		payers->orphaned += pinned;
	walk_pay(payers, pages, parts, pinned);
}

/* The next object with an index of at least w->index, 0: none is left. */
static __always_inline __u64 walk_object_at(struct gate_walk *w)
{
	__u64 entry = w->root, index = w->index;
	__u32 shift = 0;

	for (int level = 0; level < XA_LEVELS; level++) {
		struct xa_node *node = (void *)(entry - 2);
		__u64 slot;

		if ((entry & 3) != 2 || entry <= XA_NODE_MIN)
			break;
		shift = BPF_CORE_READ(node, shift);
		slot = (index >> (shift & 63)) & 63;
		entry = walk_word((__u64)__builtin_preserve_access_index(&node->slots) + slot * 8,
				  w);
	}
	/* An empty subtree is passed over as a whole. */
	w->index = (index | ((1ULL << (shift & 63)) - 1)) + 1;
	return entry;
}

static __always_inline bool walk_locked(const struct io_pagetable *iopt)
{
	return !bpf_core_field_exists(iopt->iova_rwsem.count) ||
	       BPF_CORE_READ(iopt, iova_rwsem.count.counter) & RWSEM_WRITER_LOCKED;
}

static __always_inline void walk_object(struct gate_walk *w)
{
	__u64 entry = walk_object_at(w);
	struct iommufd_object *obj = (void *)entry;
	struct iommufd_ioas *ioas;

	if (!entry)
		return;
	if (entry == XA_RETRY || entry & 1)
		w->invalid |= WALK_WRONG;
	if (entry & 3)
		return; /* an id that is kept for something: no object yet, or any more */
	w->objects++;
	if ((__u32)BPF_CORE_READ(obj, type) !=
	    bpf_core_enum_value(enum iommufd_object_type, IOMMUFD_OBJ_IOAS))
		return;
	ioas = (void *)(entry - bpf_core_field_offset(struct iommufd_ioas, obj));
	if (gate_skippable && walk_locked(&ioas->iopt))
		w->locked = 1;
	walk_push(w, (__u64)BPF_CORE_READ(ioas, iopt.area_itree.rb_root.rb_node));
}

/* Return: 1: that was all. */
static __always_inline long walk_one(struct gate_walk *w, struct walk_payers *payers)
{
	__u32 depth = w->depth;

	if (depth - 1 < GATE_STACK) {
		w->depth = depth - 1;
		walk_area(w, w->stack[depth - 1], payers);
		return 0;
	}
	if (w->index > w->last) {
		w->pages = w->parts >> WALK_SHIFT;
		w->pinned = w->pinned_parts >> WALK_SHIFT;
		w->done = 1;
		return 1;
	}
	walk_object(w);
	return 0;
}

static __always_inline void walk_begin(struct gate_walk *w, const struct iommufd_ctx *ctx)
{
	struct xa_node *node;

	w->pages = w->pinned = w->mappings = w->objects = w->halfway = 0;
	w->parts = w->pinned_parts = 0;
	w->shared = w->invalid = w->depth = w->done = w->locked = 0;
	w->index = w->last = 0;
	w->root = (__u64)BPF_CORE_READ(ctx, objects.xa_head);
	node = (void *)(w->root - 2);
	if ((w->root & 3) == 2 && w->root > XA_NODE_MIN)
		w->last = (64ULL << (BPF_CORE_READ(node, shift) & 63)) - 1;
}

#endif
