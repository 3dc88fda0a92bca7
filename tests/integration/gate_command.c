/* SPDX-License-Identifier: MIT */
/* Commands that a context takes beside IOMMUFD's own, and another way to give them. */
#include <errno.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "common/cleanup.h"
#include "tests/integration/gate.h"
#include "tests/integration/gate_call.h"
#include "tests/integration/mock.h"
#include "tests/integration/narrow.h"

/* A line for each: what the context says to it. */
int command_numbers(struct gate *gate)
{
	union {
		uint32_t size;
		char bytes[256];
		struct uapi_iommu_test_mock_domain mock;
	} buf;
	static const struct {
		const char *name;
		unsigned long cmd;
	} commands[] = {
		{"vfio_get_api_version", VFIO_GET_API_VERSION},
		{"vfio_check_extension", VFIO_CHECK_EXTENSION},
		{"vfio_set_iommu", VFIO_SET_IOMMU},
		{"vfio_iommu_get_info", VFIO_IOMMU_GET_INFO},
		{"vfio_iommu_map_dma", VFIO_IOMMU_MAP_DMA},
		{"vfio_iommu_unmap_dma", VFIO_IOMMU_UNMAP_DMA},
		{"unknown_7f", _IO(';', 0x7f)},
		{"unknown_9f", _IO(';', 0x9f)},
		{"unknown_ff", _IO(';', 0xff)},
		{"fionread", FIONREAD},
		{"fioclex", FIOCLEX}, /* any file's: the kernel's business */
	};

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		buf.size = 64;
		fact_error(commands[i].name, call(gate->iommufd, commands[i].cmd, &buf));
	}
	buf.mock = (struct uapi_iommu_test_mock_domain){
		.size = sizeof(buf.mock),
		.op = UAPI_IOMMU_TEST_OP_MOCK_DOMAIN,
		.id = gate->ioas[0],
	};
	fact_error("test", call(gate->iommufd, UAPI_IOMMU_TEST_CMD, &buf));
	return 0;
}

/* --count mappings by VFIO's commands. Facts: set, through, error. */
int command_compat(struct gate *gate)
{
	struct uapi_iommu_vfio_ioas set = {
		.size = sizeof(set),
		.ioas_id = gate->ioas[0],
		.op = UAPI_IOMMU_VFIO_IOAS_SET,
	};
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)gate_memory(GATE_PAGE),
		.iova = 16UL << 20,
		.size = GATE_PAGE,
	};
	uint64_t n;
	int err;

	if (!map.vaddr)
		return -ENOMEM;
	fact_error("set", call(gate->iommufd, UAPI_IOMMU_VFIO_IOAS, &set));
	for (n = 0, err = 0; n < gate->options.count; n++, map.iova += GATE_PAGE) {
		err = call(gate->iommufd, VFIO_IOMMU_MAP_DMA, &map);
		if (err)
			break;
	}
	fact("through", n);
	fact_error("error", err);
	return 0;
}

/* @arg: below 4 GiB */
/* The system call of 32-bit programs, on the context and on the cdev. Facts: map, bind, attach. */
int command_narrow(struct gate *gate)
{
	union {
		struct uapi_iommu_ioas_map map;
		struct uapi_vfio_device_bind_iommufd bind;
		struct uapi_vfio_device_attach_iommufd_pt attach;
	} *arg = mmap(NULL, 2 * GATE_PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (arg == MAP_FAILED)
		return -errno;
	arg->map = (struct uapi_iommu_ioas_map){
		.size = sizeof(arg->map),
		.flags = CALL_MAP_FLAGS,
		.ioas_id = gate->ioas[0],
		.user_va = (uintptr_t)arg + GATE_PAGE,
		.length = GATE_PAGE,
	};
	fact_error("map", narrow_ioctl(gate->iommufd, UAPI_IOMMU_IOAS_MAP, arg));
	arg->bind = (struct uapi_vfio_device_bind_iommufd){
		.argsz = sizeof(arg->bind),
		.iommufd = gate->iommufd,
	};
	fact_error("bind", narrow_ioctl(gate->device, UAPI_VFIO_DEVICE_BIND_IOMMUFD, arg));
	arg->attach = (struct uapi_vfio_device_attach_iommufd_pt){
		.argsz = sizeof(arg->attach),
		.pt_id = gate->ioas[0],
	};
	fact_error("attach", narrow_ioctl(gate->device, UAPI_VFIO_DEVICE_ATTACH_IOMMUFD_PT, arg));
	return 0;
}
