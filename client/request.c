/* SPDX-License-Identifier: MIT */
#include "client/request.h"

#include <errno.h>
#include <string.h>

#include "accounting/size.h"
#include "client/cmd.h"

static int take_memory(const struct cmd_env *env, struct request *request, const char *value)
{
	/* 0 would mean "not given" to the broker. */
	if (size_parse(value, &request->ask.memory) || !request->ask.memory)
		return cmd_usage(
			env, "--memory: '%s' is no size: a number above 0 and K, M, G or T", value);
	return 0;
}

int request_add_device(struct request *request, const char *name)
{
	size_t n = request->ask.n_devices;
	char normal[DEVICE_NAME_MAX];

	if (device_name(name, normal))
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(request->names[i], normal) == 0)
			return -EEXIST;
	}
	if (n == PINBROKER_DEVICES_MAX)
		return -ENOSPC;
	memcpy(request->names[n], normal, sizeof(normal));
	request->devices[n] = request->names[n];
	request->ask.devices = request->devices;
	request->ask.n_devices = n + 1;
	return 0;
}

static int take_device(const struct cmd_env *env, struct request *request, const char *value)
{
	switch (request_add_device(request, value)) {
	case 0:
		return 0;
	case -EEXIST:
		return cmd_usage(env, "--device: %s is given twice", value);
	case -ENOSPC:
		return cmd_usage(env, "--device: more than %d devices", PINBROKER_DEVICES_MAX);
	default:
		return cmd_usage(env,
				 "--device: '%s' is no PCI address (0000:65:00.0) and no mdev UUID",
				 value);
	}
}

static int take_accounting(const struct cmd_env *env, struct request *request, const char *value)
{
	if (strcmp(value, "task") == 0)
		request->ask.accounting = PINBROKER_ACCOUNTING_TASK;
	else if (strcmp(value, "user") == 0)
		request->ask.accounting = PINBROKER_ACCOUNTING_USER;
	else
		return cmd_usage(env, "--accounting: '%s' is neither task nor user", value);
	return 0;
}

int request_option(const struct cmd_env *env, struct request *request, int opt, const char *value)
{
	switch (opt) {
	case 'm':
		return take_memory(env, request, value);
	case 'd':
		return take_device(env, request, value);
	case 'v':
		request->ask.viommu = true;
		return 0;
	case 'a':
		return take_accounting(env, request, value);
	default:
		return cmd_bad_option();
	}
}
