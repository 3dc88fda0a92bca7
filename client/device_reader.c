/* SPDX-License-Identifier: MIT */
#include "client/device_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/group.h"
#include "common/cleanup.h"
#include "common/device.h"
#include "common/features.h"
#include "common/sys.h"
#include "iommufd/cdev.h"
#include "iommufd/feature.h"

/* What the child has to say. Less than PIPE_BUF: it comes whole. */
struct word {
	int err;
	struct features features;
};

static int ask(int sysfs_fd, const struct device *device, struct features *ret_features)
{
	CLEANUP(fd_closep) int dev_fd = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(fd_closep) int iommu_fd = -1;
	CLEANUP(fd_closep) int cdev_fd = -1;
	int err;

	if (dev_fd < 0)
		return -errno;
	iommu_fd = openat(dev_fd, "iommu", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (iommu_fd < 0)
		return -errno;
	err = cdev_open(&sys_real, dev_fd, sysfs_fd, device, &cdev_fd);
	if (err)
		return err;
	return feature_read(&sys_real, iommu_fd, cdev_fd, ret_features);
}

/* It may stay for ever, and whoever reads what the command prints waits for all who can write. */
static void let_go(int sysfs_fd, int out)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fd != sysfs_fd && fd != out)
			(void)close(fd); /* it may have been closed before */
}

/* The device is free again before it is told of. */
static void child(int sysfs_fd, const struct device *device, int out)
{
	struct word word = {.err = 0};
	ssize_t n;

	let_go(sysfs_fd, out);
	word.err = ask(sysfs_fd, device, &word.features);
	n = write(out, &word, sizeof(word)); /* if nobody reads it, nobody wants it */
	_exit(n == (ssize_t)sizeof(word) ? 0 : 1);
}

static int wait_for_word(int fd, struct word *ret_word)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	ssize_t n;
	int ready = poll(&poll_fd, 1, DEVICE_READER_MS);

	if (ready < 0)
		return -errno;
	if (ready == 0)
		return -ETIMEDOUT;
	n = read(fd, ret_word, sizeof(*ret_word));
	if (n < 0)
		return -errno;
	return n == (ssize_t)sizeof(*ret_word) ? ret_word->err : -ECHILD; /* it was killed */
}

int device_reader_read(int sysfs_fd, const struct device *device, struct features *ret_features)
{
	struct word word = {.err = 0};
	int fds[2], err;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	err = pid < 0 ? -errno : 0;
	if (pid == 0)
		child(sysfs_fd, device, fds[1]);
	fd_closep(&fds[1]);
	if (!err)
		err = wait_for_word(fds[0], &word);
	fd_closep(&fds[0]);
	if (pid > 0 && err == -ETIMEDOUT) {
		/* It may be where no signal reaches it; init takes it over then. */
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, WNOHANG);
	} else if (pid > 0) {
		(void)waitpid(pid, NULL, 0); /* all was said */
	}
	if (!err)
		err = group_pri(sysfs_fd, device, &word.features.pri);
	if (!err)
		*ret_features = word.features;
	return err;
}
