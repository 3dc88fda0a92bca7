/* SPDX-License-Identifier: MIT */
/* The grammar: values, defaults, and every way to get a file wrong. Matching: test_policy_match.c.
 */
#include "accounting/policy.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/policy_fixture.h"
#include "tests/unit/suite.h"

#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)

/* A block without mistakes whose next line is 5. */
#define BEGIN "policy p {\nusers = {alice}\naccounting = task\nlimit = 1G\n"
#define END "\n}\n"

static void test_values(void)
{
	const char *const texts[FIXTURE_FILES] = {fixture_sample};
	CLEANUP(policy_unrefp) struct policy_set *set = NULL;
	struct findings f;
	const struct policy *p;

	(void)fixture_parse(texts, 0, &f, &set); /* asserts */
	fixture_expect("the sample has no findings", &f, NULL);
	if (!set)
		return;
	CU_ASSERT_TRUE(set->host_reserve_checked);
	CU_ASSERT_EQUAL(set->host_reserve, 12 * GIB);
	CU_ASSERT_EQUAL(set->max_requests, 100);
	CU_ASSERT_EQUAL(set->max_connections, 8);
	CU_ASSERT_EQUAL(set->unmanaged, POLICY_UNMANAGED_DENY);
	CU_ASSERT_EQUAL(set->unmanaged_limit, 512ULL << 20);
	CU_ASSERT_TRUE(set->require_gate);
	CU_ASSERT_EQUAL(set->slip, POLICY_SLIP_KILL);
	CU_ASSERT_STRING_EQUAL(set->top_cgroup, "/machine.slice");
	CU_ASSERT_EQUAL(set->hook_fallback, POLICY_FALLBACK_ALLOW);
	CU_ASSERT_EQUAL_FATAL(set->n_policies, 2);
	p = &set->policies[0];
	CU_ASSERT_STRING_EQUAL(p->name, "tenants");
	CU_ASSERT_STRING_EQUAL(p->file, "main");
	CU_ASSERT_EQUAL(p->line, 9);
	CU_ASSERT_EQUAL(p->users.n, 2);
	CU_ASSERT_EQUAL(p->users.n_written, 2);
	CU_ASSERT_EQUAL(p->users.ranges[0].first, 107);
	CU_ASSERT_EQUAL(p->users.ranges[0].last, 107);
	CU_ASSERT_EQUAL(p->users.ranges[1].first, 2000);
	CU_ASSERT_EQUAL(p->users.ranges[1].last, 2999);
	CU_ASSERT_EQUAL(p->groups.n_written, 0);
	CU_ASSERT_EQUAL_FATAL(p->cgroups.n, 2);
	CU_ASSERT_STRING_EQUAL(p->cgroups.globs[0], "/machine.slice");
	CU_ASSERT_STRING_EQUAL(p->cgroups.globs[1], "/x");
	CU_ASSERT_EQUAL_FATAL(p->domains.n, 1);
	CU_ASSERT_STRING_EQUAL(p->domains.globs[0], "db-*");
	CU_ASSERT_EQUAL(p->accounting, POLICY_ACCOUNTING_ANY);
	CU_ASSERT_FALSE(p->limit_auto);
	CU_ASSERT_EQUAL(p->limit, 16 * GIB);
	CU_ASSERT_EQUAL(p->user_limit, 64 * GIB);
	CU_ASSERT_FALSE(p->max_mappings_auto);
	CU_ASSERT_EQUAL(p->max_mappings, 70000);
	CU_ASSERT_EQUAL(p->max_objects, 512);
	CU_ASSERT_EQUAL(p->max_sessions, 4);
	CU_ASSERT_EQUAL_FATAL(p->devices.n, 2);
	CU_ASSERT_STRING_EQUAL(p->devices.globs[1], "10de:*");
	CU_ASSERT_TRUE(policy_admin(p, 0));
	CU_ASSERT_TRUE(policy_admin(p, 1000));
	CU_ASSERT_FALSE(policy_admin(p, 1001));
	CU_ASSERT_EQUAL(p->extra_memlock, 64 * MIB);
	CU_ASSERT_TRUE(p->require_reset);
	CU_ASSERT_EQUAL(p->multi_device, POLICY_MULTI_P2P);
	CU_ASSERT_TRUE(p->allow_test_commands);
	CU_ASSERT_EQUAL(p->mirror, POLICY_MIRROR_BOTH);
	CU_ASSERT_STRING_EQUAL(p->cgroup_parent, "/pinbroker.slice");
	CU_ASSERT_EQUAL(p->headroom, GIB);
	CU_ASSERT_EQUAL(p->migration_buffers, 2 * GIB);
	p = &set->policies[1];
	CU_ASSERT_STRING_EQUAL(p->name, "auto one");
	CU_ASSERT_EQUAL(p->line, 31);
	CU_ASSERT_EQUAL(p->accounting, POLICY_ACCOUNTING_USER);
	CU_ASSERT_TRUE(p->limit_auto);
	CU_ASSERT_EQUAL(p->limit, 0);
	CU_ASSERT_EQUAL(p->user_limit, GIB << 10);
	CU_ASSERT_EQUAL_FATAL(p->groups.n, 1);
	CU_ASSERT_EQUAL(p->groups.ranges[0].first, 36);
}

