/* SPDX-License-Identifier: MIT */
/* The ledger by example, and against a model that adds everything up each time. */
#include "accounting/ledger.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define GIB (UINT64_C(1) << 30)
#define MODEL_SESSIONS 200
#define MODEL_STEPS 20000

static void charge(struct ledger *ledger, uid_t uid, const char *policy, uint64_t limit,
		   bool user_mode, struct ledger_entry *ret_entry)
{
	CU_ASSERT_EQUAL(ledger_charge(ledger, uid, policy, limit, user_mode, ret_entry), 0);
}

static void each_sum_has_its_sessions(void)
{
	CLEANUP(ledger_freep) struct ledger *ledger = NULL;
	struct ledger_entry a, b, c, d;

	CU_ASSERT_EQUAL_FATAL(ledger_new(&ledger), 0);
	charge(ledger, 1000, "p", 1 * GIB, false, &a);
	charge(ledger, 1000, "q", 2 * GIB, true, &b);
	charge(ledger, 1000, "p", 4 * GIB, true, &c);
	charge(ledger, 1001, "p", 8 * GIB, false, &d);
	CU_ASSERT_EQUAL(ledger_host_sum(ledger), 15 * GIB);
	CU_ASSERT_EQUAL(ledger_user_sum(ledger, 1000), 7 * GIB);
	CU_ASSERT_EQUAL(ledger_user_sum(ledger, 1001), 8 * GIB);
	CU_ASSERT_EQUAL(ledger_user_mode_sum(ledger, 1000), 6 * GIB);
	CU_ASSERT_EQUAL(ledger_user_mode_sum(ledger, 1001), 0);
	CU_ASSERT_EQUAL(ledger_n_sessions(ledger, 1000, "p"), 2);
	CU_ASSERT_EQUAL(ledger_n_sessions(ledger, 1000, "q"), 1);
	CU_ASSERT_EQUAL(ledger_n_sessions(ledger, 1001, "p"), 1);
	CU_ASSERT_EQUAL(ledger_n_sessions(ledger, 1001, "q"), 0);
	ledger_uncharge(ledger, &c);
	CU_ASSERT_EQUAL(ledger_host_sum(ledger), 11 * GIB);
	CU_ASSERT_EQUAL(ledger_user_sum(ledger, 1000), 3 * GIB);
	CU_ASSERT_EQUAL(ledger_user_mode_sum(ledger, 1000), 2 * GIB);
	CU_ASSERT_EQUAL(ledger_n_sessions(ledger, 1000, "p"), 1);
	ledger_uncharge(ledger, &a);
	ledger_uncharge(ledger, &b);
	ledger_uncharge(ledger, &d);
	CU_ASSERT_EQUAL(ledger_host_sum(ledger), 0);
}

/* Sums are of what is charged, the kernel's limit in user mode is of limits. */
static void lowered_limit_stays_charged(void)
{
	CLEANUP(ledger_freep) struct ledger *ledger = NULL;
	struct ledger_entry task, user, other;

	CU_ASSERT_EQUAL_FATAL(ledger_new(&ledger), 0);
	charge(ledger, 1000, "p", 4 * GIB, false, &task);
	charge(ledger, 1000, "p", 8 * GIB, true, &user);
	charge(ledger, 1001, "p", 1 * GIB, true, &other);
	CU_ASSERT_EQUAL(ledger_resize(ledger, &task, 1 * GIB, 4 * GIB), 0);
	CU_ASSERT_EQUAL(ledger_resize(ledger, &user, 2 * GIB, 8 * GIB), 0);
	CU_ASSERT_EQUAL(user.limit, 2 * GIB);
	CU_ASSERT_EQUAL(user.charged, 8 * GIB);
	CU_ASSERT_EQUAL(ledger_host_sum(ledger), 13 * GIB);
	CU_ASSERT_EQUAL(ledger_user_sum(ledger, 1000), 12 * GIB);
	CU_ASSERT_EQUAL(ledger_user_mode_sum(ledger, 1000), 2 * GIB);
	CU_ASSERT_EQUAL(ledger_resize(ledger, &task, 1 * GIB, 1 * GIB), 0); /* by root's word */
	CU_ASSERT_EQUAL(ledger_user_sum(ledger, 1000), 9 * GIB);
	ledger_uncharge(ledger, &user); /* it ends with all that it had */
	CU_ASSERT_EQUAL(ledger_host_sum(ledger), 2 * GIB);
	CU_ASSERT_EQUAL(ledger_user_sum(ledger, 1000), 1 * GIB);
	CU_ASSERT_EQUAL(ledger_user_mode_sum(ledger, 1000), 0);
	ledger_uncharge(ledger, &task);
	ledger_uncharge(ledger, &other);
	CU_ASSERT_EQUAL(ledger_host_sum(ledger), 0);
}

