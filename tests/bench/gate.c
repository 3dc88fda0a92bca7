/* SPDX-License-Identifier: MIT */
/*
 * gate [CASE]...: what the gate costs. Root, with a /dev/iommu and bpffs: tests/bench/gate-run
 * makes a machine. Without CASE: all of them.
 *
 * The machines at hand are noisy, so what is compared is measured in turns, within one run; a round
 * of turns gives one ratio, and a case is judged by the median of its rounds. "without" is a host
 * on which nothing is attached.
 *
 * Exit status: 0; 1 when a target is missed, and which is said, or when something fails.
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bpf/gate.h"
#include "bpf/gate_index.h"
#include "common/cleanup.h"
#include "tests/bench/gate_lab.h"
#include "tests/bench/samples.h"
#include "tests/bench/script.h"

#define PAGE 4096ULL
#define HUGE (2ULL << 20)
#define ROUNDS 9
#define PARTS 10 /* of a round's turn: the fastest counts, the others were disturbed */
#define UNLIMITED (1ULL << 30)
#define MANY 10000

struct bench {
	struct lab lab;
	void *memory; /* mapped: HUGE, and all of it there */
	uint64_t next_id;
	unsigned int seed;
	bool missed;
};

/* --- what is said */

static void bench_judge(struct bench *bench, const char *what, double value, double most)
{
	bool good = value <= most;

	printf("%-44s %8.3f  target %.2f%s\n", what, value, most, good ? "" : "  MISSED");
	if (!good)
		bench->missed = true;
}

/* most 0: there is no target. */
static void ratio_say(struct bench *bench, const char *what, const struct samples *with,
		      const struct samples *without, double most)
{
	struct samples ratio = {.n = 0};

	for (size_t i = 0; i < with->n; i++)
		samples_add(&ratio, with->values[i] / without->values[i]);
	if (most > 0)
		bench_judge(bench, what, samples_median(&ratio), most);
	else
		printf("%-44s %8.3f\n", what, samples_median(&ratio));
	printf("  %.2f us with, %.2f us without; ratios %.3f to %.3f\n", samples_median(with),
	       samples_median(without), samples_quantile(&ratio, 0.125),
	       samples_quantile(&ratio, 0.875));
	samples_fini(&ratio);
}

/* --- MAP and UNMAP */

static double pair_us(const struct bench *bench, const struct context *context, uint64_t len,
		      unsigned int n)
{
	double fastest = 0;

	for (int part = 0; part < PARTS; part++) {
		double start = lab_now_us(), us;

		for (unsigned int i = 0; i < n; i++) {
			context_map(context, bench->memory, 0, len);
			context_unmap(context, 0, len);
		}
		us = (lab_now_us() - start) / n;
		if (part == 0 || us < fastest)
			fastest = us;
	}
	return fastest;
}

/* With a domain if the kernel has a device for it. */
static struct context bench_stranger(void)
{
	struct context context = context_open();

	if (!context_add_domain(&context))
		printf("  (no mock device: nothing is pinned)\n");
	return context;
}

/* A context of a session: nothing happens through it while the gate is off. */
static struct context bench_context(struct bench *bench, uint64_t pages, uint64_t mappings)
{
	struct context context = bench_stranger();

	context_enrol(&bench->lab, &context, ++bench->next_id, pages, mappings);
	return context;
}

/* The gate sees it go; it is off afterwards. */
static void bench_drop(struct bench *bench, struct context *context)
{
	lab_detach(&bench->lab);
	lab_attach(&bench->lab, NULL);
	context_close(&bench->lab, context);
	lab_detach(&bench->lab);
}

static void pair_compare(struct bench *bench, const char *what, uint64_t len, unsigned int n,
			 double most)
{
	struct context context = bench_context(bench, UNLIMITED, UNLIMITED);
	struct context stranger = bench_stranger();
	struct samples with = {.n = 0}, without = {.n = 0};

	for (int round = 0; round < ROUNDS; round++) {
		samples_add(&without, pair_us(bench, &stranger, len, n));
		lab_attach(&bench->lab, NULL);
		samples_add(&with, pair_us(bench, &context, len, n));
		lab_detach(&bench->lab);
	}
	ratio_say(bench, what, &with, &without, most);
	samples_fini(&with);
	samples_fini(&without);
	context_close(&bench->lab, &stranger);
	bench_drop(bench, &context);
}

