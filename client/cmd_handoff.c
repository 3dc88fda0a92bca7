/* SPDX-License-Identifier: MIT */
/*
 * pinbroker handoff: a session for who connects to a socket. The broker has the socket, too, and
 * goes on without this process; one that is started again gets it from here.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "client/cmd.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "client/request.h"
#include "client/subject.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/proto.h"
#include "common/sockfile.h"

#define HANDOFF_BACKLOG 16
#define HANDOFF_WAIT_S 900 /* as long as KubeVirt's own plugin waits */
#define HANDOFF_AGAIN_MS 200 /* between two looks for a broker that is gone */

/* The command line, and what becomes of it. */
struct handoff {
	const struct cmd_env *env;
	struct request request;
	struct subject subject;
	const char *path; /* of the socket; NULL: not given */
	mode_t mode;
	unsigned int wait_s;
	bool help;
	struct pinbroker_subject who; /* the receiver; borrows from subject */
	int listen_fd; /* owned; never closed */
	struct stat made; /* the socket's file */
	int signal_fd; /* owned; somebody wants an end of this */
	uint64_t until_ms; /* of CLOCK_MONOTONIC; the broker ends the session before */
	struct pinbroker *broker; /* owned; NULL: it is gone */
	struct pinbroker_grant grant; /* without descriptors; id 0: not yet */
	bool waits, revoked; /* the session is; of neither, somebody has it */
};

static void handoff_fini(struct handoff *handoff)
{
	struct stat st;

	/* Only what was made here. */
	if (handoff->listen_fd >= 0 && lstat(handoff->path, &st) == 0 &&
	    st.st_dev == handoff->made.st_dev && st.st_ino == handoff->made.st_ino)
		(void)unlink(handoff->path); /* somebody else did: just as well */
	/*
	 * listen_fd goes with the process: connections that nobody took are closed with it, and
	 * what was sent on them. A TCP socket lingers there as long as its owner likes, unless the
	 * process exits.
	 */
	fd_closep(&handoff->signal_fd);
	pinbroker_free(handoff->broker);
	subject_fini(&handoff->subject);
}

