/* SPDX-License-Identifier: MIT */
#include "daemon/plug.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "accounting/admission.h"
#include "accounting/policy.h"
#include "bpf/gate.h"
#include "bpf/gate_expect.h"
#include "common/cleanup.h"
#include "common/device.h"
#include "common/log.h"
#include "daemon/access.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/loop.h"
#include "daemon/owner.h"
#include "daemon/procfs.h"
#include "daemon/session.h"
#include "daemon/trace.h"

/* A process asks as often as it likes: for so long the kernel takes no more of its questions. */
#define PLUG_PAUSE_MS 100 /* after a device that was refused */
#define PLUG_WINDOW_MS 10000
#define PLUG_WINDOW_MAX (2 * PROTO_DEVICES_MAX) /* documented in pinbroker-libvirt(7) */
/* How often, and in what distance, a session is looked at again after a device came or went. */
#define PLUG_TURN_MS 1000
#define PLUG_TURNS 15 /* documented in pinbroker-libvirt(7) */

/* A device that is to be bound to a session's context. */
struct plug {
	struct broker *broker;
	struct session *session;
	struct gate_plug asked;
	struct device device;
	bool own; /* it is the session's already: the broker opened it, and somebody did so again */
	bool claimed; /* it is the session's by this */
	enum refusal refusal;
	char text[608]; /* of a refusal */
};

/* --- saying so */

static void plug_tell(const struct plug *plug, const char *event)
{
	const bool granted = plug->refusal == REFUSAL_NONE;
	struct audit audit UNINITIALIZED;

	if (granted)
		trace_audit(plug->broker, event, plug->session, NULL);
	audit_begin(&audit, plug->broker, event);
	if (!granted)
		audit_text(&audit, "reason", refusal_name(plug->refusal));
	audit_session(&audit, plug->session);
	audit_text(&audit, "device", plug->asked.name);
	if (plug->asked.pid)
		audit_number(&audit, "process", plug->asked.pid);
	if (!granted)
		audit_text(&audit, "text", plug->text);
	audit_end(&audit, granted ? LOG_LEVEL_INFO : LOG_LEVEL_NOTICE);
}

/* --- afterwards */

static void plug_turn(void *arg);

/*
 * libvirt raises RLIMIT_MEMLOCK for one device more, and when that is refused, or has gone, sets
 * what it would be without: of that nobody tells. Nor of a device that has gone while another
 * process tried to bind it.
 */
static void plug_look_again(struct broker *broker, struct session *session)
{
	if (session->owner)
		owner_limit(session->owner, false);
	session->told.plug_turns = PLUG_TURNS;
	if (broker->plug_timer == LOOP_NONE)
		(void)loop_after(broker->loop, PLUG_TURN_MS, plug_turn, broker,
				 &broker->plug_timer); /* else with the next one */
}

/* --- one that comes */

/* Always false, for "return plug_refuse(...)". */
__attribute__((format(printf, 3, 4))) static bool
plug_refuse(struct plug *plug, enum refusal refusal, const char *format, ...)
{
	va_list args;

	plug->refusal = refusal;
	va_start(args, format);
	(void)vsnprintf(plug->text, sizeof(plug->text), format, args); /* cut to fit */
	va_end(args);
	return false;
}

/* A group's other members may be in this session. */
static void plug_set_busy(const struct plug *plug, struct admission_device *device)
{
	const struct session_claim *claim =
		session_claim_find(plug->broker->sessions, &plug->device);

	if (!claim || claim->session == plug->session)
		return;
	device->busy_id = claim->session->id;
	if (strcmp(claim->name, plug->device.name) != 0)
		device->busy_peer = claim->name;
}

/* As of a device that is attached by its policy's word. */
static bool plug_admit(struct plug *plug)
{
	const struct session *session = plug->session;
	struct access_others others UNINITIALIZED;
	struct admission_device device = {.device = &plug->device};
	struct admission_change change = {
		.policy = policy_find(plug->broker->policies, session->policy),
		.policy_name = session->policy,
		.uid = session->uid,
	};

	plug_set_busy(plug, &device);
	access_together(plug->broker, session, &device, &others, &change);
	admission_attach(plug->broker->policies, &device, &change);
	return change.refusal == REFUSAL_NONE ||
	       plug_refuse(plug, change.refusal, "%s", change.text);
}

static bool plug_probe(struct plug *plug)
{
	char name[DEVICE_NAME_MAX];
	int err = device_name(plug->asked.name, name);

	if (!err)
		err = device_probe(plug->broker->sysfs_fd, name, &plug->device);
	return !err || plug_refuse(plug, REFUSAL_KERNEL, "sysfs cannot say what device %s is: %s",
				   plug->asked.name, strerror(-err));
}

