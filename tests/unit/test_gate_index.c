/* SPDX-License-Identifier: MIT */
/* bpf/gate_index.c: over slots in memory, as a gate that is loaded has them. */
#include "bpf/gate_index.h"

#include <errno.h>
#include <stdlib.h>

#include "bpf/gate_map.h"
#include "bpf/gate_private.h"
#include "common/cleanup.h"
#include "tests/unit/faults.h"
#include "tests/unit/suite.h"

#define SLOTS 10001

/* Slot 0 is the self-test's, whose id is the largest; ids count down, and each third is free. */
static uint64_t id_in(uint32_t slot)
{
	if (slot == GATE_SELF_TEST)
		return UINT64_MAX;
	return slot % 3 ? 7000000 - (uint64_t)slot * 2 : 0;
}

static void sessions_are_found_by_id(void)
{
	CLEANUP(gate_index_freep) struct gate_index *index = NULL;
	CLEANUP(freep) struct gate_session *sessions = calloc(SLOTS, sizeof(*sessions));
	const struct gate gate = {.sessions = sessions, .n_sessions = SLOTS, .n_shown = SLOTS};

	CU_ASSERT_PTR_NOT_NULL_FATAL(sessions);
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		sessions[slot].id = id_in(slot);
	CU_ASSERT_EQUAL_FATAL(gate_index_new(&gate, &index), 0);
	for (uint32_t slot = GATE_FIRST_SESSION; slot < SLOTS; slot++)
		if (id_in(slot))
			CU_ASSERT_EQUAL(gate_index_find(index, id_in(slot)), slot);
	CU_ASSERT_EQUAL(gate_index_find(index, 0), GATE_NO_SLOT);
	CU_ASSERT_EQUAL(gate_index_find(index, 1), GATE_NO_SLOT);
	CU_ASSERT_EQUAL(gate_index_find(index, id_in(GATE_FIRST_SESSION) - 1),
			GATE_NO_SLOT); /* between two */
	CU_ASSERT_EQUAL(gate_index_find(index, id_in(GATE_FIRST_SESSION) + 1),
			GATE_NO_SLOT); /* the last is less */
	CU_ASSERT_EQUAL(gate_index_find(index, UINT64_MAX), GATE_NO_SLOT); /* no session */
}

static void without_a_gate_none_is_found(void)
{
	CLEANUP(gate_index_freep) struct gate_index *index = NULL;

	CU_ASSERT_EQUAL_FATAL(gate_index_new(NULL, &index), 0);
	CU_ASSERT_EQUAL(gate_index_find(index, 1), GATE_NO_SLOT);
}

static void out_of_memory_is_said(void)
{
	struct gate_index *index = NULL;
	int err;

	faults_arm(1, 0);
	err = gate_index_new(NULL, &index);
	CU_ASSERT_TRUE(faults_disarm());
	CU_ASSERT_EQUAL(err, -ENOMEM);
	CU_ASSERT_PTR_NULL(index);
}

static const CU_TestInfo tests[] = {
	{"sessions are found by id, whatever their slots", sessions_are_found_by_id},
	{"without a gate none is found", without_a_gate_none_is_found},
	{"out of memory is said", out_of_memory_is_said},
	CU_TEST_INFO_NULL,
};

const struct suite suite_gate_index = {"gate_index", tests};
