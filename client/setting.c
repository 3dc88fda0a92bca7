/* SPDX-License-Identifier: MIT */
#include "client/setting.h"

#include <errno.h>
#include <string.h>

#include "accounting/size.h"
#include "client/pinbroker.h"
#include "common/cleanup.h"

static const struct setting settings[] = {
	{"limit", PINBROKER_SET_LIMIT, offsetof(struct pinbroker_limits, limit), true, false},
	{"max-mappings", PINBROKER_SET_MAX_MAPPINGS,
	 offsetof(struct pinbroker_limits, max_mappings), false, true},
	{"max-objects", PINBROKER_SET_MAX_OBJECTS, offsetof(struct pinbroker_limits, max_objects),
	 false, true},
	{"migration-buffers", PINBROKER_SET_MIGRATION_BUFFERS,
	 offsetof(struct pinbroker_limits, migration_buffers), true, true},
};

static const struct setting *setting_find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		if (strlen(settings[i].name) == len && strncmp(settings[i].name, name, len) == 0)
			return &settings[i];
	}
	return NULL;
}

static int setting_value(const struct setting *setting, const char *text, uint64_t *ret_value)
{
	if (setting->unlimited && strcmp(text, "unlimited") == 0) {
		*ret_value = PINBROKER_UNLIMITED;
		return 0;
	}
	if (!setting->size && text[strspn(text, "0123456789")])
		return -EINVAL;
	return size_parse(text, ret_value) ? -EINVAL : 0;
}

int setting_parse(const char *text, struct pinbroker_limits *limits,
		  const struct setting **ret_setting)
{
	const char *value = strchr(text, '=');
	const struct setting *setting = value ? setting_find(text, (size_t)(value - text)) : NULL;
	uint64_t number;
	int err;

	if (!setting)
		return -ENOENT;
	*ret_setting = setting;
	if (limits->keys & setting->key)
		return -EEXIST;
	err = setting_value(setting, value + 1, &number);
	if (err)
		return err;
	limits->keys |= setting->key;
	memcpy((char *)limits + setting->offset, &number, sizeof(number));
	return 0;
}

const char *setting_wants(const struct setting *setting)
{
	if (!setting->size)
		return "a number or unlimited";
	return setting->unlimited ? "a size (a number and K, M, G or T) or unlimited"
				  : "a size: a number and K, M, G or T";
}
