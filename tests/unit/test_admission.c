/* SPDX-License-Identifier: MIT */
/* The decision: one world in which any set of reasons to refuse can hold at once. */
#include "accounting/admission.h"

#include <assert.h>
#include <string.h>

#include "accounting/limits.h"
#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)
#define HOST (UINT64_C(256) << 30)

enum {
	GOOD, /* the device that nothing is wrong with */
	STRANGE, /* not among the policy's */
	ABSENT,
	TAKEN,
	DEVICES,
};

/* Everything a decision looks at. At first it is a grant of 8G with one device. */
struct world {
	char name[16], globs[2][16];
	char *glob_list[2];
	struct policy_id_range range;
	struct policy policy;
	struct policy_set set;
	struct device device[DEVICES];
	struct admission_device devices[DEVICES];
	struct admission_request request;
	struct admission_sums sums;
	unsigned int n_asked; /* for sums */
	struct admission admission;
};

static struct device free_device(const char *name)
{
	struct device device = {.found = true,
				.vendor = 0x8086,
				.device = 0x10d3,
				.group = 7,
				.reset = true,
				.driver = "vfio-pci",
				.cdev = "vfio3"};

	(void)strcpy(device.name, name);
	return device;
}

static void world_policy(struct world *w)
{
	(void)strcpy(w->name, "tenants");
	(void)strcpy(w->globs[0], "0000:65:00.*");
	w->glob_list[0] = w->globs[0];
	w->range = (struct policy_id_range){1000, 1999};
	w->policy = (struct policy){
		.name = w->name,
		.users = {.ranges = &w->range, .n = 1, .n_written = 1},
		.devices = {.globs = w->glob_list, .n = 1},
		.accounting = POLICY_ACCOUNTING_TASK,
		.limit = 16 * GIB,
		.user_limit = 64 * GIB,
		.max_mappings_auto = true,
		.max_sessions = 4,
	};
	w->set = (struct policy_set){.refs = 1,
				     .host_reserve_checked = true,
				     .host_reserve = 56 * GIB,
				     .policies = &w->policy,
				     .n_policies = 1};
}

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	world_policy(w);
	w->device[GOOD] = free_device("0000:65:00.0");
	w->device[STRANGE] = free_device("0000:66:00.0");
	w->device[ABSENT] = free_device("0000:65:00.1");
	w->device[TAKEN] = free_device("0000:65:00.2");
	w->devices[0].device = &w->device[GOOD];
	w->request = (struct admission_request){.subject = {.uid = 1000, .cgroup = "/vm"},
						.memory = 8 * GIB,
						.devices = w->devices,
						.n_devices = 1};
	w->sums = (struct admission_sums){.mem_total = HOST};
}

static void world_sums(uid_t uid, const struct policy *policy, struct admission_sums *ret_sums,
		       void *arg)
{
	struct world *w = arg;

	CU_ASSERT_EQUAL(uid, w->request.subject.uid);
	CU_ASSERT_PTR_EQUAL(policy, &w->policy);
	w->n_asked++;
	*ret_sums = w->sums;
}

static enum refusal world_decide(struct world *w)
{
	w->n_asked = 0;
	w->request.policy = policy_match(&w->set, &w->request.subject);
	admission_decide(&w->set, &w->request, world_sums, w, &w->admission);
	CU_ASSERT_TRUE(w->n_asked <= 1);
	return w->admission.refusal;
}

/* Ways to make a reason hold; each leaves the others as they are. */
static void make_no_memory(struct world *w)
{
	w->policy.limit_auto = true;
	w->policy.limit = 0;
	w->request.memory = 0;
}

static void make_capable(struct world *w)
{
	w->request.capable = true;
}

static void make_other_accounting(struct world *w)
{
	w->request.accounting = POLICY_ACCOUNTING_USER;
}

static void add_device(struct world *w, int which)
{
	w->devices[w->request.n_devices++] = (struct admission_device){.device = &w->device[which]};
}

static void make_strange(struct world *w)
{
	add_device(w, STRANGE);
}

static void make_absent(struct world *w)
{
	w->device[ABSENT].found = false;
	add_device(w, ABSENT);
}

