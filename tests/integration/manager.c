/* SPDX-License-Identifier: MIT */
/*
 * A management daemon as far as tests need one: manager [-p] [SOCKET] keeps one connection, reads
 * one command per line from standard input and prints one line per command, flushed. With -p no
 * call of the library waits: it polls instead.
 *
 *   open NAME MEMORY [DEV...]          NAME and MEMORY may be "-": not given
 *   open-for [uid=U] [gid=G]... [cgroup=P] [domain=D] [pid=P] -- NAME MEMORY [DEV...]
 *   reserve WAIT-MS [uid=U]... -- NAME MEMORY DEV...
 *   adopt ID PID   attach ID DEV   set ID KEY=VALUE...   close ID   revoke ID [kill]
 *   list   look                        all sessions and sums, as words
 *   spawn UID CMD [ARG...]             becomes UID and CMD; {iommufd} and {device:N} of the last
 *                                      grant; its standard input ends with the manager
 *   drop                               closes all descriptors that were granted
 *   abandon NAME MEMORY [DEV...]       with -p: open that is given up before it is answered; the
 *                                      next command meets the answer
 *   waits                              how many times it has polled
 *
 * Results: "granted ID NAME", "reserved ID NAME", "refused REASON" (a status where there is no
 * reason), "failed ERRNO", "ok STATE", "listed N", "looked ...", "spawned PID", "dropped N",
 * "abandoned", "waits N". A connection that failed is made anew for the next command. Exit status:
 * 0 at the end of the input; 64 for a usage error.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accounting/size.h"
#include "client/pinbroker.h"
#include "client/placeholder.h"
#include "client/setting.h"
#include "common/cleanup.h"

#define WORDS_MAX 64
#define GIDS_MAX 64
#define EXIT_USAGE 64

struct manager {
	const char *socket; /* NULL: the default */
	bool polls;
	unsigned int n_polls;
	struct pinbroker *broker; /* owned; NULL: to be made */
	struct pinbroker_grant last; /* descriptors are those of fds; iommufd -1: none yet */
	int *fds; /* owned, as what is in it */
	size_t n_fds;
	int hold_fds[2]; /* owned; a pipe: standard input of all that is spawned */
};

/* A command: its words, without the first; args[n] is NULL. */
typedef int (*command_fn)(struct manager *manager, char **args, size_t n);

static void keep_fd(struct manager *manager, int fd)
{
	int *fds = reallocarray(manager->fds, manager->n_fds + 1, sizeof(*fds));

	if (!fds)
		err(1, "memory");
	manager->fds = fds;
	fds[manager->n_fds++] = fd;
}

/* Prints what a call failed with. A connection that may be broken is not used again. */
static int say_failed(struct manager *manager, int error)
{
	const struct pinbroker_refusal *refusal;

	if (error == -EACCES) {
		refusal = pinbroker_refusal(manager->broker);
		if (refusal->reason[0])
			printf("refused %s\n", refusal->reason);
		else
			printf("refused %d\n", refusal->status);
		return 0;
	}
	printf("failed %s\n", strerrorname_np(-error));
	if (error != -EINVAL && error != -EBADF) {
		pinbroker_free(manager->broker);
		manager->broker = NULL;
	}
	return 0;
}

static int say_state(struct manager *manager, int error)
{
	if (error)
		return say_failed(manager, error);
	printf("ok %s\n", pinbroker_state(manager->broker));
	return 0;
}

static int manager_connect(struct manager *manager)
{
	int error;

	if (manager->broker)
		return 0;
	error = pinbroker_connect(manager->socket, &manager->broker);
	return error ? error : pinbroker_set_nonblocking(manager->broker, manager->polls);
}

/* Whether a call is to be made again, now that what it would have waited for is there. */
static bool again(struct manager *manager, int error)
{
	struct pollfd poll_fd = {.fd = pinbroker_fd(manager->broker)};

	if (error != -EAGAIN)
		return false;
	poll_fd.events = pinbroker_events(manager->broker);
	if (!poll_fd.events || poll(&poll_fd, 1, -1) < 0)
		err(1, "poll for %#x", (unsigned int)poll_fd.events);
	manager->n_polls++;
	return true;
}

static bool parse_id(const char *text, uint64_t *ret_id)
{
	char *end;

	*ret_id = strtoull(text, &end, 16);
	return *text && !*end;
}

static bool parse_number(const char *text, uint32_t *ret_number)
{
	char *end;

	*ret_number = (uint32_t)strtoul(text, &end, 10);
	return *text && !*end;
}

