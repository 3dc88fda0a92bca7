/* SPDX-License-Identifier: MIT */
/*
 * The domains in tests/domains, and what libvirt would do with them: each expected number is made
 * of the terms of qemuDomainGetMemLockLimitBytes(), factor × memory + 1 GiB, where factor is vDPA
 * devices + NVMe disks + (VFIO devices with a vIOMMU, else one for all of them).
 */
#include "client/domain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/guest.h"
#include "client/domain_xml.h"
#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define DOMAINS "tests/domains/"
#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)

/* NULL after a failed check. */
static struct domain *domain_load(const char *name)
{
	CLEANUP(freep) struct domain *domain = NULL;
	CLEANUP(freep) char *bytes = NULL;
	CLEANUP(fd_closep) int fd = -1;
	struct domain_fault fault;
	char path[128];
	size_t len;
	int err;

	(void)snprintf(path, sizeof(path), DOMAINS "%s.xml", name); /* names here are short */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(name, fd >= 0 && domain_read(fd, &bytes, &len) == 0);
	if (!bytes)
		return NULL;
	err = domain_parse(bytes, len, &domain, &fault);
	CHECK(err ? fault.text : name, err == 0);
	return STEAL(domain);
}

struct expected {
	const char *name; /* of the domain and its file */
	enum guest_rule rule;
	uint64_t limit; /* libvirt's */
	uint64_t memory; /* all of it */
	size_t n_vfio, n_iommufd;
	uint64_t n_blocks;
};

