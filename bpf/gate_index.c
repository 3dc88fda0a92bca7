/* SPDX-License-Identifier: MIT */
#include "bpf/gate_index.h"

#include <errno.h>
#include <stdlib.h>

#include "bpf/gate.h"
#include "common/cleanup.h"

struct gate_index_entry {
	uint64_t id;
	uint32_t slot;
};

struct gate_index {
	size_t n;
	struct gate_index_entry entries[]; /* in the order of the ids */
};

static int gate_index_compare(const void *a, const void *b)
{
	const struct gate_index_entry *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

int gate_index_new(const struct gate *gate, struct gate_index **ret_index)
{
	struct gate_index *index;
	uint32_t slot = GATE_NO_SLOT;
	size_t n = 0;
	uint64_t id;

	while ((slot = gate_next(gate, slot, &id)) != GATE_NO_SLOT)
		n++;
	index = calloc(1, sizeof(*index) + n * sizeof(*index->entries));
	if (!index)
		return -ENOMEM;
	while ((slot = gate_next(gate, slot, &id)) != GATE_NO_SLOT)
		index->entries[index->n++] = (struct gate_index_entry){.id = id, .slot = slot};
	qsort(index->entries, index->n, sizeof(*index->entries), gate_index_compare);
	*ret_index = index;
	return 0;
}

void gate_index_free(struct gate_index *index)
{
	free(index);
}

void gate_index_freep(struct gate_index **index)
{
	gate_index_free(*index);
}

uint32_t gate_index_find(const struct gate_index *index, uint64_t id)
{
	const struct gate_index_entry key = {.id = id};
	const struct gate_index_entry *found = bsearch(&key, index->entries, index->n,
						       sizeof(*index->entries), gate_index_compare);

	return found ? found->slot : GATE_NO_SLOT;
}
