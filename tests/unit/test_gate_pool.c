/* SPDX-License-Identifier: MIT */
/* bpf/gate_pool.c: over slots in memory, as a gate that is loaded has them. */
#include "bpf/gate_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/gate_map.h"
#include "bpf/gate_private.h"
#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define ID(n) (GATE_ADOPTED | (n))

/* What the programs would have filled in. */
struct scene {
	struct gate_control control;
	struct gate_session sessions[GATE_FIRST_SESSION + 2];
	struct gate_adopted adopted[GATE_POOL];
	struct gate gate;
};

static struct scene *scene_new(void)
{
	struct scene *s = calloc(1, sizeof(*s));

	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	s->control.unmanaged_pages = 16;
	s->control.unmanaged_mappings = 65535;
	s->control.unmanaged_objects = 1024;
	s->gate.control = &s->control;
	s->gate.sessions = s->sessions;
	s->gate.adopted = s->adopted;
	s->gate.n_sessions = s->gate.n_shown = GATE_FIRST_SESSION + 2;
	s->sessions[GATE_FIRST_SESSION].id = 7; /* a session */
	return s;
}

static void scene_free(struct scene **s)
{
	free(*s);
}

static void scene_adopt(struct scene *s, uint32_t at, uint64_t id)
{
	s->sessions[GATE_POOL_SLOT + at].id = id;
	s->sessions[GATE_POOL_SLOT + at].max_pages = s->control.unmanaged_pages;
	s->adopted[at] = (struct gate_adopted){.pid = 100 + at, .uid = 1000 + at, .inode = at};
}

static void contexts_come_in_the_order_of_their_ids(void)
{
	CLEANUP(scene_free) struct scene *s = scene_new();
	struct gate_context context = {.id = 0};

	scene_adopt(s, 0, ID(900));
	scene_adopt(s, 5, ID(100));
	scene_adopt(s, 9, ID(500));
	scene_adopt(s, GATE_POOL - 1, ID(300));
	CU_ASSERT_EQUAL(gate_pool_after(&s->gate, context.id, &context), GATE_POOL_SLOT + 5);
	CU_ASSERT_EQUAL(context.uid, 1005);
	CU_ASSERT_EQUAL(gate_pool_after(&s->gate, context.id, &context), GATE_FIRST_SESSION - 1);
	CU_ASSERT_EQUAL(gate_pool_after(&s->gate, context.id, &context), GATE_POOL_SLOT + 9);
	CU_ASSERT_EQUAL(gate_pool_after(&s->gate, context.id, &context), GATE_POOL_SLOT);
	CU_ASSERT_EQUAL(context.pid, 100);
	CU_ASSERT_EQUAL(gate_pool_after(&s->gate, context.id, &context), GATE_NO_SLOT);
}

static void what_is_free_or_being_filled_is_none(void)
{
	CLEANUP(scene_free) struct scene *s = scene_new();
	struct gate_context context;

	scene_adopt(s, 3, GATE_ADOPTED);
	CU_ASSERT_EQUAL(gate_pool_next(&s->gate, GATE_NO_SLOT, &context), GATE_NO_SLOT);
	CU_ASSERT_FALSE(gate_pool_look(&s->gate, GATE_FIRST_SESSION, &context));
	CU_ASSERT_FALSE(gate_pool_look(&s->gate, GATE_POOL_SLOT + 3, &context));
	CU_ASSERT_FALSE(gate_in_pool(&s->gate, GATE_SELF_TEST));
	CU_ASSERT_TRUE(gate_in_pool(&s->gate, GATE_FIRST_SESSION - 1));
	CU_ASSERT_FALSE(gate_in_pool(&s->gate, GATE_FIRST_SESSION));
	CU_ASSERT_EQUAL(gate_pool_next(NULL, GATE_NO_SLOT, &context), GATE_NO_SLOT);
	CU_ASSERT_EQUAL(gate_pool_after(NULL, 0, &context), GATE_NO_SLOT);
}

static void what_is_there_is_told(void)
{
	CLEANUP(scene_free) struct scene *s = scene_new();
	const uint32_t slot = GATE_POOL_SLOT + 2;
	struct gate_context context;
	char longest[GATE_POLICY_MAX + 1];

	memset(longest, 'p', GATE_POLICY_MAX);
	longest[GATE_POLICY_MAX] = '\0';
	scene_adopt(s, 2, ID(1));
	CU_ASSERT_TRUE_FATAL(gate_pool_look(&s->gate, slot, &context));
	CU_ASSERT_FALSE(context.judged || context.revoked);
	CU_ASSERT_STRING_EQUAL(context.policy, "");
	CU_ASSERT_EQUAL(context.limits.pages, 16);

	s->sessions[slot].bits = GATE_REVOKED;
	s->sessions[slot].max_mappings = 5;
	s->adopted[2].judged = 1;
	memset(s->adopted[2].policy, 'p', sizeof(s->adopted[2].policy)); /* no end is believed */
	CU_ASSERT_TRUE_FATAL(gate_pool_look(&s->gate, slot, &context));
	CU_ASSERT_TRUE(context.judged && context.revoked);
	CU_ASSERT_STRING_EQUAL(context.policy, longest);
	CU_ASSERT_EQUAL(context.limits.mappings, 5);
}

static void slots_are_counted_by_user(void)
{
	CLEANUP(scene_free) struct scene *s = scene_new();
	struct gate_pool_use use;

	scene_adopt(s, 3, ID(1));
	scene_adopt(s, 4, ID(2));
	scene_adopt(s, 5, ID(3));
	s->adopted[5].uid = 1003;
	gate_pool_use(&s->gate, 1003, &use);
	CU_ASSERT_EQUAL(use.n_slots, GATE_POOL);
	CU_ASSERT_EQUAL(use.n_free, GATE_POOL - 3);
	CU_ASSERT_EQUAL(use.n_own, 2);
	gate_pool_use(&s->gate, 7, &use);
	CU_ASSERT_EQUAL(use.n_own, 0);
}

static void nothing_is_written_to_a_session(void)
{
	CLEANUP(scene_free) struct scene *s = scene_new();
	struct gate_context context = {.id = 7, .revoked = true};

	CU_ASSERT_EQUAL(gate_pool_change(&s->gate, GATE_FIRST_SESSION, &context), -ESRCH);
	CU_ASSERT_EQUAL(s->sessions[GATE_FIRST_SESSION].bits, 0);
}

static const CU_TestInfo tests[] = {
	{"contexts come in the order of their ids", contexts_come_in_the_order_of_their_ids},
	{"what is free or being filled is none", what_is_free_or_being_filled_is_none},
	{"what is there is told", what_is_there_is_told},
	{"slots are counted by user", slots_are_counted_by_user},
	{"nothing is written to a session", nothing_is_written_to_a_session},
	CU_TEST_INFO_NULL,
};

const struct suite suite_gate_pool = {"gate_pool", tests};
