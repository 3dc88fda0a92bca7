/* SPDX-License-Identifier: MIT */
/*
 * systemd, where it is process 1: it owns cgroups, and would take back what others write there.
 * Asked over D-Bus, each question with a time limit.
 */
#ifndef CGROUP_MANAGER_H
#define CGROUP_MANAGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup/group.h"

struct cgm_manager;

#define CGM_UNIT_MAX 256

/**
 * cgm_manager_new() - no connection yet: each call makes one where there is none
 *
 * Return: 0; -ENODEV: process 1 is not systemd; -ENOMEM.
 */
int cgm_manager_new(struct cgm_manager **ret_manager);
void cgm_manager_free(struct cgm_manager *manager);
void cgm_manager_freep(struct cgm_manager **manager);

/**
 * cgm_manager_unit() - the unit whose cgroup this is, itself and not below it
 *
 * Return: 0; -ENOENT: none; -ETIMEDOUT and the like: it does not answer.
 */
int cgm_manager_unit(struct cgm_manager *manager, const struct cgm_name *name,
		     char ret_unit[static CGM_UNIT_MAX]);

/**
 * cgm_manager_set() - set MemoryMin or MemoryMax of a unit, until the next boot
 * @key: CGM_MEMORY_MIN or CGM_MEMORY_MAX; of huge pages systemd knows nothing
 *
 * Return: 0; -ENOENT: there is no such unit; -errno by what the manager said.
 */
int cgm_manager_set(struct cgm_manager *manager, const char *unit, enum cgm_key key,
		    uint64_t value);

/**
 * cgm_manager_scope() - a scope with one process in it, made in a slice, which is made, too
 * @unit: "pinbroker-5f3a.scope"
 * @slice: "pinbroker-tenants.slice"
 *
 * Waits until it is there. Return: 0; -EEXIST; -ESRCH; -errno.
 */
int cgm_manager_scope(struct cgm_manager *manager, const char *unit, const char *slice, pid_t pid);

#endif
