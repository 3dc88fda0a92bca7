/* SPDX-License-Identifier: MIT */
/*
 * What one uid may use of the broker itself: connections at a time and requests per second.
 * An entry exists while its uid has a connection, so that a rate cannot be reset by connecting
 * anew as long as one other connection stands, and is kept one second beyond that.
 */
#ifndef DAEMON_BUDGET_H
#define DAEMON_BUDGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BUDGET_LINES 100 /* documented in pinbrokerd(8) */
#define BUDGET_PAUSE_MAX_MS 1000

struct budget;
struct budget_user;

int budget_new(struct budget **ret_budget);

/* Asserts that no connection is counted any more. */
void budget_free(struct budget *budget);
void budget_freep(struct budget **budget);

/**
 * budget_connect() - count one more connection
 * @max: connections per uid at a time
 * @rate: new ones per second, by a bucket of their own; 0: not limited
 * @now_ms: CLOCK_MONOTONIC
 * @ret_user: to hand to the other calls
 *
 * Return: 0; -EDQUOT: the uid has max connections; -EAGAIN: it connects too often; -ENOMEM.
 */
int budget_connect(struct budget *budget, uid_t uid, unsigned int max, unsigned int rate,
		   uint64_t now_ms, struct budget_user **ret_user);

/* What is done with who connects. */
enum budget_door {
	BUDGET_OPEN,
	BUDGET_TELL, /* it comes too often, and is told so */
	BUDGET_SHUT, /* it comes so often that telling it is too much */
};

/**
 * budget_knock() - count somebody who connects, before anything that costs is done for it
 * @rate: new connections per second; 0: not limited
 *
 * By uid, whether a policy knows it or not: that takes longer to find out.
 *
 * Return: 0; -ENOMEM.
 */
int budget_knock(struct budget *budget, uid_t uid, unsigned int rate, uint64_t now_ms,
		 enum budget_door *ret_door);

void budget_disconnect(struct budget *budget, struct budget_user *user, uint64_t now_ms);

/**
 * budget_request() - count one request
 * @max: requests per second; 0: not limited
 *
 * A bucket of max tokens that fills at max per second.
 *
 * Return: whether the uid may make it.
 */
bool budget_request(struct budget_user *user, unsigned int max, uint64_t now_ms);

/**
 * budget_line() - count one line of the log about a refusal
 *
 * BUDGET_LINES at once, and one a second: refusals are for whoever looks after the host, who has to
 * see each, but no uid fills the log with them, nor crowds out those of others.
 *
 * Return: 0: it is one too many; else for how many it speaks, itself included.
 */
unsigned int budget_line(struct budget_user *user, uint64_t now_ms);

/**
 * budget_pause() - for how long to leave the connection of the last request alone
 * @max: requests per second, as above
 *
 * After one that was too many each connection of the uid is given a turn of its own, at the rate
 * that it may make requests: so it cannot make the broker work by asking to be refused.
 *
 * Return: milliseconds, at most BUDGET_PAUSE_MAX_MS; 0: it goes on.
 */
uint32_t budget_pause(struct budget_user *user, unsigned int max, uint64_t now_ms);

#endif
