/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the gate's programs share with the daemon about devices that are expected. Fixed widths, no
 * holes. It outlives the daemon: a change of struct expect_table is a change of GATE_ABI.
 */
#ifndef BPF_EXPECT_MAP_H
#define BPF_EXPECT_MAP_H

#include <linux/types.h>

#define EXPECT_DEVICES 1024 /* at a time, of all sessions; documented in pinbroker-bpf(7) */
#define EXPECT_NAME_MAX 40 /* as GATE_NAME_MAX */

/*
 * expected.state: the daemon fills in a free one and arms it; it takes it back only while it is
 * armed. A program that found its device holds it meanwhile.
 */
#define EXPECT_FREE 0
#define EXPECT_ARMED 1
#define EXPECT_HELD 2 /* by a program, for a moment */
#define EXPECT_LEAVING 3 /* likewise, by the daemon, which looks whether it may go */

struct expected {
	__u32 state;
	__u32 slot;
	__u64 id; /* of the session: its slot may be another's */
	__u32 n_files; /* programs: of it that are open */
	__u32 n_bound; /* programs: how many there were ever */
	__u32 lent; /* another file of it was handed out, and may come back: it is never free */
	__u32 zero;
	char name[EXPECT_NAME_MAX];
};

/* Mapped by both. */
struct expect_table {
	__u32 cdev_major; /* of VFIO's cdevs; 0: not known, nothing is expected */
	__u32 n; /* entries from here on are free */
	struct expected at[EXPECT_DEVICES];
};

#endif
