/* SPDX-License-Identifier: MIT */
#include "bpf/gate_expect.h"

#include <errno.h>
#include <linux/types.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "bpf/expect_map.h"
#include "bpf/gate.h"
#include "bpf/gate_map.h"
#include "bpf/gate_private.h"
#include "common/clock.h"
#include "common/device.h"

#define GATE_EXPECT_WAIT_NS 20000000 /* for a program that holds one, which is a moment */

_Static_assert(EXPECT_NAME_MAX == DEVICE_NAME_MAX && GATE_NAME_MAX == EXPECT_NAME_MAX &&
		       GATE_PLUG_NAME_MAX == GATE_NAME_MAX,
	       "names fit");

static bool gate_expect_is_free(const struct expected *e)
{
	return __atomic_load_n(&e->state, __ATOMIC_SEQ_CST) == EXPECT_FREE;
}

/* NULL: it is not expected. */
static struct expected *gate_expected(const struct gate *gate, uint32_t slot, const char *name)
{
	for (uint32_t i = 0; i < gate->expected->n; i++) {
		struct expected *e = &gate->expected->at[i];

		if (!gate_expect_is_free(e) && e->slot == slot &&
		    e->id == gate->sessions[slot].id &&
		    strncmp(e->name, name, EXPECT_NAME_MAX) == 0)
			return e;
	}
	return NULL;
}

/* Nobody looks at what is free. */
static int gate_expect_fill(struct gate *gate, uint32_t slot, const char *name)
{
	struct expect_table *table = gate->expected;
	uint32_t i = 0;

	while (i < EXPECT_DEVICES && !gate_expect_is_free(&table->at[i]))
		i++;
	if (i == EXPECT_DEVICES)
		return -ENOSPC;
	table->at[i].slot = slot;
	table->at[i].id = gate->sessions[slot].id;
	table->at[i].n_files = table->at[i].n_bound = table->at[i].lent = 0;
	memset(table->at[i].name, 0, EXPECT_NAME_MAX);
	memcpy(table->at[i].name, name, strnlen(name, EXPECT_NAME_MAX - 1));
	__atomic_store_n(&table->at[i].state, EXPECT_ARMED, __ATOMIC_SEQ_CST);
	if (i >= table->n)
		__atomic_store_n(&table->n, i + 1, __ATOMIC_SEQ_CST);
	return 0;
}

void gate_set_cdev_major(struct gate *gate, uint32_t cdev_major)
{
	if (gate->knows_cdevs)
		__atomic_store_n(&gate->expected->cdev_major, cdev_major, __ATOMIC_SEQ_CST);
}

int gate_expect(struct gate *gate, uint32_t slot, const char *name, uint32_t cdev_major)
{
	int err;

	if (!cdev_major || !gate->knows_cdevs)
		return -ENODEV;
	if (gate_expected(gate, slot, name))
		return 0;
	gate_set_cdev_major(gate, cdev_major);
	err = gate_arm_timer(gate, slot);
	if (!err)
		err = gate_expect_fill(gate, slot, name);
	if (!err)
		gate_count_files(gate, slot, gate->sessions[slot].n_enrolled ? 1 : 3);
	return err;
}

/*
 * Whoever holds it may be waiting for this processor. Return: whether it is as it shall be now:
 * free, or armed; else it was held all the time.
 */
static bool gate_expect_leave(struct expected *e, uint32_t state)
{
	const uint64_t until_ns = clock_ns(CLOCK_MONOTONIC) + GATE_EXPECT_WAIT_NS;
	uint32_t armed;
	bool last;

	do {
		last = clock_ns(CLOCK_MONOTONIC) > until_ns;
		armed = EXPECT_ARMED;
		if (__atomic_compare_exchange_n(&e->state, &armed, state, false, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST) ||
		    armed == EXPECT_FREE)
			return true;
		(void)sched_yield(); /* it cannot fail */
	} while (!last);
	return false;
}

void gate_expect_lent(struct gate *gate, uint32_t slot, const char *name)
{
	struct expected *e = gate_expected(gate, slot, name);

	if (e)
		e->lent = 1;
}

