/* SPDX-License-Identifier: MIT */
/*
 * Random load: --threads processes share the context and do --count random operations together,
 * each with a model of what it has. After --quiet operations (all processes together) they stop,
 * and the sums of the models are said: "quiet K mappings M pages P pinned Q ioas I". They go on
 * with the next line of standard input, or at its end. Facts: seed, worker (a pid, each), ops, and
 * for each operation NAME_ok, NAME_refused (ENOSPC or ENOMEM), NAME_again (EAGAIN), NAME_other;
 * died (0 or 1: then nothing else); samples, and the most pages pinned in any of them.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/integration/gate.h"
#include "tests/integration/gate_call.h"
#include "tests/integration/gate_model.h"

#define SAMPLE_MS 10
#define MEMORY_MAX (MODEL_PAGES_MAX * GATE_PAGE)

enum result { RESULT_OK, RESULT_REFUSED, RESULT_AGAIN, RESULT_OTHER, RESULTS };

static const char *const result_names[] = {"ok", "refused", "again", "other"};

struct worker;

/* Return: 0; -errno; -ENOENT: there was nothing to do it to. */
typedef int (*random_op)(struct worker *worker);

#define OPS_MAX 16

/* What a process tells; shared with the first one. */
struct report {
	struct model_sums sums;
	uint64_t results[OPS_MAX][RESULTS];
};

struct worker {
	struct gate *gate;
	struct report *report; /* borrowed */
	int control; /* a byte from here: quiet; one back: go on */
	uint64_t random;
	struct model model;
	const void *memory; /* MEMORY_MAX */
	void *nothing; /* as many addresses with nothing there */
	union {
		struct uapi_iommu_ioas_map map;
		struct uapi_iommu_ioas_unmap unmap;
	} * readonly; /* a page that cannot be written, but for a moment */
	int file; /* a memfd of MEMORY_MAX; owned, until the process ends */
};

static uint64_t any(struct worker *worker)
{
	return gate_random(&worker->random);
}

/* A new mapping of @memory somewhere. @ret_place: MODEL_MAPPINGS: there is no room in the model */
static struct uapi_iommu_ioas_map any_map(struct worker *worker, const void *memory,
					  size_t *ret_place, size_t *ret_ioas)
{
	size_t place = model_find_free(&worker->model, any(worker));
	size_t ioas = model_find_ioas(&worker->model, any(worker));

	*ret_place = place;
	*ret_ioas = ioas;
	return (struct uapi_iommu_ioas_map){
		.size = sizeof(struct uapi_iommu_ioas_map),
		.flags = CALL_MAP_FLAGS | UAPI_IOMMU_IOAS_MAP_FIXED_IOVA,
		.ioas_id = worker->model.ioas[ioas],
		.user_va = (uintptr_t)memory,
		.length = (1 + any(worker) % MODEL_PAGES_MAX) * GATE_PAGE,
		.iova = model_iova(&worker->model, place),
	};
}

static int map_any(struct worker *worker, const void *memory)
{
	size_t place, ioas;
	struct uapi_iommu_ioas_map map = any_map(worker, memory, &place, &ioas);
	int err;

	if (place == MODEL_MAPPINGS)
		return -ENOENT;
	err = call(worker->gate->iommufd, UAPI_IOMMU_IOAS_MAP, &map);
	if (!err)
		model_map(&worker->model, place, ioas, map.length / GATE_PAGE);
	return err;
}

static int op_map(struct worker *worker)
{
	return map_any(worker, worker->memory);
}

/* Refused where it is pinned; elsewhere the kernel does not look yet. */
static int op_map_nothing(struct worker *worker)
{
	return map_any(worker, worker->nothing);
}

/* Return: what the ioctl returns; -EFAULT: it was done. */
static int readonly_call(struct worker *worker, unsigned long cmd)
{
	if (mprotect(worker->readonly, GATE_PAGE, PROT_READ) < 0)
		return -errno;
	return call(worker->gate->iommufd, cmd, worker->readonly);
}

