/* SPDX-License-Identifier: MIT */
#include "daemon/hunt.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf/gate.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/broker.h"
#include "daemon/loop.h"
#include "daemon/process.h"
#include "daemon/procfs.h"
#include "daemon/session.h"

#define HUNT_SOON_MS 50
#define HUNT_SOON 20 /* passes in a row without anybody new, until they come more slowly */
#define HUNT_LATER_MS 1000
#define HUNT_LATER 80 /* likewise */
#define HUNT_SELDOM_MS 10000
#define HUNT_SHARE 9 /* for each ms of a pass the loop has so many for others */
#define HUNT_AT_ONCE 1024 /* descriptors that a pass takes; the others are the next one's */
#define HUNT_NAMED 8 /* lines of the log for a session about processes that are spared */

struct hunt_prey {
	uint32_t pid;
	uid_t uid; /* the real one, of somebody else's */
	bool other; /* it is */
	int pidfd; /* owned; -1: not this time */
	ino_t inode; /* of the pidfd: which process it is; in the end 0: it was not killed */
	bool seen; /* it still had a descriptor after the pidfd was opened: it is that process */
};

/* Whom a pass killed or named: the next one tells who is new. */
struct hunt_met {
	uint32_t pid;
	ino_t inode; /* 0: it was not killed */
};

struct hunt {
	struct hunt *next;
	struct session *session; /* borrowed */
	struct hunt_met met[HUNT_AT_ONCE]; /* of the last pass, by pid */
	size_t n_met;
	uint64_t due_ms;
	unsigned int quiet; /* passes in a row that met nobody new */
	unsigned int named;
	uint32_t after; /* the next pass begins with the first pid above it */
	bool failed; /* and that was logged */
};

struct hunt_pass {
	struct hunt_prey *prey; /* owned; by pid, from the second look on */
	size_t n, room;
	bool second; /* look whether they still have it */
	bool more; /* some are left for the next pass */
	bool fresh; /* somebody new was killed */
	int err;
};

static void hunt_pass_fini(struct hunt_pass *pass)
{
	for (size_t i = 0; i < pass->n; i++)
		fd_closep(&pass->prey[i].pidfd);
	free(pass->prey);
}

/* Both begin with the pid. */
static int hunt_compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void hunt_add(struct hunt_pass *pass, uint32_t pid)
{
	if (pass->n == pass->room) {
		size_t room = pass->room ? pass->room * 2 : 64;
		struct hunt_prey *prey = reallocarray(pass->prey, room, sizeof(*prey));

		if (!prey) {
			pass->err = -ENOMEM;
			return;
		}
		pass->prey = prey;
		pass->room = room;
	}
	pass->prey[pass->n++] = (struct hunt_prey){.pid = pid, .pidfd = -1};
}

static void hunt_spot(uint32_t pid, void *arg)
{
	struct hunt_pass *pass = arg;
	struct hunt_prey *prey;

	if (!pass->second) {
		/* Descriptors of one process come one after the other. */
		if (!pass->n || pass->prey[pass->n - 1].pid != pid)
			hunt_add(pass, pid);
		return;
	}
	prey = bsearch(&pid, pass->prey, pass->n, sizeof(*prey), hunt_compare);
	if (prey)
		prey->seen = true;
}

static void hunt_sort(struct hunt_pass *pass)
{
	size_t n = 0;

	if (pass->n)
		qsort(pass->prey, pass->n, sizeof(*pass->prey), hunt_compare);
	for (size_t i = 0; i < pass->n; i++)
		if (!n || pass->prey[n - 1].pid != pass->prey[i].pid)
			pass->prey[n++] = pass->prey[i];
	pass->n = n;
}

static const struct hunt_met *hunt_met_find(const struct hunt *hunt, uint32_t pid)
{
	return hunt->n_met ? bsearch(&pid, hunt->met, hunt->n_met, sizeof(*hunt->met), hunt_compare)
			   : NULL;
}

/*
 * A descriptor can be sent to anybody, to be killed for it: only processes of the session's user
 * are. By the real uid: a program that changed the others when it was started is still the user's,
 * who may kill it himself. init and the daemon, which has what it hands out or closes, never are.
 */
