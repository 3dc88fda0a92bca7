/* SPDX-License-Identifier: MIT */
/*
 * explain --config: reads the configuration, sysfs and /proc/meminfo, asks the name service, and
 * leaves the rest to the code that the broker itself decides with.
 */
#include "client/explain_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "accounting/admission.h"
#include "accounting/policy.h"
#include "client/cmd.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "common/cleanup.h"
#include "common/conffile.h"
#include "common/device.h"
#include "common/features.h"
#include "common/names.h"
#include "common/proto.h"

static_assert(PINBROKER_UNLIMITED == POLICY_UNLIMITED, "copied as it is");

/* The form that editors and people know from compilers; without output_error()'s prefix for it. */
static void print_finding(const char *file, unsigned int line, const char *kind, const char *text)
{
	CLEANUP(freep) char *file_text = output_escape(file);
	CLEANUP(freep) char *escaped = output_escape(text);
	char number[16] = "";

	if (line)
		(void)snprintf(number, sizeof(number), "%u:", line);
	/* Nobody is left to tell when this fails. */
	(void)fprintf(stderr, "%s:%s %s%s\n", file_text ? file_text : "?", number, kind,
		      escaped ? escaped : "out of memory");
}

static void report_policy(enum policy_severity severity, const char *file, unsigned int line,
			  const char *text, void *arg)
{
	(void)arg; /* goes to stderr */
	print_finding(file, line, severity == POLICY_WARNING ? "warning: " : "", text);
}

static void report_file(const char *file, const char *text, void *arg)
{
	(void)arg; /* goes to stderr */
	print_finding(file, 0, "", text);
}

static int read_mem_total(uint64_t *ret_bytes)
{
	CLEANUP(file_closep) FILE *file = fopen("/proc/meminfo", "re");
	static const char key[] = "MemTotal:";
	char line[128];

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		*ret_bytes = strtoull(line + strlen(key), NULL, 10) * 1024; /* in kB */
		return 0;
	}
	return -EIO;
}

static int load_policy(const char *path, uint64_t mem_total, struct policy_set **ret_set)
{
	CLEANUP(conffile_free) struct conffile_set files = {.n = 0};
	const struct policy_env env = {
		.uid_of = names_uid,
		.gid_of = names_gid,
		.report = report_policy,
		.mem_total = mem_total,
	};
	int err = conffile_read(path, getuid(), report_file, NULL, &files);

	if (!err)
		err = policy_parse_read(&files, &env, ret_set);
	if (err)
		return err == -ENOMEM ? cmd_internal(err) : EX_CONFIG;
	return 0;
}

/* Nobody else has a session yet. */
static void no_sums(uid_t uid, const struct policy *policy, struct admission_sums *ret_sums,
		    void *arg)
{
	const uint64_t *mem_total = arg;

	(void)uid; /* nobody has a session */
	(void)policy;
	*ret_sums = (struct admission_sums){.mem_total = *mem_total, .gate_exact = true};
}

/* As the broker that listens where one usually does would see it. */
static enum admission_p2p p2p_of(int sysfs_fd, const struct device *device)
{
	CLEANUP(freep) char *directory = features_directory(PROTO_SOCKET);
	struct features features;

	if (!directory || features_load(directory, sysfs_fd, device, &features))
		return ADMISSION_P2P_UNKNOWN;
	return features.migration & FEATURES_P2P ? ADMISSION_P2P_YES : ADMISSION_P2P_NO;
}

static int probe_devices(const struct pinbroker_request *request, struct device *devices,
			 struct admission_device *entries)
{
	CLEANUP(fd_closep) int sysfs_fd = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err;

	if (sysfs_fd < 0)
		return -errno;
	for (size_t i = 0; i < request->n_devices; i++) {
		err = device_probe(sysfs_fd, request->devices[i], &devices[i]);
		if (err)
			return err;
		entries[i] = (struct admission_device){.device = &devices[i],
						       .p2p = p2p_of(sysfs_fd, &devices[i])};
	}
	return 0;
}

