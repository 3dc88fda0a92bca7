/* SPDX-License-Identifier: MIT */
/*
 * The pool: contexts that nobody here handed out, which the gate's programs adopt by themselves
 * (gate_rules.unmanaged), and give up when the kernel releases them. Figures, state and holders are
 * those of their slots, as a session's (bpf/gate.h).
 *
 * A slot may become another context's at any time, while the daemon looks or before it has written:
 * what is written names the id, too.
 */
#ifndef BPF_GATE_POOL_H
#define BPF_GATE_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/gate.h"

#define GATE_POLICY_MAX 64 /* bytes of a name */

struct gate_context {
	uint64_t id; /* no session's; never used twice in one boot */
	uint64_t inode; /* of the pidfd of the process that was adopted for; it may be gone */
	uint32_t pid; /* its pid, in the initial namespace */
	uint32_t uid; /* its real one */
	bool judged; /* its policy was looked for */
	bool revoked;
	struct gate_limits limits;
	char policy[GATE_POLICY_MAX + 1]; /* "": none */
};

/* Whether a slot is the pool's. */
bool gate_in_pool(const struct gate *gate, uint32_t slot);

/* What is in a slot of the pool. Return: false: nothing. */
bool gate_pool_look(const struct gate *gate, uint32_t slot, struct gate_context *ret_context);

/* The next slot in use after this one (GATE_NO_SLOT: the first); GATE_NO_SLOT: none. */
uint32_t gate_pool_next(const struct gate *gate, uint32_t slot, struct gate_context *ret_context);

/* The context with the least id above this one; GATE_NO_SLOT: none. */
uint32_t gate_pool_after(const struct gate *gate, uint64_t id, struct gate_context *ret_context);

/**
 * gate_pool_change() - limits, policy, judged and revoked of a context become what they are here
 *
 * What is judged or revoked stays so. Return: 0; -ESRCH: it is released; -errno.
 */
int gate_pool_change(struct gate *gate, uint32_t slot, const struct gate_context *context);

/* From here on there are notices again of what is new: GATE_NOTICE_POOL. */
void gate_pool_heard(struct gate *gate);

/* Ioctls that were refused as there was no slot, or none for their user: see gate_pool_use(). */
uint64_t gate_pool_refused(const struct gate *gate);

/* Of n_slots no user gets more than it leaves free. */
struct gate_pool_use {
	uint32_t n_slots;
	uint32_t n_free;
	uint32_t n_own; /* of that user */
};

void gate_pool_use(const struct gate *gate, uint32_t uid, struct gate_pool_use *ret_use);

#endif
