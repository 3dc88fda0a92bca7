/* SPDX-License-Identifier: MIT */
#include "common/stdfds.h"

#include <errno.h>
#include <fcntl.h>

int stdfds_fill(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		/* The lowest free number, and all below are taken: it is fd. */
		if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
			return -errno;
	}
	return 0;
}
