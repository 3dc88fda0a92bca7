/* SPDX-License-Identifier: MIT */
/*
 * An explanation, for people and as JSON. Where it was decided, in the broker or here from a
 * configuration, makes no difference to how it reads.
 */
#ifndef CLIENT_EXPLANATION_H
#define CLIENT_EXPLANATION_H

#include <stdbool.h>

struct pinbroker_explanation;

/**
 * explanation_print() - the whole report on stdout
 * @assumed: what was taken for granted without a broker; NULL: the broker knew
 *
 * Return: 0; -ENOMEM; errors of stdout: output_finish().
 */
int explanation_print(const struct pinbroker_explanation *explanation, bool json,
		      const char *assumed);

#endif
