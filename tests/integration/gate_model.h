/* SPDX-License-Identifier: MIT */
/*
 * What one process of a random load has in the context, by its own account: its IOASes, mappings
 * and the memory behind them, which copies share. The first IOAS is everybody's and the one a
 * device may be attached to; addresses are the model's choice, so that processes do not meet there.
 */
#ifndef TESTS_INTEGRATION_GATE_MODEL_H
#define TESTS_INTEGRATION_GATE_MODEL_H

#include <stddef.h>
#include <stdint.h>

#define MODEL_MAPPINGS 192
#define MODEL_IOAS 4
#define MODEL_PROCESSES 8
#define MODEL_PAGES_MAX 16 /* of a mapping */

struct model_mapping {
	uint64_t n_pages; /* 0: a free place */
	size_t ioas; /* index among the model's */
	size_t memory; /* the place of the mapping that was first to have it */
};

struct model_memory {
	uint64_t n_pages;
	uint64_t n_mappings; /* 0: gone */
	uint64_t n_attached; /* of those in the first IOAS */
};

struct model {
	uint32_t ioas[MODEL_IOAS]; /* ids; 0: none */
	struct model_mapping mappings[MODEL_MAPPINGS];
	struct model_memory memory[MODEL_MAPPINGS];
	uint64_t process; /* 0 … MODEL_PROCESSES - 1 */
};

struct model_sums {
	uint64_t mappings;
	uint64_t pages; /* of memory, each once */
	uint64_t pinned; /* of those in the first IOAS */
	uint64_t ioas; /* the first one left out */
};

/* Where the mapping with that place is: the same wherever in the model it goes. */
uint64_t model_iova(const struct model *model, size_t place);

/* @from: any number, where the search begins. Return: a place; MODEL_MAPPINGS: there is none. */
size_t model_find_free(const struct model *model, uint64_t from);
size_t model_find_used(const struct model *model, uint64_t from);

/* Return: an index of an IOAS that exists; there is one always. */
size_t model_find_ioas(const struct model *model, uint64_t from);

/* What a call has done. A copy's mapping has as many pages as the original. */
void model_map(struct model *model, size_t place, size_t ioas, uint64_t n_pages);
void model_copy(struct model *model, size_t place, size_t ioas, size_t original);
void model_unmap(struct model *model, size_t place);
void model_destroy(struct model *model, size_t ioas);

struct model_sums model_sum(const struct model *model);

#endif
