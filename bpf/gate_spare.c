/* SPDX-License-Identifier: MIT */
#include "bpf/gate_spare.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/gate_map.h"
#include "bpf/gate_private.h"
#include "common/cleanup.h"

/* --- names */

/* As it is printed, so that there is one name for each number; 0 is none. */
static int gate_spare_number(const char **at, uint32_t *ret_number)
{
	uint64_t number = 0;
	const char *p = *at;

	if (*p < '1' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9' && number <= UINT32_MAX; p++)
		number = number * 10 + (uint64_t)(*p - '0');
	if (number > UINT32_MAX || *p != '/')
		return -EINVAL;
	*at = p + 1;
	*ret_number = (uint32_t)number;
	return 0;
}

int gate_spare_parse(const char *name, struct gate_spare_name *ret_name)
{
	static const char word[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
	struct gate_spare_name parsed = {.generation = 0};
	size_t len;

	if (gate_spare_number(&name, &parsed.gate))
		return -EINVAL;
	if (*name >= '0' && *name <= '9' && gate_spare_number(&name, &parsed.generation))
		return -EINVAL;
	len = strspn(name, word);
	if (!len || name[len] || len >= sizeof(parsed.object) || (*name >= '0' && *name <= '9'))
		return -EINVAL;
	memcpy(parsed.object, name, len);
	*ret_name = parsed;
	return 0;
}

/* --- what a descriptor is */

/* The kernel answers the same question about a program, a map and a link. */
static bool gate_spare_is(int fd, const char *what)
{
	char path[32], target[32];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	return strcmp(target, what) == 0;
}

static bool gate_spare_map(int fd, struct bpf_map_info *ret_info)
{
	__u32 len = sizeof(*ret_info);

	memset(ret_info, 0, sizeof(*ret_info));
	return gate_spare_is(fd, "anon_inode:bpf-map") &&
	       bpf_obj_get_info_by_fd(fd, ret_info, &len) == 0;
}

static bool gate_spare_link(int fd, struct bpf_link_info *ret_info)
{
	__u32 len = sizeof(*ret_info);

	memset(ret_info, 0, sizeof(*ret_info));
	/* By whom it was made, or by whom it was opened. */
	return (gate_spare_is(fd, "anon_inode:bpf_link") ||
		gate_spare_is(fd, "anon_inode:bpf-link")) &&
	       bpf_obj_get_info_by_fd(fd, ret_info, &len) == 0;
}

/* The kernel cuts names. */
static bool gate_spare_named(const char *cut, const char *name)
{
	return strncmp(cut, name, BPF_OBJ_NAME_LEN - 1) == 0;
}

/*
 * By the program's name alone: who can have descriptors kept is root, and this finds mistakes.
 * Without CAP_SYS_ADMIN programs are not found: then what is known of the link has to do.
 */
static bool gate_spare_runs(const struct bpf_link_info *link, const char *program)
{
	CLEANUP(fd_closep) int fd = bpf_prog_get_fd_by_id(link->prog_id);
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);

	if (fd < 0)
		return errno == EPERM;
	return bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && gate_spare_named(info.name, program);
}

/* Return: its id in the kernel, which no other of its kind has; 0: it is not what the name says. */
static uint32_t gate_spare_id(int fd, const struct gate_spare_name *name)
{
	struct bpf_link_info link;
	struct bpf_map_info map;

	if (name->generation)
		return gate_spare_link(fd, &link) && gate_spare_runs(&link, name->object) ? link.id
											  : 0;
	return gate_spare_map(fd, &map) && gate_spare_named(map.name, name->object) ? map.id : 0;
}

/* --- restoring */

/* The gate that acts, by its control. */
struct gate_spare_acting {
	uint32_t gate, generation; /* 0: none */
};

/* Return: 0; -EPROTONOSUPPORT; -errno. */
static int gate_spare_read(int fd, struct gate_spare_acting *ret_acting)
{
	struct gate_control control;
	struct bpf_map_info info;
	__u32 zero = 0;

	if (!gate_spare_map(fd, &info))
		return -EINVAL;
	if (info.value_size != sizeof(control))
		return -EPROTONOSUPPORT;
	if (bpf_map_lookup_elem(fd, &zero, &control))
		return -errno;
	if (control.abi && control.abi != GATE_ABI)
		return -EPROTONOSUPPORT;
	*ret_acting = (struct gate_spare_acting){info.id, control.generation};
	return 0;
}

static bool gate_spare_is_control(const struct gate_spare *spare)
{
	struct gate_spare_name name;

	return gate_spare_parse(spare->name, &name) == 0 && !name.generation &&
	       strcmp(name.object, GATE_CONTROL_NAME) == 0 &&
	       gate_spare_id(spare->fd, &name) == name.gate;
}

/* The pin's if it is there; else that of the first spare that is one, and of a gate that acts. */
static int gate_spare_find(int dir_fd, const struct gate_spare *spares, size_t n,
			   struct gate_spare_acting *ret_acting)
{
	CLEANUP(fd_closep) int fd = -1;
	char path[64];
	int err = 0, one;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/" GATE_CONTROL_NAME, dir_fd);
	fd = bpf_obj_get(path);
	if (fd >= 0)
		return gate_spare_read(fd, ret_acting);
	for (size_t i = 0; i < n; i++) {
		one = gate_spare_is_control(&spares[i]) ? gate_spare_read(spares[i].fd, ret_acting)
							: 0;
		if (ret_acting->generation)
			return 0;
		err = err ? err : one; /* one behind it may be read, and act */
	}
	return err;
}

static int gate_spare_pin(int dir_fd, const struct gate_spare_name *name, struct gate_spare *spare,
			  uint32_t id)
{
	CLEANUP(fd_closep) int there = -1;
	char dir[16], path[96] = "";

	if (name->generation) {
		(void)snprintf(dir, sizeof(dir), "%u", name->generation);
		if (mkdirat(dir_fd, dir, 0700) < 0 && errno != EEXIST)
			return -errno;
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%u/%s", dir_fd,
			       name->generation, name->object);
	} else {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir_fd, name->object);
	}
	there = bpf_obj_get(path);
	if (there >= 0) {
		spare->state =
			gate_spare_id(there, name) == id ? GATE_SPARE_PINNED : GATE_SPARE_OLD;
		return 0;
	}
	if (bpf_obj_pin(spare->fd, path))
		return -errno;
	spare->state = GATE_SPARE_RESTORED;
	return 0;
}

