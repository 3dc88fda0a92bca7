/* SPDX-License-Identifier: MIT */
/* What the VMM of the tests maps. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "iommufd/uapi.h"
#include "tests/integration/vmm.h"

static int mapping_add(struct vmm *vmm, const struct mapping *mapping)
{
	size_t size = vmm->mappings_size ? 2 * vmm->mappings_size : 64;
	struct mapping *larger;

	if (vmm->n_mappings == vmm->mappings_size) {
		larger = reallocarray(vmm->mappings, size, sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		vmm->mappings = larger;
		vmm->mappings_size = size;
	}
	vmm->mappings[vmm->n_mappings++] = *mapping;
	return 0;
}

static int map_memory(struct vmm *vmm, void *memory, uint64_t len, uint64_t *ret_iova)
{
	struct uapi_iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = UAPI_IOMMU_IOAS_MAP_READABLE | UAPI_IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = vmm->ioas_id,
		.user_va = (uintptr_t)memory,
		.length = len,
	};
	int err = vmm_call(vmm->iommufd, UAPI_IOMMU_IOAS_MAP, &map);

	if (!err)
		*ret_iova = map.iova;
	return err;
}

/* Maps vmm->count times the same fresh memory. Return: 0; -errno of the first that failed. */
static int map_fresh(struct vmm *vmm, int flags)
{
	uint64_t len = vmm->number;
	void *memory =
		mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	struct mapping mapping = {.len = len, .memory = memory};
	unsigned long n = 0;
	int err;

	if (memory == MAP_FAILED)
		return -errno;
	err = vmm_ioas(vmm);
	mapping.ioas_id = vmm->ioas_id;
	while (!err && n < vmm->count) {
		err = map_memory(vmm, memory, len, &mapping.iova);
		if (err)
			break;
		n++;
		err = mapping_add(vmm, &mapping);
		mapping.memory = NULL; /* the first one has it */
	}
	if (mapping.memory)
		(void)munmap(memory, len); /* nothing is mapped of it */
	vmm_note(vmm, " n=%lu", n);
	return err;
}

int op_map_many(struct vmm *vmm)
{
	return map_fresh(vmm, 0);
}

int op_map(struct vmm *vmm)
{
	vmm->count = 1;
	return op_map_many(vmm);
}

int op_map_huge(struct vmm *vmm)
{
	vmm->count = 1;
	return map_fresh(vmm, MAP_HUGETLB);
}

int op_map_file(struct vmm *vmm)
{
	CLEANUP(fd_closep) int fd = memfd_create("vmm", MFD_CLOEXEC);
	struct mapping mapping = {.len = vmm->number};
	struct uapi_iommu_ioas_map_file map = {
		.size = sizeof(map),
		.flags = UAPI_IOMMU_IOAS_MAP_READABLE | UAPI_IOMMU_IOAS_MAP_WRITEABLE,
		.fd = fd,
		.length = mapping.len,
	};
	int err;

	if (fd < 0 || ftruncate(fd, (off_t)mapping.len) < 0)
		return -errno;
	err = vmm_ioas(vmm);
	map.ioas_id = mapping.ioas_id = vmm->ioas_id;
	if (!err)
		err = vmm_call(vmm->iommufd, UAPI_IOMMU_IOAS_MAP_FILE, &map);
	if (err)
		return err;
	mapping.iova = map.iova;
	return mapping_add(vmm, &mapping);
}

/* The newest mapping once more, at another address of the current IOAS. */
int op_copy(struct vmm *vmm)
{
	struct uapi_iommu_ioas_copy copy = {
		.size = sizeof(copy),
		.flags = UAPI_IOMMU_IOAS_MAP_READABLE | UAPI_IOMMU_IOAS_MAP_WRITEABLE,
		.dst_ioas_id = vmm->ioas_id,
	};
	struct mapping mapping;
	int err;

	if (!vmm->n_mappings)
		return -ENOENT;
	mapping = vmm->mappings[vmm->n_mappings - 1];
	copy.src_ioas_id = mapping.ioas_id;
	copy.src_iova = mapping.iova;
	copy.length = mapping.len;
	err = vmm_call(vmm->iommufd, UAPI_IOMMU_IOAS_COPY, &copy);
	if (err)
		return err;
	mapping.memory = NULL;
	mapping.ioas_id = vmm->ioas_id;
	mapping.iova = copy.dst_iova;
	return mapping_add(vmm, &mapping);
}

/* *length: what was unmapped. */
static int unmap_range(struct vmm *vmm, uint32_t ioas_id, uint64_t iova, uint64_t *length)
{
	struct uapi_iommu_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = ioas_id,
		.iova = iova,
		.length = *length,
	};
	int err = vmm_call(vmm->iommufd, UAPI_IOMMU_IOAS_UNMAP, &unmap);

	*length = unmap.length;
	return err;
}

/* Maps and unmaps the same memory, vmm->count times. */
int op_churn(struct vmm *vmm)
{
	uint64_t len = vmm->number, iova, began = clock_ms(CLOCK_MONOTONIC);
	void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (memory == MAP_FAILED)
		return -errno;
	err = vmm_ioas(vmm);
	for (unsigned long n = 0; !err && n < vmm->count; n++) {
		err = map_memory(vmm, memory, len, &iova);
		if (!err)
			err = unmap_range(vmm, vmm->ioas_id, iova, &len);
	}
	(void)munmap(memory, vmm->number);
	vmm_note(vmm, " ms=%" PRIu64, clock_ms(CLOCK_MONOTONIC) - began);
	return err;
}

/* The newest mapping. */
int op_unmap(struct vmm *vmm)
{
	const struct mapping *mapping;
	uint64_t length;
	int err;

	if (!vmm->n_mappings)
		return -ENOENT;
	mapping = &vmm->mappings[vmm->n_mappings - 1];
	length = mapping->len;
	err = unmap_range(vmm, mapping->ioas_id, mapping->iova, &length);
	if (err)
		return err;
	if (mapping->memory)
		(void)munmap(mapping->memory, mapping->len); /* ours alone now */
	vmm->n_mappings--;
	vmm_note(vmm, " bytes=%" PRIu64, length);
	return 0;
}

int op_unmap_all(struct vmm *vmm)
{
	int err = 0;

	while (!err && vmm->n_mappings) {
		vmm->note[0] = '\0';
		err = op_unmap(vmm);
	}
	vmm->note[0] = '\0';
	return err;
}

/* One after the other, each in a process of its own: the way around per-task accounting. */
int op_fork_map(struct vmm *vmm)
{
	unsigned long n = 0;
	int err = vmm_ioas(vmm), status;
	pid_t pid;

	while (!err && n < vmm->count) {
		pid = fork();
		if (pid == 0)
			_exit(-op_map(vmm));
		if (pid < 0 || waitpid(pid, &status, 0) < 0)
			return -errno;
		err = WIFEXITED(status) ? -WEXITSTATUS(status) : -EPROTO;
		if (!err)
			n++;
	}
	vmm_note(vmm, " n=%lu", n);
	return err;
}
