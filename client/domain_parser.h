/* SPDX-License-Identifier: MIT */
/* Inside the domain's parser: between the walk over elements and what each of them means. */
#ifndef CLIENT_DOMAIN_PARSER_H
#define CLIENT_DOMAIN_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/domain.h"
#include "client/domain_xml.h"

#define DOMAIN_ATTR_MAX 128 /* of an attribute that counts; with NUL */

/* Attributes as libxml2's SAX2 interface gives them: five pointers each. */
struct domain_attrs {
	const unsigned char **list;
	size_t n;
};

struct domain_parser;

/* Which elements may be within one. */
enum domain_element {
	DOMAIN_EL_NONE, /* what is within is of no interest */
	DOMAIN_EL_ROOT,
	DOMAIN_EL_DOMAIN,
	DOMAIN_EL_CPU,
	DOMAIN_EL_NUMA,
	DOMAIN_EL_MEMTUNE,
	DOMAIN_EL_BACKING,
	DOMAIN_EL_HUGEPAGES,
	DOMAIN_EL_OS,
	DOMAIN_EL_RESOURCE,
	DOMAIN_EL_SECLABEL,
	DOMAIN_EL_DEVICES,
	DOMAIN_EL_MEMORY,
	DOMAIN_EL_MEMORY_SOURCE,
	DOMAIN_EL_MEMORY_TARGET,
	DOMAIN_EL_HOSTDEV,
	DOMAIN_EL_HOSTDEV_SOURCE,
	DOMAIN_EL_DISK, /* and each of its backing images */
};

struct domain_rule {
	enum domain_element within;
	const char *name;
	enum domain_element self;
	int (*start)(struct domain_parser *parser, const struct domain_attrs *attrs);
	/* text: without white space around; "" for an element with others within. */
	int (*end)(struct domain_parser *parser, const char *text);
};

struct domain_parser {
	void *xml; /* libxml2's context */
	struct domain *domain;
	struct domain_fault *fault;
	int err; /* 0; the first failure */
	const struct domain_rule *open[DOMAIN_XML_DEPTH_MAX]; /* NULL: of no interest */
	size_t depth;
	size_t quiet; /* bytes read since something was told of */
	size_t n_namespaces; /* declared so far */
	char text[DOMAIN_TEXT_MAX];
	size_t text_len;
	uint64_t unit; /* of the number in the text */
	bool has_name, has_memory, has_hard_limit; /* each may be there once */
	/* What is being read. */
	struct domain_memory memory;
	struct domain_hostdev hostdev;
	bool hostdev_counts; /* it is given to the guest by VFIO */
	bool disk_nvme; /* an image of the disk is on an NVMe device */
	bool label_dac;
};

/* The rule for an element within another; NULL: it is of no interest. */
const struct domain_rule *domain_rule_find(const struct domain_rule *within, const char *name);

/* Says why, unless something was said before. Return: -EINVAL. */
__attribute__((format(printf, 2, 3))) int domain_fail(struct domain_parser *parser,
						      const char *format, ...);

/* The value of an attribute; "" when it is not there. Return: 0; -EINVAL: it is too long. */
int domain_attr(struct domain_parser *parser, const struct domain_attrs *attrs, const char *name,
		char ret_value[static DOMAIN_ATTR_MAX]);

/* The bytes that the attribute "unit" stands for; without it 1024. Return: 0; -EINVAL. */
int domain_attr_unit(struct domain_parser *parser, const struct domain_attrs *attrs,
		     uint64_t *ret_unit);

/* A size, in that unit. Return: 0; -EINVAL, also when it is not there. */
int domain_attr_size(struct domain_parser *parser, const struct domain_attrs *attrs,
		     const char *name, uint64_t *ret_bytes);

/* "yes" or "no"; left alone when it is not there. Return: 0; -EINVAL. */
int domain_attr_choice(struct domain_parser *parser, const struct domain_attrs *attrs,
		       const char *name, enum domain_choice *ret_choice);

/* "0x06", "6"; left alone when it is not there. Return: 0; -EINVAL. */
int domain_attr_number(struct domain_parser *parser, const struct domain_attrs *attrs,
		       const char *name, unsigned long max, unsigned int *ret_number);

/* Digits alone. Return: 0; -EINVAL after a fault that calls it by what. */
int domain_number(struct domain_parser *parser, const char *what, const char *text,
		  uint64_t *ret_number);

/* A number of units in bytes, up to whole KiB as libvirt keeps it. Return: 0; -EINVAL. */
int domain_size(struct domain_parser *parser, const char *what, const char *text, uint64_t unit,
		uint64_t *ret_bytes);

/* A copy of a text into a field of that size. Return: 0; -EINVAL: it is too long. */
int domain_text(struct domain_parser *parser, const char *what, const char *text, char *field,
		size_t size);

/* "0-3,^2,5" Return: 0; -EINVAL. */
int domain_nodeset(struct domain_parser *parser, const char *text, struct domain_nodes *ret_nodes);

/* What must hold once all elements have been read. Return: 0; -EINVAL after domain_fail(). */
int domain_check(struct domain_parser *parser);

#endif
