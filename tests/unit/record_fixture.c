/* SPDX-License-Identifier: MIT */
#include "tests/unit/record_fixture.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "tests/unit/suite.h"

int record_fixture_file(void)
{
	int fd = memfd_create("record", MFD_CLOEXEC);

	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

struct record *record_fixture_open(int fd)
{
	struct record *record = NULL;
	bool cleared;
	/* A description of its own: the lock of the one before goes with that. */
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* it fits */
	CU_ASSERT_EQUAL_FATAL(record_open_fd(open(path, O_RDWR | O_CLOEXEC), RECORD_FIXTURE_BOOT,
					     &cleared, &record),
			      0);
	return record;
}

size_t record_fixture_count(const struct record *record, enum record_kind kind)
{
	size_t n = 0;

	for (uint32_t s = record_next(record, kind, RECORD_NONE); s != RECORD_NONE;
	     s = record_next(record, kind, s))
		n++;
	return n;
}
