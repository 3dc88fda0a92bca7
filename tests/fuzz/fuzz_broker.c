/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/fuzz_broker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accounting/ledger.h"
#include "accounting/policy.h"
#include "common/cleanup.h"
#include "daemon/broker.h"
#include "daemon/budget.h"
#include "daemon/handoff.h"
#include "daemon/loop.h"
#include "daemon/owner.h"
#include "daemon/petition.h"
#include "daemon/restore.h"
#include "daemon/session.h"
#include "daemon/trace.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_kernel.h"
#include "tests/fuzz/fuzz_process.h"

static const char first[] =
	"host-reserve = \"1G\" max-requests = 0\n"
	"policy \"tenants\" { users = {\"0\", \"1000\"} accounting = any limit = \"16G\"\n"
	"  user-limit = \"40G\" max-sessions = 4 devices = {\"0000:*\"} extra-memlock = 64K\n"
	"  admins = {\"1001\"} }\n"
	"policy \"auto\" { users = {\"2000-2999\"} groups = {\"36\"} accounting = task limit = "
	"auto\n"
	"  user-limit = \"8G\" devices = {\"*\"} admins = {\"1000\"} require-reset = true }\n"
	"policy \"scope\" { cgroups = {\"/machine.slice\"} accounting = user limit = 1G }\n";

static const char second[] =
	"host-reserve = \"128G\" max-requests = 0\n"
	"policy \"tenants\" { users = {\"0\", \"1000\"} accounting = user limit = \"1G\"\n"
	"  user-limit = \"4G\" max-sessions = 2 devices = {\"0000:65:00.0\"} }\n"
	"policy \"scope\" { cgroups = {\"/machine.slice\"} accounting = task limit = 1G }\n";

static struct {
	int record_fd;
	struct policy_set *policies[2]; /* a reference each */
	bool second;
	struct fuzz_entry *map; /* of the record; of map_len bytes */
	size_t map_len;
	char *saved; /* of the record */
	size_t saved_len;
} world;

static void report(enum policy_severity severity, const char *file, unsigned int line,
		   const char *text, void *arg)
{
	(void)arg;
	(void)fprintf(stderr, "%s:%u: %s\n", file, line, text);
	FUZZ_CHECK(severity == POLICY_WARNING);
}

static int nobody(const char *name, uid_t *ret_id, void *arg)
{
	(void)name;
	(void)ret_id;
	(void)arg;
	return -ENOENT;
}

static void parse(const char *text, struct policy_set **ret_set)
{
	const struct policy_file file = {"config", text, strlen(text)};
	const struct policy_env env = {nobody, nobody, report, NULL, 0};

	FUZZ_CHECK(policy_parse(&file, 1, &env, ret_set) == 0);
}

void fuzz_broker_reload(struct broker *broker, bool to_second)
{
	world.second = to_second;
	policy_unref(broker->policies);
	broker->policies = policy_ref(world.policies[to_second]);
}

bool fuzz_broker_admin(uid_t uid, const char *policy)
{
	return !world.second && ((uid == FUZZ_UID_ADMIN && strcmp(policy, "tenants") == 0) ||
				 (uid == FUZZ_UID_TENANT && strcmp(policy, "auto") == 0));
}

/* The order of broker_free(). */
static void stop(struct broker *broker)
{
	for (struct session *s = session_after(broker->sessions, 0); s; s = s->newer)
		handoff_free(s->handoff);
	owner_table_free(broker->owners);
	session_table_free(broker->sessions);
	record_close(broker->record);
	FUZZ_CHECK(fuzz_kernel_watches() == 0 && ledger_host_sum(broker->ledger) == 0);
}

