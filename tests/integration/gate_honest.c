/* SPDX-License-Identifier: MIT */
/*
 * Honest load: --threads threads of one process map and unmap 4 to 64 KiB in random order, --count
 * operations together. Each has its share of --level percent of --slots and --limit and stays
 * within it at every moment, so all of it fits and nothing may be refused. --count 0: until the end
 * of standard input; mode calm: the same, and mostly idle; mode lost: before each MAP another one
 * of a page, to where nothing is. Facts: seed, maps, unmaps, refused, again (of those: EAGAIN),
 * error (of the last), live_slots, live_pages.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/integration/gate.h"
#include "tests/integration/gate_call.h"

#define THREADS_MAX 64
#define PAGES_MAX 16 /* of a mapping */
#define CALM_MS 20 /* between two operations */
#define LOST_US 500 /* after one that fails: others get the processor, or it gets another one */

struct mapping {
	uint64_t iova;
	uint64_t n_pages;
};

struct load {
	const struct gate *gate;
	const void *memory; /* borrowed, PAGES_MAX pages: mapped by all */
	uint64_t random;
	uint64_t ops; /* 0: until the end of standard input */
	int pause_ms;
	bool loses;
	uint64_t slots_max, pages_max; /* the share */
	struct mapping *mappings; /* owned, slots_max */
	uint64_t slots, pages; /* live */
	uint64_t maps, unmaps, refused, again;
	int error;
};

static int load_map(struct load *load, uint64_t n_pages)
{
	struct mapping *mapping = &load->mappings[load->slots];
	const struct gate *gate = load->gate;
	int err;

	if (load->loses) {
		(void)call_map(gate->iommufd, UINT32_MAX, load->memory, GATE_PAGE, NULL);
		(void)usleep(LOST_US);
	}
	err = call_map(gate->iommufd, gate->ioas[0], load->memory, n_pages * GATE_PAGE,
		       &mapping->iova);
	if (err)
		return err;
	mapping->n_pages = n_pages;
	load->slots++;
	load->pages += n_pages;
	load->maps++;
	return 0;
}

static int load_unmap(struct load *load)
{
	struct mapping *mapping = &load->mappings[gate_random(&load->random) % load->slots];
	const struct gate *gate = load->gate;
	int err = call_unmap(gate->iommufd, gate->ioas[0], mapping->iova,
			     mapping->n_pages * GATE_PAGE, NULL);

	if (err)
		return err;
	load->pages -= mapping->n_pages;
	*mapping = load->mappings[--load->slots];
	load->unmaps++;
	return 0;
}

static bool load_is_over(const struct load *load, uint64_t n_ops)
{
	struct pollfd end = {.fd = STDIN_FILENO, .events = POLLIN};

	return load->ops ? n_ops >= load->ops : poll(&end, 1, load->pause_ms) != 0;
}

/* Maps wherever it may, so that what is live stays where the share ends. */
static void *load_run(void *arg)
{
	struct load *load = arg;

	for (uint64_t i = 0; !load_is_over(load, i); i++) {
		uint64_t n_pages = 1 + gate_random(&load->random) % PAGES_MAX;
		bool fits =
			load->slots < load->slots_max && load->pages + n_pages <= load->pages_max;
		int err = fits || !load->slots ? load_map(load, n_pages) : load_unmap(load);

		if (!err)
			continue;
		load->error = err;
		load->refused++;
		load->again += err == -EAGAIN;
	}
	return NULL;
}

static int load_init(struct load *load, const struct gate *gate, const void *memory)
{
	const struct gate_options *options = &gate->options;
	bool calm = strcmp(options->mode, "calm") == 0;

	*load = (struct load){
		.gate = gate,
		.memory = memory,
		.ops = calm ? 0 : options->count / options->threads,
		.pause_ms = calm ? CALM_MS : 0,
		.loses = strcmp(options->mode, "lost") == 0,
		.slots_max = options->slots * options->level / 100 / options->threads,
		.pages_max = options->limit / GATE_PAGE * options->level / 100 / options->threads,
	};
	load->mappings = calloc(load->slots_max, sizeof(*load->mappings));
	return load->mappings ? 0 : -ENOMEM;
}

static void loads_say(struct load *loads, uint64_t n)
{
	struct load sum = {0};

	for (uint64_t i = 0; i < n; i++) {
		sum.maps += loads[i].maps;
		sum.unmaps += loads[i].unmaps;
		sum.refused += loads[i].refused;
		sum.again += loads[i].again;
		sum.slots += loads[i].slots;
		sum.pages += loads[i].pages;
		sum.error = loads[i].error ? loads[i].error : sum.error;
		free(loads[i].mappings);
	}
	fact("maps", sum.maps);
	fact("unmaps", sum.unmaps);
	fact("refused", sum.refused);
	fact("again", sum.again);
	fact_error("error", sum.error);
	fact("live_slots", sum.slots);
	fact("live_pages", sum.pages);
}

int honest_load(struct gate *gate)
{
	uint64_t n = gate->options.threads, seed = gate_seed(gate);
	const void *memory = gate_memory(PAGES_MAX * GATE_PAGE);
	struct load loads[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	int err = !memory ? -ENOMEM : n > THREADS_MAX ? -EINVAL : 0;

	for (uint64_t i = 0; !err && i < n; i++) {
		err = load_init(&loads[i], gate, memory);
		loads[i].random = seed + i;
	}
	for (uint64_t i = 0; !err && i < n; i++)
		err = -pthread_create(&threads[i], NULL, load_run, &loads[i]);
	if (err)
		return err; /* the end of the process tidies up */
	for (uint64_t i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
	loads_say(loads, n);
	return 0;
}
