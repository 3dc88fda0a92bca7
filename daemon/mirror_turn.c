/* SPDX-License-Identifier: MIT */
#include "daemon/mirror_turn.h"

#include <stddef.h>

#include "common/log.h"
#include "daemon/broker.h"
#include "daemon/loop.h"

static void mirror_queue_due(void *arg);

static void mirror_queue_unlink(struct mirror_queue *queue, struct mirror_turn *turn)
{
	*(turn->prev ? &turn->prev->next : &queue->first) = turn->next;
	*(turn->next ? &turn->next->prev : &queue->last) = turn->prev;
	turn->queued = false;
}

/* Most are later than all others: from the end. */
static void mirror_queue_link(struct mirror_queue *queue, struct mirror_turn *turn)
{
	struct mirror_turn *prev = queue->last;

	while (prev && prev->due_ms > turn->due_ms)
		prev = prev->prev;
	turn->prev = prev;
	turn->next = prev ? prev->next : queue->first;
	*(turn->prev ? &turn->prev->next : &queue->first) = turn;
	*(turn->next ? &turn->next->prev : &queue->last) = turn;
	turn->queued = true;
}

/* The timer of the first. Without memory for one it waits for the next turn that is set. */
static void mirror_queue_arm(struct mirror_queue *queue)
{
	uint64_t now_ms = broker_now_ms(), wait_ms;

	if (queue->timer && queue->first && queue->timer_ms <= queue->first->due_ms)
		return;
	loop_cancel(queue->loop, &queue->timer);
	if (!queue->first)
		return;
	queue->timer_ms = queue->first->due_ms;
	wait_ms = queue->timer_ms > now_ms ? queue->timer_ms - now_ms : 0;
	if (loop_after(queue->loop, (uint32_t)wait_ms, mirror_queue_due, queue, &queue->timer))
		log_warning("the mirror waits for its next change: no memory for a timer");
}

static void mirror_queue_due(void *arg)
{
	struct mirror_queue *queue = arg;
	const uint64_t now_ms = broker_now_ms();

	queue->timer = LOOP_NONE;
	while (queue->first && queue->first->due_ms <= now_ms) {
		struct mirror_turn *turn = queue->first;

		mirror_queue_unlink(queue, turn);
		turn->run(turn);
	}
	mirror_queue_arm(queue);
}

void mirror_queue_fini(struct mirror_queue *queue)
{
	if (queue->loop)
		loop_cancel(queue->loop, &queue->timer);
}

void mirror_turn_set(struct mirror_queue *queue, struct mirror_turn *turn, uint64_t due_ms)
{
	if (turn->queued && turn->due_ms <= due_ms)
		return;
	if (turn->queued)
		mirror_queue_unlink(queue, turn);
	turn->due_ms = due_ms;
	mirror_queue_link(queue, turn);
	mirror_queue_arm(queue);
}

void mirror_turn_cancel(struct mirror_queue *queue, struct mirror_turn *turn)
{
	if (!turn->queued)
		return;
	mirror_queue_unlink(queue, turn);
	mirror_queue_arm(queue);
}