/* As broker_take_over(), which opens the record by its path. */
static int start(struct broker *broker)
{
	bool cleared;
	char path[32];
	int fd;

	/* A description of its own: the lock of the one before goes with that. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", world.record_fd); /* it fits */
	fd = open(path, O_RDWR | O_CLOEXEC);
	FUZZ_CHECK(fd >= 0);
	FUZZ_CHECK(record_open_fd(fd, FUZZ_BOOT_ID, &cleared, &broker->record) == 0);
	FUZZ_CHECK(session_table_new(broker->ledger, broker->record, &broker->sessions) == 0);
	FUZZ_CHECK(owner_table_new(broker, &broker->owners) == 0);
	int err = restore_sessions(broker);
	if (!err)
		err = handoff_resume(broker);
	if (!err)
		owner_revived(broker->owners);
	return err;
}

struct broker *fuzz_broker_new(void)
{
	struct broker *broker = calloc(1, sizeof(*broker));

	FUZZ_CHECK(broker);
	broker->petition = malloc(sizeof(*broker->petition));
	FUZZ_CHECK(broker->petition);
	broker->sys = &fuzz_kernel_ops;
	broker->sysfs_fd = broker->dev_fd = fuzz_kernel_sysfs();
	broker->signal_fd = -1;
	broker->mem_total = FUZZ_MEM_TOTAL;
	broker->overflow_uid = 65534;
	broker->ask_cgroup = broker->ask_groups = true;
	FUZZ_CHECK(loop_new(LOOP_AUTO, &broker->loop) == 0 && ledger_new(&broker->ledger) == 0);
	FUZZ_CHECK(budget_new(&broker->budget) == 0);
	parse(first, &world.policies[0]);
	parse(second, &world.policies[1]);
	fuzz_broker_reload(broker, false);
	world.record_fd = memfd_create("record", MFD_CLOEXEC);
	FUZZ_CHECK(world.record_fd >= 0 && start(broker) == 0);
	FUZZ_CHECK(trace_new(broker, &broker->trace) == 0);
	return broker;
}

/* A start that fails for want of something changes nothing: the next one takes everything over. */
void fuzz_broker_restart(struct broker *broker)
{
	int err;

	stop(broker);
	err = start(broker);
	if (err) {
		FUZZ_CHECK(err == -ENOMEM || err == -EMFILE || err == -ENFILE);
		stop(broker);
		FUZZ_CHECK(start(broker) == 0);
	}
}

void fuzz_broker_save(void)
{
	struct stat st;

	FUZZ_CHECK(fstat(world.record_fd, &st) == 0);
	world.saved = realloc(world.saved, (size_t)st.st_size);
	FUZZ_CHECK(world.saved);
	world.saved_len = (size_t)st.st_size;
	FUZZ_CHECK(pread(world.record_fd, world.saved, world.saved_len, 0) == st.st_size);
}

void fuzz_broker_killed(struct broker *broker)
{
	fuzz_broker_start_from(broker, world.saved, world.saved_len);
}

void fuzz_broker_start_from(struct broker *broker, const void *bytes, size_t len)
{
	stop(broker);
	FUZZ_CHECK(ftruncate(world.record_fd, 0) == 0);
	FUZZ_CHECK(pwrite(world.record_fd, bytes, len, 0) == (ssize_t)len);
	FUZZ_CHECK(start(broker) == 0);
}

const struct fuzz_entry *fuzz_broker_entries(size_t *ret_n)
{
	struct stat st;

	FUZZ_CHECK(fstat(world.record_fd, &st) == 0);
	if (world.map_len != (size_t)st.st_size) {
		if (world.map)
			(void)munmap(world.map, world.map_len); /* cannot fail */
		world.map_len = (size_t)st.st_size;
		world.map = mmap(NULL, world.map_len, PROT_READ, MAP_SHARED, world.record_fd, 0);
		FUZZ_CHECK(world.map != MAP_FAILED);
	}
	*ret_n = world.map_len / sizeof(*world.map) - 1;
	return world.map + 1;
}

int fuzz_broker_lowest_fd(void)
{
	CLEANUP(fd_closep) int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

	return fd;
}
