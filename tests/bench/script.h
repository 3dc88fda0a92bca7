/* SPDX-License-Identifier: MIT */
/* A script of bpftrace that counts what is mapped, beside what is measured. */
#ifndef TESTS_BENCH_SCRIPT_H
#define TESTS_BENCH_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct script {
	pid_t pid;
	int out_fd; /* owned: what it writes */
};

/* What it has counted for this process, in bytes. */
struct script_counts {
	uint64_t mapped, unmapped;
};

/* Whether there is a bpftrace in PATH. */
bool script_is_possible(void);

/* Both exit when something fails. It is attached between them, and not before or afterwards. */
struct script script_start(void);
struct script_counts script_stop(struct script *script);

#endif