static int gate_spare_try(int dir_fd, const struct gate_spare_acting *acting,
			  struct gate_spare *spare)
{
	struct gate_spare_name name;
	uint32_t id;

	spare->state = GATE_SPARE_BAD;
	if (gate_spare_parse(spare->name, &name))
		return 0;
	id = gate_spare_id(spare->fd, &name);
	if (!id)
		return 0;
	spare->state = GATE_SPARE_OLD;
	/* Of a gate that was purged no generation acts. */
	if (!acting->generation || name.gate != acting->gate ||
	    (name.generation && name.generation != acting->generation))
		return 0;
	spare->state = GATE_SPARE_UNTRIED;
	return gate_spare_pin(dir_fd, &name, spare, id);
}

int gate_spare_restore(const char *dir, struct gate_spare *spares, size_t n)
{
	CLEANUP(fd_closep) int dir_fd = -1;
	struct gate_spare_acting acting = {.gate = 0};
	int err = 0, one;

	for (size_t i = 0; i < n; i++)
		spares[i].state = GATE_SPARE_UNTRIED;
	if (n)
		err = gate_open_dir(dir, &dir_fd);
	if (!err && n)
		err = gate_spare_find(dir_fd, spares, n, &acting);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		one = gate_spare_try(dir_fd, &acting, &spares[i]);
		err = err ? err : one; /* the others all the same */
	}
	return err;
}

/* --- making them */

/* What is pinned in one directory; prefix: of the names. */
static int gate_spare_each_in(int at, const char *dir_name, const char *prefix, gate_spare_fn fn,
			      void *arg)
{
	CLEANUP(dir_closep) DIR *dir = NULL;
	const struct dirent *entry;
	int dir_fd = openat(at, dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;

	dir = dir_fd < 0 ? NULL : fdopendir(dir_fd);
	if (!dir) {
		err = -errno;
		fd_closep(&dir_fd);
		return err;
	}
	while (!err && (entry = readdir(dir))) {
		CLEANUP(fd_closep) int fd = -1;
		char path[64 + NAME_MAX], name[GATE_SPARE_NAME_MAX + NAME_MAX];
		struct gate_spare_name parsed;

		(void)snprintf(name, sizeof(name), "%s%s", prefix, entry->d_name);
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir_fd, entry->d_name);
		/* A directory, or somebody else's, is none. */
		if (gate_spare_parse(name, &parsed) == 0)
			fd = bpf_obj_get(path);
		if (fd >= 0 && gate_spare_id(fd, &parsed))
			err = fn(name, fd, arg);
	}
	return err;
}

int gate_spare_each(const struct gate *gate, gate_spare_fn fn, void *arg)
{
	char prefix[32], generation[16];
	uint32_t id = gate_control_id(gate);
	int err;

	if (!id)
		return -ENOENT;
	(void)snprintf(prefix, sizeof(prefix), "%u/", id);
	err = gate_spare_each_in(gate->dir_fd, ".", prefix, fn, arg);
	if (err)
		return err;
	(void)snprintf(generation, sizeof(generation), "%u", gate->generation);
	(void)snprintf(prefix, sizeof(prefix), "%u/%u/", id, gate->generation);
	return gate_spare_each_in(gate->dir_fd, generation, prefix, fn, arg);
}
