/* SPDX-License-Identifier: MIT */
/*
 * flood ROUNDS GRANTS ATTACKERS SILENT: what a crowd of hostile clients does to an honest one. In
 * each round the honest client makes its grants alone, and then as many beside ATTACKERS processes
 * of every kind in the table below and SILENT connections that say nothing. Prints the p50 and p99
 * of both, and fails if the p99 of all grants under attack is more than FACTOR times the other.
 *
 * "Delays nobody" is about the daemon. On the few processors of a test machine a hundred processes
 * delay everybody by taking turns with them, whatever the daemon does. So the attackers run as
 * SCHED_IDLE: they have all the time that the daemon and the honest client leave, and what they
 * have put before the daemon by then is what the honest client waits for. For the same reason the
 * machine has one processor, and its clock counts instructions (ICOUNT), so that a busy host spoils
 * nothing: a millisecond is a million instructions, as on a machine of a moderate speed.
 *
 * They attack at five times the rate that the default max-requests allows their users: all that a
 * user may do, and four times as much for which the daemon must find a cheap answer. Without a rate
 * it is the kernel's queue of connections that fills, which is one for all users and served in the
 * order they came; nothing in the daemon can help it.
 *
 * The two sides of a round follow each other at once, and the rounds are counted together: the p99
 * of a hundred or two is the second or third of them, and chance. The honest client asks at a
 * steady pace below max-requests; what happens to its answer does not slow its questions.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fdmsg.h"
#include "common/proto.h"
#include "common/sys.h"
#include "tests/bench/grant.h"
#include "tests/bench/samples.h"

#define FACTOR 2.0
#define SETTLE_GRANTS 120
/*
 * Between two: half of the default max-requests. It does not go into the attackers' pace, or the
 * honest client would meet the same ones each time, and a round say where it happened to begin.
 */
#define GRANT_NS 10130000
#define READY_S 60
#define ATTACK_NS 50000000 /* of one attacker; a user has 45 or 46 */
/* Users that a policy knows, as flood.sh has them; strangers are those above. */
#define SILENT_UID 2000
#define SILENT_PER_UID 50 /* of the 64 that the default max-connections allows */
#define HOSTILE_UID 3000
#define HOSTILE_UIDS 2
#define STRANGER_UID 4000

struct attacker {
	pid_t pid;
	int inherited_fd; /* owned; a connection that another process made */
};

/* Shared by all processes. */
struct crowd {
	atomic_ulong n_attacks;
	sem_t ready; /* an attacker has come so far that it can attack */
};

struct flood {
	struct attacker *attackers; /* owned */
	size_t n_attackers;
	int *silent_fds; /* owned */
	size_t n_silent;
	struct crowd *crowd;
};

/* Waits for its time, or goes on if that has come; what comes after it is not delayed by that. */
static void pace(uint64_t *due_ns, uint64_t period_ns)
{
	const struct timespec due = {.tv_sec = (time_t)(*due_ns / 1000000000),
				     .tv_nsec = (long)(*due_ns % 1000000000)};

	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due,
			      NULL); /* no signal is expected */
	*due_ns += period_ns;
}

static int flood_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = PROTO_SOCKET};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, PROTO_SOCKET);
	return fd;
}

/* The kernel notes the effective ids of who connects. */
static int flood_connect_as(uid_t uid)
{
	int fd;

	if (setegid(uid) < 0 || seteuid(uid) < 0)
		err(1, "uid %u", uid);
	fd = flood_connect();
	if (seteuid(0) < 0 || setegid(0) < 0)
		err(1, "uid 0");
	return fd;
}

/* The attacks: each is one go of it, on a connection of its own unless it says otherwise. */

/* Waits until the broker has answered or hung up, whatever it says. */
static void wait_for_answer(int fd)
{
	char byte;

	(void)recv(fd, &byte, 1, 0);
}

static void attack_packet(const void *packet, size_t len)
{
	CLEANUP(fd_closep) int fd = flood_connect();

	if (send(fd, packet, len, MSG_NOSIGNAL) > 0) /* it may have hung up already */
		wait_for_answer(fd);
}