static void make_busy(struct world *w)
{
	add_device(w, TAKEN);
	w->devices[w->request.n_devices - 1].busy_id = 0xabc;
}

static void make_too_large(struct world *w)
{
	if (w->request.memory) /* else there is nothing to compare */
		w->request.memory = 17 * GIB;
}

static void make_many(struct world *w)
{
	w->sums.n_sessions = 4;
}

static void make_user_full(struct world *w)
{
	w->sums.user = 60 * GIB;
}

static void make_host_full(struct world *w)
{
	w->sums.host = 199 * GIB;
}

static void make_no_gate(struct world *w)
{
	w->set.require_gate = true;
}

/* In the order of the contract, with what the sentence must say besides the policy's name. */
static const struct {
	const char *name;
	void (*make)(struct world *w);
	enum refusal refusal;
	const char *says[4];
} reasons[] = {
	{"auto without memory", make_no_memory, REFUSAL_BAD_REQUEST, {"auto", "--memory"}},
	{"capable owner",
	 make_capable,
	 REFUSAL_CAPABLE_OWNER,
	 {"CAP_IPC_LOCK", "setpriv --reuid", "--bounding-set -ipc_lock"}},
	{"other accounting", make_other_accounting, REFUSAL_NOT_PERMITTED, {"task", "user"}},
	{"strange device", make_strange, REFUSAL_DEVICE_NOT_ALLOWED, {"0000:66:00.0"}},
	{"absent device", make_absent, REFUSAL_DEVICE_NOT_FOUND, {"0000:65:00.1"}},
	{"busy device", make_busy, REFUSAL_DEVICE_BUSY, {"0000:65:00.2", "session abc"}},
	{"memory above the limit", make_too_large, REFUSAL_SESSION_LIMIT, {"17G", "16G"}},
	{"sessions", make_many, REFUSAL_TOO_MANY_SESSIONS, {"uid 1000", "max-sessions", "4"}},
	{"user-limit", make_user_full, REFUSAL_USER_LIMIT, {"60G", "9G", "64G", "uid 1000"}},
	{"host-reserve", make_host_full, REFUSAL_HOST_RESERVE, {"199G", "9G", "200G", "56G"}},
	{"gate", make_no_gate, REFUSAL_KERNEL, {"require-gate"}},
};

static void each_reason_has_its_sentence(void)
{
	struct world w;

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		world_init(&w);
		reasons[i].make(&w);
		CHECK(reasons[i].name, world_decide(&w) == reasons[i].refusal);
		CHECK(reasons[i].name, strstr(w.admission.text, "tenants"));
		CHECK(reasons[i].name, !strchr(w.admission.text, '\n'));
		for (size_t k = 0; k < ARRAY_SIZE(reasons[i].says) && reasons[i].says[k]; k++)
			CHECK(reasons[i].says[k],
			      strstr(w.admission.text, reasons[i].says[k]) != NULL);
	}
}

/* Every set of reasons, 2048 of them: what is said is the first of the set. */
static void first_of_several_reasons_is_given(void)
{
	struct world w;

	for (unsigned int set = 1; set < BIT(ARRAY_SIZE(reasons)); set++) {
		unsigned int first = (unsigned int)__builtin_ctz(set);

		if (set & BIT(0) && set & BIT(6))
			continue; /* memory is not given and too large: nothing can be */
		world_init(&w);
		for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
			if (set & BIT(i))
				reasons[i].make(&w);
		CHECK(reasons[first].name, world_decide(&w) == reasons[first].refusal);
	}
}

static void refusals_have_the_contracts_names(void)
{
	static const char *const names[] = {
		"",
		"rate-limit",
		"bad-request",
		"no-policy",
		"capable-owner",
		"not-permitted",
		"device-not-allowed",
		"device-not-found",
		"device-busy",
		"session-limit",
		"too-many-sessions",
		"user-limit",
		"host-reserve",
		"kernel",
	};
	static_assert(ARRAY_SIZE(names) == REFUSALS, "one each");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		CU_ASSERT_STRING_EQUAL(refusal_name((enum refusal)i), names[i]);
}