static bool gate_expect_is_left(const struct expected *e)
{
	return !e->lent && __atomic_load_n(&e->n_bound, __ATOMIC_SEQ_CST) &&
	       !__atomic_load_n(&e->n_files, __ATOMIC_SEQ_CST);
}

bool gate_is_unplugged(const struct gate *gate, uint32_t slot, const char *name)
{
	const struct expected *e = gate_expected(gate, slot, name);

	return e && gate_expect_is_left(e);
}

/* It was leaving when a daemon was killed, and nobody but the daemon lets it leave. */
static void gate_expect_return(struct expected *e)
{
	uint32_t leaving = EXPECT_LEAVING;

	(void)__atomic_compare_exchange_n(&e->state, &leaving, EXPECT_ARMED, false,
					  __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Whoever binds it at this moment comes before, or finds it gone. */
int gate_unexpect_device(struct gate *gate, uint32_t slot, const char *name)
{
	struct expected *e = gate_expected(gate, slot, name);
	bool busy;

	if (!e)
		return 0;
	gate_expect_return(e);
	if (!gate_expect_leave(e, EXPECT_LEAVING))
		return -EBUSY;
	busy = __atomic_load_n(&e->n_files, __ATOMIC_SEQ_CST);
	if (!busy)
		gate_unenrol(gate, slot); /* its place is free for another */
	__atomic_store_n(&e->state, busy ? EXPECT_ARMED : EXPECT_FREE, __ATOMIC_SEQ_CST);
	return busy ? -EBUSY : 0;
}

/* Return: 0; -EBUSY: one of the slot's is held. */
static int gate_expect_leave_all(struct gate *gate, uint32_t slot, uint32_t state)
{
	int err = 0;

	for (uint32_t i = 0; i < gate->expected->n; i++) {
		struct expected *e = &gate->expected->at[i];

		if (!gate_expect_is_free(e) && e->slot == slot && !gate_expect_leave(e, state))
			err = -EBUSY;
	}
	return err;
}

int gate_expect_settle(struct gate *gate, uint32_t slot)
{
	return gate_expect_leave_all(gate, slot, EXPECT_ARMED);
}

int gate_unexpect(struct gate *gate, uint32_t slot)
{
	return gate_expect_leave_all(gate, slot, EXPECT_FREE);
}

void gate_expect_keep(struct gate *gate, gate_expect_fn fn, void *arg)
{
	for (uint32_t i = 0; i < gate->expected->n; i++) {
		struct expected *e = &gate->expected->at[i];

		gate_expect_return(e);
		if (!gate_expect_is_free(e) && !fn(e->slot, e->id, arg))
			(void)gate_expect_leave(e, EXPECT_FREE); /* its id is no session's */
	}
}

/* --- devices that nobody expects */

bool gate_asked(const struct gate *gate, uint32_t slot, struct gate_plug *ret_plug)
{
	const struct gate_session *s = &gate->sessions[slot];

	ret_plug->number = __atomic_load_n(&s->plug, __ATOMIC_SEQ_CST);
	if ((ret_plug->number & GATE_PLUG_STATE) != GATE_PLUG_ASKED)
		return false;
	ret_plug->pid = s->plug_pid;
	memcpy(ret_plug->name, s->plug_name, sizeof(ret_plug->name));
	ret_plug->name[sizeof(ret_plug->name) - 1] = '\0';
	/* What was read is of that question, or the answer to it comes too late. */
	return __atomic_load_n(&s->plug, __ATOMIC_SEQ_CST) == ret_plug->number;
}

void gate_plug_pause(struct gate *gate, uint32_t slot, uint64_t ms)
{
	__atomic_store_n(&gate->sessions[slot].plug_ns, clock_ns(CLOCK_MONOTONIC) + ms * 1000000,
			 __ATOMIC_SEQ_CST);
}

bool gate_answer(struct gate *gate, uint32_t slot, const struct gate_plug *plug)
{
	uint32_t asked = plug->number;

	return __atomic_compare_exchange_n(&gate->sessions[slot].plug, &asked,
					   plug->number - GATE_PLUG_ASKED + GATE_PLUG_ANSWERED,
					   false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
