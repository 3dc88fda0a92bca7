/* SPDX-License-Identifier: MIT */
/*
 * mirror PINBROKERD [CGROUPS [ROUNDS]]: what mirroring costs those who ask. With 1,000 sessions in
 * a cgroup each, all mirrored, a client in a cgroup of its own gets a grant by a policy that
 * mirrors, and another one by a policy that does not. Then one session changes its limit, again and
 * again: what that takes of the daemon's processor time, all its threads, down to what is written.
 * Root, cgroups with memory, and a /dev/iommu: tests/bench/mirror-run makes a machine.
 *
 * The two are measured in turns, a block of grants each; a round of such turns gives one ratio, and
 * it is their median that is judged.
 *
 * Exit status: 0; 1 when a target is missed, and which is said, or when something fails.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "client/pinbroker.h"
#include "common/cleanup.h"
#include "tests/bench/grant.h"
#include "tests/bench/samples.h"
#include "tests/bench/server.h"

#define CGROUPS "/sys/fs/cgroup"
#define PATH_SIZE 96
#define BLOCKS 4 /* per round and side */
#define GRANTS 10 /* per block */
#define PASSES 20
#define WAIT_MS 120000
#define KIB 1024
#define MIB (KIB * KIB)

/* Targets. */
#define RATIO_MAX 1.05
#define PASS_MS_MAX 50

enum side {
	SIDE_MIRROR,
	SIDE_NONE,
	SIDES,
};

static const uid_t uids[SIDES] = {GRANT_UID, GRANT_UID + 1};

struct bench {
	char directory[SERVER_DIRECTORY_SIZE];
	struct server server;
	struct grant_holder *holders; /* owned */
	size_t n_holders;
	char procs[SIDES][PATH_SIZE]; /* where each side's clients live */
	struct samples latency_us[SIDES];
	struct samples ratio; /* of the p50 of each round */
	struct samples pass_ms;
};

/* Setting up */

static void write_file(const char *path, const char *text)
{
	CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err(1, "%s", path);
}

/* ret_procs: its cgroup.procs. */
static void cgroup_make(const char *path, char ret_procs[static PATH_SIZE])
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		err(1, "%s", path);
	(void)snprintf(ret_procs, PATH_SIZE, "%s/cgroup.procs", path); /* short */
}

static void start(struct bench *bench, char *pinbrokerd)
{
	char config[1024];

	server_prepare(bench->directory);
	(void)snprintf(config, sizeof(config),
		       "host-reserve = \"off\"\nmax-requests = 0\nmax-connections = 4000\n"
		       "policy \"mirrored\" {\n\tusers = {\"%u\"}\n\taccounting = \"task\"\n"
		       "\tlimit = \"1M\"\n\theadroom = \"1M\"\n\tmigration-buffers = \"0\"\n"
		       "\tmax-sessions = 1000000\n\tcgroup-mirror = \"both\"\n}\n"
		       "policy \"plain\" {\n\tusers = {\"%u\"}\n\taccounting = \"task\"\n"
		       "\tlimit = \"1M\"\n\tmax-sessions = 1000000\n}\n",
		       uids[SIDE_MIRROR], uids[SIDE_NONE]);
	write_file(CGROUPS "/cgroup.subtree_control", "+memory");
	cgroup_make(CGROUPS "/bench", bench->procs[SIDE_NONE]);
	write_file(CGROUPS "/bench/cgroup.subtree_control", "+memory");
	cgroup_make(CGROUPS "/bench/mirror", bench->procs[SIDE_MIRROR]);
	cgroup_make(CGROUPS "/bench/none", bench->procs[SIDE_NONE]);
	server_start_broker(&bench->server, pinbrokerd, bench->directory, config);
}

static struct grant_client client_of(const struct bench *bench, enum side side)
{
	return (struct grant_client){.socket_path = bench->server.socket_path,
				     .uid = uids[side],
				     .procs_path = bench->procs[side]};
}