static void nobody_without_a_policy(void)
{
	struct world w;

	world_init(&w);
	w.request.subject.uid = 2000;
	make_no_memory(&w);
	make_strange(&w);
	CU_ASSERT_EQUAL(world_decide(&w), REFUSAL_NO_POLICY);
	CU_ASSERT_PTR_NULL(w.admission.policy);
	CU_ASSERT_EQUAL(w.n_asked, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.admission.text, "uid 2000"));
	CU_ASSERT_PTR_NOT_NULL(strstr(w.admission.text, "cgroup /vm"));
	w.request.capable = true;
	CU_ASSERT_EQUAL(world_decide(&w), REFUSAL_NO_POLICY);
	w.request.subject.uid = 0; /* the first thing people try */
	CU_ASSERT_EQUAL(world_decide(&w), REFUSAL_CAPABLE_OWNER);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.admission.text, "setpriv"));
	w.request.capable = false;
	CU_ASSERT_EQUAL(world_decide(&w), REFUSAL_NO_POLICY);
}

static const struct {
	const char *name;
	bool limit_auto, viommu;
	uint64_t limit, memory;
	size_t n_devices;
	uint64_t granted, auto_limit;
	bool warns;
} limit_cases[] = {
	{"no memory: the policy's", false, false, 16 * GIB, 0, 1, 16 * GIB, POLICY_UNLIMITED,
	 false},
	{"auto below the policy's", false, false, 16 * GIB, 8 * GIB, 1, 9 * GIB, 9 * GIB, false},
	{"auto is the policy's", false, false, 16 * GIB, 15 * GIB, 1, 16 * GIB, 16 * GIB, false},
	{"auto above the policy's", false, false, 16 * GIB, 15 * GIB + 1, 1, 16 * GIB, 16 * GIB + 1,
	 false},
	{"auto alone", true, false, 0, 100 * GIB, 1, 101 * GIB, 101 * GIB, false},
	{"auto with a vIOMMU", true, true, 0, 10 * GIB, 3, 31 * GIB, 31 * GIB, false},
	{"a vIOMMU's RAM counts per device", false, true, 16 * GIB, 2 * GIB, 3, 7 * GIB, 7 * GIB,
	 false},
	{"room for firmware to the byte", false, false, 16 * GIB, 16 * GIB - MIB, 1, 16 * GIB,
	 17 * GIB - MIB, false},
	{"a byte less: a warning", false, false, 16 * GIB, 16 * GIB - MIB + 1, 1, 16 * GIB,
	 17 * GIB - MIB + 1, true},
	{"as much as the limit: a warning", false, false, 16 * GIB, 16 * GIB, 1, 16 * GIB, 17 * GIB,
	 true},
	{"RAM twice over the limit: a warning", false, true, 16 * GIB, 8 * GIB, 2, 16 * GIB,
	 17 * GIB, true},
};

static void limit_is_the_smaller_of_two(void)
{
	struct world w;

	for (size_t i = 0; i < ARRAY_SIZE(limit_cases); i++) {
		world_init(&w);
		w.policy.user_limit = POLICY_UNLIMITED;
		w.policy.limit_auto = limit_cases[i].limit_auto;
		w.policy.limit = limit_cases[i].limit;
		w.request.memory = limit_cases[i].memory;
		w.request.viommu = limit_cases[i].viommu;
		while (w.request.n_devices < limit_cases[i].n_devices)
			add_device(&w, GOOD);
		CHECK(limit_cases[i].name, world_decide(&w) == REFUSAL_NONE);
		CHECK(limit_cases[i].name, w.admission.limit == limit_cases[i].granted);
		CHECK(limit_cases[i].name, w.admission.auto_limit == limit_cases[i].auto_limit);
		CHECK(limit_cases[i].name, limit_cases[i].warns == !!w.admission.warning[0]);
		CHECK(limit_cases[i].name,
		      !limit_cases[i].warns || strstr(w.admission.warning, "tenants"));
	}
}

