/* SPDX-License-Identifier: MIT */
/* What each element of a domain means. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/domain_parser.h"
#include "common/cleanup.h"

/* What libvirt writes for a limit that is none: 2^53 - 1 KiB. */
#define UNLIMITED_KIB 9007199254740991ULL

/* For each element whose text is a size. */
static int size_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	return domain_attr_unit(parser, attrs, &parser->unit);
}

static int once(struct domain_parser *parser, const char *what, bool *ret_seen)
{
	if (*ret_seen)
		return domain_fail(parser, "<%s> is there twice", what);
	*ret_seen = true;
	return 0;
}

static int domain_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	char type[DOMAIN_ATTR_MAX];
	int err = domain_attr(parser, attrs, "type", type);

	parser->domain->kvm = strcmp(type, "kvm") == 0;
	return err;
}

static int name_end(struct domain_parser *parser, const char *text)
{
	int err = once(parser, "name", &parser->has_name);

	if (!err && !text[0])
		return domain_fail(parser, "<name> is empty");
	return err ? err
		   : domain_text(parser, "name", text, parser->domain->name,
				 sizeof(parser->domain->name));
}

static int uuid_end(struct domain_parser *parser, const char *text)
{
	return domain_text(parser, "uuid", text, parser->domain->uuid,
			   sizeof(parser->domain->uuid));
}

static int memory_end(struct domain_parser *parser, const char *text)
{
	int err = once(parser, "memory", &parser->has_memory);

	return err ? err
		   : domain_size(parser, "memory", text, parser->unit, &parser->domain->memory);
}

static int max_memory_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	int err = size_start(parser, attrs);

	return err ? err
		   : domain_attr_number(parser, attrs, "slots", UINT16_MAX, &parser->domain->slots);
}

static int max_memory_end(struct domain_parser *parser, const char *text)
{
	return domain_size(parser, "maxMemory", text, parser->unit, &parser->domain->max_memory);
}

/* The cell's number is its place unless it has one. */
static int cell_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	struct domain *domain = parser->domain;
	unsigned int id = (unsigned int)domain->n_cells;
	int err = domain_attr_number(parser, attrs, "id", DOMAIN_NODES_MAX - 1, &id);

	if (err)
		return err;
	if (id >= DOMAIN_NODES_MAX)
		return domain_fail(parser, "more than %d cells", DOMAIN_NODES_MAX);
	if (domain->cells[id])
		return domain_fail(parser, "cell %u is there twice", id);
	if (id >= domain->n_cells)
		domain->n_cells = id + 1;
	return domain_attr_size(parser, attrs, "memory", &domain->cells[id]);
}

static int hard_limit_end(struct domain_parser *parser, const char *text)
{
	uint64_t number;
	int err = once(parser, "hard_limit", &parser->has_hard_limit);

	if (!err)
		err = domain_number(parser, "hard_limit", text, &number);
	if (err)
		return err;
	if (__builtin_mul_overflow(number, parser->unit, &number))
		return domain_fail(parser, "hard_limit: %s is too much", text);
	if (number / 1024 < UNLIMITED_KIB)
		parser->domain->hard_limit = number / 1024 * 1024;
	return 0;
}

static int locked_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	(void)attrs; /* it has none */
	parser->domain->locked = true;
	return 0;
}

static int backing_source_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	char type[DOMAIN_ATTR_MAX];
	int err = domain_attr(parser, attrs, "type", type);

	return err ? err
		   : domain_text(parser, "source type", type, parser->domain->source,
				 sizeof(parser->domain->source));
}

static int hugepages_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	(void)attrs; /* it has none */
	parser->domain->hugepages = true;
	return 0;
}

static int page_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	struct domain *domain = parser->domain;
	char nodes[DOMAIN_ATTR_MAX];
	struct domain_page *page;
	int err;

	if (domain->n_pages == DOMAIN_PAGES_MAX)
		return domain_fail(parser, "more than %d <page>", DOMAIN_PAGES_MAX);
	page = &domain->pages[domain->n_pages++];
	err = domain_attr_size(parser, attrs, "size", &page->size);
	if (!err)
		err = domain_attr(parser, attrs, "nodeset", nodes);
	if (err)
		return err;
	page->all = !nodes[0];
	return page->all ? 0 : domain_nodeset(parser, nodes, &page->nodes);
}

