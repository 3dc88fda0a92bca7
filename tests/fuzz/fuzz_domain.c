/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a domain. What domain_parse() takes must be within what struct domain promises, and
 * every number made of it consistent; what it does not take must have been explained in one line
 * at a line that exists. The same bytes give the same answer again.
 */
#include <errno.h>
#include <string.h>

#include "accounting/guest.h"
#include "client/domain.h"
#include "client/domain_xml.h"
#include "common/cleanup.h"
#include "tests/fuzz/fuzz.h"

static unsigned int line_count(const uint8_t *data, size_t len)
{
	unsigned int n = 1;

	/* Other encodings, and a lone CR, make more of it: a line has one byte at least. */
	for (size_t i = 0; i < len; i++)
		n += data[i] == '\n' || data[i] == '\r' || data[i] == '\0' || data[i] >= 0x80;
	return n;
}

static bool text_ends(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static void check_texts(const struct domain *domain)
{
	FUZZ_CHECK(text_ends(domain->name, sizeof(domain->name)) && domain->name[0]);
	FUZZ_CHECK(text_ends(domain->uuid, sizeof(domain->uuid)));
	FUZZ_CHECK(text_ends(domain->arch, sizeof(domain->arch)));
	FUZZ_CHECK(text_ends(domain->source, sizeof(domain->source)));
	FUZZ_CHECK(text_ends(domain->fdgroup, sizeof(domain->fdgroup)));
	FUZZ_CHECK(text_ends(domain->partition, sizeof(domain->partition)));
	FUZZ_CHECK(text_ends(domain->dac_label, sizeof(domain->dac_label)));
}

static void check_parts(const struct domain *domain)
{
	FUZZ_CHECK(domain->n_pages <= DOMAIN_PAGES_MAX && domain->n_cells <= DOMAIN_NODES_MAX);
	FUZZ_CHECK(domain->n_memories <= DOMAIN_MEMORIES_MAX);
	FUZZ_CHECK(domain->n_hostdevs <= DOMAIN_HOSTDEVS_MAX);
	for (size_t i = 0; i < domain->n_hostdevs; i++) {
		const struct domain_hostdev *hostdev = &domain->hostdevs[i];
		char name[DEVICE_NAME_MAX];

		FUZZ_CHECK(device_name(hostdev->name, name) == 0);
		FUZZ_CHECK(strcmp(hostdev->name, name) == 0);
		FUZZ_CHECK(hostdev->mdev == !strchr(name, ':'));
		FUZZ_CHECK(!hostdev->mdev || !domain_by_iommufd(domain, hostdev));
	}
	for (size_t i = 0; i < domain->n_memories; i++)
		FUZZ_CHECK(domain->memories[i].size && domain->memories[i].node < DOMAIN_NODES_MAX);
	FUZZ_CHECK(domain_count_iommufd(domain) <= domain->n_hostdevs);
}

/* More address spaces never need less, and hard_limit is taken as it is. */
static void check_guest(const struct guest *guest)
{
	uint64_t one = guest_limit(guest, GUEST_IOMMUFD), each = guest_limit(guest, GUEST_VIOMMU);
	struct guest_memlock memlock = guest_libvirt(guest);

	FUZZ_CHECK(guest->memory > 0 && guest->memory <= INT64_MAX);
	FUZZ_CHECK(guest_limit(guest, GUEST_LEGACY) == one && one <= each);
	FUZZ_CHECK(!one || one > guest->memory);
	FUZZ_CHECK((guest->hard_limit != UINT64_MAX) == (memlock.rule == GUEST_RULE_HARD_LIMIT));
	FUZZ_CHECK(memlock.rule != GUEST_RULE_DEVICES ||
		   memlock.limit == (guest->viommu ? each : one));
	FUZZ_CHECK(!guest->n_blocks == !guest->n_virtio_mem);
	FUZZ_CHECK(guest_mappings(guest, 2).total >= guest_mappings(guest, 1).total);
	FUZZ_CHECK(guest_type1_mappings(guest) >= guest->n_blocks);
}

static void check_hugetlb(const struct domain *domain, const struct guest *guest)
{
	struct domain_hugetlb hugetlb[DOMAIN_HUGETLB_MAX];
	size_t n = domain_hugetlb(domain, hugetlb);
	uint64_t sum = 0;

	FUZZ_CHECK(n <= DOMAIN_HUGETLB_MAX);
	for (size_t i = 0; i < n; i++) {
		sum += hugetlb[i].bytes;
		for (size_t j = 0; j < i; j++)
			FUZZ_CHECK(hugetlb[i].page != hugetlb[j].page);
	}
	FUZZ_CHECK(sum <= guest->memory);
}

static void check_domain(const struct domain *domain)
{
	CLEANUP(freep) char *slice = NULL;
	struct guest guest;
	int err = domain_guest(domain, &guest);

	check_texts(domain);
	check_parts(domain);
	FUZZ_CHECK(err == 0 || err == -EINVAL || err == -ERANGE);
	if (!err) {
		check_guest(&guest);
		check_hugetlb(domain, &guest);
	}
	err = domain_slice(domain, &slice);
	FUZZ_CHECK(err == 0 || err == -EINVAL);
	FUZZ_CHECK(err || (slice[0] == '/' && !strstr(slice, "//")));
	FUZZ_CHECK(err || strcmp(slice + strlen(slice) - 6, ".slice") == 0);
}

static bool same(const struct domain *a, const struct domain *b)
{
	if (a->n_hostdevs != b->n_hostdevs || a->n_memories != b->n_memories)
		return false;
	for (size_t i = 0; i < a->n_hostdevs; i++)
		if (strcmp(a->hostdevs[i].name, b->hostdevs[i].name) != 0)
			return false;
	return strcmp(a->name, b->name) == 0 && a->memory == b->memory &&
	       a->max_memory == b->max_memory && a->hard_limit == b->hard_limit &&
	       strcmp(a->dac_label, b->dac_label) == 0 && a->n_cells == b->n_cells;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(freep) struct domain *domain = NULL, *again = NULL;
	struct domain_fault fault, second;
	int err = domain_parse((const char *)data, len, &domain, &fault);

	FUZZ_CHECK(err == 0 || err == -EINVAL);
	FUZZ_CHECK(domain_parse((const char *)data, len, &again, &second) == err);
	if (err) {
		FUZZ_CHECK(!domain && text_ends(fault.text, sizeof(fault.text)) && fault.text[0]);
		FUZZ_CHECK(!strchr(fault.text, '\n') && fault.line <= line_count(data, len) + 1);
		FUZZ_CHECK(strcmp(fault.text, second.text) == 0 && fault.line == second.line);
		return 0;
	}
	FUZZ_CHECK(same(domain, again));
	check_domain(domain);
	return 0;
}
