/* SPDX-License-Identifier: MIT */
#include "tests/integration/gate_model.h"

#include <assert.h>

/* From where a mock domain begins; 1 MiB each. The last one ends before it does, at 2 GiB. */
uint64_t model_iova(const struct model *model, size_t place)
{
	return (16 + model->process * MODEL_MAPPINGS + place) << 20;
}

static size_t model_find(const struct model *model, uint64_t from, int used)
{
	for (size_t i = 0; i < MODEL_MAPPINGS; i++) {
		size_t place = (from + i) % MODEL_MAPPINGS;

		/* A place whose memory lives on in copies is not free either. */
		if (used ? model->mappings[place].n_pages != 0
			 : !model->mappings[place].n_pages && !model->memory[place].n_mappings)
			return place;
	}
	return MODEL_MAPPINGS;
}

size_t model_find_free(const struct model *model, uint64_t from)
{
	return model_find(model, from, 0);
}

size_t model_find_used(const struct model *model, uint64_t from)
{
	return model_find(model, from, 1);
}

size_t model_find_ioas(const struct model *model, uint64_t from)
{
	size_t i = from % MODEL_IOAS;

	while (!model->ioas[i])
		i = (i + 1) % MODEL_IOAS;
	return i;
}

static void model_add(struct model *model, size_t place, size_t ioas, size_t memory)
{
	model->mappings[place] = (struct model_mapping){
		.n_pages = model->memory[memory].n_pages,
		.ioas = ioas,
		.memory = memory,
	};
	model->memory[memory].n_mappings++;
	model->memory[memory].n_attached += ioas == 0;
}

void model_map(struct model *model, size_t place, size_t ioas, uint64_t n_pages)
{
	model->memory[place] = (struct model_memory){.n_pages = n_pages};
	model_add(model, place, ioas, place);
}

void model_copy(struct model *model, size_t place, size_t ioas, size_t original)
{
	model_add(model, place, ioas, model->mappings[original].memory);
}

void model_unmap(struct model *model, size_t place)
{
	struct model_mapping *mapping = &model->mappings[place];
	struct model_memory *memory = &model->memory[mapping->memory];

	assert(mapping->n_pages && memory->n_mappings);
	memory->n_mappings--;
	memory->n_attached -= mapping->ioas == 0;
	mapping->n_pages = 0;
}

void model_destroy(struct model *model, size_t ioas)
{
	for (size_t i = 0; i < MODEL_MAPPINGS; i++) {
		if (model->mappings[i].n_pages && model->mappings[i].ioas == ioas)
			model_unmap(model, i);
	}
	model->ioas[ioas] = 0;
}

struct model_sums model_sum(const struct model *model)
{
	struct model_sums sums = {0};

	for (size_t i = 0; i < MODEL_MAPPINGS; i++) {
		sums.mappings += model->mappings[i].n_pages != 0;
		if (!model->memory[i].n_mappings)
			continue;
		sums.pages += model->memory[i].n_pages;
		sums.pinned += model->memory[i].n_attached ? model->memory[i].n_pages : 0;
	}
	for (size_t i = 1; i < MODEL_IOAS; i++)
		sums.ioas += model->ioas[i] != 0;
	return sums;
}