static void attack_garbage(int inherited_fd)
{
	char junk[64];

	(void)inherited_fd;
	if (getrandom(junk, sizeof(junk), 0) < 0)
		err(1, "getrandom");
	attack_packet(junk, sizeof(junk));
}

static void attack_truncated(int inherited_fd)
{
	struct proto_header header =
		proto_header(PROTO_REQUEST, PROTO_OPEN, 1, sizeof(struct proto_open));

	(void)inherited_fd;
	attack_packet(&header, sizeof(header) - 1);
}

/* The header of a request whose rest never comes. */
static void attack_half(int inherited_fd)
{
	struct proto_header header =
		proto_header(PROTO_REQUEST, PROTO_OPEN, 1, sizeof(struct proto_open));

	(void)inherited_fd;
	attack_packet(&header, sizeof(header));
}

static void attack_oversized(int inherited_fd)
{
	static char packet[PROTO_MESSAGE_MAX + 1];

	(void)inherited_fd;
	attack_packet(packet, sizeof(packet));
}

struct list_packet {
	struct proto_header header;
	struct proto_list body;
};

static struct list_packet list_packet(void)
{
	return (struct list_packet){
		.header = proto_header(PROTO_REQUEST, PROTO_LIST, 1, sizeof(struct proto_list))};
}

static void attack_version(int inherited_fd)
{
	struct list_packet packet = list_packet();

	(void)inherited_fd;
	packet.header.version++;
	attack_packet(&packet, sizeof(packet));
}

static void attack_descriptors(int inherited_fd)
{
	CLEANUP(fd_closep) int fd = flood_connect();
	struct list_packet packet = list_packet();
	struct iovec iov = {.iov_base = &packet, .iov_len = sizeof(packet)};
	int fds[FDMSG_FDS_MAX];

	(void)inherited_fd;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = fd;
	if (fdmsg_send(&sys_real, fd, &iov, 1, fds, ARRAY_SIZE(fds)) == 0)
		wait_for_answer(fd); /* else: Linux 6.16 and later do not take them */
}

static void attack_connect(int inherited_fd)
{
	int fd = flood_connect();

	(void)inherited_fd;
	fd_closep(&fd);
}

/* Until the broker hangs up because nobody takes the answers. */
static void attack_deaf(int inherited_fd)
{
	CLEANUP(fd_closep) int fd = flood_connect();
	const struct list_packet packet = list_packet();

	(void)inherited_fd;
	while (send(fd, &packet, sizeof(packet), MSG_NOSIGNAL) > 0)
		;
}

/* A hundred requests, each answered. */
static void attack_requests(int inherited_fd)
{
	CLEANUP(fd_closep) int fd = flood_connect();
	const struct list_packet packet = list_packet();

	(void)inherited_fd;
	for (int i = 0; i < 100 && send(fd, &packet, sizeof(packet), MSG_NOSIGNAL) > 0; i++)
		wait_for_answer(fd);
}

/* Requests that are weighed by policy, and refused with a line in the log. */
static void attack_refused(int inherited_fd)
{
	CLEANUP(fd_closep) int fd = flood_connect();
	struct {
		struct proto_header header;
		struct proto_open body;
	} packet = {
		.header = proto_header(PROTO_REQUEST, PROTO_OPEN, 1, sizeof(packet.body)),
		.body = {.n_devices = 1},
	};

	(void)inherited_fd;
	proto_text_set(packet.body.devices[0], sizeof(packet.body.devices[0]), "0000:00:1f.7");
	for (int i = 0; i < 100 && send(fd, &packet, sizeof(packet), MSG_NOSIGNAL) > 0; i++)
		wait_for_answer(fd);
}

/* Another's connection, and another's name on the packet where the kernel lets us. */
static void attack_forged(int inherited_fd)
{
	const struct ucred forged = {.pid = getppid(), .uid = 0, .gid = 0};
	struct list_packet packet = list_packet();
	struct iovec iov = {.iov_base = &packet, .iov_len = sizeof(packet)};
	union {
		char bytes[CMSG_SPACE(sizeof(forged))];
		struct cmsghdr header;
	} control = {.header = {.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_CREDENTIALS,
				.cmsg_len = CMSG_LEN(sizeof(forged))}};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.header), &forged, sizeof(forged));
	if (sendmsg(inherited_fd, &msg, MSG_NOSIGNAL) >= 0)
		errx(1, "the kernel let us pass as root");
	if (send(inherited_fd, &packet, sizeof(packet), MSG_NOSIGNAL) < 0)
		(void)pause(); /* it was dropped, and there is no other */
	wait_for_answer(inherited_fd);
}

