/* SPDX-License-Identifier: MIT */
/*
 * Would a guest have what it needs, from its start to the last byte that it may grow to? Numbers
 * in, findings out, no I/O: the hook refuses by what preflight shows.
 */
#ifndef CLIENT_PREFLIGHT_H
#define CLIENT_PREFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounting/guest.h"
#include "client/bars.h"
#include "client/domain.h"
#include "client/pinbroker.h"

#define PREFLIGHT_FINDINGS_MAX 8

/* Why it would not start, or would stop. */
struct preflight_finding {
	const char *reason; /* of a refusal; static or the explanation's */
	char text[640];
};

struct preflight_device {
	const char *name; /* borrowed */
	struct bars bars;
};

struct preflight {
	/* What is asked. */
	const struct domain *domain; /* NULL: there is none; borrowed */
	struct guest declared; /* as libvirt sees it; with domain */
	struct guest guest; /* with what options add */
	size_t n_iommufd; /* VFIO devices that are reached by iommufd; the others by type1 */
	struct preflight_device devices[PINBROKER_DEVICES_MAX]; /* of the session */
	size_t n_devices;
	size_t n_asked; /* devices that a session would need */
	bool session; /* one is needed */
	bool decided; /* the next is filled */
	struct pinbroker_explanation decision;
	const char *assumed; /* as explanation_print() takes it */
	uint64_t dma_entry_limit; /* of type1, mappings per container */
	/* What follows. */
	struct guest_memlock libvirt; /* with domain */
	uint64_t needed; /* bytes mapped through the session at most */
	uint64_t locked; /* bytes that count against RLIMIT_MEMLOCK at most */
	struct guest_mappings mappings; /* through the session */
	uint64_t type1_mappings; /* in a container */
	uint64_t hugetlb_sum; /* bytes */
	struct domain_hugetlb hugetlb[DOMAIN_HUGETLB_MAX];
	size_t n_hugetlb;
	uint64_t memory_max, memory_min; /* of the cgroup; with decided and a policy */
	struct preflight_finding findings[PREFLIGHT_FINDINGS_MAX]; /* none: it fits */
	size_t n_findings;
	char warning[256]; /* "": none */
};

/* What type1 has where its module does not say (drivers/vfio/vfio_iommu_type1.c). */
#define PREFLIGHT_DMA_ENTRY_LIMIT 65535

/* Fills what follows from what is asked. */
void preflight_judge(struct preflight *preflight);

#endif
