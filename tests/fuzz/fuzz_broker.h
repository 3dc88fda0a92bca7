/* SPDX-License-Identifier: MIT */
/* The broker under test: made once, killed and started again as often as an input likes. */
#ifndef TESTS_FUZZ_FUZZ_BROKER_H
#define TESTS_FUZZ_FUZZ_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "daemon/record.h"

struct broker;

#define FUZZ_BOOT_ID "fuzz"
#define FUZZ_MEM_TOTAL (UINT64_C(256) << 30)
#define FUZZ_USER_LIMIT_MAX (UINT64_C(40) << 30) /* of any policy */

/* Without a session. */
struct broker *fuzz_broker_new(void);

/*
 * Two configurations: in the first the admin has policy "tenants" and the tenant "auto"; in the
 * second there is no admin, no "auto", and less for everybody. The first is in force at the start.
 */
void fuzz_broker_reload(struct broker *broker, bool second);

/* Whether a uid is an admin of a policy as it is now, by the text above. */
bool fuzz_broker_admin(uid_t uid, const char *policy);

/* All that is in memory is lost, and what is in the record taken over. */
void fuzz_broker_restart(struct broker *broker);

/* The record's file as it is now, for fuzz_broker_killed(). */
void fuzz_broker_save(void);

/* Has been killed when that was saved: goes on from there. */
void fuzz_broker_killed(struct broker *broker);

/* Starts with these bytes as the record's file. */
void fuzz_broker_start_from(struct broker *broker, const void *bytes, size_t len);

/* A place of the record's file as daemon/record.c documents it. */
struct fuzz_entry {
	uint32_t kind; /* enum record_kind */
	uint32_t next_free;
	union record_body body;
};

/* The record's file, from the place after its header; read without the broker's help. */
const struct fuzz_entry *fuzz_broker_entries(size_t *ret_n);

/* The lowest number that is free: the same as long as nothing is left open. */
int fuzz_broker_lowest_fd(void);

#endif
