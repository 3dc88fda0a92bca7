/* SPDX-License-Identifier: GPL-2.0 */
/* The table of devices that are expected: bpf/expect.bpf.h. */
#ifndef BPF_EXPECTED_BPF_H
#define BPF_EXPECTED_BPF_H

#include "bpf/expect_map.h"
#include "bpf/maps.bpf.h"

#define PF_EXITING 0x4 /* include/linux/sched.h */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct expect_table);
} expect_table SEC(".maps");

static __always_inline struct expect_table *expect_table_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&expect_table, &zero);
}

/* @number: its place + 1. NULL: there is none of that number. */
static __always_inline struct expected *expected_at(__u32 number)
{
	struct expect_table *table = expect_table_get();
	__u32 i = number - 1;

	_Static_assert((EXPECT_DEVICES & (EXPECT_DEVICES - 1)) == 0, "a mask");
	if (!table || i >= EXPECT_DEVICES)
		return NULL;
	opaque(i); /* clang would add before it looks, which the verifier does not take */
	return &table->at[i & (EXPECT_DEVICES - 1)];
}

/*
 * A cdev is released. The last one of a device means that it was unplugged, unless it is a process
 * that ends: what it had stays its session's until that is over.
 */
static __always_inline void expected_release(__u32 slot, const struct gate_session *s, __u32 number)
{
	struct expected *e = expected_at(number);

	if (!e || READ(e->id) != READ(s->id) || atomic_add(&e->n_files, -1) != 1)
		return;
	if (!(bpf_get_current_task_btf()->flags & PF_EXITING))
		event_send(slot, s, GATE_EVENT_PLUG);
}

#endif
