/* SPDX-License-Identifier: MIT */
#include "daemon/trace.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bpf/trace_event.h"
#include "bpf/tracer.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "daemon/access.h"
#include "daemon/broker.h"
#include "daemon/loop.h"
#include "daemon/migration.h"
#include "daemon/peer.h"
#include "daemon/procfs.h"
#include "daemon/request.h"
#include "daemon/session.h"
#include "daemon/trace_switch.h"

#define TRACE_BATCH_MAX 256 /* events in one round of the loop, and in one packet */
#define TRACE_COUNT_MS 1000 /* after an event: what was lost is counted */
#define TRACE_ENDED_MAX 64

static_assert(sizeof(struct proto_header) + sizeof(struct proto_events) +
			      TRACE_BATCH_MAX * sizeof(struct proto_event) <=
		      PROTO_MESSAGE_MAX,
	      "a batch is a packet");
static_assert(TRACE_UNKNOWN == PROTO_UNKNOWN, "copied as it is");

/*
 * OFF        nobody listens, or there is no tracer
 * ATTACHING  a thread is at it; listeners wait for their answer. Ends ON, or OFF after a failure
 * ON         attached; the ring is watched
 * DETACHING  a thread is at it; listeners wait for their answer. Ends OFF
 */
enum trace_state {
	TRACE_OFF,
	TRACE_ATTACHING,
	TRACE_ON,
	TRACE_DETACHING,
	TRACE_STATES,
};

static const uint8_t trace_next[] = {
	[TRACE_OFF] = BIT(TRACE_ATTACHING),
	[TRACE_ATTACHING] = BIT(TRACE_ON) | BIT(TRACE_OFF),
	[TRACE_ON] = BIT(TRACE_DETACHING) | BIT(TRACE_OFF),
	[TRACE_DETACHING] = BIT(TRACE_OFF),
};
static_assert(ARRAY_SIZE(trace_next) == TRACE_STATES, "one row per state");

/* A connection that listens. */
struct trace_listener {
	struct trace_listener *next;
	struct peer *peer; /* borrowed; its end is ours */
	struct proto_header request;
	uint64_t id; /* of the session; 0: all */
	uint64_t watch; /* until its socket takes something again */
	struct proto_events lost; /* what is to be told */
	bool begun; /* it has its answer */
};

/* A session that was there a moment ago: the kernel may still tell of it. */
struct trace_ended {
	uint64_t id;
	uid_t uid;
	char name[PROTO_NAME_MAX + 1];
};

struct trace {
	struct broker *broker; /* borrowed */
	struct tracer *tracer; /* owned; NULL: there is none */
	struct trace_switch *turn; /* owned; with the tracer */
	enum trace_state state;
	struct trace_listener *listeners;
	uint64_t watch; /* of the ring */
	uint64_t timer; /* until losses are counted */
	struct tracer_lost lost; /* that have been told */
	uint64_t request_ns; /* when the request at hand began, … */
	pid_t asker; /* … who sent it … */
	char comm[PROCFS_COMM_MAX]; /* … and what that was then; "": not known */
	uint64_t to_realtime; /* CLOCK_REALTIME less CLOCK_MONOTONIC */
	struct trace_ended ended[TRACE_ENDED_MAX];
	size_t n_ended; /* ever */
	size_t n;
	struct proto_event batch[TRACE_BATCH_MAX];
	char packet[TRACE_BATCH_MAX * sizeof(struct proto_event)];
};

static void trace_enter(struct trace *trace, enum trace_state state)
{
	assert(trace_next[trace->state] & BIT(state));
	log_debug("trace: state %d, then %d", trace->state, state);
	trace->state = state;
}

/* --- sending */

static void trace_writable(uint32_t events, void *arg);

/* All that was lost is told with the next packet that goes out, which may be an empty one. */
static void trace_send(struct trace_listener *listener, const struct proto_event *events, size_t n)
{
	struct peer *peer = listener->peer;
	struct proto_events head = listener->lost;
	struct peer_answer packet = {
		.request = &listener->request,
		.kind = PROTO_EVENTS,
		.parts = {{.iov_base = &head, .iov_len = sizeof(head)},
			  {.iov_base = (void *)(uintptr_t)events, .iov_len = n * sizeof(*events)}},
		.n_parts = 2,
	};

	head.n = (uint32_t)n;
	if (peer_send(peer, &packet) == 0) {
		listener->lost = (struct proto_events){.n = 0};
		return;
	}
	/* If it is not there any more its hang-up is on the way. */
	listener->lost.slow += n;
	if (listener->watch == LOOP_NONE)
		(void)loop_watch(peer->broker->loop, peer->fd, POLLOUT, trace_writable, listener,
				 &listener->watch); /* else it is told with the next event */
}