/* NAME MEMORY [DEV...] */
static bool parse_request(char **args, size_t n, struct pinbroker_request *ret_request)
{
	*ret_request = (struct pinbroker_request){.name = NULL};
	if (n < 2)
		return false;
	if (strcmp(args[0], "-") != 0)
		ret_request->name = args[0];
	if (strcmp(args[1], "-") != 0 && size_parse(args[1], &ret_request->memory))
		return false;
	ret_request->devices = (const char *const *)args + 2;
	ret_request->n_devices = n - 2;
	return true;
}

static int say_grant(struct manager *manager, int error, const struct pinbroker_grant *grant)
{
	if (error)
		return say_failed(manager, error);
	keep_fd(manager, grant->iommufd);
	for (size_t i = 0; i < grant->n_devices; i++)
		keep_fd(manager, grant->devices[i]);
	manager->last = *grant;
	printf("granted %" PRIx64 " %s\n", grant->id, grant->name);
	return 0;
}

static int do_open(struct manager *manager, char **args, size_t n)
{
	struct pinbroker_request request;
	struct pinbroker_grant grant;
	int error;

	if (!parse_request(args, n, &request))
		return -EINVAL;
	do {
		error = pinbroker_open(manager->broker, &request, &grant);
	} while (again(manager, error));
	return say_grant(manager, error, &grant);
}

static int do_abandon(struct manager *manager, char **args, size_t n)
{
	struct pinbroker_request request;
	struct pinbroker_grant grant;
	int error;

	if (!manager->polls || !parse_request(args, n, &request))
		return -EINVAL;
	error = pinbroker_open(manager->broker, &request, &grant);
	if (error != -EAGAIN)
		return say_grant(manager, error, &grant);
	error = pinbroker_cancel(manager->broker);
	if (error != -EAGAIN)
		return say_failed(manager, error);
	printf("abandoned\n");
	return 0;
}

/* One of uid= gid= cgroup= domain= pid=. */
static bool take_subject(const char *word, struct pinbroker_subject *subject, gid_t *gids)
{
	const char *value = strchr(word, '=');
	uint32_t pid;

	if (!value)
		return false;
	value++;
	if (strncmp(word, "uid=", 4) == 0)
		return parse_number(value, &subject->uid);
	if (strncmp(word, "gid=", 4) == 0)
		return subject->n_gids < GIDS_MAX && parse_number(value, &gids[subject->n_gids++]);
	if (strncmp(word, "cgroup=", 7) == 0)
		subject->cgroup = value;
	else if (strncmp(word, "domain=", 7) == 0)
		subject->domain = value;
	else if (strncmp(word, "pid=", 4) == 0 && parse_number(value, &pid))
		return (subject->pidfd = (int)syscall(SYS_pidfd_open, pid, 0)) >= 0;
	else
		return false;
	return true;
}

/* [uid=U]... -- NAME MEMORY [DEV...]; nothing is left open if it is not that. */
static bool parse_for(char **args, size_t n, gid_t *gids, struct pinbroker_subject *ret_subject,
		      struct pinbroker_request *ret_request)
{
	bool good = true;

	*ret_subject = (struct pinbroker_subject)PINBROKER_SUBJECT_INIT;
	ret_subject->gids = gids;
	for (; good && n && strcmp(*args, "--") != 0; args++, n--)
		good = take_subject(*args, ret_subject, gids);
	if (good && n && parse_request(args + 1, n - 1, ret_request))
		return true;
	fd_closep(&ret_subject->pidfd);
	return false;
}

static int do_reserve(struct manager *manager, char **args, size_t n)
{
	struct pinbroker_subject subject;
	struct pinbroker_request request;
	struct pinbroker_grant grant;
	gid_t gids[GIDS_MAX];
	uint32_t wait_ms;
	int error;

	if (!n || !parse_number(args[0], &wait_ms) ||
	    !parse_for(args + 1, n - 1, gids, &subject, &request))
		return -EINVAL;
	do {
		error = pinbroker_reserve(manager->broker, &subject, &request, wait_ms, &grant);
	} while (again(manager, error));
	fd_closep(&subject.pidfd);
	if (error)
		return say_failed(manager, error);
	printf("reserved %" PRIx64 " %s\n", grant.id, grant.name);
	return 0;
}

static int do_open_for(struct manager *manager, char **args, size_t n)
{
	struct pinbroker_subject subject;
	struct pinbroker_request request;
	struct pinbroker_grant grant;
	gid_t gids[GIDS_MAX];
	int error;

	if (!parse_for(args, n, gids, &subject, &request))
		return -EINVAL;
	do {
		error = pinbroker_open_for(manager->broker, &subject, &request, &grant);
	} while (again(manager, error));
	fd_closep(&subject.pidfd);
	return say_grant(manager, error, &grant);
}

