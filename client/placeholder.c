/* SPDX-License-Identifier: MIT */
#include "client/placeholder.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

#define DEVICE "{device:"

struct placeholder {
	size_t len; /* with its braces; 0: no placeholder begins here */
	bool malformed;
	bool vfio_args;
	bool device; /* if none of both, the iommufd */
	size_t index; /* of the device */
};

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Digits without a leading zero, then '}'. Three digits are more than there are devices. */
static bool parse_index(const char *text, size_t *ret_index)
{
	size_t len = strspn(text, "0123456789");

	if (len < 1 || len > 3 || text[len] != '}' || (len > 1 && text[0] == '0'))
		return false;
	*ret_index = strtoul(text, NULL, 10);
	return true;
}

static struct placeholder placeholder_at(const char *text)
{
	struct placeholder found = {.len = 0};
	const char *end;

	if (starts_with(text, PLACEHOLDER_IOMMUFD)) {
		found.len = strlen(PLACEHOLDER_IOMMUFD);
	} else if (starts_with(text, PLACEHOLDER_VFIO_ARGS)) {
		found.vfio_args = true;
		found.len = strlen(PLACEHOLDER_VFIO_ARGS);
	} else if (starts_with(text, DEVICE)) {
		found.device = true;
		found.malformed = !parse_index(text + strlen(DEVICE), &found.index);
		end = strchr(text, '}');
		found.len = end ? (size_t)(end + 1 - text) : strlen(text);
	}
	return found;
}

int placeholder_check(const char *arg, size_t n_devices, enum placeholder_fault *ret_fault,
		      const char **ret_at, size_t *ret_len)
{
	struct placeholder found;

	for (; *arg; arg += found.len ? found.len : 1) {
		found = placeholder_at(arg);
		if (!found.device || (!found.malformed && found.index < n_devices))
			continue;
		*ret_fault = found.malformed ? PLACEHOLDER_MALFORMED : PLACEHOLDER_NO_DEVICE;
		*ret_at = arg;
		*ret_len = found.len;
		return -EINVAL;
	}
	return 0;
}

static void placeholder_write(const struct placeholder *found,
			      const struct placeholder_values *values, FILE *out)
{
	/* fclose() tells of every failure */
	if (found->vfio_args)
		(void)fputs(values->vfio_args ? values->vfio_args : "", out);
	else
		(void)fprintf(out, "%d",
			      found->device ? values->devices[found->index] : values->iommufd);
}

int placeholder_expand(const char *arg, const struct placeholder_values *values, char **ret_text)
{
	enum placeholder_fault fault;
	struct placeholder found;
	char *text = NULL;
	const char *at;
	size_t len;
	FILE *out;

	if (placeholder_check(arg, values->n_devices, &fault, &at, &len))
		return -EINVAL;
	out = open_memstream(&text, &len);
	if (!out)
		return -ENOMEM;
	for (; *arg; arg += found.len ? found.len : 1) {
		found = placeholder_at(arg);
		if (!found.len)
			(void)fputc(*arg, out); /* fclose() tells of every failure */
		else
			placeholder_write(&found, values, out);
	}
	bool failed = ferror(out);

	if (fclose(out) || failed) {
		free(text);
		return -ENOMEM;
	}
	*ret_text = text;
	return 0;
}
