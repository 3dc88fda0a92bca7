/* SPDX-License-Identifier: MIT */
/*
 * Processes that have a descriptor of a session, in ways that make them hard to find or to kill:
 * prey WAY [NUMBER], started by `pinbroker run`. Each of them has the standard output open, so that
 * its end is the end of all. Says "ready" when they are there. Status 1 with a sentence on standard
 * error; 64: usage.
 */
#include <err.h>
#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fdmsg.h"
#include "common/sys.h"

#define EXIT_USAGE 64
#define OP_FIXED_FD_INSTALL 54 /* IORING_OP_FIXED_FD_INSTALL, Linux 6.8: not in older headers */

static int context = -1;

static void say(const char *word)
{
	if (write(STDOUT_FILENO, word, strlen(word)) < 0)
		err(1, "standard output");
}

static void wait_for_ever(void)
{
	for (;;)
		(void)pause();
}

/* SIGTERM is blocked from the start: it only makes one go on. */
static void wait_for_word(void)
{
	sigset_t set;
	int signal;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigwait(&set, &signal);
}

static pid_t fork_or_die(void)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	return pid;
}

/* So many children that do nothing. */
static void prey_crowd(unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		if (fork_or_die() == 0)
			wait_for_ever();
	say("ready\n");
	wait_for_ever();
}

/*
 * Each process forks on and on, up to so many at a time. They are nice: the test shares the
 * processor with all of them.
 */
static void prey_bomb(unsigned long n)
{
	const struct rlimit limit = {.rlim_cur = n, .rlim_max = n};
	atomic_int *full = mmap(NULL, sizeof(*full), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (full == MAP_FAILED || setrlimit(RLIMIT_NPROC, &limit) < 0 ||
	    setpriority(PRIO_PROCESS, 0, 19) < 0 || signal(SIGCHLD, SIG_IGN) == SIG_ERR)
		err(1, "bomb");
	for (;;)
		if (fork() < 0 && errno == EAGAIN && !atomic_exchange(full, 1))
			say("ready\n");
}

/* So many processes, each of which is soon another: what forks is gone when somebody looks. */
static void prey_hop(unsigned long n)
{
	pid_t first = getpid();

	if (signal(SIGCHLD, SIG_IGN) == SIG_ERR || setpriority(PRIO_PROCESS, 0, 19) < 0)
		err(1, "hop");
	for (unsigned long i = 1; i < n; i++)
		if (fork_or_die() == 0)
			break;
	if (getpid() == first)
		say("ready\n");
	for (;;)
		if (fork() > 0)
			_exit(0);
}

/* One process has it as another user; its parent stays what it is. */
static void prey_stranger(unsigned long uid)
{
	if (fork_or_die())
		wait_for_ever();
	if (setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid) < 0)
		err(1, "setresuid");
	(void)printf("ready %d\n", (int)getpid());
	(void)fflush(stdout);
	wait_for_ever();
}

static void *table_thread(void *unused)
{
	(void)unused;
	if (unshare(CLONE_FILES) < 0)
		err(1, "unshare");
	say("ready\n");
	wait_for_ever();
	return NULL;
}

/* One thread has it, in a table of its own; the process's first one is gone. */
static void prey_table(unsigned long unused)
{
	pthread_t thread;

	(void)unused;
	if (pthread_create(&thread, NULL, table_thread, NULL))
		errx(1, "no thread");
	pthread_exit(NULL);
}

static void flight_send(int socket)
{
	char byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};

	if (fdmsg_send(&sys_real, socket, &iov, 1, &context, 1))
		errx(1, "cannot send the descriptor");
	fd_closep(&context);
}

static void flight_receive(int socket)
{
	struct fdmsg msg = FDMSG_INIT;
	size_t len;
	char byte;

	if (fdmsg_recv(socket, &byte, 1, 1, 0, &len, &msg) || msg.n_fds != 1)
		errx(1, "cannot receive the descriptor");
	context = STEAL_FD(msg.fds[0]);
}

/* In a child that has no descriptor of it: how to come by one again. */
static void bystander_run(void (*give_up)(void *), void (*take_back)(void *), void *arg)
{
	if (fork_or_die())
		wait_for_ever();
	give_up(arg);
	(void)printf("ready %d\n", (int)getpid());
	(void)fflush(stdout);
	wait_for_word();
	take_back(arg);
	say("taken\n");
	wait_for_ever();
}

static void flight_give_up(void *arg)
{
	flight_send(((int *)arg)[0]);
}

static void flight_take_back(void *arg)
{
	flight_receive(((int *)arg)[1]);
}

/* It is in a socket, both ends of which a bystander keeps until he is told to receive it. */
static void prey_flight(unsigned long unused)
{
	int pair[2];

	(void)unused;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		err(1, "socketpair");
	bystander_run(flight_give_up, flight_take_back, pair);
}

static void ring_give_up(void *arg)
{
	int ret = io_uring_queue_init(2, arg, 0);

	if (!ret)
		ret = io_uring_register_files(arg, &context, 1);
	if (ret)
		errx(1, "io_uring: %s", strerror(-ret));
	fd_closep(&context);
}

static void ring_take_back(void *arg)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(arg);
	struct io_uring_cqe *cqe;

	io_uring_prep_nop(sqe);
	sqe->opcode = OP_FIXED_FD_INSTALL;
	sqe->fd = 0;
	sqe->flags = IOSQE_FIXED_FILE;
	if (io_uring_submit_and_wait(arg, 1) < 0 || io_uring_wait_cqe(arg, &cqe) < 0)
		errx(1, "io_uring: nothing comes of it");
	if (cqe->res < 0)
		errx(1, "io_uring: %s", strerror(-cqe->res));
}

/* A ring has it. */
static void prey_ring(unsigned long unused)
{
	static struct io_uring ring;

	(void)unused;
	bystander_run(ring_give_up, ring_take_back, &ring);
}

static const struct {
	const char *name;
	void (*run)(unsigned long n);
} ways[] = {
	{"crowd", prey_crowd},       {"bomb", prey_bomb},     {"hop", prey_hop},
	{"table", prey_table},       {"flight", prey_flight}, {"ring", prey_ring},
	{"stranger", prey_stranger},
};

int main(int argc, char **argv)
{
	const char *fd = getenv("PINBROKER_IOMMUFD");
	sigset_t term;

	if (argc < 2 || argc > 3 || !fd)
		return EXIT_USAGE;
	context = (int)strtol(fd, NULL, 10);
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		if (strcmp(argv[1], ways[i].name) == 0)
			ways[i].run(argc > 2 ? strtoul(argv[2], NULL, 10) : 1);
	return EXIT_USAGE;
}
