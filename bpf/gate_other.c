/* SPDX-License-Identifier: MIT */
/* A gate that acts, of which nothing is pinned where ours would be. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/types.h>
#include <string.h>
#include <sys/mman.h>

#include "bpf/gate_map.h"
#include "bpf/gate_private.h"
#include "common/cleanup.h"

#define GATE_MAPS_MAX 32 /* of one program */

/* Of this very layout, and no other's map that happens to have the name. */
bool gate_is_control(int fd)
{
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info);

	return !bpf_obj_get_info_by_fd(fd, &info, &len) && info.type == BPF_MAP_TYPE_ARRAY &&
	       info.value_size == sizeof(struct gate_control) && info.max_entries == 1 &&
	       strcmp(info.name, GATE_CONTROL_NAME) == 0;
}

static bool gate_control_acts(__u32 id)
{
	CLEANUP(fd_closep) int fd = bpf_map_get_fd_by_id(id);
	struct gate_control control;
	__u32 zero = 0;

	return fd >= 0 && gate_is_control(fd) && !bpf_map_lookup_elem(fd, &zero, &control) &&
	       control.generation;
}

/* Whether a program that is attached looks at the control of a gate that acts. */
static bool gate_link_acts(__u32 id)
{
	CLEANUP(fd_closep) int link_fd = bpf_link_get_fd_by_id(id);
	CLEANUP(fd_closep) int program_fd = -1;
	__u32 maps[GATE_MAPS_MAX];
	struct bpf_link_info link = {0};
	struct bpf_prog_info program = {.map_ids = (uintptr_t)maps, .nr_map_ids = GATE_MAPS_MAX};
	__u32 link_len = sizeof(link), len = sizeof(program);

	if (link_fd < 0 || bpf_obj_get_info_by_fd(link_fd, &link, &link_len))
		return false;
	program_fd = bpf_prog_get_fd_by_id(link.prog_id);
	if (program_fd < 0 || bpf_obj_get_info_by_fd(program_fd, &program, &len) ||
	    strncmp(program.name, "gate_", strlen("gate_")) != 0)
		return false;
	for (__u32 i = 0; i < program.nr_map_ids && i < GATE_MAPS_MAX; i++)
		if (gate_control_acts(maps[i]))
			return true;
	return false;
}

bool gate_acts_unpinned(void)
{
	__u32 id = 0;

	/* A link that is on its way to be freed is not found any more. */
	while (!bpf_link_get_next_id(id, &id))
		if (gate_link_acts(id))
			return true;
	return false;
}
