/* SPDX-License-Identifier: MIT */
/* A world for policy_parse() with a few users and groups, and a place for what it reports. */
#ifndef TESTS_UNIT_POLICY_FIXTURE_H
#define TESTS_UNIT_POLICY_FIXTURE_H

#include "accounting/policy.h"

#define FINDINGS_MAX 8192
#define FIXTURE_FILES 3 /* "main", "d/1", "d/2" */

/* users: root 0, qemu 107, alice 1000, bob 1001; groups: root 0, kvm 36, qemu 107. "flaky" is -EIO.
 */
struct findings {
	char text[FINDINGS_MAX]; /* lines of "file:line: error|warning: sentence", cut off at the
				    end */
	size_t n_errors;
	size_t n_warnings;
};

/* Every key of the manual, in both kinds of quotes and none, with comments. No findings. */
#define FIXTURE_SAMPLE_MAX 2048
extern const char fixture_sample[];

/**
 * fixture_parse() - policy_parse() of up to three texts, named "main", "d/1" and "d/2"
 * @texts: ends with NULL unless it is full
 * @ret_set: NULL on failure; policy_unref() it
 *
 * Also asserts what holds for every outcome: a snapshot and no errors, or -EINVAL with at least
 * one.
 */
int fixture_parse(const char *const texts[FIXTURE_FILES], uint64_t mem_total,
		  struct findings *findings, struct policy_set **ret_set);

/* The same for one text that may hold any bytes. */
int fixture_parse_bytes(const char *bytes, size_t len, struct findings *findings,
			struct policy_set **ret_set);

/**
 * fixture_expect() - compare findings with what a test expects
 * @name: the rule; printed with the findings where they differ
 * @expected: NULL or lines "file:line: severity: part of the sentence", all findings in their order
 */
void fixture_expect(const char *name, const struct findings *findings, const char *expected);

#endif
