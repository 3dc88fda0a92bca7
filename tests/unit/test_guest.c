/* SPDX-License-Identifier: MIT */
#include "accounting/guest.h"

#include "accounting/limits.h"
#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)
#define NOT_SET UINT64_MAX

/* What is locked, by the way in which QEMU gets at the devices. */
static void limit_counts_ram_per_way(void)
{
	static const struct {
		const char *name;
		struct guest guest;
		uint64_t legacy, iommufd, viommu;
	} cases[] = {
		{"no device", {.memory = GIB}, 0, 0, 0},
		{"one device", {.memory = 4 * GIB, .n_vfio = 1}, 5 * GIB, 5 * GIB, 5 * GIB},
		{"three devices", {.memory = 4 * GIB, .n_vfio = 3}, 5 * GIB, 5 * GIB, 13 * GIB},
		{"an NVMe disk", {.memory = 2 * GIB, .n_nvme = 1}, 3 * GIB, 3 * GIB, 3 * GIB},
		{"each NVMe disk and vDPA device once more",
		 {.memory = GIB, .n_vfio = 2, .n_nvme = 1, .n_vdpa_nets = 2, .n_vdpa_disks = 3},
		 8 * GIB,
		 8 * GIB,
		 9 * GIB},
		{"more than there is",
		 {.memory = UINT64_MAX / 2, .n_vfio = 3},
		 UINT64_MAX / 2 + GIB,
		 UINT64_MAX / 2 + GIB,
		 UINT64_MAX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct guest *guest = &cases[i].guest;

		CHECK(cases[i].name, guest_limit(guest, GUEST_LEGACY) == cases[i].legacy);
		CHECK(cases[i].name, guest_limit(guest, GUEST_IOMMUFD) == cases[i].iommufd);
		CHECK(cases[i].name, guest_limit(guest, GUEST_VIOMMU) == cases[i].viommu);
	}
}

/* The order of libvirt's rules: the domain's number, locked, ppc64's tables, devices. */
static void libvirt_has_one_rule_for_each(void)
{
	static const struct {
		const char *name;
		struct guest guest;
		struct guest_memlock expected;
	} cases[] = {
		{"nothing to lock",
		 {.memory = GIB, .hard_limit = NOT_SET},
		 {GUEST_RULE_NONE, 0, 0}},
		{"a device",
		 {.memory = GIB, .hard_limit = NOT_SET, .n_vfio = 1},
		 {GUEST_RULE_DEVICES, 2 * GIB, 1}},
		{"two behind a vIOMMU",
		 {.memory = GIB, .hard_limit = NOT_SET, .viommu = true, .n_vfio = 2},
		 {GUEST_RULE_DEVICES, 3 * GIB, 2}},
		{"a vIOMMU does not count for vDPA",
		 {.memory = GIB, .hard_limit = NOT_SET, .viommu = true, .n_vdpa_nets = 2},
		 {GUEST_RULE_DEVICES, 3 * GIB, 2}},
		{"hard_limit before all else",
		 {.memory = GIB, .hard_limit = MIB, .locked = true, .ppc64 = true, .n_vfio = 2},
		 {GUEST_RULE_HARD_LIMIT, MIB, 0}},
		{"hard_limit without a device",
		 {.memory = GIB, .hard_limit = 2 * GIB},
		 {GUEST_RULE_HARD_LIMIT, 2 * GIB, 0}},
		{"locked before devices",
		 {.memory = GIB, .hard_limit = NOT_SET, .locked = true, .n_vfio = 2},
		 {GUEST_RULE_LOCKED, UINT64_MAX, 0}},
		/* 1G / 128 + 4M + 8M: what libvirt's own qemumemlocktest expects of pseries-kvm. */
		{"ppc64 without a device",
		 {.memory = GIB, .hard_limit = NOT_SET, .ppc64 = true, .n_phbs = 1},
		 {GUEST_RULE_PPC64, 20971520, 0}},
		/* 8M + 2 x 4M + 8M + max(2 x 2G, 1G + 2 x 2M + 8M): of pseries-hostdev. */
		{"ppc64 with a device and two bridges",
		 {.memory = GIB, .hard_limit = NOT_SET, .ppc64 = true, .n_phbs = 2, .n_vfio = 1},
		 {GUEST_RULE_PPC64, 4320133120, 0}},
		/* 64M + 4M + 8M + max(2G, 4G + 8M + 8M) */
		{"ppc64 with more RAM than a window, and more to come",
		 {.memory = 4 * GIB,
		  .max_memory = 8 * GIB,
		  .hard_limit = NOT_SET,
		  .ppc64 = true,
		  .n_phbs = 1,
		  .n_nvme = 1},
		 {GUEST_RULE_PPC64, 4 * GIB + 92 * MIB, 0}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest_memlock got = guest_libvirt(&cases[i].guest);

		CHECK(cases[i].name, got.rule == cases[i].expected.rule);
		CHECK(cases[i].name, got.limit == cases[i].expected.limit);
		CHECK(cases[i].name, got.factor == cases[i].expected.factor);
	}
	CHECK("a name", guest_rule_name(GUEST_RULE_HARD_LIMIT)[0] == 'h');
}

static void mappings_add_up_per_space(void)
{
	static const struct {
		const char *name;
		struct guest guest;
		unsigned int n_spaces;
		uint64_t total, type1;
	} cases[] = {
		{"RAM alone", {.memory = GIB}, 1, 512, 512},
		{"BARs", {.memory = GIB, .n_bars = 7}, 1, 519, 519},
		{"a space each", {.memory = GIB, .n_bars = 7}, 3, 3 * 519, 519},
		{"virtio-mem", {.n_virtio_mem = 1, .n_blocks = 65536}, 1, 65536 + 512, 65536 + 511},
		/* The most that QEMU lets start with KVM: 65535 - 32764 + 1 blocks. */
		{"virtio-mem with KVM",
		 {.n_virtio_mem = 1, .n_blocks = 32772, .kvm = true},
		 1,
		 32772 + 512,
		 65535},
		{"virtio-mem in every slot",
		 {.n_virtio_mem = 600, .n_blocks = 9000},
		 1,
		 9512,
		 9000},
		{"more than there is",
		 {.n_virtio_mem = 1, .n_blocks = UINT64_MAX},
		 2,
		 UINT64_MAX,
		 UINT64_MAX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest_mappings got = guest_mappings(&cases[i].guest, cases[i].n_spaces);

		CHECK(cases[i].name, got.total == cases[i].total);
		CHECK(cases[i].name, got.n_spaces == cases[i].n_spaces);
		CHECK(cases[i].name, guest_type1_mappings(&cases[i].guest) == cases[i].type1);
	}
}

static void cgroup_counts_what_is_memory(void)
{
	static const struct {
		const char *name;
		struct guest_cgroup parts;
		uint64_t max, min;
	} cases[] = {
		{"RAM", {5 * GIB, 1, 4 * GIB, 0, 0, 0, 0}, 5 * GIB, 4 * GIB},
		{"headroom",
		 {5 * GIB, 1, 4 * GIB, 0, GIB / 2, 0, 0},
		 5 * GIB + GIB / 2,
		 4 * GIB + GIB / 2},
		{"RAM that is pinned three times is there once",
		 {15 * GIB, 3, 4 * GIB, 0, 0, 0, 0},
		 5 * GIB,
		 4 * GIB},
		{"huge pages are not memory",
		 {5 * GIB, 1, 4 * GIB, 4 * GIB, MIB, 0, 0},
		 GIB + MIB,
		 MIB},
		{"more huge pages than limit", {GIB, 1, GIB, 2 * GIB, MIB, 0, 0}, MIB, MIB},
		{"buffers per device", {GIB, 1, GIB, 0, 0, 2, GIB}, 3 * GIB, GIB},
		{"unlimited buffers", {GIB, 1, GIB, 0, 0, 1, UINT64_MAX}, UINT64_MAX, GIB},
		{"unlimited buffers of nothing", {GIB, 1, GIB, 0, 0, 0, UINT64_MAX}, GIB, GIB},
		{"an unlimited session", {UINT64_MAX, 2, GIB, 0, 0, 0, 0}, UINT64_MAX, GIB},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK(cases[i].name, guest_memory_max(&cases[i].parts) == cases[i].max);
		CHECK(cases[i].name, guest_memory_min(&cases[i].parts) == cases[i].min);
	}
}

static const CU_TestInfo tests[] = {
	{"RAM is locked once per container, IOAS, NVMe disk and vDPA device",
	 limit_counts_ram_per_way},
	{"libvirt's limit is by the first of its rules that holds", libvirt_has_one_rule_for_each},
	{"mappings are blocks, slots and BARs in each space", mappings_add_up_per_space},
	{"a cgroup counts RAM once, and huge pages never", cgroup_counts_what_is_memory},
	CU_TEST_INFO_NULL,
};

const struct suite suite_guest = {"guest", tests};
