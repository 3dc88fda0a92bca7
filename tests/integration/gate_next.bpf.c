/* SPDX-License-Identifier: GPL-2.0 */
/* What another build of the gate has more than this one: see next in the Makefile. */
#include "bpf/maps.bpf.h"

SEC("syscall")
int gate_next(void *ctx)
{
	return 0;
}