static uint64_t now_ms(void)
{
	return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

/* --- the socket */

/* The receiver's, and nothing else than the socket that was just made. */
static int give_path(struct handoff *handoff)
{
	CLEANUP(fd_closep) int fd = open(handoff->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &handoff->made) < 0)
		return -errno;
	if (!S_ISSOCK(handoff->made.st_mode))
		return -EEXIST;
	return fchownat(fd, "", handoff->who.uid, (gid_t)-1, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int listen_at(struct handoff *handoff)
{
	CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = sockfile_bind(fd, SOCK_STREAM, handoff->path, handoff->mode);
	if (err)
		return err;
	handoff->listen_fd = STEAL_FD(fd); /* from here on the file goes with it */
	err = give_path(handoff);
	if (err)
		return err;
	return listen(handoff->listen_fd, HANDOFF_BACKLOG) < 0 ? -errno : 0;
}

static int make_socket(struct handoff *handoff)
{
	int err = listen_at(handoff);

	if (!err)
		return 0;
	output_error("handoff: cannot listen at %s: %s", handoff->path,
		     err == -EADDRINUSE ? "somebody listens there"
		     : err == -EEXIST   ? "it is there, and no socket"
					: strerror(-err));
	return EX_SOFTWARE;
}

/* --- waiting */

static int watch_signals(struct handoff *handoff)
{
	sigset_t mask;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return cmd_internal(-errno);
	handoff->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return handoff->signal_fd < 0 ? cmd_internal(-errno) : 0;
}

/* Return: whether somebody wants an end. @broker_events: of its connection, if there is one */
static bool wait_for(const struct handoff *handoff, short broker_events, int timeout_ms)
{
	struct pollfd fds[] = {
		{.fd = handoff->signal_fd, .events = POLLIN},
		{.fd = handoff->broker ? pinbroker_fd(handoff->broker) : -1,
		 .events = broker_events},
	};

	(void)poll(fds, ARRAY_SIZE(fds), timeout_ms); /* interrupted: once more round */
	return fds[0].revents;
}

/* The session goes with who asked for it. Return: 128 and the signal, as a shell says it. */
static int give_up(struct handoff *handoff)
{
	struct signalfd_siginfo info = {.ssi_signo = SIGTERM};

	if (read(handoff->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		info.ssi_signo = SIGTERM;
	if (handoff->broker && handoff->grant.id) {
		/* It is sent, and nobody waits for the answer: else it ends by its time. */
		(void)pinbroker_cancel(handoff->broker);
		(void)pinbroker_close(handoff->broker, handoff->grant.id);
	}
	return 128 + (int)info.ssi_signo;
}

typedef int (*step_fn)(struct handoff *handoff);

/*
 * One question, in which a signal is an end as well. Return: 0; -EAGAIN: the broker is gone;
 * -ECANCELED: *ret_status is the end.
 */
static int take_step(struct handoff *handoff, step_fn step, int *ret_status)
{
	struct pinbroker *broker = handoff->broker;
	int err = pinbroker_set_nonblocking(broker, true);

	while (!err && (err = step(handoff)) == -EAGAIN) {
		if (wait_for(handoff, pinbroker_events(broker), -1)) {
			*ret_status = give_up(handoff);
			return -ECANCELED;
		}
		err = 0;
	}
	if (err == -ECONNRESET || err == -EPIPE)
		return -EAGAIN;
	if (!err)
		return 0;
	*ret_status = cmd_failed(handoff->env, broker, err);
	return -ECANCELED;
}

static int step_ask(struct handoff *handoff)
{
	return pinbroker_handoff(handoff->broker, &handoff->who, &handoff->request.ask,
				 handoff->wait_s * 1000, &handoff->grant);
}

static int step_pass(struct handoff *handoff)
{
	return pinbroker_pass(handoff->broker, handoff->grant.id, handoff->listen_fd);
}

static int note_state(const struct pinbroker_session *session, void *arg)
{
	struct handoff *handoff = arg;

	handoff->waits = strcmp(session->state, "pending") == 0;
	handoff->revoked = strcmp(session->state, "revoked") == 0;
	return 0;
}

static int step_look(struct handoff *handoff)
{
	return pinbroker_show(handoff->broker, handoff->grant.id, note_state, handoff);
}

/* Another broker knows the session, or it has ended. Return: as take_step(). */
static int pass_again(struct handoff *handoff, int *ret_status)
{
	int err = take_step(handoff, step_look, ret_status);

	if (err)
		return err;
	if (handoff->waits)
		return take_step(handoff, step_pass, ret_status);
	if (!handoff->revoked)
		return 0; /* somebody had come before */
	output_error("session %llx is revoked", (unsigned long long)handoff->grant.id);
	*ret_status = EX_NOINPUT;
	return -ECANCELED;
}

/* Return: exit status. */
static int wait_for_pick_up(struct handoff *handoff)
{
	int status = EX_OK;
	int err = take_step(handoff, step_pass, &status);

	while (err == -EAGAIN) {
		cmd_disconnectp(&handoff->broker);
		handoff->broker = NULL;
		if (now_ms() > handoff->until_ms) {
			output_error("handoff: the broker at %s is gone, and did not come back",
				     handoff->env->socket);
			return EX_UNAVAILABLE;
		}
		if (wait_for(handoff, 0, HANDOFF_AGAIN_MS))
			return give_up(handoff);
		if (pinbroker_connect(handoff->env->socket, &handoff->broker) == 0)
			err = pass_again(handoff, &status);
	}
	return status;
}

/* --- the command */

static int ask(struct handoff *handoff)
{
	int status = EX_OK;
	int err = take_step(handoff, step_ask, &status);

	if (err == -EAGAIN)
		return cmd_failed(handoff->env, handoff->broker, -ECONNRESET);
	if (err)
		return status;
	handoff->until_ms = now_ms() + handoff->wait_s * UINT64_C(1000);
	if (handoff->grant.warning[0])
		output_error("warning: %s", handoff->grant.warning);
	output_begin();
	printf("%llx\n", (unsigned long long)handoff->grant.id);
	return output_finish(EX_OK);
}

static int handoff(struct handoff *handoff)
{
	int status = subject_resolve(handoff->env, &handoff->subject, false, &handoff->who);

	if (!status)
		status = watch_signals(handoff);
	if (!status)
		status = cmd_connect(handoff->env, &handoff->broker);
	if (!status)
		status = make_socket(handoff);
	if (!status)
		status = ask(handoff);
	return status ? status : wait_for_pick_up(handoff);
}

/* Digits of a base below the limit. */
static bool parse_number(const char *text, const char *digits, int base, unsigned int max,
			 unsigned int *ret_number)
{
	size_t len = strspn(text, digits);
	unsigned long number;

	if (len < 1 || len > 9 || text[len])
		return false;
	number = strtoul(text, NULL, base);
	if (number > max)
		return false;
	*ret_number = (unsigned int)number;
	return true;
}

static int handoff_option(struct handoff *handoff, int opt)
{
	const struct cmd_env *env = handoff->env;
	unsigned int mode;

	switch (opt) {
	case 'l':
		handoff->path = optarg;
		return 0;
	case 'M':
		if (!parse_number(optarg, "01234567", 8, 0777, &mode))
			return cmd_usage(env, "--mode: '%s' is no mode of a file: 0600", optarg);
		handoff->mode = (mode_t)mode;
		return 0;
	case 'w':
		if (!parse_number(optarg, "0123456789", 10, PROTO_RESERVE_WAIT_MAX_MS / 1000,
				  &handoff->wait_s) ||
		    !handoff->wait_s)
			return cmd_usage(env, "--wait: '%s' is not 1 to %u seconds", optarg,
					 PROTO_RESERVE_WAIT_MAX_MS / 1000);
		return 0;
	case 'n':
		if (!proto_name_valid(optarg))
			return cmd_usage(env, "--name: '%s' is not 1-64 of [A-Za-z0-9._:@-]",
					 optarg);
		handoff->request.ask.name = optarg;
		return 0;
	case 'u':
	case 'g':
	case 'G':
		return subject_option(env, &handoff->subject, opt, optarg);
	default:
		return request_option(env, &handoff->request, opt, optarg);
	}
}

static int handoff_check(const struct handoff *handoff, int argc, char **argv)
{
	const struct cmd_env *env = handoff->env;
	const char *cgroup = handoff->subject.cgroup;

	if (optind != argc)
		return cmd_usage(env, "unexpected argument '%s'", argv[optind]);
	if (!handoff->path || !handoff->path[0])
		return cmd_usage(env, "--listen is needed: where the receiver connects");
	if (!handoff->subject.uid || !cgroup)
		return cmd_usage(env, "--uid and --cgroup are needed: who the receiver is");
	if (cgroup[strlen(cgroup) - 1] == '/')
		return cmd_usage(env, "--cgroup: '%s' ends with a slash", cgroup);
	return 0;
}

static int handoff_main(const struct cmd_env *env, int argc, char **argv)
{
	static const struct option options[] = {
		{"listen", required_argument, NULL, 'l'},
		{"mode", required_argument, NULL, 'M'},
		{"wait", required_argument, NULL, 'w'},
		{"name", required_argument, NULL, 'n'},
		SUBJECT_OPTIONS,
		REQUEST_OPTIONS,
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	CLEANUP(handoff_fini)
	struct handoff line = {.env = env,
			       .mode = 0600,
			       .wait_s = HANDOFF_WAIT_S,
			       .listen_fd = -1,
			       .signal_fd = -1};
	int status;

	for (int opt; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (opt == 'h')
			return cmd_help(env);
		status = handoff_option(&line, opt);
		if (status)
			return status;
	}
	status = handoff_check(&line, argc, argv);
	return status ? status : handoff(&line);
}

const struct cmd cmd_handoff = {
	.name = "handoff",
	.args = "--listen SOCKET --uid U --cgroup PATH [OPTION...]",
	.summary = "an iommufd for who connects to a socket, as KubeVirt does",
	.help = "Reserves a session, prints its id, and listens at SOCKET. The first process of\n"
		"user U in cgroup PATH, or below it, that connects reads one byte with the\n"
		"iommufd, and answers with one byte. Waits for that: exit status 0, or 66 when\n"
		"nobody came in time. A pinbrokerd that is restarted meanwhile gets the socket\n"
		"again. For root.\n\n"
		"  --listen SOCKET    a path, which is removed at the end\n"
		"  --uid U            number or name; the socket's file is its, too\n"
		"  --cgroup PATH      /kubepods.slice/...\n"
		"  --gid G            it has this group (may be repeated; default: those of the "
		"user)\n"
		"  --mode MODE        of the socket's file (0600)\n"
		"  --wait SECONDS     1 to 3600 (900)\n"
		"  --name N           the session's name\n"
		"  --memory SIZE      of the guest's RAM; K, M, G, T\n"
		"  --device DEV       PCI address or mdev UUID; may be repeated\n"
		"  --viommu           the guest has a vIOMMU: an address space per device\n"
		"  --accounting MODE  task or user, where the policy leaves the choice\n"
		"  --help             this text\n",
	.run = handoff_main,
};
