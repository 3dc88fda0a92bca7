/* SPDX-License-Identifier: MIT */
#include "client/domain.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accounting/guest.h"
#include "accounting/limits.h"
#include "common/cleanup.h"

#define MIB (UINT64_C(1) << 20)
/* What libvirt takes for virtio-mem where the domain does not say: the size of a transparent huge
 * page, on x86 and with 4 KiB pages elsewhere. */
#define BLOCK_DEFAULT (2 * MIB)

bool domain_by_iommufd(const struct domain *domain, const struct domain_hostdev *hostdev)
{
	enum domain_choice choice = hostdev->iommufd;

	if (choice == DOMAIN_CHOICE_NONE)
		choice = domain->iommufd;
	return !hostdev->mdev && choice == DOMAIN_CHOICE_YES;
}

size_t domain_count_iommufd(const struct domain *domain)
{
	size_t n = 0;

	for (size_t i = 0; i < domain->n_hostdevs; i++)
		n += domain_by_iommufd(domain, &domain->hostdevs[i]);
	return n;
}

static bool is_ppc64(const struct domain *domain)
{
	return strcmp(domain->arch, "ppc64") == 0 || strcmp(domain->arch, "ppc64le") == 0;
}

/* @to: a power of two. */
static uint64_t round_up(uint64_t bytes, uint64_t to)
{
	uint64_t up = limits_add(bytes, to - 1);

	return up == UINT64_MAX ? up : up & ~(to - 1);
}

static uint64_t memory_align(const struct domain *domain)
{
	return is_ppc64(domain) ? 256 * MIB : MIB;
}

static uint64_t device_size(const struct domain *domain, const struct domain_memory *memory)
{
	return round_up(memory->size, is_ppc64(domain) ? 256 * MIB : 2 * MIB);
}

static uint64_t block_of(const struct domain_memory *memory)
{
	return memory->block ? memory->block : BLOCK_DEFAULT;
}

/* RAM without memory devices. With NUMA cells it is theirs, whatever <memory> says. */
static int initial_memory(const struct domain *domain, uint64_t *ret_bytes)
{
	uint64_t plugged = 0, sum = 0;

	for (size_t i = 0; i < domain->n_cells; i++)
		sum = limits_add(sum, round_up(domain->cells[i], memory_align(domain)));
	if (!sum) {
		for (size_t i = 0; i < domain->n_memories; i++)
			plugged = limits_add(plugged, domain->memories[i].size);
		if (plugged >= domain->memory)
			return -EINVAL;
		sum = round_up(domain->memory - plugged, memory_align(domain));
	}
	*ret_bytes = sum;
	return 0;
}

static void count_blocks(const struct domain *domain, struct guest *guest)
{
	for (size_t i = 0; i < domain->n_memories; i++) {
		const struct domain_memory *memory = &domain->memories[i];
		uint64_t block = block_of(memory);
		uint64_t size = device_size(domain, memory);

		if (memory->model != DOMAIN_MEMORY_VIRTIO_MEM)
			continue;
		guest->n_virtio_mem++;
		guest->n_blocks = limits_add(guest->n_blocks, size / block + (size % block != 0));
	}
}

int domain_guest(const struct domain *domain, struct guest *ret_guest)
{
	struct guest guest = {
		.max_memory = round_up(domain->max_memory, memory_align(domain)),
		.hard_limit = domain->hard_limit,
		.locked = domain->locked,
		.kvm = domain->kvm,
		.ppc64 = domain->kvm && is_ppc64(domain),
		.viommu = domain->n_iommus > 0,
		/* libvirt adds the first bridge where it is not written down. */
		.n_phbs = domain->n_pci_roots + !domain->pci_root,
		.n_vfio = domain->n_hostdevs,
		.n_nvme = domain->n_nvme,
		.n_vdpa_nets = domain->n_vdpa_nets,
		.n_vdpa_disks = domain->n_vdpa_disks,
	};
	int err = initial_memory(domain, &guest.memory);

	if (err)
		return err;
	for (size_t i = 0; i < domain->n_memories; i++)
		guest.memory = limits_add(guest.memory, device_size(domain, &domain->memories[i]));
	if (guest.memory > INT64_MAX || guest.max_memory > INT64_MAX)
		return -ERANGE;
	count_blocks(domain, &guest);
	*ret_guest = guest;
	return 0;
}