static void trace_writable(uint32_t events, void *arg)
{
	struct trace_listener *listener = arg;

	loop_cancel(listener->peer->broker->loop, &listener->watch);
	if (events & POLLOUT && !(events & (POLLERR | POLLHUP)))
		trace_send(listener, NULL, 0);
}

static bool trace_may_see(const struct trace_listener *listener, const struct proto_event *event)
{
	const struct peer *peer = listener->peer;
	const struct session *session;

	if (listener->id && listener->id != event->id)
		return false;
	if (peer->cred.uid == 0 || peer->cred.uid == event->uid)
		return true;
	session = event->id ? session_find(peer->broker->sessions, event->id) : NULL;
	return session && access_of(peer, session) != ACCESS_NONE;
}

/* Sends the batch to all who may see it. */
static void trace_flush(struct trace *trace)
{
	for (struct trace_listener *l = trace->listeners; l; l = l->next) {
		size_t n = 0;

		for (size_t i = 0; l->begun && i < trace->n; i++)
			if (trace_may_see(l, &trace->batch[i]))
				memcpy(trace->packet + n++ * sizeof(trace->batch[0]),
				       &trace->batch[i], sizeof(trace->batch[0]));
		if (n)
			trace_send(l, (const struct proto_event *)(const void *)trace->packet, n);
	}
	trace->n = 0;
}

/* --- the kernel's events */

static const enum proto_event_kind trace_kinds[] = {
	[TRACE_OPEN] = PROTO_EVENT_OPEN,       [TRACE_MAP] = PROTO_EVENT_MAP,
	[TRACE_COPY] = PROTO_EVENT_COPY,       [TRACE_UNMAP] = PROTO_EVENT_UNMAP,
	[TRACE_CHARGE] = PROTO_EVENT_CHARGE,   [TRACE_UNCHARGE] = PROTO_EVENT_UNCHARGE,
	[TRACE_BIND] = PROTO_EVENT_BIND,       [TRACE_ATTACH] = PROTO_EVENT_ATTACH,
	[TRACE_RELEASE] = PROTO_EVENT_RELEASE, [TRACE_DENY] = PROTO_EVENT_DENY,
	[TRACE_RECOUNT] = PROTO_EVENT_RECOUNT, [TRACE_POISON] = PROTO_EVENT_POISON,
	[TRACE_KILL] = PROTO_EVENT_KILL,       [TRACE_MIGRATE] = PROTO_EVENT_MIGRATE,
};
static_assert(ARRAY_SIZE(trace_kinds) == TRACE_KINDS, "one for each");

static const char *const trace_whys[] = {
	[TRACE_WHY_NONE] = "",
	[TRACE_WHY_BYTES] = "bytes",
	[TRACE_WHY_MAPPINGS] = "mappings",
	[TRACE_WHY_OBJECTS] = "objects",
	[TRACE_WHY_COMMAND] = "command",
	[TRACE_WHY_STATE] = "state",
	[TRACE_WHY_DEVICE] = "device",
	[TRACE_WHY_BUSY] = "busy",
};
static_assert(ARRAY_SIZE(trace_whys) == TRACE_WHYS, "one for each");

/* Whose session it is or was. */
static void trace_set_session(const struct trace *trace, struct proto_event *event)
{
	const struct session *session = session_find(trace->broker->sessions, event->id);

	event->uid = UINT32_MAX;
	if (session) {
		event->uid = session->uid;
		proto_text_set(event->name, sizeof(event->name), session->name);
		return;
	}
	for (size_t i = 0; event->id && i < TRACE_ENDED_MAX; i++) {
		const struct trace_ended *ended = &trace->ended[i];

		if (ended->id != event->id)
			continue;
		event->uid = ended->uid;
		proto_text_set(event->name, sizeof(event->name), ended->name);
	}
}

static void trace_disorder(struct trace *trace, const struct proto_event *step,
			   const struct session_claim *stopped, const struct session_claim *other)
{
	struct proto_event *event = &trace->batch[trace->n++];

	*event = *step;
	event->kind = PROTO_EVENT_DISORDER;
	event->bytes = other->migration_known ? other->migration : PROTO_UNKNOWN;
	event->mappings = PROTO_UNKNOWN;
	proto_text_set(event->what, sizeof(event->what), other->name);
	migration_audit(trace->broker, stopped, other);
}

