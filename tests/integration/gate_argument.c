/* SPDX-License-Identifier: MIT */
/* Arguments where a program need not have them, but may. */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "tests/integration/gate.h"
#include "tests/integration/gate_call.h"

#define STATIC_VA 0x10000000UL /* what the argument below maps */
#define STATIC_ALIGN 65536 /* farther from its neighbours than the kernel reads ahead */

/*
 * --count MAPs whose argument lies in a page that cannot be written: the kernel maps, cannot say
 * where, and returns EFAULT. Facts: efault (those are mapped), refused, error (another one).
 */
int argument_readonly(struct gate *gate)
{
	struct uapi_iommu_ioas_map *map = gate_memory(GATE_PAGE);
	const void *memory = gate_memory(gate->options.size);
	uint64_t efault = 0, refused = 0;
	int error = 0;

	if (!map || !memory)
		return -ENOMEM;
	*map = (struct uapi_iommu_ioas_map){
		.size = sizeof(*map),
		.flags = CALL_MAP_FLAGS,
		.ioas_id = gate->ioas[0],
		.user_va = (uintptr_t)memory,
		.length = gate->options.size,
	};
	if (mprotect(map, GATE_PAGE, PROT_READ) < 0)
		return -errno;
	for (uint64_t i = 0; i < gate->options.count; i++) {
		int err = call(gate->iommufd, UAPI_IOMMU_IOAS_MAP, map);

		if (err == -EFAULT) {
			efault++;
			continue;
		}
		refused++;
		if (!error)
			error = err;
	}
	fact("efault", efault);
	fact("refused", refused);
	fact_error("error", error);
	return 0;
}

static struct {
	struct uapi_iommu_ioas_map map;
	char rest[STATIC_ALIGN - sizeof(struct uapi_iommu_ioas_map)];
} argument __attribute__((aligned(STATIC_ALIGN))) = {
	.map = {.size = sizeof(struct uapi_iommu_ioas_map),
		.flags = CALL_MAP_FLAGS,
		.ioas_id = 1, /* a context's first object */
		.user_va = STATIC_VA,
		.length = GATE_PAGE},
};

/* Honest: an initialised argument that is still in the program's file only. Fact: static. */
int argument_static(struct gate *gate)
{
	void *memory = mmap((void *)STATIC_VA, GATE_PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (memory == MAP_FAILED || gate->ioas[0] != 1)
		return -EEXIST;
	if (madvise(&argument, sizeof(argument), MADV_DONTNEED) < 0)
		return -errno;
	fact_error("static", call(gate->iommufd, UAPI_IOMMU_IOAS_MAP, &argument.map));
	return 0;
}
