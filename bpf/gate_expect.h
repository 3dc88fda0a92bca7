/* SPDX-License-Identifier: MIT */
/*
 * Devices that are expected: the first BIND of one brings a context that somebody else opened into
 * the session in a slot (bpf/expect.bpf.h). What is expected stays so while nobody takes it back,
 * whether the daemon lives or not.
 */
#ifndef BPF_GATE_EXPECT_H
#define BPF_GATE_EXPECT_H

#include <stdbool.h>
#include <stdint.h>

struct gate;

#define GATE_PLUG_NAME_MAX 40 /* as DEVICE_NAME_MAX */

/* The major of cdevs, by which the programs know the first one. */
void gate_set_cdev_major(struct gate *gate, uint32_t cdev_major);

/**
 * gate_expect() - a device of a session that has a slot
 * @name: as device_name() makes it; expected by nobody else
 * @cdev_major: of VFIO's cdevs
 *
 * Return: 0; -ENOSPC: there is no room for one more; -ENODEV: VFIO is not there, or is a module
 * that came after gate_open().
 */
int gate_expect(struct gate *gate, uint32_t slot, const char *name, uint32_t cdev_major);

/* One that is expected was handed out, too: it is never unplugged. */
void gate_expect_lent(struct gate *gate, uint32_t slot, const char *name);

/* Whether a device that is expected has been bound, and no file of it is left. */
bool gate_is_unplugged(const struct gate *gate, uint32_t slot, const char *name);

/* As gate_unexpect(), one device. */
int gate_unexpect_device(struct gate *gate, uint32_t slot, const char *name);

/* A device that nobody expects is to be bound to a session's context: a thread waits (plug.bpf.h).
 */
struct gate_plug {
	uint32_t number; /* of the question */
	uint32_t pid;
	char name[GATE_PLUG_NAME_MAX];
};

/* Return: whether there is a question. */
bool gate_asked(const struct gate *gate, uint32_t slot, struct gate_plug *ret_plug);

/* Nobody asks for so long: BIND fails with EAGAIN at once. */
void gate_plug_pause(struct gate *gate, uint32_t slot, uint64_t ms);

/* From here on the device is bound, if it is expected. Return: false: too late, it is refused. */
bool gate_answer(struct gate *gate, uint32_t slot, const struct gate_plug *plug);

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