/* A device's state changes, or it begins to have one. */
static void trace_device(struct trace *trace, struct proto_event *event)
{
	struct session_claim *claim = session_claim_named(trace->broker->sessions, event->what);
	const struct session_claim *other = NULL;

	if (!claim)
		return;
	if (event->kind == PROTO_EVENT_BIND) {
		if (!event->error)
			migration_bound(claim);
		return;
	}
	event->id = claim->session->id;
	trace_set_session(trace, event);
	if (event->error)
		migration_is(claim, (uint32_t)event->bytes); /* and it stays there */
	else
		other = migration_step(claim, (uint32_t)event->bytes, (uint32_t)event->mappings);
	if (other)
		trace_disorder(trace, event, claim, other);
}

static void trace_take(const struct trace_event *from, void *arg)
{
	struct trace *trace = arg;
	struct proto_event *event = &trace->batch[trace->n];

	if (from->kind >= TRACE_KINDS || from->why >= TRACE_WHYS || trace->n == TRACE_BATCH_MAX)
		return;
	*event = (struct proto_event){
		.id = from->id,
		.ns = from->ns + trace->to_realtime,
		.took_ns = from->took_ns,
		.bytes = from->bytes,
		.mappings = from->mappings,
		.kind = trace_kinds[from->kind],
		.error = from->result < 0 ? (uint32_t)-from->result : 0,
		.pid = from->pid,
	};
	proto_text_set(event->comm, sizeof(event->comm), from->comm);
	proto_text_set(event->what, sizeof(event->what),
		       from->why ? trace_whys[from->why] : from->device);
	trace_set_session(trace, event);
	trace->n++;
	if (from->kind == TRACE_MIGRATE || from->kind == TRACE_BIND)
		trace_device(trace, event);
}

/* What could not be told shall be: each listener hears of it with its next packet, or now. */
static void trace_count(void *arg)
{
	struct trace *trace = arg;
	struct tracer_lost lost = tracer_lost(trace->tracer), new = lost;

	trace->timer = LOOP_NONE;
	new.full -= trace->lost.full;
	new.skipped -= trace->lost.skipped;
	trace->lost = lost;
	if (!new.full && !new.skipped)
		return;
	for (struct trace_listener *l = trace->listeners; l; l = l->next) {
		if (!l->begun)
			continue;
		l->lost.full += new.full;
		l->lost.skipped += new.skipped;
		trace_send(l, NULL, 0);
	}
}

/* Takes a batch of what is in the ring. */
static void trace_drain(struct trace *trace)
{
	trace->to_realtime = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
	/* Of each may come two. */
	tracer_dispatch(trace->tracer, TRACE_BATCH_MAX / 2, trace_take, trace);
	trace_flush(trace);
}

static void trace_ready(uint32_t events, void *arg)
{
	struct trace *trace = arg;

	(void)events;
	trace_drain(trace);
	if (trace->timer == LOOP_NONE)
		(void)loop_after(trace->broker->loop, TRACE_COUNT_MS, trace_count, trace,
				 &trace->timer); /* else after the next batch */
}

static void trace_ignore(const struct trace_event *event, void *arg)
{
	(void)event;
	(void)arg;
}

/* --- who listens */

static uint64_t trace_offers(const struct trace *trace)
{
	uint64_t kinds = BIT(PROTO_EVENT_OPEN) - 1; /* the broker's own, and those below */
	uint32_t have = trace->state == TRACE_ON ? tracer_kinds(trace->tracer) : 0;

	kinds |= BIT(PROTO_EVENT_KILL) | BIT(PROTO_EVENT_MEMORY_MAX) | BIT(PROTO_EVENT_OOM_KILL) |
		 BIT(PROTO_EVENT_PRESSURE) | BIT(PROTO_EVENT_MIRROR);
	for (size_t i = 0; i < ARRAY_SIZE(trace_kinds); i++)
		if (have & BIT(i))
			kinds |= BIT(trace_kinds[i]);
	if (have & BIT(TRACE_MIGRATE))
		kinds |= BIT(PROTO_EVENT_DISORDER);
	return kinds;
}

