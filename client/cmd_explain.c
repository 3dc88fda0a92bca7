/* SPDX-License-Identifier: MIT */
/*
 * pinbroker explain: which policy would match, with which limits, and whether it would be granted
 * now. Names and groups are looked up here: the name service may block, and the broker must not.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "client/cmd.h"
#include "client/explain_config.h"
#include "client/explanation.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "client/request.h"
#include "common/cleanup.h"
#include "common/proto.h"

/* The command line. Strings are borrowed from argv. */
struct explain {
	const char *config; /* NULL: ask the broker */
	const char *uid; /* NULL: for the caller */
	const char *cgroup;
	gid_t *gids; /* owned; by --gid, or those of the user */
	size_t n_gids;
	bool json;
	bool help;
	struct request request;
};

static void explain_fini(struct explain *explain)
{
	free(explain->gids);
}

/* A number that is an id; (uid_t)-1 is none. */
static bool parse_id(const char *text, uint32_t *ret_id)
{
	size_t len = strspn(text, "0123456789");
	unsigned long long id;

	if (len < 1 || len > 10 || text[len])
		return false;
	id = strtoull(text, NULL, 10);
	if (id >= UINT32_MAX)
		return false;
	*ret_id = (uint32_t)id;
	return true;
}

static int take_gid(const struct cmd_env *env, struct explain *explain, const char *value)
{
	gid_t *gids;
	gid_t gid;

	if (!parse_id(value, &gid)) {
		const struct group *group = getgrnam(value);

		if (!group)
			return cmd_usage(env, "--gid: no group '%s'", value);
		gid = group->gr_gid;
	}
	gids = reallocarray(explain->gids, explain->n_gids + 1, sizeof(*gids));
	if (!gids)
		return cmd_internal(-ENOMEM);
	gids[explain->n_gids++] = gid;
	explain->gids = gids;
	return 0;
}

static int take_cgroup(const struct cmd_env *env, struct explain *explain, const char *value)
{
	if (value[0] != '/' || strlen(value) >= sizeof((struct proto_subject){.zero = 0}.cgroup))
		return cmd_usage(env, "--cgroup: '%s' is no cgroup: /machine.slice/...", value);
	explain->cgroup = value;
	return 0;
}

static int explain_option(const struct cmd_env *env, struct explain *explain, int opt)
{
	switch (opt) {
	case 'c':
		explain->config = optarg;
		return 0;
	case 'u':
		explain->uid = optarg;
		return 0;
	case 'g':
		return take_gid(env, explain, optarg);
	case 'G':
		return take_cgroup(env, explain, optarg);
	case 'j':
		explain->json = true;
		return 0;
	case 'h':
		explain->help = true;
		return 0;
	default:
		return request_option(env, &explain->request, opt, optarg);
	}
}

/* Takes gids over. */
static void set_gids(struct explain *explain, gid_t *gids, size_t n_gids)
{
	free(explain->gids);
	explain->gids = gids;
	explain->n_gids = n_gids;
}

/* The groups of a user, its own first. */
static int groups_of(const struct passwd *user, struct explain *explain)
{
	CLEANUP(freep) gid_t *gids = NULL;
	int max = 0;
	int n = 0;

	do {
		gid_t *more;

		/* What getgrouplist() asks for may be out of date when it is asked again. */
		max = (n > max ? n : max) + 64;
		more = reallocarray(gids, (size_t)max, sizeof(*gids));
		if (!more)
			return -ENOMEM;
		gids = more;
		n = max;
	} while (getgrouplist(user->pw_name, user->pw_gid, gids, &n) < 0);
	set_gids(explain, STEAL(gids), (size_t)n);
	return 0;
}

static int own_groups(struct explain *explain)
{
	CLEANUP(freep) gid_t *gids = NULL;
	int n = getgroups(0, NULL);

	if (n < 0)
		return -errno;
	gids = calloc((size_t)n + 1, sizeof(*gids));
	if (!gids)
		return -ENOMEM;
	n = getgroups(n, gids);
	if (n < 0)
		return -errno;
	gids[n] = getegid();
	set_gids(explain, STEAL(gids), (size_t)n + 1);
	return 0;
}

/* Turns --uid into a number, and finds the groups unless --gid named them. */
static int resolve_uid(const struct cmd_env *env, struct explain *explain, uid_t *ret_uid)
{
	const struct passwd *user;
	bool number = parse_id(explain->uid, ret_uid);
	int err;

	user = number ? getpwuid(*ret_uid) : getpwnam(explain->uid);
	if (!user && !number)
		return cmd_usage(env, "--uid: no user '%s'", explain->uid);
	if (user)
		*ret_uid = user->pw_uid;
	/* A uid without an account has no groups that could be looked up. */
	if (explain->n_gids || !user)
		return 0;
	err = groups_of(user, explain);
	return err ? cmd_internal(err) : 0;
}

