/* SPDX-License-Identifier: MIT */
#include "daemon/hunt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf/gate.h"
#include "bpf/gate_pool.h"
#include "bpf/hunt_map.h"
#include "bpf/hunter.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "daemon/broker.h"
#include "daemon/loop.h"
#include "daemon/process.h"
#include "daemon/session.h"

#define HUNT_SLICE_MS 5 /* how long the others wait */
#define HUNT_BURST_MS 3000 /* that looks take before they are held to their share */
#define HUNT_SHARE 10 /* which is one part in so many of the time */
#define HUNT_SOON_MS 50
#define HUNT_SOON 20 /* looks in a row without anybody new, until they come more slowly */
#define HUNT_LATER_MS 1000
#define HUNT_LATER 80 /* likewise */
#define HUNT_SELDOM_MS 10000
#define HUNT_NAMED 8 /* lines of the log for a session about processes that are spared */

struct hunt {
	struct hunt_aim aim;
	uint64_t named[HUNT_NAMED]; /* processes, by the inode of their pidfd */
	unsigned int n_named;
};

struct hunt_look {
	int fd; /* owned; of hunter_look() */
	bool fresh; /* somebody was killed, or a hunt is new: another look follows at once */
	uint64_t last; /* whom it met last: descriptors of one process follow each other */
};

static struct hunt *hunt_find(const struct hunts *hunts, uint32_t slot, uint64_t id)
{
	struct hunt *hunt = hunts->at && slot < HUNT_SLOTS ? hunts->at[slot] : NULL;

	return hunt && hunt->aim.id == id ? hunt : NULL;
}

/* --- whom */

static void hunt_name(struct hunt *hunt, const struct hunt_holder *holder)
{
	for (unsigned int i = 0; i < hunt->n_named; i++)
		if (hunt->named[i] == holder->inode)
			return;
	if (hunt->n_named == HUNT_NAMED)
		return;
	hunt->named[hunt->n_named++] = holder->inode;
	log_warning("process %u of uid %u has a descriptor of session %llx of uid %u: it is not "
		    "killed%s",
		    holder->pid, holder->uid, (unsigned long long)hunt->aim.id, hunt->aim.uid,
		    hunt->n_named == HUNT_NAMED ? "; others like it are not named" : "");
}

/*
 * A pid may be another process's by now: the inode of a pidfd is one process's for the whole boot.
 * Whoever gave the descriptor away meanwhile had it after the session was taken from him.
 */
static bool hunt_kill(const struct hunt_holder *holder)
{
	CLEANUP(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)holder->pid, 0);
	struct stat st;

	return pidfd >= 0 && fstat(pidfd, &st) == 0 && st.st_ino == holder->inode &&
	       process_kill(pidfd) == 0;
}

/*
 * A descriptor can be sent to anybody, to be killed for it: only processes of the session's user
 * are. By the real uid: a program that changed the others when it was started is still the user's,
 * who may kill it himself. init and the daemon, which has what it hands out or closes, never are.
 */
static void hunt_meet(const struct hunt_holder *holder, void *arg)
{
	struct hunts *hunts = arg;
	struct hunt *hunt = hunt_find(hunts, holder->slot, holder->id);
	struct hunt_look *look = hunts->look;

	if (!hunt || holder->inode == look->last || holder->pid == 1 ||
	    hunter_is_self(hunts->hunter, holder))
		return;
	if (holder->uid != hunt->aim.uid) {
		hunt_name(hunt, holder); /* it may have another session's, too */
		return;
	}
	look->last = holder->inode;
	/* Who is dying has a descriptor until he has; a second signal wakes who was stopped. */
	if (hunt_kill(holder) && !holder->dying)
		look->fresh = true;
}

/* --- one look */

static int hunts_look_begin(struct hunts *hunts)
{
	struct hunt_look *look = calloc(1, sizeof(*look));
	int err = look ? hunter_look(hunts->hunter, &look->fd) : -ENOMEM;

	if (err)
		free(look);
	else
		hunts->look = look;
	return err;
}

static void hunts_look_drop(struct hunts *hunts)
{
	if (hunts->look)
		fd_closep(&hunts->look->fd);
	free(hunts->look);
	hunts->look = NULL;
}

static uint64_t hunts_wait_ms(const struct hunts *hunts)
{
	if (!hunts->quiet)
		return 0;
	if (hunts->quiet < HUNT_SOON)
		return HUNT_SOON_MS;
	return hunts->quiet < HUNT_LATER ? HUNT_LATER_MS : HUNT_SELDOM_MS;
}

static void hunts_look_end(struct hunts *hunts, int err)
{
	hunts->quiet = hunts->look && hunts->look->fresh && !err ? 0 : hunts->quiet + 1;
	hunts->due_ms = broker_now_ms() + hunts_wait_ms(hunts);
	hunts_look_drop(hunts);
}

static int hunts_slice(struct broker *broker)
{
	struct hunts *hunts = &broker->hunts;
	uint64_t start_ms = broker_now_ms();
	int ret = hunts->look ? 0 : hunts_look_begin(hunts);

	if (!ret)
		ret = hunter_read(hunts->hunter, hunts->look->fd, HUNT_SLICE_MS, hunt_meet, hunts);
	if (ret <= 0)
		hunts_look_end(hunts, ret);
	hunts->debt_ms += broker_now_ms() - start_ms;
	return ret < 0 ? ret : 0;
}

/* --- when */

static void hunts_turn(void *arg);