static int trace_begin(struct trace *trace, struct trace_listener *listener)
{
	struct proto_traced traced = {.kinds = trace_offers(trace)};
	struct peer_answer answer = {
		.request = &listener->request,
		.kind = PROTO_REPLY,
		.parts = {{.iov_base = &traced, .iov_len = sizeof(traced)}},
		.n_parts = 1,
	};
	int err = peer_send(listener->peer, &answer);

	listener->begun = !err;
	return err;
}

/* Whoever waits has its answer, as things are now. */
static void trace_begin_all(struct trace *trace)
{
	for (struct trace_listener *l = trace->listeners; l; l = l->next)
		if (!l->begun)
			(void)trace_begin(trace, l); /* if it cannot be told it is hanging up */
}

static void trace_turn(struct trace *trace, enum trace_state state)
{
	int err = trace_switch_turn(trace->turn, state == TRACE_ATTACHING);

	if (!err) {
		trace_enter(trace, state);
		return;
	}
	log_warning("trace: no thread to %s programs: %s",
		    state == TRACE_ATTACHING ? "attach" : "detach", strerror(-err));
	if (state == TRACE_DETACHING) {
		tracer_detach(trace->tracer); /* everybody waits, but it must not stay */
		trace_enter(trace, TRACE_OFF);
	}
}

static int trace_watch_ring(struct trace *trace)
{
	/* Of those who listened before: nobody wants to know any more. */
	tracer_dispatch(trace->tracer, SIZE_MAX, trace_ignore, NULL);
	trace->lost = tracer_lost(trace->tracer);
	migration_forget(trace->broker->sessions); /* what went on meanwhile was not seen */
	return loop_watch(trace->broker->loop, tracer_fd(trace->tracer), POLLIN, trace_ready, trace,
			  &trace->watch);
}

/* Attaches what somebody waits for, or detaches what nobody wants any more. */
static void trace_settle(struct trace *trace)
{
	if (trace->state == TRACE_ON && !trace->listeners) {
		loop_cancel(trace->broker->loop, &trace->watch);
		loop_cancel(trace->broker->loop, &trace->timer);
		trace_turn(trace, TRACE_DETACHING);
	}
	if (trace->state == TRACE_OFF && trace->tracer && trace->listeners)
		trace_turn(trace, TRACE_ATTACHING);
	if (trace->state == TRACE_OFF || trace->state == TRACE_ON)
		trace_begin_all(trace);
}

static void trace_switched(int err, void *arg)
{
	struct trace *trace = arg;

	if (trace->state == TRACE_DETACHING) {
		trace_enter(trace, TRACE_OFF);
		trace_settle(trace);
		return;
	}
	if (!err) {
		err = trace_watch_ring(trace);
		if (err)
			tracer_detach(trace->tracer); /* as rare as it is slow */
	}
	trace_enter(trace, err ? TRACE_OFF : TRACE_ON);
	if (!err) {
		trace_settle(trace);
		return;
	}
	log_warning("trace: only the broker's own events: cannot attach programs: %s",
		    strerror(-err));
	trace_begin_all(trace);
}

static bool trace_has_room(const struct trace *trace, uid_t uid)
{
	unsigned int n = 0, n_others = 0, n_uid = 0;

	for (const struct trace_listener *l = trace->listeners; l; l = l->next) {
		n++;
		n_others += l->peer->cred.uid != 0;
		n_uid += l->peer->cred.uid == uid;
	}
	if (n >= TRACE_LISTENERS_MAX)
		return false;
	return uid == 0 || (n_others < TRACE_LISTENERS_OTHERS && n_uid < TRACE_LISTENERS_UID);
}

static int trace_join(struct trace *trace, struct peer *peer, const struct proto_header *header,
		      uint64_t id)
{
	struct trace_listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return request_fail(peer, header, REQUEST_INTERNAL, "%s", strerror(ENOMEM));
	*listener = (struct trace_listener){.next = trace->listeners,
					    .peer = peer,
					    .request = *header,
					    .id = id,
					    .watch = LOOP_NONE};
	trace->listeners = listener;
	peer->listener = listener;
	trace_settle(trace);
	/* Nobody is at it, and still no answer: the peer does not take any. */
	return listener->begun || trace->state == TRACE_ATTACHING || trace->state == TRACE_DETACHING
		       ? 0
		       : -EAGAIN;
}