/* Fills in for whom. Without --uid and --gid the broker knows better who is asking. */
static int resolve(const struct cmd_env *env, struct explain *explain,
		   struct pinbroker_subject *ret_subject)
{
	uid_t uid = (uid_t)-1;
	int status = 0;
	int err;

	if (explain->uid) {
		status = resolve_uid(env, explain, &uid);
		if (status)
			return status;
	} else if (explain->n_gids || explain->config) {
		uid = geteuid();
		err = explain->n_gids ? 0 : own_groups(explain);
		if (err)
			return cmd_internal(err);
	}
	if (!explain->config && explain->n_gids > PROTO_GIDS_MAX)
		return cmd_usage(env,
				 "%zu groups are more than the %d a question can hold: name "
				 "those that count with --gid",
				 explain->n_gids, PROTO_GIDS_MAX);
	*ret_subject = (struct pinbroker_subject){
		.uid = uid,
		.gids = explain->gids,
		.n_gids = explain->n_gids,
		.cgroup = explain->cgroup,
		.pidfd = -1,
	};
	return 0;
}

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

static int explain_offline(const struct explain *explain, struct pinbroker_subject *subject,
			   struct pinbroker_explanation *ret_explanation, const char **ret_assumed)
{
	CLEANUP(freep) char *cgroup = NULL;
	int status;

	/* Where another user's process would be cannot be known. */
	if (!subject->cgroup && !explain->uid) {
		cgroup = own_cgroup();
		subject->cgroup = cgroup;
	}
	status = explain_config(explain->config, subject, &explain->request.ask, ret_explanation,
				ret_assumed);
	subject->cgroup = explain->cgroup;
	return status;
}

static int ask_broker(const struct cmd_env *env, const struct explain *explain,
		      const struct pinbroker_subject *subject,
		      struct pinbroker_explanation *ret_explanation)
{
	CLEANUP(cmd_disconnectp) struct pinbroker *broker = NULL;
	int status;
	int err;

	status = cmd_connect(env, &broker);
	if (status)
		return status;
	err = pinbroker_explain(broker, subject, &explain->request.ask, ret_explanation);
	return err ? cmd_failed(env, broker, err) : 0;
}

static int explain_and_print(const struct cmd_env *env, struct explain *explain)
{
	struct pinbroker_explanation explanation;
	struct pinbroker_subject subject = PINBROKER_SUBJECT_INIT;
	const char *assumed = NULL;
	int status;
	int err;

	status = resolve(env, explain, &subject);
	if (status)
		return status;
	status = explain->config ? explain_offline(explain, &subject, &explanation, &assumed)
				 : ask_broker(env, explain, &subject, &explanation);
	if (status)
		return status;
	output_begin();
	err = explanation_print(&explanation, explain->json, assumed);
	if (err)
		return cmd_internal(err);
	status = output_finish(EX_OK);
	if (status || explanation.granted)
		return status;
	return cmd_refused(explanation.reason, explanation.text);
}

static int explain_main(const struct cmd_env *env, int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"uid", required_argument, NULL, 'u'},
		{"gid", required_argument, NULL, 'g'},
		{"cgroup", required_argument, NULL, 'G'},
		REQUEST_OPTIONS,
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	CLEANUP(explain_fini) struct explain explain = {.config = NULL};
	int status;

	for (int opt; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		status = explain_option(env, &explain, opt);
		if (status)
			return status;
		if (explain.help)
			return cmd_help(env);
	}
	if (optind != argc)
		return cmd_usage(env, "unexpected argument '%s'", argv[optind]);
	return explain_and_print(env, &explain);
}

const struct cmd cmd_explain = {
	.name = "explain",
	.args = "[OPTION...]",
	.summary = "show which policy matches, every limit and the verdict",
	.help = "Shows which policy would match, where every limit comes from, and whether a\n"
		"session would be granted now: exit status 0, or 77 when it would be refused.\n\n"
		"  --config FILE      decide by FILE, without a broker and as if no session "
		"existed\n"
		"  --uid U            for another user: number or name\n"
		"  --gid G            with this group (may be repeated; default: those of the "
		"user)\n"
		"  --cgroup PATH      in this cgroup: /machine.slice/...\n"
		"  --memory SIZE      of the guest's RAM; K, M, G, T\n"
		"  --device DEV       PCI address or mdev UUID; may be repeated\n"
		"  --viommu           the guest has a vIOMMU: an address space per device\n"
		"  --accounting MODE  task or user, where the policy leaves the choice\n"
		"  --json             an object, sizes in bytes\n"
		"  --help             this text\n",
	.run = explain_main,
};