static const struct expected expected[] = {
	/* Nothing has RAM locked. */
	{"plain", GUEST_RULE_NONE, 0, 4 * GIB, 0, 0, 0},
	{"plain-tcg", GUEST_RULE_NONE, 0, 4 * GIB, 0, 0, 0},
	/* USB and SCSI devices and capabilities are not VFIO. */
	{"not-vfio", GUEST_RULE_NONE, 0, 4 * GIB, 0, 0, 0},
	{"ppc64-tcg", GUEST_RULE_NONE, 0, GIB, 0, 0, 0},
	/* factor 1: VFIO devices without a vIOMMU, however many and by whichever way */
	{"hostdev", GUEST_RULE_DEVICES, 4 * GIB + GIB, 4 * GIB, 1, 0, 0},
	{"hostdevs-three", GUEST_RULE_DEVICES, 4 * GIB + GIB, 4 * GIB, 3, 0, 0},
	{"iommufd-pc", GUEST_RULE_DEVICES, 2 * GIB + GIB, 2 * GIB, 1, 1, 0},
	{"iommufd-q35", GUEST_RULE_DEVICES, 2 * GIB + GIB, 2 * GIB, 1, 1, 0},
	{"iommufd-virt", GUEST_RULE_DEVICES, GIB + GIB, GIB, 2, 2, 0},
	{"iommufd-fdgroup", GUEST_RULE_DEVICES, 2 * GIB + GIB, 2 * GIB, 1, 1, 0},
	/* One says no, and a mediated device cannot. */
	{"iommufd-but-one", GUEST_RULE_DEVICES, 4 * GIB + GIB, 4 * GIB, 3, 1, 0},
	{"mdev", GUEST_RULE_DEVICES, 4 * GIB + GIB, 4 * GIB, 2, 0, 0},
	{"interface-hostdev", GUEST_RULE_DEVICES, 4 * GIB + GIB, 4 * GIB, 2, 1, 0},
	{"hugepages", GUEST_RULE_DEVICES, 4 * GIB + GIB, 4 * GIB, 1, 1, 0},
	{"hugepages-1g", GUEST_RULE_DEVICES, 4 * GIB + GIB, 4 * GIB, 1, 1, 0},
	{"seclabel-static", GUEST_RULE_DEVICES, 4 * GIB + GIB, 4 * GIB, 1, 1, 0},
	{"seclabel-none", GUEST_RULE_DEVICES, 4 * GIB + GIB, 4 * GIB, 1, 1, 0},
	{"seclabel-live", GUEST_RULE_DEVICES, 4 * GIB + GIB, 4 * GIB, 1, 1, 0},
	{"partition", GUEST_RULE_DEVICES, 4 * GIB + GIB, 4 * GIB, 1, 1, 0},
	/* What is in other namespaces, a vIOMMU among it, libvirt does not see. */
	{"namespaces", GUEST_RULE_DEVICES, 4 * GIB + GIB, 4 * GIB, 2, 2, 0},
	/* <memtune> before <locked>, both before devices */
	{"hard-limit", GUEST_RULE_HARD_LIMIT, 6500 * MIB, 4 * GIB, 0, 0, 0},
	{"hard-limit-hostdev", GUEST_RULE_HARD_LIMIT, 6500 * MIB, 4 * GIB, 1, 1, 0},
	{"hard-limit-locked-hostdev", GUEST_RULE_HARD_LIMIT, 6500 * MIB, 4 * GIB, 1, 0, 0},
	{"hard-limit-too-small", GUEST_RULE_HARD_LIMIT, 2 * GIB, 4 * GIB, 1, 1, 0},
	{"hard-limit-unlimited", GUEST_RULE_DEVICES, 4 * GIB + GIB, 4 * GIB, 1, 0, 0},
	{"locked", GUEST_RULE_LOCKED, UINT64_MAX, 4 * GIB, 0, 0, 0},
	{"locked-hostdev", GUEST_RULE_LOCKED, UINT64_MAX, 4 * GIB, 1, 1, 0},
	/* With a vIOMMU the factor has each VFIO device; NVMe disks and vDPA devices always. */
	{"viommu", GUEST_RULE_DEVICES, 1 * 4 * GIB + GIB, 4 * GIB, 1, 1, 0},
	{"viommu-three", GUEST_RULE_DEVICES, 3 * 4 * GIB + GIB, 4 * GIB, 3, 3, 0},
	{"viommu-vdpa", GUEST_RULE_DEVICES, 2 * 4 * GIB + GIB, 4 * GIB, 0, 0, 0},
	{"nvme", GUEST_RULE_DEVICES, 1 * 4 * GIB + GIB, 4 * GIB, 0, 0, 0},
	{"nvme-chain", GUEST_RULE_DEVICES, 1 * 4 * GIB + GIB, 4 * GIB, 0, 0, 0},
	{"nvme-viommu-hostdevs", GUEST_RULE_DEVICES, (2 + 2) * 4 * GIB + GIB, 4 * GIB, 2, 2, 0},
	{"vdpa-net", GUEST_RULE_DEVICES, 1 * 4 * GIB + GIB, 4 * GIB, 0, 0, 0},
	{"vdpa-disks", GUEST_RULE_DEVICES, 2 * 4 * GIB + GIB, 4 * GIB, 0, 0, 0},
	{"mixed", GUEST_RULE_DEVICES, (1 + 1 + 4) * 4 * GIB + GIB, 4 * GIB, 4, 1, 0},
	/* Memory devices count in full, virtio-mem whatever it begins with. */
	{"dimms", GUEST_RULE_DEVICES, (4 + 1 + 1) * GIB + GIB, 6 * GIB, 1, 1, 0},
	{"nvdimm", GUEST_RULE_DEVICES, (4 + 1) * GIB + GIB, 5 * GIB, 1, 1, 0},
	{"virtio-mem", GUEST_RULE_DEVICES, (4 + 32) * GIB + GIB, 36 * GIB, 1, 1,
	 32 * GIB / (2 * MIB)},
	{"virtio-mem-small-blocks", GUEST_RULE_DEVICES, (4 + 64) * GIB + GIB, 68 * GIB, 1, 1,
	 64 * GIB / MIB},
	{"virtio-mem-legacy", GUEST_RULE_DEVICES, (4 + 128) * GIB + GIB, 132 * GIB, 1, 0,
	 128 * GIB / (2 * MIB)},
	{"max-memory", GUEST_RULE_DEVICES, 4 * GIB + GIB, 4 * GIB, 1, 1, 0},
	{"cells-alone", GUEST_RULE_DEVICES, (1536 + 500) * MIB + GIB, 2036 * MIB, 1, 1, 0},
	{"hugepages-nodes", GUEST_RULE_DEVICES, (3 + 2 + 1) * GIB + GIB, 6 * GIB, 1, 1, 0},
	/* RAM is aligned to 1 MiB, memory devices to 2 MiB. */
	{"unaligned", GUEST_RULE_DEVICES, 1025 * MIB + GIB, 1025 * MIB, 1, 1, 0},
	{"unit-bytes", GUEST_RULE_DEVICES, 1025 * MIB + GIB, 1025 * MIB, 1, 1, 0},
	{"unit-gb", GUEST_RULE_DEVICES, 2862 * MIB + GIB, 2862 * MIB, 1, 1, 0},
	{"dimm-unaligned", GUEST_RULE_DEVICES, (4096 + 514) * MIB + GIB, 4610 * MIB, 1, 0, 0},
	/* 1G / 128 + 4M + 8M; 1G / 128 + 2 x 4M + 8M + max(2 x 2G, 1G + 2 x 1G / 512 + 8M) */
	{"ppc64", GUEST_RULE_PPC64, (8 + 4 + 8) * MIB, GIB, 0, 0, 0},
	{"ppc64-hostdev", GUEST_RULE_PPC64, (8 + 8 + 8) * MIB + 4 * GIB, GIB, 1, 0, 0},
};

