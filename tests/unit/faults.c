/* SPDX-License-Identifier: MIT */
#include "tests/unit/faults.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>

static struct {
	unsigned int left; /* calls until the one that fails; 0: none does */
	int err;
	bool failed;
} faults;

void faults_arm(unsigned int nth, int err)
{
	faults.left = nth;
	faults.err = err;
	faults.failed = false;
}

bool faults_disarm(void)
{
	faults.left = 0;
	return faults.failed;
}

static bool call_fails(void)
{
	if (!faults.left || --faults.left)
		return false;
	faults.failed = true;
	errno = faults.err;
	return true;
}

/* What the linker makes of the names; nothing else calls them.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
ssize_t __real_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);

void *__wrap_malloc(size_t size)
{
	return call_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return call_fails() ? NULL : __real_calloc(n, size);
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
	return call_fails() ? -1 : __real_getsockopt(fd, level, name, value, size);
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	return call_fails() ? -1 : __real_recvmsg(fd, msg, flags);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