static int op_map_readonly(struct worker *worker)
{
	size_t place, ioas;
	struct uapi_iommu_ioas_map map = any_map(worker, worker->memory, &place, &ioas);
	int err;

	if (place == MODEL_MAPPINGS)
		return -ENOENT;
	if (mprotect(worker->readonly, GATE_PAGE, PROT_READ | PROT_WRITE) < 0)
		return -errno;
	worker->readonly->map = map;
	err = readonly_call(worker, UAPI_IOMMU_IOAS_MAP);
	if (err != -EFAULT)
		return err;
	model_map(&worker->model, place, ioas, map.length / GATE_PAGE);
	return 0;
}

static int op_map_file(struct worker *worker)
{
	size_t place, ioas;
	struct uapi_iommu_ioas_map map = any_map(worker, NULL, &place, &ioas);
	struct uapi_iommu_ioas_map_file file = {
		.size = sizeof(file),
		.flags = map.flags,
		.ioas_id = map.ioas_id,
		.fd = worker->file,
		.length = map.length,
		.iova = map.iova,
	};
	int err;

	if (place == MODEL_MAPPINGS)
		return -ENOENT;
	err = call(worker->gate->iommufd, UAPI_IOMMU_IOAS_MAP_FILE, &file);
	if (!err)
		model_map(&worker->model, place, ioas, file.length / GATE_PAGE);
	return err;
}

static int op_copy(struct worker *worker)
{
	size_t original = model_find_used(&worker->model, any(worker));
	size_t place, ioas;
	struct uapi_iommu_ioas_map map = any_map(worker, NULL, &place, &ioas);
	const struct model_mapping *from;
	struct uapi_iommu_ioas_copy copy;
	int err;

	if (original == MODEL_MAPPINGS || place == MODEL_MAPPINGS)
		return -ENOENT;
	from = &worker->model.mappings[original];
	copy = (struct uapi_iommu_ioas_copy){
		.size = sizeof(copy),
		.flags = map.flags,
		.dst_ioas_id = map.ioas_id,
		.src_ioas_id = worker->model.ioas[from->ioas],
		.length = from->n_pages * GATE_PAGE,
		.dst_iova = map.iova,
		.src_iova = model_iova(&worker->model, original),
	};
	err = call(worker->gate->iommufd, UAPI_IOMMU_IOAS_COPY, &copy);
	if (!err)
		model_copy(&worker->model, place, ioas, original);
	return err;
}

static struct uapi_iommu_ioas_unmap any_unmap(struct worker *worker, size_t *ret_place)
{
	size_t place = model_find_used(&worker->model, any(worker));
	const struct model_mapping *mapping = &worker->model.mappings[place % MODEL_MAPPINGS];

	*ret_place = place;
	return (struct uapi_iommu_ioas_unmap){
		.size = sizeof(struct uapi_iommu_ioas_unmap),
		.ioas_id = worker->model.ioas[mapping->ioas],
		.iova = model_iova(&worker->model, place),
		.length = mapping->n_pages * GATE_PAGE,
	};
}

static int op_unmap(struct worker *worker)
{
	size_t place;
	struct uapi_iommu_ioas_unmap unmap = any_unmap(worker, &place);
	int err;

	if (place == MODEL_MAPPINGS)
		return -ENOENT;
	err = call(worker->gate->iommufd, UAPI_IOMMU_IOAS_UNMAP, &unmap);
	if (!err)
		model_unmap(&worker->model, place);
	return err;
}

static int op_unmap_readonly(struct worker *worker)
{
	size_t place;
	struct uapi_iommu_ioas_unmap unmap = any_unmap(worker, &place);
	int err;

	if (place == MODEL_MAPPINGS)
		return -ENOENT;
	if (mprotect(worker->readonly, GATE_PAGE, PROT_READ | PROT_WRITE) < 0)
		return -errno;
	worker->readonly->unmap = unmap;
	err = readonly_call(worker, UAPI_IOMMU_IOAS_UNMAP);
	if (err != -EFAULT)
		return err;
	model_unmap(&worker->model, place);
	return 0;
}

