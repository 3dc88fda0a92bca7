/* SPDX-License-Identifier: MIT */
#include "daemon/lobby.h"

#include <errno.h>
#include <poll.h>

#include "daemon/broker.h"
#include "daemon/loop.h"
#include "daemon/peer.h"

/* What it sent in time and nobody has looked at yet must not be held against it. */
static bool lobby_has_asked(const struct peer *peer)
{
	struct pollfd fd = {.fd = peer->fd, .events = POLLIN};

	return poll(&fd, 1, 0) > 0;
}

static void lobby_due(void *arg)
{
	struct broker *broker = arg;
	struct lobby *lobby = &broker->lobby;
	uint64_t now_ms = broker_now_ms(), due_ms;

	lobby->timer = LOOP_NONE;
	for (int i = 0; i < LOBBY_DROPS_MAX && lobby->first; i++) {
		struct peer *peer = lobby->first;

		if (peer->lobby.due_ms > now_ms)
			break;
		if (lobby_has_asked(peer))
			lobby_leave(peer); /* its turn comes in this round or the next */
		else
			peer_drop(peer, -ETIMEDOUT);
	}
	if (!lobby->first)
		return;
	due_ms = lobby->first->lobby.due_ms;
	/* There is room: this timer's own. Should it fail, the next who enters sets one. */
	(void)loop_after(broker->loop, due_ms > now_ms ? (uint32_t)(due_ms - now_ms) : 0, lobby_due,
			 broker, &lobby->timer);
}

int lobby_enter(struct peer *peer)
{
	struct broker *broker = peer->broker;
	struct lobby *lobby = &broker->lobby;

	if (lobby->timer == LOOP_NONE) {
		int err =
			loop_after(broker->loop, lobby->wait_ms, lobby_due, broker, &lobby->timer);

		if (err)
			return err;
	}
	peer->lobby = (struct lobby_place){.prev = lobby->last,
					   .due_ms = broker_now_ms() + lobby->wait_ms};
	*(lobby->last ? &lobby->last->lobby.next : &lobby->first) = peer;
	lobby->last = peer;
	return 0;
}

/* While others wait the timer may be early for the first of them; it is set anew when it fires. */
void lobby_leave(struct peer *peer)
{
	struct lobby *lobby = &peer->broker->lobby;
	struct lobby_place *place = &peer->lobby;

	if (!place->due_ms)
		return;
	*(place->prev ? &place->prev->lobby.next : &lobby->first) = place->next;
	*(place->next ? &place->next->lobby.prev : &lobby->last) = place->prev;
	*place = (struct lobby_place){.due_ms = 0};
	if (!lobby->first)
		loop_cancel(peer->broker->loop, &lobby->timer);
}
