/* SPDX-License-Identifier: MIT */
#include "client/preflight.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "accounting/limits.h"
#include "accounting/size.h"

/* Ends the text of a finding about the session's policy. */
#define POLICY "policy \"%s\""

__attribute__((format(printf, 3, 4))) static void found(struct preflight *p, const char *reason,
							const char *format, ...)
{
	struct preflight_finding *finding;
	va_list args;

	if (p->n_findings == PREFLIGHT_FINDINGS_MAX)
		return;
	finding = &p->findings[p->n_findings++];
	finding->reason = reason;
	va_start(args, format);
	(void)vsnprintf(finding->text, sizeof(finding->text), format, args); /* cut when too long */
	va_end(args);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * How often RAM counts against RLIMIT_MEMLOCK. The kernel holds three sums against it: what the
 * process has locked (type1, NVMe disks, iommufd in task mode), what its user has (iommufd in user
 * mode), and what vDPA has pinned. Without a vIOMMU all of type1 is in one container, and all of
 * iommufd in one IOAS.
 */
static unsigned int locked_factor(const struct preflight *p)
{
	const struct guest *guest = &p->guest;
	size_t n_type1 = guest->n_vfio - p->n_iommufd;
	size_t iommufd = p->n_iommufd ? limits_factor(guest->viommu, p->n_iommufd) : 0;
	size_t type1 = (n_type1 ? limits_factor(guest->viommu, n_type1) : 0) + guest->n_nvme;
	size_t vdpa = guest->n_vdpa_nets + guest->n_vdpa_disks;
	bool user = p->decided && p->decision.accounting == PINBROKER_ACCOUNTING_USER;
	uint64_t most = user ? larger(type1, iommufd) : type1 + iommufd;

	return (unsigned int)larger(most, vdpa);
}

static void compute(struct preflight *p)
{
	unsigned int factor = limits_factor(p->guest.viommu, p->n_asked);
	unsigned int locked = locked_factor(p);

	p->needed = p->session ? limits_needed(p->guest.memory, factor) : 0;
	p->locked = locked ? limits_needed(p->guest.memory, locked) : 0;
	for (size_t i = 0; i < p->n_devices; i++)
		p->guest.n_bars += bars_mappings(&p->devices[i].bars);
	p->mappings = guest_mappings(&p->guest, factor);
	p->type1_mappings = guest_type1_mappings(&p->guest);
	if (!p->domain)
		return;
	p->libvirt = guest_libvirt(&p->declared);
	p->n_hugetlb = domain_hugetlb(p->domain, p->hugetlb);
	for (size_t i = 0; i < p->n_hugetlb; i++)
		p->hugetlb_sum = limits_add(p->hugetlb_sum, p->hugetlb[i].bytes);
}

static void compute_cgroup(struct preflight *p)
{
	const struct guest_cgroup parts = {
		.limit = p->decision.limit,
		.factor = p->decision.factor,
		.memory = p->guest.memory,
		.hugetlb = p->hugetlb_sum,
		.headroom = p->decision.headroom,
		.n_devices = p->n_asked,
		.migration_buffers = p->decision.migration_buffers,
	};

	if (!p->decided || !p->decision.policy[0])
		return;
	p->memory_max = guest_memory_max(&parts);
	p->memory_min = guest_memory_min(&parts);
}

static void judge_devices(struct preflight *p)
{
	if (p->n_asked > PINBROKER_DEVICES_MAX)
		found(p, "bad-request", "%zu devices are more than the %d that a session has",
		      p->n_asked, PINBROKER_DEVICES_MAX);
}

static void judge_session(struct preflight *p)
{
	const struct pinbroker_explanation *d = &p->decision;
	char memory[SIZE_TEXT_MAX], limit[SIZE_TEXT_MAX], lacking[SIZE_TEXT_MAX];

	if (!d->granted)
		found(p, d->reason, "%s", d->text);
	if (d->policy[0] && p->needed > d->limit)
		found(p, "session-limit",
		      "%u x %s of guest RAM and 1M for firmware are needed, the limit of a session "
		      "of " POLICY " is %s: %s short",
		      d->factor, size_text(p->guest.memory, memory), d->policy,
		      size_text(d->limit, limit), size_text(p->needed - d->limit, lacking));
	if (d->policy[0] && p->mappings.total > d->max_mappings)
		found(p, "session-limit",
		      "%u x (%" PRIu64 " blocks of virtio-mem + %" PRIu64 " memory slots + %" PRIu64
		      " BARs) may make %" PRIu64 " mappings, max-mappings of " POLICY " is %" PRIu64
		      ": %" PRIu64 " too many; larger blocks make fewer",
		      p->mappings.n_spaces, p->mappings.blocks, p->mappings.memslots,
		      p->mappings.bars, p->mappings.total, d->policy, d->max_mappings,
		      p->mappings.total - d->max_mappings);
}

static void judge_type1(struct preflight *p)
{
	if (p->guest.n_vfio == p->n_iommufd || p->type1_mappings <= p->dma_entry_limit)
		return;
	found(p, "kernel",
	      "%" PRIu64 " blocks of virtio-mem and %" PRIu64
	      " other memory slots may make %" PRIu64
	      " mappings, a container of legacy VFIO has %" PRIu64 " (dma_entry_limit of "
	      "vfio_iommu_type1): %" PRIu64 " too many; larger blocks make fewer, and iommufd has "
	      "no such limit",
	      p->guest.n_blocks, p->type1_mappings - p->guest.n_blocks, p->type1_mappings,
	      p->dma_entry_limit, p->type1_mappings - p->dma_entry_limit);
}

/* libvirt sets the limit before the guest starts, whatever it was; a hook comes too late. */
static void judge_libvirt(struct preflight *p)
{
	char limit[SIZE_TEXT_MAX], locked[SIZE_TEXT_MAX], lacking[SIZE_TEXT_MAX];

	if (!p->domain || p->libvirt.rule == GUEST_RULE_NONE || p->locked <= p->libvirt.limit)
		return;
	found(p, "kernel",
	      "libvirt sets RLIMIT_MEMLOCK to %s (%s), and %s will be locked: %s short; a larger "
	      "<hard_limit> helps",
	      size_text(p->libvirt.limit, limit), guest_rule_name(p->libvirt.rule),
	      size_text(p->locked, locked), size_text(p->locked - p->libvirt.limit, lacking));
}

static void warn_growth(struct preflight *p)
{
	char max[SIZE_TEXT_MAX], needed[SIZE_TEXT_MAX], limit[SIZE_TEXT_MAX];
	uint64_t grown = limits_needed(p->guest.max_memory, p->decision.factor);

	if (!p->decided || p->guest.max_memory <= p->guest.memory || grown <= p->decision.limit)
		return;
	(void)snprintf(
		p->warning, sizeof(p->warning),
		"memory may be plugged up to %s, for which %s are needed, and the limit is %s: "
		"raise it (pinbroker set) before, or the guest stops",
		size_text(p->guest.max_memory, max), size_text(grown, needed),
		size_text(p->decision.limit, limit)); /* it fits */
}

void preflight_judge(struct preflight *p)
{
	compute(p);
	compute_cgroup(p);
	judge_devices(p);
	if (p->decided)
		judge_session(p);
	judge_type1(p);
	judge_libvirt(p);
	warn_growth(p);
}
