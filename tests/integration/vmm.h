/* SPDX-License-Identifier: MIT */
/* What the operations of tests/integration/vmm.c share. */
#ifndef TESTS_INTEGRATION_VMM_H
#define TESTS_INTEGRATION_VMM_H

#include <stddef.h>
#include <stdint.h>

#include "tests/integration/migration.h"

#define DEVICES_MAX 8
#define NOTE_MAX 1024

struct mapping {
	uint32_t ioas_id;
	uint64_t iova;
	uint64_t len;
	void *memory; /* owned; NULL: a copy, a file, or shared with the mapping before */
};

struct vmm {
	int iommufd; /* owned, like the cdevs; -1: none */
	int devices[DEVICES_MAX];
	uint32_t device_ids[DEVICES_MAX]; /* since bind */
	size_t n_devices;
	uint32_t ioas_id; /* the last one allocated; 0: none yet */
	struct mapping *mappings; /* owned; newest last */
	size_t n_mappings;
	size_t mappings_size;
	struct late *late; /* owned; since late, until arrive: vmm_late.c */
	struct migration migration;
	/* Of the operation at hand: its argument as its kind says, what it has to say beside ok. */
	size_t device;
	const char *state;
	uint64_t number; /* bytes or a plain number */
	unsigned long count;
	char note[NOTE_MAX];
};

/* Adds to what the operation has to say. */
void vmm_note(struct vmm *vmm, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* ioctl(2). Return: 0; -errno. */
int vmm_call(int fd, unsigned long cmd, void *arg);
/* There is an IOAS from here on. Return: 0; -errno. */
int vmm_ioas(struct vmm *vmm);

/* Operations. Return: 0; -errno. */

/* --- vmm_device.c */

int op_alloc_hwpt(struct vmm *vmm);
int op_attach(struct vmm *vmm);
int op_bind(struct vmm *vmm);
int op_bind_narrow(struct vmm *vmm);
int op_close_device(struct vmm *vmm);
int op_detach(struct vmm *vmm);
int op_info(struct vmm *vmm);
int op_state(struct vmm *vmm);

/* --- vmm_late.c */

int op_arrive(struct vmm *vmm);
int op_late(struct vmm *vmm);

/* --- vmm_map.c */

int op_churn(struct vmm *vmm);
int op_copy(struct vmm *vmm);
int op_fork_map(struct vmm *vmm);
int op_map(struct vmm *vmm);
int op_map_file(struct vmm *vmm);
int op_map_huge(struct vmm *vmm);
int op_map_many(struct vmm *vmm);
int op_unmap(struct vmm *vmm);
int op_unmap_all(struct vmm *vmm);

#endif
