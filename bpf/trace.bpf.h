/* SPDX-License-Identifier: GPL-2.0 */
/* How the gate's programs tell those who listen: nothing but a load and a branch while nobody does.
 */
#ifndef BPF_TRACE_BPF_H
#define BPF_TRACE_BPF_H

#include "bpf/maps.bpf.h"
#include "bpf/trace_event.h"

/* Somebody listens. Set by the daemon; in memory of this object alone, so a daemon that was killed
 * leaves it behind with a ring that nobody reads. */
extern __u32 trace_on;

#define TRACE_NOBODY 0x100 /* with a kind: in a timer, which runs in whatever task is there */
#define TRACE_WORD(kind, why) ((kind) | (__u32)(why) << 16)

/**
 * trace_tell() - tell of a session what only the gate knows
 * @word: TRACE_WORD()
 * @number: mappings of a recount, else bytes; TRACE_UNKNOWN
 *
 * Return: 0, whatever became of it.
 */
int trace_tell(__u32 slot, __u32 word, __s32 result, __u64 number, __u64 took_ns);

/* When something began; 0: nobody wants to know. */
static __always_inline __u64 trace_begin(void)
{
	return READ(trace_on) ? bpf_ktime_get_ns() : 0;
}

#endif
