/* SPDX-License-Identifier: MIT */
/* An answer: that it is well-formed, that it is true, and that it is for whom it went to. */
#ifndef TESTS_FUZZ_FUZZ_ANSWER_H
#define TESTS_FUZZ_FUZZ_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "accounting/policy.h"
#include "common/proto.h"
#include "daemon/session.h"

struct broker;
struct msghdr;
struct peer;

/* What of a session an order may change, and whose it is. */
struct fuzz_seen {
	bool found;
	uint64_t id;
	uid_t uid;
	enum session_state state;
	struct session_numbers numbers;
	size_t n_devices;
	uint64_t owner; /* its inode */
	uid_t owner_uid;
	char policy[POLICY_NAME_MAX + 1];
};

/* The request being served. */
struct fuzz_exchange {
	struct broker *broker; /* borrowed, as the next two */
	struct proto_header request;
	const char *body; /* as sent; NULL: it is no request */
	const struct peer *peer;
	uint64_t peer_inode;
	struct fuzz_seen before; /* the session that an order names */
	size_t n_sessions; /* before */
	unsigned int n_answers;
	bool done; /* answered, and not refused */
	bool killed; /* the daemon was */
	size_t n_records; /* in all pages so far */
	uint64_t last_id;
	bool more;
};

/* A session as it is now. */
struct fuzz_seen fuzz_answer_look(const struct broker *broker, uint64_t id);

/* An order for a live session, and a request for a new one. */
bool fuzz_answer_is_order(unsigned int op);
bool fuzz_answer_is_open(unsigned int op);

/* Called with what the broker sends: the answer. Returns its length. */
ssize_t fuzz_answer_check(struct fuzz_exchange *exchange, const struct msghdr *msg, int flags);

/* After a request that was refused, or whose answer was not taken: nobody got anything. */
void fuzz_answer_check_none(const struct fuzz_exchange *exchange);

/* Whether the request may kill that process. */
void fuzz_answer_check_kill(const struct fuzz_exchange *exchange, uint64_t inode);

#endif