static void case_small(struct bench *bench)
{
	pair_compare(bench, "MAP+UNMAP of 4 KiB, with/without", PAGE, 200, 1.6);
}

static void case_large(struct bench *bench)
{
	pair_compare(bench, "MAP+UNMAP of 2 MiB, with/without", HUGE, 8, 1.08);
}

/* --- a script that counts, in place of the gate */

static void case_bpftrace(struct bench *bench)
{
	const char *what = "MAP+UNMAP of 4 KiB, with/without bpftrace";
	const unsigned int n = 200;
	const uint64_t bytes = (uint64_t)ROUNDS * PARTS * n * PAGE;
	struct samples with = {.n = 0}, without = {.n = 0};
	struct script_counts sum = {0};
	struct context stranger;

	if (!script_is_possible()) {
		printf("%-44s  skipped: no bpftrace is installed, see tests/deps\n", what);
		return;
	}
	stranger = bench_stranger();
	for (int round = 0; round < ROUNDS; round++) {
		struct script_counts counts;
		struct script script;

		samples_add(&without, pair_us(bench, &stranger, PAGE, n));
		script = script_start();
		samples_add(&with, pair_us(bench, &stranger, PAGE, n));
		counts = script_stop(&script);
		sum.mapped += counts.mapped;
		sum.unmapped += counts.unmapped;
	}
	ratio_say(bench, what, &with, &without, 0);
	printf("  it has counted %.3f of what was mapped, %.3f of what was unmapped\n",
	       (double)sum.mapped / (double)bytes, (double)sum.unmapped / (double)bytes);
	samples_fini(&with);
	samples_fini(&without);
	context_close(&bench->lab, &stranger);
}

/* --- random pairs, near the limit */

static double random_us(struct bench *bench, const struct context *context, uint64_t live,
			unsigned int n)
{
	double start = lab_now_us();

	for (unsigned int i = 0; i < n; i++) {
		uint64_t iova = (uint64_t)rand_r(&bench->seed) % live * 2 * PAGE;

		context_unmap(context, iova, PAGE);
		context_map(context, bench->memory, iova, PAGE);
	}
	return (lab_now_us() - start) / n;
}

static void random_compare(struct bench *bench, uint64_t live)
{
	struct context context = bench_context(bench, live * 11 / 10, live * 11 / 10);
	struct context stranger = bench_stranger();
	struct samples with = {.n = 0}, without = {.n = 0};
	const unsigned int blocks = 20, pairs = 50000;
	char what[64];

	lab_attach(&bench->lab, NULL);
	for (uint64_t i = 0; i < live; i++) {
		context_map(&context, bench->memory, i * 2 * PAGE, PAGE);
		context_map(&stranger, bench->memory, i * 2 * PAGE, PAGE);
	}
	for (unsigned int block = 0; block < blocks; block++) {
		samples_add(&with, random_us(bench, &context, live, pairs / blocks));
		lab_detach(&bench->lab);
		samples_add(&without, random_us(bench, &stranger, live, pairs / blocks));
		lab_attach(&bench->lab, NULL);
	}
	(void)snprintf(what, sizeof(what), "random UNMAP+MAP, %" PRIu64 " live, with/without",
		       live);
	ratio_say(bench, what, &with, &without, 1.35);
	samples_fini(&with);
	samples_fini(&without);
	context_close(&bench->lab, &stranger);
	bench_drop(bench, &context);
}

static void case_random(struct bench *bench)
{
	random_compare(bench, 1000);
	random_compare(bench, 10000);
}

/* --- ioctls of others */

static double foreign_us(int fd, unsigned int n)
{
	double fastest = 0;
	int bytes;

	for (int part = 0; part < PARTS; part++) {
		double start = lab_now_us(), us;

		for (unsigned int i = 0; i < n; i++)
			if (ioctl(fd, FIONREAD, &bytes) < 0)
				err(1, "FIONREAD");
		us = (lab_now_us() - start) / n;
		if (part == 0 || us < fastest)
			fastest = us;
	}
	return fastest;
}