static int op_alloc(struct worker *worker)
{
	size_t i = 1 + any(worker) % (MODEL_IOAS - 1);

	if (worker->model.ioas[i])
		return -ENOENT;
	return call_ioas_alloc(worker->gate->iommufd, &worker->model.ioas[i]);
}

/* With what is mapped there. */
static int op_destroy(struct worker *worker)
{
	size_t i = 1 + any(worker) % (MODEL_IOAS - 1);
	int err;

	if (!worker->model.ioas[i])
		return -ENOENT;
	err = call_destroy(worker->gate->iommufd, worker->model.ioas[i]);
	if (!err)
		model_destroy(&worker->model, i);
	return err;
}

static const struct {
	const char *name;
	random_op run;
	unsigned int weight; /* of RANDOM_WEIGHTS */
} ops[] = {
	{"map", op_map, 36},
	{"map_nothing", op_map_nothing, 4},
	{"map_readonly", op_map_readonly, 5},
	{"map_file", op_map_file, 5},
	{"copy", op_copy, 10},
	{"unmap", op_unmap, 28},
	{"unmap_readonly", op_unmap_readonly, 4},
	{"alloc", op_alloc, 6},
	{"destroy", op_destroy, 2},
};

#define RANDOM_WEIGHTS 100

static size_t any_op(struct worker *worker)
{
	uint64_t at = any(worker) % RANDOM_WEIGHTS;
	size_t i = 0;

	while (at >= ops[i].weight)
		at -= ops[i++].weight;
	return i;
}

static enum result result_of(int err)
{
	if (err == -EAGAIN)
		return RESULT_AGAIN;
	if (err == -ENOSPC || err == -ENOMEM)
		return RESULT_REFUSED;
	return err ? RESULT_OTHER : RESULT_OK;
}

/* One operation, whatever it comes to; what there is nothing for is none. */
static void worker_step(struct worker *worker)
{
	size_t i;
	int err;

	do {
		i = any_op(worker);
		err = ops[i].run(worker);
	} while (err == -ENOENT);
	worker->report->results[i][result_of(err)]++;
}

static int worker_init(struct worker *worker)
{
	worker->memory = gate_memory(MEMORY_MAX);
	worker->readonly = gate_memory(GATE_PAGE);
	worker->nothing = mmap(NULL, MEMORY_MAX, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	worker->file = memfd_create("random", MFD_CLOEXEC);
	worker->model.ioas[0] = worker->gate->ioas[0];
	if (!worker->memory || !worker->readonly || worker->nothing == MAP_FAILED)
		return -ENOMEM;
	return worker->file < 0 || ftruncate(worker->file, MEMORY_MAX) < 0 ? -errno : 0;
}

/* Of each process between two quiet points. */
static uint64_t worker_turn(const struct gate *gate)
{
	return (gate->options.quiet + gate->options.threads - 1) / gate->options.threads;
}

/* Until the first process has no more to do for it; then it ends with what it has mapped. */
static void worker_run(struct worker *worker)
{
	char c = 0;

	if (worker_init(worker))
		_exit(1);
	do {
		for (uint64_t i = 0; i < worker_turn(worker->gate); i++)
			worker_step(worker);
		worker->report->sums = model_sum(&worker->model);
	} while (write(worker->control, &c, 1) == 1 && read(worker->control, &c, 1) == 1);
	_exit(0);
}

struct pool {
	struct gate *gate;
	struct report *reports; /* shared with the workers */
	int controls[MODEL_PROCESSES];
	uint64_t n;
	int64_t pinned_before, pinned_most; /* pages; the latter is above the former */
	uint64_t samples;
};

static int pool_add(struct pool *pool, uint64_t seed)
{
	struct worker worker = {
		.gate = pool->gate,
		.report = &pool->reports[pool->n],
		.random = seed + pool->n,
		.model = {.process = pool->n},
	};
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		for (uint64_t i = 0; i < pool->n; i++)
			(void)close(pool->controls[i]); /* theirs ends with the first process */
		(void)close(pair[0]);
		worker.control = pair[1];
		worker_run(&worker);
	}
	fact("worker", (uint64_t)pid);
	(void)close(pair[1]);
	pool->controls[pool->n++] = pair[0];
	return 0;
}

