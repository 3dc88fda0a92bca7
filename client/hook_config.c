/* SPDX-License-Identifier: MIT */
/* What the hook takes from configurations: the broker's and libvirt's. */
#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/policy.h"
#include "client/hook.h"
#include "common/cleanup.h"
#include "common/conffile.h"

/* Names of users are of no interest here, and who looks them up may block. */
static int no_name(const char *name, uid_t *ret_id, void *arg)
{
	(void)name;
	(void)ret_id;
	(void)arg;
	return -ENOENT;
}

/* pinbrokerd --check says it better. */
static void say_nothing(enum policy_severity severity, const char *file, unsigned int line,
			const char *text, void *arg)
{
	(void)severity;
	(void)file;
	(void)line;
	(void)text;
	(void)arg;
}

static void say_nothing_of_file(const char *file, const char *text, void *arg)
{
	say_nothing(POLICY_ERROR, file, 0, text, arg);
}

bool hook_fallback_allows(void)
{
	CLEANUP(conffile_free) struct conffile_set read = {.n = 0};
	CLEANUP(policy_unrefp) struct policy_set *set = NULL;
	const struct policy_env env = {
		.uid_of = no_name,
		.gid_of = no_name,
		.report = say_nothing,
		.mem_total = UINT64_MAX,
	};

	return conffile_read(PINBROKER_SYSCONFDIR "/pinbroker/pinbroker.conf", 0,
			     say_nothing_of_file, NULL, &read) == 0 &&
	       policy_parse_read(&read, &env, &set) == 0 &&
	       set->hook_fallback == POLICY_FALLBACK_ALLOW;
}

/* --- qemu.conf */

static const char *skip_blanks(const char *p)
{
	while (isblank((unsigned char)*p))
		p++;
	return p;
}

/* The value of a line "user = "NAME"", in either kind of quotes. NULL: it is another line. */
static char *conf_user(const char *line)
{
	const char *p = skip_blanks(line);
	const char *end;

	if (strncmp(p, "user", strlen("user")) != 0)
		return NULL;
	p = skip_blanks(p + strlen("user"));
	if (*p != '=')
		return NULL;
	p = skip_blanks(p + 1);
	if (*p != '"' && *p != '\'')
		return NULL;
	end = strchr(p + 1, *p);
	return end && !memchr(p, '\n', (size_t)(end - p)) ? strndup(p + 1, (size_t)(end - p - 1))
							  : NULL;
}

int hook_qemu_user(const char *conf, char **ret_user)
{
	/* Debian and what comes of it; Fedora, RHEL, SUSE and Arch. */
	static const char *const names[] = {"libvirt-qemu", "qemu"};
	char *user = NULL;

	for (const char *line = conf; !user && line; line = strchr(line, '\n')) {
		line += *line == '\n';
		user = conf_user(line);
	}
	for (size_t i = 0; !user && i < ARRAY_SIZE(names); i++) {
		if (!getpwnam(names[i]))
			continue;
		user = strdup(names[i]);
		if (!user)
			return -ENOMEM;
	}
	if (!user)
		return -ENOENT;
	*ret_user = user;
	return 0;
}