static void test_defaults(void)
{
	const char *const texts[FIXTURE_FILES] = {BEGIN END};
	CLEANUP(policy_unrefp) struct policy_set *set = NULL;
	struct findings f;
	const struct policy *p;

	(void)fixture_parse(texts, 0, &f, &set); /* asserts */
	fixture_expect("required keys suffice", &f, NULL);
	if (!set)
		return;
	CU_ASSERT_TRUE(set->host_reserve_checked);
	CU_ASSERT_EQUAL(set->host_reserve, 0);
	CU_ASSERT_EQUAL(set->max_requests, 200);
	CU_ASSERT_EQUAL(set->max_connections, 64);
	CU_ASSERT_EQUAL(set->unmanaged, POLICY_UNMANAGED_ALLOW);
	CU_ASSERT_FALSE(set->require_gate);
	CU_ASSERT_EQUAL(set->slip, POLICY_SLIP_REPORT);
	CU_ASSERT_STRING_EQUAL(set->top_cgroup, "");
	CU_ASSERT_EQUAL(set->hook_fallback, POLICY_FALLBACK_REFUSE);
	CU_ASSERT_EQUAL_FATAL(set->n_policies, 1);
	p = &set->policies[0];
	CU_ASSERT_EQUAL(p->groups.n_written, 0);
	CU_ASSERT_EQUAL(p->cgroups.n, 0);
	CU_ASSERT_EQUAL(p->domains.n, 0);
	CU_ASSERT_EQUAL(p->devices.n, 0);
	CU_ASSERT_EQUAL(p->user_limit, POLICY_UNLIMITED);
	CU_ASSERT_TRUE(p->max_mappings_auto);
	CU_ASSERT_EQUAL(p->max_objects, 1024);
	CU_ASSERT_EQUAL(p->max_sessions, 16);
	CU_ASSERT_TRUE(policy_admin(p, 0));
	CU_ASSERT_FALSE(policy_admin(p, 1000));
	CU_ASSERT_EQUAL(p->extra_memlock, 0);
	CU_ASSERT_FALSE(p->require_reset);
	CU_ASSERT_EQUAL(p->multi_device, POLICY_MULTI_ANY);
	CU_ASSERT_FALSE(p->allow_test_commands);
	CU_ASSERT_EQUAL(p->mirror, POLICY_MIRROR_OFF);
	CU_ASSERT_STRING_EQUAL(p->cgroup_parent, "");
	CU_ASSERT_EQUAL(p->headroom, 512 * MIB);
	CU_ASSERT_EQUAL(p->migration_buffers, POLICY_UNLIMITED);
}

