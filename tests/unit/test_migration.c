/* SPDX-License-Identifier: MIT */
/* Devices of one session in a migration: which order is one, and which is not. */
#include "daemon/migration.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/proto.h"
#include "daemon/session.h"
#include "tests/unit/suite.h"

enum {
	STOP = PROTO_MIGRATION_STOP,
	RUN = PROTO_MIGRATION_RUNNING,
	STOP_COPY = PROTO_MIGRATION_STOP_COPY,
	RESUME = PROTO_MIGRATION_RESUMING,
	P2P = PROTO_MIGRATION_RUNNING_P2P,
	PRE = PROTO_MIGRATION_PRE_COPY,
	PRE_P2P = PROTO_MIGRATION_PRE_COPY_P2P,
};

/* A step of device 0 or 1. */
struct step {
	unsigned int device;
	uint32_t from, to;
	bool disorder;
};

#define STEPS_MAX 10

struct walk {
	const char *name;
	bool bound; /* that was seen */
	size_t n;
	struct step steps[STEPS_MAX];
};

static const struct walk walks[] = {
	{"both are quiet before one is stopped",
	 true,
	 6,
	 {{0, RUN, P2P, false},
	  {1, RUN, P2P, false},
	  {0, P2P, STOP, false},
	  {1, P2P, STOP, false},
	  {0, STOP, STOP_COPY, false},
	  {1, STOP, STOP_COPY, false}}},
	{"with pre-copy",
	 true,
	 6,
	 {{0, RUN, PRE, false},
	  {1, RUN, PRE, false},
	  {0, PRE, PRE_P2P, false},
	  {1, PRE, PRE_P2P, false},
	  {0, PRE_P2P, STOP_COPY, false},
	  {1, PRE_P2P, STOP_COPY, false}}},
	{"one still runs", true, 2, {{0, RUN, P2P, false}, {0, P2P, STOP, true}}},
	{"one still copies",
	 true,
	 3,
	 {{0, RUN, P2P, false}, {1, RUN, PRE, false}, {0, P2P, STOP, true}}},
	{"nothing was seen of it", false, 2, {{0, RUN, P2P, false}, {0, P2P, STOP, true}}},
	{"nothing was seen of both", false, 2, {{0, P2P, STOP, false}, {1, P2P, STOP, false}}},
	{"a device without P2P", false, 2, {{0, RUN, STOP, true}, {1, RUN, STOP, false}}},
	{"the last without P2P", true, 2, {{1, RUN, P2P, false}, {0, RUN, STOP, false}}},
	{"both are started again, and one is stopped",
	 true,
	 9,
	 {{0, RUN, P2P, false},
	  {1, RUN, P2P, false},
	  {0, P2P, STOP, false},
	  {1, P2P, STOP, false},
	  {0, STOP, P2P, false},
	  {1, STOP, P2P, false},
	  {0, P2P, RUN, false},
	  {1, P2P, STOP, true},
	  {1, STOP, RESUME, false}}},
	{"what is stopped is stopped",
	 true,
	 2,
	 {{0, STOP, STOP_COPY, false}, {0, STOP_COPY, STOP, false}}},
	{"states of later", true, 2, {{0, RUN, 40, false}, {0, 40, STOP, false}}},
};

/* Two devices of one session. */
struct pair {
	struct session session;
	struct session_claim claims[2];
};

static void pair_init(struct pair *pair)
{
	memset(pair, 0, sizeof(*pair));
	pair->session.claims = &pair->claims[0];
	pair->claims[0].next_claim = &pair->claims[1];
	pair->claims[0].session = pair->claims[1].session = &pair->session;
}

static void disorder_is_found_and_nothing_else(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(walks); i++) {
		struct pair pair;

		pair_init(&pair);
		for (size_t k = 0; walks[i].bound && k < 2; k++)
			migration_bound(&pair.claims[k]);
		for (size_t k = 0; k < walks[i].n; k++) {
			const struct step *step = &walks[i].steps[k];
			struct session_claim *claim = &pair.claims[step->device];
			const struct session_claim *other =
				migration_step(claim, step->from, step->to);

			CHECK(walks[i].name, (other != NULL) == step->disorder);
			CHECK(walks[i].name, !other || other == &pair.claims[!step->device]);
			CHECK(walks[i].name,
			      claim->migration_known && claim->migration == step->to);
		}
	}
}

static void a_device_alone_is_in_order(void)
{
	struct pair pair;

	pair_init(&pair);
	pair.claims[0].next_claim = NULL;
	CHECK("alone", !migration_step(&pair.claims[0], RUN, STOP));
}

/* It is as if no step had been seen. */
static void a_refused_step_leaves_the_state(void)
{
	struct pair pair;

	pair_init(&pair);
	migration_is(&pair.claims[1], P2P);
	(void)migration_step(&pair.claims[0], RUN, P2P); /* looked at below */
	CHECK("quiet", !migration_step(&pair.claims[0], P2P, STOP));
	migration_is(&pair.claims[1], RUN);
	migration_is(&pair.claims[0], P2P);
	CHECK("not quiet", migration_step(&pair.claims[0], P2P, STOP) == &pair.claims[1]);
}

static const CU_TestInfo tests[] = {
	{"disorder is found, and nothing else", disorder_is_found_and_nothing_else},
	{"a device alone is in order", a_device_alone_is_in_order},
	{"a refused step leaves the state", a_refused_step_leaves_the_state},
	CU_TEST_INFO_NULL,
};

const struct suite suite_migration = {"migration", tests};
