/* SPDX-License-Identifier: MIT */
#include "cgroup/manager.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "cgroup/kin.h"
#include "common/cleanup.h"
#include "common/clock.h"

#define MANAGER_TIMEOUT_US 5000000U /* of each question, and of a connection */
#define MANAGER_PRIVATE "unix:path=/run/systemd/private" /* for root; where no bus runs */
#define MANAGER_NAME "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"

#define MANAGER_UNIT "org.freedesktop.systemd1.Unit"
#define MANAGER_RESULT_MAX 32

struct cgm_manager {
	sd_bus *bus; /* owned; NULL: none yet, or lost */
	bool direct; /* no bus in between */
};

int cgm_manager_new(struct cgm_manager **ret_manager)
{
	struct cgm_manager *manager;

	if (sd_booted() <= 0)
		return -ENODEV;
	manager = calloc(1, sizeof(*manager));
	if (!manager)
		return -ENOMEM;
	*ret_manager = manager;
	return 0;
}

static void manager_disconnect(struct cgm_manager *manager)
{
	manager->bus = sd_bus_close_unref(manager->bus);
}

/* Return: 0; -ETIMEDOUT; -errno: as of a connection that is lost. */
static int bus_wait(sd_bus *bus, uint64_t until_ns)
{
	const uint64_t now = clock_ns(CLOCK_MONOTONIC);
	int n;

	if (now >= until_ns)
		return -ETIMEDOUT;
	n = sd_bus_wait(bus, (until_ns - now) / 1000);
	return n < 0 && n != -EINTR ? n : 0;
}

static uint64_t bus_deadline(void)
{
	return clock_ns(CLOCK_MONOTONIC) + MANAGER_TIMEOUT_US * UINT64_C(1000);
}

/* Until it has let us in. Without, a question would wait for that longer than for its answer. */
static int bus_ready(sd_bus *bus)
{
	const uint64_t until_ns = bus_deadline();
	int ready, err = sd_bus_set_method_call_timeout(bus, MANAGER_TIMEOUT_US);

	if (err < 0)
		return err;
	while ((ready = sd_bus_is_ready(bus)) == 0) {
		int n = sd_bus_process(bus, NULL);

		err = n ? n : bus_wait(bus, until_ns);
		if (err < 0)
			return err;
	}
	return ready < 0 ? ready : 0;
}

static int bus_open_direct(sd_bus **ret_bus)
{
	CLEANUP(sd_bus_close_unrefp) sd_bus *bus = NULL;
	int err = sd_bus_new(&bus);

	if (err >= 0)
		err = sd_bus_set_address(bus, MANAGER_PRIVATE);
	if (err >= 0)
		err = sd_bus_start(bus);
	if (err < 0)
		return err;
	*ret_bus = STEAL(bus);
	return 0;
}

/* A connection that was lost meanwhile is noticed here, so that no question is lost with it. */
static bool manager_connected(struct cgm_manager *manager)
{
	int n;

	if (!manager->bus)
		return false;
	do
		n = sd_bus_process(manager->bus, NULL);
	while (n > 0);
	if (n < 0 || sd_bus_is_open(manager->bus) <= 0)
		manager_disconnect(manager);
	return manager->bus;
}

static int manager_connect(struct cgm_manager *manager)
{
	int err;

	if (manager_connected(manager))
		return 0;
	manager->direct = false;
	err = sd_bus_open_system(&manager->bus);
	if (err >= 0)
		err = bus_ready(manager->bus);
	if (err < 0) {
		manager_disconnect(manager);
		manager->direct = true;
		err = bus_open_direct(&manager->bus);
		if (!err)
			err = bus_ready(manager->bus);
	}
	if (err < 0)
		manager_disconnect(manager);
	return err;
}

/*
 * After a question. Down a direct connection systemd sends all its signals, asked or not, and keeps
 * those that nobody fetches.
 */
static void manager_settle(struct cgm_manager *manager)
{
	if (manager->direct || sd_bus_is_open(manager->bus) <= 0)
		manager_disconnect(manager);
}

void cgm_manager_free(struct cgm_manager *manager)
{
	if (!manager)
		return;
	manager_disconnect(manager);
	free(manager);
}

void cgm_manager_freep(struct cgm_manager **manager)
{
	cgm_manager_free(*manager);
}

/* Units of these types have a cgroup; each type tells of it in an interface of its own. */
static const char *unit_interface(const char *unit)
{
	static const struct {
		const char *suffix;
		const char *interface;
	} types[] = {
		{".scope", "org.freedesktop.systemd1.Scope"},
		{".service", "org.freedesktop.systemd1.Service"},
		{".slice", "org.freedesktop.systemd1.Slice"},
		{".socket", "org.freedesktop.systemd1.Socket"},
		{".mount", "org.freedesktop.systemd1.Mount"},
		{".swap", "org.freedesktop.systemd1.Swap"},
	};
	const char *suffix = strrchr(unit, '.');

	for (size_t i = 0; suffix && i < ARRAY_SIZE(types); i++)
		if (strcmp(suffix, types[i].suffix) == 0)
			return types[i].interface;
	return NULL;
}

/* systemd answers for all below a unit's cgroup, too. Return: 0; -ENOENT: it is none itself;
 * -errno. */
static int unit_prove(sd_bus *bus, const char *object, const char *unit, const char *path)
{
	const char *interface = unit_interface(unit);
	char *cgroup = NULL;
	int err;

	if (!interface)
		return -ENOENT;
	err = sd_bus_get_property_string(bus, MANAGER_NAME, object, interface, "ControlGroup", NULL,
					 &cgroup);
	if (err >= 0)
		err = strcmp(cgroup, path) == 0 ? 0 : -ENOENT;
	free(cgroup);
	return err;
}