/* --- cgroups */

static uint64_t limit_read(const char *path)
{
	FILE *file = fopen(path, "re");
	char line[32] = "";

	if (!file)
		return 0;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	(void)fclose(file); /* it was read */
	return strtoull(line, NULL, 10); /* "max" is none of ours: 0 */
}

/* Until the last write of a turn is there. */
static void limit_wait(const char *path, uint64_t wanted)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	uint64_t began = grant_now_ns();

	while (limit_read(path) != wanted) {
		if (grant_now_ns() - began > WAIT_MS * 1000000ULL)
			errx(1, "%s is %" PRIu64 ", not %" PRIu64, path, limit_read(path), wanted);
		(void)nanosleep(&pause, NULL); /* sooner is fine */
	}
}

static void limit_path(size_t i, char *ret_path, size_t size)
{
	(void)snprintf(ret_path, size, CGROUPS "/bench/m%zu/memory.max", i);
}

/* A session in a cgroup of its own, so often. */
static void hold(struct bench *bench, size_t n)
{
	char path[64], procs[PATH_SIZE];

	bench->holders = calloc(n, sizeof(*bench->holders));
	if (!bench->holders)
		err(1, "holders");
	for (size_t i = 0; i < n; i++) {
		const struct grant_client client = {.socket_path = bench->server.socket_path,
						    .uid = uids[SIDE_MIRROR],
						    .procs_path = procs};

		(void)snprintf(path, sizeof(path), CGROUPS "/bench/m%zu", i);
		cgroup_make(path, procs);
		grant_holder_start(&client, i, 1, &bench->holders[i]);
		bench->n_holders++;
	}
	for (size_t i = 0; i < n; i++) {
		limit_path(i, path, sizeof(path));
		limit_wait(path, 2 * MIB);
	}
}

static void finish(struct bench *bench)
{
	for (size_t i = 0; i < bench->n_holders; i++)
		grant_holder_stop(&bench->holders[i]);
	free(bench->holders);
	server_stop(&bench->server);
	for (size_t side = 0; side < SIDES; side++)
		samples_fini(&bench->latency_us[side]);
	samples_fini(&bench->ratio);
	samples_fini(&bench->pass_ms);
}

/* Measuring */

static void measure_block(const struct bench *bench, enum side side, struct samples *round)
{
	const struct grant_client client = client_of(bench, side);
	struct grant_times times;

	for (size_t i = 0; i < GRANTS; i++) {
		grant_measure(&client, &times);
		samples_add(round, (double)times.latency / 1000);
	}
}

static void measure_round(struct bench *bench)
{
	struct samples round[SIDES] = {{.n = 0}};

	/* Who is first changes, as the first of a pair meets what the second left. */
	for (size_t i = 0; i < BLOCKS; i++) {
		measure_block(bench, i % 2 ? SIDE_NONE : SIDE_MIRROR, &round[i % 2]);
		measure_block(bench, i % 2 ? SIDE_MIRROR : SIDE_NONE, &round[1 - i % 2]);
	}
	samples_add(&bench->ratio,
		    samples_median(&round[SIDE_MIRROR]) / samples_median(&round[SIDE_NONE]));
	for (size_t side = 0; side < SIDES; side++) {
		for (size_t i = 0; i < round[side].n; i++)
			samples_add(&bench->latency_us[side], round[side].values[i]);
		samples_fini(&round[side]);
	}
}

static void measure_grants(struct bench *bench, size_t rounds)
{
	struct samples warm = {.n = 0};

	for (enum side side = 0; side < SIDES; side++)
		measure_block(bench, side, &warm);
	samples_fini(&warm);
	for (size_t i = 0; i < rounds; i++)
		measure_round(bench);
}