/* What is left of the debt is above the burst for so long. */
static uint64_t hunts_paid_ms(struct hunts *hunts, uint64_t now_ms)
{
	uint64_t paid_ms = (now_ms - hunts->debt_at_ms) / HUNT_SHARE;

	hunts->debt_ms = hunts->debt_ms > paid_ms ? hunts->debt_ms - paid_ms : 0;
	hunts->debt_at_ms += hunts->debt_ms ? paid_ms * HUNT_SHARE : now_ms - hunts->debt_at_ms;
	if (hunts->debt_ms <= HUNT_BURST_MS)
		return now_ms;
	return now_ms + (hunts->debt_ms - HUNT_BURST_MS) * HUNT_SHARE;
}

static void hunts_arm(struct broker *broker)
{
	struct hunts *hunts = &broker->hunts;
	uint64_t now_ms = broker_now_ms(), at_ms;

	loop_cancel(broker->loop, &hunts->timer);
	if (!hunts->n) {
		hunts_look_drop(hunts);
		return;
	}
	at_ms = hunts_paid_ms(hunts, now_ms);
	if (!hunts->look && hunts->due_ms > at_ms)
		at_ms = hunts->due_ms;
	if (loop_after(broker->loop, (uint32_t)(at_ms - now_ms), hunts_turn, broker,
		       &hunts->timer)) /* whatever is armed next takes it along */
		log_error("no memory to look again for holders of %u sessions", hunts->n);
}

static void hunts_turn(void *arg)
{
	struct broker *broker = arg;
	struct hunts *hunts = &broker->hunts;
	int err;

	hunts->timer = LOOP_NONE;
	err = hunts_slice(broker);
	if (err && !hunts->failed)
		log_error("holders of sessions cannot be found at the moment: %s", strerror(-err));
	hunts->failed = err;
	hunts_arm(broker);
}

/* Somebody asks: who was passed by, or is on his way to another, is found soon. */
static void hunts_hurry(struct hunts *hunts)
{
	hunts->quiet = 0;
	hunts->due_ms = 0;
	if (hunts->look)
		hunts->look->fresh = true;
}

static void hunt_free(struct hunts *hunts, struct hunt *hunt)
{
	hunts->at[hunt->aim.slot] = NULL;
	hunts->n--;
	free(hunt);
}

static int hunt_begin(struct broker *broker, const struct hunt_aim *aim)
{
	struct hunts *hunts = &broker->hunts;
	struct hunt **place;

	if (hunt_find(hunts, aim->slot, aim->id))
		return 0;
	if (aim->slot >= HUNT_SLOTS)
		return -ERANGE;
	place = &hunts->at[aim->slot];
	if (*place)
		hunt_free(hunts, *place); /* of who was there before */
	*place = calloc(1, sizeof(**place));
	if (!*place)
		return -ENOMEM;
	(*place)->aim = *aim;
	hunts->n++;
	hunts_hurry(hunts);
	return hunter_mark(hunts->hunter, aim->slot, aim->id, aim->uid); /* there is such a slot */
}

int hunt_start(struct broker *broker, const struct hunt_aim *aim)
{
	int err = hunt_begin(broker, aim);

	if (!err)
		hunts_arm(broker);
	return err;
}

int hunt_now(struct broker *broker, const struct hunt_aim *aim)
{
	int err = hunt_begin(broker, aim);

	if (err)
		return err;
	hunts_hurry(&broker->hunts);
	err = hunts_slice(broker);
	hunts_arm(broker);
	return err;
}

bool hunt_is_on(const struct broker *broker, uint32_t slot, uint64_t id)
{
	return hunt_find(&broker->hunts, slot, id);
}

void hunt_stop(struct broker *broker, uint32_t slot, uint64_t id)
{
	struct hunt *hunt = hunt_find(&broker->hunts, slot, id);

	if (!hunt)
		return;
	hunter_unmark(broker->hunts.hunter, slot);
	hunt_free(&broker->hunts, hunt);
	hunts_arm(broker);
}

/* --- all of them */

/* A slot of the pool becomes another's without the daemon. */
static bool hunt_is_in_pool(const struct broker *broker, const struct hunt_aim *aim)
{
	struct gate_context context;

	return gate_pool_look(broker->gate, aim->slot, &context) && context.id == aim->id;
}

void hunts_settle(struct broker *broker)
{
	for (uint32_t slot = 0; broker->hunts.n && slot < HUNT_SLOTS; slot++) {
		const struct hunt *hunt = broker->hunts.at[slot];

		if (hunt && gate_in_pool(broker->gate, slot) &&
		    !hunt_is_in_pool(broker, &hunt->aim))
			hunt_stop(broker, slot, hunt->aim.id);
	}
}

int hunts_init(struct broker *broker)
{
	struct hunts *hunts = &broker->hunts;

	if (!broker->gate)
		return 0;
	hunts->at = calloc(HUNT_SLOTS, sizeof(struct hunt *));
	return hunts->at ? hunter_open(broker->gate, &hunts->hunter) : -ENOMEM;
}

static bool hunts_keep(uint32_t slot, uint64_t id, uid_t uid, void *arg)
{
	struct broker *broker = arg;
	const struct hunt_aim aim = {.id = id, .slot = slot, .uid = uid};
	const struct session *session = session_find(broker->sessions, id);

	return (hunt_is_in_pool(broker, &aim) || (session && session->gate == slot)) &&
	       hunt_start(broker, &aim) == 0;
}

void hunts_resume(struct broker *broker)
{
	hunter_keep(broker->hunts.hunter, hunts_keep, broker);
}

void hunts_fini(struct broker *broker)
{
	struct hunts *hunts = &broker->hunts;

	for (uint32_t slot = 0; hunts->n; slot++)
		if (hunts->at[slot])
			hunt_free(hunts, hunts->at[slot]);
	if (broker->loop)
		hunts_arm(broker);
	hunter_close(hunts->hunter);
	hunts->hunter = NULL;
	free(hunts->at);
	hunts->at = NULL;
}
