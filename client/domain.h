/* SPDX-License-Identifier: MIT */
/*
 * A libvirt domain, as far as it decides what its guest has locked and mapped, and who runs it.
 * client/domain_xml.h reads one; what follows from it is here. All by value: free() frees one.
 */
#ifndef CLIENT_DOMAIN_H
#define CLIENT_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/device.h"

struct guest;

#define DOMAIN_NAME_MAX 255 /* bytes; what the broker takes */
#define DOMAIN_NODES_MAX 128 /* NUMA nodes, as in QEMU */
/* More than a machine can have, as the next two. */
#define DOMAIN_HOSTDEVS_MAX 512
#define DOMAIN_MEMORIES_MAX 512
#define DOMAIN_PAGES_MAX 16
#define DOMAIN_TEXT_MAX 1024 /* with NUL */

/* What a device has been told of iommufd, or the whole domain. */
enum domain_choice {
	DOMAIN_CHOICE_NONE,
	DOMAIN_CHOICE_NO,
	DOMAIN_CHOICE_YES,
};

struct domain_hostdev {
	char name[DEVICE_NAME_MAX]; /* as device_name() makes it */
	bool mdev;
	enum domain_choice iommufd; /* <driver iommufd=''/> */
};

enum domain_memory_model {
	DOMAIN_MEMORY_OTHER, /* nvdimm, virtio-pmem, sgx-epc: as large, not from the host's RAM */
	DOMAIN_MEMORY_DIMM,
	DOMAIN_MEMORY_VIRTIO_MEM,
};

/* <memory> of the devices. Bytes. */
struct domain_memory {
	enum domain_memory_model model;
	uint64_t size; /* at most, of virtio-mem */
	uint64_t requested; /* of virtio-mem, at first */
	uint64_t block; /* of virtio-mem; 0: libvirt chooses */
	uint64_t page; /* size of the pages it is made of; 0: as its node */
	unsigned int node;
};

struct domain_nodes {
	bool set[DOMAIN_NODES_MAX];
};

/* <page> of <hugepages>. */
struct domain_page {
	uint64_t size;
	bool all; /* without a nodeset */
	struct domain_nodes nodes;
};

/* Bytes, and not aligned as libvirt does when it starts the domain: see domain_guest(). */
struct domain {
	char name[DOMAIN_NAME_MAX + 1];
	char uuid[40]; /* "": not given */
	char arch[16]; /* "x86_64"; "": not given */
	bool kvm;
	uint64_t memory; /* <memory>; 0: not given, the cells' sum */
	uint64_t max_memory; /* <maxMemory>; 0: nothing can be plugged */
	unsigned int slots; /* of it, for DIMMs */
	uint64_t hard_limit; /* UINT64_MAX: not set */
	bool locked;
	bool hugepages;
	char source[16]; /* of RAM: "memfd", "file"; "": anonymous memory */
	struct domain_page pages[DOMAIN_PAGES_MAX];
	size_t n_pages; /* 0 with hugepages: of the host's default size */
	uint64_t cells[DOMAIN_NODES_MAX]; /* RAM of each NUMA node */
	size_t n_cells;
	struct domain_memory memories[DOMAIN_MEMORIES_MAX];
	size_t n_memories;
	struct domain_hostdev hostdevs[DOMAIN_HOSTDEVS_MAX]; /* also those that are interfaces */
	size_t n_hostdevs;
	enum domain_choice iommufd; /* for devices that say nothing */
	char fdgroup[64]; /* <iommufd fdgroup=''/>; "": not given */
	size_t n_nvme; /* disks */
	size_t n_vdpa_nets;
	size_t n_vdpa_disks;
	size_t n_iommus; /* vIOMMUs */
	size_t n_pci_roots; /* host bridges that are written down, as the next */
	bool pci_root; /* the first of them */
	char partition[DOMAIN_TEXT_MAX]; /* "": not given, "/machine" */
	char dac_label[DOMAIN_TEXT_MAX]; /* of QEMU: "+107:+107", "qemu:qemu"; "": not given */
};

/* Whether libvirt gets at a device by iommufd: never at a mediated one. */
bool domain_by_iommufd(const struct domain *domain, const struct domain_hostdev *hostdev);

/* How many of its devices that are. */
size_t domain_count_iommufd(const struct domain *domain);

/**
 * domain_guest() - the numbers that accounting/guest.h computes with
 *
 * Sizes are aligned as qemuDomainAlignMemorySizes() does before the limit is computed: 1 MiB, 2 MiB
 * for memory devices, 256 MiB on ppc64. ret_guest->n_bars is 0: only the host knows.
 *
 * Return: 0; -EINVAL: memory devices are larger than all memory; -ERANGE: more than 2^63 - 1 bytes.
 */
int domain_guest(const struct domain *domain, struct guest *ret_guest);

/* RAM in huge pages of one size. */
struct domain_hugetlb {
	uint64_t page; /* 0: the host's default */
	uint64_t bytes;
};

#define DOMAIN_HUGETLB_MAX 8 /* no kernel has more sizes */

/* What of the guest's RAM is in huge pages, by their size. Return: how many sizes, from 0. */
size_t domain_hugetlb(const struct domain *domain,
		      struct domain_hugetlb ret_hugetlb[static DOMAIN_HUGETLB_MAX]);

/**
 * domain_slice() - the cgroup in which systemd puts a domain's scope
 * @ret_cgroup: "/machine.slice", or what the partition makes of it; freed by the caller
 *
 * Return: 0; -EINVAL for a partition of another form than "/a/b", or longer than a path; -ENOMEM.
 */
int domain_slice(const struct domain *domain, char **ret_cgroup);

#endif
