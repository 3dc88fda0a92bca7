/* SPDX-License-Identifier: MIT */
/* A seed: appended to, then written to a file as an input of the fuzzers. */
#ifndef TESTS_FUZZ_SEED_H
#define TESTS_FUZZ_SEED_H

#include <stddef.h>
#include <stdint.h>

#include "common/proto.h"
#include "tests/fuzz/fuzz_kernel.h"
#include "tests/fuzz/fuzz_process.h"
#include "tests/fuzz/fuzz_talk.h"

/* Of a serial: enum fuzz_serial. */
#define FAULT(nth, kind, which) \
	((uint64_t)(nth) | (uint64_t)((kind) | FUZZ_FAULTS * (which)) << (8 * FUZZ_SERIAL_FAULT))
#define WHO(bits) ((uint64_t)(bits) << (8 * FUZZ_SERIAL_WHO))
#define EVENT(event, which) ((uint64_t)((event) | FUZZ_EVENTS * (which)) << (8 * FUZZ_SERIAL_EVENT))

/* Where the files go from here on, made if it is not there. */
void seed_directory(const char *parent, const char *name);

void seed_add(const void *bytes, size_t len);
void seed_packet(enum proto_kind kind, unsigned int op, uint64_t serial, const void *body,
		 size_t len);

/* Writes the file, NUL bytes shortened, and begins the next. */
void seed_write(const char *name);

/* A request; device and other may be NULL. */
struct proto_open seed_open(const char *name, uint64_t memory, const char *device,
			    const char *other);

/* The seeds in files of their own. */
void seeds_orders(void);
void seeds_record(void);

#endif
