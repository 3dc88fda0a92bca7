/* SPDX-License-Identifier: MIT */
/* Time is an argument here: nothing waits. */
#include "daemon/budget.h"

#include <errno.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define START 1000000

static unsigned int requests_now(struct budget_user *user, unsigned int max, uint64_t now_ms)
{
	unsigned int n = 0;

	while (n < 10000 && budget_request(user, max, now_ms))
		n++;
	return n;
}

static void connections_are_counted_per_uid(void)
{
	CLEANUP(budget_freep) struct budget *budget = NULL;
	struct budget_user *a[2], *b, *none = NULL;

	CU_ASSERT_EQUAL_FATAL(budget_new(&budget), 0);
	CU_ASSERT_EQUAL(budget_connect(budget, 1, 2, 0, START, &a[0]), 0);
	CU_ASSERT_EQUAL(budget_connect(budget, 1, 2, 0, START, &a[1]), 0);
	CU_ASSERT_EQUAL(budget_connect(budget, 1, 2, 0, START, &none), -EDQUOT);
	CU_ASSERT_PTR_NULL(none);
	CU_ASSERT_PTR_EQUAL(a[0], a[1]);
	/* 257 shares the bucket of 1, not its budget. */
	CU_ASSERT_EQUAL(budget_connect(budget, 257, 2, 0, START, &b), 0);
	budget_disconnect(budget, a[0], START);
	CU_ASSERT_EQUAL(budget_connect(budget, 1, 2, 0, START, &a[0]), 0);
	CU_ASSERT_EQUAL(budget_connect(budget, 1, 2, 0, START, &none), -EDQUOT);
	budget_disconnect(budget, a[0], START);
	budget_disconnect(budget, a[1], START);
	budget_disconnect(budget, b, START);
}

static void no_connection_fits_into_none(void)
{
	CLEANUP(budget_freep) struct budget *budget = NULL;
	struct budget_user *none = NULL;

	CU_ASSERT_EQUAL_FATAL(budget_new(&budget), 0);
	CU_ASSERT_EQUAL(budget_connect(budget, 1, 0, 0, START, &none), -EDQUOT);
	CU_ASSERT_PTR_NULL(none);
}

static void requests_follow_the_clock(void)
{
	static const struct {
		const char *name;
		uint64_t after_ms;
		unsigned int n;
	} cases[] = {
		{"a full bucket at first", 0, 200},
		{"nothing without time", 0, 0},
		{"nothing for less than one's time", 4, 0},
		{"one, of two halves", 1, 1},
		{"a tenth of a second", 100, 20},
		{"never more than a second's", 5000, 200},
		{"nor after a day", 86400000, 200},
	};
	CLEANUP(budget_freep) struct budget *budget = NULL;
	struct budget_user *user;
	uint64_t now = START;

	CU_ASSERT_EQUAL_FATAL(budget_new(&budget), 0);
	CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 1, 64, 0, now, &user), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		now += cases[i].after_ms;
		CHECK(cases[i].name, requests_now(user, 200, now) == cases[i].n);
	}
	budget_disconnect(budget, user, now);
}

static void connections_have_a_rate_of_their_own(void)
{
	CLEANUP(budget_freep) struct budget *budget = NULL;
	struct budget_user *user, *none;

	CU_ASSERT_EQUAL_FATAL(budget_new(&budget), 0);
	for (int i = 0; i < 3; i++) { /* one after the other: only the rate can stop it */
		CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 1, 64, 3, START, &user), 0);
		CU_ASSERT_TRUE(budget_request(user, 3, START));
		budget_disconnect(budget, user, START);
	}
	CU_ASSERT_EQUAL(budget_connect(budget, 1, 64, 3, START, &none), -EAGAIN);
	CU_ASSERT_EQUAL(budget_connect(budget, 1, 64, 3, START + 334, &user), 0);
	CU_ASSERT_TRUE(budget_request(user, 3, START + 334));
	budget_disconnect(budget, user, START + 334);
}

