/* SPDX-License-Identifier: MIT */
#include "client/preflight.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)
#define GRANTED                                                           \
	.decided = true, .decision = {                                    \
				 .granted = true,                         \
				 .policy = "p",                           \
				 .accounting = PINBROKER_ACCOUNTING_TASK, \
				 .limit = 5 * GIB,                        \
				 .factor = 1,                             \
				 .max_mappings = 65535,                   \
	}

/* A guest of 4 GiB with a device by iommufd, which fits. */
#define FITS                                                                                    \
	.guest = {.memory = 4 * GIB, .hard_limit = UINT64_MAX, .n_vfio = 1},                    \
	.declared = {.memory = 4 * GIB, .hard_limit = UINT64_MAX, .n_vfio = 1}, .n_iommufd = 1, \
	.n_asked = 1, .session = true, .dma_entry_limit = 65535, GRANTED

struct judged {
	const char *name;
	struct preflight asked;
	bool domain; /* of libvirt's */
	const char *reason; /* of the only finding; NULL: it fits */
	const char *text; /* part of it */
};

#pragma GCC diagnostic push
/* A case says what differs from the guest that fits. */
#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Winitializer-overrides"
#endif
static const struct judged cases[] = {
	{"it fits", {FITS}, true, NULL, NULL},
	{"without a domain", {FITS}, false, NULL, NULL},
	{"just enough", {FITS, .decision.limit = 4 * GIB + MIB}, true, NULL, NULL},
	{"a byte less",
	 {FITS, .decision.limit = 4 * GIB + MIB - 1},
	 true,
	 "session-limit",
	 ": 1 short"},
	{"a GiB less",
	 {FITS, .decision.limit = 3 * GIB},
	 true,
	 "session-limit",
	 "limit of a session of policy \"p\" is 3G: 1025M short"},
	{"refused",
	 {FITS, .decision.granted = false, .decision.reason = "user-limit", .decision.text = "no"},
	 true,
	 "user-limit",
	 "no"},
	{"no policy",
	 {FITS, .decision = {.reason = "no-policy", .text = "none"}},
	 true,
	 "no-policy",
	 "none"},
	{"as many mappings as there may be",
	 {FITS, .guest.n_blocks = 65535 - 512, .guest.n_virtio_mem = 1},
	 true,
	 NULL,
	 NULL},
	{"one mapping more",
	 {FITS, .guest.n_blocks = 65536 - 512, .guest.n_virtio_mem = 1},
	 true,
	 "session-limit",
	 "65536 mappings, max-mappings of policy \"p\" is 65535: 1 too many"},
	{"BARs are mappings",
	 {FITS, .guest.n_blocks = 65535 - 512, .guest.n_virtio_mem = 1, .n_devices = 1,
	  .devices = {{"0000:65:00.0", {.known = true, .n = 2, .bytes = GIB}}}},
	 true,
	 "session-limit",
	 "3 BARs"},
	{"unlimited mappings",
	 {FITS, .guest.n_blocks = 1 << 30, .guest.n_virtio_mem = 1,
	  .decision.max_mappings = PINBROKER_UNLIMITED},
	 true,
	 NULL,
	 NULL},
	{"type1 with KVM, as QEMU counts",
	 {FITS, .guest.n_blocks = 32772, .guest.n_virtio_mem = 1, .guest.kvm = true,
	  .n_iommufd = 0},
	 true,
	 NULL,
	 NULL},
	{"one block more",
	 {FITS, .guest.n_blocks = 32773, .guest.n_virtio_mem = 1, .guest.kvm = true,
	  .n_iommufd = 0},
	 true,
	 "kernel",
	 "65536 mappings, a container of legacy VFIO has 65535"},
	{"iommufd has no such limit",
	 {FITS, .guest.n_blocks = 32773, .guest.n_virtio_mem = 1, .guest.kvm = true},
	 true,
	 NULL,
	 NULL},
	{"a module's own number",
	 {FITS, .n_iommufd = 0, .dma_entry_limit = 511},
	 true,
	 "kernel",
	 "has 511 (dma_entry_limit of vfio_iommu_type1): 1 too many"},
	{"a hard_limit that is just enough",
	 {FITS, .declared.hard_limit = 4 * GIB + MIB},
	 true,
	 NULL,
	 NULL},
	{"one that is not",
	 {FITS, .declared.hard_limit = 2 * GIB},
	 true,
	 "kernel",
	 "to 2G (hard-limit), and 4097M will be locked: 2049M short"},
	{"a vIOMMU that libvirt does not see",
	 {FITS, .guest.viommu = true, .guest.n_vfio = 2, .declared.n_vfio = 2, .n_iommufd = 2,
	  .n_asked = 2, .decision.factor = 2, .decision.limit = 9 * GIB},
	 true,
	 "kernel",
	 "to 5G (devices), and 8193M will be locked: 3073M short"},
	/* libvirt counts devices once; a container and an IOAS lock RAM once each. */
	{"both ways at once",
	 {FITS, .guest.n_vfio = 2, .declared.n_vfio = 2},
	 true,
	 "kernel",
	 "8193M will be locked"},
	{"both ways at once, of which a user is charged for one",
	 {FITS, .guest.n_vfio = 2, .declared.n_vfio = 2,
	  .decision.accounting = PINBROKER_ACCOUNTING_USER},
	 true,
	 NULL,
	 NULL},
	{"vDPA has a sum of its own",
	 {FITS, .guest.n_vdpa_nets = 1, .declared.n_vdpa_nets = 1, .declared.hard_limit = 5 * GIB},
	 true,
	 NULL,
	 NULL},
	{"an NVMe disk has not",
	 {FITS, .guest.n_nvme = 1, .declared.n_nvme = 1, .declared.hard_limit = 5 * GIB},
	 true,
	 "kernel",
	 "8193M will be locked"},
	{"more devices than a session has",
	 {FITS, .n_asked = PINBROKER_DEVICES_MAX + 1, .decided = false},
	 true,
	 "bad-request",
	 "17 devices are more than the 16"},
	{"no session, and a hard_limit that matters to nobody",
	 {.guest = {.memory = GIB, .hard_limit = UINT64_MAX},
	  .declared = {.memory = GIB, .hard_limit = MIB},
	  .dma_entry_limit = 65535},
	 true,
	 NULL,
	 NULL},
};
#pragma GCC diagnostic pop

