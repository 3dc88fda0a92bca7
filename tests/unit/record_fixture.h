/* SPDX-License-Identifier: MIT */
/* A record in memory that can be read again, as after a restart. */
#ifndef TESTS_UNIT_RECORD_FIXTURE_H
#define TESTS_UNIT_RECORD_FIXTURE_H

#include <stddef.h>

#include "daemon/record.h"

#define RECORD_FIXTURE_BOOT "5c4dd8c0-boot"

/* The file; the caller closes it. */
int record_fixture_file(void);

/* The record in it, through a descriptor of its own. */
struct record *record_fixture_open(int fd);

size_t record_fixture_count(const struct record *record, enum record_kind kind);

#endif
