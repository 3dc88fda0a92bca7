/* SPDX-License-Identifier: MIT */
#include "tests/unit/broker_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accounting/ledger.h"
#include "accounting/policy.h"
#include "common/cleanup.h"
#include "daemon/budget.h"
#include "daemon/closer.h"
#include "daemon/handoff.h"
#include "daemon/loop.h"
#include "daemon/owner.h"
#include "daemon/petition.h"
#include "daemon/restore.h"
#include "daemon/trace.h"
#include "iommufd/uapi.h"
#include "tests/unit/captured.h"
#include "tests/unit/child.h"
#include "tests/unit/fake_devices.h"
#include "tests/unit/fake_sys.h"
#include "tests/unit/record_fixture.h"
#include "tests/unit/suite.h"

#define RUN_MS_MAX 60000

/* What sysfs shows of one device. */
struct shown {
	const char *name;
	const char *driver;
	int vfio; /* N of vfioN; -1: none */
	int group;
};

static const struct shown devices[] = {
	{FIXTURE_DEVICE, "vfio-pci", 0, 7},
	{FIXTURE_DEVICE_PEER, "vfio-pci", 1, 7},
	{FIXTURE_DEVICE_ALONE, "vfio-pci", 2, 8},
	{FIXTURE_DEVICE_HOST, "e1000e", -1, 9},
};

__attribute__((format(printf, 2, 3))) static void put_dir(const char *root, const char *format, ...)
{
	char path[256], *slash;
	va_list args;
	int len = snprintf(path, sizeof(path), "%s/", root);

	va_start(args, format);
	(void)vsnprintf(path + len, sizeof(path) - (size_t)len, format, args); /* it fits */
	va_end(args);
	for (slash = strchr(path + len, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		CU_ASSERT_FATAL(mkdir(path, 0700) == 0 || errno == EEXIST);
		*slash = '/';
	}
	CU_ASSERT_FATAL(mkdir(path, 0700) == 0 || errno == EEXIST);
}

static void put_link(const char *root, const char *name, const char *target)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", root, name); /* it fits */
	CU_ASSERT_EQUAL_FATAL(symlink(target, path), 0);
}

static void put_text(const char *root, const char *name, const char *text)
{
	char path[256];
	CLEANUP(file_closep) FILE *file = NULL;

	(void)snprintf(path, sizeof(path), "%s/%s", root, name); /* it fits */
	file = fopen(path, "we");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	CU_ASSERT_FATAL(fputs(text, file) >= 0);
}

static void put_cdev(const char *root, const struct shown *d)
{
	char name[128], text[128];

	put_dir(root, "devices/%s/vfio-dev/vfio%d", d->name, d->vfio);
	(void)snprintf(name, sizeof(name), "devices/%s/vfio-dev/vfio%d/dev", d->name, d->vfio);
	(void)snprintf(text, sizeof(text), "%d:%d\n", FAKE_DEVICES_VFIO_MAJOR, d->vfio);
	put_text(root, name, text);
	(void)snprintf(name, sizeof(name), "dev/char/%d:%d", FAKE_DEVICES_VFIO_MAJOR, d->vfio);
	(void)snprintf(text, sizeof(text), "../../devices/%s/vfio-dev/vfio%d", d->name, d->vfio);
	put_link(root, name, text);
}

