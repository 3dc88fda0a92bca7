/* SPDX-License-Identifier: MIT */
/*
 * libxml2 tells of elements as it reads them and builds no tree. The handlers it is given neither
 * keep nor look up entities, so that there are none but the five of XML and nothing can grow; the
 * document type is refused where it begins. Bytes are handed over in small pieces, and no more of
 * them after a fault.
 */
#include "client/domain_xml.h"

#include <ctype.h>
#include <errno.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/domain_parser.h"
#include "common/cleanup.h"

#define PIECE 4096
/* libxml2's time grows with the square of the attributes, and with names times namespaces. */
#define TAG_MAX (64U << 10) /* bytes; also of a comment or CDATA */
#define ATTRIBUTES_MAX 64
#define NAMESPACES_MAX 256 /* in all */
#define SPACE " \t\r\n"

int domain_read(int fd, char **ret_bytes, size_t *ret_len)
{
	CLEANUP(freep) char *bytes = NULL;
	size_t len = 0, max = 0;
	ssize_t n;

	do {
		if (len == max) {
			char *more;

			max = max ? 2 * max : 64U << 10;
			more = realloc(bytes, max);
			if (!more)
				return -ENOMEM;
			bytes = more;
		}
		n = read(fd, bytes + len, max - len);
		if (n < 0 && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
		if (len > DOMAIN_XML_MAX)
			return -EFBIG;
	} while (n);
	bytes[len] = '\0'; /* read(2) was given room for more, or would not have said 0 */
	*ret_bytes = STEAL(bytes);
	*ret_len = len;
	return 0;
}

/* No more is read after this. */
static void stop(struct domain_parser *parser, int err)
{
	if (!parser->err)
		parser->err = err;
	xmlStopParser(parser->xml);
}

int domain_fail(struct domain_parser *parser, const char *format, ...)
{
	va_list args;

	if (parser->err)
		return -EINVAL;
	parser->err = -EINVAL;
	if (parser->xml)
		parser->fault->line = (unsigned int)xmlSAX2GetLineNumber(parser->xml);
	va_start(args, format);
	(void)vsnprintf(parser->fault->text, sizeof(parser->fault->text), format, args); /* cut */
	va_end(args);
	for (char *p = parser->fault->text; *p; p++)
		if (iscntrl((unsigned char)*p)) /* the file's */
			*p = '?';
	return -EINVAL;
}

static void on_doctype(void *arg, const xmlChar *name, const xmlChar *external,
		       const xmlChar *system)
{
	(void)name; /* none is welcome */
	(void)external;
	(void)system;
	stop(arg, domain_fail(arg, "a document type (<!DOCTYPE>), which no domain has"));
}

/* Return: 0; -EINVAL: so many names are no domain's. */
static int element_names(struct domain_parser *parser, int n_attributes, int n_namespaces)
{
	parser->n_namespaces += (size_t)n_namespaces;
	if (n_attributes > ATTRIBUTES_MAX)
		return domain_fail(parser, "an element with %d attributes", n_attributes);
	if (parser->n_namespaces > NAMESPACES_MAX)
		return domain_fail(parser, "more than %d namespaces", NAMESPACES_MAX);
	return 0;
}

/* Return: 0 and the rule of an element that begins, or NULL; -EINVAL. */
static int element_rule(struct domain_parser *parser, const char *name, const char *uri,
			const struct domain_rule **ret_rule)
{
	const struct domain_rule *within = parser->depth ? parser->open[parser->depth - 1] : NULL;

	if (parser->depth == DOMAIN_XML_DEPTH_MAX)
		return domain_fail(parser, "more than %d elements within each other",
				   DOMAIN_XML_DEPTH_MAX);
	if (!uri && (within || !parser->depth))
		*ret_rule = domain_rule_find(within, name);
	if (!parser->depth && !*ret_rule)
		return domain_fail(parser, "<%s> is no <domain>", name);
	return 0;
}

static void on_start(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
		     int n_namespaces, const xmlChar **namespaces, int n_attributes,
		     int n_defaulted, const xmlChar **attributes)
{
	struct domain_parser *parser = arg;
	const struct domain_attrs attrs = {attributes, (size_t)n_attributes};
	const struct domain_rule *rule = NULL;
	int err;

	(void)prefix; /* the namespace tells */
	(void)namespaces;
	(void)n_defaulted; /* there is no document type */
	parser->quiet = 0;
	if (parser->err)
		return;
	err = element_names(parser, n_attributes, n_namespaces);
	if (!err)
		err = element_rule(parser, (const char *)name, (const char *)uri, &rule);
	if (!err) {
		parser->open[parser->depth++] = rule;
		parser->text_len = 0;
		if (rule && rule->start)
			err = rule->start(parser, &attrs);
	}
	if (err)
		stop(parser, err);
}

/* The text without white space around it. */
static char *trimmed(struct domain_parser *parser)
{
	char *text = parser->text + strspn(parser->text, SPACE);
	size_t len = strlen(text);

	while (len && strchr(SPACE, text[len - 1]))
		text[--len] = '\0';
	return text;
}

static void on_end(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	struct domain_parser *parser = arg;
	const struct domain_rule *rule;
	int err = 0;

	(void)name; /* libxml2 has found it to be the one that is open */
	(void)prefix;
	(void)uri;
	parser->quiet = 0;
	if (parser->err)
		return;
	rule = parser->open[--parser->depth];
	parser->text[parser->text_len] = '\0';
	if (rule && rule->end)
		err = rule->end(parser, rule->self == DOMAIN_EL_NONE ? trimmed(parser) : "");
	parser->text_len = 0;
	if (err)
		stop(parser, err);
}

static void on_text(void *arg, const xmlChar *text, int len)
{
	struct domain_parser *parser = arg;
	const struct domain_rule *rule = parser->depth ? parser->open[parser->depth - 1] : NULL;

	parser->quiet = 0;
	if (parser->err || !rule || !rule->end || rule->self != DOMAIN_EL_NONE)
		return;
	if ((size_t)len >= sizeof(parser->text) - parser->text_len) {
		stop(parser, domain_fail(parser, "<%s>: more than %zu bytes", rule->name,
					 sizeof(parser->text) - 1));
		return;
	}
	memcpy(parser->text + parser->text_len, text, (size_t)len);
	parser->text_len += (size_t)len;
}

static void on_comment(void *arg, const xmlChar *text)
{
	struct domain_parser *parser = arg;

	(void)text; /* for people */
	parser->quiet = 0;
}

/* libxml2's own words, which end in a newline, without their second line. */
static void take_error(struct domain_parser *parser, xmlParserCtxt *xml)
{
	const xmlError *error = xmlCtxtGetLastError(xml);
	const char *text = error && error->message ? error->message : "not well-formed XML";

	if (error && error->code == XML_ERR_NO_MEMORY) {
		parser->err = -ENOMEM;
		return;
	}
	(void)domain_fail(parser, "%.*s", (int)strcspn(text, "\n"), text);
	if (error && error->line > 0)
		parser->fault->line = (unsigned int)error->line;
}

/* Errors are asked for afterwards; nothing goes to stderr. */
static void on_error(void *arg, const char *format, ...)
{
	(void)arg;
	(void)format;
}

static int parse_pieces(struct domain_parser *parser, xmlParserCtxt *xml, const char *bytes,
			size_t len)
{
	int err = 0;

	for (size_t n, done = 0; !err && !parser->err && done < len; done += n) {
		n = len - done < PIECE ? len - done : PIECE;

		err = xmlParseChunk(xml, bytes + done, (int)n, 0);
		parser->quiet += n;
		if (!err && parser->quiet > TAG_MAX)
			(void)domain_fail(parser, "a tag, comment or CDATA of more than %u bytes",
					  TAG_MAX);
	}
	if (!err && !parser->err)
		err = xmlParseChunk(xml, "", 0, 1);
	if (err && !parser->err)
		take_error(parser, xml);
	parser->xml = NULL;
	return parser->err ? parser->err : domain_check(parser);
}

static int parse(struct domain_parser *parser, const char *bytes, size_t len)
{
	xmlSAXHandler handlers = {
		.internalSubset = on_doctype,
		.startElementNs = on_start,
		.endElementNs = on_end,
		.characters = on_text,
		.cdataBlock = on_text,
		.comment = on_comment,
		.warning = on_error,
		.error = on_error,
		.initialized = XML_SAX2_MAGIC,
	};
	xmlParserCtxt *xml = xmlCreatePushParserCtxt(&handlers, parser, NULL, 0, NULL);
	int err;

	if (!xml)
		return -ENOMEM;
	(void)xmlCtxtUseOptions(xml, XML_PARSE_NONET); /* it knows that one */
	parser->xml = xml;
	err = parse_pieces(parser, xml, bytes, len);
	if (xml->myDoc) /* where an entity was declared in front of the fault */
		xmlFreeDoc(xml->myDoc);
	xmlFreeParserCtxt(xml);
	return err;
}

int domain_parse(const char *bytes, size_t len, struct domain **ret_domain,
		 struct domain_fault *ret_fault)
{
	CLEANUP(freep) struct domain *domain = calloc(1, sizeof(*domain));
	CLEANUP(freep) struct domain_parser *parser = calloc(1, sizeof(*parser));
	int err;

	if (!domain || !parser)
		return -ENOMEM;
	*ret_fault = (struct domain_fault){.line = 0};
	domain->hard_limit = UINT64_MAX;
	parser->domain = domain;
	parser->fault = ret_fault;
	err = len > DOMAIN_XML_MAX ? domain_fail(parser, "more than %u bytes", DOMAIN_XML_MAX)
				   : parse(parser, bytes, len);
	if (err)
		return err;
	*ret_domain = STEAL(domain);
	return 0;
}