static void limit_is_libvirts(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		const struct expected *e = &expected[i];
		CLEANUP(freep) struct domain *domain = domain_load(e->name);
		struct guest_memlock memlock;
		struct guest guest;

		if (!domain)
			continue;
		CHECK(e->name, strcmp(domain->name, e->name) == 0);
		CHECK(e->name, domain_guest(domain, &guest) == 0);
		memlock = guest_libvirt(&guest);
		CHECK(e->name, memlock.rule == e->rule);
		CHECK(e->name, memlock.limit == e->limit);
		CHECK(e->name, guest.memory == e->memory);
		CHECK(e->name, guest.n_vfio == e->n_vfio);
		CHECK(e->name, domain_count_iommufd(domain) == e->n_iommufd);
		CHECK(e->name, guest.n_blocks == e->n_blocks);
	}
}

static void no_domain_is_forgotten(void)
{
	CLEANUP(dir_closep) DIR *dir = opendir(DOMAINS);
	const struct dirent *entry;
	size_t n = 0;

	while (dir && (entry = readdir(dir)))
		n += strstr(entry->d_name, ".xml") != NULL;
	CHECK(DOMAINS, n == ARRAY_SIZE(expected));
}

static void devices_have_their_names(void)
{
	static const struct {
		const char *domain;
		size_t i;
		const char *name;
		bool mdev, iommufd;
	} cases[] = {
		{"hostdevs-three", 2, "10000:08:1f.7", false, false},
		{"iommufd-pc", 0, "0000:06:12.5", false, true},
		{"iommufd-but-one", 0, "0000:06:00.0", false, true},
		{"iommufd-but-one", 1, "0000:07:00.0", false, false},
		{"iommufd-but-one", 2, "4b20d080-1b54-4048-85b3-a6a62d165c01", true, false},
		{"mdev", 0, "4b20d080-1b54-4048-85b3-a6a62d165c01", true, false},
		{"interface-hostdev", 0, "0000:03:10.1", false, false},
		{"interface-hostdev", 1, "0000:04:10.1", false, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) struct domain *domain = domain_load(cases[i].domain);
		const struct domain_hostdev *hostdev;

		CHECK(cases[i].name, domain && domain->n_hostdevs > cases[i].i);
		if (!domain || domain->n_hostdevs <= cases[i].i)
			continue;
		hostdev = &domain->hostdevs[cases[i].i];
		CHECK(cases[i].name, strcmp(hostdev->name, cases[i].name) == 0);
		CHECK(cases[i].name, hostdev->mdev == cases[i].mdev);
		CHECK(cases[i].name, domain_by_iommufd(domain, hostdev) == cases[i].iommufd);
	}
}

static void huge_pages_by_size(void)
{
	static const struct {
		const char *domain;
		size_t n;
		struct domain_hugetlb expected[3];
	} cases[] = {
		{"plain", 0, {{0, 0}}},
		{"hugepages", 1, {{0, 4 * GIB}}},
		{"hugepages-1g", 1, {{GIB, 4 * GIB}}},
		/* The third node has plain pages, which it asks for by their size. */
		{"hugepages-nodes", 2, {{2 * MIB, 3 * GIB}, {GIB, 2 * GIB}}},
		{"dimms", 1, {{2 * MIB, GIB}}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) struct domain *domain = domain_load(cases[i].domain);
		struct domain_hugetlb hugetlb[DOMAIN_HUGETLB_MAX];
		size_t n = domain ? domain_hugetlb(domain, hugetlb) : SIZE_MAX;

		CHECK(cases[i].domain, n == cases[i].n);
		for (size_t j = 0; n == cases[i].n && j < n; j++) {
			CHECK(cases[i].domain, hugetlb[j].page == cases[i].expected[j].page);
			CHECK(cases[i].domain, hugetlb[j].bytes == cases[i].expected[j].bytes);
		}
	}
}