static void unknown_uids_and_policies_have_nothing(void)
{
	CLEANUP(ledger_freep) struct ledger *ledger = NULL;
	struct ledger_entry entry;

	CU_ASSERT_EQUAL_FATAL(ledger_new(&ledger), 0);
	charge(ledger, 1, "policy", 7, true, &entry);
	/* 257 shares the bucket of 1, (uid_t)-1 is nobody's. */
	CU_ASSERT_EQUAL(ledger_user_sum(ledger, 257), 0);
	CU_ASSERT_EQUAL(ledger_user_mode_sum(ledger, 257), 0);
	CU_ASSERT_EQUAL(ledger_n_sessions(ledger, 257, "policy"), 0);
	CU_ASSERT_EQUAL(ledger_user_sum(ledger, (uid_t)-1), 0);
	CU_ASSERT_EQUAL(ledger_n_sessions(ledger, 1, "policy2"), 0);
	CU_ASSERT_EQUAL(ledger_n_sessions(ledger, 1, "polic"), 0);
	CU_ASSERT_EQUAL(ledger_n_sessions(ledger, 1, ""), 0);
	ledger_uncharge(ledger, &entry);
}

static void second_uncharge_does_nothing(void)
{
	CLEANUP(ledger_freep) struct ledger *ledger = NULL;
	struct ledger_entry never = {.user = NULL}, entry, other;

	CU_ASSERT_EQUAL_FATAL(ledger_new(&ledger), 0);
	charge(ledger, 1, "p", 5, false, &entry);
	charge(ledger, 1, "p", 6, false, &other);
	ledger_uncharge(ledger, &never);
	ledger_uncharge(ledger, &entry);
	ledger_uncharge(ledger, &entry);
	CU_ASSERT_EQUAL(ledger_host_sum(ledger), 6);
	CU_ASSERT_EQUAL(ledger_n_sessions(ledger, 1, "p"), 1);
	ledger_uncharge(ledger, &other);
	ledger_free(NULL);
}

/* limit = "8388607T" with host-reserve = "off": a few of these are more than 64 bits hold. */
static void sum_that_does_not_fit_is_refused(void)
{
	CLEANUP(ledger_freep) struct ledger *ledger = NULL;
	struct ledger_entry a, b, c = {.user = NULL};

	CU_ASSERT_EQUAL_FATAL(ledger_new(&ledger), 0);
	charge(ledger, 1, "p", INT64_MAX, true, &a);
	charge(ledger, 2, "p", INT64_MAX, false, &b);
	CU_ASSERT_EQUAL(ledger_charge(ledger, 3, "p", 2, true, &c), -EOVERFLOW);
	CU_ASSERT_EQUAL(ledger_charge(ledger, 1, "q", INT64_MAX, true, &c), -EOVERFLOW);
	CU_ASSERT_PTR_NULL(c.user);
	CU_ASSERT_EQUAL(ledger_host_sum(ledger), UINT64_MAX - 1);
	CU_ASSERT_EQUAL(ledger_user_sum(ledger, 3), 0);
	CU_ASSERT_EQUAL(ledger_n_sessions(ledger, 1, "q"), 0);
	charge(ledger, 3, "p", 1, false, &c);
	CU_ASSERT_EQUAL(ledger_host_sum(ledger), UINT64_MAX);
	CU_ASSERT_EQUAL(ledger_resize(ledger, &c, 2, 2), -EOVERFLOW);
	CU_ASSERT_EQUAL(c.limit, 1);
	CU_ASSERT_EQUAL(ledger_host_sum(ledger), UINT64_MAX);
	ledger_uncharge(ledger, &a);
	ledger_uncharge(ledger, &b);
	ledger_uncharge(ledger, &c);
}

static const uid_t model_uids[] = {0, 1, 256, 257, 513, 65534}; /* three of one bucket */
static const char *const model_policies[] = {"a", "b", "ab"};

struct model {
	struct ledger *ledger;
	struct {
		bool live;
		uid_t uid;
		const char *policy;
		uint64_t limit, charged;
		bool user_mode;
		struct ledger_entry entry;
	} sessions[MODEL_SESSIONS];
	uint64_t walked;
};