static const struct {
	const char *name;
	uint64_t user_limit, host_reserve;
	bool unchecked;
	uint64_t user, host, n_sessions; /* before the request */
	enum refusal refusal;
} sum_cases[] = {
	{"user at its limit", 10 * GIB, 0, false, 1 * GIB, 0, 0, REFUSAL_NONE},
	{"user one above", 10 * GIB, 0, false, 1 * GIB + 1, 0, 0, REFUSAL_USER_LIMIT},
	{"user unlimited", POLICY_UNLIMITED, 0, false, 500 * GIB, 0, 0, REFUSAL_NONE},
	{"host at its limit", 64 * GIB, 56 * GIB, false, 0, 191 * GIB, 0, REFUSAL_NONE},
	{"host one above", 64 * GIB, 56 * GIB, false, 0, 191 * GIB + 1, 0, REFUSAL_HOST_RESERVE},
	{"no reserve: all of MemTotal", 64 * GIB, 0, false, 0, 247 * GIB, 0, REFUSAL_NONE},
	{"no reserve: one above", 64 * GIB, 0, false, 0, 247 * GIB + 1, 0, REFUSAL_HOST_RESERVE},
	{"reserve above MemTotal", 64 * GIB, HOST + 1, false, 0, 0, 0, REFUSAL_HOST_RESERVE},
	{"reserve off", 64 * GIB, HOST + 1, true, 0, 999 * GIB, 0, REFUSAL_NONE},
	{"a user's sum that wraps", 64 * GIB, 0, false, UINT64_MAX - GIB, 0, 0, REFUSAL_USER_LIMIT},
	{"a host's sum that wraps", 64 * GIB, 0, false, 0, UINT64_MAX - GIB, 0,
	 REFUSAL_HOST_RESERVE},
	{"one session fewer than may be", 64 * GIB, 0, false, 0, 0, 3, REFUSAL_NONE},
	{"as many sessions as may be", 64 * GIB, 0, false, 0, 0, 4, REFUSAL_TOO_MANY_SESSIONS},
};

/* Where a limit stops being enough, to the byte; and sums that 64 bits do not hold. */
static void sums_are_refused_one_above(void)
{
	struct world w;

	for (size_t i = 0; i < ARRAY_SIZE(sum_cases); i++) {
		world_init(&w); /* asks for 9G */
		w.policy.user_limit = sum_cases[i].user_limit;
		w.set.host_reserve = sum_cases[i].host_reserve;
		w.set.host_reserve_checked = !sum_cases[i].unchecked;
		w.sums.user = sum_cases[i].user;
		w.sums.host = sum_cases[i].host;
		w.sums.n_sessions = sum_cases[i].n_sessions;
		CHECK(sum_cases[i].name, world_decide(&w) == sum_cases[i].refusal);
		CHECK(sum_cases[i].name, sum_cases[i].refusal || w.admission.limit == 9 * GIB);
	}
}

/* What contexts that are no sessions have pinned is the host's memory, too. */
static void others_count_for_host_reserve(void)
{
	static const struct {
		const char *name;
		uint64_t host, others;
		bool unchecked;
		enum refusal refusal;
	} cases[] = {
		{"as much as fits", 190 * GIB, 1 * GIB, false, REFUSAL_NONE},
		{"one above", 190 * GIB, 1 * GIB + 1, false, REFUSAL_HOST_RESERVE},
		{"others alone", 0, 191 * GIB + 1, false, REFUSAL_HOST_RESERVE},
		{"a sum that wraps", 8 * GIB, UINT64_MAX - GIB, false, REFUSAL_HOST_RESERVE},
		{"reserve off", 0, 999 * GIB, true, REFUSAL_NONE},
	};
	struct world w;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct admission_change change = {
			.policy = &w.policy, .policy_name = w.name, .uid = 1000};

		world_init(&w); /* asks for 9G */
		w.set.host_reserve_checked = !cases[i].unchecked;
		w.sums.host = cases[i].host;
		w.sums.others = cases[i].others;
		CHECK(cases[i].name, world_decide(&w) == cases[i].refusal);
		w.policy.user_limit = POLICY_UNLIMITED;
		w.sums.user = 8 * GIB; /* and so for one that has 8G and wants 9G */
		w.sums.host += 8 * GIB;
		admission_raise(&w.set, &w.sums, 8 * GIB, 9 * GIB, &change);
		CHECK(cases[i].name, change.refusal == cases[i].refusal);
	}
}

