/* SPDX-License-Identifier: MIT */
/* Whom a policy matches, which devices it covers, and which policies can never match. */
#include <stdio.h>
#include <string.h>

#include "accounting/policy.h"
#include "common/cleanup.h"
#include "tests/unit/policy_fixture.h"
#include "tests/unit/suite.h"

#define REST " accounting = task limit = 1G }\n"
#define SCOPE "/machine.slice/machine-qemu\\x2d1\\x2ddb.scope/libvirt/emulator"

static const char policies[] =
	"policy all-four { users = {qemu} groups = {kvm} cgroups = {\"/machine.slice\"}"
	" domains = {\"db-*\"}" REST
	"policy both { users = {\"2000-2999\", bob} groups = {kvm, 500}" REST
	"policy slice { cgroups = {\"/a.slice\", \"/machine.slice/machine-qemu\\x2d*\"}" REST
	"policy domain { domains = {\"web-?\", \"mail\"}" REST
	"policy ghost { users = {nobody-there} domains = {ghost}" REST
	"policy first { users = {3000}" REST "policy second { users = {\"3000-3001\"}" REST;

static const struct {
	const char *name;
	uid_t uid;
	gid_t gids[2];
	size_t n_gids;
	const char *cgroup;
	const char *domain;
	const char *policy; /* NULL: none */
} match_cases[] = {
	{"all lists match", 107, {36}, 1, SCOPE, "db-1", "all-four"},
	{"a supplementary group counts", 107, {107, 36}, 2, SCOPE, "db-1", "all-four"},
	{"another user does not", 108, {36}, 1, SCOPE, "db-1", "slice"},
	{"another group does not", 107, {107}, 1, SCOPE, "db-1", "slice"},
	{"another domain does not", 107, {36}, 1, SCOPE, "xdb-1", "slice"},
	{"another cgroup does not", 107, {36}, 1, "/user.slice", "db-1", NULL},
	{"an unknown cgroup matches no pattern", 107, {36}, 1, NULL, "db-1", NULL},
	{"an unnamed domain matches no pattern", 107, {36}, 1, "/machine.slice", NULL, NULL},
	{"any entry suffices: a range", 2500, {500}, 1, NULL, NULL, "both"},
	{"any entry suffices: a name", 1001, {36}, 1, NULL, NULL, "both"},
	{"a range's first", 2000, {36}, 1, NULL, NULL, "both"},
	{"a range's last", 2999, {36}, 1, NULL, NULL, "both"},
	{"below a range", 1999, {36}, 1, NULL, NULL, NULL},
	{"above a range", 3002, {36}, 1, NULL, NULL, NULL},
	{"the user without a group", 2500, {0}, 0, NULL, NULL, NULL},
	{"an ancestor's cgroup", 5, {5}, 1, "/a.slice/b/c", NULL, "slice"},
	{"the cgroup itself", 5, {5}, 1, "/a.slice", NULL, "slice"},
	{"a libvirt guest by its scope's glob", 5, {5}, 1, SCOPE, NULL, "slice"},
	{"not what only begins alike", 5, {5}, 1, "/a.slice2", NULL, NULL},
	{"a domain by its glob", 5, {5}, 1, NULL, "web-7", "domain"},
	{"a domain's glob is anchored", 5, {5}, 1, NULL, "web-77", NULL},
	{"a user that nobody is matches nobody", 0, {0}, 1, NULL, "ghost", NULL},
	{"(uid_t)-1 matches nobody", (uid_t)-1, {36}, 1, NULL, "ghost", NULL},
	{"the first policy wins", 3000, {5}, 1, NULL, NULL, "first"},
	{"the second gets what the first leaves", 3001, {5}, 1, NULL, NULL, "second"},
};

static void test_match(void)
{
	const char *const texts[FIXTURE_FILES] = {policies};
	CLEANUP(policy_unrefp) struct policy_set *set = NULL;
	struct findings f;
	size_t i;

	CU_ASSERT_EQUAL_FATAL(fixture_parse(texts, 0, &f, &set), 0);
	for (i = 0; i < ARRAY_SIZE(match_cases); i++) {
		const struct policy_subject subject = {
			.uid = match_cases[i].uid,
			.gids = match_cases[i].gids,
			.n_gids = match_cases[i].n_gids,
			.cgroup = match_cases[i].cgroup,
			.domain = match_cases[i].domain,
		};
		const struct policy *p = policy_match(set, &subject);
		const char *found = p ? p->name : "none";
		const char *expected = match_cases[i].policy ? match_cases[i].policy : "none";

		if (strcmp(found, expected))
			fprintf(stderr, "%s: %s\n", match_cases[i].name, found);
		CU_ASSERT_STRING_EQUAL(found, expected);
	}
}