static bool hunt_may_kill(struct hunt_prey *prey, uid_t uid)
{
	struct procfs_ids ids;

	if (prey->pid == 1 || prey->pid == (uint32_t)getpid() || procfs_ids((pid_t)prey->pid, &ids))
		return false;
	free(ids.gids);
	prey->uid = ids.uid;
	prey->other = ids.uid != uid;
	return !prey->other;
}

static void hunt_name(struct hunt *hunt, const struct hunt_prey *prey)
{
	if (!prey->other || hunt->named == HUNT_NAMED || hunt_met_find(hunt, prey->pid))
		return;
	hunt->named++;
	log_warning("process %u of uid %u has a descriptor of session %llx of uid %u: it is not "
		    "killed%s",
		    prey->pid, prey->uid, (unsigned long long)hunt->session->id, hunt->session->uid,
		    hunt->named == HUNT_NAMED ? "; others like it are not named" : "");
}

static void hunt_open(struct hunt_prey *prey)
{
	struct stat st;

	prey->pidfd = (int)syscall(SYS_pidfd_open, (pid_t)prey->pid, 0);
	if (prey->pidfd >= 0 && fstat(prey->pidfd, &st) == 0)
		prey->inode = st.st_ino;
}

/*
 * Takes descriptors of those who may be killed, from where the pass before ended: whoever cannot
 * die hides nobody behind him.
 */
static void hunt_open_all(struct hunt *hunt, struct hunt_pass *pass)
{
	size_t first = 0, n = 0, i;

	while (first < pass->n && pass->prey[first].pid <= hunt->after)
		first++;
	pass->more = first > 0;
	for (i = first; i < pass->n && n < HUNT_AT_ONCE; i++) {
		struct hunt_prey *prey = &pass->prey[i];

		if (!hunt_may_kill(prey, hunt->session->uid)) {
			hunt_name(hunt, prey);
			continue;
		}
		hunt_open(prey);
		if (prey->pidfd < 0 && (errno == EMFILE || errno == ENFILE))
			break;
		n += prey->pidfd >= 0;
	}
	hunt->after = 0;
	if (i == pass->n)
		return;
	/* The second look needs a descriptor, too. */
	while (i > first && pass->prey[i - 1].pidfd < 0)
		i--;
	if (i > first)
		fd_closep(&pass->prey[--i].pidfd);
	hunt->after = i > first ? pass->prey[i - 1].pid : 0;
	pass->more = true;
}

/* A pid may be another process's by the time it is opened: who is killed was seen after that. */
static void hunt_kill(struct hunt *hunt, struct hunt_pass *pass)
{
	for (size_t i = 0; i < pass->n; i++) {
		struct hunt_prey *prey = &pass->prey[i];
		const struct hunt_met *met = hunt_met_find(hunt, prey->pid);
		bool known = met && met->inode == prey->inode;

		/* Who was killed before has a descriptor until it has exited. */
		if (known)
			continue;
		if (prey->pidfd >= 0 && prey->seen && hunt_may_kill(prey, hunt->session->uid) &&
		    !process_kill(prey->pidfd))
			pass->fresh = true;
		else
			prey->inode = 0;
	}
}

/* Those that did not fit are new in the next pass. */
static void hunt_remember(struct hunt *hunt, const struct hunt_pass *pass)
{
	hunt->n_met = pass->n < HUNT_AT_ONCE ? pass->n : HUNT_AT_ONCE;
	for (size_t i = 0; i < hunt->n_met; i++)
		hunt->met[i] =
			(struct hunt_met){.pid = pass->prey[i].pid, .inode = pass->prey[i].inode};
}

static int hunt_look(struct broker *broker, struct hunt *hunt, struct hunt_pass *pass)
{
	const struct session *session = hunt->session;
	int err = gate_holders(broker->gate, session->gate, hunt_spot, pass);

	err = err ? err : pass->err;
	if (err)
		return err;
	hunt_sort(pass);
	hunt_open_all(hunt, pass);
	pass->second = true;
	if (pass->n)
		err = gate_holders(broker->gate, session->gate, hunt_spot, pass);
	if (err)
		return err;
	hunt_kill(hunt, pass);
	hunt_remember(hunt, pass);
	return 0;
}

