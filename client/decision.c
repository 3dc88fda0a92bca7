/* SPDX-License-Identifier: MIT */
#include "client/decision.h"

#include <string.h>

#include "client/cmd.h"
#include "client/explain_config.h"
#include "client/pinbroker.h"
#include "client/subject.h"
#include "common/cleanup.h"

/* The caller's own cgroup (v2), "/a/b". Return: NULL when it is not known; freed by the caller. */
static char *own_cgroup(void)
{
	CLEANUP(file_closep) FILE *file = fopen("/proc/self/cgroup", "re");
	CLEANUP(freep) char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while (file && (len = getline(&line, &size, file)) > 0) {
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		return strdup(line + 3);
	}
	return NULL;
}

static int by_config(const char *config, const struct subject *subject,
		     const struct pinbroker_subject *resolved,
		     const struct pinbroker_request *request,
		     struct pinbroker_explanation *ret_explanation, const char **ret_assumed)
{
	CLEANUP(freep) char *cgroup = NULL;
	struct pinbroker_subject who = *resolved;

	/* Where another user's process would be cannot be known. */
	if (!who.cgroup && !subject->uid) {
		cgroup = own_cgroup();
		who.cgroup = cgroup;
	}
	return explain_config(config, &who, request, ret_explanation, ret_assumed);
}

static int by_broker(const struct cmd_env *env, const struct pinbroker_subject *subject,
		     const struct pinbroker_request *request,
		     struct pinbroker_explanation *ret_explanation)
{
	CLEANUP(cmd_disconnectp) struct pinbroker *broker = NULL;
	int status;
	int err;

	status = cmd_connect(env, &broker);
	if (status)
		return status;
	err = pinbroker_explain(broker, subject, request, ret_explanation);
	return err ? cmd_failed(env, broker, err) : 0;
}

int decision_ask(const struct cmd_env *env, const char *config, struct subject *subject,
		 const struct pinbroker_request *request,
		 struct pinbroker_explanation *ret_explanation, const char **ret_assumed)
{
	struct pinbroker_subject resolved = PINBROKER_SUBJECT_INIT;
	int status = subject_resolve(env, subject, config != NULL, &resolved);

	if (status)
		return status;
	if (config)
		return by_config(config, subject, &resolved, request, ret_explanation, ret_assumed);
	*ret_assumed = NULL; /* the broker knows */
	return by_broker(env, &resolved, request, ret_explanation);
}
