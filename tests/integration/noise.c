/* SPDX-License-Identifier: MIT */
/*
 * Somebody else's bpf(2) map calls, as root, until standard input ends: noise update|batch|array.
 * While such a call is preempted the kernel skips kprobes on that processor. Says "ready" with the
 * first call, and in the end how many there were.
 */
#include <err.h>
#include <errno.h>
#include <linux/bpf.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

#define ENTRIES 4096
#define BETWEEN 16 /* calls between two looks at standard input */

static uint32_t keys[ENTRIES];
static uint64_t values[ENTRIES];

static long bpf_call(enum bpf_cmd cmd, union bpf_attr *attr)
{
	long result = syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	if (result < 0)
		err(1, "bpf(%d)", cmd);
	return result;
}

static int map_create(enum bpf_map_type type)
{
	union bpf_attr attr = {
		.map_type = type,
		.key_size = sizeof(keys[0]),
		.value_size = sizeof(values[0]),
		.max_entries = ENTRIES,
	};

	return (int)bpf_call(BPF_MAP_CREATE, &attr);
}

/* All of it written, and read. */
static void map_batch(int map)
{
	static uint32_t next[2]; /* where the next reading would go on */
	union bpf_attr attr = {.batch = {.keys = (uintptr_t)keys,
					 .values = (uintptr_t)values,
					 .count = ENTRIES,
					 .map_fd = (uint32_t)map}};

	(void)bpf_call(BPF_MAP_UPDATE_BATCH, &attr);
	attr.batch.out_batch = (uintptr_t)next;
	attr.batch.count = ENTRIES;
	if (syscall(SYS_bpf, BPF_MAP_LOOKUP_BATCH, &attr, sizeof(attr)) < 0 && errno != ENOENT)
		err(1, "bpf(%d)", BPF_MAP_LOOKUP_BATCH); /* ENOENT: that was all */
}

static void map_update(int map)
{
	static uint32_t next;
	union bpf_attr attr = {.map_fd = (uint32_t)map,
			       .key = (uintptr_t)&keys[next++ % ENTRIES],
			       .value = (uintptr_t)values};

	(void)bpf_call(BPF_MAP_UPDATE_ELEM, &attr);
}

struct kind {
	const char *name;
	enum bpf_map_type type;
	void (*call)(int map);
};

static const struct kind *kind_find(const char *name)
{
	static const struct kind kinds[] = {
		{"update", BPF_MAP_TYPE_HASH, map_update},
		{"batch", BPF_MAP_TYPE_HASH, map_batch},
		{"array", BPF_MAP_TYPE_ARRAY, map_update},
	};

	for (size_t i = 0; name && i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(name, kinds[i].name) == 0)
			return &kinds[i];
	}
	errx(64, "usage: noise update|batch|array");
}

int main(int argc, char **argv)
{
	struct pollfd end = {.fd = STDIN_FILENO, .events = POLLIN};
	const struct kind *kind = kind_find(argc == 2 ? argv[1] : NULL);
	uint64_t n = 0;
	int map;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (uint32_t i = 0; i < ENTRIES; i++)
		keys[i] = i;
	map = map_create(kind->type);
	do {
		for (int i = 0; i < BETWEEN; i++, n++)
			kind->call(map);
		if (n == BETWEEN)
			puts("ready");
	} while (poll(&end, 1, 0) == 0);
	printf("calls %ju\n", (uintmax_t)n);
	return 0;
}
