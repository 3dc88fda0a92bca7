/* SPDX-License-Identifier: MIT */
/* What is dangerous about migrating a guest with a device, in words. Pure. */
#ifndef CLIENT_RISK_H
#define CLIENT_RISK_H

#include <stddef.h>

struct device;
struct features;
struct group;

#define RISKS_MAX 4
#define RISK_TEXT_MAX 320

struct risks {
	size_t n;
	char text[RISKS_MAX][RISK_TEXT_MAX];
};

/* @features: NULL: not known */
void risk_find(const struct device *device, const struct group *group,
	       const struct features *features, struct risks *ret_risks);

#endif
