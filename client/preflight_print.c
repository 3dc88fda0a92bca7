/* SPDX-License-Identifier: MIT */
#include "client/preflight_print.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>

#include "accounting/limits.h"
#include "accounting/size.h"
#include "client/explanation.h"
#include "client/output.h"
#include "client/preflight.h"
#include "common/cleanup.h"

static void print_domain(const struct preflight *p)
{
	const struct guest *guest = &p->guest;
	char memory[SIZE_TEXT_MAX], max[SIZE_TEXT_MAX];

	if (p->domain)
		output_line("domain", "\"%s\"", p->domain->name);
	output_line("devices",
		    "%zu by VFIO, %zu of them by iommufd; NVMe disks: %zu; vDPA devices: %zu; %s",
		    guest->n_vfio, p->n_iommufd, guest->n_nvme,
		    guest->n_vdpa_nets + guest->n_vdpa_disks,
		    guest->viommu ? "a vIOMMU" : "no vIOMMU");
	if (p->domain && guest->max_memory > guest->memory)
		output_line("memory", "%s; up to %s may be plugged, DIMMs in %u slots",
			    size_text(guest->memory, memory), size_text(guest->max_memory, max),
			    p->domain->slots);
	else
		output_line("memory", "%s", size_text(guest->memory, memory));
	for (size_t i = 0; i < p->n_hugetlb; i++)
		output_line("huge pages", "%s in pages of %s",
			    size_text(p->hugetlb[i].bytes, memory),
			    p->hugetlb[i].page ? size_text(p->hugetlb[i].page, max)
					       : "the host's default size");
}

/* Each limit with the terms that it is made of. */
static void print_ways(const struct preflight *p)
{
	static const struct {
		enum guest_way way;
		const char *name, *spaces;
	} ways[] = {
		{GUEST_LEGACY, "legacy VFIO", "one container"},
		{GUEST_IOMMUFD, "iommufd", "one IOAS"},
		{GUEST_VIOMMU, "with a vIOMMU", "a container or IOAS per device"},
	};
	const struct guest *guest = &p->guest;
	char limit[SIZE_TEXT_MAX], memory[SIZE_TEXT_MAX], extra[SIZE_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		size_t others = guest->n_nvme + guest->n_vdpa_nets + guest->n_vdpa_disks;
		unsigned int factor = guest_factor(guest, ways[i].way);

		if (!factor) {
			output_line(ways[i].name, "0, no device needs it");
			continue;
		}
		output_line(ways[i].name, "%s = (%zu VFIO + %zu NVMe + %zu vDPA) x %s + %s; %s",
			    size_text(guest_limit(guest, ways[i].way), limit), factor - others,
			    guest->n_nvme, guest->n_vdpa_nets + guest->n_vdpa_disks,
			    size_text(guest->memory, memory), size_text(LIMITS_AUTO_EXTRA, extra),
			    ways[i].spaces);
	}
}

static void print_libvirt(const struct preflight *p)
{
	char limit[SIZE_TEXT_MAX], locked[SIZE_TEXT_MAX];

	if (p->domain && p->libvirt.rule == GUEST_RULE_NONE)
		output_line("libvirt", "leaves RLIMIT_MEMLOCK as it is: no device needs it");
	else if (p->domain)
		output_line("libvirt", "sets RLIMIT_MEMLOCK to %s, by %s",
			    size_text(p->libvirt.limit, limit),
			    p->libvirt.rule == GUEST_RULE_HARD_LIMIT
				    ? "<hard_limit>, memory.max too"
			    : p->libvirt.rule == GUEST_RULE_LOCKED ? "<locked/>"
			    : p->libvirt.rule == GUEST_RULE_PPC64  ? "its rule for ppc64"
								   : "its rule for devices");
	output_line("locked", "%s at most, against RLIMIT_MEMLOCK", size_text(p->locked, locked));
}

