/* SPDX-License-Identifier: MIT */
/* Both directions are exact: what size_text() writes, size_parse() reads back. */
#include "accounting/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

static const struct {
	char letter;
	unsigned int shift;
} units[] = {
	/* largest first: size_text() takes the first that divides */
	{'T', 40},
	{'G', 30},
	{'M', 20},
	{'K', 10},
};

/* 0 for the empty suffix; -1 for anything that is not one unit. */
static int unit_shift(const char *suffix)
{
	char letter = *suffix;
	size_t i;

	if (!letter)
		return 0;
	if (suffix[1])
		return -1;
	if (letter >= 'a' && letter <= 'z')
		letter = (char)(letter - 'a' + 'A');
	for (i = 0; i < ARRAY_SIZE(units); i++)
		if (units[i].letter == letter)
			return (int)units[i].shift;
	return -1;
}

int size_parse(const char *text, uint64_t *ret_bytes)
{
	const char *suffix = text + strspn(text, "0123456789");
	uint64_t bytes = 0;
	const char *p;
	int shift = unit_shift(suffix);

	/* Not strtoull(): it takes spaces and a minus sign. */
	if (suffix == text || shift < 0)
		return -EINVAL;
	for (p = text; p < suffix; p++)
		if (__builtin_mul_overflow(bytes, 10, &bytes) ||
		    __builtin_add_overflow(bytes, (uint64_t)(*p - '0'), &bytes))
			return -ERANGE;
	if (bytes > (uint64_t)INT64_MAX >> shift)
		return -ERANGE;
	*ret_bytes = bytes << shift;
	return 0;
}

const char *size_text(uint64_t bytes, char buf[static SIZE_TEXT_MAX])
{
	size_t i;

	if (bytes == UINT64_MAX) {
		(void)snprintf(buf, SIZE_TEXT_MAX, "unlimited"); /* fits */
		return buf;
	}
	for (i = 0; i < ARRAY_SIZE(units) && bytes; i++) {
		if (bytes & ((UINT64_C(1) << units[i].shift) - 1))
			continue;
		(void)snprintf(buf, SIZE_TEXT_MAX, "%" PRIu64 "%c", bytes >> units[i].shift,
			       units[i].letter); /* 20 digits and a letter fit */
		return buf;
	}
	(void)snprintf(buf, SIZE_TEXT_MAX, "%" PRIu64, bytes); /* 20 digits fit */
	return buf;
}