/* A refusal says whose memory it is, and only then. */
static void others_are_named_where_they_count(void)
{
	struct world w;

	world_init(&w);
	make_host_full(&w);
	CU_ASSERT_EQUAL(world_decide(&w), REFUSAL_HOST_RESERVE);
	CU_ASSERT_PTR_NULL(strstr(w.admission.text, "others"));
	w.sums.host = 100 * GIB;
	w.sums.others = 92 * GIB;
	CU_ASSERT_EQUAL(world_decide(&w), REFUSAL_HOST_RESERVE);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.admission.text, "and the 92G that others have pinned"));
}

static void accounting_is_the_policys(void)
{
	static const struct {
		const char *name;
		enum policy_accounting policy, wanted, given;
		enum refusal refusal;
	} cases[] = {
		{"task", POLICY_ACCOUNTING_TASK, POLICY_ACCOUNTING_NONE, POLICY_ACCOUNTING_TASK, 0},
		{"user", POLICY_ACCOUNTING_USER, POLICY_ACCOUNTING_NONE, POLICY_ACCOUNTING_USER, 0},
		{"any is task", POLICY_ACCOUNTING_ANY, POLICY_ACCOUNTING_NONE,
		 POLICY_ACCOUNTING_TASK, 0},
		{"any, task wanted", POLICY_ACCOUNTING_ANY, POLICY_ACCOUNTING_TASK,
		 POLICY_ACCOUNTING_TASK, 0},
		{"any, user wanted", POLICY_ACCOUNTING_ANY, POLICY_ACCOUNTING_USER,
		 POLICY_ACCOUNTING_USER, 0},
		{"as it is", POLICY_ACCOUNTING_USER, POLICY_ACCOUNTING_USER, POLICY_ACCOUNTING_USER,
		 0},
		{"task, user wanted", POLICY_ACCOUNTING_TASK, POLICY_ACCOUNTING_USER,
		 POLICY_ACCOUNTING_TASK, REFUSAL_NOT_PERMITTED},
		{"user, task wanted", POLICY_ACCOUNTING_USER, POLICY_ACCOUNTING_TASK,
		 POLICY_ACCOUNTING_USER, REFUSAL_NOT_PERMITTED},
	};
	struct world w;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		world_init(&w);
		w.policy.accounting = cases[i].policy;
		w.request.accounting = cases[i].wanted;
		CHECK(cases[i].name, world_decide(&w) == cases[i].refusal);
		CHECK(cases[i].name, w.admission.accounting == cases[i].given);
	}
}

/* What can be wrong with the second of two devices. */
static const struct {
	const char *name;
	struct device device;
	uint64_t busy_id;
	const char *busy_peer;
	enum refusal refusal;
	const char *says;
} device_cases[] = {
	{"no driver",
	 {.found = true, .reset = true},
	 0,
	 NULL,
	 REFUSAL_DEVICE_NOT_FOUND,
	 "has no driver"},
	{"a host driver",
	 {.found = true, .reset = true, .driver = "e1000e"},
	 0,
	 NULL,
	 REFUSAL_DEVICE_NOT_FOUND,
	 "driver e1000e"},
	{"absent", {.found = false}, 0, NULL, REFUSAL_DEVICE_NOT_FOUND, "not on this host"},
	{"no reset",
	 {.found = true, .cdev = "vfio1"},
	 0,
	 NULL,
	 REFUSAL_DEVICE_NOT_ALLOWED,
	 "require-reset"},
	{"no reset and no driver: not allowed first",
	 {.found = true},
	 0,
	 NULL,
	 REFUSAL_DEVICE_NOT_ALLOWED,
	 "require-reset"},
	{"in a session",
	 {.found = true, .reset = true, .cdev = "vfio1"},
	 0xf00d,
	 NULL,
	 REFUSAL_DEVICE_BUSY,
	 "is in session f00d"},
	{"its peer is in a session",
	 {.found = true, .reset = true, .cdev = "vfio1", .group = 9},
	 0xf00d,
	 "0000:65:00.7",
	 REFUSAL_DEVICE_BUSY,
	 "IOMMU group 9 with 0000:65:00.7, which session f00d has"},
	{"its peer is the host's",
	 {.found = true,
	  .reset = true,
	  .cdev = "vfio1",
	  .group = 9,
	  .host_peer = "0000:65:00.6",
	  .host_peer_driver = "ahci"},
	 0,
	 NULL,
	 REFUSAL_DEVICE_BUSY,
	 "by driver ahci"},
	{"nothing", {.found = true, .reset = true, .cdev = "vfio1"}, 0, NULL, REFUSAL_NONE, ""},
};

