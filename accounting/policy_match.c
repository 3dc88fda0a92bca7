/* SPDX-License-Identifier: MIT */
/* Whom and what a policy covers. */
#include <stdio.h>
#include <string.h>

#include "accounting/glob.h"
#include "accounting/policy.h"
#include "accounting/policy_parser.h"

bool policy_ids_contain(const struct policy_ids *ids, uint32_t id)
{
	size_t i;

	for (i = 0; i < ids->n; i++)
		if (ids->ranges[i].first <= id && id <= ids->ranges[i].last)
			return true;
	return false;
}

static bool users_match(const struct policy *policy, const struct policy_subject *subject)
{
	return !policy->users.n_written || policy_ids_contain(&policy->users, subject->uid);
}

static bool groups_match(const struct policy *policy, const struct policy_subject *subject)
{
	size_t i;

	if (!policy->groups.n_written)
		return true;
	for (i = 0; i < subject->n_gids; i++)
		if (policy_ids_contain(&policy->groups, subject->gids[i]))
			return true;
	return false;
}

static bool cgroups_match(const struct policy *policy, const struct policy_subject *subject)
{
	size_t i;

	if (!policy->cgroups.n)
		return true;
	if (!subject->cgroup)
		return false;
	for (i = 0; i < policy->cgroups.n; i++)
		if (glob_match_ancestor(policy->cgroups.globs[i], subject->cgroup))
			return true;
	return false;
}

static bool domains_match(const struct policy *policy, const struct policy_subject *subject)
{
	size_t i;

	if (!policy->domains.n)
		return true;
	if (!subject->domain)
		return false;
	for (i = 0; i < policy->domains.n; i++)
		if (glob_match(policy->domains.globs[i], subject->domain))
			return true;
	return false;
}

const struct policy *policy_match(const struct policy_set *set,
				  const struct policy_subject *subject)
{
	size_t i;

	for (i = 0; i < set->n_policies; i++) {
		const struct policy *p = &set->policies[i];

		if (users_match(p, subject) && groups_match(p, subject) &&
		    cgroups_match(p, subject) && domains_match(p, subject))
			return p;
	}
	return NULL;
}

const struct policy *policy_find(const struct policy_set *set, const char *name)
{
	size_t i;

	for (i = 0; i < set->n_policies; i++)
		if (strcmp(set->policies[i].name, name) == 0)
			return &set->policies[i];
	return NULL;
}

bool policy_is_for(const struct policy *policy, const struct policy_subject *subject)
{
	bool narrow = policy->users.n_written || policy->groups.n_written || policy->cgroups.n;

	return narrow && users_match(policy, subject) && groups_match(policy, subject) &&
	       cgroups_match(policy, subject);
}

bool policy_lists_user(const struct policy *policy, uid_t uid)
{
	return policy_ids_contain(&policy->users, uid);
}

bool policy_knows(const struct policy_set *set, const struct policy_subject *subject)
{
	size_t i;

	for (i = 0; i < set->n_policies; i++) {
		const struct policy *p = &set->policies[i];

		/* One by domain alone is for the admins who name domains. */
		if (policy_is_for(p, subject))
			return true;
		if (policy_ids_contain(&p->admins, subject->uid))
			return true;
	}
	return false;
}

bool policy_admin(const struct policy *policy, uid_t uid)
{
	return policy_ids_contain(&policy->admins, uid);
}

/*
 * "10de:*" is a vendor's, and does not cover what is in PCI domain 10de. No vendor is 0000:
 * "0000:*" means the domain.
 */
static bool glob_is_ids(const char *glob)
{
	const char *colon = strchr(glob, ':');

	return colon && colon - glob == 4 && !strchr(colon + 1, ':') &&
	       strncmp(glob, "0000", 4) != 0;
}

bool policy_device_allowed(const struct policy *policy, const char *name, uint16_t vendor,
			   uint16_t device)
{
	char ids[sizeof("ffff:ffff")];
	size_t i;

	(void)snprintf(ids, sizeof(ids), "%04x:%04x", vendor, device); /* always fits */
	for (i = 0; i < policy->devices.n; i++) {
		const char *glob = policy->devices.globs[i];

		if (glob_is_ids(glob) ? (vendor || device) && glob_match_nocase(glob, ids)
				      : glob_match_nocase(glob, name))
			return true;
	}
	return false;
}

/* Whether one range lies in the union of the earlier ones, whatever their order. */
static bool range_covered(const struct policy_ids *earlier, struct policy_id_range range)
{
	uint64_t id = range.first; /* wider: may step past UINT32_MAX */
	size_t i = 0;

	while (id <= range.last && i < earlier->n) {
		if (earlier->ranges[i].first <= id && id <= earlier->ranges[i].last) {
			id = (uint64_t)earlier->ranges[i].last + 1;
			i = 0; /* another one may go on from here */
		} else {
			i++;
		}
	}
	return id > range.last;
}

static bool ids_cover(const struct policy_ids *earlier, const struct policy_ids *later)
{
	size_t i;

	if (!earlier->n_written)
		return true;
	if (!later->n_written)
		return false;
	for (i = 0; i < later->n; i++)
		if (!range_covered(earlier, later->ranges[i]))
			return false;
	return true;
}

static bool domain_covered(const char *earlier, const char *later)
{
	if (glob_literal(later))
		return glob_match(earlier, later);
	/* Other pairs of globs are left undecided. */
	return !strcmp(earlier, later);
}

/* As domains, and what lies below a literal pattern is covered by it. */
static bool cgroup_covered(const char *earlier, const char *later)
{
	size_t len = strlen(earlier);

	if (glob_literal(later))
		return glob_match_ancestor(earlier, later);
	if (!strcmp(earlier, later) || !strcmp(earlier, "/"))
		return true;
	return glob_literal(earlier) && !strncmp(earlier, later, len) && later[len] == '/';
}

static bool patterns_cover(const struct policy_patterns *earlier,
			   const struct policy_patterns *later,
			   bool (*covered)(const char *earlier, const char *later))
{
	size_t i, j;

	if (!earlier->n)
		return true;
	for (i = 0; i < later->n; i++) {
		for (j = 0; j < earlier->n; j++)
			if (covered(earlier->globs[j], later->globs[i]))
				break;
		if (j == earlier->n)
			return false;
	}
	return later->n > 0;
}

bool policy_covers(const struct policy *earlier, const struct policy *later)
{
	return ids_cover(&earlier->users, &later->users) &&
	       ids_cover(&earlier->groups, &later->groups) &&
	       patterns_cover(&earlier->cgroups, &later->cgroups, cgroup_covered) &&
	       patterns_cover(&earlier->domains, &later->domains, domain_covered);
}
