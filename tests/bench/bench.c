/* SPDX-License-Identifier: MIT */
/*
 * bench [OPTION]... PINBROKERD BARE: what a grant by the broker costs beside one by a daemon that
 * does nothing but the system calls, with 1, 1,000 and 10,000 live sessions; what memory it takes,
 * and whether the idle daemon sleeps. Root, with a /dev/iommu: tests/bench/run makes a machine.
 *
 * The machines at hand are noisy, so the two are measured in turns, a block of grants each; a round
 * of such turns gives one ratio, and a level is judged by the median of its rounds' ratios. The
 * client is the same code for both, each time a new process.
 *
 * Exit status: 0; 1 when a target is missed, and which is said, or when something fails.
 */
#include <err.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/bench/grant.h"
#include "tests/bench/samples.h"
#include "tests/bench/server.h"

#define LEVELS_MAX 8
#define SETTLE_MS 1000 /* after the last grant, before the daemon is called idle */

/* Targets. */
#define RATIO_MAX 1.5
#define RATIO_MAX_MANY 1.7
#define MANY_SESSIONS 10000
#define RSS_BASE_KIB 8192 /* and 1 KiB per session */

enum side {
	SIDE_BROKER,
	SIDE_BARE,
	SIDES,
};

struct options {
	size_t levels[LEVELS_MAX];
	size_t n_levels;
	size_t rounds;
	size_t blocks; /* per round and side */
	size_t grants; /* per block */
	size_t per_holder;
	unsigned int idle_ms;
	bool json;
};

struct side_result {
	struct samples latency_us; /* of every grant */
	struct samples cycle_us;
};

struct level_result {
	size_t sessions;
	struct side_result sides[SIDES];
	struct samples ratio; /* of the p50 of each round */
	struct samples cycle_ratio;
	uint64_t rss_kib;
	uint64_t wakeups;
};

struct bench {
	struct options options;
	char directory[SERVER_DIRECTORY_SIZE];
	struct server servers[SIDES];
	struct grant_holder *holders; /* owned */
	size_t n_holders;
	size_t n_sessions; /* that they hold */
	struct level_result results[LEVELS_MAX];
};

/* Setting up */

static void sleep_ms(unsigned int ms)
{
	const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	(void)nanosleep(&pause, NULL); /* no signal is expected */
}

static void start(struct bench *bench, char *pinbrokerd, char *bare)
{
	struct server *broker = &bench->servers[SIDE_BROKER], *other = &bench->servers[SIDE_BARE];
	char config[256], log[64];

	server_prepare(bench->directory);
	(void)snprintf(config, sizeof(config),
		       "host-reserve = \"off\"\nmax-requests = 0\n"
		       "policy \"bench\" {\n\tusers = {\"%d\"}\n\taccounting = \"task\"\n"
		       "\tlimit = \"1M\"\n\tmax-sessions = 1000000\n}\n",
		       GRANT_UID);
	broker->name = "broker";
	server_start_broker(broker, pinbrokerd, bench->directory, config);
	other->name = "bare";
	(void)snprintf(log, sizeof(log), "%s/log", bench->directory);
	(void)snprintf(other->socket_path, sizeof(other->socket_path), "%s/bare", bench->directory);
	server_start(other, (char *[]){bare, other->socket_path, NULL}, log);
}

static struct grant_client client_of(const struct bench *bench, enum side side)
{
	return (struct grant_client){.socket_path = bench->servers[side].socket_path,
				     .uid = GRANT_UID};
}

/* More holders, until so many sessions live. */
static void hold(struct bench *bench, size_t sessions)
{
	const struct grant_client client = client_of(bench, SIDE_BROKER);

	while (bench->n_sessions < sessions) {
		size_t n = sessions - bench->n_sessions;

		if (n > bench->options.per_holder)
			n = bench->options.per_holder;
		bench->holders =
			reallocarray(bench->holders, bench->n_holders + 1, sizeof(*bench->holders));
		if (!bench->holders)
			err(1, "holders");
		grant_holder_start(&client, bench->n_sessions, n,
				   &bench->holders[bench->n_holders++]);
		bench->n_sessions += n;
	}
}