static void each_device_is_looked_at(void)
{
	struct world w;

	for (size_t i = 0; i < ARRAY_SIZE(device_cases); i++) {
		world_init(&w);
		w.policy.require_reset = true;
		w.device[TAKEN] = device_cases[i].device;
		(void)strcpy(w.device[TAKEN].name, "0000:65:00.2");
		add_device(&w, TAKEN);
		w.devices[1].busy_id = device_cases[i].busy_id;
		w.devices[1].busy_peer = device_cases[i].busy_peer;
		CHECK(device_cases[i].name, world_decide(&w) == device_cases[i].refusal);
		CHECK(device_cases[i].name, strstr(w.admission.text, device_cases[i].says));
		CHECK(device_cases[i].name,
		      !device_cases[i].refusal || strstr(w.admission.text, "0000:65:00.2"));
	}
}

static void several_devices_must_have_p2p(void)
{
	static const struct {
		const char *name;
		enum policy_multi multi;
		enum admission_p2p first, second;
		size_t n;
		enum refusal refusal;
		const char *says;
	} cases[] = {
		{"any", POLICY_MULTI_ANY, ADMISSION_P2P_NO, ADMISSION_P2P_UNKNOWN, 2, REFUSAL_NONE,
		 ""},
		{"alone", POLICY_MULTI_P2P, ADMISSION_P2P_NO, 0, 1, REFUSAL_NONE, ""},
		{"both", POLICY_MULTI_P2P, ADMISSION_P2P_YES, ADMISSION_P2P_YES, 2, REFUSAL_NONE,
		 ""},
		{"the first not", POLICY_MULTI_P2P, ADMISSION_P2P_NO, ADMISSION_P2P_YES, 2,
		 REFUSAL_DEVICE_NOT_ALLOWED, "0000:65:00.0 cannot be kept"},
		{"the second is not known", POLICY_MULTI_P2P, ADMISSION_P2P_YES,
		 ADMISSION_P2P_UNKNOWN, 2, REFUSAL_DEVICE_NOT_ALLOWED,
		 "'pinbroker device 0000:65:00.2' first"},
	};
	struct admission_change change;
	struct world w;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		world_init(&w);
		w.policy.multi_device = cases[i].multi;
		w.device[TAKEN] = free_device("0000:65:00.2");
		w.devices[0].p2p = cases[i].first;
		if (cases[i].n == 2)
			add_device(&w, TAKEN);
		w.devices[1].p2p = cases[i].second;
		CHECK(cases[i].name, world_decide(&w) == cases[i].refusal);
		CHECK(cases[i].name, strstr(w.admission.text, cases[i].says));
		/* The same where the session has the first, and is to have the second. */
		change = (struct admission_change){.policy = &w.policy,
						   .policy_name = w.name,
						   .others = w.devices,
						   .n_others = cases[i].n - 1};
		admission_attach(&w.set, &w.devices[cases[i].n - 1], &change);
		CHECK(cases[i].name, change.refusal == cases[i].refusal);
		CHECK(cases[i].name, strstr(change.text, cases[i].says));
	}
	/* What is not there is refused as that. */
	w.device[TAKEN].found = false;
	CHECK("absent", world_decide(&w) == REFUSAL_DEVICE_NOT_FOUND);
}

