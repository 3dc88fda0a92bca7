/* SPDX-License-Identifier: MIT */
#include "accounting/mirror.h"

#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define HUGE_SMALL (2 * MIB)
#define STEPS 200000

static const uint64_t sizes[MIRROR_HUGE_MAX] = {HUGE_SMALL, GIB};

static struct mirror_session guest(enum policy_mirror mode, uint64_t limit, uint64_t pinned)
{
	return (struct mirror_session){
		.mode = mode,
		.limit = limit,
		.factor = 1,
		.headroom = 512 * MIB,
		.pinned = pinned,
	};
}

static struct mirror_limits limits_of(const struct mirror_session *sessions, size_t n,
				      const struct mirror_usage *usage)
{
	struct mirror_share share = {0};
	struct mirror_limits limits;

	for (size_t i = 0; i < n; i++)
		mirror_add(&share, &sessions[i]);
	mirror_limits(&share, usage, sizes, &limits);
	return limits;
}

static void protection_is_of_what_is_charged(void)
{
	static const struct {
		const char *name;
		uint64_t pinned;
		struct mirror_usage usage;
		uint64_t min;
	} cases[] = {
		{"pinned once", 4 * GIB, {.anon = 5 * GIB}, 4 * GIB + 512 * MIB},
		{"shared memory", 4 * GIB, {.shmem = 5 * GIB}, 4 * GIB + 512 * MIB},
		{"the same RAM mapped twice", 8 * GIB, {.shmem = 4 * GIB}, 4 * GIB + 512 * MIB},
		{"huge pages are not memory", 4 * GIB, {.anon = MIB, .huge = {4 * GIB}}, 513 * MIB},
		{"huge pages that are",
		 4 * GIB,
		 {.anon = MIB, .huge = {4 * GIB}, .huge_in_memory = true},
		 4 * GIB + 512 * MIB},
		{"nothing pinned", 0, {.anon = GIB}, 512 * MIB},
		{"whole pages", 4 * GIB, {.anon = 1}, 512 * MIB + 4 * KIB},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct mirror_session session =
			guest(POLICY_MIRROR_PROTECT, 16 * GIB, cases[i].pinned);
		struct mirror_limits limits = limits_of(&session, 1, &cases[i].usage);

		CHECK(cases[i].name, limits.min && limits.memory_min == cases[i].min);
		CHECK(cases[i].name, !limits.max);
	}
}

static void cap_is_the_guest_and_what_it_needs(void)
{
	static const struct {
		const char *name;
		struct mirror_session session;
		struct mirror_usage usage;
		uint64_t max, huge;
	} cases[] = {
		{"limit and headroom",
		 {.limit = 4 * GIB, .factor = 1, .headroom = GIB},
		 {.current = GIB},
		 5 * GIB,
		 4 * GIB},
		{"mapped twice, charged once",
		 {.limit = 8 * GIB, .factor = 2, .headroom = GIB},
		 {.current = GIB},
		 5 * GIB,
		 4 * GIB},
		{"buffers of a migration",
		 {.limit = 4 * GIB, .factor = 1, .n_devices = 2, .migration_buffers = GIB},
		 {.current = GIB},
		 6 * GIB,
		 4 * GIB},
		{"huge pages leave memory",
		 {.limit = 4 * GIB, .factor = 1, .headroom = GIB},
		 {.current = GIB, .huge = {3 * GIB}},
		 2 * GIB,
		 4 * GIB},
		{"unless they are memory",
		 {.limit = 4 * GIB, .factor = 1, .headroom = GIB},
		 {.current = 4 * GIB, .huge = {3 * GIB}, .huge_in_memory = true},
		 5 * GIB,
		 4 * GIB},
		{"memory leaves huge pages",
		 {.limit = 4 * GIB, .factor = 1, .headroom = GIB},
		 {.current = 4 * GIB, .anon = 3 * GIB, .shmem = GIB},
		 5 * GIB,
		 GIB},
		{"page cache does not",
		 {.limit = 4 * GIB, .factor = 1, .headroom = GIB},
		 {.current = 4 * GIB, .anon = GIB},
		 5 * GIB,
		 4 * GIB},
		{"more is used than the limit: nobody is killed",
		 {.limit = 4 * GIB, .factor = 1, .headroom = GIB},
		 {.current = 9 * GIB, .anon = 9 * GIB, .huge = {GIB}},
		 9 * GIB,
		 GIB},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mirror_session session = cases[i].session;
		struct mirror_limits limits;

		session.mode = POLICY_MIRROR_CAP;
		limits = limits_of(&session, 1, &cases[i].usage);
		CHECK(cases[i].name, limits.max && !limits.min);
		CHECK(cases[i].name, limits.memory_max == cases[i].max);
		CHECK(cases[i].name, limits.raised == (cases[i].max == 9 * GIB));
		CHECK(cases[i].name, limits.huge_max[0] == cases[i].huge);
	}
}

