/* SPDX-License-Identifier: MIT */
/* Memory where userfaultfd says what is there, and when. */
#ifndef TESTS_INTEGRATION_GATE_FAULT_H
#define TESTS_INTEGRATION_GATE_FAULT_H

#include <stdint.h>

/* vm.unprivileged_userfaultfd must be 1. Return: its descriptor; -errno. */
int fault_open(uint64_t len, void **ret_pages);

#endif
