/* SPDX-License-Identifier: MIT */
/*
 * libpinbroker against a broker that does what it is told. The answer is sent before the question
 * is asked (its serial can be known): one thread does for both ends.
 */
#ifndef TESTS_UNIT_LIB_FIXTURE_H
#define TESTS_UNIT_LIB_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "client/pinbroker.h"
#include "common/proto.h"

/* Both ends of one connection. */
struct pair {
	struct pinbroker *broker; /* the library's */
	int fd; /* owned: the fake broker's */
};

void pair_init(struct pair *pair);
void pair_fini(struct pair *pair);

/* Sends the first len bytes of header and body, with descriptors of /dev/null. */
void pair_answer(const struct pair *pair, struct proto_header header, const void *body,
		 size_t body_len, size_t len, size_t n_fds);

/* A whole answer, and right in its form. */
void pair_reply(const struct pair *pair, enum proto_kind kind, unsigned int op, uint64_t serial,
		const void *body, size_t len);

/* The same with descriptors of /dev/null. */
void pair_reply_fds(const struct pair *pair, unsigned int op, uint64_t serial, const void *body,
		    size_t len, size_t n_fds);

/* What the library has sent, copied out; fails the test when it is not that. */
void pair_expect(const struct pair *pair, unsigned int op, void *body, size_t len);

/* Nothing was sent. */
void pair_expect_nothing(const struct pair *pair);

#endif