static void case_foreign(struct bench *bench)
{
	struct samples nothing = {.n = 0}, empty = {.n = 0}, with = {.n = 0};
	struct context context = bench_context(bench, UNLIMITED, UNLIMITED);
	const unsigned int n = 2000;
	int fds[2];

	if (pipe(fds) < 0)
		err(1, "pipe");
	for (int round = 0; round < ROUNDS; round++) {
		samples_add(&nothing, foreign_us(fds[0], n));
		lab_attach_empty(&bench->lab);
		samples_add(&empty, foreign_us(fds[0], n));
		lab_detach_empty(&bench->lab);
		lab_attach(&bench->lab, NULL);
		samples_add(&with, foreign_us(fds[0], n));
		lab_detach(&bench->lab);
	}
	ratio_say(bench, "FIONREAD, with/an empty program", &with, &empty, 1.10);
	printf("  %.2f us with nothing attached\n", samples_median(&nothing));
	samples_fini(&nothing);
	samples_fini(&empty);
	samples_fini(&with);
	fd_closep(&fds[0]);
	fd_closep(&fds[1]);
	bench_drop(bench, &context);
}

/* --- many sessions */

struct crowd {
	struct context *contexts; /* owned */
	unsigned int n;
};

static void crowd_open(struct bench *bench, struct crowd *crowd, unsigned int n)
{
	*crowd = (struct crowd){.contexts = calloc(n, sizeof(*crowd->contexts)), .n = n};
	if (!crowd->contexts)
		err(1, "calloc");
	for (unsigned int i = 0; i < n; i++) {
		crowd->contexts[i] = context_open();
		context_enrol(&bench->lab, &crowd->contexts[i], ++bench->next_id, UNLIMITED,
			      UNLIMITED);
	}
}

static void crowd_close(struct bench *bench, struct crowd *crowd)
{
	for (unsigned int i = 0; i < crowd->n; i++)
		context_close(&bench->lab, &crowd->contexts[i]);
	free(crowd->contexts);
}

static void case_many(struct bench *bench)
{
	struct context context = bench_context(bench, UNLIMITED, UNLIMITED);
	struct samples many = {.n = 0}, one = {.n = 0};
	const unsigned int n = 200;

	lab_attach(&bench->lab, NULL);
	for (int round = 0; round < ROUNDS / 2; round++) {
		struct crowd crowd;

		samples_add(&one, pair_us(bench, &context, PAGE, n));
		crowd_open(bench, &crowd, MANY - 1);
		samples_add(&many, pair_us(bench, &context, PAGE, n));
		crowd_close(bench, &crowd);
	}
	ratio_say(bench, "MAP+UNMAP of 4 KiB, 10,000 sessions/1", &many, &one, 1.05);
	samples_fini(&many);
	samples_fini(&one);
	bench_drop(bench, &context);
}

static void case_list(struct bench *bench)
{
	const unsigned int sessions = 1000, areas = 100;
	struct gate_figures figures;
	struct crowd crowd;
	double start, first;

	lab_attach(&bench->lab, NULL);
	crowd_open(bench, &crowd, sessions);
	for (unsigned int i = 0; i < sessions; i++)
		for (unsigned int k = 0; k < areas; k++)
			context_map(&crowd.contexts[i], bench->memory, k * 2 * PAGE, PAGE);
	start = lab_now_us();
	for (unsigned int i = 0; i < sessions; i++) {
		if (gate_read(bench->lab.gate, crowd.contexts[i].slot, true, &figures) ||
		    !figures.exact || figures.mappings != areas)
			errx(1, "session %u: %" PRIu64 " mappings, exact %d", i, figures.mappings,
			     figures.exact);
		if (i == 0)
			first = lab_now_us() - start;
	}
	bench_judge(bench, "list of 1,000 sessions of 100, s", (lab_now_us() - start) / 1e6, 1.0);
	printf("  the first %.0f us, then %.1f us each\n", first,
	       (lab_now_us() - start - first) / (sessions - 1));
	crowd_close(bench, &crowd);
	lab_detach(&bench->lab);
}

