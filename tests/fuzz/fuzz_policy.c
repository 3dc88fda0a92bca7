/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as configuration files. What policy_parse() takes must be a snapshot whose every number
 * is within what pinbroker.conf(5) documents and which decides as it says; what it does not take
 * must have been explained. A byte RS (0x1e) in the input begins the next file, a drop-in.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/admission.h"
#include "accounting/glob.h"
#include "accounting/policy.h"
#include "common/cleanup.h"
#include "tests/fuzz/fuzz.h"

#define FILES_MAX 3
#define FILE_BREAK 0x1e
#define MEM_TOTAL (UINT64_C(64) << 30)
#define SIZE_BYTES_MAX INT64_MAX /* size_parse() */

static const char *const file_names[FILES_MAX] = {"main", "d/1", "d/2"};

/* What was reported; the same input must be reported in the same way again. */
struct findings {
	const struct policy_file *files;
	size_t n_files;
	size_t n_errors;
	size_t n_warnings;
	uint64_t hash;
};

static int id_of(const char *name, uint32_t *ret_id)
{
	static const struct {
		const char *name;
		uint32_t id;
	} known[] = {{"root", 0}, {"kvm", 36}, {"qemu", 107}, {"alice", 1000}};

	if (strcmp(name, "flaky") == 0)
		return -EIO;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(known[i].name, name) != 0)
			continue;
		*ret_id = known[i].id;
		return 0;
	}
	return -ENOENT;
}

static int uid_of(const char *name, uid_t *ret_uid, void *arg)
{
	(void)arg; /* the findings */
	return id_of(name, ret_uid);
}

static int gid_of(const char *name, gid_t *ret_gid, void *arg)
{
	(void)arg; /* the findings */
	return id_of(name, ret_gid);
}

static unsigned int line_count(const struct policy_file *file)
{
	unsigned int n = 1;

	for (size_t i = 0; i < file->len; i++)
		n += file->bytes[i] == '\n';
	return n;
}

/* Each finding is at a place that exists, and is one line of words. */
static void report(enum policy_severity severity, const char *file, unsigned int line,
		   const char *text, void *arg)
{
	struct findings *f = arg;
	size_t i;

	for (i = 0; i < f->n_files && strcmp(f->files[i].name, file) != 0; i++)
		;
	FUZZ_CHECK(i < f->n_files);
	FUZZ_CHECK(line <= line_count(&f->files[i]));
	FUZZ_CHECK(text[0] && !strchr(text, '\n') && !strchr(text, '\001'));
	if (severity == POLICY_ERROR)
		f->n_errors++;
	else
		f->n_warnings++;
	f->hash = fuzz_hash(f->hash + line, text, strlen(text));
}

static int parse(const struct policy_file *files, size_t n_files, struct findings *ret_findings,
		 struct policy_set **ret_set)
{
	struct findings findings = {.files = files, .n_files = n_files};
	const struct policy_env env = {uid_of, gid_of, report, &findings, MEM_TOTAL};
	int err = policy_parse(files, n_files, &env, ret_set);

	FUZZ_CHECK(err == 0 || err == -EINVAL);
	FUZZ_CHECK((err == 0) == (findings.n_errors == 0));
	FUZZ_CHECK((err == 0) == (*ret_set != NULL));
	*ret_findings = findings;
	return err;
}

static bool in_range(uint64_t number, uint64_t min, uint64_t max)
{
	return min <= number && number <= max;
}

static void check_ids(const struct policy_ids *ids)
{
	FUZZ_CHECK(ids->n <= ids->n_written);
	for (size_t i = 0; i < ids->n; i++) {
		const struct policy_id_range *r = &ids->ranges[i];
		bool nobody = r->first == 1 && r->last == 0;

		FUZZ_CHECK(nobody || (r->first <= r->last && r->last < UINT32_MAX));
	}
}

static void check_patterns(const struct policy_patterns *patterns, char first)
{
	for (size_t i = 0; i < patterns->n; i++) {
		const char *glob = patterns->globs[i];

		FUZZ_CHECK(glob[0] && glob_valid(glob));
		FUZZ_CHECK(!first || glob[0] == first);
		if (glob_literal(glob))
			FUZZ_CHECK(glob_match(glob, glob));
	}
}

static void check_numbers(const struct policy *p)
{
	if (p->limit_auto) {
		FUZZ_CHECK(p->limit == 0 && p->user_limit != POLICY_UNLIMITED);
	} else {
		FUZZ_CHECK(in_range(p->limit, 1, SIZE_BYTES_MAX));
		FUZZ_CHECK(p->limit <= p->user_limit);
	}
	FUZZ_CHECK(p->user_limit == POLICY_UNLIMITED || in_range(p->user_limit, 1, SIZE_BYTES_MAX));
	FUZZ_CHECK(p->max_mappings_auto || p->max_mappings == POLICY_UNLIMITED ||
		   in_range(p->max_mappings, 1, UINT32_MAX));
	FUZZ_CHECK(in_range(p->max_objects, 1, UINT32_MAX));
	FUZZ_CHECK(in_range(p->max_sessions, 1, UINT32_MAX));
	FUZZ_CHECK(p->extra_memlock <= SIZE_BYTES_MAX && p->headroom <= SIZE_BYTES_MAX);
	FUZZ_CHECK(p->migration_buffers == POLICY_UNLIMITED ||
		   p->migration_buffers <= SIZE_BYTES_MAX);
}

