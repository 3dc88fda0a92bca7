/* SPDX-License-Identifier: MIT */
/* The gate's sessions by their ids, for a start, which asks for each: as they were when it was
 * made. */
#ifndef BPF_GATE_INDEX_H
#define BPF_GATE_INDEX_H

#include <stdint.h>

struct gate;
struct gate_index;

/* Of no gate: empty. Return: 0; -ENOMEM. */
int gate_index_new(const struct gate *gate, struct gate_index **ret_index);
void gate_index_free(struct gate_index *index);
void gate_index_freep(struct gate_index **index);

/* The slot of the session with this id; GATE_NO_SLOT. */
uint32_t gate_index_find(const struct gate_index *index, uint64_t id);

#endif