/* Milliseconds of processor time, of all threads. */
static double cpu_ms(const struct bench *bench)
{
	struct timespec spent;
	clockid_t clock;

	if (clock_getcpuclockid(bench->server.pid, &clock) || clock_gettime(clock, &spent) < 0)
		err(1, "the daemon's clock");
	return (double)spent.tv_sec * 1e3 + (double)spent.tv_nsec / 1e6;
}

struct wanted {
	char name[32];
	uint64_t id; /* 0: not found */
};

static int match(const struct pinbroker_session *session, void *arg)
{
	struct wanted *wanted = arg;

	if (strcmp(session->name, wanted->name) == 0)
		wanted->id = session->id;
	return 0;
}

static void set_limit(struct pinbroker *broker, uint64_t id, uint64_t limit)
{
	const struct pinbroker_limits limits = {.keys = PINBROKER_SET_LIMIT, .limit = limit};
	int error = pinbroker_set(broker, id, &limits);

	if (error)
		errx(1, "a limit is not set: %s", strerror(-error));
}

/* The limit of the last session, down and up. */
static void measure_passes(struct bench *bench)
{
	struct pinbroker *broker = NULL;
	struct wanted wanted = {.id = 0};
	size_t last = bench->n_holders - 1;
	char path[64];

	limit_path(last, path, sizeof(path));
	(void)snprintf(wanted.name, sizeof(wanted.name), "vm-%zu", last);
	if (pinbroker_connect(bench->server.socket_path, &broker) ||
	    pinbroker_list(broker, match, &wanted) || !wanted.id)
		errx(1, "there is no session %s", wanted.name);
	for (size_t i = 0; i < PASSES; i++) {
		uint64_t limit = i % 2 ? MIB : MIB / 2;
		double before = cpu_ms(bench);

		set_limit(broker, wanted.id, limit);
		limit_wait(path, limit + MIB);
		samples_add(&bench->pass_ms, cpu_ms(bench) - before);
	}
	pinbroker_free(broker);
}

/* Judging and showing */

static bool show(const struct bench *bench)
{
	const char *host = getenv("BENCH_HOST");
	double ratio = samples_median(&bench->ratio), pass = samples_quantile(&bench->pass_ms, 1);
	struct utsname name;

	(void)uname(&name); /* cannot fail */
	(void)printf("Linux %s%s%s\n%zu cgroups with a session each\n"
		     "grant, p50: %.0f us mirrored, %.0f us not; ratio %.3f (%.3f-%.3f) of %.2f, "
		     "%zu rounds\n"
		     "a limit changed, processor time: p50 %.1f ms, at most %.1f of %d ms\n",
		     name.release, host ? ", " : "", host ? host : "", bench->n_holders,
		     samples_median(&bench->latency_us[SIDE_MIRROR]),
		     samples_median(&bench->latency_us[SIDE_NONE]), ratio,
		     samples_quantile(&bench->ratio, 0), samples_quantile(&bench->ratio, 1),
		     RATIO_MAX, bench->ratio.n, samples_median(&bench->pass_ms), pass, PASS_MS_MAX);
	if (ratio > RATIO_MAX)
		warnx("missed: a grant takes %.3f times as long with the mirror", ratio);
	if (pass > PASS_MS_MAX)
		warnx("missed: a pass takes %.1f ms", pass);
	return ratio <= RATIO_MAX && pass <= PASS_MS_MAX;
}

/* The command */

static size_t number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || n == 0 || n > 100000)
		errx(64, "'%s' is not a number from 1 to 100000", text);
	return n;
}

int main(int argc, char **argv)
{
	struct bench bench = {.n_holders = 0};
	bool met;

	if (argc < 2 || argc > 4)
		errx(64, "usage: mirror PINBROKERD [CGROUPS [ROUNDS]]");
	start(&bench, argv[1]);
	hold(&bench, argc > 2 ? number(argv[2]) : 1000);
	measure_grants(&bench, argc > 3 ? number(argv[3]) : 25);
	measure_passes(&bench);
	met = show(&bench);
	finish(&bench);
	return met ? 0 : 1;
}
