/* SPDX-License-Identifier: MIT */
/*
 * The part of the kernel's interface that is used here, as of Linux 7.2. Debian 12's headers
 * (6.1) have no linux/iommufd.h, no VFIO cdevs and no SO_PEERPIDFD; newer ones have, so every
 * name has a prefix of its own and the header goes with either. Field names and order are the
 * kernel's; tests/integration/uapi-check.sh compares all of it with a kernel's source.
 */
#ifndef IOMMUFD_UAPI_H
#define IOMMUFD_UAPI_H

#include <linux/ioctl.h>
#include <stdint.h>

#define UAPI_SO_PASSRIGHTS 83 /* since 6.16 */
#define UAPI_SO_PEERPIDFD 77 /* since 6.5; asm-generic: x86, arm64, riscv, s390 */

/* ioctls of /dev/iommu. They take a struct that begins with its own size, in both directions. */
#define UAPI_IOMMU_DESTROY _IO(';', 0x80)
#define UAPI_IOMMU_IOAS_ALLOC _IO(';', 0x81)
#define UAPI_IOMMU_IOAS_ALLOW_IOVAS _IO(';', 0x82)
#define UAPI_IOMMU_IOAS_COPY _IO(';', 0x83)
#define UAPI_IOMMU_IOAS_IOVA_RANGES _IO(';', 0x84)
#define UAPI_IOMMU_IOAS_MAP _IO(';', 0x85)
#define UAPI_IOMMU_IOAS_UNMAP _IO(';', 0x86)
#define UAPI_IOMMU_OPTION _IO(';', 0x87)
#define UAPI_IOMMU_VFIO_IOAS _IO(';', 0x88)
#define UAPI_IOMMU_HWPT_ALLOC _IO(';', 0x89)
#define UAPI_IOMMU_GET_HW_INFO _IO(';', 0x8a)
#define UAPI_IOMMU_HWPT_SET_DIRTY_TRACKING _IO(';', 0x8b)
#define UAPI_IOMMU_HWPT_GET_DIRTY_BITMAP _IO(';', 0x8c)
#define UAPI_IOMMU_HWPT_INVALIDATE _IO(';', 0x8d)
#define UAPI_IOMMU_FAULT_QUEUE_ALLOC _IO(';', 0x8e)
#define UAPI_IOMMU_IOAS_MAP_FILE _IO(';', 0x8f) /* from here on later than 6.12 */
#define UAPI_IOMMU_VIOMMU_ALLOC _IO(';', 0x90)
#define UAPI_IOMMU_VDEVICE_ALLOC _IO(';', 0x91)
#define UAPI_IOMMU_IOAS_CHANGE_PROCESS _IO(';', 0x92)
#define UAPI_IOMMU_VEVENTQ_ALLOC _IO(';', 0x93)
#define UAPI_IOMMU_HW_QUEUE_ALLOC _IO(';', 0x94)

/* ioctls of a VFIO cdev; argsz is what size is above. */
#define UAPI_VFIO_DEVICE_GET_INFO _IO(';', 107)
#define UAPI_VFIO_DEVICE_FEATURE _IO(';', 117)
#define UAPI_VFIO_DEVICE_BIND_IOMMUFD _IO(';', 118)
#define UAPI_VFIO_DEVICE_ATTACH_IOMMUFD_PT _IO(';', 119)
#define UAPI_VFIO_DEVICE_DETACH_IOMMUFD_PT _IO(';', 120)

/* IOMMU_OPTION */
#define UAPI_IOMMU_OPTION_RLIMIT_MODE 0 /* val64 0: accounts per user, 1: per task */
#define UAPI_IOMMU_OPTION_OP_SET 0
#define UAPI_IOMMU_OPTION_OP_GET 1

/* VFIO_IOAS: which IOAS VFIO's old commands mean */
#define UAPI_IOMMU_VFIO_IOAS_SET 1