static enum policy_accounting policy_accounting_of(enum pinbroker_accounting accounting)
{
	switch (accounting) {
	case PINBROKER_ACCOUNTING_TASK:
		return POLICY_ACCOUNTING_TASK;
	case PINBROKER_ACCOUNTING_USER:
		return POLICY_ACCOUNTING_USER;
	case PINBROKER_ACCOUNTING_POLICY:
		break;
	}
	return POLICY_ACCOUNTING_NONE;
}

static enum pinbroker_accounting accounting_of(enum policy_accounting accounting)
{
	switch (accounting) {
	case POLICY_ACCOUNTING_TASK:
		return PINBROKER_ACCOUNTING_TASK;
	case POLICY_ACCOUNTING_USER:
		return PINBROKER_ACCOUNTING_USER;
	case POLICY_ACCOUNTING_NONE:
	case POLICY_ACCOUNTING_ANY:
		break;
	}
	return PINBROKER_ACCOUNTING_POLICY;
}

static void explain_admission(const struct admission *from, struct pinbroker_explanation *to)
{
	const struct policy *policy = from->policy;

	*to = (struct pinbroker_explanation){.granted = from->refusal == REFUSAL_NONE};
	proto_text_set(to->reason, sizeof(to->reason), refusal_name(from->refusal));
	proto_text_set(to->text, sizeof(to->text), from->text);
	proto_text_set(to->warning, sizeof(to->warning), from->warning);
	if (!policy)
		return;
	proto_text_set(to->policy, sizeof(to->policy), policy->name);
	to->accounting = accounting_of(from->accounting);
	to->limit = from->limit;
	to->limit_auto = policy->limit_auto;
	to->policy_limit = policy->limit_auto ? PINBROKER_UNLIMITED : policy->limit;
	to->auto_limit = from->auto_limit;
	to->factor = from->factor;
	to->memory = from->memory;
	to->user_limit = from->user_limit;
	to->user_sum = from->sums.user;
	to->host_limit = from->host_limit;
	to->host_sum = from->sums.host;
	to->max_mappings = from->max_mappings;
	to->mappings_auto = policy->max_mappings_auto;
	to->max_objects = policy->max_objects;
	to->max_sessions = policy->max_sessions;
	to->n_sessions = from->sums.n_sessions;
	to->extra_memlock = policy->extra_memlock;
	to->headroom = policy->headroom;
	to->migration_buffers = policy->migration_buffers;
	to->require_reset = policy->require_reset;
	to->multi_p2p = policy->multi_device == POLICY_MULTI_P2P;
}

int explain_config(const char *path, const struct pinbroker_subject *subject,
		   const struct pinbroker_request *request,
		   struct pinbroker_explanation *ret_explanation, const char **ret_assumed)
{
	CLEANUP(policy_unrefp) struct policy_set *set = NULL;
	struct admission_device entries[PINBROKER_DEVICES_MAX];
	struct device devices[PINBROKER_DEVICES_MAX];
	struct admission admission;
	uint64_t mem_total = 0;
	int status;
	int err;

	err = read_mem_total(&mem_total);
	if (err)
		return cmd_internal(err);
	status = load_policy(path, mem_total, &set);
	if (status)
		return status;
	err = probe_devices(request, devices, entries);
	if (err)
		return cmd_internal(err);

	const struct policy_subject who = {
		.uid = subject->uid,
		.gids = subject->gids,
		.n_gids = subject->n_gids,
		.cgroup = subject->cgroup,
		.domain = subject->domain,
	};
	const struct admission_request asked = {
		.subject = who,
		.policy = policy_match(set, &who),
		.memory = request->memory,
		.viommu = request->viommu,
		.accounting = policy_accounting_of(request->accounting),
		.devices = entries,
		.n_devices = request->n_devices,
		.capable = subject->uid == 0, /* root's programs have every capability */
	};

	admission_decide(set, &asked, no_sums, &mem_total, &admission);
	explain_admission(&admission, ret_explanation);
	*ret_assumed = asked.capable
			       ? "no session exists, the kernel keeps limits exactly, and as "
				 "root the owner has CAP_IPC_LOCK"
			       : "no session exists, the kernel keeps limits exactly, and the "
				 "owner does not have CAP_IPC_LOCK";
	return 0;
}
