/* SPDX-License-Identifier: MIT */
#include "client/risk.h"

#include <stdarg.h>
#include <stdio.h>

#include "client/group.h"
#include "common/features.h"

__attribute__((format(printf, 2, 3))) static void risk_add(struct risks *risks, const char *format,
							   ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(risks->text[risks->n++], RISK_TEXT_MAX, format,
			args); /* cut when too long */
	va_end(args);
}

/* Bridges do no DMA of their own. NULL: there is no other member. */
static const struct group_peer *first_peer(const struct group *group)
{
	for (size_t i = 0; i < group->n; i++)
		if (!group->peers[i].bridge)
			return &group->peers[i];
	return NULL;
}

void risk_find(const struct device *device, const struct group *group,
	       const struct features *features, struct risks *ret_risks)
{
	const struct group_peer *peer = first_peer(group);

	ret_risks->n = 0;
	if (!features || !features->migration)
		return;
	if (peer)
		risk_add(ret_risks,
			 "in IOMMU group %d nothing keeps devices from each other's registers: a "
			 "guest that has %s can have it write to those that %s is migrated by",
			 device->group, peer->name, device->name);
	if (features->pri && !(features->migration & FEATURES_P2P))
		risk_add(ret_risks,
			 "it asks its guest for pages (PRI) and has no RUNNING_P2P: it may wait "
			 "for one when it is to stop, with the guest's processors standing still, "
			 "and never come to STOP");
	if (!(features->migration & FEATURES_P2P))
		risk_add(ret_risks,
			 "without RUNNING_P2P it is stopped while others still reach it: a guest "
			 "with several devices cannot be migrated safely if they reach each other");
	if (!features->dirty_logging)
		risk_add(
			ret_risks,
			"it does not tell which pages it writes: unless the IOMMU does, all of the "
			"guest's RAM counts as written until the guest stands still");
}
