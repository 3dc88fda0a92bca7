/* SPDX-License-Identifier: MIT */
/* Turns, by one timer. Time passes when the test says so: nothing here waits for a clock. */
#include "daemon/mirror_turn.h"

#include <poll.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/broker.h"
#include "daemon/loop.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

#define TURNS 64
#define STEPS 20000

/* A queue, and the turns it has called. */
struct table {
	struct mirror_queue queue;
	struct spot always; /* ends a run of the loop, after the timers that are due */
	uint64_t start_ms;
	uint64_t last_due_ms;
	size_t n_called;
};

struct player {
	struct mirror_turn turn;
	struct table *table;
	size_t place; /* 1: called first; 0: not yet */
	unsigned int again; /* how often it sets itself again */
	uint64_t again_ms; /* that much later */
	struct player *cancels;
};

static void player_run(struct mirror_turn *turn)
{
	struct player *player = container_of(turn, struct player, turn);
	struct table *table = player->table;

	CU_ASSERT_FALSE(turn->queued);
	CU_ASSERT(broker_now_ms() >= turn->due_ms);
	CU_ASSERT(turn->due_ms >= table->last_due_ms);
	table->last_due_ms = turn->due_ms;
	player->place = ++table->n_called;
	if (player->cancels)
		mirror_turn_cancel(&table->queue, &player->cancels->turn);
	if (player->again) {
		player->again--;
		mirror_turn_set(&table->queue, turn, turn->due_ms + player->again_ms);
	}
}

static bool table_init(struct table *table)
{
	memset(table, 0, sizeof(*table));
	if (!loop_fixture_init(&table->queue.loop))
		return false;
	fake_clock_stop(CLOCK_MONOTONIC);
	table->start_ms = broker_now_ms();
	spot_init(&table->always, table->queue.loop, true);
	spot_watch(&table->always);
	return true;
}

static void table_fini(struct table *table)
{
	mirror_queue_fini(&table->queue);
	CU_ASSERT_EQUAL(table->queue.timer, LOOP_NONE);
	spot_fini(&table->always);
	loop_free(table->queue.loop);
	fake_clock_reset();
}

/* Until that time from the start on, and whatever is due by then. */
static void table_pass(struct table *table, uint64_t until_ms)
{
	int64_t ms = (int64_t)(table->start_ms + until_ms - broker_now_ms());

	if (ms > 0)
		fake_clock_add(CLOCK_MONOTONIC, ms);
	table->always.stop_at = table->always.n_calls + 2; /* timers come behind the first */
	CU_ASSERT_EQUAL(loop_run(table->queue.loop), 0);
}

static void player_set(struct table *table, struct player *player, uint64_t at_ms)
{
	player->table = table;
	player->turn.run = player_run;
	mirror_turn_set(&table->queue, &player->turn, table->start_ms + at_ms);
}

static void order_is_that_of_their_times(void)
{
	static const uint64_t at_ms[] = {5000, 1000, 3000, 1000, 0, 9000};
	static const size_t place[] = {5, 2, 4, 3, 1, 0};
	struct player players[ARRAY_SIZE(at_ms)] = {0};
	struct table table;

	if (!table_init(&table))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(at_ms); i++)
		player_set(&table, &players[i], at_ms[i]);
	table_pass(&table, 6000);
	for (size_t i = 0; i < ARRAY_SIZE(at_ms); i++)
		CU_ASSERT_EQUAL(players[i].place, place[i]);
	CU_ASSERT_EQUAL(table.queue.timer_ms, table.start_ms + 9000);
	mirror_turn_cancel(&table.queue, &players[5].turn);
	table_fini(&table);
}

static void earlier_time_counts(void)
{
	struct player a = {.place = 0}, b = {.place = 0};
	struct table table;

	if (!table_init(&table))
		return;
	player_set(&table, &a, 2000);
	player_set(&table, &b, 3000);
	player_set(&table, &b, 1000); /* before a */
	player_set(&table, &a, 9000); /* it has an earlier one */
	CU_ASSERT_EQUAL(a.turn.due_ms, table.start_ms + 2000);
	table_pass(&table, 1500);
	CU_ASSERT(b.place == 1 && a.place == 0);
	table_pass(&table, 2000);
	CU_ASSERT(b.place == 1 && a.place == 2);
	CU_ASSERT_EQUAL(table.n_called, 2);
	table_fini(&table);
}

static void cancelled_turn_is_not_called(void)
{
	struct player a = {.place = 0}, b = {.place = 0}, c = {.place = 0};
	struct table table;

	if (!table_init(&table))
		return;
	mirror_turn_cancel(&table.queue, &a.turn); /* it has none */
	player_set(&table, &a, 1000);
	player_set(&table, &b, 1000);
	player_set(&table, &c, 1000);
	mirror_turn_cancel(&table.queue, &a.turn);
	b.cancels = &c; /* in the same round */
	table_pass(&table, 5000);
	CU_ASSERT(!a.place && b.place == 1 && !c.place);
	player_set(&table, &a, 6000);
	table_pass(&table, 6000);
	CU_ASSERT_EQUAL(a.place, 2);
	table_fini(&table);
}

