/* SPDX-License-Identifier: MIT */
/* The arithmetic of limits. Bytes in, bytes out; every sum saturates instead of wrapping. */
#ifndef ACCOUNTING_LIMITS_H
#define ACCOUNTING_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounting/policy.h"

/* What libvirt adds to guest RAM (qemuDomainGetMemLockLimitBytes: 1 GiB for MMIO and firmware). */
#define LIMITS_AUTO_EXTRA (1ULL << 30)
/* What QEMU maps beside guest RAM, rounded up: 256 KiB of firmware were seen. */
#define LIMITS_FIRMWARE (1ULL << 20)
/* VFIO type1's dma_entry_limit, which VMMs were written against. */
#define LIMITS_MAPPINGS_MIN 65535ULL

/* a + b, or UINT64_MAX. */
uint64_t limits_add(uint64_t a, uint64_t b);
/* a × b, or UINT64_MAX. */
uint64_t limits_mul(uint64_t a, uint64_t b);

/* How many times guest RAM is mapped: once per IOAS; a vIOMMU gives each device its own. */
unsigned int limits_factor(bool viommu, size_t n_devices);

/* factor × memory + 1 GiB, libvirt's formula. */
uint64_t limits_auto(uint64_t memory, unsigned int factor);

/* factor × memory + 1 MiB: with less the guest does not start. */
uint64_t limits_needed(uint64_t memory, unsigned int factor);

/* max(65535, memory ÷ 2 MiB + 512), per IOAS. */
uint64_t limits_mappings_auto(uint64_t memory, unsigned int factor);

/* What RLIMIT_MEMLOCK of a process is made of. Bytes. */
struct limits_memlock {
	uint64_t locked_besides; /* VmLck less what its sessions charge there */
	uint64_t extra; /* extra-memlock of its policies: the largest */
	uint64_t task_sum; /* limits of its own task-mode sessions */
	uint64_t user_sum; /* limits of its uid's user-mode sessions, orphans included */
};

/**
 * limits_memlock() - the RLIMIT_MEMLOCK (soft = hard) an owner or payer needs
 *
 * locked_besides + extra + max(task_sum, user_sum): task mode is checked against mm->locked_vm,
 * user mode against user_struct->locked_vm, both against this one limit of the mapping process
 * (drivers/iommu/iommufd/pages.c, incr_user_locked_vm and __account_locked_vm).
 */
uint64_t limits_memlock(const struct limits_memlock *parts);

#endif
