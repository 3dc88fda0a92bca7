/* SPDX-License-Identifier: MIT */
/*
 * IOMMUFD's test command (CONFIG_IOMMUFD_TEST): a mock device, which pins without any hardware.
 * Not exported by the kernel: from drivers/iommu/iommufd/iommufd_test.h, checked against it by
 * tests/uapi-check. Where the host has an IOMMU, 6.12 gives the mock device to that one: EINVAL.
 */
#ifndef TESTS_INTEGRATION_MOCK_H
#define TESTS_INTEGRATION_MOCK_H

#include <linux/ioctl.h>
#include <stdint.h>

#define UAPI_IOMMU_TEST_CMD _IO(';', 0xa0)
#define UAPI_IOMMU_TEST_OP_MOCK_DOMAIN 2

struct uapi_iommu_test_mock_domain {
	uint32_t size;
	uint32_t op;
	uint32_t id; /* of the IOAS */
	uint32_t reserved;
	uint32_t out_stdev_id; /* destroying it detaches */
	uint32_t out_hwpt_id;
	uint32_t out_idev_id;
	uint32_t pad[11]; /* other operations' arguments; the kernel insists on the full size */
};

#endif