static void print_mappings(const struct preflight *p)
{
	const struct guest_mappings *m = &p->mappings;
	char size[SIZE_TEXT_MAX];

	for (size_t i = 0; i < p->n_devices; i++) {
		const struct bars *bars = &p->devices[i].bars;

		if (bars->known)
			output_line("device", "%s, %zu BARs of %s, which are not pinned",
				    p->devices[i].name, bars->n, size_text(bars->bytes, size));
		else
			output_line("device", "%s, whose BARs are not known here",
				    p->devices[i].name);
	}
	output_line("mappings",
		    "%" PRIu64 " at most = %u x (%" PRIu64 " blocks of virtio-mem + %" PRIu64
		    " memory slots + %" PRIu64 " BARs)%s",
		    m->total, m->n_spaces, m->blocks, m->memslots, m->bars,
		    p->guest.viommu ? "; fewer or more as the guest maps" : "");
	output_line("type1", "%" PRIu64 " mappings at most in a container, which has %" PRIu64,
		    p->type1_mappings, p->dma_entry_limit);
}

/* A limit of a cgroup, of which the largest number is none. */
static const char *cgroup_text(uint64_t bytes, char buf[static SIZE_TEXT_MAX])
{
	return bytes == UINT64_MAX ? "max (migration-buffers is unlimited)" : size_text(bytes, buf);
}

static void print_session(const struct preflight *p)
{
	const struct pinbroker_explanation *d = &p->decision;
	char needed[SIZE_TEXT_MAX], limit[SIZE_TEXT_MAX], rest[SIZE_TEXT_MAX];

	if (!p->session)
		output_line("session", "none is needed");
	if (!p->decided)
		return;
	explanation_lines(d, p->assumed);
	if (!d->policy[0])
		return;
	output_line("cgroup", "cap: memory.max %s; protect: memory.min %s",
		    cgroup_text(p->memory_max, limit), size_text(p->memory_min, needed));
	for (size_t i = 0; i < p->n_hugetlb; i++) {
		uint64_t page = p->hugetlb[i].page;

		output_line("cgroup", "cap: hugetlb.%s%s.max %s",
			    page ? size_text(page, needed) : "DEFAULT", page ? "B" : "",
			    size_text(p->hugetlb[i].bytes, rest));
	}
	if (p->domain && !p->n_iommufd)
		output_line("session", "as if libvirt reached the devices by iommufd");
	output_line(
		"session", "%s of %s needed, %s %s", size_text(p->needed, needed),
		size_text(d->limit, limit),
		size_text(p->needed > d->limit ? p->needed - d->limit : d->limit - p->needed, rest),
		p->needed > d->limit ? "short" : "to spare");
}

static void print_text(const struct preflight *p)
{
	print_domain(p);
	print_ways(p);
	print_libvirt(p);
	print_mappings(p);
	print_session(p);
	if (p->warning[0])
		output_line("warning", "%s", p->warning);
	for (size_t i = 0; i < p->n_findings; i++)
		output_line("verdict", "does not fit: %s: %s", p->findings[i].reason,
			    p->findings[i].text);
	if (!p->n_findings)
		output_line("verdict", "fits");
}

/* Takes value over. Return: the array; NULL: out of memory, and it is gone. */
static json_t *array_add(json_t *array, json_t *value)
{
	if (!array || json_array_append_new(array, value) == 0)
		return array;
	json_decref(array);
	return NULL;
}

static json_t *findings_json(const struct preflight *p)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < p->n_findings; i++) {
		const struct output_member members[] = {
			{"reason", output_json_text(p->findings[i].reason)},
			{"text", output_json_text(p->findings[i].text)},
		};

		array = array_add(array, output_json_object(members, ARRAY_SIZE(members)));
	}
	return array;
}

