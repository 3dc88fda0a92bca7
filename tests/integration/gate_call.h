/* SPDX-License-Identifier: MIT */
/* IOMMUFD's and VFIO's ioctls as far as the attacks use them. All return 0 or -errno. */
#ifndef TESTS_INTEGRATION_GATE_CALL_H
#define TESTS_INTEGRATION_GATE_CALL_H

#include <stdint.h>

#include "iommufd/uapi.h"

#define CALL_MAP_FLAGS (UAPI_IOMMU_IOAS_MAP_READABLE | UAPI_IOMMU_IOAS_MAP_WRITEABLE)

int call(int fd, unsigned long cmd, void *arg);

int call_ioas_alloc(int iommufd, uint32_t *ret_id);
int call_destroy(int iommufd, uint32_t id);

/* @ret_iova: where the kernel put it; NULL: it does not matter */
int call_map(int iommufd, uint32_t ioas_id, const void *memory, uint64_t len, uint64_t *ret_iova);
int call_map_at(int iommufd, uint32_t ioas_id, const void *memory, uint64_t len, uint64_t iova);
int call_map_file(int iommufd, uint32_t ioas_id, int fd, uint64_t len, uint64_t *ret_iova);

/* @ret_len: what the kernel says it was; NULL: it does not matter */
int call_unmap(int iommufd, uint32_t ioas_id, uint64_t iova, uint64_t len, uint64_t *ret_len);

/* Everything in an IOAS; -ENOENT: there was nothing. */
int call_unmap_all(int iommufd, uint32_t ioas_id, uint64_t *ret_len);

int call_bind(int device, int iommufd);
int call_attach(int device, uint32_t ioas_id);

#endif
