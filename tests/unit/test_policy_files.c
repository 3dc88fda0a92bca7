/* SPDX-License-Identifier: MIT */
/* Files as a whole: settings, blocks, drop-ins, where they end, strings, sums; and damage. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "accounting/policy.h"
#include "common/cleanup.h"
#include "tests/unit/policy_fixture.h"
#include "tests/unit/suite.h"

#define GIB (UINT64_C(1) << 30)

/* A block without mistakes whose next line is 5. */
#define BEGIN "policy p {\nusers = {alice}\naccounting = task\nlimit = 1G\n"
#define END "\n}\n"
/* A whole one on one line. */
#define POLICY(name, user) "policy " name " { users = {" user "} accounting = task limit = 1G }\n"

#define STAR "main:1: error: \"*\" stands outside\n"
#define TEN_STARS STAR STAR STAR STAR STAR STAR STAR STAR STAR STAR

static const struct {
	const char *name;
	const char *texts[FIXTURE_FILES];
	const char *expected;
} file_cases[] = {
	{"an empty configuration refuses everybody", {""}, "main:0: warning: there is no policy"},
	{"so does one of comments only", {"# a\n// b\n/* c */"}, "main:0: warning: no policy"},
	{"an unknown top-level key is an error",
	 {"\ncolour = red\n"},
	 "main:2: error: unknown key \"colour\""},
	{"comments do not move lines",
	 {"# 1\n# 2\n/* 3\n4 */ // 4\n\ncolour = red\n"},
	 "main:6: error: unknown key"},
	{"DOS line ends are line ends",
	 {"max-requests = 5\r\ncolour = red\r\n"},
	 "main:2: error: unknown key \"colour\""},
	{"a top-level key given twice is an error",
	 {POLICY("a", "alice") "unmanaged = deny\n"
			       "unmanaged = allow\n"},
	 "main:3: error: unmanaged is given twice, first at main:2"},
	{"a drop-in may hold top-level keys", {POLICY("a", "alice"), "unmanaged = deny\n"}, NULL},
	{"but not one that was given",
	 {"unmanaged = deny\n" POLICY("a", "alice"), "", "\nunmanaged = deny\n"},
	 "d/2:2: error: unmanaged is given twice, first at main:1"},
	{"top-cgroup begins with a slash",
	 {"\ntop-cgroup = machine.slice\n"},
	 "main:2: error: top-cgroup: \"machine.slice\" is not a cgroup's path"},
	{"top-cgroup is not the root",
	 {"top-cgroup = \"/\"\n"},
	 "main:1: error: top-cgroup: \"/\" cannot have limits"},
	{"cgroup-parent belongs in a block",
	 {"cgroup-parent = none\n"},
	 "main:1: error: unknown key \"cgroup-parent\""},
	{"unmanaged is a word",
	 {"unmanaged = forbid\n"},
	 "main:1: error: \"forbid\" is none of allow, deny, limit"},
	{"unmanaged-limit is a size",
	 {"\nunmanaged-limit = some\n"},
	 "main:2: error: unmanaged-limit = \"some\" is not a size"},
	{"and not nothing where it counts",
	 {"unmanaged-limit = 0\n\nunmanaged = limit\n" POLICY("a", "alice")},
	 "main:3: error: unmanaged = \"limit\" requires an unmanaged-limit"},
	{"nothing can be pinned within less than a page",
	 {POLICY("a", "alice") "unmanaged-limit = 4095\n"},
	 "main:2: warning: unmanaged-limit is 4095 bytes"},
	{"unmanaged = limit requires a limit",
	 {POLICY("a", "alice") "unmanaged = limit\n"},
	 "main:2: error: unmanaged = \"limit\" requires an unmanaged-limit"},
	{"which may be in another file",
	 {"unmanaged = limit\n" POLICY("a", "alice"), "unmanaged-limit = 1G\n"},
	 NULL},
	{"and stay there for another day",
	 {"unmanaged = allow\nunmanaged-limit = 1G\n" POLICY("a", "alice")},
	 NULL},
	{"slip is a word",
	 {"slip = ignore\n"},
	 "main:1: error: \"ignore\" is none of report, kill"},
	{"require-gate is a boolean", {"require-gate = 2\n"}, "main:1: error: require-gate"},
	{"no connections at all is an error",
	 {"max-connections = 0\n"},
	 "main:1: error: max-connections = 0 must be at least 1"},
	{"max-requests of 0 is unlimited", {"max-requests = 0\n" POLICY("a", "alice")}, NULL},
	{"max-requests takes a number", {"max-requests = many\n"}, "main:1: error: max-requests"},
	{"host-reserve takes a size", {"host-reserve = none\n"}, "main:1: error: host-reserve"},
	{"a policy needs a name", {"policy {\n}\n"}, "main:1: error: missing title"},
	{"an empty name is an error",
	 {POLICY("\"\"", "alice")},
	 "main:1: error: the name of a policy has 1 to 64 bytes"},
	{"a name of 64 bytes",
	 {POLICY("a123456789b123456789c123456789d123456789e123456789f123456789"
		 "1234",
		 "alice")},
	 NULL},
	{"a name of 65 bytes is an error",
	 {POLICY("a123456789b123456789c123456789d123456789e123456789f12345678912345", "alice")},
	 "main:1: error: the name of a policy has 1 to 64 bytes"},
	{"two policies of one name are an error",
	 {POLICY("a", "alice") POLICY("a", "bob")},
	 "main:2: error: policy \"a\" is there already, at main:1"},
	{"over all files",
	 {POLICY("a", "alice"), POLICY("b", "bob"), "\n" POLICY("a", "bob")},
	 "d/2:2: error: policy \"a\" is there already, at main:1"},
	{"required keys are required, at the block's line",
	 {"\npolicy a {\nusers = {alice}\n}\n"},
	 "main:2: error: policy \"a\" has no accounting\nmain:2: error: policy \"a\" has no limit"},
	{"a limit of 0 is an error",
	 {"policy a { users = alice accounting = task\nlimit = 0 }"},
	 "main:2: error: limit = 0 must be at least 1"},
	{"a limit below a page is a warning",
	 {"policy a { users = alice accounting = task\nlimit = 16 }"},
	 "main:2: warning: limit is 16 bytes, less than a page"},
	{"a limit is never unlimited",
	 {"policy a { users = alice accounting = task\nlimit = unlimited }"},
	 "main:2: error: limit = \"unlimited\" is not a size"},
	{"accounting is a word",
	 {"policy a { users = alice\naccounting = none limit = 1G }"},
	 "main:2: error: \"none\" is none of task, user, any"},
	{"auto requires user-limit",
	 {"policy a { users = alice accounting = task\nlimit = auto }"},
	 "main:2: error: limit = \"auto\" requires a finite user-limit"},
	{"a finite one",
	 {"policy a { users = alice accounting = task limit = auto\n"
	  "user-limit = unlimited }"},
	 "main:2: error: limit = \"auto\" requires a finite user-limit"},
	{"a policy without any list is an error",
	 {"\npolicy a {\naccounting = task\nlimit = 1G\nusers = {}\n}\n"},
	 "main:2: error: policy \"a\" says nobody"},
	{"a policy without anything",
	 {"policy a {}"},
	 "main:1: error: has no accounting\nmain:1: error: has no limit\nmain:1: error: says "
	 "nobody"},

	{"a file that ends inside a block is an error",
	 {POLICY("b", "bob") BEGIN},
	 "main:5: error: the file ends inside policy \"p\", which begins in line 2"},
	{"even at its first brace",
	 {"policy p {"},
	 "main:1: error: the file ends inside policy \"p\", which begins in line 1"},
	{"before the brace", {"policy p"}, "main:1: error: the file ends in the middle"},
	{"before the name", {"policy"}, "main:1: error: the file ends in the middle"},
	{"inside a list",
	 {BEGIN "groups = {kvm"},
	 "main:5: error: the file ends inside policy \"p\""},
	{"after a comma",
	 {BEGIN "groups = {kvm,\n"},
	 "main:5: error: the file ends inside policy \"p\""},
	{"after an equal sign",
	 {BEGIN "groups ="},
	 "main:5: error: the file ends inside policy \"p\""},
	{"after a key", {"max-requests"}, "main:1: error: the file ends in the middle"},
	{"after a top-level equal sign",
	 {"unmanaged = \n"},
	 "main:1: error: the file ends in the middle"},
	{"inside a comment",
	 {POLICY("a", "alice") "/* policy b {\n}\n"},
	 "main:2: error: the comment that begins here does not end"},
	{"inside a string",
	 {BEGIN "domains = {\"db"},
	 "main:5: error: the string does not end on its line"},
	{"a drop-in's block is not closed by the next file",
	 {POLICY("a", "alice"), BEGIN, "}\n"},
	 "d/1:4: error: the file ends inside\nd/2:1: error: unexpected closing brace"},
	{"a brace too many is an error",
	 {POLICY("a", "alice") "}\n"},
	 "main:2: error: unexpected closing brace"},
	{"a missing brace is found at the next policy",
	 {BEGIN POLICY("a", "alice")},
	 "main:5: error: a policy inside policy \"p\" (line 1): is its \"}\" missing?"},
	{"a missing quote is found on its line",
	 {BEGIN "domains = {\"db}\n" END "# \"\n"},
	 "main:5: error: the string does not end on its line"},
	{"after a broken string the next file is read rightly",
	 {"unmanaged = \"allow", POLICY("a", "nobody-there")},
	 "main:1: error: the string does not end\nd/1:1: warning: no user"},

	{"the environment is not expanded",
	 {BEGIN "domains = {\"${HOME}\"}" END},
	 "main:5: error: the environment is not part of a policy"},
	{"nor outside of strings", {"unmanaged = ${HOME}\n"}, "main:1: error: the environment"},
	{"nor behind a backslash",
	 {BEGIN "domains = {\"\\${HOME}\"}" END},
	 "main:5: error: the environment"},
	{"nor with a default",
	 {BEGIN "\n\ndomains = {\"a${NOT_SET:-b}\"}" END},
	 "main:7: error: the environment"},
	{"comments may say ${", {"# ${HOME}\n" POLICY("a", "alice")}, NULL},
	{"control characters are errors",
	 {"unmanaged = \"al\tlow\"\n" POLICY("a", "alice") "\n\001 = 1\n"},
	 "main:4: error: a control character (byte 0x01)"},
	{"a lone carriage return is an error",
	 {"\nunmanaged = deny\r # \n"},
	 "main:2: error: a control character (byte 0x0d)"},
	{"UTF-8 in names", {POLICY("\"m\xc3\xbcller\"", "alice")}, NULL},
	{"a tab in a string is an error",
	 {"unmanaged = \"de\tny\"\n"},
	 "main:1: error: a tab inside a string"},
	{"a key cannot reach into another block",
	 {POLICY("a", "alice") "\n\"policy=a|headroom\" = 5\n"},
	 "main:3: error: headroom: a key cannot reach into another block"},
	{"not even into its own", {BEGIN "\"policy=p|headroom\" = 5" END}, "main:5: error: policy"},
	{"nor without a name",
	 {POLICY("a", "alice") "policy|headroom = 5\n"},
	 "main:2: error: headroom: a key cannot reach into another block"},
	{"a file that is something else is given up",
	 {"**********"
	  "**********"
	  "**********"},
	 TEN_STARS TEN_STARS},
	{"DEL is a control character",
	 {"unmanaged = '\x7f'\n"},
	 "main:1: error: a control character (byte 0x7f)"},
};

