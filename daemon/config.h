/* SPDX-License-Identifier: MIT */
/* The configuration on disk, read and parsed with every finding in the log. */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include <stdint.h>
#include <sys/types.h>

struct policy_set;

/**
 * config_load() - read the configuration and its drop-ins
 * @owner: besides root, who may own the files
 * @mem_total: bytes, for warnings; 0: not known
 *
 * Asks the name service (users, groups), which may block.
 *
 * Return: 0 and a reference the caller owns; -EINVAL, -EPERM, -ENOENT …: bad, every finding is
 * logged with file and line.
 */
int config_load(const char *path, uid_t owner, uint64_t mem_total, struct policy_set **ret_set);

#endif
