/* SPDX-License-Identifier: MIT */
#include "daemon/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "accounting/ledger.h"
#include "accounting/policy.h"
#include "bpf/gate.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/features.h"
#include "common/log.h"
#include "common/sys.h"
#include "daemon/audit.h"
#include "daemon/budget.h"
#include "daemon/closer.h"
#include "daemon/config.h"
#include "daemon/fdstore.h"
#include "daemon/handoff.h"
#include "daemon/listener.h"
#include "daemon/loop.h"
#include "daemon/mirror.h"
#include "daemon/owner.h"
#include "daemon/peer.h"
#include "daemon/petition.h"
#include "daemon/procfs.h"
#include "daemon/record.h"
#include "daemon/reserve.h"
#include "daemon/restore.h"
#include "daemon/sandbox.h"
#include "daemon/session.h"
#include "daemon/trace.h"
#include "daemon/warden.h"

#define BROKER_PIDFS_MAGIC 0x50494446 /* PID_FS_MAGIC; Debian 12's headers are older */

static uint64_t broker_now_us(void)
{
	return clock_ns(CLOCK_MONOTONIC) / 1000;
}

uint64_t broker_now_ms(void)
{
	return broker_now_us() / 1000;
}

/* Takes over the reference. */
static void broker_set_policies(struct broker *broker, struct policy_set *set)
{
	policy_unref(broker->policies);
	broker->policies = set;
	broker->ask_cgroup = broker->ask_groups = false;
	for (size_t i = 0; i < set->n_policies; i++) {
		if (set->policies[i].cgroups.n)
			broker->ask_cgroup = true;
		if (set->policies[i].groups.n_written)
			broker->ask_groups = true;
	}
}

/* A bad file changes nothing; live sessions keep their numbers either way. */
static void broker_reload(struct broker *broker)
{
	struct policy_set *set = NULL;

	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
			 (unsigned long long)broker_now_us());
	if (config_load(broker->config_path, 0, broker->mem_total, &set)) {
		log_error("%s is not taken: the policies stay as they were", broker->config_path);
	} else {
		broker_set_policies(broker, set);
		warden_reload(broker);
		mirror_reload(broker->mirror);
		log_info("loaded %s: %zu policies", broker->config_path, set->n_policies);
	}
	(void)sd_notify(0, "READY=1"); /* nobody may be listening */
}

static void broker_signal(uint32_t events, void *arg)
{
	struct broker *broker = arg;
	struct signalfd_siginfo info;

	(void)events;
	if (read(broker->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		broker_reload(broker);
		return;
	}
	log_info("stopping: %zu sessions stay with their owners", session_count(broker->sessions));
	(void)sd_notify(0, "STOPPING=1");
	loop_stop(broker->loop);
}

static int broker_watch_signals(struct broker *broker)
{
	sigset_t mask;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGHUP);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	/* stderr may be a pipe whose reader goes, or the record reach RLIMIT_FSIZE: errors both. */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGXFSZ, SIG_IGN) == SIG_ERR ||
	    sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	broker->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (broker->signal_fd < 0)
		return -errno;
	return loop_watch(broker->loop, broker->signal_fd, POLLIN, broker_signal, broker,
			  &broker->signal_watch);
}

static int broker_open_roots(struct broker *broker)
{
	broker->sysfs_fd = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (broker->sysfs_fd < 0)
		return -errno;
	broker->dev_fd = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return broker->dev_fd < 0 ? -errno : 0;
}

/*
 * A connection takes two descriptors, and every session one: half of what there can be is for
 * connections, the rest for those who are served.
 */
static int broker_limit_connections(struct broker *broker)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	broker->max_connections =
		limit.rlim_cur / 4 < UINT_MAX ? (unsigned int)(limit.rlim_cur / 4) : UINT_MAX;
	return 0;
}

/*
 * The broker knows a process by the inode of its pidfd, which is its own only on pidfs: without it
 * all processes would be one, and one's limits would be set for another.
 */
