/* SPDX-License-Identifier: MIT */
/*
 * Every suite file exports one struct suite; main.c lists them. One suite per source file.
 *
 * A test that cannot run here says so with suite_skip() and returns: it is counted, not passed
 * over. Tests that choose at random take their seed from suite_seed(), which prints it.
 */
#ifndef TESTS_UNIT_SUITE_H
#define TESTS_UNIT_SUITE_H

#include <CUnit/CUnit.h>
#include <stdbool.h>
#include <stdint.h>

struct suite {
	const char *name;
	const CU_TestInfo *tests; /* ends with CU_TEST_INFO_NULL */
};

extern const struct suite suite_admission;
extern const struct suite suite_bars;
extern const struct suite suite_bucket;
extern const struct suite suite_budget;
extern const struct suite suite_capable;
extern const struct suite suite_cdev;
extern const struct suite suite_cgm_group;
extern const struct suite suite_cgm_place;
extern const struct suite suite_cgm_tree;
extern const struct suite suite_closer;
extern const struct suite suite_cmd_mirror;
extern const struct suite suite_commands;
extern const struct suite suite_conffile;
extern const struct suite suite_connection;
extern const struct suite suite_device;
extern const struct suite suite_domain;
extern const struct suite suite_domain_xml;
extern const struct suite suite_fdmsg;
extern const struct suite suite_features;
extern const struct suite suite_risk;
extern const struct suite suite_migration;
extern const struct suite suite_fdstore;
extern const struct suite suite_gate_index;
extern const struct suite suite_gate_spare;
extern const struct suite suite_gate_expect;
extern const struct suite suite_gate_pool;
extern const struct suite suite_glob;
extern const struct suite suite_grant;
extern const struct suite suite_guest;
extern const struct suite suite_hook;
extern const struct suite suite_handoff;
extern const struct suite suite_host;
extern const struct suite suite_iommu;
extern const struct suite suite_ledger;
extern const struct suite suite_host_report;
extern const struct suite suite_lib_host;
extern const struct suite suite_lib_mirror;
extern const struct suite suite_lib_order;
extern const struct suite suite_lib_status;
extern const struct suite suite_lib_trace;
extern const struct suite suite_libpinbroker;
extern const struct suite suite_limits;
extern const struct suite suite_listener;
extern const struct suite suite_lobby;
extern const struct suite suite_log;
extern const struct suite suite_loop;
extern const struct suite suite_loop_epoll;
extern const struct suite suite_loop_timer;
extern const struct suite suite_loop_uring;
extern const struct suite suite_mirror;
extern const struct suite suite_mirror_math;
extern const struct suite suite_mirror_report;
extern const struct suite suite_mirror_rule;
extern const struct suite suite_mirror_turn;
extern const struct suite suite_order;
extern const struct suite suite_output;
extern const struct suite suite_owner;
extern const struct suite suite_owner_rule;
extern const struct suite suite_place;
extern const struct suite suite_placeholder;
extern const struct suite suite_policy;
extern const struct suite suite_policy_files;
extern const struct suite suite_policy_match;
extern const struct suite suite_preflight;
extern const struct suite suite_procfs;
extern const struct suite suite_proto;
extern const struct suite suite_proto_mirror;
extern const struct suite suite_record;
extern const struct suite suite_request;
extern const struct suite suite_reserve;
extern const struct suite suite_restore;
extern const struct suite suite_sandbox;
extern const struct suite suite_screen;
extern const struct suite suite_session;
extern const struct suite suite_setting;
extern const struct suite suite_size;
extern const struct suite suite_trace;
extern const struct suite suite_worker;

/* Asserts a condition for a row of a table; a failure names the row. */
#define CHECK(row, condition) \
	suite_check((condition), (row), #condition, __FILE__, (unsigned int)__LINE__)

void suite_check(bool holds, const char *row, const char *what, const char *file,
		 unsigned int line);

/* Counts the test as skipped and says why. */
void suite_skip(const char *why);

/* $PINBROKER_TEST_SEED, or one of this run; printed with the name. Never 0. */
uint64_t suite_seed(const char *name);

/* The next number of a sequence that the seed decides (xorshift64*). */
uint64_t suite_random(uint64_t *state);

/* How many descriptors this process has open. */
int suite_count_fds(void);

#endif
