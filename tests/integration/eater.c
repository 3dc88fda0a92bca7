/* SPDX-License-Identifier: MIT */
/*
 * Memory as tests of the mirror need it. Run as
 *
 *   eater eat SIZE         has so much, touched, and keeps it until its standard input ends
 *   eater grow             has more and more, until it is killed
 *   eater turns SIZE       so much, and touches it page by page again for each line of its standard
 *                          input, which is told
 *
 * "eat" and "turns" say "ready" when all is there once. Exit status: 0; 64 usage; 71 no memory.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "accounting/size.h"
#include "common/cleanup.h"

#define EATER_STEP ((size_t)1 << 20)

static char *eater_map(size_t size)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		exit(EX_OSERR);
	return memory;
}

/* Other bytes on each page: what is the same could be had for less. */
static void eater_fill(char *memory, size_t size)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t noise = (uintptr_t)memory;

	for (size_t at = 0; at < size; at += page) {
		noise = noise * 6364136223846793005ULL + 1442695040888963407ULL;
		memcpy(memory + at, &noise, sizeof(noise));
	}
}

/* Return: false: the input has ended. */
static bool eater_wait_line(void)
{
	char line[16];

	return fgets(line, sizeof(line), stdin) != NULL;
}

static void eater_grow(void)
{
	for (size_t have = 0;; have += EATER_STEP) {
		eater_fill(eater_map(EATER_STEP), EATER_STEP);
		if (have % (16 * EATER_STEP) == 0)
			printf("has %zu\n", have);
	}
}

static void eater_turns(size_t size)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *memory = eater_map(size);

	eater_fill(memory, size);
	puts("ready");
	for (unsigned long turn = 1; eater_wait_line(); turn++) {
		for (size_t at = 0; at < size; at += page)
			memory[at]++;
		printf("turn %lu\n", turn);
	}
}

int main(int argc, char **argv)
{
	uint64_t size = 0;

	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* whoever reads waits for a line */
	if (argc == 2 && strcmp(argv[1], "grow") == 0)
		eater_grow();
	if (argc < 3 || size_parse(argv[2], &size) || !size)
		return EX_USAGE;
	if (strcmp(argv[1], "eat") == 0) {
		eater_fill(eater_map(size), size);
		puts("ready");
		while (eater_wait_line()) /* whatever it says */
			;
	} else if (strcmp(argv[1], "turns") == 0) {
		eater_turns(size);
	} else {
		return EX_USAGE;
	}
	return 0;
}
