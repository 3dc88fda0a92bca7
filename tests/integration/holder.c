/* SPDX-License-Identifier: MIT */
/*
 * Holds memory by means that are none of the broker's, and says so: holder WAY SIZE [GROUP]. WAY is
 * mlock (mlock(2)), uring (a buffer registered with an io_uring) or type1 (mapped through a VFIO
 * container with that IOMMU group in it). Says "ready", or what failed, and ends when its standard
 * input does. Exit status: 0; 1 with a sentence on standard error; 64.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "accounting/size.h"
#include "common/cleanup.h"

#define EXIT_USAGE 64

static struct iovec memory;
static struct io_uring ring;

static void hold_mlock(const char *group)
{
	(void)group;
	if (mlock(memory.iov_base, memory.iov_len) < 0)
		err(1, "mlock");
}

static void hold_uring(const char *group)
{
	int ret = io_uring_queue_init(2, &ring, 0);

	(void)group;
	if (!ret)
		ret = io_uring_register_buffers(&ring, &memory, 1);
	if (ret)
		errx(1, "io_uring: %s", strerror(-ret));
}

/* Descriptors stay open until the end. */
static void hold_type1(const char *name)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory.iov_base,
		.size = memory.iov_len,
	};
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	char path[64];
	int group;

	(void)snprintf(path, sizeof(path), "/dev/vfio/%s", name);
	group = open(path, O_RDWR | O_CLOEXEC);
	if (container < 0 || group < 0)
		err(1, "%s", path);
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) < 0 ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0)
		err(1, "no type1 container");
	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map) < 0)
		err(1, "VFIO_IOMMU_MAP_DMA");
}

static const struct {
	const char *name;
	void (*hold)(const char *group);
} ways[] = {
	{"mlock", hold_mlock},
	{"uring", hold_uring},
	{"type1", hold_type1},
};

int main(int argc, char **argv)
{
	uint64_t size;
	char byte;

	if (argc < 3 || argc > 4 || size_parse(argv[2], &size))
		return EXIT_USAGE;
	memory.iov_len = (size_t)size;
	memory.iov_base =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory.iov_base == MAP_FAILED)
		err(1, "mmap");
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		if (strcmp(argv[1], ways[i].name) != 0)
			continue;
		ways[i].hold(argc > 3 ? argv[3] : "");
		(void)puts("ready");
		(void)fflush(stdout);
		while (read(STDIN_FILENO, &byte, 1) > 0)
			;
		return 0;
	}
	return EXIT_USAGE;
}
