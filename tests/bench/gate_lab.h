/* SPDX-License-Identifier: MIT */
/*
 * What the benchmark of the gate works with: a gate the programs of which are attached and taken
 * off one by one, as bpf/gate.h has no need to, and contexts to map through.
 */
#ifndef TESTS_BENCH_GATE_LAB_H
#define TESTS_BENCH_GATE_LAB_H

#include <stdbool.h>
#include <stdint.h>

#define LAB_DIR "/sys/fs/bpf/pinbroker-bench"
#define LAB_LINKS 16

struct gate;

/* All functions here exit when something fails. */
struct lab {
	struct gate *gate; /* owned */
	void *links[LAB_LINKS]; /* owned: struct bpf_link */
	unsigned int n_links;
	int empty_fd; /* owned: a program in lsm.s/file_ioctl that does nothing */
	int empty_link_fd; /* owned; -1: it is not attached */
};

/* How long what takes over from a gate before takes, in us. */
struct lab_phases {
	double total, open, maps, probe, load, links;
	uint32_t n_instructions; /* that the verifier looked at */
};

/* A gate for so many sessions, in a directory of its own, with nothing attached. */
void lab_open(struct lab *lab, uint32_t n_sessions);
void lab_close(struct lab *lab);

/* The names of programs with a space before and after each; NULL: all. */
void lab_attach(struct lab *lab, const char *names);
void lab_detach(struct lab *lab);
void lab_attach_empty(struct lab *lab);
void lab_detach_empty(struct lab *lab);

/* A gate_open() over what is there already: as a whole, and by its parts. */
void lab_take_over(struct lab *lab, struct lab_phases *ret_phases);

/* One line for each program: how often it ran since lab_stats(true), and how long. */
void lab_stats(const struct lab *lab, bool start);

double lab_now_us(void);
void lab_settle(void);

struct context {
	int fd; /* owned */
	uint32_t ioas;
	uint32_t slot; /* GATE_NO_SLOT: nobody's */
};

struct context context_open(void);

/* Return: whether it has one now: the kernel has mock devices. */
bool context_add_domain(const struct context *context);

/* From here on the gate knows it. */
void context_enrol(struct lab *lab, struct context *context, uint64_t id, uint64_t pages,
		   uint64_t mappings);
/* While the gate is attached: it sees the context go, and the slot is free. */
void context_close(struct lab *lab, struct context *context);
void context_map(const struct context *context, const void *memory, uint64_t iova, uint64_t len);
void context_unmap(const struct context *context, uint64_t iova, uint64_t len);

#endif