static void check_policy(const struct policy_set *set, size_t index)
{
	const struct policy *p = &set->policies[index];
	bool cap = p->mirror == POLICY_MIRROR_CAP || p->mirror == POLICY_MIRROR_BOTH;

	FUZZ_CHECK(in_range(strlen(p->name), 1, POLICY_NAME_MAX));
	FUZZ_CHECK(p->line >= 1);
	for (size_t i = 0; i < index; i++)
		FUZZ_CHECK(strcmp(set->policies[i].name, p->name) != 0);
	FUZZ_CHECK(p->users.n_written || p->groups.n_written || p->cgroups.n || p->domains.n);
	check_ids(&p->users);
	check_ids(&p->groups);
	check_ids(&p->admins);
	check_patterns(&p->cgroups, '/');
	check_patterns(&p->domains, '\0');
	check_patterns(&p->devices, '\0');
	check_numbers(p);
	FUZZ_CHECK(in_range(p->accounting, POLICY_ACCOUNTING_TASK, POLICY_ACCOUNTING_ANY));
	FUZZ_CHECK(in_range(p->mirror, POLICY_MIRROR_OFF, POLICY_MIRROR_TRACK));
	FUZZ_CHECK(!cap || p->migration_buffers != POLICY_UNLIMITED);
	FUZZ_CHECK(policy_accounting_name(p->accounting) && policy_mirror_name(p->mirror));
}

static void check_set(const struct policy_set *set)
{
	FUZZ_CHECK(set->refs == 1);
	FUZZ_CHECK(in_range(set->max_connections, 1, UINT32_MAX));
	FUZZ_CHECK(set->host_reserve < MEM_TOTAL);
	FUZZ_CHECK(set->host_reserve_checked || set->host_reserve == 0);
	FUZZ_CHECK(in_range(set->unmanaged, POLICY_UNMANAGED_ALLOW, POLICY_UNMANAGED_LIMIT));
	FUZZ_CHECK(set->unmanaged != POLICY_UNMANAGED_LIMIT || set->unmanaged_limit);
	FUZZ_CHECK(in_range(set->slip, POLICY_SLIP_REPORT, POLICY_SLIP_KILL));
	for (size_t i = 0; i < set->n_policies; i++)
		check_policy(set, i);
}

static bool ids_have(const struct policy_ids *ids, uint32_t id)
{
	for (size_t i = 0; i < ids->n; i++)
		if (ids->ranges[i].first <= id && id <= ids->ranges[i].last)
			return true;
	return false;
}

/* By the manual's words: every list that is not empty, and one entry of it. */
static bool covers(const struct policy *p, const struct policy_subject *subject)
{
	bool groups = !p->groups.n_written, cgroups = !p->cgroups.n, domains = !p->domains.n;

	for (size_t i = 0; i < subject->n_gids; i++)
		groups |= ids_have(&p->groups, subject->gids[i]);
	for (size_t i = 0; i < p->cgroups.n && subject->cgroup; i++)
		cgroups |= glob_match_ancestor(p->cgroups.globs[i], subject->cgroup);
	for (size_t i = 0; i < p->domains.n && subject->domain; i++)
		domains |= glob_match(p->domains.globs[i], subject->domain);
	return (!p->users.n_written || ids_have(&p->users, subject->uid)) && groups && cgroups &&
	       domains;
}

static void sums_of(uid_t uid, const struct policy *policy, struct admission_sums *ret_sums,
		    void *arg)
{
	(void)uid;
	(void)policy;
	*ret_sums = *(const struct admission_sums *)arg;
}