static int iommufd_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	struct domain *domain = parser->domain;
	char group[DOMAIN_ATTR_MAX];
	int err = domain_attr_choice(parser, attrs, "enabled", &domain->iommufd);

	if (!err)
		err = domain_attr(parser, attrs, "fdgroup", group);
	return err ? err
		   : domain_text(parser, "fdgroup", group, domain->fdgroup,
				 sizeof(domain->fdgroup));
}

static int os_type_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	char arch[DOMAIN_ATTR_MAX];
	int err = domain_attr(parser, attrs, "arch", arch);

	return err ? err
		   : domain_text(parser, "arch", arch, parser->domain->arch,
				 sizeof(parser->domain->arch));
}

static int partition_end(struct domain_parser *parser, const char *text)
{
	return domain_text(parser, "partition", text, parser->domain->partition,
			   sizeof(parser->domain->partition));
}

static int seclabel_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	char model[DOMAIN_ATTR_MAX];
	int err = domain_attr(parser, attrs, "model", model);

	parser->label_dac = strcmp(model, "dac") == 0;
	return err;
}

static int label_end(struct domain_parser *parser, const char *text)
{
	if (!parser->label_dac)
		return 0;
	return domain_text(parser, "label", text, parser->domain->dac_label,
			   sizeof(parser->domain->dac_label));
}

static int memory_device_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	char model[DOMAIN_ATTR_MAX];
	int err = domain_attr(parser, attrs, "model", model);

	parser->memory = (struct domain_memory){.model = DOMAIN_MEMORY_OTHER};
	if (strcmp(model, "dimm") == 0)
		parser->memory.model = DOMAIN_MEMORY_DIMM;
	else if (strcmp(model, "virtio-mem") == 0)
		parser->memory.model = DOMAIN_MEMORY_VIRTIO_MEM;
	return err;
}

static int memory_device_end(struct domain_parser *parser, const char *text)
{
	struct domain *domain = parser->domain;

	(void)text;
	if (!parser->memory.size)
		return domain_fail(parser, "a memory device without a size");
	if (domain->n_memories == DOMAIN_MEMORIES_MAX)
		return domain_fail(parser, "more than %d memory devices", DOMAIN_MEMORIES_MAX);
	domain->memories[domain->n_memories++] = parser->memory;
	return 0;
}

static int pagesize_end(struct domain_parser *parser, const char *text)
{
	return domain_size(parser, "pagesize", text, parser->unit, &parser->memory.page);
}

static int size_end(struct domain_parser *parser, const char *text)
{
	return domain_size(parser, "size", text, parser->unit, &parser->memory.size);
}

static int requested_end(struct domain_parser *parser, const char *text)
{
	return domain_size(parser, "requested", text, parser->unit, &parser->memory.requested);
}

static int block_end(struct domain_parser *parser, const char *text)
{
	return domain_size(parser, "block", text, parser->unit, &parser->memory.block);
}

static int node_end(struct domain_parser *parser, const char *text)
{
	uint64_t node;
	int err = domain_number(parser, "node", text, &node);

	if (!err && node >= DOMAIN_NODES_MAX)
		return domain_fail(parser, "node: %s is too much", text);
	if (!err)
		parser->memory.node = (unsigned int)node;
	return err;
}

static int hostdev_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	char mode[DOMAIN_ATTR_MAX], type[DOMAIN_ATTR_MAX];
	int err = domain_attr(parser, attrs, "mode", mode);

	if (!err)
		err = domain_attr(parser, attrs, "type", type);
	if (err)
		return err;
	parser->hostdev = (struct domain_hostdev){.mdev = strcmp(type, "mdev") == 0};
	parser->hostdev_counts = strcmp(mode, "capabilities") != 0 &&
				 (parser->hostdev.mdev || strcmp(type, "pci") == 0);
	return 0;
}

static int hostdev_driver_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	return domain_attr_choice(parser, attrs, "iommufd", &parser->hostdev.iommufd);
}

static int pci_address(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	unsigned int domain = 0, bus = 0, slot = 0, function = 0;
	char name[DEVICE_NAME_MAX];
	int err = domain_attr_number(parser, attrs, "domain", UINT32_MAX, &domain);

	if (!err)
		err = domain_attr_number(parser, attrs, "bus", 0xff, &bus);
	if (!err)
		err = domain_attr_number(parser, attrs, "slot", 0x1f, &slot);
	if (!err)
		err = domain_attr_number(parser, attrs, "function", 7, &function);
	if (err)
		return err;
	(void)snprintf(name, sizeof(name), "%04x:%02x:%02x.%x", domain, bus, slot, function);
	return device_name(name, parser->hostdev.name) ? domain_fail(parser, "address %s", name)
						       : 0;
}

