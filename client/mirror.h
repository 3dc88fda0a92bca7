/* SPDX-License-Identifier: MIT */
/* What is mirrored of sessions into cgroups, beside their figures in list and show. */
#ifndef CLIENT_MIRROR_H
#define CLIENT_MIRROR_H

#include <stdint.h>

#include "client/pinbroker.h"

struct json_t;

#define MIRROR_TEXT_MAX 64

/* By the broker's word at one moment. Zeroed: nothing is mirrored. */
struct mirrors {
	struct mirrors_entry *first; /* owned; NULL: there is none */
};

void mirrors_fini(struct mirrors *mirrors);

/**
 * mirrors_ask() - all that the caller may see
 *
 * Return: 0, with nothing of a broker that does not mirror; -errno as pinbroker_mirrors().
 */
int mirrors_ask(struct pinbroker *broker, struct mirrors *mirrors);

/* Of a session; NULL: nothing is mirrored of it. Borrowed. */
const struct pinbroker_mirror *mirrors_find(const struct mirrors *mirrors, uint64_t id);

/* For a table: "both 640M/1.6G drift", what is wanted of memory.min and memory.max; "-" of NULL.
 * Return: buf.
 */
const char *mirror_text(const struct pinbroker_mirror *mirror, char buf[static MIRROR_TEXT_MAX]);

/* Prints all of it, line by line. */
void mirror_print(const struct pinbroker_mirror *mirror);

/* Null of NULL. Return: NULL: out of memory. */
struct json_t *mirror_json(const struct pinbroker_mirror *mirror);

#endif