/* What is granted under a policy is within it, and within what the sums leave. */
static void check_admission(const struct policy_set *set, const struct policy_subject *subject,
			    const struct policy *matched)
{
	static const uint64_t memories[] = {0, 1, UINT64_C(1) << 30, INT64_MAX, UINT64_MAX};
	struct admission_sums sums = {
		.user = 4096, .host = UINT64_C(1) << 30, .n_sessions = 1, .mem_total = MEM_TOTAL};

	for (size_t i = 0; i < ARRAY_SIZE(memories); i++) {
		const struct admission_request request = {
			.subject = *subject,
			.policy = policy_match(set, subject),
			.memory = memories[i],
			.viommu = i & 1,
		};
		struct admission a = {.refusal = REFUSAL_NONE};

		admission_decide(set, &request, sums_of, &sums, &a);
		FUZZ_CHECK(a.policy == matched);
		FUZZ_CHECK((a.refusal != REFUSAL_NONE) == (a.text[0] != '\0'));
		if (a.refusal != REFUSAL_NONE)
			continue;
		FUZZ_CHECK(matched && !set->require_gate);
		FUZZ_CHECK(a.accounting == POLICY_ACCOUNTING_TASK ||
			   a.accounting == POLICY_ACCOUNTING_USER);
		FUZZ_CHECK(a.limit > 0 && (matched->limit_auto || a.limit <= matched->limit));
		FUZZ_CHECK(matched->user_limit - sums.user >= a.limit);
		FUZZ_CHECK(!set->host_reserve_checked ||
			   MEM_TOTAL - set->host_reserve - sums.host >= a.limit);
		FUZZ_CHECK(sums.n_sessions < matched->max_sessions);
	}
}

static bool by_domain_alone(const struct policy *p)
{
	return !p->users.n_written && !p->groups.n_written && !p->cgroups.n;
}

static void check_subject(const struct policy_set *set, const struct policy_subject *subject)
{
	const struct policy *matched = policy_match(set, subject);
	size_t i = 0;

	while (i < set->n_policies && !covers(&set->policies[i], subject))
		i++;
	FUZZ_CHECK(matched == (i < set->n_policies ? &set->policies[i] : NULL));
	/* One that goes by domains alone is for the admins, who name them. */
	FUZZ_CHECK(!matched || by_domain_alone(matched) || policy_knows(set, subject));
	for (i = 0; i < set->n_policies; i++) {
		const struct policy *p = &set->policies[i];

		FUZZ_CHECK(policy_admin(p, subject->uid) == ids_have(&p->admins, subject->uid));
		FUZZ_CHECK(!policy_admin(p, subject->uid) || policy_knows(set, subject));
		FUZZ_CHECK(p->devices.n || !policy_device_allowed(p, "0000:65:00.0", 0x8086, 1));
		(void)policy_device_allowed(p, "0000:65:00.0", 0x10de, 0x2204); /* only not die */
	}
	check_admission(set, subject, matched);
}

/* The edges of what each policy names, and somebody else. */
static void check_subjects(const struct policy_set *set)
{
	static const gid_t kvm[] = {107, 36};
	struct policy_subject subject = {.uid = 1000};

	check_subject(set, &subject);
	for (size_t i = 0; i < set->n_policies; i++) {
		const struct policy *p = &set->policies[i];

		subject = (struct policy_subject){.uid = 1000, .gids = kvm, .n_gids = 2};
		if (p->users.n)
			subject.uid = p->users.ranges[0].first;
		check_subject(set, &subject);
		if (p->users.n)
			subject.uid = p->users.ranges[p->users.n - 1].last + 1;
		subject.cgroup = p->cgroups.n ? p->cgroups.globs[0] : "/machine.slice/a.scope";
		subject.domain = p->domains.n ? p->domains.globs[0] : "db-1";
		check_subject(set, &subject);
	}
}

/* libconfuse's lexer keeps state in globals: nothing of a bad file may show in the next one. */
static void check_clean(void)
{
	static const char text[] = "policy \"a\" {\n\tusers = {\"1\", '2'}\n\taccounting = task\n"
				   "\tlimit = 1M\n}\n";
	const struct policy_file file = {"main", text, sizeof(text) - 1};
	CLEANUP(policy_unrefp) struct policy_set *set = NULL;
	struct findings findings;

	FUZZ_CHECK(parse(&file, 1, &findings, &set) == 0 && findings.n_warnings == 0);
	FUZZ_CHECK(set->n_policies == 1 && set->policies[0].users.n == 2);
}

static size_t split(const char *bytes, size_t len, struct policy_file *files)
{
	const char *end = bytes + len;
	size_t n = 0;

	while (n < FILES_MAX) {
		const char *next = n + 1 < FILES_MAX && bytes < end
					   ? memchr(bytes, FILE_BREAK, (size_t)(end - bytes))
					   : NULL;

		files[n] = (struct policy_file){file_names[n], bytes,
						(size_t)((next ? next : end) - bytes)};
		n++;
		if (!next)
			break;
		bytes = next + 1;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(policy_unrefp) struct policy_set *set = NULL, *again = NULL;
	struct policy_file files[FILES_MAX];
	struct findings first, second;
	size_t n = split((const char *)data, len, files);
	int err = parse(files, n, &first, &set);

	if (err)
		check_clean();
	FUZZ_CHECK(parse(files, n, &second, &again) == err);
	FUZZ_CHECK(first.n_errors == second.n_errors && first.hash == second.hash);
	if (err)
		return 0;
	FUZZ_CHECK(set->n_policies == again->n_policies);
	check_set(set);
	check_subjects(set);
	return 0;
}
