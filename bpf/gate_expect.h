/* SPDX-License-Identifier: MIT */
/*
 * Devices that are expected: the first BIND of one brings a context that somebody else opened into
 * the session in a slot (bpf/expect.bpf.h). What is expected stays so while nobody takes it back,
 * whether the daemon lives or not: a device may be unplugged and plugged again.
 */
#ifndef BPF_GATE_EXPECT_H
#define BPF_GATE_EXPECT_H

#include <stdbool.h>
#include <stdint.h>

struct gate;

/**
 * gate_expect() - a device of a session that has a slot
 * @name: as device_name() makes it; expected by nobody else
 * @cdev_major: of VFIO's cdevs
 *
 * Return: 0; -ENOSPC: there is no room for one more; -ENODEV: VFIO is not there, or is a module
 * that came after gate_open().
 */
int gate_expect(struct gate *gate, uint32_t slot, const char *name, uint32_t cdev_major);

/*
 * Nobody is on the way any more who has not seen yet that the session in a slot was revoked: what
 * has not come by now does not come. Return: 0; -EBUSY: somebody is still.
 */
int gate_expect_settle(struct gate *gate, uint32_t slot);

/*
 * No more devices of the session in a slot. Return: 0; -EBUSY: one is being bound at this moment,
 * and is expected still.
 */
int gate_unexpect(struct gate *gate, uint32_t slot);

/* What belongs to no session goes: @fn says whether there is one in that slot with that id. */
typedef bool (*gate_expect_fn)(uint32_t slot, uint64_t id, void *arg);
void gate_expect_keep(struct gate *gate, gate_expect_fn fn, void *arg);

#endif