int trace_serve(struct peer *peer, const struct proto_header *header, const void *body)
{
	struct trace *trace = peer->broker->trace;
	const struct session *session;
	struct proto_trace ask;

	memcpy(&ask, body, sizeof(ask));
	if (ask.zero)
		return request_malformed(peer, header);
	session = ask.id ? session_find(peer->broker->sessions, ask.id) : NULL;
	if (ask.id && (!session || access_of(peer, session) == ACCESS_NONE))
		return request_fail(peer, header, REQUEST_NO_SESSION, "no session %llx",
				    (unsigned long long)ask.id);
	if (!trace_has_room(trace, peer->cred.uid))
		return request_refuse(peer, header, REFUSAL_RATE_LIMIT,
				      "%u connections listen at a time, %u of one uid",
				      TRACE_LISTENERS_MAX, TRACE_LISTENERS_UID);
	return trace_join(trace, peer, header, ask.id);
}

void trace_leave(struct peer *peer)
{
	struct trace *trace = peer->broker->trace;
	struct trace_listener **at;

	if (!peer->listener)
		return;
	for (at = &trace->listeners; *at != peer->listener; at = &(*at)->next)
		;
	*at = peer->listener->next;
	loop_cancel(peer->broker->loop, &peer->listener->watch);
	free(peer->listener);
	peer->listener = NULL;
	trace_settle(trace);
}

/* --- the broker's own events */

static const struct {
	const char *word;
	enum proto_event_kind kind;
} trace_words[] = {
	{"granted", PROTO_EVENT_GRANT},
	{"reserved", PROTO_EVENT_GRANT},
	{"set", PROTO_EVENT_SET},
	{"attached", PROTO_EVENT_DEVICE},
	{"plugged", PROTO_EVENT_DEVICE},
	{"unplugged", PROTO_EVENT_DEVICE},
	{"adopted", PROTO_EVENT_ADOPT},
	{"closed", PROTO_EVENT_CLOSE},
	{"revoked", PROTO_EVENT_REVOKE},
	{"killed", PROTO_EVENT_KILL},
	{"ended", PROTO_EVENT_END},
	{"orphaned", PROTO_EVENT_ORPHAN},
	{"near-limit", PROTO_EVENT_NEAR_LIMIT},
	{"slipped", PROTO_EVENT_SLIP},
	{"memory-max", PROTO_EVENT_MEMORY_MAX},
	{"oom-kill", PROTO_EVENT_OOM_KILL},
	{"pressure", PROTO_EVENT_PRESSURE},
	{"mirror", PROTO_EVENT_MIRROR},
};

/* Whose doing it is; by the kernel's word, not its own. */
static void trace_set_peer(const struct trace *trace, const struct peer *peer,
			   struct proto_event *event)
{
	event->ns = clock_ns(CLOCK_REALTIME);
	if (!peer)
		return;
	event->took_ns = clock_ns(CLOCK_MONOTONIC) - trace->request_ns;
	event->pid = (uint32_t)peer->cred.pid;
	if (peer->cred.pid == trace->asker)
		proto_text_set(event->comm, sizeof(event->comm), trace->comm);
}

/* Sends one event, after those of the kernel that came before it. */
static void trace_say(struct trace *trace, const struct proto_event *event)
{
	if (trace->state == TRACE_ON)
		trace_drain(trace);
	trace->batch[trace->n++] = *event;
	trace_flush(trace);
}

static void trace_remember(struct trace *trace, const struct session *session)
{
	struct trace_ended *ended = &trace->ended[trace->n_ended++ % TRACE_ENDED_MAX];

	ended->id = session->id;
	ended->uid = session->uid;
	proto_text_set(ended->name, sizeof(ended->name), session->name);
}

/* The name is read while the sender waits: with the answer it may become another program. */
void trace_request(const struct peer *peer)
{
	struct trace *trace = peer->broker->trace;

	if (!trace || !trace->listeners)
		return;
	trace->request_ns = clock_ns(CLOCK_MONOTONIC);
	trace->asker = peer->cred.pid;
	if (procfs_comm(peer->cred.pid, trace->comm) < 0 || procfs_exited(peer->pidfd))
		trace->comm[0] = '\0';
}

