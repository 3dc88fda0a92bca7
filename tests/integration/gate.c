/* SPDX-License-Identifier: MIT */
/* The table of attacks, their options, and what they share: see gate.h. */
#include "tests/integration/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "accounting/size.h"
#include "common/cleanup.h"
#include "tests/integration/gate_call.h"

#define EXIT_USAGE 64

static const struct {
	const char *name;
	gate_attack run;
	const char *what;
} attacks[] = {
	{"crowd", crowd_attack,
	 "children that map the limit each; modes exit live shared file lazy"},
	{"slots", limit_slots, "one mapping more than there are slots, then one for one"},
	{"objects", limit_objects, "--count IOASes"},
	{"copy", limit_copy, "mappings by COPY; modes each (one at a time), many (at once)"},
	{"full", limit_full,
	 "--threads map --count times where --mode slots or bytes are used up, or few left (few)"},
	{"rows", rows_attack, "--threads map --count rows of mappings, and give back each at once"},
	{"readonly", argument_readonly, "--count mappings whose argument cannot be written back"},
	{"static", argument_static, "an argument in a page that nobody has touched"},
	{"numbers", command_numbers, "commands that are not IOMMUFD's"},
	{"compat", command_compat, "--count mappings by VFIO's old commands"},
	{"narrow", command_narrow, "32-bit system calls"},
	{"helper", helper_wait, "takes a context from --peer and maps through it"},
	{"send", helper_send, "gives the context to --peer"},
	{"keep", cdev_keep, "leaves a process behind that has the cdev, for --peer"},
	{"use", cdev_use, "binds the cdev that --peer has kept to this context"},
	{"flip", race_flip, "a length that changes meanwhile; modes unmap sleep spin"},
	{"swap", fault_swap, "a length that is another when read again (userfaultfd)"},
	{"delay", fault_delay, "an argument that comes late (userfaultfd)"},
	{"halfway", stuck_halfway, "the limit beside a mapping that is not finished (userfaultfd)"},
	{"shared", stuck_shared, "the same where pages are in two areas (userfaultfd)"},
	{"many", stuck_many, "the same where there are --slots mappings (userfaultfd)"},
	{"taken", stuck_taken, "as many inside as may be (userfaultfd)"},
	{"unknown", stuck_unknown, "the limit beside a DESTROY that is not finished (userfaultfd)"},
	{"honest", honest_load, "--threads at --level percent of the limits, --count operations"},
	{"random", random_load, "--threads processes, --count operations, --quiet points"},
};

static const struct {
	const char *name;
	size_t offset;
	bool text;
} options[] = {
#define OPTION(name)                                              \
	{                                                         \
#name, offsetof(struct gate_options, name), false \
	}
	OPTION(attach),
	OPTION(limit),
	OPTION(slots),
	OPTION(count),
	OPTION(threads),
	OPTION(size),
	OPTION(level),
	OPTION(seed),
	OPTION(quiet),
	OPTION(hold),
	OPTION(wait_ms),
	{"mode", offsetof(struct gate_options, mode), true},
	{"peer", offsetof(struct gate_options, peer), true},
#undef OPTION
};

void fact(const char *name, uint64_t value)
{
	printf("%s %" PRIu64 "\n", name, value);
}

void fact_error(const char *name, int err)
{
	printf("%s %s\n", name, err ? strerrorname_np(abs(err)) : "ok");
}

int gate_ioas_add(struct gate *gate, uint32_t *ret_id)
{
	int err = call_ioas_alloc(gate->iommufd, ret_id);

	if (!err && gate->n_ioas < GATE_IOAS_MAX)
		gate->ioas[gate->n_ioas++] = *ret_id;
	return err;
}

void gate_leave(struct gate *gate)
{
	fd_closep(&gate->iommufd);
	fd_closep(&gate->device);
}

void *gate_memory(uint64_t len)
{
	void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void *gate_shared(uint64_t len)
{
	void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int64_t gate_pinned_pages(void)
{
	CLEANUP(file_closep) FILE *file = fopen("/proc/vmstat", "re");
	static const char acquired[] = "nr_foll_pin_acquired ",
			  released[] = "nr_foll_pin_released ";
	char line[128];
	int64_t pages = 0;

	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, acquired, strlen(acquired)) == 0)
			pages += strtoll(line + strlen(acquired), NULL, 10);
		else if (strncmp(line, released, strlen(released)) == 0)
			pages -= strtoll(line + strlen(released), NULL, 10);
	}
	return pages;
}

