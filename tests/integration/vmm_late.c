/* SPDX-License-Identifier: MIT */
/* A thread of the VMM of the tests that is in IOAS_MAP before its argument is there. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "iommufd/uapi.h"
#include "tests/integration/vmm.h"

/* A thread in IOAS_MAP, the argument of which nobody has put there yet. */
struct late {
	pthread_t thread;
	int iommufd; /* borrowed */
	int uffd; /* owned */
	void *page; /* the argument's */
	uint64_t len;
	int err; /* what came of it */
};

static void *late_thread(void *arg)
{
	struct late *late = arg;

	late->err = vmm_call(late->iommufd, UAPI_IOMMU_IOAS_MAP, late->page);
	return NULL;
}

/* vm.unprivileged_userfaultfd must be 1. Return: 0: the thread waits for its argument; -errno. */
int op_late(struct vmm *vmm)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	struct late *late = calloc(1, sizeof(*late));
	struct uffd_msg msg;
	sigset_t set;

	if (!late || vmm->late)
		return -ENOMEM;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM); /* which is for hold, and not the thread's end */
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	vmm->late = late;
	late->iommufd = vmm->iommufd;
	late->len = vmm->number;
	late->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	late->page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range = (struct uffdio_range){.start = (uintptr_t)late->page, .len = size};
	if (late->uffd < 0 || late->page == MAP_FAILED || ioctl(late->uffd, UFFDIO_API, &api) < 0 ||
	    ioctl(late->uffd, UFFDIO_REGISTER, &range) < 0)
		return -errno;
	if (pthread_create(&late->thread, NULL, late_thread, late))
		return -EAGAIN;
	return read(late->uffd, &msg, sizeof(msg)) == sizeof(msg) ? 0 : -EIO;
}

/* Here it is: fresh memory for the address space that there is by now. */
int op_arrive(struct vmm *vmm)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	struct late *late = vmm->late;
	struct uapi_iommu_ioas_map *map = calloc(1, size);
	struct uffdio_copy copy = {.src = (uintptr_t)map, .len = size};
	int err;

	if (!late || !map)
		return -EINVAL;
	*map = (struct uapi_iommu_ioas_map){
		.size = sizeof(*map),
		.flags = UAPI_IOMMU_IOAS_MAP_READABLE | UAPI_IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = vmm->ioas_id,
		.user_va = (uintptr_t)mmap(NULL, late->len, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		.length = late->len,
	};
	copy.dst = (uintptr_t)late->page;
	if (ioctl(late->uffd, UFFDIO_COPY, &copy) < 0)
		return -errno;
	(void)pthread_join(late->thread, NULL); /* it is there, and nobody else waits for it */
	err = late->err;
	(void)close(late->uffd); /* of a test that ends soon, as what follows */
	free(map);
	free(late);
	vmm->late = NULL;
	return err;
}
