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

#endif
