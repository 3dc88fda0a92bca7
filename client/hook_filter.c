/* SPDX-License-Identifier: MIT */
/*
 * QEMU has a property for it since 10.1 (x-migration-max-queued-buffers-size of vfio-pci), libvirt
 * has none, and passes on what is in <qemu:commandline>. Of two values for a property QEMU takes
 * the last: ours comes after what the domain says itself.
 */
#include "client/hook_filter.h"

#include <errno.h>
#include <inttypes.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

#include "client/pinbroker.h"
#include "common/cleanup.h"

#define QEMU_NS "http://libvirt.org/schemas/domain/qemu/1.0"
#define GLOBAL "-global"
#define PROPERTY "vfio-pci.x-migration-max-queued-buffers-size="

static const xmlChar *xml(const char *text)
{
	return (const xmlChar *)text;
}

static void doc_freep(xmlDoc **doc)
{
	xmlFreeDoc(*doc);
}

/* The element that is there, or one more. NULL: no memory. */
static xmlNode *commandline_of(xmlDoc *doc, xmlNode *domain)
{
	xmlNs *ns = xmlSearchNsByHref(doc, domain, xml(QEMU_NS));

	for (xmlNode *node = domain->children; node; node = node->next)
		if (node->type == XML_ELEMENT_NODE && node->ns &&
		    xmlStrEqual(node->ns->href, xml(QEMU_NS)) &&
		    xmlStrEqual(node->name, xml("commandline")))
			return node;
	if (!ns)
		ns = xmlNewNs(domain, xml(QEMU_NS), xml("qemu"));
	return ns ? xmlNewChild(domain, ns, xml("commandline"), NULL) : NULL;
}

/* Whether the value of an element begins so. NULL: there is none. */
static bool has_value(const xmlNode *arg, const char *begin)
{
	xmlChar *value = arg ? xmlGetNoNsProp(arg, xml("value")) : NULL;
	bool has = value && xmlStrncmp(value, xml(begin), (int)strlen(begin)) == 0;

	xmlFree(value);
	return has;
}

/* What this put there for a migration before: libvirt keeps it, and hands it on to the next. */
static void drop_arguments(xmlNode *commandline)
{
	xmlNode *next;

	for (xmlNode *arg = xmlFirstElementChild(commandline); arg; arg = next) {
		xmlNode *value = xmlNextElementSibling(arg);

		next = value;
		if (!has_value(arg, GLOBAL) || !has_value(value, PROPERTY))
			continue;
		next = xmlNextElementSibling(value);
		xmlUnlinkNode(arg);
		xmlFreeNode(arg);
		xmlUnlinkNode(value);
		xmlFreeNode(value);
	}
}

static int add_argument(xmlNode *commandline, const char *value)
{
	xmlNode *arg = xmlNewChild(commandline, commandline->ns, xml("arg"), NULL);

	return arg && xmlNewProp(arg, xml("value"), xml(value)) ? 0 : -ENOMEM;
}

static int write_doc(xmlDoc *doc, FILE *out)
{
	xmlChar *text = NULL;
	int len = 0;
	size_t n;

	xmlDocDumpMemory(doc, &text, &len);
	if (!text)
		return -ENOMEM;
	n = fwrite(text, 1, (size_t)len, out);
	xmlFree(text);
	return n == (size_t)len && fflush(out) == 0 ? 0 : -EIO;
}

int hook_filter(const char *bytes, size_t len, uint64_t buffers, FILE *out)
{
	CLEANUP(doc_freep) xmlDoc *doc = NULL;
	xmlNode *domain, *commandline;
	char value[128];
	int err;

	if (buffers == PINBROKER_UNLIMITED)
		return 0;
	doc = xmlReadMemory(bytes, (int)len, NULL, NULL,
			    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	domain = doc ? xmlDocGetRootElement(doc) : NULL;
	if (!domain)
		return -EINVAL;
	commandline = commandline_of(doc, domain);
	if (!commandline)
		return -ENOMEM;
	drop_arguments(commandline);
	(void)snprintf(value, sizeof(value), PROPERTY "%" PRIu64, buffers);
	err = add_argument(commandline, GLOBAL);
	if (!err)
		err = add_argument(commandline, value);
	return err ? err : write_doc(doc, out);
}