static void put_device(const char *root, const struct shown *d)
{
	char name[128], text[128];

	put_dir(root, "devices/%s", d->name);
	put_dir(root, "kernel/iommu_groups/%d/devices", d->group);
	(void)snprintf(name, sizeof(name), "bus/pci/devices/%s", d->name);
	(void)snprintf(text, sizeof(text), "../../../devices/%s", d->name);
	put_link(root, name, text);
	(void)snprintf(name, sizeof(name), "kernel/iommu_groups/%d/devices/%s", d->group, d->name);
	(void)snprintf(text, sizeof(text), "../../../../devices/%s", d->name);
	put_link(root, name, text);
	(void)snprintf(name, sizeof(name), "devices/%s/iommu_group", d->name);
	(void)snprintf(text, sizeof(text), "../../kernel/iommu_groups/%d", d->group);
	put_link(root, name, text);
	(void)snprintf(name, sizeof(name), "devices/%s/driver", d->name);
	(void)snprintf(text, sizeof(text), "../../bus/pci/drivers/%s", d->driver);
	put_link(root, name, text);
	(void)snprintf(name, sizeof(name), "devices/%s/uevent", d->name);
	(void)snprintf(text, sizeof(text), "DRIVER=%s\nPCI_ID=8086:10D3\n", d->driver);
	put_text(root, name, text);
	if (d->vfio >= 0)
		put_cdev(root, d);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void put_tree(struct broker_fixture *f)
{
	/* Memory if it may be: a tree for each test keeps a disk busy. */
	(void)snprintf(f->path, sizeof(f->path), "%s/pinbroker-unit.XXXXXX",
		       access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(f->path));
	put_dir(f->path, "bus/pci/devices");
	put_dir(f->path, "dev/char");
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		put_device(f->path, &devices[i]);
	f->broker->sysfs_fd = open(f->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	f->broker->dev_fd = open(f->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CU_ASSERT_FATAL(f->broker->sysfs_fd >= 0 && f->broker->dev_fd >= 0);
}

static struct policy_set *new_policies(void)
{
	struct policy_set *set = calloc(1, sizeof(*set));
	struct policy *policy = calloc(1, sizeof(*policy));

	CU_ASSERT_FATAL(set && policy);
	policy->name = strdup("tenants");
	policy->accounting = POLICY_ACCOUNTING_ANY;
	policy->limit = FIXTURE_LIMIT;
	policy->user_limit = POLICY_UNLIMITED;
	policy->max_mappings_auto = true;
	policy->max_objects = 1024;
	policy->max_sessions = 16;
	policy->migration_buffers = POLICY_UNLIMITED;
	policy->devices.globs = calloc(1, sizeof(char *));
	CU_ASSERT_FATAL(policy->name && policy->devices.globs);
	policy->devices.globs[0] = strdup("0000:*");
	policy->devices.n = 1;
	*set = (struct policy_set){
		.refs = 1, .max_connections = 64, .policies = policy, .n_policies = 1};
	return set;
}

/* SO_PEERPIDFD is Linux 6.5; one inode number per process (pidfs) is 6.9. */
static bool pidfds_work(void)
{
	int pair[2] = {-1, -1}, pidfd = -1, parent = -1;
	socklen_t size = sizeof(pidfd);
	struct stat ours, parents;
	bool works;

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	parent = (int)syscall(SYS_pidfd_open, getppid(), 0);
	works = getsockopt(pair[0], SOL_SOCKET, UAPI_SO_PEERPIDFD, &pidfd, &size) == 0 &&
		fstat(pidfd, &ours) == 0 && fstat(parent, &parents) == 0 &&
		ours.st_ino != parents.st_ino;
	fd_closep(&pair[0]);
	fd_closep(&pair[1]);
	fd_closep(&pidfd);
	fd_closep(&parent);
	return works;
}

void broker_fixture_ipc_lock(bool permitted)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	struct __user_cap_data_struct *word = &data[CAP_TO_INDEX(CAP_IPC_LOCK)];
	uint32_t mask = CAP_TO_MASK(CAP_IPC_LOCK);

	CU_ASSERT_EQUAL_FATAL(syscall(SYS_capget, &header, data), 0);
	word->effective &= ~mask;
	if (!permitted)
		word->permitted &= ~mask;
	CU_ASSERT_EQUAL_FATAL(syscall(SYS_capset, &header, data), 0);
}

/* What depends on the record. */
static void make_tables(struct broker_fixture *f)
{
	struct broker *broker = f->broker;

	CU_ASSERT_EQUAL_FATAL(ledger_new(&broker->ledger), 0);
	broker->record = record_fixture_open(f->record_fd);
	CU_ASSERT_EQUAL_FATAL(session_table_new(broker->ledger, broker->record, &broker->sessions),
			      0);
	CU_ASSERT_EQUAL_FATAL(owner_table_new(broker, &broker->owners), 0);
}

static void copy_file(int to, int from)
{
	off_t at = 0;
	char bytes[4096];
	ssize_t n;

	CU_ASSERT_EQUAL_FATAL(ftruncate(to, 0), 0);
	while ((n = pread(from, bytes, sizeof(bytes), at)) > 0) {
		CU_ASSERT_EQUAL_FATAL(pwrite(to, bytes, (size_t)n, at), n);
		at += n;
	}
	CU_ASSERT_EQUAL(n, 0);
}

void broker_fixture_snapshot(void *arg)
{
	struct broker_fixture *f = arg;

	f->snapshot_fd = record_fixture_file();
	copy_file(f->snapshot_fd, f->record_fd);
}

void broker_fixture_restart(struct broker_fixture *f)
{
	CU_ASSERT_EQUAL_FATAL(broker_fixture_try_restart(f), 0);
}

int broker_fixture_try_restart(struct broker_fixture *f)
{
	struct broker *broker = f->broker;
	int err;

	while (broker->peers)
		peer_free(broker->peers);
	for (struct session *s = session_after(broker->sessions, 0); s; s = s->newer)
		handoff_free(s->handoff);
	owner_table_free(broker->owners);
	session_table_free(broker->sessions);
	record_close(broker->record);
	ledger_free(broker->ledger);
	if (f->snapshot_fd >= 0)
		copy_file(f->record_fd, f->snapshot_fd);
	fd_closep(&f->snapshot_fd);
	make_tables(f);
	err = restore_sessions(broker);
	if (!err)
		owner_revived(broker->owners);
	return err;
}

static void make_broker(struct broker_fixture *f)
{
	struct broker *broker = f->broker;

	broker->sys = &fake_sys_ops;
	broker->policies = new_policies();
	broker->mem_total = FIXTURE_MEM_TOTAL;
	broker->overflow_uid = (uid_t)-2; /* not 65534: the tests may run as nobody */
	f->policy = &broker->policies->policies[0];
	broker->max_connections = 1000;
	broker->petition = malloc(sizeof(*broker->petition));
	CU_ASSERT_PTR_NOT_NULL_FATAL(broker->petition);
	broker->lobby.wait_ms = LOBBY_WAIT_MS;
	CU_ASSERT_EQUAL_FATAL(closer_new(broker->loop, &broker->closer), 0);
	CU_ASSERT_EQUAL_FATAL(budget_new(&broker->budget), 0);
	f->record_fd = record_fixture_file();
	make_tables(f);
	CU_ASSERT_EQUAL_FATAL(trace_new(broker, &broker->trace), 0);
}

bool broker_fixture_init(struct broker_fixture *f)
{
	broker_fixture_ipc_lock(false);
	return broker_fixture_init_as_is(f);
}

bool broker_fixture_init_as_is(struct broker_fixture *f)
{
	struct loop *loop = NULL;
	int n_fds = suite_count_fds();

	if (!pidfds_work() || loop_new(LOOP_AUTO, &loop)) {
		suite_skip("this kernel lacks io_uring, SO_PEERPIDFD or pidfs");
		return false;
	}
	*f = (struct broker_fixture){
		.n_fds = n_fds, .snapshot_fd = -1, .broker = calloc(1, sizeof(*f->broker))};
	CU_ASSERT_PTR_NOT_NULL_FATAL(f->broker);
	f->broker->loop = loop;
	f->broker->sysfs_fd = f->broker->dev_fd = f->broker->signal_fd = -1;
	captured_begin();
	make_broker(f);
	put_tree(f);
	fake_sys_reset();
	fake_sys_set_memlock(getpid(), FIXTURE_SOFT, FIXTURE_HARD);
	return true;
}

static void put_id(struct policy_ids *ids, uint32_t id)
{
	ids->ranges = malloc(sizeof(*ids->ranges));
	CU_ASSERT_PTR_NOT_NULL_FATAL(ids->ranges);
	ids->ranges[0] = (struct policy_id_range){.first = id, .last = id};
	ids->n = ids->n_written = 1;
}

void broker_fixture_administer(struct broker_fixture *f)
{
	put_id(&f->policy->users, getuid());
	put_id(&f->policy->admins, getuid());
}

void broker_fixture_fini(struct broker_fixture *f)
{
	broker_free(f->broker);
	fd_closep(&f->record_fd);
	fd_closep(&f->snapshot_fd);
	CU_ASSERT_EQUAL(nftw(f->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
	captured_end();
	CU_ASSERT_EQUAL(suite_count_fds(), f->n_fds);
}

void broker_fixture_check_idle(const struct broker_fixture *f, const char *row)
{
	CHECK(row, session_count(f->broker->sessions) == 0);
	CHECK(row, ledger_host_sum(f->broker->ledger) == 0);
	CHECK(row, ledger_user_sum(f->broker->ledger, getuid()) == 0);
	CHECK(row, ledger_user_mode_sum(f->broker->ledger, getuid()) == 0);
	CHECK(row, ledger_n_sessions(f->broker->ledger, getuid(), f->policy->name) == 0);
	CHECK(row, fake_sys_memlock_is(getpid(), FIXTURE_SOFT, FIXTURE_HARD));
	for (int kind = RECORD_FREE + 1; kind < RECORD_KINDS; kind++)
		CHECK(row, record_fixture_count(f->broker->record, (enum record_kind)kind) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		struct device device = {.group = devices[i].group};

		(void)strcpy(device.name, devices[i].name);
		CHECK(row, session_claim_find(f->broker->sessions, &device) == NULL);
	}
}

struct run {
	struct loop *loop;
	bool (*done)(void *arg);
	void *arg;
	uint64_t deadline_ms;
	bool late;
};

/* Called each time the loop has nothing else to do, and in between. */
static void run_look(uint32_t events, void *arg)
{
	struct run *run = arg;

	(void)events;
	run->late = broker_now_ms() > run->deadline_ms;
	if (run->late || run->done(run->arg))
		loop_stop(run->loop);
}

void broker_fixture_run(struct broker_fixture *f, bool (*done)(void *arg), void *arg)
{
	struct run run = {.loop = f->broker->loop,
			  .done = done,
			  .arg = arg,
			  .deadline_ms = broker_now_ms() + RUN_MS_MAX};
	CLEANUP(fd_closep) int always_fd = eventfd(1, EFD_CLOEXEC);
	uint64_t watch;

	CU_ASSERT_FATAL(always_fd >= 0);
	CU_ASSERT_EQUAL_FATAL(loop_watch(run.loop, always_fd, POLLIN, run_look, &run, &watch), 0);
	CU_ASSERT_EQUAL(loop_run(run.loop), 0);
	loop_cancel(run.loop, &watch);
	CU_ASSERT_FALSE(run.late);
}

int broker_fixture_connect(struct broker_fixture *f)
{
	int pair[2], yes = 1;

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	CU_ASSERT_FATAL(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)) == 0);
	CU_ASSERT_FATAL(fcntl(pair[1], F_SETFL, O_NONBLOCK) == 0);
	CU_ASSERT_EQUAL_FATAL(peer_new(f->broker, pair[1], false), 0);
	return pair[0];
}

struct peer *broker_fixture_peer(const struct broker_fixture *f)
{
	CU_ASSERT_PTR_NOT_NULL_FATAL(f->broker->peers);
	return f->broker->peers;
}

void broker_fixture_send(int fd, unsigned int op, const void *body, size_t len)
{
	struct proto_header header = proto_header(PROTO_REQUEST, op, FIXTURE_SERIAL, len);
	char packet[sizeof(header) + sizeof(struct proto_handoff)];

	CU_ASSERT_FATAL(sizeof(header) + len <= sizeof(packet));
	memcpy(packet, &header, sizeof(header));
	memcpy(packet + sizeof(header), body, len);
	CU_ASSERT_EQUAL(send(fd, packet, sizeof(header) + len, MSG_NOSIGNAL),
			(ssize_t)(sizeof(header) + len));
}

static bool answered(void *arg)
{
	struct pollfd fd = {.fd = *(int *)arg, .events = POLLIN};

	return poll(&fd, 1, 0) != 0;
}

void broker_fixture_answer(struct broker_fixture *f, int fd, struct answer *ret_answer)
{
	char packet[PROTO_MESSAGE_MAX];
	size_t len = 0;
	int err;

	broker_fixture_run(f, answered, &fd);
	*ret_answer = (struct answer){.len = 0, .msg = FDMSG_INIT};
	err = fdmsg_recv(fd, packet, sizeof(packet), FDMSG_FDS_MAX, MSG_DONTWAIT, &len,
			 &ret_answer->msg);
	ret_answer->hung_up = err || len == 0;
	if (ret_answer->hung_up)
		return;
	CU_ASSERT_EQUAL(proto_check(packet, len, PROTO_REPLY, &ret_answer->header), 0);
	CU_ASSERT_FATAL(len >= sizeof(ret_answer->header));
	ret_answer->len = len - sizeof(ret_answer->header);
	memcpy(ret_answer->body.bytes, packet + sizeof(ret_answer->header), ret_answer->len);
	if (ret_answer->header.kind == PROTO_REFUSAL)
		CU_ASSERT_TRUE(proto_refusal_valid(&ret_answer->body.refusal));
}

const char *answer_reason(const struct answer *answer)
{
	if (answer->hung_up)
		return "hung up";
	if (answer->header.kind == PROTO_REPLY)
		return "granted";
	return answer->body.refusal.reason[0] ? answer->body.refusal.reason : "failed";
}

struct proto_open broker_fixture_open(const char *device, const char *other)
{
	struct proto_open open = {.memory = UINT64_C(1) << 30, .flags = PROTO_OPEN_EXEC};

	proto_text_set(open.name, sizeof(open.name), "vm");
	if (device)
		proto_text_set(open.devices[open.n_devices++], sizeof(open.devices[0]), device);
	if (other)
		proto_text_set(open.devices[open.n_devices++], sizeof(open.devices[0]), other);
	return open;
}

void broker_fixture_ask(struct broker_fixture *f, int fd, const struct proto_open *open,
			struct answer *ret_answer)
{
	broker_fixture_send(fd, PROTO_OPEN, open, sizeof(*open));
	broker_fixture_answer(f, fd, ret_answer);
}

struct owner *broker_fixture_owner(struct broker_fixture *f, uid_t uid, struct child *child)
{
	struct owner *owner = NULL;

	child_start(child);
	fake_sys_set_memlock(child->pid, FIXTURE_SOFT, FIXTURE_HARD);

	const struct owner_plan plan = {.pidfd = child->pidfd, .pid = child->pid, .uid = uid};

	CU_ASSERT_EQUAL_FATAL(owner_get(f->broker->owners, &plan, &owner), 0);
	return owner;
}

struct session *broker_fixture_session(struct broker_fixture *f, uid_t uid, const char *name,
				       enum policy_accounting accounting, uint64_t limit)
{
	const struct session_plan plan = {
		.uid = uid,
		.name = name,
		.policy = f->policy,
		.accounting = accounting,
		.limit = limit,
	};
	struct session *session = NULL;

	CU_ASSERT_EQUAL_FATAL(session_new(f->broker->sessions, &plan, &session), 0);
	return session;
}