static void (*const attacks[])(int inherited_fd) = {
	attack_garbage,  attack_truncated,   attack_half,    attack_oversized,
	attack_version,  attack_descriptors, attack_connect, attack_deaf,
	attack_requests, attack_refused,     attack_forged,
};

/* Processes */

static void attacker_run(size_t i, int inherited_fd, size_t n_attackers, struct crowd *crowd)
{
	uint64_t due_ns;
	const struct sched_param param = {.sched_priority = 0};
	/* Every eleventh is a stranger; the kinds are spread over all users. */
	uid_t uid =
		i % 11 == 10 ? (uid_t)(STRANGER_UID + i) : (uid_t)(HOSTILE_UID + i % HOSTILE_UIDS);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* not alone, whatever happens to the test */
	if (inherited_fd >= 0 && dup2(inherited_fd, STDIN_FILENO) < 0)
		err(1, "dup2");
	if (close_range(STDERR_FILENO + 1, ~0U, 0) < 0 || setresgid(uid, uid, uid) < 0 ||
	    setresuid(uid, uid, uid) < 0 || sched_setscheduler(0, SCHED_IDLE, &param) < 0)
		err(1, "attacker");
	if (sem_post(&crowd->ready) < 0)
		err(1, "sem_post");
	/* Not all at once. */
	due_ns = grant_now_ns() + i * ATTACK_NS / n_attackers;
	for (;;) {
		pace(&due_ns, ATTACK_NS);
		attacks[i % ARRAY_SIZE(attacks)](inherited_fd < 0 ? -1 : STDIN_FILENO);
		(void)atomic_fetch_add(&crowd->n_attacks, 1);
	}
}

static void attacker_start(struct flood *flood, size_t i)
{
	struct attacker *attacker = &flood->attackers[i];

	attacker->inherited_fd = -1;
	if (attacks[i % ARRAY_SIZE(attacks)] == attack_forged)
		attacker->inherited_fd = flood_connect_as((uid_t)(HOSTILE_UID + i % HOSTILE_UIDS));
	attacker->pid = fork();
	if (attacker->pid < 0)
		err(1, "fork");
	if (attacker->pid == 0)
		attacker_run(i, attacker->inherited_fd, flood->n_attackers, flood->crowd);
}

/* What they do to get ready is as urgent as the honest client, and no attack: it is waited for. */
static void attackers_start(struct flood *flood)
{
	struct timespec until;

	for (size_t i = 0; i < flood->n_attackers; i++)
		attacker_start(flood, i);
	(void)clock_gettime(CLOCK_REALTIME, &until); /* cannot fail */
	until.tv_sec += READY_S;
	for (size_t i = 0; i < flood->n_attackers; i++)
		if (sem_timedwait(&flood->crowd->ready, &until) < 0)
			err(1, "an attacker does not get ready");
}

/* With all that they have connected. */
static void attackers_stop(struct flood *flood)
{
	for (size_t i = 0; i < flood->n_attackers; i++) {
		struct attacker *attacker = &flood->attackers[i];
		int status;

		(void)kill(attacker->pid, SIGKILL); /* it may have ended: that is seen next */
		if (waitpid(attacker->pid, &status, 0) < 0 || !WIFSIGNALED(status))
			errx(1, "attacker %zu ended by itself", i);
		fd_closep(&attacker->inherited_fd);
	}
}

static void silent_come(struct flood *flood)
{
	for (size_t i = 0; i < flood->n_silent; i++)
		flood->silent_fds[i] = flood_connect_as((uid_t)(SILENT_UID + i / SILENT_PER_UID));
}

