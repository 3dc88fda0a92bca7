/* SPDX-License-Identifier: MIT */
/*
 * An explanation, for people and as JSON. Where it was decided, in the broker or here from a
 * configuration, makes no difference to how it reads.
 */
#ifndef CLIENT_EXPLANATION_H
#define CLIENT_EXPLANATION_H

#include <stdbool.h>

struct json_t;
struct pinbroker_explanation;

/**
 * explanation_print() - the whole report on stdout
 * @assumed: what was taken for granted without a broker; NULL: the broker knew
 *
 * Return: 0; -ENOMEM; errors of stdout: output_finish().
 */
int explanation_print(const struct pinbroker_explanation *explanation, bool json,
		      const char *assumed);

/* The report without the verdict, for a longer one; and as an object, NULL: out of memory. */
void explanation_lines(const struct pinbroker_explanation *explanation, const char *assumed);
struct json_t *explanation_json(const struct pinbroker_explanation *explanation,
				const char *assumed);

#endif
