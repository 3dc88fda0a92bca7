/* SPDX-License-Identifier: MIT */
#include "tests/integration/migration.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "iommufd/uapi.h"

/* By enum vfio_device_mig_state. */
static const char *const states[] = {
	"ERROR",    "STOP",        "RUNNING",  "STOP_COPY",
	"RESUMING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P",
};

struct ask {
	struct uapi_vfio_device_feature head;
	struct uapi_vfio_device_feature_mig_state state;
};

static int call(int cdev_fd, uint32_t what, struct ask *ask)
{
	ask->head.argsz = sizeof(*ask);
	ask->head.flags = what | UAPI_VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
	return ioctl(cdev_fd, UAPI_VFIO_DEVICE_FEATURE, ask) < 0 ? -errno : 0;
}

static int take_data(struct migration *migration)
{
	ssize_t n;

	migration->len = 0;
	do {
		n = read(migration->data_fd, migration->data + migration->len,
			 sizeof(migration->data) - migration->len);
		if (n < 0)
			return -errno;
		migration->len += (size_t)n;
	} while (n > 0);
	return 0;
}

static int give_data(const struct migration *migration)
{
	ssize_t n = write(migration->data_fd, migration->data, migration->len);

	if (n < 0)
		return -errno;
	return (size_t)n == migration->len ? 0 : -EIO;
}

int migration_enter(struct migration *migration, int cdev_fd, const char *state)
{
	struct ask ask = {.state = {.data_fd = -1}};
	int err;

	while (ask.state.device_state < ARRAY_SIZE(states) &&
	       strcmp(states[ask.state.device_state], state) != 0)
		ask.state.device_state++;
	err = call(cdev_fd, UAPI_VFIO_DEVICE_FEATURE_SET, &ask);
	if (err)
		return err;
	if (ask.state.data_fd >= 0) {
		fd_closep(&migration->data_fd);
		migration->data_fd = ask.state.data_fd;
	}
	if (strcmp(state, "STOP_COPY") == 0)
		return take_data(migration);
	return strcmp(state, "RESUMING") == 0 ? give_data(migration) : 0;
}

const char *migration_state(int cdev_fd)
{
	struct ask ask = {.state = {.data_fd = -1}};

	if (call(cdev_fd, UAPI_VFIO_DEVICE_FEATURE_GET, &ask) ||
	    ask.state.device_state >= ARRAY_SIZE(states))
		return NULL;
	return states[ask.state.device_state];
}