static void model_compare(const struct model *m, uid_t uid, const char *policy)
{
	uint64_t host = 0, user = 0, user_mode = 0, n = 0;

	for (size_t i = 0; i < MODEL_SESSIONS; i++) {
		if (!m->sessions[i].live)
			continue;
		host += m->sessions[i].charged;
		if (m->sessions[i].uid != uid)
			continue;
		user += m->sessions[i].charged;
		user_mode += m->sessions[i].user_mode ? m->sessions[i].limit : 0;
		n += strcmp(m->sessions[i].policy, policy) == 0;
	}
	CU_ASSERT_EQUAL(ledger_host_sum(m->ledger), host);
	CU_ASSERT_EQUAL(ledger_user_sum(m->ledger, uid), user);
	CU_ASSERT_EQUAL(ledger_user_mode_sum(m->ledger, uid), user_mode);
	CU_ASSERT_EQUAL(ledger_n_sessions(m->ledger, uid, policy), n);
}

/* The walk says what the questions say, of each uid and policy once. */
static bool model_line(const struct ledger_line *line, void *arg)
{
	struct model *m = arg;

	m->walked += line->n_sessions;
	CU_ASSERT_EQUAL(line->n_sessions, ledger_n_sessions(m->ledger, line->uid, line->policy));
	CU_ASSERT_EQUAL(line->sum, ledger_user_sum(m->ledger, line->uid));
	CU_ASSERT_EQUAL(line->user_mode_sum, ledger_user_mode_sum(m->ledger, line->uid));
	return true;
}

static bool first_line(const struct ledger_line *line, void *arg)
{
	(void)line;
	++*(int *)arg;
	return false;
}

static void model_walk(struct model *m)
{
	uint64_t live = 0;
	int lines = 0;

	for (size_t i = 0; i < MODEL_SESSIONS; i++)
		live += m->sessions[i].live;
	m->walked = 0;
	ledger_walk(m->ledger, model_line, m);
	CU_ASSERT_EQUAL(m->walked, live);
	ledger_walk(m->ledger, first_line, &lines);
	CU_ASSERT_EQUAL(lines, live > 0);
}

/* Ends, resizes or makes a session, and looks at one uid and policy; all by what the seed says. */
static void model_step(struct model *m, uint64_t *seed)
{
	size_t at = suite_random(seed) % MODEL_SESSIONS;
	__typeof__(m->sessions[0]) *s = &m->sessions[at];

	if (s->live && suite_random(seed) % 2) {
		s->limit = suite_random(seed) % (64 * GIB);
		s->charged = s->limit + (suite_random(seed) % 2 ? suite_random(seed) % GIB : 0);
		CU_ASSERT_EQUAL(ledger_resize(m->ledger, &s->entry, s->limit, s->charged), 0);
		s->live = false; /* turned below */
	} else if (s->live) {
		ledger_uncharge(m->ledger, &s->entry);
	} else {
		s->uid = model_uids[suite_random(seed) % ARRAY_SIZE(model_uids)];
		s->policy = model_policies[suite_random(seed) % ARRAY_SIZE(model_policies)];
		s->limit = suite_random(seed) % 4 ? suite_random(seed) % (64 * GIB) : 0;
		s->charged = s->limit;
		s->user_mode = suite_random(seed) % 2;
		charge(m->ledger, s->uid, s->policy, s->limit, s->user_mode, &s->entry);
	}
	s->live = !s->live;
	model_compare(m, s->uid, s->policy);
	model_compare(m, model_uids[suite_random(seed) % ARRAY_SIZE(model_uids)],
		      model_policies[suite_random(seed) % ARRAY_SIZE(model_policies)]);
}

static void agrees_with_a_model(void)
{
	uint64_t seed = suite_seed("ledger");
	static struct model m;

	memset(&m, 0, sizeof(m));
	CU_ASSERT_EQUAL_FATAL(ledger_new(&m.ledger), 0);
	for (int i = 0; i < MODEL_STEPS; i++)
		model_step(&m, &seed);
	model_walk(&m);
	for (size_t i = 0; i < MODEL_SESSIONS; i++)
		ledger_uncharge(m.ledger, &m.sessions[i].entry);
	CU_ASSERT_EQUAL(ledger_host_sum(m.ledger), 0);
	ledger_free(m.ledger); /* asserts that no user is left */
}

static const CU_TestInfo tests[] = {
	{"each sum has the limits of its sessions", each_sum_has_its_sessions},
	{"a limit that was lowered stays charged", lowered_limit_stays_charged},
	{"uids and policies without sessions have nothing", unknown_uids_and_policies_have_nothing},
	{"a second uncharge does nothing", second_uncharge_does_nothing},
	{"a sum beyond 64 bits is refused, and nothing charged", sum_that_does_not_fit_is_refused},
	{"any order of charges and uncharges adds up", agrees_with_a_model},
	CU_TEST_INFO_NULL,
};

const struct suite suite_ledger = {"ledger", tests};