static int hostdev_address_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	char uuid[DOMAIN_ATTR_MAX];
	int err;

	if (!parser->hostdev_counts)
		return 0;
	if (!parser->hostdev.mdev)
		return pci_address(parser, attrs);
	err = domain_attr(parser, attrs, "uuid", uuid);
	if (!err && device_name(uuid, parser->hostdev.name))
		return domain_fail(parser, "uuid: '%s' is none", uuid);
	return err;
}

static int hostdev_end(struct domain_parser *parser, const char *text)
{
	struct domain *domain = parser->domain;

	(void)text;
	if (!parser->hostdev_counts)
		return 0;
	if (!parser->hostdev.name[0])
		return domain_fail(parser, "a host device without an address");
	if (domain->n_hostdevs == DOMAIN_HOSTDEVS_MAX)
		return domain_fail(parser, "more than %d host devices", DOMAIN_HOSTDEVS_MAX);
	domain->hostdevs[domain->n_hostdevs++] = parser->hostdev;
	return 0;
}

static int interface_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	char type[DOMAIN_ATTR_MAX];
	int err = domain_attr(parser, attrs, "type", type);

	parser->hostdev = (struct domain_hostdev){.mdev = false};
	parser->hostdev_counts = strcmp(type, "hostdev") == 0;
	parser->domain->n_vdpa_nets += strcmp(type, "vdpa") == 0;
	return err;
}

/* Of the disk itself or of an image behind it: one is enough for NVMe, each counts for vDPA. */
static int image_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	char type[DOMAIN_ATTR_MAX];
	int err = domain_attr(parser, attrs, "type", type);

	parser->disk_nvme |= strcmp(type, "nvme") == 0;
	parser->domain->n_vdpa_disks += strcmp(type, "vhostvdpa") == 0;
	return err;
}

static int disk_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	parser->disk_nvme = false;
	return image_start(parser, attrs);
}

static int disk_end(struct domain_parser *parser, const char *text)
{
	(void)text;
	parser->domain->n_nvme += parser->disk_nvme;
	return 0;
}

static int iommu_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	(void)attrs; /* any model counts */
	parser->domain->n_iommus++;
	return 0;
}

static int controller_start(struct domain_parser *parser, const struct domain_attrs *attrs)
{
	char type[DOMAIN_ATTR_MAX], model[DOMAIN_ATTR_MAX], index[DOMAIN_ATTR_MAX];
	int err = domain_attr(parser, attrs, "type", type);

	if (!err)
		err = domain_attr(parser, attrs, "model", model);
	if (!err)
		err = domain_attr(parser, attrs, "index", index);
	if (err)
		return err;
	if (strcmp(type, "pci") != 0 || strcmp(model, "pci-root") != 0)
		return 0;
	parser->domain->n_pci_roots++;
	parser->domain->pci_root |= strcmp(index, "0") == 0;
	return 0;
}