/* IOAS_MAP and the like, HWPT_ALLOC */
#define UAPI_IOMMU_IOAS_MAP_FIXED_IOVA 1U
#define UAPI_IOMMU_IOAS_MAP_WRITEABLE 2U
#define UAPI_IOMMU_IOAS_MAP_READABLE 4U

/* DEVICE_FEATURE: what is to be done, and with which of them */
#define UAPI_VFIO_DEVICE_FEATURE_GET 0x10000U
#define UAPI_VFIO_DEVICE_FEATURE_SET 0x20000U
#define UAPI_VFIO_DEVICE_FEATURE_PROBE 0x40000U /* whether GET or SET would be taken */
#define UAPI_VFIO_DEVICE_FEATURE_MIGRATION 1U
#define UAPI_VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE 2U
#define UAPI_VFIO_DEVICE_FEATURE_DMA_LOGGING_START 6U

/* Flags of FEATURE_MIGRATION */
#define UAPI_VFIO_MIGRATION_STOP_COPY 1U
#define UAPI_VFIO_MIGRATION_P2P 2U
#define UAPI_VFIO_MIGRATION_PRE_COPY 4U

typedef uint64_t uapi_u64 __attribute__((aligned(8))); /* the kernel's __aligned_u64: i386 */

struct uapi_iommu_destroy {
	uint32_t size;
	uint32_t id;
};

struct uapi_iommu_ioas_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t out_ioas_id;
};

struct uapi_iommu_ioas_map {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	uint32_t reserved;
	uapi_u64 user_va;
	uapi_u64 length;
	uapi_u64 iova; /* without FIXED_IOVA: out */
};

struct uapi_iommu_ioas_map_file {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	int32_t fd;
	uapi_u64 start;
	uapi_u64 length;
	uapi_u64 iova;
};

struct uapi_iommu_ioas_copy {
	uint32_t size;
	uint32_t flags;
	uint32_t dst_ioas_id;
	uint32_t src_ioas_id;
	uapi_u64 length;
	uapi_u64 dst_iova;
	uapi_u64 src_iova;
};

struct uapi_iommu_ioas_unmap {
	uint32_t size;
	uint32_t ioas_id;
	uapi_u64 iova;
	uapi_u64 length; /* UINT64_MAX with iova 0: everything; out: what was unmapped */
};

struct uapi_iommu_option {
	uint32_t size;
	uint32_t option_id;
	uint16_t op;
	uint16_t reserved;
	uint32_t object_id;
	uapi_u64 val64;
};

struct uapi_iommu_vfio_ioas {
	uint32_t size;
	uint32_t ioas_id;
	uint16_t op;
	uint16_t reserved;
};

/* Up to where 6.12 ends; later fields are optional by size. */
struct uapi_iommu_hwpt_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t pt_id;
	uint32_t out_hwpt_id;
	uint32_t reserved;
	uint32_t data_type;
	uint32_t data_len;
	uapi_u64 data_uptr;
	uint32_t fault_id;
	uint32_t reserved2;
};

struct uapi_iommu_ioas_change_process {
	uint32_t size;
	uint32_t reserved;
};

struct uapi_vfio_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
	uint32_t cap_offset;
	uint32_t pad;
};

/* Followed by what the feature has. */
struct uapi_vfio_device_feature {
	uint32_t argsz;
	uint32_t flags;
};

struct uapi_vfio_device_feature_migration {
	uapi_u64 flags;
};

struct uapi_vfio_device_feature_mig_state {
	uint32_t device_state;
	int32_t data_fd; /* out: where the state is read from or written to; -1: none */
};

/* The first form; 7.2 appends a token for SR-IOV VFs behind a flag. */
struct uapi_vfio_device_bind_iommufd {
	uint32_t argsz;
	uint32_t flags;
	int32_t iommufd;
	uint32_t out_devid;
};

struct uapi_vfio_device_attach_iommufd_pt {
	uint32_t argsz;
	uint32_t flags;
	uint32_t pt_id;
};

struct uapi_vfio_device_detach_iommufd_pt {
	uint32_t argsz;
	uint32_t flags;
};

#endif