static int do_adopt(struct manager *manager, char **args, size_t n)
{
	CLEANUP(fd_closep) int pidfd = -1;
	uint32_t pid;
	uint64_t id;
	int error;

	if (n != 2 || !parse_id(args[0], &id) || !parse_number(args[1], &pid))
		return -EINVAL;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -errno;
	do {
		error = pinbroker_adopt(manager->broker, id, pidfd);
	} while (again(manager, error));
	return say_state(manager, error);
}

static int do_attach(struct manager *manager, char **args, size_t n)
{
	uint64_t id;
	int error;
	int fd;

	if (n != 2 || !parse_id(args[0], &id))
		return -EINVAL;
	do {
		error = pinbroker_attach(manager->broker, id, args[1], &fd);
	} while (again(manager, error));
	if (!error) {
		keep_fd(manager, fd);
		if (id == manager->last.id && manager->last.n_devices < PINBROKER_DEVICES_MAX)
			manager->last.devices[manager->last.n_devices++] = fd;
	}
	return say_state(manager, error);
}

static int do_set(struct manager *manager, char **args, size_t n)
{
	struct pinbroker_limits limits = {.keys = 0};
	const struct setting *setting;
	uint64_t id;
	int error;

	if (n < 1 || !parse_id(args[0], &id))
		return -EINVAL;
	for (size_t i = 1; i < n; i++) {
		if (setting_parse(args[i], &limits, &setting))
			return -EINVAL;
	}
	do {
		error = pinbroker_set(manager->broker, id, &limits);
	} while (again(manager, error));
	return say_state(manager, error);
}

static int do_close(struct manager *manager, char **args, size_t n)
{
	uint64_t id;
	int error;

	if (n != 1 || !parse_id(args[0], &id))
		return -EINVAL;
	do {
		error = pinbroker_close(manager->broker, id);
	} while (again(manager, error));
	return say_state(manager, error);
}

static int do_revoke(struct manager *manager, char **args, size_t n)
{
	bool kill_owner = n == 2 && strcmp(args[1], "kill") == 0;
	uint64_t id;
	int error;

	if (n != 1U + kill_owner || !parse_id(args[0], &id))
		return -EINVAL;
	do {
		error = pinbroker_revoke(manager->broker, id,
					 kill_owner ? PINBROKER_REVOKE_KILL : 0);
	} while (again(manager, error));
	return say_state(manager, error);
}

static int count(const struct pinbroker_session *session, void *arg)
{
	(void)session; /* only that there is one */
	(*(size_t *)arg)++;
	return 0;
}

static int do_list(struct manager *manager, char **args, size_t n)
{
	size_t n_sessions = 0;
	int error;

	(void)args; /* there are none */
	if (n)
		return -EINVAL;
	do {
		error = pinbroker_list(manager->broker, count, &n_sessions);
	} while (again(manager, error));
	if (error)
		return say_failed(manager, error);
	printf("listed %zu\n", n_sessions);
	return 0;
}

static int look_at_session(const struct pinbroker_session *session, void *arg)
{
	(void)arg; /* all of them are printed */
	printf(" | id=%" PRIx64 " name=%s policy=%s uid=%u pid=%d accounting=%d limit=%" PRIu64
	       " max-mappings=%" PRIu64 " state=%s devices=",
	       session->id, session->name, session->policy, session->uid, session->pid,
	       session->accounting, session->limit, session->max_mappings, session->state);
	for (size_t i = 0; i < session->n_devices; i++)
		printf("%s,", session->devices[i]);
	return 0;
}

static int look_at_share(const struct pinbroker_share *share, void *arg)
{
	(void)arg; /* likewise */
	printf(" | policy=%s uid=%u sessions=%" PRIu64 " sum=%" PRIu64 " user-mode-sum=%" PRIu64,
	       share->policy, share->uid, share->n_sessions, share->sum, share->user_mode_sum);
	return 0;
}

/* What list and status show, but for what changes by itself. */
static int do_look(struct manager *manager, char **args, size_t n)
{
	struct pinbroker_status status;
	int error;

	(void)args; /* there are none */
	if (n)
		return -EINVAL;
	printf("looked");
	error = pinbroker_list(manager->broker, look_at_session, NULL);
	if (!error)
		error = pinbroker_status(manager->broker, &status, look_at_share, NULL);
	if (error)
		return say_failed(manager, error);
	printf(" | sessions=%" PRIu64 " host-sum=%" PRIu64 "\n", status.n_sessions,
	       status.host_sum);
	return 0;
}

