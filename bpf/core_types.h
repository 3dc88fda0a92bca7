/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's types, just the fields that are read: where each one is comes from the running
 * kernel's BTF (CO-RE).
 */
#ifndef BPF_CORE_TYPES_H
#define BPF_CORE_TYPES_H

#include <linux/types.h>

#define CORE __attribute__((preserve_access_index))

struct pt_regs {
	unsigned long dx, si, di, orig_ax, ip;
} CORE;

struct file_operations;

struct file {
	const struct file_operations *f_op;
	void *private_data;
} CORE;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} CORE;

struct files_struct {
	struct fdtable *fdt;
} CORE;

struct task_struct {
	unsigned int flags;
	int pid, tgid;
	struct files_struct *files;
	char comm[16];
} CORE;

struct rb_node {
	unsigned long __rb_parent_color;
	struct rb_node *rb_right;
	struct rb_node *rb_left;
} CORE;

struct rb_root {
	struct rb_node *rb_node;
} CORE;

struct rb_root_cached {
	struct rb_root rb_root;
} CORE;

struct xarray {
	void *xa_head;
} CORE;

struct xa_node {
	unsigned char shift;
	void *slots[64];
} CORE;

struct refcount_struct {
	struct {
		int counter;
	} refs;
} CORE;

struct kref {
	struct refcount_struct refcount;
} CORE;

struct interval_tree_node {
	struct rb_node rb;
} CORE;

/* drivers/iommu/iommufd/iommufd_private.h and io_pagetable.h */
enum iommufd_object_type {
	IOMMUFD_OBJ_IOAS = 4, /* the running kernel's value counts */
};

struct iommufd_object {
	enum iommufd_object_type type;
} CORE;

struct iommufd_ctx {
	struct xarray objects;
} CORE;

struct io_pagetable {
	struct rb_root_cached area_itree;
} CORE;

struct iommufd_ioas {
	struct iommufd_object obj;
	struct io_pagetable iopt;
} CORE;

struct iopt_pages {
	struct kref kref;
	unsigned long npages;
	unsigned long npinned;
} CORE;

struct iopt_area {
	struct interval_tree_node node;
	struct iopt_pages *pages;
} CORE;

/* drivers/vfio/vfio.h */
struct vfio_device_file {
	struct iommufd_ctx *iommufd;
} CORE;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} CORE;

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct file *file;
} CORE;

#undef CORE

#endif