/* Return: false: nobody listens, or it is none of the trace's. */
static bool trace_event_begin(const struct broker *broker, const char *word,
			      const struct session *session, struct proto_event *ret_event)
{
	const struct trace *trace = broker->trace;

	*ret_event = (struct proto_event){.took_ns = PROTO_UNKNOWN,
					  .bytes = PROTO_UNKNOWN,
					  .mappings = PROTO_UNKNOWN,
					  .id = session->id,
					  .kind = PROTO_EVENT_KINDS};
	if (!trace || !trace->listeners)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(trace_words); i++)
		if (strcmp(trace_words[i].word, word) == 0)
			ret_event->kind = trace_words[i].kind;
	return ret_event->kind != PROTO_EVENT_KINDS;
}

void trace_memory(const struct broker *broker, const char *word, const struct session *session,
		  uint64_t bytes, const char *what)
{
	struct proto_event event;

	if (!trace_event_begin(broker, word, session, &event))
		return;
	event.bytes = bytes;
	proto_text_set(event.what, sizeof(event.what), what);
	trace_set_session(broker->trace, &event);
	trace_set_peer(broker->trace, NULL, &event);
	trace_say(broker->trace, &event);
}

void trace_audit(const struct broker *broker, const char *word, const struct session *session,
		 const struct peer *peer)
{
	struct trace *trace = broker->trace;
	struct proto_event event;

	if (!trace_event_begin(broker, word, session, &event))
		return;
	if (event.kind == PROTO_EVENT_END)
		trace_remember(trace, session);
	if (event.kind == PROTO_EVENT_GRANT || event.kind == PROTO_EVENT_SET)
		event.bytes = session->share.limit;
	trace_set_session(trace, &event);
	trace_set_peer(trace, peer, &event);
	trace_say(trace, &event);
}

void trace_refusal(const struct peer *peer, enum refusal refusal)
{
	struct trace *trace = peer->broker->trace;
	struct proto_event event = {.took_ns = PROTO_UNKNOWN,
				    .bytes = PROTO_UNKNOWN,
				    .mappings = PROTO_UNKNOWN,
				    .kind = PROTO_EVENT_REFUSAL,
				    .uid = peer->cred.uid};

	if (!trace || !trace->listeners)
		return;
	proto_text_set(event.what, sizeof(event.what), refusal_name(refusal));
	trace_set_peer(trace, peer, &event);
	trace_say(trace, &event);
}

/* --- beginning and end */

/* A kernel may lack the function that an event comes from, or have it built into another. */
uint64_t trace_kinds_missing(uint32_t have)
{
	uint64_t missing = 0;

	for (size_t i = 0; i < ARRAY_SIZE(trace_kinds); i++)
		if (!(have & BIT(i)))
			missing |= 1ULL << trace_kinds[i];
	if (!(have & BIT(TRACE_MIGRATE)))
		missing |= 1ULL << PROTO_EVENT_DISORDER;
	return missing;
}

uint64_t trace_missing(const struct trace *trace)
{
	return trace && trace->tracer ? trace_kinds_missing(tracer_kinds(trace->tracer))
				      : PROTO_UNKNOWN;
}

static void trace_say_missing(const struct trace *trace)
{
	uint64_t missing = trace_missing(trace);

	for (uint32_t kind = 0; kind < PROTO_EVENT_KINDS; kind++)
		if (missing & 1ULL << kind)
			log_notice("trace: no %s events: this kernel has no function for them",
				   proto_event_name(kind));
}

static int trace_open_tracer(struct trace *trace)
{
	int err;

	if (!trace->broker->gate)
		return 0;
	err = tracer_open(trace->broker->gate, &trace->tracer);
	if (err) {
		log_warning("trace: only the broker's own events: %s", strerror(-err));
		return 0;
	}
	trace_say_missing(trace);
	return trace_switch_new(trace->broker->loop, trace->tracer, trace_switched, trace,
				&trace->turn);
}

static void trace_freep(struct trace **trace)
{
	trace_free(*trace);
}

int trace_new(struct broker *broker, struct trace **ret_trace)
{
	CLEANUP(trace_freep) struct trace *trace = calloc(1, sizeof(*trace));
	int err;

	if (!trace)
		return -ENOMEM;
	trace->broker = broker;
	trace->watch = trace->timer = LOOP_NONE;
	err = trace_open_tracer(trace);
	if (!err)
		*ret_trace = STEAL(trace);
	return err;
}

void trace_free(struct trace *trace)
{
	if (!trace)
		return;
	assert(!trace->listeners);
	trace_switch_free(trace->turn);
	loop_cancel(trace->broker->loop, &trace->watch);
	loop_cancel(trace->broker->loop, &trace->timer);
	tracer_close(trace->tracer);
	free(trace);
}