static void order_of_devices_does_not_matter(void)
{
	struct world w;

	world_init(&w);
	w.request.n_devices = 0;
	make_busy(&w);
	make_absent(&w);
	make_strange(&w);
	CU_ASSERT_EQUAL(world_decide(&w), REFUSAL_DEVICE_NOT_ALLOWED);
	w.request.n_devices = 2;
	CU_ASSERT_EQUAL(world_decide(&w), REFUSAL_DEVICE_NOT_FOUND);
	w.request.n_devices = 1;
	CU_ASSERT_EQUAL(world_decide(&w), REFUSAL_DEVICE_BUSY);
}

static void exact_gate_satisfies_require_gate(void)
{
	struct world w;

	world_init(&w);
	make_no_gate(&w);
	w.sums.gate_exact = true;
	CU_ASSERT_EQUAL(world_decide(&w), REFUSAL_NONE);
	CU_ASSERT_STRING_EQUAL(w.admission.text, "");
}

/* explain shows them, granted or not. */
static void numbers_are_there_whatever_the_verdict(void)
{
	struct world w;

	for (size_t i = 0; i <= ARRAY_SIZE(reasons); i++) {
		const char *name = i ? reasons[i - 1].name : "granted";

		world_init(&w);
		w.sums.user = 1 * GIB;
		w.sums.host = 2 * GIB;
		w.sums.n_sessions = 1;
		if (i)
			reasons[i - 1].make(&w);
		(void)world_decide(&w);
		CHECK(name, w.admission.policy == &w.policy);
		CHECK(name, w.admission.limit > 0);
		CHECK(name, w.admission.memory == w.request.memory);
		CHECK(name, w.admission.user_limit == 64 * GIB);
		CHECK(name, w.admission.host_limit == 200 * GIB);
		CHECK(name, w.admission.max_mappings == 65535);
		CHECK(name, w.admission.sums.user == w.sums.user);
		CHECK(name, w.admission.sums.host == w.sums.host);
		CHECK(name, w.admission.sums.n_sessions == w.sums.n_sessions);
	}
}

static void mappings_are_the_policys_or_by_memory(void)
{
	struct world w;

	world_init(&w);
	w.request.memory = 16 * GIB;
	w.request.viommu = true;
	add_device(&w, GOOD);
	(void)world_decide(&w);
	CU_ASSERT_EQUAL(w.admission.max_mappings, 2 * 65535);
	w.policy.max_mappings_auto = false;
	w.policy.max_mappings = 77;
	(void)world_decide(&w);
	CU_ASSERT_EQUAL(w.admission.max_mappings, 77);
	w.policy.max_mappings = POLICY_UNLIMITED;
	(void)world_decide(&w);
	CU_ASSERT_EQUAL(w.admission.max_mappings, POLICY_UNLIMITED);
}

static const CU_TestInfo tests[] = {
	{"each reason has its sentence: policy and numbers", each_reason_has_its_sentence},
	{"of several reasons the first is given", first_of_several_reasons_is_given},
	{"refusals have the contract's names", refusals_have_the_contracts_names},
	{"without a policy nothing else is looked at", nobody_without_a_policy},
	{"the limit is the smaller of the policy's and auto", limit_is_the_smaller_of_two},
	{"sums are refused one byte above, never by wrapping", sums_are_refused_one_above},
	{"what others have pinned counts for host-reserve", others_count_for_host_reserve},
	{"what others have pinned is said where it counts", others_are_named_where_they_count},
	{"accounting is the policy's, or chosen if any", accounting_is_the_policys},
	{"each device is looked at", each_device_is_looked_at},
	{"several devices must have P2P where the policy says so", several_devices_must_have_p2p},
	{"the order of devices does not matter", order_of_devices_does_not_matter},
	{"an exact gate satisfies require-gate", exact_gate_satisfies_require_gate},
	{"the numbers are there whatever the verdict", numbers_are_there_whatever_the_verdict},
	{"mappings are the policy's, or go by memory", mappings_are_the_policys_or_by_memory},
	CU_TEST_INFO_NULL,
};

const struct suite suite_admission = {"admission", tests};