/* Told at first, then not even that; a second later it may come in again. */
static void who_knocks_too_often_is_shut_out(void)
{
	static const struct {
		const char *name;
		uint64_t after_ms;
		unsigned int n[3]; /* of 100 that knock, by enum budget_door */
	} cases[] = {
		{"at first", 0, {20, 10, 70}},
		{"at once again", 0, {0, 0, 100}},
		{"a tenth of a second later", 100, {2, 1, 97}},
		{"a second later", 1000, {20, 10, 70}},
	};
	CLEANUP(budget_freep) struct budget *budget = NULL;
	enum budget_door door;
	uint64_t now = START;

	CU_ASSERT_EQUAL_FATAL(budget_new(&budget), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int n[3] = {0};

		now += cases[i].after_ms;
		for (int k = 0; k < 100; k++) {
			CU_ASSERT_EQUAL_FATAL(budget_knock(budget, 1, 20, now, &door), 0);
			n[door]++;
		}
		for (size_t k = 0; k < ARRAY_SIZE(n); k++)
			CHECK(cases[i].name, n[k] == cases[i].n[k]);
		CU_ASSERT_EQUAL(budget_knock(budget, 257, 20, now, &door), 0);
		CHECK(cases[i].name, door == BUDGET_OPEN); /* another uid */
	}
	for (int k = 0; k < 1000; k++) {
		CU_ASSERT_EQUAL(budget_knock(budget, 1, 0, now, &door), 0);
		CU_ASSERT_EQUAL(door, BUDGET_OPEN);
	}
}

/* Each connection gets a turn of its own, so that all together ask at the rate that is allowed. */
static void too_many_requests_bring_a_pause(void)
{
	CLEANUP(budget_freep) struct budget *budget = NULL;
	struct budget_user *user;

	CU_ASSERT_EQUAL_FATAL(budget_new(&budget), 0);
	CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 1, 64, 0, START, &user), 0);
	CU_ASSERT_EQUAL(requests_now(user, 0, START), 10000);
	CU_ASSERT_EQUAL(budget_pause(user, 0, START), 0); /* not limited */
	for (int i = 0; i < 20; i++) {
		CU_ASSERT_TRUE(budget_request(user, 20, START));
		CU_ASSERT_EQUAL(budget_pause(user, 20, START), 0);
	}
	CU_ASSERT_FALSE(budget_request(user, 20, START));
	for (uint32_t i = 1; i < 20; i++)
		CU_ASSERT_EQUAL(budget_pause(user, 20, START), i * 50);
	for (int i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(budget_pause(user, 20, START), BUDGET_PAUSE_MAX_MS);
	CU_ASSERT_TRUE(budget_request(user, 20, START + 50));
	CU_ASSERT_EQUAL(budget_pause(user, 20, START + 50), 0); /* it was not too many */
	CU_ASSERT_FALSE(budget_request(user, 20, START + 50));
	CU_ASSERT_EQUAL(budget_pause(user, 20, START + 5000), 50); /* those turns are past */
	CU_ASSERT_EQUAL(budget_pause(user, 4000, START + 6000), 1); /* never without one */
	budget_disconnect(budget, user, START);
}

/* Also connecting anew does not give one more than that. */
static void refusals_are_logged_one_by_one_at_first(void)
{
	CLEANUP(budget_freep) struct budget *budget = NULL;
	struct budget_user *user, *other;

	CU_ASSERT_EQUAL_FATAL(budget_new(&budget), 0);
	CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 1, 64, 0, START, &user), 0);
	for (int i = 0; i < BUDGET_LINES; i++)
		CU_ASSERT_EQUAL(budget_line(user, START), 1);
	for (int i = 0; i < 7; i++)
		CU_ASSERT_EQUAL(budget_line(user, START), 0);
	CU_ASSERT_EQUAL(budget_line(user, START + 1000), 8);
	CU_ASSERT_EQUAL(budget_line(user, START + 1000), 0);
	budget_disconnect(budget, user, START + 1000);
	/* Somebody else of the same bucket makes the broker look for whom to forget. */
	CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 257, 64, 0, START + 5000, &other), 0);
	CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 1, 64, 0, START + 5000, &user), 0);
	CU_ASSERT_EQUAL(budget_line(other, START + 5000), 1);
	for (int i = 0; i < 4; i++)
		CU_ASSERT_NOT_EQUAL(budget_line(user, START + 5000), 0);
	CU_ASSERT_EQUAL(budget_line(user, START + 5000), 0);
	budget_disconnect(budget, user, START + 5000);
	budget_disconnect(budget, other, START + 5000);
}