/* Meanwhile the kernel's count of what is pinned is looked at. */
static void pool_sample(struct pool *pool, uint64_t i)
{
	struct pollfd answer = {.fd = pool->controls[i], .events = POLLIN};
	int64_t pinned;

	while (poll(&answer, 1, SAMPLE_MS) == 0) {
		pinned = gate_pinned_pages() - pool->pinned_before;
		pool->samples++;
		if (pinned > pool->pinned_most)
			pool->pinned_most = pinned;
	}
}

/* Until all have stopped. Return: 0; -EOWNERDEAD: one is dead. */
static int pool_wait(struct pool *pool)
{
	char c;

	for (uint64_t i = 0; i < pool->n; i++) {
		pool_sample(pool, i);
		if (read(pool->controls[i], &c, 1) != 1)
			return -EOWNERDEAD;
	}
	return 0;
}

static void pool_say_quiet(const struct pool *pool, uint64_t turn)
{
	struct model_sums sums = {0};

	for (uint64_t i = 0; i < pool->n; i++) {
		const struct model_sums *one = &pool->reports[i].sums;

		sums.mappings += one->mappings;
		sums.pages += one->pages;
		sums.pinned += one->pinned;
		sums.ioas += one->ioas;
	}
	printf("quiet %ju mappings %ju pages %ju pinned %ju ioas %ju\n", (uintmax_t)turn,
	       (uintmax_t)sums.mappings, (uintmax_t)sums.pages, (uintmax_t)sums.pinned,
	       (uintmax_t)sums.ioas);
}

static void pool_say_results(const struct pool *pool)
{
	uint64_t all = 0, sum;

	for (size_t op = 0; op < ARRAY_SIZE(ops); op++) {
		for (size_t result = 0; result < RESULTS; result++) {
			sum = 0;
			for (uint64_t i = 0; i < pool->n; i++)
				sum += pool->reports[i].results[op][result];
			all += sum;
			printf("%s_%s %ju\n", ops[op].name, result_names[result], (uintmax_t)sum);
		}
	}
	fact("ops", all);
}

/* Return: 0; -EOWNERDEAD. */
static int pool_run(struct pool *pool)
{
	uint64_t done = 0, turn = 0, per_turn = worker_turn(pool->gate) * pool->n;
	char c = 0;

	for (;;) {
		if (pool_wait(pool))
			return -EOWNERDEAD;
		done += per_turn;
		pool_say_quiet(pool, ++turn);
		do {
			if (read(STDIN_FILENO, &c, 1) <= 0)
				break;
		} while (c != '\n');
		if (done >= pool->gate->options.count)
			return 0;
		for (uint64_t i = 0; i < pool->n; i++) {
			if (write(pool->controls[i], &c, 1) != 1)
				return -EOWNERDEAD;
		}
	}
}

int random_load(struct gate *gate)
{
	uint64_t n = gate->options.threads, seed = gate_seed(gate);
	struct pool pool = {.gate = gate, .pinned_before = gate_pinned_pages()};
	int err;

	if (!n || n > MODEL_PROCESSES || !gate->options.quiet)
		return -EINVAL;
	pool.reports = gate_shared(n * sizeof(*pool.reports));
	if (!pool.reports)
		return -errno;
	for (err = 0; !err && pool.n < n;)
		err = pool_add(&pool, seed);
	if (err)
		return err;
	fact("died", pool_run(&pool) != 0);
	pool_say_results(&pool);
	fact("samples", pool.samples);
	fact("most_pinned", (uint64_t)pool.pinned_most);
	return 0;
}
