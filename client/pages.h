/* SPDX-License-Identifier: MIT */
/*
 * Inside libpinbroker: answers of many records, one packet or more. A packet is checked whole
 * before any of its records is shown.
 */
#ifndef CLIENT_PAGES_H
#define CLIENT_PAGES_H

#include <stdbool.h>
#include <stdint.h>

struct answer;
struct pinbroker;

/* What a packet's head says, after all of the packet was looked at. */
struct page {
	const char *records; /* to the end of the answer */
	uint64_t next; /* where the next page begins */
	bool more; /* there is one */
};

/* Shows the record at *pos, which it moves on. Return: 0; else the end of it all. */
typedef int (*pages_show_fn)(const char **pos, const char *end, void *arg);

/* A question whose body is a cursor, 0 at the beginning, and a zero. */
struct pages {
	unsigned int op; /* enum proto_op */
	/* Of the answer to that cursor. Return: 0; -EPROTO: its form is wrong. */
	int (*take)(const struct answer *answer, uint64_t cursor, struct page *ret_page);
	/* Of the first page, what its head says besides; NULL: nothing. */
	void (*head)(const struct answer *answer, void *arg);
	pages_show_fn show; /* NULL: the first head is all that is wanted */
};

/**
 * pages_walk() - ask page by page, or go on with that, and show each record
 *
 * Return: 0; what pages->show() returned; -errno as connection_ask().
 */
int pages_walk(struct pinbroker *broker, const struct pages *pages, void *arg);

/* The records of one packet; no question can be asked meanwhile. */
int pages_show(struct pinbroker *broker, const char *from, const char *end, pages_show_fn show,
	       void *arg);

#endif