static void finish(struct bench *bench)
{
	for (size_t i = 0; i < bench->n_holders; i++)
		grant_holder_stop(&bench->holders[i]);
	free(bench->holders);
	for (size_t i = 0; i < SIDES; i++)
		server_stop(&bench->servers[i]);
	for (size_t i = 0; i < bench->options.n_levels; i++) {
		struct level_result *r = &bench->results[i];

		for (size_t side = 0; side < SIDES; side++) {
			samples_fini(&r->sides[side].latency_us);
			samples_fini(&r->sides[side].cycle_us);
		}
		samples_fini(&r->ratio);
		samples_fini(&r->cycle_ratio);
	}
}

/* Measuring */

static void measure_block(const struct bench *bench, enum side side, struct side_result *round)
{
	const struct grant_client client = client_of(bench, side);
	struct grant_times times;

	for (size_t i = 0; i < bench->options.grants; i++) {
		grant_measure(&client, &times);
		samples_add(&round->latency_us, (double)times.latency / 1000);
		samples_add(&round->cycle_us, (double)times.cycle / 1000);
	}
}

static void keep(struct samples *all, const struct samples *round)
{
	for (size_t i = 0; i < round->n; i++)
		samples_add(all, round->values[i]);
}

static void measure_round(const struct bench *bench, struct level_result *result)
{
	struct side_result round[SIDES] = {{.latency_us = {.n = 0}}};

	/* Who is first changes, as the first of a pair meets what the second left. */
	for (size_t i = 0; i < bench->options.blocks; i++) {
		measure_block(bench, i % 2 ? SIDE_BARE : SIDE_BROKER, &round[i % 2]);
		measure_block(bench, i % 2 ? SIDE_BROKER : SIDE_BARE, &round[1 - i % 2]);
	}
	samples_add(&result->ratio, samples_median(&round[SIDE_BROKER].latency_us) /
					    samples_median(&round[SIDE_BARE].latency_us));
	samples_add(&result->cycle_ratio, samples_median(&round[SIDE_BROKER].cycle_us) /
						  samples_median(&round[SIDE_BARE].cycle_us));
	for (size_t side = 0; side < SIDES; side++) {
		keep(&result->sides[side].latency_us, &round[side].latency_us);
		keep(&result->sides[side].cycle_us, &round[side].cycle_us);
		samples_fini(&round[side].latency_us);
		samples_fini(&round[side].cycle_us);
	}
}

static void warm_up(const struct bench *bench)
{
	for (size_t i = 0; i < 2 * bench->options.grants; i++) {
		for (size_t side = 0; side < SIDES; side++) {
			const struct grant_client client = client_of(bench, side);
			struct grant_times times;

			grant_measure(&client, &times);
		}
	}
}

static void measure_idle(const struct bench *bench, struct level_result *result)
{
	const struct server *broker = &bench->servers[SIDE_BROKER];
	uint64_t before;

	sleep_ms(SETTLE_MS);
	result->rss_kib = server_rss_kib(broker);
	before = server_sleeps(broker);
	sleep_ms(bench->options.idle_ms);
	result->wakeups = server_sleeps(broker) - before;
}

static void measure_level(struct bench *bench, size_t sessions, struct level_result *result)
{
	hold(bench, sessions);
	result->sessions = sessions;
	warm_up(bench);
	for (size_t i = 0; i < bench->options.rounds; i++)
		measure_round(bench, result);
	measure_idle(bench, result);
}

/* Judging */

static double ratio_max(const struct level_result *r)
{
	return r->sessions >= MANY_SESSIONS ? RATIO_MAX_MANY : RATIO_MAX;
}

static uint64_t rss_max_kib(const struct level_result *r)
{
	return RSS_BASE_KIB + r->sessions;
}

/* Says which targets are missed. */
static bool level_met(const struct level_result *r)
{
	double ratio = samples_median(&r->ratio);
	bool met = true;

	if (ratio > ratio_max(r)) {
		warnx("missed: with %zu sessions the p50 of a grant is %.2f times that of a bare "
		      "one, not %.1f",
		      r->sessions, ratio, ratio_max(r));
		met = false;
	}
	if (r->rss_kib > rss_max_kib(r)) {
		warnx("missed: with %zu sessions the broker has %" PRIu64 " KiB, not %" PRIu64,
		      r->sessions, r->rss_kib, rss_max_kib(r));
		met = false;
	}
	if (r->wakeups) {
		warnx("missed: with %zu sessions the idle broker woke up %" PRIu64 " times",
		      r->sessions, r->wakeups);
		met = false;
	}
	return met;
}

