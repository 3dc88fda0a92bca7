/* SPDX-License-Identifier: MIT */
/* What the VMM of the tests does with devices. */
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#include "common/cleanup.h"
#include "iommufd/uapi.h"
#include "tests/integration/narrow.h"
#include "tests/integration/vmm.h"

int op_bind(struct vmm *vmm)
{
	struct uapi_vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = vmm->iommufd,
	};
	int err = vmm_call(vmm->devices[vmm->device], UAPI_VFIO_DEVICE_BIND_IOMMUFD, &bind);

	if (err)
		return err;
	vmm->device_ids[vmm->device] = bind.out_devid;
	vmm_note(vmm, " id=%u", bind.out_devid);
	return 0;
}

/* By the system call of 32-bit programs. */
int op_bind_narrow(struct vmm *vmm)
{
	struct uapi_vfio_device_bind_iommufd *bind =
		mmap(NULL, sizeof(*bind), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	int err;

	if (bind == MAP_FAILED)
		return -errno;
	*bind = (struct uapi_vfio_device_bind_iommufd){.argsz = sizeof(*bind),
						       .iommufd = vmm->iommufd};
	err = narrow_ioctl(vmm->devices[vmm->device], UAPI_VFIO_DEVICE_BIND_IOMMUFD, bind);
	(void)munmap(bind, sizeof(*bind)); /* ours alone */
	return err;
}

int op_attach(struct vmm *vmm)
{
	struct uapi_vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach)};
	int err = vmm_ioas(vmm);

	attach.pt_id = vmm->ioas_id;
	if (!err)
		err = vmm_call(vmm->devices[vmm->device], UAPI_VFIO_DEVICE_ATTACH_IOMMUFD_PT,
			       &attach);
	if (!err)
		vmm_note(vmm, " pt=%u", attach.pt_id);
	return err;
}

int op_detach(struct vmm *vmm)
{
	struct uapi_vfio_device_detach_iommufd_pt detach = {.argsz = sizeof(detach)};

	return vmm_call(vmm->devices[vmm->device], UAPI_VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
}

int op_info(struct vmm *vmm)
{
	struct uapi_vfio_device_info info = {.argsz = sizeof(info)};
	int err = vmm_call(vmm->devices[vmm->device], UAPI_VFIO_DEVICE_GET_INFO, &info);

	if (!err)
		vmm_note(vmm, " flags=%#x regions=%u irqs=%u", info.flags, info.num_regions,
			 info.num_irqs);
	return err;
}

/* Of a migration; what a device gives is given to the next one that resumes. */
int op_state(struct vmm *vmm)
{
	int err = migration_enter(&vmm->migration, vmm->devices[vmm->device], vmm->state);
	const char *state = migration_state(vmm->devices[vmm->device]);

	vmm_note(vmm, " state=%s", state ? state : "-");
	return err;
}

int op_alloc_hwpt(struct vmm *vmm)
{
	struct uapi_iommu_hwpt_alloc alloc = {
		.size = sizeof(alloc),
		.dev_id = vmm->device_ids[vmm->device],
	};
	int err = vmm_ioas(vmm);

	alloc.pt_id = vmm->ioas_id;
	if (!err)
		err = vmm_call(vmm->iommufd, UAPI_IOMMU_HWPT_ALLOC, &alloc);
	if (!err)
		vmm_note(vmm, " hwpt=%u", alloc.out_hwpt_id);
	return err;
}

int op_close_device(struct vmm *vmm)
{
	fd_closep(&vmm->devices[vmm->device]);
	return 0;
}
