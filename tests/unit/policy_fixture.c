/* SPDX-License-Identifier: MIT */
#include "tests/unit/policy_fixture.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

const char fixture_sample[] = "# the sample of the manual\n"
			      "host-reserve   = \"12G\"\n"
			      "max-requests   = 100   // per second\n"
			      "max-connections = 8\n"
			      "unmanaged      = \"deny\"\n"
			      "unmanaged-limit = 512M\n"
			      "require-gate   = true\n"
			      "slip=kill top-cgroup=\"/machine.slice\" hook-fallback=allow\n"
			      "policy \"tenants\" {  /* first\n"
			      "                      match wins */\n"
			      "    users        = {\"qemu\", \"2000-2999\"}     groups = {}\n"
			      "    cgroups      = {\"/machine.slice\",\n"
			      "                    '/x'}     domains = {\"db-*\"}\n"
			      "    accounting   = \"any\"\n"
			      "    limit        = \"16G\"\n"
			      "    user-limit   = \"64G\"\n"
			      "    max-mappings = 70000\n"
			      "    max-objects  = 512\n"
			      "    max-sessions = 4\n"
			      "    devices      = {\"0000:65:00.*\", # one slot\n"
			      "                    \"10de:*\",}\n"
			      "    admins       = {\"root\", \"alice\"}\n"
			      "    extra-memlock = \"64M\"\n"
			      "    require-reset = yes\n"
			      "    multi-device = \"p2p\"\n"
			      "    allow-test-commands = true\n"
			      "    cgroup-mirror = \"both\"  cgroup-parent = '/pinbroker.slice'\n"
			      "    headroom     = \"1G\"\n"
			      "    migration-buffers = \"2G\"\n"
			      "}\n"
			      "policy 'auto one' {\n"
			      "    groups = kvm\n"
			      "    accounting = user\n"
			      "    limit = auto\n"
			      "    user-limit = 1T\n"
			      "}\n";
_Static_assert(sizeof(fixture_sample) <= FIXTURE_SAMPLE_MAX, "declared by size only there");

struct id_row {
	const char *name;
	uint32_t id;
};

static const struct id_row users[] = {{"root", 0}, {"qemu", 107}, {"alice", 1000}, {"bob", 1001}};
static const struct id_row groups[] = {{"root", 0}, {"kvm", 36}, {"qemu", 107}};

static int id_of(const struct id_row *rows, size_t n, const char *name, uint32_t *ret_id)
{
	size_t i;

	if (!strcmp(name, "flaky"))
		return -EIO;
	for (i = 0; i < n; i++) {
		if (strcmp(rows[i].name, name))
			continue;
		*ret_id = rows[i].id;
		return 0;
	}
	return -ENOENT;
}

static int uid_of(const char *name, uid_t *ret_uid, void *arg)
{
	(void)arg; /* the findings */
	return id_of(users, ARRAY_SIZE(users), name, ret_uid);
}

static int gid_of(const char *name, gid_t *ret_gid, void *arg)
{
	(void)arg; /* the findings */
	return id_of(groups, ARRAY_SIZE(groups), name, ret_gid);
}

static void report(enum policy_severity severity, const char *file, unsigned int line,
		   const char *text, void *arg)
{
	struct findings *f = arg;
	size_t len = strlen(f->text);

	if (severity == POLICY_ERROR)
		f->n_errors++;
	else
		f->n_warnings++;
	(void)snprintf(f->text + len, sizeof(f->text) - len, "%s:%u: %s: %s\n", file, line,
		       severity == POLICY_ERROR ? "error" : "warning", text); /* may be cut off */
}

static int parse(const struct policy_file *files, size_t n, uint64_t mem_total,
		 struct findings *findings, struct policy_set **ret_set)
{
	const struct policy_env env = {uid_of, gid_of, report, findings, mem_total};
	int err;

	*findings = (struct findings){0};
	*ret_set = NULL;
	err = policy_parse(files, n, &env, ret_set);
	CU_ASSERT_TRUE(err == 0 || err == -EINVAL);
	CU_ASSERT_EQUAL(err == 0, findings->n_errors == 0);
	CU_ASSERT_EQUAL(err == 0, *ret_set != NULL);
	return err;
}

int fixture_parse(const char *const texts[FIXTURE_FILES], uint64_t mem_total,
		  struct findings *findings, struct policy_set **ret_set)
{
	static const char *const names[FIXTURE_FILES] = {"main", "d/1", "d/2"};
	struct policy_file files[FIXTURE_FILES];
	size_t n;

	for (n = 0; n < FIXTURE_FILES && texts[n]; n++)
		files[n] = (struct policy_file){names[n], texts[n], strlen(texts[n])};
	return parse(files, n, mem_total, findings, ret_set);
}

int fixture_parse_bytes(const char *bytes, size_t len, struct findings *findings,
			struct policy_set **ret_set)
{
	const struct policy_file file = {"main", bytes, len};

	return parse(&file, 1, 0, findings, ret_set);
}

/* Whether one line of findings has the place and severity expected, and the words somewhere. */
static bool line_matches(const char *line, size_t len, const char *expected, size_t expected_len)
{
	const char *words = memmem(expected, expected_len, "r: ", 3); /* error: */
	size_t place_len;

	if (!words)
		words = memmem(expected, expected_len, "g: ", 3); /* warning: */
	if (!words)
		return false;
	words += 3;
	place_len = (size_t)(words - expected);
	return len >= place_len && !memcmp(line, expected, place_len) &&
	       memmem(line + place_len, len - place_len, words, expected_len - place_len);
}

void fixture_expect(const char *name, const struct findings *findings, const char *expected)
{
	const char *line = findings->text, *want = expected ? expected : "";
	bool same = true;

	while (same && *line && *want) {
		size_t len = strcspn(line, "\n"), want_len = strcspn(want, "\n");

		same = line_matches(line, len, want, want_len);
		line += len + (line[len] == '\n');
		want += want_len + (want[want_len] == '\n');
	}
	same = same && !*line && !*want;
	if (!same)
		fprintf(stderr, "\n%s: expected\n%s\nfound\n%s", name,
			expected ? expected : "nothing", findings->text);
	CU_ASSERT_TRUE(same);
}
