/* SPDX-License-Identifier: MIT */
#include "daemon/process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/proto.h"
#include "daemon/peer.h"

struct process process_of_peer(const struct peer *peer)
{
	return (struct process){
		.pidfd = peer->pidfd,
		.pid = peer->cred.pid,
		.uid = peer->cred.uid,
		.gids = peer->gids,
		.n_gids = peer->n_gids,
	};
}

void process_fini(struct process *process)
{
	fd_closep(&process->pidfd);
	free(process->gids);
	*process = (struct process)PROCESS_INIT;
}

int process_open(const struct proto_process *named, struct process *ret_process)
{
	CLEANUP(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)named->pid, 0);
	struct procfs_ids ids;
	struct stat st;
	int err;

	/* -EINVAL, -ENOENT: a thread that is no process. */
	if (pidfd < 0)
		return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
	if (fstat(pidfd, &st) < 0)
		return -errno;
	if (st.st_ino != named->inode)
		return -ESRCH;
	err = procfs_ids((pid_t)named->pid, &ids);
	if (err)
		return err;

	CLEANUP(freep) gid_t *gids = ids.gids;

	if (procfs_exited(pidfd)) /* else the pid was its own all the time */
		return -ESRCH;
	if (ids.uid != ids.effective_uid || ids.gids[0] != ids.effective_gid)
		return -EPERM;
	*ret_process = (struct process){.pidfd = STEAL_FD(pidfd),
					.pid = (pid_t)named->pid,
					.uid = ids.uid,
					.gids = STEAL(gids),
					.n_gids = ids.n_gids};
	return 0;
}

int process_capable(const struct process *process, bool *ret_capable)
{
	bool capable;
	int err = procfs_capable(process->pid, &capable);

	if (!err && procfs_exited(process->pidfd))
		err = -ESRCH;
	if (!err)
		*ret_capable = capable;
	return err;
}

int process_cgroup(const struct process *process, char ret_cgroup[static PROCFS_CGROUP_MAX])
{
	int err = procfs_cgroup(process->pid, ret_cgroup);

	return (!err || err == -ENODATA) && procfs_exited(process->pidfd) ? -ESRCH : err;
}

const char *process_strerror(int err)
{
	return err == -EPERM ? "its real and effective ids differ" : strerror(-err);
}

int process_kill(int pidfd)
{
	return syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 ? -errno : 0;
}
