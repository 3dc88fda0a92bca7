/* SPDX-License-Identifier: MIT */
/*
 * Attacks on a session's limits, and honest load: gate ATTACK [--OPTION VALUE]..., started by
 * `pinbroker run`, whose descriptors it finds in its environment. An attack says what it came to,
 * a fact per line ("through 40", "error ENOMEM"), whatever it came to: the test judges. Then
 * "ready": what it mapped stays until the end of standard input, is unmapped ("unmapped_pages N",
 * the kernel's word), and the program exits with 0. Status 1: it could not be tried, 64: usage.
 */
#ifndef TESTS_INTEGRATION_GATE_H
#define TESTS_INTEGRATION_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GATE_PAGE 4096UL
#define GATE_IOAS_MAX 8
#define GATE_IOVA (16UL << 20) /* where a mock domain begins */

/* What the options say; an attack uses those that its comment names. */
struct gate_options {
	uint64_t
		attach; /* 1: the device is attached to the first IOAS, and what it has is pinned */
	uint64_t limit; /* the session's bytes */
	uint64_t slots; /* its mappings */
	uint64_t count; /* children, tries, … */
	uint64_t threads; /* or processes */
	uint64_t size; /* of one mapping */
	uint64_t level; /* percent */
	uint64_t seed; /* 0: another each time */
	uint64_t quiet; /* operations between two quiet points */
	uint64_t hold; /* how long what flips stays; at least 1 */
	uint64_t wait_ms;
	const char *mode; /* a variant of the attack */
	const char *peer; /* an abstract socket's name */
};

struct gate {
	struct gate_options options;
	int iommufd; /* owned, like the device; -1: none, or given up */
	int device;
	uint32_t ioas[GATE_IOAS_MAX]; /* the first one exists from the start */
	size_t n_ioas;
};

/* Attacks return 0, or -errno when they could not be tried. */
typedef int (*gate_attack)(struct gate *gate);

/* Lines for the test. */
void fact(const char *name, uint64_t value);
void fact_error(const char *name, int err); /* "NAME ok" or "NAME ENOSPC" */

/* Another IOAS, whose mappings are unmapped at the end, too. Return: 0; -errno. */
int gate_ioas_add(struct gate *gate, uint32_t *ret_id);

/* Gives up the session's descriptors in this process: it is no holder of the context any more. */
void gate_leave(struct gate *gate);

/* Pages to map: private, filled in. Return: NULL: there are none. */
void *gate_memory(uint64_t len);

/* Filled with zeros, and the same in all processes from here on. Return: NULL: there is none. */
void *gate_shared(uint64_t len);

/* How many pages the kernel has pinned for whoever it is, by /proc/vmstat. */
int64_t gate_pinned_pages(void);

/* Prints the seed, another one each time unless --seed says which. */
uint64_t gate_seed(const struct gate *gate);

/* The next number of a sequence that @state, a seed at first, determines. */
uint64_t gate_random(uint64_t *state);

/* gate_crowd.c */
int crowd_attack(struct gate *gate);
/* gate_limit.c */
int limit_slots(struct gate *gate);
int limit_objects(struct gate *gate);
int limit_copy(struct gate *gate);
int limit_full(struct gate *gate);
/* gate_rows.c */
int rows_attack(struct gate *gate);
/* gate_argument.c */
int argument_readonly(struct gate *gate);
int argument_static(struct gate *gate);
/* gate_command.c */
int command_numbers(struct gate *gate);
int command_compat(struct gate *gate);
int command_narrow(struct gate *gate);
/* gate_helper.c */
int helper_wait(struct gate *gate);
int helper_send(struct gate *gate);
int cdev_keep(struct gate *gate);
int cdev_use(struct gate *gate);
/* gate_race.c */
int race_flip(struct gate *gate);
/* gate_fault.c */
int fault_swap(struct gate *gate);
int fault_delay(struct gate *gate);
/* gate_stuck.c */
int stuck_halfway(struct gate *gate);
int stuck_shared(struct gate *gate);
int stuck_many(struct gate *gate);
int stuck_taken(struct gate *gate);
int stuck_unknown(struct gate *gate);
/* gate_honest.c */
int honest_load(struct gate *gate);
/* gate_random.c */
int random_load(struct gate *gate);

#endif