static int broker_check_pidfs(void)
{
	CLEANUP(fd_closep) int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_type == BROKER_PIDFS_MAGIC)
		return 0;
	log_error("this kernel has no pidfs (Linux 6.9 and later have): processes cannot be told "
		  "apart safely");
	return -EOPNOTSUPP;
}

static int broker_new_loop(struct loop **ret_loop)
{
	const char *wanted = getenv("PINBROKER_LOOP");
	enum loop_kind kind;
	int err = loop_kind_parse(wanted, &kind);

	if (err) {
		log_error("PINBROKER_LOOP=%s: it is auto, io_uring or epoll", wanted);
		return err;
	}
	err = loop_new(kind, ret_loop);
	if (!err && kind == LOOP_AUTO && strcmp(loop_backend_name(*ret_loop), "io_uring") != 0)
		log_notice("io_uring is switched off on this host: %s serves instead",
			   loop_backend_name(*ret_loop));
	return err;
}

static int broker_new_petition(struct broker *broker)
{
	broker->petition = malloc(sizeof(*broker->petition));
	return broker->petition ? 0 : -ENOMEM;
}

static int broker_take_passed(struct broker *broker)
{
	int err = fdstore_new(&broker->fdstore);

	if (err == -EINVAL)
		log_error("the service manager passed more than one socket, or no number of them "
			  "in LISTEN_FDS");
	return err;
}

static int broker_init(struct broker *broker)
{
	int err = broker_take_passed(broker);

	if (!err)
		err = broker_check_pidfs();
	if (!err)
		err = broker_new_petition(broker);
	if (!err)
		err = broker_open_roots(broker);
	if (!err)
		err = procfs_mem_total(&broker->mem_total);
	if (!err)
		err = procfs_overflow_uid(&broker->overflow_uid);
	if (!err)
		err = broker_new_loop(&broker->loop);
	if (!err)
		err = closer_new(broker->loop, &broker->closer);
	if (!err)
		err = broker_limit_connections(broker);
	if (!err)
		err = ledger_new(&broker->ledger);
	if (!err)
		err = budget_new(&broker->budget);
	if (!err)
		err = broker_watch_signals(broker);
	if (err)
		log_error("cannot start: %s", strerror(-err));
	return err;
}

/* What record_open() says, for who is to put it right. */
static const char *broker_record_fault(int err)
{
	switch (err) {
	case -EWOULDBLOCK:
		return "another pinbrokerd has it";
	case -ELOOP:
		return "it is a symbolic link, so somebody else may have put it there; remove it";
	case -EPERM:
		return "it is not a file of the daemon's user alone (its owner, mode 0600, one "
		       "link), so somebody else may have put it there; remove it";
	case -ENOSPC:
		return "its file system is full";
	default:
		return strerror(-err);
	}
}

/* path NULL: there was no memory for it. */
static void broker_log_record_fault(const char *path, int err)
{
	CLEANUP(freep) char *directory = NULL;

	if (path && err == -ENOTUNIQ)
		directory = record_directory(path);
	if (directory)
		log_error("cannot use the record %s: its directory %s is not root's or the "
			  "daemon's user's, or is writable for group or others and not sticky, so "
			  "that somebody else may put another file in its place; chown or chmod it",
			  path, directory);
	else
		log_error("cannot use the record %s: %s", path ? path : "",
			  broker_record_fault(err));
}

static int broker_open_record(struct broker *broker, const char *socket_path)
{
	CLEANUP(freep) char *path = record_path(socket_path);
	char boot_id[PROCFS_BOOT_ID_MAX];
	bool cleared;
	int err = path ? procfs_boot_id(boot_id) : -ENOMEM;

	if (!err)
		err = record_open(path, boot_id, &cleared, &broker->record);
	if (err) {
		broker_log_record_fault(path, err);
		return err;
	}
	if (cleared)
		log_notice("the record %s was of another boot or version: no session of before is "
			   "known",
			   path);
	return 0;
}