static void test_files(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(file_cases); i++) {
		CLEANUP(policy_unrefp) struct policy_set *set = NULL;
		struct findings f;

		(void)fixture_parse(file_cases[i].texts, 0, &f, &set); /* asserts */
		fixture_expect(file_cases[i].name, &f, file_cases[i].expected);
	}
}

static const struct {
	const char *name;
	const char *texts[FIXTURE_FILES];
	const char *expected;
	uint64_t mem_total;
} host_cases[] = {
	{"host-reserve may be off", {"host-reserve = off\n" POLICY("a", "alice")}, NULL, GIB},
	{"host-reserve must leave something",
	 {"\nhost-reserve = 4G\n" POLICY("a", "alice")},
	 "main:2: error: host-reserve 4G leaves nothing of the host's 4G",
	 4 * GIB},
	{"host-reserve below what the host has",
	 {"host-reserve = 3G\n" POLICY("a", "alice")},
	 NULL,
	 4 * GIB},
	{"host-reserve where the host's memory is not known",
	 {"host-reserve = 4G\n" POLICY("a", "alice")},
	 NULL,
	 0},

	{"user-limits above what the host has are a warning",
	 {"policy a { users = alice accounting = task limit = 1G user-limit = 3G }\n"
	  "policy b { users = bob accounting = task limit = 1G user-limit = 1G }\n"
	  "policy c { users = qemu accounting = task limit = 1G user-limit = 2G }\n"},
	 "main:3: warning: the user-limits add up to 6G, and the host has 4G",
	 4 * GIB},
	{"host-reserve is not there for them",
	 {"policy a { users = alice accounting = task limit = 1G user-limit = 4G }\n",
	  "host-reserve = 1G"},
	 "main:1: warning: the user-limits add up to 4G, and the host has 3G",
	 4 * GIB},
	{"the sum saturates",
	 {"policy a { users = alice accounting = task limit = 1G user-limit = 8388607T }\n"
	  "policy b { users = bob accounting = task limit = 1G user-limit = 8388607T }\n"
	  "policy c { users = qemu accounting = task limit = 1G user-limit = 8388607T }\n"},
	 "main:1: warning: the user-limits add up to 184",
	 4 * GIB},
	{"a sum equal to what the host has",
	 {"policy a { users = alice accounting = task limit = 1G user-limit = 4G }\n"},
	 NULL,
	 4 * GIB},
};