/* As a daemon that starts asks for each session of its record. */
static double crowd_find_us(const struct bench *bench)
{
	struct gate_index *index;
	double start = lab_now_us(), us;

	if (gate_index_new(bench->lab.gate, &index))
		err(1, "an index");
	for (uint64_t id = bench->next_id - MANY + 1; id <= bench->next_id; id++)
		if (gate_index_find(index, id) == GATE_NO_SLOT)
			errx(1, "session %" PRIu64 " is not found", id);
	us = lab_now_us() - start;
	gate_index_free(index);
	return us;
}

static void case_restart(struct bench *bench)
{
	struct lab_phases phases;
	struct crowd crowd;

	lab_attach(&bench->lab, NULL);
	crowd_open(bench, &crowd, MANY);
	lab_take_over(&bench->lab, &phases);
	bench_judge(bench, "gate_open() beside 10,000 sessions, s", phases.total / 1e6, 2.0);
	printf("  open %.0f ms, maps %.0f, probe %.0f, load %.0f (%u instructions), links %.0f\n",
	       phases.open / 1e3, phases.maps / 1e3, phases.probe / 1e3, phases.load / 1e3,
	       phases.n_instructions, phases.links / 1e3);
	bench_judge(bench, "finding each of 10,000 sessions again, s", crowd_find_us(bench) / 1e6,
		    0.1);
	lab_attach(&bench->lab, NULL);
	crowd_close(bench, &crowd);
	lab_detach(&bench->lab);
}

/* --- what each program costs */

/* Without gate_ioctl nothing is reserved, and nobody may map. */
static const char *const subsets[] = {
	" ", /* a stranger's context */
	" gate_ioctl ",
	" gate_ioctl gate_map ",
	" gate_ioctl gate_map gate_over ",
	" gate_ioctl gate_map gate_unmap ",
	" gate_ioctl gate_map gate_unmap gate_over ",
	NULL,
};

static void case_programs(struct bench *bench)
{
	struct context context = bench_context(bench, UNLIMITED, UNLIMITED);
	struct context stranger = bench_stranger();
	struct samples of[ARRAY_SIZE(subsets)] = {{.n = 0}};

	for (int round = 0; round < ROUNDS / 2; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(subsets); i++) {
			lab_attach(&bench->lab, subsets[i]);
			samples_add(&of[i], pair_us(bench, i ? &context : &stranger, PAGE, 100));
			lab_detach(&bench->lab);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(subsets); i++) {
		printf("%-44s %8.2f us\n", subsets[i] ? subsets[i] + 1 : "all",
		       samples_median(&of[i]));
		samples_fini(&of[i]);
	}
	lab_attach(&bench->lab, NULL);
	lab_stats(&bench->lab, true);
	(void)pair_us(bench, &context, PAGE, 100);
	lab_stats(&bench->lab, false);
	context_close(&bench->lab, &stranger);
	bench_drop(bench, &context);
}

static const struct {
	const char *name;
	void (*run)(struct bench *bench);
} cases[] = {
	{"small", case_small},     {"large", case_large},       {"random", case_random},
	{"foreign", case_foreign}, {"many", case_many},         {"list", case_list},
	{"restart", case_restart}, {"programs", case_programs}, {"bpftrace", case_bpftrace},
};

static bool case_wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc == 1;
}

static void bench_prepare(struct bench *bench)
{
	const struct rlimit files = {.rlim_cur = 65536, .rlim_max = 65536};
	const char *host = getenv("BENCH_HOST");
	struct utsname name;

	if (uname(&name) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0)
		err(1, "prepare");
	printf("Linux %s %s%s%s\n", name.release, name.machine, host ? ", " : "", host ? host : "");
	(void)mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL); /* or it is there */
	bench->memory = mmap(NULL, HUGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (bench->memory == MAP_FAILED)
		err(1, "mmap");
	lab_open(&bench->lab, MANY + 1);
}

int main(int argc, char **argv)
{
	struct bench bench = {.seed = 1};

	if (setvbuf(stdout, NULL, _IOLBF, 0))
		err(1, "stdout");
	bench_prepare(&bench);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (case_wanted(cases[i].name, argc, argv))
			cases[i].run(&bench);
	lab_close(&bench.lab);
	(void)munmap(bench.memory, HUGE);
	return bench.missed;
}
