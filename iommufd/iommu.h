/* SPDX-License-Identifier: MIT */
/*
 * /dev/iommu contexts. Invariant: a context that leaves this file accounts as its mode says, and
 * nobody without CAP_SYS_RESOURCE can change that: whoever it is handed to pays by it.
 */
#ifndef IOMMUFD_IOMMU_H
#define IOMMUFD_IOMMU_H

struct sys_ops;

/* What pages mapped through a context are charged to; the values of IOMMU_OPTION_RLIMIT_MODE. */
enum iommu_mode {
	IOMMU_MODE_USER = 0, /* user_struct.locked_vm of the mapping task's real uid */
	IOMMU_MODE_TASK = 1, /* mm.locked_vm of the mapping task */
};

/**
 * iommu_open() - open a new IOMMUFD context that accounts in a given mode
 * @dev_fd: directory fd of /dev, borrowed
 * @ret_fd: caller closes
 *
 * The mode is set explicitly in both cases and read back. A kernel takes it only while the
 * context has no object (io_pagetable modes are fixed at map time: drivers/iommu/iommufd/ioas.c),
 * so this comes before anybody else sees the context.
 *
 * Return: 0; -errno, with nothing open and @ret_fd untouched:
 * -ENOENT    no /dev/iommu: the kernel has no IOMMUFD, or its module is not loaded;
 * -ENODEV    the node is there, the driver is not (also for -ENXIO): likewise;
 * -EACCES    may not open the node (also for -EPERM of the open: a device cgroup);
 * -ELOOP     the node is a symlink;
 * -EPERM     may not choose the mode: CAP_SYS_RESOURCE is missing, in the initial user namespace;
 * -ENOTTY    what was opened is no IOMMUFD (also for -EOPNOTSUPP: it lacks this option);
 * -EPROTO    the kernel confirms a mode other than the one set;
 * others     as the kernel gives them (-EMFILE, -ENOMEM, ...).
 */
int iommu_open(const struct sys_ops *ops, int dev_fd, enum iommu_mode mode, int *ret_fd);

/**
 * iommu_strerror() - say to an operator why iommu_open() failed
 * @err: its return value, negative
 *
 * Return: a sentence without a full stop, to follow "cannot open IOMMUFD: "; static, never NULL.
 */
const char *iommu_strerror(int err);

#endif
