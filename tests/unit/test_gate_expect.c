/* SPDX-License-Identifier: MIT */
/* bpf/gate_expect.c: over tables in memory, as a gate that is loaded has them. */
#include "bpf/gate_expect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/expect_map.h"
#include "bpf/gate_map.h"
#include "bpf/gate_private.h"
#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define SLOT GATE_FIRST_SESSION
#define ID 7
#define DEVICE "0000:00:05.0"

struct scene {
	struct gate_session sessions[GATE_FIRST_SESSION + 1];
	struct expect_table table;
	struct gate gate;
};

/* A session with a device that is expected. */
static struct scene *scene_new(void)
{
	struct scene *s = calloc(1, sizeof(*s));

	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	s->gate.sessions = s->sessions;
	s->gate.expected = &s->table;
	s->gate.n_sessions = s->gate.n_shown = GATE_FIRST_SESSION + 1;
	s->gate.knows_cdevs = true;
	s->sessions[SLOT].id = ID;
	s->table.at[0] =
		(struct expected){.state = EXPECT_ARMED, .slot = SLOT, .id = ID, .name = DEVICE};
	s->table.n = 1;
	return s;
}

static void scene_free(struct scene **s)
{
	free(*s);
}

static void a_device_is_expected_once(void)
{
	CLEANUP(scene_free) struct scene *s = scene_new();

	CU_ASSERT_EQUAL(gate_expect(&s->gate, SLOT, DEVICE, 0), -ENODEV);
	CU_ASSERT_EQUAL(gate_expect(&s->gate, SLOT, DEVICE, 511), 0);
	CU_ASSERT_EQUAL(s->table.n, 1);
	CU_ASSERT_EQUAL(s->table.at[1].state, EXPECT_FREE);
	CU_ASSERT_EQUAL(s->gate.n_files, 0);
}

static void what_was_bound_and_is_left_is_free(void)
{
	CLEANUP(scene_free) struct scene *s = scene_new();
	struct expected *e = &s->table.at[0];

	CU_ASSERT_FALSE(gate_is_unplugged(&s->gate, SLOT, DEVICE)); /* it is to come */
	e->n_bound = e->n_files = 1;
	CU_ASSERT_FALSE(gate_is_unplugged(&s->gate, SLOT, DEVICE));
	CU_ASSERT_EQUAL(gate_unexpect_device(&s->gate, SLOT, DEVICE), -EBUSY);
	CU_ASSERT_EQUAL(e->state, EXPECT_ARMED);
	e->n_files = 0;
	CU_ASSERT_TRUE(gate_is_unplugged(&s->gate, SLOT, DEVICE));
	gate_expect_lent(&s->gate, SLOT, DEVICE);
	CU_ASSERT_FALSE(gate_is_unplugged(&s->gate, SLOT, DEVICE));
	CU_ASSERT_EQUAL(gate_unexpect_device(&s->gate, SLOT, DEVICE), 0);
	CU_ASSERT_EQUAL(e->state, EXPECT_FREE);
	CU_ASSERT_EQUAL(gate_unexpect_device(&s->gate, SLOT, DEVICE), 0);
}

/* A program that holds it is waited for, a daemon that was killed is not. */
static void what_is_held_stays(void)
{
	CLEANUP(scene_free) struct scene *s = scene_new();
	struct expected *e = &s->table.at[0];

	e->n_bound = 1;
	e->state = EXPECT_HELD;
	CU_ASSERT_EQUAL(gate_unexpect_device(&s->gate, SLOT, DEVICE), -EBUSY);
	CU_ASSERT_EQUAL(e->state, EXPECT_HELD);
	e->state = EXPECT_LEAVING;
	CU_ASSERT_EQUAL(gate_unexpect_device(&s->gate, SLOT, DEVICE), 0);
	CU_ASSERT_EQUAL(e->state, EXPECT_FREE);
}

static void a_question_is_answered_once(void)
{
	CLEANUP(scene_free) struct scene *s = scene_new();
	struct gate_session *session = &s->sessions[SLOT];
	struct gate_plug plug;

	CU_ASSERT_FALSE(gate_asked(&s->gate, SLOT, &plug));
	(void)strcpy(session->plug_name, "0000:00:06.0");
	session->plug_pid = 4711;
	session->plug = 3 * GATE_PLUG_NEXT + GATE_PLUG_FILLING;
	CU_ASSERT_FALSE(gate_asked(&s->gate, SLOT, &plug));
	session->plug = 3 * GATE_PLUG_NEXT + GATE_PLUG_ASKED;
	CU_ASSERT_TRUE(gate_asked(&s->gate, SLOT, &plug));
	CU_ASSERT_STRING_EQUAL(plug.name, "0000:00:06.0");
	CU_ASSERT_EQUAL(plug.pid, 4711);
	CU_ASSERT_TRUE(gate_answer(&s->gate, SLOT, &plug));
	CU_ASSERT_EQUAL(session->plug, 3 * GATE_PLUG_NEXT + GATE_PLUG_ANSWERED);
	CU_ASSERT_FALSE(gate_answer(&s->gate, SLOT, &plug));
	session->plug = 4 * GATE_PLUG_NEXT + GATE_PLUG_ASKED; /* the next one */
	CU_ASSERT_FALSE(gate_answer(&s->gate, SLOT, &plug));
	CU_ASSERT_EQUAL(session->plug, 4 * GATE_PLUG_NEXT + GATE_PLUG_ASKED);
}

static const CU_TestInfo tests[] = {
	{"a device is expected once", a_device_is_expected_once},
	{"what was bound and is left is free", what_was_bound_and_is_left_is_free},
	{"what is held stays", what_is_held_stays},
	{"a question is answered once", a_question_is_answered_once},
	CU_TEST_INFO_NULL,
};

const struct suite suite_gate_expect = {"gate_expect", tests};
