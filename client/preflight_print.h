/* SPDX-License-Identifier: MIT */
/* What preflight found, for people and as JSON. */
#ifndef CLIENT_PREFLIGHT_PRINT_H
#define CLIENT_PREFLIGHT_PRINT_H

#include <stdbool.h>

struct preflight;

/* The whole report on stdout. Return: 0; -ENOMEM; errors of stdout: output_finish(). */
int preflight_print(const struct preflight *preflight, bool json);

#endif
