/* SPDX-License-Identifier: MIT */
/* struct loop.impl on io_uring; here and not in loop_uring.c for the test of its restrictions. */
#ifndef DAEMON_LOOP_URING_H
#define DAEMON_LOOP_URING_H

#include <liburing.h>

struct loop_uring {
	struct io_uring ring;
	int err; /* the ring failed while a handler used it: loop_run() returns this */
};

#endif
