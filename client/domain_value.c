/* SPDX-License-Identifier: MIT */
/*
 * Attributes and numbers of a domain, read as libvirt reads them: virScaleInteger(),
 * virDomainParseMemory(), virPCIDeviceAddressParseXML(), virBitmapParse().
 */
#include <stdlib.h>
#include <string.h>

#include "client/domain_parser.h"

int domain_attr(struct domain_parser *parser, const struct domain_attrs *attrs, const char *name,
		char ret_value[static DOMAIN_ATTR_MAX])
{
	ret_value[0] = '\0';
	for (size_t i = 0; i < attrs->n; i++) {
		const unsigned char **attr =
			attrs->list + 5 * i; /* name, prefix, URI, value, end */
		size_t len = (size_t)(attr[4] - attr[3]);

		if (attr[1] || strcmp((const char *)attr[0], name) != 0)
			continue;
		if (len >= DOMAIN_ATTR_MAX)
			return domain_fail(parser, "%s: more than %d bytes", name,
					   DOMAIN_ATTR_MAX - 1);
		memcpy(ret_value, attr[3], len);
		ret_value[len] = '\0';
		return 0;
	}
	return 0;
}

/* "KiB", "k", "kB", "bytes"; "": KiB. 0: not a unit. */
static uint64_t unit_bytes(const char *unit)
{
	static const char prefixes[] = "kmgtpe";
	const char *prefix;
	uint64_t base, bytes = 1;

	if (!unit[0])
		return 1024;
	if (strcmp(unit, "b") == 0 || strcmp(unit, "byte") == 0 || strcmp(unit, "bytes") == 0)
		return 1;
	prefix = strchr(prefixes, unit[0] | 0x20);
	if (!prefix || !*prefix)
		return 0;
	if (!unit[1] || strcasecmp(unit + 1, "ib") == 0)
		base = 1024;
	else if (strcasecmp(unit + 1, "b") == 0)
		base = 1000;
	else
		return 0;
	for (const char *p = prefixes; p <= prefix; p++)
		bytes *= base;
	return bytes;
}

int domain_number(struct domain_parser *parser, const char *what, const char *text,
		  uint64_t *ret_number)
{
	uint64_t number = 0;

	if (!text[0] || text[strspn(text, "0123456789")])
		return domain_fail(parser, "%s: '%s' is no number", what, text);
	for (const char *p = text; *p; p++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*p - '0'), &number))
			return domain_fail(parser, "%s: %s is too much", what, text);
	*ret_number = number;
	return 0;
}

int domain_size(struct domain_parser *parser, const char *what, const char *text, uint64_t unit,
		uint64_t *ret_bytes)
{
	uint64_t number = 0, bytes;
	int err = domain_number(parser, what, text, &number);

	if (err)
		return err;
	if (__builtin_mul_overflow(number, unit, &bytes) || bytes > INT64_MAX - 1023)
		return domain_fail(parser, "%s: %s is too much", what, text);
	*ret_bytes = (bytes + 1023) & ~UINT64_C(1023);
	return 0;
}

int domain_attr_unit(struct domain_parser *parser, const struct domain_attrs *attrs,
		     uint64_t *ret_unit)
{
	char unit[DOMAIN_ATTR_MAX];
	int err = domain_attr(parser, attrs, "unit", unit);

	if (err)
		return err;
	*ret_unit = unit_bytes(unit);
	return *ret_unit ? 0 : domain_fail(parser, "unit '%s' is not known", unit);
}

int domain_attr_size(struct domain_parser *parser, const struct domain_attrs *attrs,
		     const char *name, uint64_t *ret_bytes)
{
	char text[DOMAIN_ATTR_MAX];
	uint64_t unit = 0;
	int err = domain_attr(parser, attrs, name, text);

	if (err)
		return err;
	err = domain_attr_unit(parser, attrs, &unit);
	return err ? err : domain_size(parser, name, text, unit, ret_bytes);
}

int domain_attr_choice(struct domain_parser *parser, const struct domain_attrs *attrs,
		       const char *name, enum domain_choice *ret_choice)
{
	char value[DOMAIN_ATTR_MAX];
	int err = domain_attr(parser, attrs, name, value);

	if (err || !value[0])
		return err;
	if (strcmp(value, "yes") == 0)
		*ret_choice = DOMAIN_CHOICE_YES;
	else if (strcmp(value, "no") == 0)
		*ret_choice = DOMAIN_CHOICE_NO;
	else
		return domain_fail(parser, "%s: '%s' is neither yes nor no", name, value);
	return 0;
}

int domain_attr_number(struct domain_parser *parser, const struct domain_attrs *attrs,
		       const char *name, unsigned long max, unsigned int *ret_number)
{
	char text[DOMAIN_ATTR_MAX], *end;
	unsigned long number;
	int err = domain_attr(parser, attrs, name, text);

	if (err || !text[0])
		return err;
	number = strtoul(text, &end, 0);
	if (*end || end == text || text[0] == '-' || number > max)
		return domain_fail(parser, "%s: '%s'", name, text);
	*ret_number = (unsigned int)number;
	return 0;
}

int domain_nodeset(struct domain_parser *parser, const char *text, struct domain_nodes *ret_nodes)
{
	const char *p = text;

	do {
		bool set = *p != '^';
		unsigned long first, last;
		char *end;

		p += !set;
		first = last = strtoul(p, &end, 10);
		if (end != p && *end == '-' && set) {
			p = end + 1;
			last = strtoul(p, &end, 10);
		}
		if (end == p || *p == '-' || *p == '+' || first > last || last >= DOMAIN_NODES_MAX)
			return domain_fail(parser, "nodeset: '%s'", text);
		while (first <= last)
			ret_nodes->set[first++] = set;
		p = end;
	} while (*p++ == ',');
	return p[-1] ? domain_fail(parser, "nodeset: '%s'", text) : 0;
}

int domain_text(struct domain_parser *parser, const char *what, const char *text, char *field,
		size_t size)
{
	if (strlen(text) >= size)
		return domain_fail(parser, "%s: more than %zu bytes", what, size - 1);
	memcpy(field, text, strlen(text) + 1);
	return 0;
}
