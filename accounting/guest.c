/* SPDX-License-Identifier: MIT */
#include "accounting/guest.h"

#include <assert.h>

#include "accounting/limits.h"
#include "accounting/mirror.h"
#include "common/cleanup.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

const char *guest_rule_name(enum guest_rule rule)
{
	static const char *const names[] = {
		[GUEST_RULE_NONE] = "none",       [GUEST_RULE_HARD_LIMIT] = "hard-limit",
		[GUEST_RULE_LOCKED] = "locked",   [GUEST_RULE_PPC64] = "ppc64",
		[GUEST_RULE_DEVICES] = "devices",
	};
	static_assert(ARRAY_SIZE(names) == GUEST_RULES, "a name per rule");

	return names[rule];
}

unsigned int guest_factor(const struct guest *guest, enum guest_way way)
{
	size_t others = guest->n_nvme + guest->n_vdpa_nets + guest->n_vdpa_disks;
	unsigned int vfio = limits_factor(way == GUEST_VIOMMU, guest->n_vfio);

	return (guest->n_vfio ? vfio : 0) + (unsigned int)others;
}

uint64_t guest_limit(const struct guest *guest, enum guest_way way)
{
	unsigned int factor = guest_factor(guest, way);

	return factor ? limits_auto(guest->memory, factor) : 0;
}

/*
 * Tables for what the guest may address, and with devices the larger of a 2 GiB window per bridge
 * and a window over all RAM, a 512th of which its tables take.
 */
static uint64_t ppc64_limit(const struct guest *guest)
{
	uint64_t max = guest->max_memory ? guest->max_memory : guest->memory;
	uint64_t base =
		limits_add(max / 128, limits_add(limits_mul(4 * MIB, guest->n_phbs), 8 * MIB));
	uint64_t window = limits_mul(2 * GIB, guest->n_phbs);
	uint64_t whole = limits_add(guest->memory, limits_mul(guest->memory / 512, guest->n_phbs));

	if (!guest->n_vfio && !guest->n_nvme && !guest->n_vdpa_nets)
		return base;
	whole = limits_add(whole, 8 * MIB);
	return limits_add(base, window > whole ? window : whole);
}

struct guest_memlock guest_libvirt(const struct guest *guest)
{
	enum guest_way way = guest->viommu ? GUEST_VIOMMU : GUEST_IOMMUFD;
	unsigned int factor = guest_factor(guest, way);

	if (guest->hard_limit != UINT64_MAX)
		return (struct guest_memlock){GUEST_RULE_HARD_LIMIT, guest->hard_limit, 0};
	if (guest->locked)
		return (struct guest_memlock){GUEST_RULE_LOCKED, UINT64_MAX, 0};
	if (guest->ppc64)
		return (struct guest_memlock){GUEST_RULE_PPC64, ppc64_limit(guest), 0};
	if (!factor)
		return (struct guest_memlock){GUEST_RULE_NONE, 0, 0};
	return (struct guest_memlock){GUEST_RULE_DEVICES, guest_limit(guest, way), factor};
}

struct guest_mappings guest_mappings(const struct guest *guest, unsigned int n_spaces)
{
	struct guest_mappings mappings = {
		.blocks = guest->n_blocks,
		.memslots = GUEST_MEMSLOTS,
		.bars = guest->n_bars,
		.n_spaces = n_spaces,
	};

	mappings.per_space = limits_add(mappings.blocks, mappings.memslots + mappings.bars);
	mappings.total = limits_mul(mappings.per_space, n_spaces);
	return mappings;
}

uint64_t guest_type1_mappings(const struct guest *guest)
{
	uint64_t memslots = guest->kvm ? GUEST_MEMSLOTS_KVM : GUEST_MEMSLOTS;

	if (!guest->n_virtio_mem)
		return guest_mappings(guest, 1).per_space;
	if (guest->n_virtio_mem >= memslots)
		return guest->n_blocks;
	return limits_add(guest->n_blocks, memslots - guest->n_virtio_mem);
}

/* The mirror's own formulas, with all RAM in use. */
static struct mirror_limits guest_mirror(const struct guest_cgroup *parts)
{
	static const uint64_t no_sizes[MIRROR_HUGE_MAX];
	const uint64_t ram = parts->memory > parts->hugetlb ? parts->memory - parts->hugetlb : 0;
	const struct mirror_usage usage = {.anon = ram, .huge = {parts->hugetlb}};
	struct mirror_limits limits;
	struct mirror_share share = {0};

	mirror_add(&share, &(struct mirror_session){
				   .mode = POLICY_MIRROR_BOTH,
				   .limit = parts->limit,
				   .factor = parts->factor,
				   .headroom = parts->headroom,
				   .migration_buffers = parts->migration_buffers,
				   .n_devices = parts->n_devices,
				   .pinned = parts->memory,
			   });
	mirror_limits(&share, &usage, no_sizes, &limits);
	return limits;
}

uint64_t guest_memory_max(const struct guest_cgroup *parts)
{
	const struct mirror_limits limits = guest_mirror(parts);

	return limits.max && parts->limit != UINT64_MAX ? limits.memory_max : UINT64_MAX;
}

uint64_t guest_memory_min(const struct guest_cgroup *parts)
{
	return guest_mirror(parts).memory_min;
}
