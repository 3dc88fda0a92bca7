/* SPDX-License-Identifier: MIT */
/* The options that describe a session, for every command that asks for one. */
#ifndef CLIENT_REQUEST_H
#define CLIENT_REQUEST_H

#include <getopt.h>

#include "client/pinbroker.h"
#include "common/device.h"

struct cmd_env;

/* For an array of struct option; the characters are those of request_option(). */
#define REQUEST_OPTIONS                                                                     \
	{"memory", required_argument, NULL, 'm'}, {"device", required_argument, NULL, 'd'}, \
		{"viommu", no_argument, NULL, 'v'},                                         \
	{                                                                                   \
		"accounting", required_argument, NULL, 'a'                                  \
	}

/* What those options say. Zeroed: nothing was said. Must not move: it points into itself. */
struct request {
	struct pinbroker_request ask;
	const char *devices[PINBROKER_DEVICES_MAX];
	char names[PINBROKER_DEVICES_MAX][DEVICE_NAME_MAX];
};

/**
 * request_add_device() - one more device
 *
 * Return: 0; -EINVAL: no name of one; -EEXIST: it is there; -ENOSPC: no session has more.
 */
int request_add_device(struct request *request, const char *name);

/**
 * request_option() - take one option
 * @opt: what getopt_long() returned
 *
 * Return: 0; 64 after a line on stderr, also when the option is none of these.
 */
int request_option(const struct cmd_env *env, struct request *request, int opt, const char *value);

#endif