/* One that is at once due again does not keep the others from their turn, nor the loop. */
static void turn_may_set_itself_again(void)
{
	struct player a = {.again = 3, .again_ms = 100}, b = {.place = 0};
	struct table table;

	if (!table_init(&table))
		return;
	player_set(&table, &a, 1000);
	player_set(&table, &b, 1250);
	table_pass(&table, 1000);
	CU_ASSERT(a.place == 1 && a.turn.queued);
	CU_ASSERT_EQUAL(table.queue.timer_ms, table.start_ms + 1100);
	table_pass(&table, 1200);
	CU_ASSERT_EQUAL(a.place, 3);
	table_pass(&table, 2000);
	CU_ASSERT_EQUAL(b.place, 4);
	CU_ASSERT_EQUAL(a.place, 5);
	table_fini(&table);
}

static void no_timer_without_turns(void)
{
	struct player a = {.place = 0}, b = {.place = 0};
	struct table table;

	if (!table_init(&table))
		return;
	CU_ASSERT_EQUAL(table.queue.timer, LOOP_NONE);
	player_set(&table, &a, 1000);
	player_set(&table, &b, 2000);
	CU_ASSERT_NOT_EQUAL(table.queue.timer, LOOP_NONE);
	table_pass(&table, 1000);
	CU_ASSERT_NOT_EQUAL(table.queue.timer, LOOP_NONE);
	mirror_turn_cancel(&table.queue, &b.turn);
	CU_ASSERT_EQUAL(table.queue.timer, LOOP_NONE);
	player_set(&table, &b, 3000);
	table_pass(&table, 3000);
	CU_ASSERT_EQUAL(b.place, 2);
	CU_ASSERT_EQUAL(table.queue.timer, LOOP_NONE);
	table_fini(&table);
}

/* The timer that there was no memory for is set with the next turn. */
static void queue_goes_on_after_a_failure(void)
{
	struct player a = {.place = 0}, b = {.place = 0};
	struct table table;

	if (!table_init(&table))
		return;
	loop_fixture_fail_growth(1);
	player_set(&table, &a, 1000);
	loop_fixture_fail_growth(0);
	CU_ASSERT_EQUAL(table.queue.timer, LOOP_NONE);
	CU_ASSERT_TRUE(a.turn.queued);
	player_set(&table, &b, 5000);
	table_pass(&table, 1000);
	CU_ASSERT(a.place == 1 && !b.place);
	mirror_turn_cancel(&table.queue, &b.turn);
	table_fini(&table);
}

/* When each is to be called; 0: not at all. */
struct model {
	struct table table;
	struct player players[TURNS];
	uint64_t due_ms[TURNS];
	uint64_t now_ms;
	uint64_t seed;
};

static void model_step(struct model *m)
{
	size_t i = suite_random(&m->seed) % TURNS;
	uint64_t at_ms = m->now_ms + 1 + suite_random(&m->seed) % 500;

	switch (suite_random(&m->seed) % 8) {
	case 0:
		mirror_turn_cancel(&m->table.queue, &m->players[i].turn);
		m->due_ms[i] = 0;
		return;
	case 1:
		m->now_ms += suite_random(&m->seed) % 100;
		table_pass(&m->table, m->now_ms);
		for (size_t k = 0; k < TURNS; k++)
			if (m->due_ms[k] && m->due_ms[k] <= m->now_ms)
				m->due_ms[k] = 0;
		return;
	default:
		player_set(&m->table, &m->players[i], at_ms);
		if (!m->due_ms[i] || at_ms < m->due_ms[i])
			m->due_ms[i] = at_ms;
	}
}

static void model_check(const struct model *m)
{
	uint64_t first_ms = UINT64_MAX;

	for (size_t i = 0; i < TURNS; i++) {
		const struct mirror_turn *turn = &m->players[i].turn;

		CU_ASSERT_EQUAL(turn->queued, m->due_ms[i] != 0);
		if (!m->due_ms[i])
			continue;
		CU_ASSERT_EQUAL(turn->due_ms, m->table.start_ms + m->due_ms[i]);
		if (turn->due_ms < first_ms)
			first_ms = turn->due_ms;
	}
	CU_ASSERT_EQUAL(m->table.queue.timer == LOOP_NONE, first_ms == UINT64_MAX);
	if (first_ms != UINT64_MAX)
		CU_ASSERT(m->table.queue.timer_ms <= first_ms);
}

static void any_order_of_calls(void)
{
	static struct model m;

	memset(&m, 0, sizeof(m));
	if (!table_init(&m.table))
		return;
	m.seed = suite_seed("mirror turn");
	for (int i = 0; i < STEPS; i++) {
		model_step(&m);
		model_check(&m);
	}
	for (size_t i = 0; i < TURNS; i++)
		mirror_turn_cancel(&m.table.queue, &m.players[i].turn);
	table_fini(&m.table);
}

#define TESTS(X)                                                                        \
	X(order_is_that_of_their_times, "turns come in the order of their times")       \
	X(earlier_time_counts, "of two times of a turn the earlier counts")             \
	X(cancelled_turn_is_not_called, "a turn that was cancelled is not called")      \
	X(turn_may_set_itself_again, "a turn may set itself again")                     \
	X(no_timer_without_turns, "without turns there is no timer")                    \
	X(queue_goes_on_after_a_failure, "without memory the next turn sets the timer") \
	X(any_order_of_calls, "any order of calls")

TESTS(LOOP_FIXTURE_DEFINE)

static const CU_TestInfo tests[] = {TESTS(LOOP_FIXTURE_ROWS) CU_TEST_INFO_NULL};

const struct suite suite_mirror_turn = {"mirror_turn", tests};
