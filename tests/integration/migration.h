/* SPDX-License-Identifier: MIT */
/* A device that is migrated, as far as tests need it: its state is set, and copied to another. */
#ifndef TESTS_INTEGRATION_MIGRATION_H
#define TESTS_INTEGRATION_MIGRATION_H

#include <stddef.h>

#define MIGRATION_DATA_MAX 4096 /* bytes of a device's state; mtty's is some dozen */

/* Zeroed but for data_fd. */
struct migration {
	int data_fd; /* owned; -1: none */
	size_t len; /* of the data that the last device gave */
	char data[MIGRATION_DATA_MAX];
};

/**
 * migration_enter() - set a device's state
 * @cdev_fd: bound
 * @state: "RUNNING_P2P", as the kernel's header has it
 *
 * What a device has to say in STOP_COPY is read; what was read last is written to one in RESUMING.
 *
 * Return: 0; -EINVAL: there is no such state, or no way to it; -errno.
 */
int migration_enter(struct migration *migration, int cdev_fd, const char *state);

/* Return: a device's state; NULL: it does not say. */
const char *migration_state(int cdev_fd);

#endif