/* Showing */

/* The processor of this machine, which is an emulated one in the lab. */
static void cpu_model(char *buf, size_t size)
{
	CLEANUP(file_closep) FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];

	(void)snprintf(buf, size, "unknown");
	while (file && fgets(line, sizeof(line), file)) {
		const char *value = strstr(line, ": ");

		if (strncmp(line, "model name", 10) != 0 || !value)
			continue;
		(void)snprintf(buf, size, "%.*s", (int)strcspn(value + 2, "\n"), value + 2);
		return;
	}
}

struct machine {
	char cpu[128];
	long n_cpus;
	struct utsname kernel;
	const char *host; /* what it runs on, by tests/bench/run */
};

static void machine_read(struct machine *ret_machine)
{
	cpu_model(ret_machine->cpu, sizeof(ret_machine->cpu));
	ret_machine->n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	(void)uname(&ret_machine->kernel); /* cannot fail */
	ret_machine->host = getenv("BENCH_HOST");
	if (!ret_machine->host)
		ret_machine->host = "bare metal, for all that is known";
}

static double per_second(const struct side_result *side)
{
	return 1e6 / samples_median(&side->cycle_us);
}

static void show_row(const struct level_result *r)
{
	const struct side_result *broker = &r->sides[SIDE_BROKER], *bare = &r->sides[SIDE_BARE];

	(void)printf("%8zu  %6.0f %6.0f %6.0f  %6.0f %6.0f %6.0f  %.2f (%.2f-%.2f) of %.1f  %5.2f"
		     "  %6" PRIu64 " of %" PRIu64 "  %5" PRIu64 "\n",
		     r->sessions, samples_median(&broker->latency_us),
		     samples_quantile(&broker->latency_us, 0.99), per_second(broker),
		     samples_median(&bare->latency_us), samples_quantile(&bare->latency_us, 0.99),
		     per_second(bare), samples_median(&r->ratio), samples_quantile(&r->ratio, 0),
		     samples_quantile(&r->ratio, 1), ratio_max(r), samples_median(&r->cycle_ratio),
		     r->rss_kib, rss_max_kib(r), r->wakeups);
}

static void show_table(const struct bench *bench, const struct machine *m)
{
	const struct options *o = &bench->options;

	(void)printf("machine: %s, %ld processors, Linux %s; on %s\n", m->cpu, m->n_cpus,
		     m->kernel.release, m->host);
	(void)printf("%zu rounds of %zu pairs of blocks of %zu grants; %zu sessions per holder\n\n",
		     o->rounds, o->blocks, o->grants, o->per_holder);
	(void)printf("          ------ broker ------  ------- bare -------  p50, broker by bare    "
		     "whole\n"
		     "sessions  p50 us p99 us grants  p50 us p99 us grants  median (min-max) of    "
		     "cycle  RSS KiB       wakeups\n"
		     "                           /s                    /s\n");
	for (size_t i = 0; i < o->n_levels; i++)
		show_row(&bench->results[i]);
}

static void show_text(const char *key, const char *text)
{
	(void)printf("\"%s\":\"", key);
	for (; *text; text++)
		if (*text == '"' || *text == '\\')
			(void)printf("\\%c", *text);
		else
			(void)putchar(*text < ' ' ? ' ' : *text);
	(void)printf("\"");
}

static void show_side(const char *name, const struct side_result *side)
{
	/* On a busy machine p10 is nearest to what an undisturbed grant takes. */
	(void)printf("\"%s\":{\"p10_us\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
		     "\"grants_per_s\":%.1f},",
		     name, samples_quantile(&side->latency_us, 0.1),
		     samples_median(&side->latency_us), samples_quantile(&side->latency_us, 0.99),
		     per_second(side));
}

static void show_spread(const char *name, const struct samples *samples)
{
	(void)printf("\"%s\":{\"min\":%.3f,\"median\":%.3f,\"max\":%.3f},", name,
		     samples_quantile(samples, 0), samples_median(samples),
		     samples_quantile(samples, 1));
}

