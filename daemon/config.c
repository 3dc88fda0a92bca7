/* SPDX-License-Identifier: MIT */
#include "daemon/config.h"

#include <stddef.h>

#include "accounting/policy.h"
#include "common/cleanup.h"
#include "common/conffile.h"
#include "common/log.h"
#include "common/names.h"

static void config_report_file(const char *file, const char *text, void *arg)
{
	(void)arg;
	log_error("%s: %s", file, text);
}

static void config_report(enum policy_severity severity, const char *file, unsigned int line,
			  const char *text, void *arg)
{
	enum log_level level = severity == POLICY_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING;
	const char *kind = severity == POLICY_ERROR ? "" : "warning: ";

	(void)arg;
	if (line)
		log_line(level, "%s:%u: %s%s", file, line, kind, text);
	else
		log_line(level, "%s: %s%s", file, kind, text);
}

int config_load(const char *path, uid_t owner, uint64_t mem_total, struct policy_set **ret_set)
{
	CLEANUP(conffile_free) struct conffile_set read = {.n = 0};
	const struct policy_env env = {
		.uid_of = names_uid,
		.gid_of = names_gid,
		.report = config_report,
		.mem_total = mem_total,
	};
	int err = conffile_read(path, owner, config_report_file, NULL, &read);

	return err ? err : policy_parse_read(&read, &env, ret_set);
}