static int unit_ask(sd_bus *bus, const char *path, char ret_unit[static CGM_UNIT_MAX])
{
	CLEANUP(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	CLEANUP(freep) char *unit = NULL;
	const char *object;
	int err = sd_bus_call_method(bus, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
				     "GetUnitByControlGroup", NULL, &reply, "s", path);

	if (err >= 0)
		err = sd_bus_message_read(reply, "o", &object);
	if (err >= 0)
		err = sd_bus_get_property_string(bus, MANAGER_NAME, object, MANAGER_UNIT, "Id",
						 NULL, &unit);
	if (err >= 0)
		err = strlen(unit) < CGM_UNIT_MAX ? unit_prove(bus, object, unit, path) : -ENOENT;
	if (err < 0)
		return err;
	(void)snprintf(ret_unit, CGM_UNIT_MAX, "%s", unit);
	return 0;
}

/* What systemd names has no other characters, and a bus hangs up on bytes that are no UTF-8. */
static bool path_is_plain(const char *path)
{
	for (; *path; path++)
		if (*path <= ' ' || *path > '~')
			return false;
	return true;
}

int cgm_manager_unit(struct cgm_manager *manager, const struct cgm_name *name,
		     char ret_unit[static CGM_UNIT_MAX])
{
	int err;

	if (!path_is_plain(name->path))
		return -ENOENT;
	err = manager_connect(manager);
	if (err)
		return err;
	err = unit_ask(manager->bus, name->path, ret_unit);
	manager_settle(manager);
	return err;
}

int cgm_manager_set(struct cgm_manager *manager, const char *unit, enum cgm_key key, uint64_t value)
{
	const char *property = key == CGM_MEMORY_MIN ? "MemoryMin" : "MemoryMax";
	int err;

	if (key != CGM_MEMORY_MIN && key != CGM_MEMORY_MAX)
		return -EINVAL;
	err = manager_connect(manager);
	if (err)
		return err;
	err = sd_bus_call_method(manager->bus, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
				 "SetUnitProperties", NULL, NULL, "sba(sv)", unit, true, 1,
				 property, "t", value); /* UINT64_MAX is infinity there, too */
	manager_settle(manager);
	return err < 0 ? err : 0;
}

/* A job that is waited for. */
struct job {
	const char *path;
	char result[MANAGER_RESULT_MAX]; /* "": it runs still */
};

static int job_removed(sd_bus_message *message, void *arg, sd_bus_error *error)
{
	const char *path, *result;
	struct job *job = arg;
	uint32_t id;

	(void)error;
	if (sd_bus_message_read(message, "uoss", &id, &path, NULL, &result) < 0)
		return 0;
	if (job->path && strcmp(path, job->path) == 0)
		(void)snprintf(job->result, sizeof(job->result), "%s", result); /* may be cut */
	return 0;
}

/* Signals are kept back until here: those of before count, too. */
static int job_wait(sd_bus *bus, struct job *job)
{
	const uint64_t until_ns = bus_deadline();

	while (!job->result[0]) {
		int n = sd_bus_process(bus, NULL);
		int err = n ? n : bus_wait(bus, until_ns);

		if (err < 0)
			return err;
	}
	return strcmp(job->result, "done") == 0 ? 0 : -EIO;
}

/* The path of the job is a part of the reply, which the caller frees. */
static int scope_start(sd_bus *bus, const char *unit, const char *slice, pid_t pid,
		       sd_bus_message **ret_reply, const char **ret_job)
{
	int err = sd_bus_call_method(bus, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
				     "StartTransientUnit", NULL, ret_reply, "ssa(sv)a(sa(sv))",
				     unit, "fail", 4, "Slice", "s", slice, "PIDs", "au", 1,
				     (uint32_t)pid, "MemoryAccounting", "b", true, "CollectMode",
				     "s", "inactive-or-failed", 0);

	return err < 0 ? err : sd_bus_message_read(*ret_reply, "o", ret_job);
}

static int scope_make(const struct cgm_manager *manager, const char *unit, const char *slice,
		      pid_t pid)
{
	CLEANUP(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	CLEANUP(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
	sd_bus *bus = manager->bus;
	struct job job = {.path = NULL};
	/* Without a bus nobody writes senders into messages. */
	int err =
		sd_bus_match_signal(bus, &slot, manager->direct ? NULL : MANAGER_NAME, MANAGER_PATH,
				    MANAGER_INTERFACE, "JobRemoved", job_removed, &job);

	if (err >= 0)
		err = sd_bus_call_method(bus, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
					 "Subscribe", NULL, NULL, NULL);
	if (err < 0)
		return err;
	err = scope_start(bus, unit, slice, pid, &reply, &job.path);
	if (err >= 0)
		err = job_wait(bus, &job);
	/* Else systemd goes on to tell. If it fails, so does the next question, which says why. */
	(void)sd_bus_call_method(bus, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE, "Unsubscribe",
				 NULL, NULL, NULL);
	return err < 0 ? err : 0;
}

int cgm_manager_scope(struct cgm_manager *manager, const char *unit, const char *slice, pid_t pid)
{
	int err = manager_connect(manager);

	if (err)
		return err;
	err = scope_make(manager, unit, slice, pid);
	manager_settle(manager);
	/* systemd has several words for that. */
	return err && !cgm_pid_lives(pid) ? -ESRCH : err;
}
