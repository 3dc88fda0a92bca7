/* SPDX-License-Identifier: MIT */
/* The hook as a filter, of domains that come with their state. */
#ifndef CLIENT_HOOK_FILTER_H
#define CLIENT_HOOK_FILTER_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/**
 * hook_filter() - a domain whose QEMU queues no more state of a device than its policy allows
 * @bytes, @len: XML that domain_parse() has taken
 * @buffers: bytes per device; PINBROKER_UNLIMITED: nothing is written, which changes nothing
 *
 * Return: 0; -EINVAL: it is no such XML after all; -ENOMEM; -errno of writing.
 */
int hook_filter(const char *bytes, size_t len, uint64_t buffers, FILE *out);

#endif
