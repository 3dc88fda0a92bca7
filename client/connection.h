/* SPDX-License-Identifier: MIT */
/*
 * Inside libpinbroker: the connection, and how a question on it is put and answered. One question,
 * one answer, one after the other; of a question that was given up the answer comes nevertheless,
 * and is thrown away when it does, before the next one is looked at. What an answer says is
 * believed only after its form was checked whole; until then its descriptors belong to the message
 * and are closed with it. An answer that breaks the protocol ends the connection: what comes next
 * on it could not be matched to a question any more.
 */
#ifndef CLIENT_CONNECTION_H
#define CLIENT_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/pinbroker.h"
#include "common/fdmsg.h"
#include "common/proto.h"

/* How far the question at hand is. It leaves IDLE and comes back in connection_ask(). */
enum connection_phase {
	CONNECTION_IDLE, /* there is none */
	CONNECTION_SEND, /* there was no room for it yet */
	CONNECTION_RECEIVE, /* it was sent, its answer is not here */
};

#define CONNECTION_BODY_MAX sizeof(struct proto_reserve) /* the longest question */

struct pinbroker {
	int fd; /* owned */
	bool streaming; /* events come, and nothing can be asked any more */
	uint64_t kinds; /* of events that can come */
	bool walking; /* a callback runs, and buf holds what it is shown */
	enum connection_phase phase;
	struct { /* the question at hand, to know it again */
		unsigned int op;
		size_t len;
		_Alignas(uint64_t) char body[CONNECTION_BODY_MAX];
	} asked;
	/* Serials. Answers come in order: what lies between is still to come. */
	uint64_t sent;
	uint64_t answered;
	const char *state; /* pinbroker_state() */
	struct pinbroker_refusal refusal;
	char buf[PROTO_MESSAGE_MAX]; /* the last answer */
};

struct question {
	unsigned int op; /* enum proto_op */
	const void *body;
	size_t len; /* of the body */
	size_t max_fds; /* that the answer may carry */
	const int *fd; /* borrowed; goes with it. NULL: none does */
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
 * connection_ask() - send a question, wait for its answer, or go on with that
 * @ret_answer: holds no descriptors yet; free with answer_fini() whatever is returned; valid until
 *              the next question
 *
 * Return: 0; -EAGAIN: it would wait, and is to be called again with the same question; -EBUSY: it
 * is another one, or a callback runs; -EACCES: a refusal, which is kept for pinbroker_refusal();
 * -errno as pinbroker_open().
 */
int connection_ask(struct pinbroker *broker, const struct question *question,
		   struct answer *ret_answer);

/* The body of the question at hand, if it is of that kind; else NULL. */
const void *connection_at_hand(const struct pinbroker *broker, unsigned int op);

/**
 * connection_next() - take the next packet of a stream
 * @op: the question that began it, and was the last one
 *
 * Return: 0; -EAGAIN: it would wait; -errno as connection_ask().
 */
int connection_next(struct pinbroker *broker, unsigned int op, struct answer *ret_answer);

/* Ends a connection that lost its place. Return: -EPROTO. */
int connection_broken(struct pinbroker *broker);

#endif