static void test_host(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(host_cases); i++) {
		CLEANUP(policy_unrefp) struct policy_set *set = NULL;
		struct findings f;

		(void)fixture_parse(host_cases[i].texts, host_cases[i].mem_total, &f, &set);
		fixture_expect(host_cases[i].name, &f, host_cases[i].expected);
	}
}

static void test_nul(void)
{
	static const char text[] = POLICY("a", "alice") "unmanaged = \"deny\0\"\n";
	CLEANUP(policy_unrefp) struct policy_set *set = NULL;
	struct findings f;

	(void)fixture_parse_bytes(text, sizeof(text) - 1, &f, &set); /* asserts */
	fixture_expect("a NUL byte is an error", &f,
		       "main:2: error: a control character (byte 0x00)");
}

static const struct {
	const char *name;
	const char *text; /* as in the file, quotes included */
	const char *glob;
} escape_cases[] = {
	{"a backslash stays one", "\"/machine-qemu\\x2d*\"", "/machine-qemu\\x2d*"},
	{"an escaped backslash is one", "\"/machine-qemu\\\\x2d*\"", "/machine-qemu\\x2d*"},
	{"in single quotes too", "'/machine-qemu\\x2d*'", "/machine-qemu\\x2d*"},
	{"and escaped there", "'/machine-qemu\\\\x2d*'", "/machine-qemu\\x2d*"},
	{"an escaped quote", "\"/a\\\"b\"", "/a\"b"},
	{"an escaped single quote", "'/a\\'b'", "/a'b"},
	{"no newline is made", "\"/a\\nb\"", "/a\\nb"},
	{"no octal byte is made", "\"/a\\101\"", "/a\\101"},
	{"a comment in a string is none", "\"/a#b//c\\/*d*/\"", NULL},
	{"a hash in a string", "\"/a#b\"", "/a#b"},
	{"${ in single quotes is text", "'/${HOME}'", "/${HOME}"},
	{"a dollar sign is one", "\"/$HOME$\"", "/$HOME$"},
};