static const struct domain_rule rules[] = {
	{DOMAIN_EL_ROOT, "domain", DOMAIN_EL_DOMAIN, domain_start, NULL},
	{DOMAIN_EL_DOMAIN, "name", DOMAIN_EL_NONE, NULL, name_end},
	{DOMAIN_EL_DOMAIN, "uuid", DOMAIN_EL_NONE, NULL, uuid_end},
	{DOMAIN_EL_DOMAIN, "memory", DOMAIN_EL_NONE, size_start, memory_end},
	{DOMAIN_EL_DOMAIN, "maxMemory", DOMAIN_EL_NONE, max_memory_start, max_memory_end},
	{DOMAIN_EL_DOMAIN, "cpu", DOMAIN_EL_CPU, NULL, NULL},
	{DOMAIN_EL_CPU, "numa", DOMAIN_EL_NUMA, NULL, NULL},
	{DOMAIN_EL_NUMA, "cell", DOMAIN_EL_NONE, cell_start, NULL},
	{DOMAIN_EL_DOMAIN, "memtune", DOMAIN_EL_MEMTUNE, NULL, NULL},
	{DOMAIN_EL_MEMTUNE, "hard_limit", DOMAIN_EL_NONE, size_start, hard_limit_end},
	{DOMAIN_EL_DOMAIN, "memoryBacking", DOMAIN_EL_BACKING, NULL, NULL},
	{DOMAIN_EL_BACKING, "locked", DOMAIN_EL_NONE, locked_start, NULL},
	{DOMAIN_EL_BACKING, "source", DOMAIN_EL_NONE, backing_source_start, NULL},
	{DOMAIN_EL_BACKING, "hugepages", DOMAIN_EL_HUGEPAGES, hugepages_start, NULL},
	{DOMAIN_EL_HUGEPAGES, "page", DOMAIN_EL_NONE, page_start, NULL},
	{DOMAIN_EL_DOMAIN, "iommufd", DOMAIN_EL_NONE, iommufd_start, NULL},
	{DOMAIN_EL_DOMAIN, "os", DOMAIN_EL_OS, NULL, NULL},
	{DOMAIN_EL_OS, "type", DOMAIN_EL_NONE, os_type_start, NULL},
	{DOMAIN_EL_DOMAIN, "resource", DOMAIN_EL_RESOURCE, NULL, NULL},
	{DOMAIN_EL_RESOURCE, "partition", DOMAIN_EL_NONE, NULL, partition_end},
	{DOMAIN_EL_DOMAIN, "seclabel", DOMAIN_EL_SECLABEL, seclabel_start, NULL},
	{DOMAIN_EL_SECLABEL, "label", DOMAIN_EL_NONE, NULL, label_end},
	{DOMAIN_EL_DOMAIN, "devices", DOMAIN_EL_DEVICES, NULL, NULL},
	{DOMAIN_EL_DEVICES, "memory", DOMAIN_EL_MEMORY, memory_device_start, memory_device_end},
	{DOMAIN_EL_MEMORY, "source", DOMAIN_EL_MEMORY_SOURCE, NULL, NULL},
	{DOMAIN_EL_MEMORY_SOURCE, "pagesize", DOMAIN_EL_NONE, size_start, pagesize_end},
	{DOMAIN_EL_MEMORY, "target", DOMAIN_EL_MEMORY_TARGET, NULL, NULL},
	{DOMAIN_EL_MEMORY_TARGET, "size", DOMAIN_EL_NONE, size_start, size_end},
	{DOMAIN_EL_MEMORY_TARGET, "requested", DOMAIN_EL_NONE, size_start, requested_end},
	{DOMAIN_EL_MEMORY_TARGET, "block", DOMAIN_EL_NONE, size_start, block_end},
	{DOMAIN_EL_MEMORY_TARGET, "node", DOMAIN_EL_NONE, NULL, node_end},
	{DOMAIN_EL_DEVICES, "hostdev", DOMAIN_EL_HOSTDEV, hostdev_start, hostdev_end},
	{DOMAIN_EL_DEVICES, "interface", DOMAIN_EL_HOSTDEV, interface_start, hostdev_end},
	{DOMAIN_EL_HOSTDEV, "driver", DOMAIN_EL_NONE, hostdev_driver_start, NULL},
	{DOMAIN_EL_HOSTDEV, "source", DOMAIN_EL_HOSTDEV_SOURCE, NULL, NULL},
	{DOMAIN_EL_HOSTDEV_SOURCE, "address", DOMAIN_EL_NONE, hostdev_address_start, NULL},
	{DOMAIN_EL_DEVICES, "disk", DOMAIN_EL_DISK, disk_start, disk_end},
	{DOMAIN_EL_DISK, "backingStore", DOMAIN_EL_DISK, image_start, NULL},
	{DOMAIN_EL_DEVICES, "iommu", DOMAIN_EL_NONE, iommu_start, NULL},
	{DOMAIN_EL_DEVICES, "controller", DOMAIN_EL_NONE, controller_start, NULL},
};

const struct domain_rule *domain_rule_find(const struct domain_rule *within, const char *name)
{
	enum domain_element element = within ? within->self : DOMAIN_EL_ROOT;

	if (element == DOMAIN_EL_NONE)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].within == element && strcmp(rules[i].name, name) == 0)
			return &rules[i];
	return NULL;
}

int domain_check(struct domain_parser *parser)
{
	const struct domain *domain = parser->domain;
	uint64_t cells = 0;

	if (!parser->has_name)
		return domain_fail(parser, "a domain without a <name>");
	for (size_t i = 0; i < domain->n_cells; i++)
		cells |= domain->cells[i];
	if (!domain->memory && !cells)
		return domain_fail(parser, "a domain without <memory>");
	return 0;
}