/* In the child. Does not return. */
static void become(const struct manager *manager, uid_t uid, char **argv)
{
	const struct pinbroker_grant *grant = &manager->last;
	const struct placeholder_values values = {.iommufd = grant->iommufd,
						  .devices = grant->devices,
						  .n_devices = grant->n_devices};

	(void)signal(SIGCHLD, SIG_DFL); /* cannot fail for a signal that exists */
	for (char **arg = argv + 1; *arg; arg++) {
		if (placeholder_expand(*arg, &values, arg))
			errx(1, "%s: no such descriptor", *arg);
	}
	if (grant->iommufd >= 0 && fcntl(grant->iommufd, F_SETFD, 0) < 0)
		err(1, "iommufd");
	for (size_t i = 0; i < grant->n_devices; i++) {
		if (fcntl(grant->devices[i], F_SETFD, 0) < 0)
			err(1, "device %zu", i);
	}
	if (dup2(manager->hold_fds[0], STDIN_FILENO) < 0)
		err(1, "stdin");
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		err(1, "uid %u", uid);
	(void)execvp(argv[0], argv); /* returns only to say in errno why not */
	err(1, "%s", argv[0]);
}

static int do_spawn(struct manager *manager, char **args, size_t n)
{
	uint32_t uid;
	pid_t pid;

	if (n < 2 || !parse_number(args[0], &uid))
		return -EINVAL;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		become(manager, uid, args + 1);
	printf("spawned %d\n", pid);
	return 0;
}

static int do_drop(struct manager *manager, char **args, size_t n)
{
	(void)args; /* there are none */
	if (n)
		return -EINVAL;
	for (size_t i = 0; i < manager->n_fds; i++)
		fd_closep(&manager->fds[i]);
	printf("dropped %zu\n", manager->n_fds);
	manager->n_fds = 0;
	manager->last = (struct pinbroker_grant){.iommufd = -1};
	return 0;
}

static int do_waits(struct manager *manager, char **args, size_t n)
{
	(void)args; /* there are none */
	if (n)
		return -EINVAL;
	printf("waits %u\n", manager->n_polls);
	return 0;
}

static const struct {
	const char *name;
	command_fn fn;
	bool asks; /* the broker */
} commands[] = {
	{"adopt", do_adopt, true},       {"attach", do_attach, true},   {"close", do_close, true},
	{"drop", do_drop, false},        {"list", do_list, true},       {"open", do_open, true},
	{"open-for", do_open_for, true}, {"revoke", do_revoke, true},   {"set", do_set, true},
	{"spawn", do_spawn, false},      {"abandon", do_abandon, true}, {"waits", do_waits, false},
	{"look", do_look, true},         {"reserve", do_reserve, true},
};

/* Return: 0, and a line was printed; -errno. */
static int manager_command(struct manager *manager, char **words, size_t n)
{
	int error;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].name, words[0]) != 0)
			continue;
		error = commands[i].asks ? manager_connect(manager) : 0;
		return error ? error : commands[i].fn(manager, words + 1, n - 1);
	}
	return -ENOSYS;
}

/* Cuts a line into words. Return: how many; words[n] is NULL. */
static size_t split(char *line, char *words[WORDS_MAX])
{
	size_t n = 0;
	char *save;

	for (char *word = strtok_r(line, " \n", &save); word && n < WORDS_MAX - 1;
	     word = strtok_r(NULL, " \n", &save))
		words[n++] = word;
	words[n] = NULL;
	return n;
}

int main(int argc, char **argv)
{
	struct manager manager = {.last = {.iommufd = -1}};
	CLEANUP(freep) char *line = NULL;
	char *words[WORDS_MAX];
	size_t size = 0;

	manager.polls = argc > 1 && strcmp(argv[1], "-p") == 0;
	argv += manager.polls;
	if (argc > 2 + manager.polls)
		errx(EXIT_USAGE, "usage: manager [-p] [SOCKET]");
	manager.socket = argv[1];
	(void)signal(SIGCHLD, SIG_IGN); /* nobody waits for what was spawned */
	if (pipe2(manager.hold_fds, O_CLOEXEC) < 0)
		err(1, "pipe2");
	while (getline(&line, &size, stdin) > 0) {
		size_t n = split(line, words);
		int error = n ? manager_command(&manager, words, n) : 0;

		if (error)
			printf("failed %s\n", strerrorname_np(-error));
		(void)fflush(stdout);
	}
	pinbroker_free(manager.broker);
	return 0;
}