static void zero_is_no_limit(void)
{
	CLEANUP(budget_freep) struct budget *budget = NULL;
	struct budget_user *user;

	CU_ASSERT_EQUAL_FATAL(budget_new(&budget), 0);
	CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 1, 64, 0, START, &user), 0);
	CU_ASSERT_EQUAL(requests_now(user, 0, START), 10000);
	CU_ASSERT_EQUAL(requests_now(user, 5, START), 5); /* after a reload */
	budget_disconnect(budget, user, START);
}

static void connecting_anew_resets_nothing(void)
{
	CLEANUP(budget_freep) struct budget *budget = NULL;
	struct budget_user *user, *other;

	CU_ASSERT_EQUAL_FATAL(budget_new(&budget), 0);
	CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 1, 64, 0, START, &user), 0);
	CU_ASSERT_EQUAL(requests_now(user, 10, START), 10);
	budget_disconnect(budget, user, START);
	/* Somebody else of the same bucket makes the broker look for whom to forget. */
	CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 257, 64, 0, START + 50, &other), 0);
	CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 1, 64, 0, START + 50, &user), 0);
	CU_ASSERT_EQUAL(requests_now(user, 10, START + 50), 0);
	CU_ASSERT_EQUAL(requests_now(user, 10, START + 100), 1);
	budget_disconnect(budget, user, START + 100);
	budget_disconnect(budget, other, START + 1099);
	CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 1, 64, 0, START + 1099, &user), 0);
	CU_ASSERT_EQUAL(requests_now(user, 10, START + 1099), 9);
	budget_disconnect(budget, user, START + 1099);
	/* A second later its bucket would be full again in any case. */
	CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 257, 64, 0, START + 2099, &other), 0);
	CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 1, 64, 0, START + 2099, &user), 0);
	CU_ASSERT_EQUAL(requests_now(user, 10, START + 2099), 10);
	budget_disconnect(budget, user, START + 2099);
	budget_disconnect(budget, other, START + 2099);
}

static void all_connections_of_a_uid_share_one_rate(void)
{
	CLEANUP(budget_freep) struct budget *budget = NULL;
	struct budget_user *a, *b, *other;

	CU_ASSERT_EQUAL_FATAL(budget_new(&budget), 0);
	CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 1, 64, 0, START, &a), 0);
	CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 1, 64, 0, START, &b), 0);
	CU_ASSERT_EQUAL_FATAL(budget_connect(budget, 2, 64, 0, START, &other), 0);
	CU_ASSERT_EQUAL(requests_now(a, 10, START), 10);
	CU_ASSERT_FALSE(budget_request(b, 10, START));
	CU_ASSERT_TRUE(budget_request(other, 10, START));
	budget_disconnect(budget, a, START);
	budget_disconnect(budget, b, START);
	budget_disconnect(budget, other, START);
}

static const CU_TestInfo tests[] = {
	{"connections have a rate of their own", connections_have_a_rate_of_their_own},
	{"connections are counted per uid", connections_are_counted_per_uid},
	{"max-connections = 0 lets nobody in", no_connection_fits_into_none},
	{"a bucket of a second's requests refills with time", requests_follow_the_clock},
	{"max-requests = 0 is no limit", zero_is_no_limit},
	{"connecting anew does not reset the rate", connecting_anew_resets_nothing},
	{"all connections of a uid share one rate", all_connections_of_a_uid_share_one_rate},
	{"who knocks too often is told, then shut out", who_knocks_too_often_is_shut_out},
	{"too many requests bring a pause", too_many_requests_bring_a_pause},
	{"refusals are logged one by one at first", refusals_are_logged_one_by_one_at_first},
	CU_TEST_INFO_NULL,
};

const struct suite suite_budget = {"budget", tests};