/* Size of the huge pages of a node's RAM, 0 for the default. Return: whether it has them. */
static bool node_pages(const struct domain *domain, unsigned int node, uint64_t *ret_page)
{
	const struct domain_page *all = NULL;

	for (size_t i = 0; i < domain->n_pages; i++) {
		const struct domain_page *page = &domain->pages[i];

		if (page->all)
			all = page;
		else if (node < DOMAIN_NODES_MAX && page->nodes.set[node])
			return (*ret_page = page->size, true);
	}
	*ret_page = all ? all->size : 0;
	return domain->hugepages && (all || !domain->n_pages);
}

/* Whether pages of that size are huge ones: the host's plain ones may be asked for, too. */
static bool is_huge(uint64_t page)
{
	return page == 0 || page > (uint64_t)sysconf(_SC_PAGESIZE);
}

static void hugetlb_add(struct domain_hugetlb *hugetlb, size_t *n, uint64_t page, uint64_t bytes)
{
	size_t i = 0;

	while (i < *n && hugetlb[i].page != page)
		i++;
	if (!is_huge(page) || i == DOMAIN_HUGETLB_MAX) /* of so many sizes some do not exist */
		return;
	if (i == *n)
		hugetlb[(*n)++] = (struct domain_hugetlb){.page = page};
	hugetlb[i].bytes = limits_add(hugetlb[i].bytes, bytes);
}

size_t domain_hugetlb(const struct domain *domain,
		      struct domain_hugetlb ret_hugetlb[static DOMAIN_HUGETLB_MAX])
{
	uint64_t align = memory_align(domain), page, initial;
	size_t n = 0;

	for (size_t i = 0; i < domain->n_cells; i++)
		if (node_pages(domain, (unsigned int)i, &page))
			hugetlb_add(ret_hugetlb, &n, page, round_up(domain->cells[i], align));
	if (!domain->n_cells && !initial_memory(domain, &initial) && node_pages(domain, 0, &page))
		hugetlb_add(ret_hugetlb, &n, page, initial);
	for (size_t i = 0; i < domain->n_memories; i++) {
		const struct domain_memory *memory = &domain->memories[i];
		bool huge = node_pages(domain, memory->node, &page);

		if ((huge || memory->page) && memory->model != DOMAIN_MEMORY_OTHER)
			hugetlb_add(ret_hugetlb, &n, memory->page ? memory->page : page,
				    device_size(domain, memory));
	}
	return n;
}

/* systemd's escape for names of units; '/' has become '-' already. */
static char *escape_part(char *to, const char *part, size_t len, bool first)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)part[i];

		if (isalnum(c) || c == ':' || c == '_' || (c == '.' && !(first && i == 0))) {
			*to++ = part[i];
			continue;
		}
		*to++ = '\\';
		*to++ = 'x';
		*to++ = hex[c >> 4];
		*to++ = hex[c & 0x0f];
	}
	return to;
}

/* "/machine/a/b" is machine.slice/machine-a.slice/machine-a-b.slice. */
int domain_slice(const struct domain *domain, char **ret_cgroup)
{
	const char *partition = domain->partition[0] ? domain->partition : "/machine";
	size_t len = strlen(partition), max = 4 * len + 1;
	CLEANUP(freep) char *unit = calloc(1, max);
	/* Each level repeats those above it. */
	CLEANUP(freep) char *cgroup = calloc(len + 1, max + sizeof("/.slice"));
	char *end = unit, *to = cgroup;
	const char *part = partition;

	if (!unit || !cgroup)
		return -ENOMEM;
	while (*part) {
		size_t n = strcspn(part + 1, "/");

		if (*part != '/' || !n)
			return -EINVAL;
		if (end != unit)
			*end++ = '-';
		end = escape_part(end, part + 1, n, end == unit);
		*to++ = '/';
		to = stpcpy(mempcpy(to, unit, (size_t)(end - unit)), ".slice");
		part += n + 1;
	}
	if (to == cgroup || to - cgroup >= PATH_MAX)
		return -EINVAL;
	*ret_cgroup = STEAL(cgroup);
	return 0;
}
