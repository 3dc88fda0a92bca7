/* SPDX-License-Identifier: MIT */
#include "tests/integration/gate_call.h"

#include <errno.h>
#include <stddef.h>
#include <sys/ioctl.h>

int call(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? -errno : 0;
}

int call_ioas_alloc(int iommufd, uint32_t *ret_id)
{
	struct uapi_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	int err = call(iommufd, UAPI_IOMMU_IOAS_ALLOC, &alloc);

	if (!err)
		*ret_id = alloc.out_ioas_id;
	return err;
}

int call_destroy(int iommufd, uint32_t id)
{
	struct uapi_iommu_destroy destroy = {.size = sizeof(destroy), .id = id};

	return call(iommufd, UAPI_IOMMU_DESTROY, &destroy);
}

int call_map(int iommufd, uint32_t ioas_id, const void *memory, uint64_t len, uint64_t *ret_iova)
{
	struct uapi_iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = CALL_MAP_FLAGS,
		.ioas_id = ioas_id,
		.user_va = (uintptr_t)memory,
		.length = len,
	};
	int err = call(iommufd, UAPI_IOMMU_IOAS_MAP, &map);

	if (!err && ret_iova)
		*ret_iova = map.iova;
	return err;
}

int call_map_at(int iommufd, uint32_t ioas_id, const void *memory, uint64_t len, uint64_t iova)
{
	struct uapi_iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = CALL_MAP_FLAGS | UAPI_IOMMU_IOAS_MAP_FIXED_IOVA,
		.ioas_id = ioas_id,
		.user_va = (uintptr_t)memory,
		.length = len,
		.iova = iova,
	};

	return call(iommufd, UAPI_IOMMU_IOAS_MAP, &map);
}

int call_map_file(int iommufd, uint32_t ioas_id, int fd, uint64_t len, uint64_t *ret_iova)
{
	struct uapi_iommu_ioas_map_file map = {
		.size = sizeof(map),
		.flags = CALL_MAP_FLAGS,
		.ioas_id = ioas_id,
		.fd = fd,
		.length = len,
	};
	int err = call(iommufd, UAPI_IOMMU_IOAS_MAP_FILE, &map);

	if (!err && ret_iova)
		*ret_iova = map.iova;
	return err;
}

int call_unmap(int iommufd, uint32_t ioas_id, uint64_t iova, uint64_t len, uint64_t *ret_len)
{
	struct uapi_iommu_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = ioas_id,
		.iova = iova,
		.length = len,
	};
	int err = call(iommufd, UAPI_IOMMU_IOAS_UNMAP, &unmap);

	if (!err && ret_len)
		*ret_len = unmap.length;
	return err;
}

int call_unmap_all(int iommufd, uint32_t ioas_id, uint64_t *ret_len)
{
	return call_unmap(iommufd, ioas_id, 0, UINT64_MAX, ret_len);
}

int call_bind(int device, int iommufd)
{
	struct uapi_vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = iommufd};

	return call(device, UAPI_VFIO_DEVICE_BIND_IOMMUFD, &bind);
}

int call_attach(int device, uint32_t ioas_id)
{
	struct uapi_vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
		.pt_id = ioas_id,
	};

	return call(device, UAPI_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
}