static void test_escapes(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(escape_cases); i++) {
		CLEANUP(policy_unrefp) struct policy_set *set = NULL;
		struct findings f;
		char text[256];
		int len = snprintf(text, sizeof(text), BEGIN "cgroups = {%s}" END,
				   escape_cases[i].text);

		(void)fixture_parse_bytes(text, (size_t)len, &f, &set); /* asserts */
		if (!escape_cases[i].glob) {
			CU_ASSERT_PTR_NULL(set);
			continue;
		}
		fixture_expect(escape_cases[i].name, &f, NULL);
		if (set) {
			const char *glob = set->policies[0].cgroups.globs[0];

			if (strcmp(glob, escape_cases[i].glob))
				fprintf(stderr, "%s: \"%s\"\n", escape_cases[i].name, glob);
			CU_ASSERT_STRING_EQUAL(glob, escape_cases[i].glob);
		}
	}
}

/* How many blocks of the sample end before len: their braces begin a line. */
static size_t blocks_closed(const char *text, size_t len)
{
	size_t i, n = 0;

	for (i = 1; i < len; i++)
		n += text[i] == '}' && text[i - 1] == '\n';
	return n;
}

static void test_truncation(void)
{
	size_t len;

	for (len = 0; len < strlen(fixture_sample); len++) {
		CLEANUP(policy_unrefp) struct policy_set *set = NULL;
		struct findings f;

		if (fixture_parse_bytes(fixture_sample, len, &f, &set) == 0)
			CU_ASSERT_EQUAL(set->n_policies, blocks_closed(fixture_sample, len));
		/* Behind the first block and before the second one's name the file is whole. */
		if (blocks_closed(fixture_sample, len) == 1 && fixture_sample[len - 1] == '\n' &&
		    fixture_sample[len - 2] == '}')
			CU_ASSERT_PTR_NOT_NULL(set);
	}
}

