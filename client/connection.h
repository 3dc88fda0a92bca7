/* SPDX-License-Identifier: MIT */
/*
 * Inside libpinbroker: the connection, and how a question on it is put and answered. One question,
 * one answer, one after the other. What an answer says is believed only after its form was checked
 * whole; until then its descriptors belong to the message and are closed with it. An answer that
 * breaks the protocol ends the connection: what comes next on it could not be matched to a question
 * any more.
 */
#ifndef CLIENT_CONNECTION_H
#define CLIENT_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/pinbroker.h"
#include "common/fdmsg.h"
#include "common/proto.h"

struct pinbroker {
	int fd; /* owned */
	bool walking; /* a callback runs, and buf holds what it is shown */
	uint64_t serial; /* of the last request */
	const char *state; /* pinbroker_state() */
	struct pinbroker_refusal refusal;
	char buf[PROTO_MESSAGE_MAX]; /* the last answer */
};

struct question {
	unsigned int op; /* enum proto_op */
	const void *body;
	size_t len; /* of the body */
	size_t max_fds; /* that the answer may carry */
};

/* An answer in broker->buf whose header and body size are right. */
struct answer {
	const char *body;
	const char *end;
	struct fdmsg msg;
};

/* Closes what came along and was not taken. */
void answer_fini(struct answer *answer);

/**
 * connection_ask() - send a question, wait for its answer
 * @ret_answer: holds no descriptors yet; free with answer_fini() whatever is returned; valid until
 *              the next question
 *
 * Return: 0; -EACCES: a refusal, which is kept for pinbroker_refusal(); -EBUSY in a callback;
 * -errno as pinbroker_open().
 */
int connection_ask(struct pinbroker *broker, const struct question *question,
		   struct answer *ret_answer);

/* Ends a connection that lost its place. Return: -EPROTO. */
int connection_broken(struct pinbroker *broker);

#endif