uint64_t gate_seed(const struct gate *gate)
{
	uint64_t seed = gate->options.seed;

	if (!seed && getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = (uint64_t)getpid();
	seed &= INT64_MAX; /* as an option can say it */
	fact("seed", seed);
	return seed;
}

/* SplitMix64. */
uint64_t gate_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static int env_fd(const char *name)
{
	const char *text = getenv(name);
	uint64_t fd;

	return text && size_parse(text, &fd) == 0 ? (int)fd : -1;
}

/* Return: 0; -EINVAL: no such option, or not such a value. */
static int option_set(struct gate_options *to, const char *name, const char *value)
{
	for (size_t i = 0; value && strncmp(name, "--", 2) == 0 && i < ARRAY_SIZE(options); i++) {
		char *field = (char *)to + options[i].offset;

		if (strcmp(name + 2, options[i].name) != 0)
			continue;
		if (!options[i].text)
			return size_parse(value, (uint64_t *)(void *)field);
		*(const char **)(void *)field = value;
		return 0;
	}
	return -EINVAL;
}

static gate_attack attack_find(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(attacks); i++) {
		if (strcmp(name, attacks[i].name) == 0)
			return attacks[i].run;
	}
	return NULL;
}

static int usage(void)
{
	(void)fputs("usage: gate ATTACK [--OPTION VALUE]...\n", stderr);
	for (size_t i = 0; i < ARRAY_SIZE(attacks); i++)
		(void)fprintf(stderr, "  %-8s %s\n", attacks[i].name, attacks[i].what);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		(void)fprintf(stderr, "  --%s\n", options[i].name);
	return EXIT_USAGE;
}

/* The first IOAS, before anything else has taken its id. */
static int gate_start(struct gate *gate)
{
	const char *session = getenv("PINBROKER_SESSION");
	uint32_t ioas_id;
	int err;

	gate->iommufd = env_fd("PINBROKER_IOMMUFD");
	gate->device = env_fd("PINBROKER_DEVICE_0");
	if (gate->iommufd < 0)
		return 0;
	printf("session %s\n", session ? session : "-");
	fact("pid", (uint64_t)getpid());
	err = gate_ioas_add(gate, &ioas_id);
	if (!err && gate->options.attach) {
		err = call_bind(gate->device, gate->iommufd);
		if (!err)
			err = call_attach(gate->device, ioas_id);
	}
	return err;
}

/* What it mapped stays until the test has looked. */
static void gate_end(struct gate *gate)
{
	uint64_t bytes = 0, len;
	char c;

	puts("ready");
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	if (gate->iommufd < 0)
		return;
	for (size_t i = 0; i < gate->n_ioas; i++) {
		len = 0;
		(void)call_unmap_all(gate->iommufd, gate->ioas[i], &len); /* may be empty */
		bytes += len;
	}
	fact("unmapped_pages", bytes / GATE_PAGE);
}

int main(int argc, char **argv)
{
	struct gate gate = {
		.options = {.limit = 64UL << 20,
			    .slots = 1000,
			    .count = 40,
			    .threads = 8,
			    .size = GATE_PAGE,
			    .level = 50,
			    .quiet = 1000,
			    .hold = 1,
			    .wait_ms = 2000,
			    .mode = "",
			    .peer = "pinbroker-gate"},
		.iommufd = -1,
		.device = -1,
	};
	gate_attack run = attack_find(argv[1]);
	int err;

	for (int i = 2; run && i < argc; i += 2) {
		if (option_set(&gate.options, argv[i], argv[i + 1]))
			run = NULL;
	}
	if (!run)
		return usage();
	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* whoever reads waits for a line */
	err = gate_start(&gate);
	if (!err)
		err = run(&gate);
	if (err) {
		fact_error("failed", err);
		return EXIT_FAILURE;
	}
	gate_end(&gate);
	return 0;
}