/* One or two more lines in a policy block; the first of them is line 5. */
static const struct {
	const char *name;
	const char *text;
	const char *expected;
} block_cases[] = {
	{"an unknown key is an error", "colour = red", "main:5: error: unknown key \"colour\" in"},
	{"keys know upper from lower case", "Headroom = 1G", "main:5: error: unknown key"},
	{"include is an unknown key", "include(\"/etc/passwd\")", "main:5: error: unknown key"},
	{"a top-level key does not belong in a block", "unmanaged = deny",
	 "main:5: error: unknown key"},
	{"a key given twice is an error", "headroom = 1G\nheadroom = 1G",
	 "main:6: error: headroom is given twice, first at main:5"},
	{"a required key given twice is an error", "\nlimit = 2G",
	 "main:6: error: limit is given twice, first at main:4"},
	{"a list given twice is an error", "users = {bob}", "main:5: error: users is given twice"},
	{"an empty list given second is an error", "users = {}",
	 "main:5: error: users is given twice"},
	{"an empty list given first is an error", "groups = {}\ngroups = {kvm}",
	 "main:6: error: groups is given twice"},
	{"a list without braces given twice is an error", "groups = kvm\ngroups = {kvm}",
	 "main:6: error: groups is given twice"},
	{"lists are not appended to", "users += {bob}", "main:5: error: \"+\" stands outside"},
	{"a plus sign does not vanish", "max-objects = +5", "main:5: error: \"+\" stands outside"},
	{"a star does not vanish", "max-objects = *5", "main:5: error: \"*\" stands outside"},
	{"a missing value is an error", "headroom =\nmax-objects = 5",
	 "main:6: error: headroom = \"max-objects\" is not a size\n"
	 "main:6: error: unexpected token '='"},
	{"a list where one value belongs is an error", "headroom = {1G}",
	 "main:5: error: unexpected token '{'"},
	{"a missing equal sign is an error", "headroom 1G", "main:5: error: missing equal sign"},

	{"a size may be a bare number", "headroom = 4096", NULL},
	{"a size may be quoted", "headroom = \"2M\"", NULL},
	{"a bad size is an error", "headroom = 5X",
	 "main:5: error: headroom = \"5X\" is not a size"},
	{"an empty size is an error", "headroom = \"\"", "main:5: error: is not a size"},
	{"a size with a space is an error", "headroom = \"5 G\"", "main:5: error: is not a size"},
	{"a size that is too large is an error", "headroom = 9999999999T",
	 "main:5: error: headroom = 9999999999T is too large"},
	{"a negative size is an error", "headroom = -5G",
	 "main:5: error: headroom = -5G is negative"},
	{"a negative number is an error", "max-objects = -1",
	 "main:5: error: max-objects = -1 is negative"},
	{"a count takes no unit", "max-objects = 1K",
	 "main:5: error: max-objects = \"1K\" is not a number"},
	{"a count above 2^32 - 1 is an error", "max-objects = 4294967296",
	 "main:5: error: too large"},
	{"a count of 2^32 - 1 is none", "max-objects = 4294967295", NULL},
	{"a count below its minimum is an error", "max-sessions = 0",
	 "main:5: error: max-sessions = 0 must be at least 1"},
	{"no objects at all is an error", "max-objects = 0", "main:5: error: must be at least 1"},
	{"max-objects cannot be unlimited", "max-objects = unlimited",
	 "main:5: error: is not a number"},
	{"max-sessions cannot be unlimited", "max-sessions = unlimited",
	 "main:5: error: is not a number"},
	{"max-mappings may be auto", "max-mappings = auto", NULL},
	{"max-mappings may be unlimited", "max-mappings = \"unlimited\"", NULL},
	{"max-mappings is no other word", "max-mappings = none", "main:5: error: is not a number"},
	{"max-mappings of 0 is an error", "max-mappings = 0", "main:5: error: at least 1"},
	{"user-limit may be unlimited", "user-limit = unlimited", NULL},
	{"user-limit cannot be auto", "user-limit = auto", "main:5: error: is not a size"},
	{"user-limit of 0 is an error", "user-limit = 0", "main:5: error: at least 1"},
	{"headroom cannot be unlimited", "headroom = unlimited", "main:5: error: is not a size"},
	{"extra-memlock takes a size", "extra-memlock = x", "main:5: error: extra-memlock"},
	{"migration-buffers may be unlimited", "migration-buffers = unlimited", NULL},
	{"migration-buffers takes a size", "migration-buffers = x", "main:5: error: migration-buf"},
	{"booleans are booleans", "require-reset = maybe",
	 "main:5: error: require-reset = \"maybe\" is neither true nor false"},
	{"and so is allow-test-commands", "allow-test-commands = some",
	 "main:5: error: allow-test-commands = \"some\" is neither true nor false"},
	{"words are listed where they are wrong", "cgroup-mirror = caps",
	 "main:5: error: cgroup-mirror = \"caps\" is none of off, protect, cap, both, track"},
	{"words know upper from lower case", "cgroup-mirror = OFF", "main:5: error: is none of"},

	{"the first id is not above the last", "groups = {\"3-2\"}",
	 "main:5: error: groups: \"3-2\" is neither"},
	{"a range of one id", "groups = {\"3-3\"}", NULL},
	{"an open range is an error", "groups = {\"3-\"}", "main:5: error: is neither"},
	{"a negative id is an error", "groups = {-3}", "main:5: error: is neither"},
	{"a range of three is an error", "groups = {\"1-2-3\"}", "main:5: error: is neither"},
	{"the largest id", "groups = {\"0-4294967294\"}", NULL},
	{"(gid_t)-1 is nobody's", "groups = {4294967295}", "main:5: error: 0 to 4294967294"},
	{"a range up to (gid_t)-1 is an error", "groups = {\"1-4294967295\"}",
	 "main:5: error: 0 to"},
	{"an id does not wrap", "groups = {4294967296}", "main:5: error: is neither"},
	{"an id beyond any integer", "groups = {99999999999999999999999}",
	 "main:5: error: is neit"},
	{"an empty entry is an error", "groups = {kvm, \"\"}", "main:5: error: an entry is empty"},
	{"an empty list without braces is an error", "groups = \"\"", "main:5: error: empty"},
	{"each entry has its own line", "groups = {kvm,\n\"5-4\"\n, \"\"}",
	 "main:6: error: \"5-4\"\nmain:7: error: empty"},
	{"an unknown name is a warning", "groups = {kvm, nobody-there}",
	 "main:5: warning: groups: there is no group \"nobody-there\": the entry matches nobody"},
	{"an unknown admin is a warning", "admins = {zoe}",
	 "main:5: warning: admins: there is no user \"zoe\""},
	{"a failed look-up is an error", "admins = {flaky}",
	 "main:5: error: user \"flaky\" cannot be looked up: Input/output error"},
	{"groups are not looked up as users", "groups = {alice}",
	 "main:5: warning: there is no group \"alice\"\n"
	 "main:1: warning: policy \"p\" can never match"},

	{"an unclosed bracket is an error", "domains = {\"a[\"}",
	 "main:5: error: domains: \"a[\" has a \"[\" without its \"]\""},
	{"an empty domain is an error", "domains = {\"\"}", "main:5: error: an entry is empty"},
	{"a cgroup begins with a slash", "cgroups = {machine.slice}",
	 "main:5: error: cgroups: \"machine.slice\" is not a cgroup's path"},
	{"a cgroup does not end with a slash", "cgroups = {\"/a/\"}",
	 "main:5: error: not a cgroup"},
	{"a cgroup has no empty component", "cgroups = {\"/a//b\"}", "main:5: error: not a cgroup"},
	{"the root cgroup", "cgroups = {\"/\"}", NULL},
	{"an empty cgroup is an error", "cgroups = {\"\"}", "main:5: error: an entry is empty"},
	{"cgroup-parent may be none", "cgroup-parent = none", NULL},
	{"cgroup-parent may be deep", "cgroup-parent = \"/a/b.c/d-e\"", NULL},
	{"cgroup-parent given twice is an error", "cgroup-parent = none\ncgroup-parent = none",
	 "main:6: error: cgroup-parent is given twice"},
	{"cgroup-parent begins with a slash", "cgroup-parent = pinbroker.slice",
	 "main:5: error: cgroup-parent: \"pinbroker.slice\" is not a cgroup's path"},
	{"cgroup-parent does not end with a slash", "cgroup-parent = \"/a/\"",
	 "main:5: error: not a cgroup"},
	{"cgroup-parent has no empty component", "cgroup-parent = \"/a//b\"",
	 "main:5: error: not a cgroup"},
	{"cgroup-parent is not empty", "cgroup-parent = \"\"", "main:5: error: not a cgroup"},
	{"cgroup-parent is not the root", "cgroup-parent = \"/\"",
	 "main:5: error: cgroup-parent: \"/\" cannot have limits"},
	{"cgroup-parent does not lead upwards", "cgroup-parent = \"/a/../b\"",
	 "main:5: error: cannot have limits"},
	{"cgroup-parent is no list", "cgroup-parent = {\"/a\"}",
	 "main:5: error: unexpected token '{'"},
	{"top-cgroup does not belong in a block", "top-cgroup = none",
	 "main:5: error: unknown key"},

	{"a device is not a path", "devices = {\"/dev/vfio/devices/vfio0\"}",
	 "main:5: error: is a path"},
	{"a device without its domain is a warning", "devices = {\"65:00.0\"}",
	 "main:5: warning: devices: \"65:00.0\" matches no device"},
	{"a function of two digits is a warning", "devices = {\"0000:65:00.01\"}",
	 "main:5: warning: no device"},
	{"an id without its vendor is a warning", "devices = {\"2230\"}",
	 "main:5: warning: no dev"},
	{"devices in all three forms",
	 "devices = {\"0000:65:00.0\", \"10000:e1:00.0\", \"10DE:2230\", \"*\",\n"
	 "\"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001\"}",
	 NULL},
	{"an empty device is an error", "devices = {\"\"}", "main:5: error: an entry is empty"},

	{"a limit above user-limit is an error", "user-limit = 512M",
	 "main:5: error: policy \"p\": limit 1G is above user-limit 512M"},
	{"a limit equal to user-limit is none", "user-limit = 1G", NULL},
	{"cap needs migration-buffers", "cgroup-mirror = cap",
	 "main:5: error: cgroup-mirror = \"cap\" requires finite migration-buffers"},
	{"both needs migration-buffers", "cgroup-mirror = both\nmigration-buffers = unlimited",
	 "main:6: error: cgroup-mirror = \"both\" requires finite migration-buffers"},
	{"cap with migration-buffers", "cgroup-mirror = cap migration-buffers = 0", NULL},
	{"protect needs no migration-buffers", "cgroup-mirror = protect", NULL},
	{"every mistake is found in one run", "headroom = x\nmax-objects = 0\ngroups = {\"2-1\"}",
	 "main:5: error: headroom\nmain:6: error: max-objects\nmain:7: error: groups"},
};