static void sessions_of_one_cgroup_add_up(void)
{
	struct mirror_session two[] = {guest(POLICY_MIRROR_BOTH, 4 * GIB, GIB),
				       guest(POLICY_MIRROR_BOTH, 2 * GIB, 2 * GIB)};
	const struct mirror_usage usage = {.anon = 8 * GIB, .current = GIB};
	struct mirror_limits limits = limits_of(two, 2, &usage);

	CU_ASSERT_EQUAL(limits.memory_min, 4 * GIB);
	CU_ASSERT_EQUAL(limits.memory_max, 7 * GIB);
	two[1].mode = POLICY_MIRROR_PROTECT;
	limits = limits_of(two, 2, &usage);
	CU_ASSERT_TRUE(limits.min);
	CU_ASSERT_FALSE(limits.max); /* it would cap the one that is not to be */
	two[1].pinned = UINT64_MAX;
	limits = limits_of(two, 2, &usage);
	CU_ASSERT_EQUAL(limits.memory_min, GIB + 512 * MIB); /* of what is known */
	two[1].mode = POLICY_MIRROR_TRACK;
	two[1].pinned = 0;
	limits = limits_of(&two[1], 1, &usage);
	CU_ASSERT_TRUE(limits.min && limits.max);
}

static void sums_that_overflow_are_no_limit(void)
{
	struct mirror_session session = guest(POLICY_MIRROR_CAP, UINT64_MAX, 0);
	const struct mirror_usage usage = {.current = GIB};

	session.n_devices = 2;
	session.migration_buffers = UINT64_MAX - 1;
	CU_ASSERT_TRUE(limits_of(&session, 1, &usage).memory_max >= UINT64_MAX - 4 * KIB);
	session.migration_buffers = POLICY_UNLIMITED;
	CU_ASSERT_FALSE(limits_of(&session, 1, &usage).max);
}

static void originals_hold(void)
{
	CU_ASSERT_EQUAL(mirror_min_over(GIB, 0), GIB);
	CU_ASSERT_EQUAL(mirror_min_over(GIB, 2 * GIB), 2 * GIB);
	CU_ASSERT_EQUAL(mirror_max_under(GIB, MIRROR_NO_LIMIT, MIB), GIB);
	CU_ASSERT_EQUAL(mirror_max_under(2 * GIB, GIB, MIB), GIB);
	CU_ASSERT_EQUAL(mirror_max_under(GIB, MIRROR_NO_LIMIT, 3 * GIB), 3 * GIB);
	CU_ASSERT_EQUAL(mirror_max_under(GIB, 2 * GIB, 3 * GIB), 2 * GIB);
}

static uint64_t some(uint64_t *seed, uint64_t unit)
{
	return suite_random(seed) % 64 * unit;
}

static struct mirror_usage some_usage(uint64_t *seed)
{
	struct mirror_usage usage = {
		.anon = some(seed, 128 * MIB),
		.shmem = some(seed, 128 * MIB),
		.huge = {some(seed, 64 * HUGE_SMALL), some(seed, GIB) / 8 * 8},
		.huge_in_memory = suite_random(seed) % 2,
	};

	usage.current = usage.anon + usage.shmem + some(seed, 4 * KIB);
	if (usage.huge_in_memory)
		usage.current += usage.huge[0] + usage.huge[1];
	return usage;
}

/* Whatever the sessions and the cgroup have: no maximum below use, and no way around the sum. */
static void nobody_is_killed_and_nothing_is_had_twice(void)
{
	uint64_t seed = suite_seed("mirror"), bad = 0;

	for (int i = 0; i < STEPS; i++) {
		struct mirror_session session =
			guest(POLICY_MIRROR_BOTH, some(&seed, GIB), some(&seed, GIB));
		const struct mirror_usage usage = some_usage(&seed);
		uint64_t huge = usage.huge[0] + usage.huge[1], memory = usage.anon + usage.shmem;
		struct mirror_limits limits;

		session.headroom = some(&seed, 64 * MIB);
		limits = limits_of(&session, 1, &usage);
		bad += limits.memory_max < usage.current || limits.huge_max[0] < usage.huge[0] ||
		       limits.huge_max[1] < usage.huge[1];
		bad += limits.memory_min > session.pinned + session.headroom;
		/* Where nobody has more than he may: what huge pages may become fits, too. */
		if (memory + huge <= session.limit)
			bad += limits.huge_max[0] + usage.huge[1] + memory >
			       session.limit + session.headroom;
	}
	CU_ASSERT_EQUAL(bad, 0);
}

static const CU_TestInfo tests[] = {
	{"protection is of what is charged, not pinned", protection_is_of_what_is_charged},
	{"a cap is the guest's memory and what it needs besides",
	 cap_is_the_guest_and_what_it_needs},
	{"sessions of one cgroup add up", sessions_of_one_cgroup_add_up},
	{"sums that overflow are no limit", sums_that_overflow_are_no_limit},
	{"nothing is looser than what was there", originals_hold},
	{"no maximum is below use, whatever there is", nobody_is_killed_and_nothing_is_had_twice},
	CU_TEST_INFO_NULL,
};

const struct suite suite_mirror_math = {"mirror_math", tests};