static void test_order(void)
{
	const char *const texts[FIXTURE_FILES] = {
		"policy a { users = {alice}" REST,
		"policy b { users = {bob}" REST,
		"policy c { users = {\"0-5000\"}" REST,
	};
	CLEANUP(policy_unrefp) struct policy_set *set = NULL;
	const struct policy_subject bob = {.uid = 1001}, other = {.uid = 5};
	struct findings f;

	CU_ASSERT_EQUAL_FATAL(fixture_parse(texts, 0, &f, &set), 0);
	CU_ASSERT_PTR_EQUAL(policy_match(set, &bob), &set->policies[1]);
	CU_ASSERT_STRING_EQUAL(set->policies[1].file, "d/1");
	CU_ASSERT_PTR_EQUAL(policy_match(set, &other), &set->policies[2]);
}

static void test_admins(void)
{
	const char *const texts[FIXTURE_FILES] = {
		"policy a { users = {1} admins = {bob, \"5-6\"}" REST
		"policy b { users = {2} admins = {}" REST
		"policy c { users = {3} admins = {nobody-there}" REST};
	CLEANUP(policy_unrefp) struct policy_set *set = NULL;
	struct findings f;

	CU_ASSERT_EQUAL_FATAL(fixture_parse(texts, 0, &f, &set), 0);
	CU_ASSERT_TRUE(policy_admin(&set->policies[0], 1001));
	CU_ASSERT_TRUE(policy_admin(&set->policies[0], 6));
	CU_ASSERT_FALSE(policy_admin(&set->policies[0], 0)); /* the default was replaced */
	CU_ASSERT_FALSE(policy_admin(&set->policies[1], 0));
	CU_ASSERT_FALSE(policy_admin(&set->policies[2], 0));
	CU_ASSERT_FALSE(policy_admin(&set->policies[2], 1));
}