/* One change that a slip of the hand or of a disk could make. */
static size_t mutate(char *text, size_t len, size_t size, unsigned int *seed)
{
	static const char special[] = "{}=\"'\\#/*+,$\n\r \0\001-9G|(";
	size_t at = (size_t)rand_r(seed) % len;
	size_t n = (size_t)rand_r(seed) % 40;

	switch (rand_r(seed) % 4) {
	case 0:
		text[at] = special[(size_t)rand_r(seed) % (sizeof(special) - 1)];
		return len;
	case 1:
		text[at] = (char)rand_r(seed);
		return len;
	case 2: /* remove */
		n = n < len - at ? n : len - at - 1;
		memmove(text + at, text + at + n, len - at - n);
		return len - n;
	default: /* repeat */
		n = n < len - at ? n : len - at;
		n = n < size - len ? n : size - len;
		memmove(text + at + n, text + at, len - at);
		return len + n;
	}
}

/* What must hold of whatever the parser accepts. */
static void check_sound(const struct policy_set *set)
{
	size_t i;

	for (i = 0; i < set->n_policies; i++) {
		const struct policy *p = &set->policies[i];

		CU_ASSERT_NOT_EQUAL(p->accounting, POLICY_ACCOUNTING_NONE);
		CU_ASSERT_TRUE(p->limit_auto ? p->user_limit != POLICY_UNLIMITED
					     : p->limit && p->limit <= p->user_limit);
		CU_ASSERT_TRUE(p->users.n_written || p->groups.n_written || p->cgroups.n ||
			       p->domains.n);
		CU_ASSERT_TRUE(p->name[0] && strlen(p->name) <= POLICY_NAME_MAX);
		CU_ASSERT_TRUE(p->max_objects && p->max_sessions);
	}
}

static void test_random(void)
{
	const char *wish = getenv("PINBROKER_TEST_SEED");
	unsigned int first = wish ? (unsigned int)strtoul(wish, NULL, 0) : (unsigned int)time(NULL);
	unsigned int seed = first, round, changes;
	unsigned int failures = CU_get_number_of_failures();
	struct policy_set *set = NULL;
	struct findings f;
	size_t accepted = 0;

	for (round = 0; round < 4000; round++) {
		char text[2 * FIXTURE_SAMPLE_MAX];
		size_t len = strlen(fixture_sample);

		memcpy(text, fixture_sample, len);
		for (changes = 1 + (unsigned int)rand_r(&seed) % 4; changes; changes--)
			len = mutate(text, len, sizeof(text), &seed);
		if (fixture_parse_bytes(text, len, &f, &set) == 0) {
			check_sound(set);
			policy_unref(set);
			accepted++;
		}
	}
	CU_ASSERT_TRUE(accepted > 0 && accepted < round);
	if (CU_get_number_of_failures() != failures)
		fprintf(stderr, "PINBROKER_TEST_SEED=%u\n", first);
	else
		printf("(seed %u, %zu of %u accepted) ", first, accepted, round);
	/* Nothing of what was refused lingers in libconfuse's lexer. */
	CU_ASSERT_EQUAL(fixture_parse_bytes(fixture_sample, strlen(fixture_sample), &f, &set), 0);
	policy_unref(set);
}

static void test_long_values(void)
{
	static char text[300000];
	CLEANUP(policy_unrefp) struct policy_set *set = NULL;
	struct findings f;
	size_t len;

	(void)snprintf(text, sizeof(text), BEGIN "domains = {\""); /* fits */
	len = strlen(text);
	memset(text + len, 'a', 250000);
	(void)snprintf(text + len + 250000, 100, "\"}" END); /* fits */
	(void)fixture_parse_bytes(text, strlen(text), &f, &set); /* asserts */
	fixture_expect("a value may be longer than the lexer's buffer", &f, NULL);
	if (set)
		CU_ASSERT_EQUAL(strlen(set->policies[0].domains.globs[0]), 250000);
}

static const CU_TestInfo tests[] = {
	{"settings, blocks, drop-ins, ends", test_files},
	{"what the host has", test_host},
	{"a NUL byte is refused with its line", test_nul},
	{"strings know no escapes but of backslash and quote", test_escapes},
	{"a file cut anywhere loses no policy silently", test_truncation},
	{"random damage is refused or harmless", test_random},
	{"a value may be very long", test_long_values},
	CU_TEST_INFO_NULL,
};

const struct suite suite_policy_files = {"policy_files", tests};