static void test_block_keys(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(block_cases); i++) {
		CLEANUP(policy_unrefp) struct policy_set *set = NULL;
		const char *texts[FIXTURE_FILES] = {NULL};
		struct findings f;
		char text[1024];

		(void)snprintf(text, sizeof(text), BEGIN "%s" END, block_cases[i].text); /* fits */
		texts[0] = text;
		(void)fixture_parse(texts, 0, &f, &set); /* asserts */
		fixture_expect(block_cases[i].name, &f, block_cases[i].expected);
	}
}

static void test_references(void)
{
	const char *const texts[FIXTURE_FILES] = {BEGIN END};
	struct policy_set *set = NULL;
	struct findings f;

	CU_ASSERT_EQUAL_FATAL(fixture_parse(texts, 0, &f, &set), 0);
	CU_ASSERT_PTR_EQUAL(policy_ref(set), set);
	policy_unref(set);
	CU_ASSERT_STRING_EQUAL(set->policies[0].name, "p"); /* a sanitizer sees a use after free */
	policy_unref(set);
	policy_unref(NULL);
}

static void test_names(void)
{
	CU_ASSERT_STRING_EQUAL(policy_accounting_name(POLICY_ACCOUNTING_NONE), "none");
	CU_ASSERT_STRING_EQUAL(policy_accounting_name(POLICY_ACCOUNTING_TASK), "task");
	CU_ASSERT_STRING_EQUAL(policy_accounting_name(POLICY_ACCOUNTING_ANY), "any");
	CU_ASSERT_STRING_EQUAL(policy_mirror_name(POLICY_MIRROR_OFF), "off");
	CU_ASSERT_STRING_EQUAL(policy_mirror_name(POLICY_MIRROR_TRACK), "track");
	CU_ASSERT_STRING_EQUAL(policy_unmanaged_name(POLICY_UNMANAGED_LIMIT), "limit");
	CU_ASSERT_STRING_EQUAL(policy_slip_name(POLICY_SLIP_KILL), "kill");
}

static const CU_TestInfo tests[] = {
	{"each key of the sample reaches its field", test_values},
	{"each key has the manual's default", test_defaults},
	{"keys of a policy: forms, twice, contradictions", test_block_keys},
	{"a snapshot lives as long as its references", test_references},
	{"enums have the names that files use", test_names},
	CU_TEST_INFO_NULL,
};

const struct suite suite_policy = {"policy", tests};