/* Returns how many were connected still. */
static size_t silent_go(struct flood *flood)
{
	size_t n = 0;

	for (size_t i = 0; i < flood->n_silent; i++) {
		char byte;

		n += recv(flood->silent_fds[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
		fd_closep(&flood->silent_fds[i]);
	}
	return n;
}

static void flood_start(struct flood *flood)
{
	const struct rlimit limit = {.rlim_cur = 8192, .rlim_max = 8192};

	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(1, "RLIMIT_NOFILE");
	flood->attackers = calloc(flood->n_attackers, sizeof(*flood->attackers));
	flood->silent_fds = calloc(flood->n_silent, sizeof(*flood->silent_fds));
	flood->crowd = mmap(NULL, sizeof(*flood->crowd), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!flood->attackers || !flood->silent_fds || flood->crowd == MAP_FAILED ||
	    sem_init(&flood->crowd->ready, 1, 0) < 0)
		err(1, "memory");
}

static void flood_end(struct flood *flood)
{
	free(flood->attackers);
	free(flood->silent_fds);
}

/* The honest client */

/* Milliseconds. */
static void measure(size_t n_grants, struct samples *ret_latency)
{
	const struct grant_client client = {.socket_path = PROTO_SOCKET, .uid = GRANT_UID};
	uint64_t due_ns = grant_now_ns();

	samples_clear(ret_latency);
	for (size_t i = 0; i < n_grants; i++) {
		struct grant_times times;

		pace(&due_ns, GRANT_NS);
		grant_measure(&client, &times);
		samples_add(ret_latency, (double)times.latency / 1e6);
	}
}

/* @all: without and with attackers */
static void measure_round(struct flood *flood, size_t n_grants, struct samples all[2])
{
	struct samples quiet = {.n = 0}, attacked = {.n = 0};
	unsigned long n_attacks;
	uint64_t began_ns;
	size_t n_silent;

	measure(SETTLE_GRANTS, &quiet); /* the last round's hang-ups are seen within a second */
	measure(n_grants, &quiet);
	silent_come(flood);
	attackers_start(flood);
	n_attacks = atomic_load(&flood->crowd->n_attacks);
	began_ns = grant_now_ns();
	measure(n_grants, &attacked);
	n_attacks = atomic_load(&flood->crowd->n_attacks) - n_attacks;
	began_ns = grant_now_ns() - began_ns;
	n_silent = silent_go(flood);
	attackers_stop(flood);
	samples_add_all(&all[0], &quiet);
	samples_add_all(&all[1], &attacked);
	(void)printf("alone p50 %.2f p99 %.2f ms, attacked p50 %.2f p99 %.2f max %.2f ms; %.0f "
		     "attacks/s, %zu silent\n",
		     samples_median(&quiet), samples_quantile(&quiet, 0.99),
		     samples_median(&attacked), samples_quantile(&attacked, 0.99),
		     samples_quantile(&attacked, 1), (double)n_attacks * 1e9 / (double)began_ns,
		     n_silent);
	(void)fflush(stdout); /* before anybody forks */
	samples_fini(&quiet);
	samples_fini(&attacked);
}

int main(int argc, char **argv)
{
	struct samples all[2] = {{.n = 0}, {.n = 0}};
	struct flood flood = {.n_attackers = 0};
	size_t n_rounds, n_grants;
	double ratio;

	if (argc != 5)
		errx(64, "usage: flood ROUNDS GRANTS ATTACKERS SILENT");
	n_rounds = strtoul(argv[1], NULL, 10);
	n_grants = strtoul(argv[2], NULL, 10);
	flood.n_attackers = strtoul(argv[3], NULL, 10);
	flood.n_silent = strtoul(argv[4], NULL, 10);
	flood_start(&flood);
	for (size_t i = 0; i < n_rounds; i++)
		measure_round(&flood, n_grants, all);
	flood_end(&flood);
	ratio = samples_quantile(&all[1], 0.99) / samples_quantile(&all[0], 0.99);
	(void)printf("p99 of %zu grants: alone %.2f ms, attacked %.2f ms: %.2f times\n", all[0].n,
		     samples_quantile(&all[0], 0.99), samples_quantile(&all[1], 0.99), ratio);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		samples_fini(&all[i]);
	return ratio > FACTOR;
}