/* The sessions there are: those of the daemon before. */
static int broker_take_over(struct broker *broker, const char *socket_path)
{
	int err = broker_open_record(broker, socket_path);

	if (err)
		return err;
	err = session_table_new(broker->ledger, broker->record, &broker->sessions);
	if (!err)
		err = owner_table_new(broker, &broker->owners);
	if (!err)
		err = mirror_new(broker, &broker->mirror);
	if (!err)
		err = restore_sessions(broker);
	if (!err)
		err = trace_new(broker, &broker->trace);
	if (err)
		log_error("cannot take over the sessions of before: %s", strerror(-err));
	return err;
}

int broker_new(const char *config_path, const char *socket_path, struct broker **ret_broker)
{
	CLEANUP(broker_freep) struct broker *broker = calloc(1, sizeof(*broker));
	struct policy_set *set = NULL;
	int err;

	if (!broker)
		return -ENOMEM;
	broker->sys = &sys_real;
	broker->lobby.wait_ms = LOBBY_WAIT_MS;
	broker->config_path = config_path;
	broker->features = features_directory(socket_path);
	broker->journal = audit_to_journal();
	broker->sysfs_fd = broker->dev_fd = broker->signal_fd = -1;
	err = broker_init(broker);
	if (err)
		return err;
	err = config_load(config_path, 0, broker->mem_total, &set);
	if (err)
		return -ECANCELED;
	broker_set_policies(broker, set);
	err = warden_start(broker);
	if (!err)
		err = broker_take_over(broker, socket_path);
	if (!err)
		err = warden_resume(broker);
	if (!err)
		err = handoff_resume(broker);
	if (!err)
		err = reserve_resume(broker);
	if (!err) {
		owner_revived(broker->owners);
		mirror_resumed(broker->mirror);
	}
	if (!err)
		*ret_broker = STEAL(broker);
	return err;
}

/* They use the closer. */
static void broker_free_handoffs(const struct broker *broker)
{
	if (!broker->sessions)
		return;
	for (struct session *s = session_after(broker->sessions, 0); s; s = s->newer)
		handoff_free(s->handoff);
}

void broker_free(struct broker *broker)
{
	if (!broker)
		return;
	while (broker->peers)
		peer_free(broker->peers);
	broker_free_handoffs(broker);
	hunts_fini(broker);
	trace_free(broker->trace);
	mirror_free(broker->mirror);
	listener_free(broker->listener);
	closer_free(broker->closer);
	owner_table_free(broker->owners);
	session_table_free(broker->sessions);
	record_close(broker->record);
	ledger_free(broker->ledger);
	budget_free(broker->budget);
	policy_unref(broker->policies);
	if (broker->loop) {
		loop_cancel(broker->loop, &broker->signal_watch);
		loop_cancel(broker->loop, &broker->gate_watch);
		loop_cancel(broker->loop, &broker->reserve_timer);
		loop_cancel(broker->loop, &broker->plug_timer);
	}
	gate_close(broker->gate);
	fdstore_free(broker->fdstore);
	loop_free(broker->loop);
	fd_closep(&broker->signal_fd);
	fd_closep(&broker->sysfs_fd);
	fd_closep(&broker->dev_fd);
	free(broker->petition);
	free(broker->features);
	free(broker);
}

void broker_freep(struct broker **broker)
{
	broker_free(*broker);
}

int broker_run(struct broker *broker, const char *socket_path)
{
	int err = listener_new(broker, socket_path, &broker->listener);

	if (!err)
		err = sandbox_enter(); /* everything is open, and there are no threads yet */
	if (!err)
		err = mirror_start(broker->mirror);
	if (err)
		return err;
	(void)sd_notify(0, "READY=1"); /* nobody may be listening */
	log_info("ready: %zu policies%s", broker->policies->n_policies,
		 gate_level(broker->gate) == GATE_LEVEL_EXACT ? ", limits kept in the kernel" : "");
	err = loop_run(broker->loop);
	if (err)
		log_error("the event loop failed: %s", strerror(-err));
	return err;
}
