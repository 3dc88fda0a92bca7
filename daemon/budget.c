/* SPDX-License-Identifier: MIT */
#include "daemon/budget.h"

#include <assert.h>
#include <errno.h>

#include "common/cleanup.h"
#include "daemon/bucket.h"

#define BUDGET_BUCKETS 256
#define BUDGET_TELLS 10 /* a second, of those who connect too often */
/* As long as it takes to refill the slowest bucket: forgetting later changes nothing. */
#define BUDGET_MEMORY_MS (BUDGET_LINES * 1000)

struct budget_user {
	struct budget_user *next;
	uid_t uid;
	unsigned int n_connections;
	struct bucket requests;
	struct bucket connects;
	struct bucket knocks;
	struct bucket tells;
	struct bucket lines;
	uint64_t turn_ms; /* the last that was given away, see budget_pause() */
	uint64_t left_ms; /* when its last connection ended */
};

struct budget {
	struct budget_user *users[BUDGET_BUCKETS];
};

int budget_new(struct budget **ret_budget)
{
	struct budget *budget = calloc(1, sizeof(*budget));

	if (!budget)
		return -ENOMEM;
	*ret_budget = budget;
	return 0;
}

/* Drops who has no connection and has not been seen lately; returns the uid's place. */
static struct budget_user **budget_slot(struct budget *budget, uid_t uid, uint64_t now_ms)
{
	struct budget_user **slot = &budget->users[uid % BUDGET_BUCKETS];

	while (*slot && (*slot)->uid != uid) {
		struct budget_user *user = *slot;

		if (!user->n_connections && now_ms - user->left_ms >= BUDGET_MEMORY_MS) {
			*slot = user->next;
			free(user);
		} else {
			slot = &user->next;
		}
	}
	return slot;
}

void budget_free(struct budget *budget)
{
	if (!budget)
		return;
	for (size_t i = 0; i < BUDGET_BUCKETS; i++) {
		while (budget->users[i]) {
			struct budget_user *user = budget->users[i];

			assert(!user->n_connections);
			budget->users[i] = user->next;
			free(user);
		}
	}
	free(budget);
}

void budget_freep(struct budget **budget)
{
	budget_free(*budget);
}

/* The uid's entry, made if there is none. NULL: no memory. */
static struct budget_user *budget_user(struct budget *budget, uid_t uid, uint64_t now_ms)
{
	struct budget_user **slot = budget_slot(budget, uid, now_ms);
	struct budget_user *user = *slot;

	if (!user) {
		user = calloc(1, sizeof(*user));
		if (!user)
			return NULL;
		user->uid = uid;
		*slot = user;
	}
	user->left_ms = now_ms;
	return user;
}

int budget_knock(struct budget *budget, uid_t uid, unsigned int rate, uint64_t now_ms,
		 enum budget_door *ret_door)
{
	struct budget_user *user = budget_user(budget, uid, now_ms);

	if (!user)
		return -ENOMEM;
	if (bucket_take(&user->knocks, rate, rate, now_ms))
		*ret_door = BUDGET_OPEN;
	else if (bucket_take(&user->tells, BUDGET_TELLS, BUDGET_TELLS, now_ms))
		*ret_door = BUDGET_TELL;
	else
		*ret_door = BUDGET_SHUT;
	return 0;
}

int budget_connect(struct budget *budget, uid_t uid, unsigned int max, unsigned int rate,
		   uint64_t now_ms, struct budget_user **ret_user)
{
	struct budget_user *user = budget_user(budget, uid, now_ms);

	if (!user)
		return -ENOMEM;
	if (user->n_connections >= max)
		return -EDQUOT;
	if (!bucket_take(&user->connects, rate, rate, now_ms))
		return -EAGAIN;
	user->n_connections++;
	*ret_user = user;
	return 0;
}

void budget_disconnect(struct budget *budget, struct budget_user *user, uint64_t now_ms)
{
	assert(user->n_connections > 0);
	user->n_connections--;
	user->left_ms = now_ms;
	(void)budget_slot(budget, user->uid, now_ms); /* forgets others of its bucket */
}

bool budget_request(struct budget_user *user, unsigned int max, uint64_t now_ms)
{
	return bucket_take(&user->requests, max, max, now_ms) != 0;
}

unsigned int budget_line(struct budget_user *user, uint64_t now_ms)
{
	return bucket_take(&user->lines, BUDGET_LINES, 1, now_ms);
}

uint32_t budget_pause(struct budget_user *user, unsigned int max, uint64_t now_ms)
{
	if (max == 0 || !user->requests.n_refused)
		return 0;
	if (user->turn_ms < now_ms)
		user->turn_ms = now_ms;
	if (user->turn_ms - now_ms >= BUDGET_PAUSE_MAX_MS)
		return BUDGET_PAUSE_MAX_MS;
	user->turn_ms += 1000 / max + (1000 % max != 0);
	return user->turn_ms - now_ms < BUDGET_PAUSE_MAX_MS ? (uint32_t)(user->turn_ms - now_ms)
							    : BUDGET_PAUSE_MAX_MS;
}
