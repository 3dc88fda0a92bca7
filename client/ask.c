/* SPDX-License-Identifier: MIT */
#include "client/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/pinbroker.h"
#include "common/cleanup.h"
#include "common/proto.h"

static_assert(PINBROKER_DEVICES_MAX == PROTO_DEVICES_MAX, "one limit");
static_assert((int)PINBROKER_ACCOUNTING_POLICY == PROTO_ACCOUNTING_POLICY &&
		      (int)PINBROKER_ACCOUNTING_TASK == PROTO_ACCOUNTING_TASK &&
		      (int)PINBROKER_ACCOUNTING_USER == PROTO_ACCOUNTING_USER,
	      "copied as it is");

/* Whether a text is there and fits into a field with its NUL; then it is put there. */
static bool ask_text(char *field, size_t size, const char *text)
{
	if (!text || !text[0] || strlen(text) >= size)
		return false;
	proto_text_set(field, size, text);
	return true;
}

int ask_open(const struct pinbroker_request *request, struct proto_open *ret_open)
{
	struct proto_open open = {
		.memory = request->memory,
		.flags = (request->viommu ? PROTO_OPEN_VIOMMU : 0) |
			 (request->exec ? PROTO_OPEN_EXEC : 0),
		.accounting = (uint32_t)request->accounting,
		.n_devices = (uint32_t)request->n_devices,
	};

	if (request->n_devices > PROTO_DEVICES_MAX)
		return -EINVAL;
	if (request->name && !ask_text(open.name, sizeof(open.name), request->name))
		return -EINVAL;
	for (size_t i = 0; i < request->n_devices; i++) {
		if (!ask_text(open.devices[i], sizeof(open.devices[i]), request->devices[i]))
			return -EINVAL;
	}
	if (!proto_open_valid(&open))
		return -EINVAL;
	*ret_open = open;
	return 0;
}

/* What /proc shows of a pidfd, and of nothing else: "Pid:\t123". */
static int ask_pid(int pidfd, uint32_t *ret_pid)
{
	char path[64], line[128];
	CLEANUP(file_closep) FILE *file = NULL;
	long pid;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd); /* it fits */
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT ? -EBADF : -errno;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, "Pid:", 4) != 0)
			continue;
		pid = strtol(line + 4, NULL, 10);
		if (pid <= 0) /* it has exited, or is of a pid namespace that is not seen here */
			return -ESRCH;
		*ret_pid = (uint32_t)pid;
		return 0;
	}
	return -EINVAL;
}

int ask_process(int pidfd, const struct proto_process *at_hand, struct proto_process *ret_process)
{
	struct proto_process process = {.inode = 0};
	struct stat st;
	int err = ask_pid(pidfd, &process.pid);

	if (err && err != -ESRCH)
		return err;
	if (fstat(pidfd, &st) < 0)
		return -errno;
	process.inode = st.st_ino;
	if (err && (!at_hand || at_hand->inode != process.inode))
		return err;
	if (err)
		process = *at_hand;
	*ret_process = process;
	return 0;
}

int ask_subject(const struct pinbroker_subject *from, const struct proto_process *at_hand,
		struct proto_subject *ret_subject)
{
	struct proto_subject subject = {.n_gids = (uint32_t)from->n_gids};

	if (from->uid != (uid_t)-1) {
		subject.flags |= PROTO_SUBJECT_UID;
		subject.uid = from->uid;
	}
	if (from->n_gids > PROTO_GIDS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < from->n_gids; i++)
		subject.gids[i] = from->gids[i];
	if (from->cgroup) {
		subject.flags |= PROTO_SUBJECT_CGROUP;
		if (!ask_text(subject.cgroup, sizeof(subject.cgroup), from->cgroup))
			return -EINVAL;
	}
	if (from->domain) {
		subject.flags |= PROTO_SUBJECT_DOMAIN;
		if (!ask_text(subject.domain, sizeof(subject.domain), from->domain))
			return -EINVAL;
	}
	if (from->pidfd >= 0) {
		int err = ask_process(from->pidfd, at_hand, &subject.process);

		if (err)
			return err;
		subject.flags |= PROTO_SUBJECT_PROCESS;
	}
	if (!proto_subject_valid(&subject))
		return -EINVAL;
	*ret_subject = subject;
	return 0;
}