static uint32_t hunt_wait_ms(const struct hunt *hunt)
{
	if (hunt->quiet < HUNT_SOON)
		return HUNT_SOON_MS;
	return hunt->quiet < HUNT_LATER ? HUNT_LATER_MS : HUNT_SELDOM_MS;
}

static int hunt_pass(struct broker *broker, struct hunt *hunt)
{
	CLEANUP(hunt_pass_fini) struct hunt_pass pass = {.n = 0};
	uint64_t start_ms = broker_now_ms(), now_ms;
	int err = hunt_look(broker, hunt, &pass);

	now_ms = broker_now_ms();
	hunt->quiet = pass.fresh ? 0 : hunt->quiet + 1;
	hunt->due_ms = now_ms + (pass.more ? 0 : hunt_wait_ms(hunt));
	broker->hunts.not_before_ms = now_ms + HUNT_SHARE * (now_ms - start_ms);
	return err;
}

/* --- when */

static void hunts_turn(void *arg);

/* The first of those that are due. */
static struct hunt *hunts_next(const struct hunts *hunts)
{
	struct hunt *next = hunts->first;

	for (struct hunt *h = hunts->first; h; h = h->next)
		if (h->due_ms < next->due_ms)
			next = h;
	return next;
}

static void hunts_arm(struct broker *broker)
{
	const struct hunt *next = hunts_next(&broker->hunts);
	uint64_t now_ms = broker_now_ms(), at_ms;
	int err;

	loop_cancel(broker->loop, &broker->hunts.timer);
	if (!next)
		return;
	at_ms = next->due_ms > broker->hunts.not_before_ms ? next->due_ms
							   : broker->hunts.not_before_ms;
	err = loop_after(broker->loop, at_ms > now_ms ? (uint32_t)(at_ms - now_ms) : 0, hunts_turn,
			 broker, &broker->hunts.timer);
	if (err) /* whatever is armed next takes it along */
		log_error("no memory to look again for holders of session %llx",
			  (unsigned long long)next->session->id);
}

static void hunts_turn(void *arg)
{
	struct broker *broker = arg;
	struct hunt *hunt = hunts_next(&broker->hunts);
	int err;

	broker->hunts.timer = LOOP_NONE;
	if (!hunt)
		return;
	err = hunt_pass(broker, hunt);
	if (err && !hunt->failed)
		log_error("session %llx: its holders cannot be found at the moment: %s",
			  (unsigned long long)hunt->session->id, strerror(-err));
	hunt->failed = err;
	hunts_arm(broker);
}

static int hunt_begin(struct broker *broker, struct session *session)
{
	if (session->hunt)
		return 0;
	session->hunt = calloc(1, sizeof(*session->hunt));
	if (!session->hunt)
		return -ENOMEM;
	session->hunt->session = session;
	session->hunt->next = broker->hunts.first;
	broker->hunts.first = session->hunt;
	return 0;
}

int hunt_start(struct broker *broker, struct session *session)
{
	int err = session->hunt ? 0 : hunt_begin(broker, session);

	if (!err)
		hunts_arm(broker);
	return err;
}

int hunt_now(struct broker *broker, struct session *session)
{
	int err = hunt_begin(broker, session);

	if (err)
		return err;
	session->hunt->quiet = 0; /* somebody asks: who is on his way to another is found soon */
	err = hunt_pass(broker, session->hunt);
	hunts_arm(broker);
	return err;
}

void hunt_stop(struct broker *broker, struct session *session)
{
	struct hunt **slot = &broker->hunts.first;

	if (!session->hunt)
		return;
	while (*slot != session->hunt)
		slot = &(*slot)->next;
	*slot = session->hunt->next;
	free(session->hunt);
	session->hunt = NULL;
	hunts_arm(broker);
}

void hunts_fini(struct broker *broker)
{
	while (broker->hunts.first)
		hunt_stop(broker, broker->hunts.first->session);
}
