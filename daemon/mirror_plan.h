/* SPDX-License-Identifier: MIT */
/*
 * What the limits of a cgroup should be, what of that is to be written, and the record of what was
 * there before. Writes nothing itself.
 */
#ifndef DAEMON_MIRROR_PLAN_H
#define DAEMON_MIRROR_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mirror_group;
struct mirror_order;
struct record_limit;

/* What the record has of it, and no group yet, is the group's from here on. */
void mirror_plan_claim(struct mirror_group *group);

/* What its sessions are, or what is charged to it, has changed: its sums and those above it. */
void mirror_plan_sum(struct mirror_group *group);

/**
 * mirror_plan_orders() - what is to be written now
 * @ret_orders: room for CGM_KEYS
 *
 * By limits that were just read. All of it is in the record then. Return: how many.
 */
size_t mirror_plan_orders(struct mirror_group *group, struct mirror_order *ret_orders);

/**
 * mirror_plan_is_ours() - whether what is there was written by a daemon, this one or one before
 *
 * One that was killed behind its write had not come to record by how much a maximum was raised, to
 * what was in use: any from what was to be written up to the original is its, where that is the
 * state of the record.
 */
bool mirror_plan_is_ours(const struct record_limit *body, uint64_t now);

/* It was, or failed. */
void mirror_plan_written(struct mirror_group *group, const struct mirror_order *order);

/* The cgroup is gone: nothing of it can be put back. */
void mirror_plan_forget(struct mirror_group *group);

/* Whether anything is changed that is to be put back. */
bool mirror_plan_holds(const struct mirror_group *group);

/* Whether its sessions only want to know. */
bool mirror_plan_tracks(const struct mirror_group *group);

#endif