static void the_rest_is_as_written(void)
{
	static const struct {
		const char *domain, *label, *slice, *fdgroup, *source;
	} cases[] = {
		{"plain", "", "/machine.slice", "", ""},
		{"seclabel-static", "guest1:kvm", "/machine.slice", "", ""},
		{"seclabel-none", "", "/machine.slice", "", ""},
		{"seclabel-live", "+1000:+1000", "/machine.slice", "", ""},
		{"partition", "",
		 "/machine.slice/machine-db\\x2dservers.slice/machine-db\\x2dservers-.a.slice", "",
		 ""},
		{"iommufd-fdgroup", "", "/machine.slice", "iommu", ""},
		{"hugepages-1g", "", "/machine.slice", "", "memfd"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) struct domain *domain = domain_load(cases[i].domain);
		CLEANUP(freep) char *slice = NULL;

		if (!domain)
			continue;
		CHECK(cases[i].domain, strcmp(domain->dac_label, cases[i].label) == 0);
		CHECK(cases[i].domain, domain_slice(domain, &slice) == 0);
		CHECK(cases[i].domain, slice && strcmp(slice, cases[i].slice) == 0);
		CHECK(cases[i].domain, strcmp(domain->fdgroup, cases[i].fdgroup) == 0);
		CHECK(cases[i].domain, strcmp(domain->source, cases[i].source) == 0);
	}
}

#define LONG "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z"

static void slices_are_systemds(void)
{
	static const struct {
		const char *partition, *slice; /* NULL: not a partition */
	} cases[] = {
		{"", "/machine.slice"},
		{"/machine", "/machine.slice"},
		{"/a/b/c", "/a.slice/a-b.slice/a-b-c.slice"},
		{"/.a", "/\\x2ea.slice"},
		{"/a b:c_d\\e", "/a\\x20b:c_d\\x5ce.slice"},
		{"/", NULL},
		{"a", NULL},
		{"/a/", NULL},
		{"//a", NULL},
		{LONG LONG LONG, NULL}, /* each level repeats those above it */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) struct domain *domain = calloc(1, sizeof(*domain));
		CLEANUP(freep) char *slice = NULL;
		int err;

		CU_ASSERT_PTR_NOT_NULL_FATAL(domain);
		(void)snprintf(domain->partition, sizeof(domain->partition), "%s",
			       cases[i].partition); /* it fits */
		err = domain_slice(domain, &slice);
		CHECK(cases[i].partition, err == (cases[i].slice ? 0 : -EINVAL));
		CHECK(cases[i].partition, !slice == !cases[i].slice);
		CHECK(cases[i].partition, !slice || strcmp(slice, cases[i].slice) == 0);
	}
}

static void memory_has_to_add_up(void)
{
	CLEANUP(freep) struct domain *domain = calloc(1, sizeof(*domain));
	struct guest guest;

	CU_ASSERT_PTR_NOT_NULL_FATAL(domain);
	domain->memory = 2 * GIB;
	domain->n_memories = 1;
	domain->memories[0] = (struct domain_memory){.size = 2 * GIB};
	CHECK("nothing but memory devices", domain_guest(domain, &guest) == -EINVAL);
	domain->memory = 3 * GIB;
	CHECK("RAM beside them", domain_guest(domain, &guest) == 0 && guest.memory == 3 * GIB);
	domain->memory = INT64_MAX - 1023;
	domain->memories[0].size = GIB;
	CHECK("more than there can be", domain_guest(domain, &guest) == -ERANGE);
}

static const CU_TestInfo tests[] = {
	{"the limit is libvirt's", limit_is_libvirts},
	{"every domain of tests/domains is looked at", no_domain_is_forgotten},
	{"devices have their names and ways", devices_have_their_names},
	{"RAM in huge pages goes by size", huge_pages_by_size},
	{"labels, partitions and the rest are as written", the_rest_is_as_written},
	{"a partition is systemd's slice", slices_are_systemds},
	{"memory devices leave some memory", memory_has_to_add_up},
	CU_TEST_INFO_NULL,
};

const struct suite suite_domain = {"domain", tests};