static const struct {
	const char *name;
	const char *devices;
	const char *device;
	uint16_t vendor;
	uint16_t id;
	bool allowed;
} device_cases[] = {
	{"no globs, no devices", "", "0000:65:00.0", 0x10de, 0x2230, false},
	{"address", "\"0000:65:00.0\"", "0000:65:00.0", 0x10de, 0x2230, true},
	{"another function", "\"0000:65:00.0\"", "0000:65:00.1", 0x10de, 0x2230, false},
	{"address glob", "\"0000:65:00.*\"", "0000:65:00.7", 0x10de, 0x2230, true},
	{"address written in upper case", "\"0000:AF:00.0\"", "0000:af:00.0", 1, 1, true},
	{"vendor and device", "\"10de:2230\"", "0000:65:00.0", 0x10de, 0x2230, true},
	{"vendor glob in upper case", "\"10DE:*\"", "0000:65:00.0", 0x10de, 0x2230, true},
	{"ids have four digits", "\"0001:00ab\"", "0000:65:00.0", 1, 0xab, true},
	{"a vendor's glob is no PCI domain's", "\"10de:*\"", "10de:00:00.0", 0x8086, 0x2230, false},
	{"no vendor is 0000", "\"0000:*\"", "0000:65:00.0", 0x8086, 0x2230, true},
	{"another vendor", "\"10de:*\"", "0000:65:00.0", 0x8086, 0x2230, false},
	{"second glob", "\"10de:*\", \"8086:1572\"", "0000:65:00.0", 0x8086, 0x1572, true},
	{"mdev by UUID", "\"83B8F4F2-*\"", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", 0, 0, true},
	{"an mdev has no ids", "\"0000:0000\", \"????:????\"",
	 "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", 0, 0, false},
	{"everything", "\"*\"", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", 0, 0, true},
	{"set", "\"0000:65:00.[0-3]\"", "0000:65:00.4", 1, 1, false},
};

static void test_devices(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(device_cases); i++) {
		CLEANUP(policy_unrefp) struct policy_set *set = NULL;
		struct findings f;
		char text[256];
		int len = snprintf(text, sizeof(text), "policy p { users = {1} devices = {%s}" REST,
				   device_cases[i].devices);
		bool allowed;

		CU_ASSERT_EQUAL_FATAL(fixture_parse_bytes(text, (size_t)len, &f, &set), 0);
		allowed = policy_device_allowed(&set->policies[0], device_cases[i].device,
						device_cases[i].vendor, device_cases[i].id);
		if (allowed != device_cases[i].allowed)
			fprintf(stderr, "%s\n", device_cases[i].name);
		CU_ASSERT_EQUAL(allowed, device_cases[i].allowed);
	}
}

#define NEVER "main:2: warning: policy \"b\" can never match: policy \"a\" (main:1) comes first"
#define NO_USER "main:2: warning: there is no user\n"

/* The lists of policy a (line 1) and of policy b (line 2). */
static const struct {
	const char *name;
	const char *a;
	const char *b;
	const char *expected;
} never_cases[] = {
	{"the same user", "users = {alice}", "users = {1000}", NEVER},
	{"another user", "users = {alice}", "users = {bob}", NULL},
	{"part of a range", "users = {\"1-9\"}", "users = {\"2-3\", 9}", NEVER},
	{"one more than a range", "users = {\"1-9\"}", "users = {\"2-10\"}", NULL},
	{"two ranges that meet", "users = {\"5-9\", \"1-4\"}", "users = {\"2-8\"}", NEVER},
	{"two ranges with a gap", "users = {\"6-9\", \"1-4\"}", "users = {\"2-8\"}", NULL},
	{"all ids there are", "users = {\"0-4294967294\"}", "users = {4294967294}", NEVER},
	{"a list more", "users = {1}", "users = {1} groups = {2}", NEVER},
	{"a list less", "users = {1} groups = {2}", "users = {1}", NULL},
	{"lists of two kinds", "users = {1}", "groups = {1}", NULL},
	{"a cgroup less", "cgroups = {\"/m\"}", "users = {1}", NULL},
	{"the same group", "groups = {kvm}", "groups = {36} users = {5}", NEVER},
	{"a cgroup below", "cgroups = {\"/m\"}", "cgroups = {\"/m/a\"}", NEVER},
	{"globs below a cgroup", "cgroups = {\"/m\"}", "cgroups = {\"/m/a*\"}", NEVER},
	{"a cgroup above", "cgroups = {\"/m/a\"}", "cgroups = {\"/m\"}", NULL},
	{"a cgroup that begins alike", "cgroups = {\"/m\"}", "cgroups = {\"/mm*\"}", NULL},
	{"the root cgroup", "cgroups = {\"/\"}", "cgroups = {\"/*/a\"}", NEVER},
	{"the same cgroup glob", "cgroups = {\"/m*\"}", "cgroups = {\"/m*\"}", NEVER},
	{"a cgroup by a glob", "cgroups = {\"/m*\"}", "cgroups = {\"/ma/b\"}", NEVER},
	{"a domain by a glob", "domains = {\"db-*\"}", "domains = {db-1, db-2}", NEVER},
	{"one domain of two", "domains = {\"db-*\"}", "domains = {db-1, web}", NULL},
	{"globs that are not the same", "domains = {\"db-*\"}", "domains = {\"db-1*\"}", NULL},
	{"nobody's users", "users = {1}", "users = {zoe, zac}",
	 NO_USER NO_USER "main:2: warning: policy \"b\" can never match: none of its users exists"},
	{"nobody's groups", "users = {1}", "groups = {zoe}",
	 "main:2: warning: there is no group\n"
	 "main:2: warning: policy \"b\" can never match: none of its groups exists"},
	{"one user of two", "users = {1}", "users = {zoe, 2}", NO_USER},
};

static void test_never(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(never_cases); i++) {
		CLEANUP(policy_unrefp) struct policy_set *set = NULL;
		struct findings f;
		char text[512];
		int len = snprintf(text, sizeof(text), "policy a { %s" REST "policy b { %s" REST,
				   never_cases[i].a, never_cases[i].b);

		(void)fixture_parse_bytes(text, (size_t)len, &f, &set); /* asserts */
		fixture_expect(never_cases[i].name, &f, never_cases[i].expected);
	}
}

static const CU_TestInfo tests[] = {
	{"every list must match, any entry suffices", test_match},
	{"policies are tried in the order of the files", test_order},
	{"admins replace root as the only one", test_admins},
	{"devices match by address, ids or UUID", test_devices},
	{"a policy that can never match is a warning", test_never},
	CU_TEST_INFO_NULL,
};

const struct suite suite_policy_match = {"policy_match", tests};