static void what_does_not_fit_is_found(void)
{
	CLEANUP(freep) struct domain *domain = calloc(1, sizeof(*domain));

	CU_ASSERT_PTR_NOT_NULL_FATAL(domain);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct judged *c = &cases[i];
		struct preflight p = c->asked;

		p.domain = c->domain ? domain : NULL;
		preflight_judge(&p);
		CHECK(c->name, p.n_findings == (c->reason != NULL));
		if (!p.n_findings || !c->reason)
			continue;
		CHECK(p.findings[0].reason, strcmp(p.findings[0].reason, c->reason) == 0);
		CHECK(p.findings[0].text, strstr(p.findings[0].text, c->text));
	}
}

static void every_finding_is_kept(void)
{
	CLEANUP(freep) struct domain *domain = calloc(1, sizeof(*domain));
	struct preflight p = {FITS};

	CU_ASSERT_PTR_NOT_NULL_FATAL(domain);
	p.domain = domain;
	p.decision.limit = GIB;
	p.decision.max_mappings = 1;
	p.declared.hard_limit = GIB;
	preflight_judge(&p);
	CHECK("three", p.n_findings == 3);
	CHECK("the first decides", strcmp(p.findings[0].reason, "session-limit") == 0);
	CHECK("libvirt's is the last", strcmp(p.findings[2].reason, "kernel") == 0);
}

static void growth_is_a_warning(void)
{
	static const struct {
		const char *name;
		uint64_t max_memory, limit;
		bool warned;
	} rows[] = {
		{"nothing to plug", 0, 5 * GIB, false},
		{"within the limit", 5 * GIB - MIB, 5 * GIB, false},
		{"above it", 5 * GIB, 5 * GIB, true},
		{"a larger limit", 5 * GIB, 6 * GIB, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct preflight p = {FITS};

		p.guest.max_memory = rows[i].max_memory;
		p.decision.limit = rows[i].limit;
		preflight_judge(&p);
		CHECK(rows[i].name, (p.warning[0] != '\0') == rows[i].warned && !p.n_findings);
	}
}

static void cgroup_is_the_mirrors(void)
{
	CLEANUP(freep) struct domain *domain = calloc(1, sizeof(*domain));
	struct preflight p = {FITS};

	CU_ASSERT_PTR_NOT_NULL_FATAL(domain);
	domain->memory = 4 * GIB;
	domain->hugepages = true;
	domain->n_pages = 1;
	domain->pages[0] = (struct domain_page){.size = 2 * MIB, .all = true};
	p.domain = domain;
	p.decision.headroom = GIB / 2;
	p.decision.migration_buffers = 2 * GIB;
	preflight_judge(&p);
	/* 5G / 1 - 4G + 512M + 1 x 2G, and 4G - 4G + 512M */
	CHECK("memory.max", p.memory_max == 3 * GIB + GIB / 2);
	CHECK("memory.min", p.memory_min == GIB / 2);
	CHECK("hugetlb", p.n_hugetlb == 1 && p.hugetlb[0].bytes == 4 * GIB);
}

static const CU_TestInfo tests[] = {
	{"what does not fit is found, with the numbers", what_does_not_fit_is_found},
	{"every finding is kept", every_finding_is_kept},
	{"memory that may be plugged is a warning", growth_is_a_warning},
	{"cgroup limits are those of the mirror", cgroup_is_the_mirrors},
	CU_TEST_INFO_NULL,
};

const struct suite suite_preflight = {"preflight", tests};
