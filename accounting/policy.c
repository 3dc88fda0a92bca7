/* SPDX-License-Identifier: MIT */
/* The life of a snapshot. Parsing is in policy_parse.c and the files it names, use in
 * policy_match.c. */
#include "accounting/policy.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/policy_parser.h"

const char *const policy_accounting_names[] = {
	[POLICY_ACCOUNTING_NONE] = NULL,
	[POLICY_ACCOUNTING_TASK] = "task",
	[POLICY_ACCOUNTING_USER] = "user",
	[POLICY_ACCOUNTING_ANY] = "any",
};

const char *const policy_mirror_names[] = {
	[POLICY_MIRROR_OFF] = "off",     [POLICY_MIRROR_PROTECT] = "protect",
	[POLICY_MIRROR_CAP] = "cap",     [POLICY_MIRROR_BOTH] = "both",
	[POLICY_MIRROR_TRACK] = "track",
};

const char *const policy_unmanaged_names[] = {
	[POLICY_UNMANAGED_ALLOW] = "allow",
	[POLICY_UNMANAGED_DENY] = "deny",
	[POLICY_UNMANAGED_LIMIT] = "limit",
};

const char *const policy_slip_names[] = {
	[POLICY_SLIP_REPORT] = "report",
	[POLICY_SLIP_KILL] = "kill",
};

const char *const policy_multi_names[] = {
	[POLICY_MULTI_ANY] = "any",
	[POLICY_MULTI_P2P] = "p2p",
};

const char *const policy_fallback_names[] = {
	[POLICY_FALLBACK_REFUSE] = "refuse",
	[POLICY_FALLBACK_ALLOW] = "allow",
};

const char *policy_accounting_name(enum policy_accounting accounting)
{
	const char *name = policy_accounting_names[accounting];

	return name ? name : "none";
}

const char *policy_mirror_name(enum policy_mirror mirror)
{
	return policy_mirror_names[mirror];
}

const char *policy_unmanaged_name(enum policy_unmanaged unmanaged)
{
	return policy_unmanaged_names[unmanaged];
}

const char *policy_slip_name(enum policy_slip slip)
{
	return policy_slip_names[slip];
}

void policy_ids_fini(struct policy_ids *ids)
{
	free(ids->ranges);
	*ids = (struct policy_ids){0};
}

int policy_patterns_add(struct policy_patterns *patterns, const char *text)
{
	char **globs = reallocarray(patterns->globs, patterns->n + 1, sizeof(*globs));

	if (!globs)
		return -ENOMEM;
	patterns->globs = globs;
	globs[patterns->n] = strdup(text);
	if (!globs[patterns->n])
		return -ENOMEM;
	patterns->n++;
	return 0;
}

void policy_patterns_fini(struct policy_patterns *patterns)
{
	size_t i;

	for (i = 0; i < patterns->n; i++)
		free(patterns->globs[i]);
	free(patterns->globs);
	*patterns = (struct policy_patterns){0};
}

void policy_fini(struct policy *policy)
{
	free(policy->name);
	free(policy->file);
	free(policy->cgroup_parent);
	policy_ids_fini(&policy->users);
	policy_ids_fini(&policy->groups);
	policy_ids_fini(&policy->admins);
	policy_patterns_fini(&policy->cgroups);
	policy_patterns_fini(&policy->domains);
	policy_patterns_fini(&policy->devices);
	*policy = (struct policy){0};
}

struct policy_set *policy_ref(struct policy_set *set)
{
	assert(set->refs > 0);
	set->refs++;
	return set;
}

void policy_unref(struct policy_set *set)
{
	size_t i;

	if (!set)
		return;
	assert(set->refs > 0);
	if (--set->refs)
		return;
	for (i = 0; i < set->n_policies; i++)
		policy_fini(&set->policies[i]);
	free(set->policies);
	free(set->top_cgroup);
	free(set);
}

void policy_unrefp(struct policy_set **set)
{
	policy_unref(*set);
}
