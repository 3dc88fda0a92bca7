/* SPDX-License-Identifier: MIT */
/* How the gate goes for good, pins and programs. */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/gate_map.h"
#include "bpf/gate_private.h"
#include "common/cleanup.h"

int gate_remove_tree(int at, const char *name)
{
	CLEANUP(fd_closep) int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;
	DIR *dir;
	int err = 0, one;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	dir = fdopendir(fd);
	if (!dir)
		return -errno;
	(void)STEAL_FD(fd); /* closedir() has it */
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		one = entry->d_type == DT_DIR ? gate_remove_tree(dirfd(dir), entry->d_name)
		      : unlinkat(dirfd(dir), entry->d_name, 0) < 0 ? -errno
								   : 0;
		err = err ? err : one; /* the others go all the same */
	}
	(void)closedir(dir);
	if (!err && unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		err = -errno;
	return err;
}

static int gate_disarm(int fd)
{
	const size_t size = gate_page_up(sizeof(struct gate_control));
	struct gate_control *control;

	if (!gate_is_control(fd))
		return 0;
	control = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (control == MAP_FAILED)
		return -errno;
	if (control->abi == GATE_ABI) {
		__atomic_store_n(&control->generation, 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&control->before, 0, __ATOMIC_SEQ_CST);
	}
	(void)munmap(control, size);
	return 0;
}

/*
 * Who else has descriptors of the links, and keeps the programs attached by them, is not known, and
 * pins need not be there any more: each gate that the kernel has is told that nobody acts.
 */
static int gate_disarm_all(void)
{
	__u32 id = 0;
	int ret = 0, one;

	for (;;) {
		CLEANUP(fd_closep) int fd = -1;
		int err = bpf_map_get_next_id(id, &id);

		if (err)
			return err == -ENOENT ? ret : err;
		fd = bpf_map_get_fd_by_id(id);
		one = fd >= 0 ? gate_disarm(fd) : fd == -ENOENT ? 0 : fd;
		ret = ret ? ret : one; /* the others stop all the same */
	}
}

/* The control goes first: while directories are there their numbers are not given to others. */
int gate_purge(const char *dir)
{
	CLEANUP(fd_closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int err;

	if (fd < 0 && errno != ENOENT)
		return -errno;
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	err = gate_disarm_all();
	if (err || fd < 0)
		return err;
	if (unlinkat(fd, GATE_CONTROL_NAME, 0) < 0 && errno != ENOENT)
		return -errno;
	return gate_remove_tree(AT_FDCWD, dir);
}
