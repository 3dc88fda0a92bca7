/* SPDX-License-Identifier: MIT */
#include "tests/unit/loop_fixture.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

static enum loop_kind test_kind;

void loop_fixture_set_kind(enum loop_kind kind)
{
	test_kind = kind;
}

bool loop_fixture_on_epoll(void)
{
	return test_kind == LOOP_EPOLL;
}

static unsigned int growth_fails_in;

void loop_fixture_fail_growth(unsigned int nth)
{
	growth_fails_in = nth;
}

/* In place of the C library's: all that the loop grows by. */
void *reallocarray(void *ptr, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes) ||
	    (growth_fails_in && --growth_fails_in == 0)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(ptr, bytes);
}

bool loop_fixture_init(struct loop **ret_loop)
{
	int err = loop_new(test_kind, ret_loop);

	if (!err)
		return true;
	CU_ASSERT_EQUAL(test_kind, LOOP_IO_URING);
	CU_ASSERT(err == -EPERM || err == -EACCES || err == -ENOSYS); /* it is switched off */
	suite_skip(strerror(-err));
	return false;
}

void spot_set(const struct spot *spot)
{
	CU_ASSERT_EQUAL(eventfd_write(spot->fd, 1), 0);
}

void spot_ready(uint32_t events, void *arg)
{
	struct spot *spot = arg;
	uint64_t value;

	spot->n_calls++;
	spot->events = events;
	if (spot->quiet)
		CU_ASSERT_EQUAL(read(spot->fd, &value, sizeof(value)), (ssize_t)sizeof(value));
	if (spot->n_calls == spot->stop_at)
		loop_stop(spot->loop);
	for (size_t i = 0; i < spot->n_cancels; i++)
		loop_cancel(spot->loop, &spot->cancels[i].watch);
	if (spot->sets && spot->n_calls == 2)
		spot_set(spot->sets);
	if (spot->adds && spot->n_calls == 1)
		CU_ASSERT_EQUAL(loop_watch(spot->loop, spot->adds->fd, POLLIN, spot_ready,
					   spot->adds, &spot->adds->watch),
				0);
}

void spot_init(struct spot *spot, struct loop *loop, bool ready)
{
	*spot = (struct spot){.loop = loop, .fd = eventfd(ready, EFD_CLOEXEC | EFD_NONBLOCK)};
	CU_ASSERT_FATAL(spot->fd >= 0);
}

void spot_watch(struct spot *spot)
{
	CU_ASSERT_EQUAL_FATAL(
		loop_watch(spot->loop, spot->fd, POLLIN, spot_ready, spot, &spot->watch), 0);
	CU_ASSERT_NOT_EQUAL(spot->watch, LOOP_NONE);
}

void spot_fini(struct spot *spot)
{
	loop_cancel(spot->loop, &spot->watch);
	CU_ASSERT_EQUAL(spot->watch, LOOP_NONE);
	fd_closep(&spot->fd);
}

unsigned int spot_sum(const struct spot *spots, size_t n, unsigned int *ret_max)
{
	unsigned int sum = 0;

	*ret_max = 0;
	for (size_t i = 0; i < n; i++) {
		sum += spots[i].n_calls;
		if (spots[i].n_calls > *ret_max)
			*ret_max = spots[i].n_calls;
	}
	return sum;
}
