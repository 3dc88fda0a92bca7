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
	unsigned long dx, si, di, orig_ax, ip, sp;
} CORE;

struct file_operations;

struct inode {
	unsigned short i_mode;
	unsigned int i_rdev;
} CORE;

#define S_IFMT 0170000 /* of i_mode */
#define S_IFCHR 0020000
#define DEVICE_MAJOR(device) ((device) >> 20) /* of i_rdev */

/* Of a file: since Linux 6.13. */
typedef struct {
	struct {
		long long counter;
	} refcnt;
} CORE file_ref_t;

struct file {
	const struct file_operations *f_op;
	void *private_data;
	struct inode *f_inode;
	file_ref_t f_ref; /* below 0: nobody has it any more */
	struct {
		long long counter;
	} f_count; /* before: 0 */
} CORE;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} CORE;

struct files_struct {
	struct fdtable *fdt;
} CORE;

struct mm_struct {
	struct {
		long long counter;
	} pinned_vm;
	unsigned long locked_vm;
	struct {
		int counter;
	} mm_users;
} CORE;

struct user_struct {
	struct {
		unsigned int val;
	} uid;
	struct {
		long counter;
	} locked_vm;
} CORE;

struct cred {
	struct {
		unsigned int val;
	} uid;
	struct user_struct *user;
} CORE;

struct pid {
	__u64 ino;
} CORE;

struct core_state;

struct signal_struct {
	unsigned int flags;
	struct core_state *core_state;
} CORE;

struct sigpending {
	struct {
		unsigned long sig[1];
	} signal;
} CORE;

/* A task keeps its css_set until nobody holds it any more, also when it has exited. */
struct kernfs_node {
	__u64 id;
} CORE;

struct cgroup {
	struct kernfs_node *kn;
} CORE;

struct css_set {
	struct cgroup *dfl_cgrp;
} CORE;

struct sched_entity {
	__u64 sum_exec_runtime;
} CORE;

struct task_struct {
	unsigned int flags;
	int pid, tgid;
	struct mm_struct *mm;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	const struct cred *real_cred;
	struct files_struct *files;
	struct sigpending pending;
	struct signal_struct *signal;
	struct css_set *cgroups;
	unsigned char on_cpu; /* or the first byte of an int; none: there is but one processor */
	unsigned long nvcsw, nivcsw;
	struct sched_entity se;
	char comm[16];
} CORE;

struct cfs_rq {
	unsigned int h_nr_queued;
	unsigned int h_nr_runnable;
} CORE;

/* Of each processor. */
struct rq {
	unsigned int nr_running;
	struct cfs_rq cfs;
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
	unsigned long start, last;
} CORE;

struct rw_semaphore {
	struct {
		long counter;
	} count; /* none with PREEMPT_RT */
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
	unsigned char account_mode;
} CORE;

struct iommufd_ucmd {
	void *cmd;
} CORE;

struct io_pagetable {
	struct rw_semaphore iova_rwsem;
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
	struct task_struct *source_task;
	struct mm_struct *source_mm;
	struct user_struct *source_user;
	unsigned char account_mode;
} CORE;

struct iopt_area {
	struct interval_tree_node node;
	struct iopt_pages *pages;
} CORE;

struct kobject {
	const char *name;
} CORE;

struct device {
	struct kobject kobj;
} CORE;

/* include/linux/vfio.h and drivers/vfio/vfio.h */
struct vfio_device {
	struct device *dev;
} CORE;

struct vfio_device_file {
	unsigned char access_granted;
	struct vfio_device *device;
	struct iommufd_ctx *iommufd;
} CORE;

/* drivers/vfio/container.c and vfio_iommu_type1.c */
struct vfio_iommu_driver_ops {
	char *name;
} CORE;

struct vfio_iommu_driver {
	const struct vfio_iommu_driver_ops *ops;
} CORE;

struct vfio_container {
	struct vfio_iommu_driver *iommu_driver;
	void *iommu_data;
} CORE;

struct vfio_iommu {
	struct rb_root dma_list;
} CORE;

struct vfio_dma {
	struct rb_node node;
	unsigned long size;
	unsigned long locked_vm;
} CORE;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
} CORE;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} CORE;

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
} CORE;

#undef CORE

#endif
