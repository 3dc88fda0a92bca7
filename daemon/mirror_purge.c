/* SPDX-License-Identifier: MIT */
/* Puts back what daemons before have changed in cgroups, while none runs: without a loop. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/mirror.h"
#include "daemon/mirror_plan.h"
#include "daemon/mirror_work.h"
#include "daemon/procfs.h"
#include "daemon/record.h"

struct purge {
	struct record *record;
	struct mirror_tools tools;
};

static void purge_fini(struct purge *purge)
{
	cgm_manager_free(purge->tools.manager);
	cgm_tree_close(purge->tools.tree);
	record_close(purge->record);
}

/* The record, if there is one of this boot. Return: 0; -ENOENT: there is none; -errno. */
static int purge_open_record(struct purge *purge, const char *socket_path)
{
	CLEANUP(freep) char *path = record_path(socket_path);
	char boot_id[PROCFS_BOOT_ID_MAX];
	bool cleared;
	int err = path ? procfs_boot_id(boot_id) : -ENOMEM;

	if (!err && access(path, F_OK) < 0)
		err = -errno;
	return err ? err : record_open(path, boot_id, &cleared, &purge->record);
}

static int purge_open(struct purge *purge, const char *socket_path)
{
	int err = purge_open_record(purge, socket_path);

	if (!err)
		err = cgm_tree_open(&purge->tools.tree);
	if (err)
		return err;
	err = cgm_manager_new(&purge->tools.manager);
	return err == -ENODEV ? 0 : err;
}

/* Where the value is still ours. Return: 0, also if the cgroup is gone; -errno. */
static int purge_limit(const struct purge *purge, const struct record_limit *body)
{
	struct mirror_order order = {.key = (enum cgm_key)body->key, .value = body->original};
	char unit[CGM_UNIT_MAX];
	struct cgm_limits limits;
	struct cgm_name name;
	bool has_unit;
	int err = cgm_group_find(purge->tools.tree, body->cgroup, &name);

	if (!err)
		err = cgm_group_limits(purge->tools.tree, &name, &limits);
	if (err == -ENOENT || err == -ESTALE || (!err && body->key >= CGM_KEYS))
		return 0;
	if (err)
		return err;
	if (!limits.known[order.key] || body->foreign ||
	    !mirror_plan_is_ours(body, limits.value[order.key]))
		return 0;
	has_unit = purge->tools.manager && cgm_manager_unit(purge->tools.manager, &name, unit) == 0;
	err = mirror_write_order(&purge->tools, &name, has_unit ? unit : NULL, &order);
	if (err)
		log_error("a limit of cgroup %s cannot be put back: %s", name.path, strerror(-err));
	return err;
}

static int purge_limits(struct purge *purge)
{
	uint32_t slot = RECORD_NONE;
	int ret = 0;

	while ((slot = record_next(purge->record, RECORD_LIMIT, slot)) != RECORD_NONE) {
		int err = purge_limit(purge, &record_at(purge->record, slot)->limit);
		uint32_t dropped = slot;

		if (err)
			ret = err;
		else
			record_drop(purge->record, &dropped);
	}
	return ret;
}

/* Those nobody is in, and those above them with that: the others go when a daemon runs again. */
static void purge_places(struct purge *purge)
{
	bool again = true;

	while (again) {
		uint32_t slot = RECORD_NONE;

		again = false;
		while ((slot = record_next(purge->record, RECORD_PLACE, slot)) != RECORD_NONE) {
			const struct record_place *body = &record_at(purge->record, slot)->place;
			uint32_t dropped = slot;
			struct cgm_name name;
			int err = cgm_group_find(purge->tools.tree, body->cgroup, &name);

			if (!err)
				err = cgm_place_remove(purge->tools.tree, &name);
			if (err && err != -ENOENT)
				continue;
			record_drop(purge->record, &dropped);
			again = true;
		}
	}
}

int mirror_purge(const char *socket_path)
{
	CLEANUP(purge_fini) struct purge purge = {0};
	int err = purge_open(&purge, socket_path);

	if (err == -ENOENT || err == -ENOTSUP || err == -ENODEV)
		return 0;
	if (err)
		return err;
	err = purge_limits(&purge);
	purge_places(&purge);
	return err;
}