static void show_json(const struct bench *bench, const struct machine *m, bool met)
{
	const struct options *o = &bench->options;

	(void)printf("{\"machine\":{");
	show_text("cpu", m->cpu);
	(void)printf(",\"processors\":%ld,", m->n_cpus);
	show_text("kernel", m->kernel.release);
	(void)printf(",");
	show_text("host", m->host);
	(void)printf("},\"rounds\":%zu,\"blocks\":%zu,\"grants\":%zu,\"per_holder\":%zu,"
		     "\"idle_ms\":%u,\"levels\":[",
		     o->rounds, o->blocks, o->grants, o->per_holder, o->idle_ms);
	for (size_t i = 0; i < o->n_levels; i++) {
		const struct level_result *r = &bench->results[i];

		(void)printf("%s{\"sessions\":%zu,", i ? "," : "", r->sessions);
		show_side("broker", &r->sides[SIDE_BROKER]);
		show_side("bare", &r->sides[SIDE_BARE]);
		show_spread("ratio", &r->ratio);
		show_spread("cycle_ratio", &r->cycle_ratio);
		(void)printf("\"ratio_max\":%.1f,\"rss_kib\":%" PRIu64 ",\"rss_max_kib\":%" PRIu64
			     ",\"idle_wakeups\":%" PRIu64 "}",
			     ratio_max(r), r->rss_kib, rss_max_kib(r), r->wakeups);
	}
	(void)printf("],\"met\":%s}\n", met ? "true" : "false");
}

/* The command */

static void usage(void)
{
	errx(64, "usage: bench [--json] [--sessions N,N...] [--rounds N] [--blocks N] [--grants N] "
		 "[--per-holder N] [--idle-ms N] PINBROKERD BARE");
}

static size_t number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || n == 0 || n > 1000000)
		errx(64, "'%s' is not a number from 1 to 1000000", text);
	return n;
}

static void parse_levels(char *text, struct options *ret_options)
{
	char *level;

	ret_options->n_levels = 0;
	while ((level = strsep(&text, ",")) && ret_options->n_levels < LEVELS_MAX)
		ret_options->levels[ret_options->n_levels++] = number(level);
}

static void parse_options(int argc, char **argv, struct options *ret_options)
{
	static const struct option known[] = {
		{"json", no_argument, NULL, 'j'},
		{"sessions", required_argument, NULL, 's'},
		{"rounds", required_argument, NULL, 'r'},
		{"blocks", required_argument, NULL, 'b'},
		{"grants", required_argument, NULL, 'g'},
		{"per-holder", required_argument, NULL, 'p'},
		{"idle-ms", required_argument, NULL, 'i'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0) {
		switch (option) {
		case 'j':
			ret_options->json = true;
			break;
		case 's':
			parse_levels(optarg, ret_options);
			break;
		case 'r':
			ret_options->rounds = number(optarg);
			break;
		case 'b':
			ret_options->blocks = number(optarg);
			break;
		case 'g':
			ret_options->grants = number(optarg);
			break;
		case 'p':
			ret_options->per_holder = number(optarg);
			break;
		case 'i':
			ret_options->idle_ms = (unsigned int)number(optarg);
			break;
		default:
			usage();
		}
	}
	if (argc - optind != 2)
		usage();
}

int main(int argc, char **argv)
{
	struct bench bench = {
		.options = {.levels = {1, 1000, 10000},
			    .n_levels = 3,
			    .rounds = 15,
			    .blocks = 4,
			    .grants = 10,
			    .per_holder = 100,
			    .idle_ms = 5000},
	};
	struct machine machine;
	bool met = true;

	parse_options(argc, argv, &bench.options);
	machine_read(&machine);
	start(&bench, argv[optind], argv[optind + 1]);
	for (size_t i = 0; i < bench.options.n_levels; i++)
		measure_level(&bench, bench.options.levels[i], &bench.results[i]);
	for (size_t i = 0; i < bench.options.n_levels; i++)
		met &= level_met(&bench.results[i]);
	if (bench.options.json)
		show_json(&bench, &machine, met);
	else
		show_table(&bench, &machine);
	finish(&bench);
	return met ? 0 : 1;
}
