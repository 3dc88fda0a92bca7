/* SPDX-License-Identifier: MIT */
/*
 * The pinbroker command as people run it, against a broker that does what it is told. The program
 * is the one beside this one.
 */
#ifndef TESTS_UNIT_STAGE_H
#define TESTS_UNIT_STAGE_H

#include <stddef.h>

#include "common/proto.h"

#define STAGE_WORDS_MAX 12

/* What a command is to ask for, and what it is answered; events come unasked. */
struct stage_talk {
	unsigned int op; /* 0: it does not ask */
	const void *asked;
	size_t asked_len;
	enum proto_kind kind;
	const void *answer;
	size_t answer_len;
	size_t n_fds; /* come along */
};

struct stage_run {
	const char *words[STAGE_WORDS_MAX]; /* after --socket PATH; "PID" is this process */
	struct stage_talk talk;
	int status;
	const char *out; /* all of standard output */
	const char *err; /* part of standard error; "": nothing is said */
};

#define ASKS(number, body) .op = (number), .asked = &(body), .asked_len = sizeof(body)
#define GETS(body) .kind = PROTO_REPLY, .answer = &(body), .answer_len = sizeof(body)
#define REFUSED(body) .kind = PROTO_REFUSAL, .answer = &(body), .answer_len = sizeof(body)

/* Runs the command and fails the test where it does anything else. */
void stage_run(const struct stage_run *run);

/* The same with what it asks afterwards, on the same connection. */
void stage_run_then(const struct stage_run *run, const struct stage_talk *then, size_t n);

#endif
