/* SPDX-License-Identifier: MIT */
/*
 * What a guest needs to have locked and mapped at most, and what libvirt would let it lock. Numbers
 * in, numbers out; every sum saturates. The command and the hook decide by the same.
 */
#ifndef ACCOUNTING_GUEST_H
#define ACCOUNTING_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* QEMU's word for the memory regions of a machine without KVM (hw/vfio/listener.c). */
#define GUEST_MEMSLOTS 512
/* With KVM it takes what the kernel allows: KVM_USER_MEM_SLOTS of x86, Linux 5.11 and later. */
#define GUEST_MEMSLOTS_KVM 32764

/* Bytes unless the name says otherwise. */
struct guest {
	uint64_t memory; /* RAM with all memory devices at their full size */
	uint64_t max_memory; /* what may be plugged up to; 0: no more than memory */
	uint64_t hard_limit; /* <memtune>; UINT64_MAX: not set */
	bool locked; /* <memoryBacking><locked/> */
	bool kvm;
	bool ppc64; /* its KVM has tables to account for */
	bool viommu;
	size_t n_phbs; /* PCI host bridges; counts with ppc64 */
	size_t n_vfio; /* PCI and mediated devices */
	size_t n_nvme; /* disks whose controller QEMU drives by VFIO */
	size_t n_vdpa_nets;
	size_t n_vdpa_disks;
	size_t n_virtio_mem; /* such memory devices */
	uint64_t n_blocks; /* of those: size ÷ block-size, all together */
	size_t n_bars; /* that may be mapped */
};

/* By what QEMU gets at the devices. */
enum guest_way {
	GUEST_LEGACY, /* VFIO type1: all devices in one container */
	GUEST_IOMMUFD, /* all devices in one IOAS */
	GUEST_VIOMMU, /* a container or IOAS for each device, as each has its own addresses */
};

/* Of which kind libvirt's number is. */
enum guest_rule {
	GUEST_RULE_NONE, /* nothing needs it: the limit stays as it is */
	GUEST_RULE_HARD_LIMIT, /* the domain's own number */
	GUEST_RULE_LOCKED, /* unlimited */
	GUEST_RULE_PPC64, /* by the size of tables */
	GUEST_RULE_DEVICES, /* factor × memory + 1 GiB */
	GUEST_RULES,
};

/* "hard-limit"; "none". */
const char *guest_rule_name(enum guest_rule rule);

struct guest_memlock {
	enum guest_rule rule;
	uint64_t limit; /* 0: not set by libvirt; UINT64_MAX: unlimited */
	unsigned int factor; /* of GUEST_RULE_DEVICES, else 0 */
};

/**
 * guest_factor() - how many times RAM is locked
 *
 * Each vDPA device and NVMe disk once; of the VFIO devices each with a vIOMMU, else all together.
 */
unsigned int guest_factor(const struct guest *guest, enum guest_way way);

/* factor × memory + 1 GiB; 0 for a guest without any device that has RAM locked. */
uint64_t guest_limit(const struct guest *guest, enum guest_way way);

/**
 * guest_libvirt() - the RLIMIT_MEMLOCK that libvirt gives to QEMU
 *
 * As qemuDomainGetMemLockLimitBytes() does (src/qemu/qemu_domain.c, 8.7 to 12.5), but for NVLink2
 * bridges, which it finds in the host's device tree.
 */
struct guest_memlock guest_libvirt(const struct guest *guest);

/* The most mappings that there can be at a time. */
struct guest_mappings {
	uint64_t blocks; /* of virtio-mem, each mapped alone */
	uint64_t memslots;
	uint64_t bars;
	uint64_t per_space; /* the sum, in a container or IOAS */
	unsigned int n_spaces;
	uint64_t total;
};

/**
 * guest_mappings() - how many mappings, as long as the guest does not choose them itself
 *
 * Behind a vIOMMU it does: then this is what a guest that maps all of its memory has.
 */
struct guest_mappings guest_mappings(const struct guest *guest, unsigned int n_spaces);

/**
 * guest_type1_mappings() - what QEMU holds against dma_entry_limit of a type1 container
 *
 * With virtio-mem it refuses to start where blocks and memory regions may be more
 * (vfio_ram_discard_register_listener()), regions being KVM's limit of them.
 */
uint64_t guest_type1_mappings(const struct guest *guest);

/* What the mirror's figures are made of. */
struct guest_cgroup {
	uint64_t limit; /* of the session */
	unsigned int factor; /* of the session; at least 1 */
	uint64_t memory; /* of the guest */
	uint64_t hugetlb; /* the part of it in huge pages, which memory.* does not count */
	uint64_t headroom;
	size_t n_devices;
	uint64_t migration_buffers; /* per device; UINT64_MAX: unlimited */
};

/* memory.max under cap: limit ÷ factor - hugetlb + headroom + devices × buffers; UINT64_MAX. */
uint64_t guest_memory_max(const struct guest_cgroup *parts);

/* memory.min under protect, once all RAM is in use: memory - hugetlb + headroom. */
uint64_t guest_memory_min(const struct guest_cgroup *parts);

#endif
