/* SPDX-License-Identifier: MIT */
/* unit [SUITE...]: runs the suites named, or all. Exits with 1 if a test failed, 64 on misuse. */
#include <CUnit/Basic.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define MAIN_HANG_SECONDS 300 /* nothing waits for a clock; only a test that hangs takes this */

static const struct suite *const suites[] = {
	&suite_capable,      &suite_admission,   &suite_bucket,      &suite_budget,
	&suite_cdev,         &suite_closer,      &suite_commands,    &suite_conffile,
	&suite_connection,   &suite_device,      &suite_fdmsg,       &suite_glob,
	&suite_grant,        &suite_host,        &suite_host_report, &suite_lib_host,
	&suite_iommu,        &suite_ledger,      &suite_lib_order,   &suite_lib_status,
	&suite_libpinbroker, &suite_limits,      &suite_listener,    &suite_lobby,
	&suite_log,          &suite_loop,        &suite_loop_epoll,  &suite_loop_timer,
	&suite_loop_uring,   &suite_order,       &suite_output,      &suite_owner,
	&suite_owner_rule,   &suite_placeholder, &suite_policy,      &suite_policy_files,
	&suite_policy_match, &suite_procfs,      &suite_proto,       &suite_record,
	&suite_request,      &suite_reserve,     &suite_restore,     &suite_sandbox,
	&suite_session,      &suite_setting,     &suite_size,        &suite_trace,
	&suite_lib_trace,    &suite_screen,      &suite_gate_index,  &suite_fdstore,
	&suite_gate_spare,   &suite_gate_pool,   &suite_gate_expect, &suite_mirror_math,
	&suite_proto_mirror, &suite_lib_mirror,  &suite_cmd_mirror,  &suite_cgm_group,
	&suite_cgm_place,    &suite_cgm_tree,    &suite_worker,      &suite_mirror_turn,
	&suite_mirror,       &suite_mirror_rule, &suite_place,       &suite_mirror_report,
	&suite_guest,        &suite_domain,      &suite_domain_xml,  &suite_bars,
	&suite_preflight,    &suite_features,    &suite_risk,        &suite_migration,
	&suite_hook,         &suite_handoff,
};

static unsigned int n_skipped; /* CUnit has no word for it */

void suite_check(bool holds, const char *row, const char *what, const char *file, unsigned int line)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "%s: %s", row, what); /* cut when too long */
	(void)CU_assertImplementation(holds, line, text, file, "", CU_FALSE);
}

void suite_skip(const char *why)
{
	n_skipped++;
	printf("skipped: %s ... ", why);
}

uint64_t suite_seed(const char *name)
{
	const char *given = getenv("PINBROKER_TEST_SEED");
	struct timespec now;
	uint64_t seed;

	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
	seed = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	if (given)
		seed = strtoull(given, NULL, 0);
	if (seed == 0)
		seed = 1;
	printf("PINBROKER_TEST_SEED=%" PRIu64 " (%s) ... ", seed, name);
	return seed;
}

uint64_t suite_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

int suite_count_fds(void)
{
	CLEANUP(dir_closep) DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
	while (readdir(dir))
		n++;
	return n;
}

static int add_suite(const struct suite *suite)
{
	CU_pSuite added = CU_add_suite(suite->name, NULL, NULL);

	if (!added)
		return -1;
	for (const CU_TestInfo *test = suite->tests; test->pName; test++)
		if (!CU_add_test(added, test->pName, test->pTestFunc))
			return -1;
	return 0;
}

static int add_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(suites); i++)
		if (strcmp(suites[i]->name, name) == 0)
			return add_suite(suites[i]);
	(void)fprintf(stderr, "unit: no suite %s; there are:", name);
	for (size_t i = 0; i < ARRAY_SIZE(suites); i++)
		(void)fprintf(stderr, " %s", suites[i]->name);
	(void)fputc('\n', stderr);
	return -1;
}

int main(int argc, char **argv)
{
	unsigned int n_failed;
	int err = 0;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return EX_SOFTWARE;
	for (int i = 1; !err && i < argc; i++)
		err = add_named(argv[i]);
	for (size_t i = 0; !err && argc == 1 && i < ARRAY_SIZE(suites); i++)
		err = add_suite(suites[i]);
	if (err) {
		CU_cleanup_registry();
		return EX_USAGE;
	}
	(void)alarm(MAIN_HANG_SECONDS);
	CU_basic_set_mode(CU_BRM_VERBOSE);
	(void)CU_basic_run_tests();
	n_failed = CU_get_number_of_failures() + CU_get_number_of_suites_failed();
	printf("%u tests skipped\n", n_skipped);
	CU_cleanup_registry();
	return n_failed ? 1 : 0;
}
