/* SPDX-License-Identifier: MIT */
#include "bpf/gate_pool.h"

#include <errno.h>
#include <linux/types.h>
#include <stdio.h>
#include <string.h>

#include "bpf/gate_map.h"
#include "bpf/gate_private.h"

_Static_assert(GATE_POLICY_MAX < sizeof(((struct gate_adopted *)0)->policy), "room for a name");

static struct gate_adopted *gate_pool_at(const struct gate *gate, uint32_t slot)
{
	return &gate->adopted[slot - GATE_POOL_SLOT];
}

static uint64_t gate_pool_id(const struct gate *gate, uint32_t slot)
{
	return __atomic_load_n(&gate->sessions[slot].id, __ATOMIC_SEQ_CST);
}

bool gate_in_pool(const struct gate *gate, uint32_t slot)
{
	return gate && gate->adopted && slot >= GATE_POOL_SLOT && slot < GATE_FIRST_SESSION;
}

bool gate_pool_look(const struct gate *gate, uint32_t slot, struct gate_context *ret_context)
{
	const struct gate_session *s;
	const struct gate_adopted *adopted;
	uint64_t id;

	if (!gate_in_pool(gate, slot))
		return false;
	s = &gate->sessions[slot];
	adopted = gate_pool_at(gate, slot);
	id = gate_pool_id(gate, slot);
	if (!id || id == GATE_ADOPTED)
		return false;
	*ret_context = (struct gate_context){
		.id = id,
		.inode = adopted->inode,
		.pid = adopted->pid,
		.uid = adopted->uid,
		.judged = adopted->judged,
		.revoked = __atomic_load_n(&s->bits, __ATOMIC_SEQ_CST) & GATE_REVOKED,
		.limits = {.pages = s->max_pages,
			   .mappings = s->max_mappings,
			   .objects = s->max_objects},
	};
	(void)snprintf(ret_context->policy, sizeof(ret_context->policy), "%.*s", GATE_POLICY_MAX,
		       adopted->policy);
	return gate_pool_id(gate, slot) == id; /* else it was released meanwhile */
}

uint32_t gate_pool_next(const struct gate *gate, uint32_t slot, struct gate_context *ret_context)
{
	if (!gate || !gate->adopted)
		return GATE_NO_SLOT;
	for (slot = slot == GATE_NO_SLOT ? GATE_POOL_SLOT : slot + 1; gate_in_pool(gate, slot);
	     slot++)
		if (gate_pool_look(gate, slot, ret_context))
			return slot;
	return GATE_NO_SLOT;
}

uint32_t gate_pool_after(const struct gate *gate, uint64_t id, struct gate_context *ret_context)
{
	uint32_t slot = GATE_NO_SLOT, best = GATE_NO_SLOT;
	struct gate_context context;

	while ((slot = gate_pool_next(gate, slot, &context)) != GATE_NO_SLOT) {
		if (context.id <= id || (best != GATE_NO_SLOT && context.id > ret_context->id))
			continue;
		*ret_context = context;
		best = slot;
	}
	return best;
}

int gate_pool_change(struct gate *gate, uint32_t slot, const struct gate_context *context)
{
	return gate_in_pool(gate, slot) ? gate_change(gate, slot, context) : -ESRCH;
}

void gate_pool_heard(struct gate *gate)
{
	__atomic_store_n(&gate->control->pool_news, 0, __ATOMIC_SEQ_CST);
}

uint64_t gate_pool_refused(const struct gate *gate)
{
	return __atomic_load_n(&gate->control->full, __ATOMIC_SEQ_CST);
}

void gate_pool_use(const struct gate *gate, uint32_t uid, struct gate_pool_use *ret_use)
{
	uint32_t slot = GATE_NO_SLOT, taken = 0, own = 0;
	struct gate_context context;

	while ((slot = gate_pool_next(gate, slot, &context)) != GATE_NO_SLOT) {
		taken++;
		own += context.uid == uid;
	}
	*ret_use = (struct gate_pool_use){
		.n_slots = GATE_POOL, .n_free = GATE_POOL - taken, .n_own = own};
}