static bool plug_may(struct plug *plug)
{
	if (plug->session->state != SESSION_ACTIVE)
		return plug_refuse(plug, REFUSAL_BAD_REQUEST, "the session was revoked");
	if (plug->own)
		return true;
	if (plug->session->n_devices == PROTO_DEVICES_MAX)
		return plug_refuse(plug, REFUSAL_BAD_REQUEST,
				   "the session has %d devices, which is all that one may have",
				   PROTO_DEVICES_MAX);
	return plug_probe(plug) && plug_admit(plug);
}

/* Return: 0; -errno, and nothing of it is left. */
static int plug_expect(const struct plug *plug)
{
	const uint32_t major = procfs_cdev_major();
	struct gate *gate = plug->broker->gate;
	int err = gate_expect(gate, plug->session->gate, plug->asked.name, major);

	if (!err && plug->own)
		gate_expect_lent(gate, plug->session->gate, plug->asked.name);
	return err;
}

/* Claimed and recorded first: whoever comes after a daemon that is killed here finds it claimed. */
static bool plug_take(struct plug *plug)
{
	int err = 0;

	plug->own = session_claim_own(plug->session, plug->asked.name);
	if (!plug_may(plug))
		return false;
	if (!plug->own) {
		err = session_claim(plug->broker->sessions, plug->session, &plug->device);
		plug->claimed = !err;
	}
	if (!err)
		err = plug_expect(plug);
	return !err || plug_refuse(plug, REFUSAL_KERNEL, "cannot take device %s: %s",
				   plug->asked.name, strerror(-err));
}

static void plug_undo(const struct plug *plug)
{
	if (gate_unexpect_device(plug->broker->gate, plug->session->gate, plug->asked.name))
		return; /* it was bound after all, by another thread */
	if (plug->claimed)
		session_unclaim(plug->broker->sessions, plug->session);
}

/* For each it looks into sysfs, and writes a line. */
static bool plug_is_too_much(const struct broker *broker, struct session *session)
{
	struct session_told *told = &session->told;
	const uint64_t now_ms = broker_now_ms();

	if (now_ms >= told->plug_window_ms) {
		told->plug_window_ms = now_ms + PLUG_WINDOW_MS;
		told->plugs = 0;
	}
	if (told->plugs++ < PLUG_WINDOW_MAX)
		return false;
	gate_plug_pause(broker->gate, session->gate, told->plug_window_ms - now_ms);
	return true;
}

static void plug_answer(struct broker *broker, struct session *session)
{
	struct plug plug = {.broker = broker, .session = session};
	bool taken;

	if (!gate_asked(broker->gate, session->gate, &plug.asked))
		return;
	plug_look_again(broker, session);
	if (plug_is_too_much(broker, session)) {
		(void)gate_answer(broker->gate, session->gate, &plug.asked); /* or it is too late */
		return;
	}
	taken = plug_take(&plug);
	if (!taken) {
		plug_undo(&plug);
		gate_plug_pause(broker->gate, session->gate, PLUG_PAUSE_MS);
	}
	if (gate_answer(broker->gate, session->gate, &plug.asked)) {
		plug_tell(&plug, taken ? "plugged" : "refused");
	} else if (taken) {
		plug_undo(&plug); /* who asked has given up */
	}
}

/* --- one that has gone */

static void plug_look_gone(struct broker *broker, struct session *session)
{
	struct plug plug = {.broker = broker, .session = session};
	struct session_claim *next;

	for (struct session_claim *c = session->claims; c; c = next) {
		next = c->next_claim;
		if (!gate_is_unplugged(broker->gate, session->gate, c->name) ||
		    gate_unexpect_device(broker->gate, session->gate, c->name))
			continue;
		memcpy(plug.asked.name, c->name, sizeof(plug.asked.name));
		session_unclaim_device(broker->sessions, session, c);
		plug_tell(&plug, "unplugged");
		plug_look_again(broker, session);
	}
}

static void plug_turn(void *arg)
{
	struct broker *broker = arg;
	bool more = false;

	broker->plug_timer = LOOP_NONE;
	for (struct session *s = session_after(broker->sessions, 0); s; s = s->newer) {
		if (!s->told.plug_turns)
			continue;
		s->told.plug_turns--;
		if (s->owner)
			owner_limit(s->owner, false);
		if (broker->gate && s->gate != GATE_NO_SLOT)
			plug_look_gone(broker, s);
		more |= s->told.plug_turns;
	}
	if (more && broker->plug_timer == LOOP_NONE)
		(void)loop_after(broker->loop, PLUG_TURN_MS, plug_turn, broker,
				 &broker->plug_timer); /* else with the next device */
}

void plug_look(struct broker *broker, struct session *session)
{
	if (gate_state(broker->gate, session->gate).ended)
		return; /* what it has is free at once */
	plug_look_gone(broker, session);
	plug_answer(broker, session);
}