static json_t *hugetlb_json(const struct preflight *p)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < p->n_hugetlb; i++) {
		uint64_t page = p->hugetlb[i].page;
		const struct output_member members[] = {
			{"page_bytes", page ? output_json_figure(page) : json_null()},
			{"bytes", output_json_figure(p->hugetlb[i].bytes)},
		};

		array = array_add(array, output_json_object(members, ARRAY_SIZE(members)));
	}
	return array;
}

static json_t *devices_json(const struct preflight *p)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < p->n_devices; i++) {
		const struct bars *bars = &p->devices[i].bars;
		const struct output_member members[] = {
			{"name", output_json_text(p->devices[i].name)},
			{"bars", bars->known ? output_json_figure(bars->n) : json_null()},
			{"bar_bytes", bars->known ? output_json_figure(bars->bytes) : json_null()},
		};

		array = array_add(array, output_json_object(members, ARRAY_SIZE(members)));
	}
	return array;
}

static json_t *preflight_json(const struct preflight *p)
{
	const struct guest *guest = &p->guest;
	const struct pinbroker_explanation *d = &p->decision;
	bool set = p->decided && d->policy[0];
	const struct output_member members[] = {
		{"fits", json_boolean(!p->n_findings)},
		{"findings", findings_json(p)},
		{"warning", output_json_text(p->warning)},
		{"domain", output_json_text(p->domain ? p->domain->name : NULL)},
		{"memory_bytes", output_json_figure(guest->memory)},
		{"max_memory_bytes",
		 guest->max_memory ? output_json_figure(guest->max_memory) : json_null()},
		{"hugetlb", hugetlb_json(p)},
		{"vfio_devices", output_json_figure(guest->n_vfio)},
		{"iommufd_devices", output_json_figure(p->n_iommufd)},
		{"nvme_disks", output_json_figure(guest->n_nvme)},
		{"vdpa_devices", output_json_figure(guest->n_vdpa_nets + guest->n_vdpa_disks)},
		{"viommu", json_boolean(guest->viommu)},
		{"legacy_limit_bytes", output_json_figure(guest_limit(guest, GUEST_LEGACY))},
		{"iommufd_limit_bytes", output_json_figure(guest_limit(guest, GUEST_IOMMUFD))},
		{"viommu_limit_bytes", output_json_figure(guest_limit(guest, GUEST_VIOMMU))},
		{"libvirt_rule",
		 output_json_text(p->domain ? guest_rule_name(p->libvirt.rule) : NULL)},
		{"libvirt_limit_bytes",
		 p->domain ? output_json_limit(p->libvirt.limit) : json_null()},
		{"locked_bytes", output_json_figure(p->locked)},
		{"devices", devices_json(p)},
		{"blocks", output_json_figure(p->mappings.blocks)},
		{"memslots", output_json_figure(p->mappings.memslots)},
		{"bars", output_json_figure(p->mappings.bars)},
		{"spaces", output_json_figure(p->mappings.n_spaces)},
		{"mappings", output_json_figure(p->mappings.total)},
		{"container_mappings", output_json_figure(p->type1_mappings)},
		{"dma_entry_limit", output_json_figure(p->dma_entry_limit)},
		{"session", json_boolean(p->session)},
		{"needed_bytes", output_json_figure(p->needed)},
		{"short_bytes",
		 set ? output_json_figure(p->needed > d->limit ? p->needed - d->limit : 0)
		     : json_null()},
		{"memory_max_bytes", set ? output_json_limit(p->memory_max) : json_null()},
		{"memory_min_bytes", set ? output_json_figure(p->memory_min) : json_null()},
		{"decision", p->decided ? explanation_json(d, p->assumed) : json_null()},
	};

	return output_json_object(members, ARRAY_SIZE(members));
}

int preflight_print(const struct preflight *preflight, bool json)
{
	CLEANUP(json_decrefp) json_t *object = NULL;

	if (!json) {
		print_text(preflight);
		return 0;
	}
	object = preflight_json(preflight);
	return object ? output_json(object) : -ENOMEM;
}
