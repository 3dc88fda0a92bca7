/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/fuzz_talk.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/proto.h"
#include "daemon/broker.h"
#include "daemon/budget.h"
#include "daemon/peer.h"
#include "daemon/request.h"
#include "daemon/session.h"
#include "daemon/trace.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_answer.h"
#include "tests/fuzz/fuzz_broker.h"
#include "tests/fuzz/fuzz_kernel.h"
#include "tests/fuzz/fuzz_process.h"

static const int errors[] = {-EPERM, -ENOENT, -EMFILE, -EAGAIN, -EPIPE, -ENOMEM, -ESRCH, -ENOTTY};

static struct {
	struct broker *broker;
	struct peer peers[FUZZ_PROCESSES];
	struct peer_account accounts[FUZZ_PROCESSES];
	gid_t gids[FUZZ_PROCESSES][FUZZ_GIDS];
	bool changed; /* fuzz_talk_changed() */
	struct fuzz_exchange exchange;
} talk;

ssize_t fuzz_talk_sent(const struct msghdr *msg, int flags, void *arg)
{
	(void)arg;
	return fuzz_answer_check(&talk.exchange, msg, flags);
}

void fuzz_talk_killed(uint64_t inode)
{
	fuzz_answer_check_kill(&talk.exchange, inode);
}

/* Requests */

void fuzz_talk_begin(struct broker *broker)
{
	talk.broker = broker;
	talk.changed = false;
	for (unsigned int i = 0; i < FUZZ_PROCESSES; i++) {
		if (talk.peers[i].broker)
			trace_leave(&talk.peers[i]);
		memcpy(talk.gids[i], fuzz_process_gids(i), sizeof(talk.gids[i]));
		talk.peers[i] = (struct peer){.broker = broker,
					      .passes = i == FUZZ_ROOT,
					      .passed_fd = -1,
					      .fd = -1,
					      .gids = talk.gids[i],
					      .n_gids = FUZZ_GIDS,
					      .account = &talk.accounts[i]};
		if (!talk.accounts[i].user)
			FUZZ_CHECK(budget_connect(broker->budget, fuzz_process_uid(i),
						  FUZZ_PROCESSES, 0, 0,
						  &talk.accounts[i].user) == 0);
	}
}

static unsigned int serial_byte(const struct proto_header *header, enum fuzz_serial byte)
{
	return (unsigned int)(header->serial >> (8 * byte)) & 0xff;
}

static void killed(void)
{
	fuzz_broker_save();
	fuzz_process_save();
	talk.exchange.killed = true;
}

static void set_fault(const struct proto_header *header)
{
	unsigned int byte = serial_byte(header, FUZZ_SERIAL_FAULT);
	const struct fuzz_fault fault = {
		.nth = serial_byte(header, FUZZ_SERIAL_NTH),
		.kind = (enum fuzz_fault_kind)(byte % FUZZ_FAULTS),
		.err = errors[byte / FUZZ_FAULTS % ARRAY_SIZE(errors)],
		.who = byte / FUZZ_FAULTS % FUZZ_PROCESSES,
		.after = byte / FUZZ_FAULTS & 1,
		.killed = killed,
	};

	fuzz_kernel_fault(&fault);
}

static void make_event(const struct proto_header *header)
{
	unsigned int byte = serial_byte(header, FUZZ_SERIAL_EVENT);
	unsigned int which = byte / FUZZ_EVENTS % FUZZ_PROCESSES;

	switch ((enum fuzz_event)(byte % FUZZ_EVENTS)) {
	case FUZZ_EVENT_EXIT:
		fuzz_process_exit(which);
		break;
	case FUZZ_EVENT_REUSE:
		fuzz_process_reuse(which);
		break;
	case FUZZ_EVENT_LOWER:
		fuzz_process_lower(which);
		break;
	case FUZZ_EVENT_RESTART:
		fuzz_broker_restart(talk.broker);
		break;
	case FUZZ_EVENT_RELOAD:
		fuzz_broker_reload(talk.broker, which & 1);
		break;
	case FUZZ_EVENT_EXIT_LOOP:
		fuzz_process_exit(which);
		fuzz_kernel_ready();
		break;
	case FUZZ_EVENT_LOOP:
		fuzz_kernel_ready();
		break;
	default:
		break;
	}
	fuzz_process_excuse(true);
}

/* What is known of the requester. */
static struct peer *requester(const struct proto_header *header, struct ucred *ret_cred)
{
	unsigned int who = serial_byte(header, FUZZ_SERIAL_WHO), i = who % FUZZ_PROCESSES;
	unsigned int generation = fuzz_process_at(i)->generation;
	struct peer *peer = &talk.peers[i];

	if (who & FUZZ_WHO_BEFORE && generation)
		generation--;
	peer->pidfd = fuzz_process_pidfd(i, generation);
	peer->cred = (struct ucred){.pid = who & FUZZ_WHO_NO_PID ? 0 : (pid_t)FUZZ_PID(i),
				    .uid = fuzz_process_uid(i),
				    .gid = fuzz_process_gids(i)[0]};
	*ret_cred = peer->cred;
	ret_cred->uid = fuzz_process_real_uid(i);
	ret_cred->pid += who & FUZZ_WHO_OTHER_PID ? 1 : 0;
	ret_cred->uid += who & FUZZ_WHO_OTHER_UID ? 1 : 0;
	talk.exchange.peer = peer;
	talk.exchange.peer_inode = FUZZ_INODE(i, generation);
	return peer;
}

static bool well_formed(const struct proto_header *header, const char *packet, size_t len)
{
	struct proto_header checked;
	int err = proto_check(packet, len, PROTO_REQUEST, &checked);

	if (!err)
		talk.exchange.body = packet + sizeof(checked);
	return err == 0 || (err == -EOPNOTSUPP && header->op);
}

static void begin(const char *packet, size_t len, struct proto_header *ret_header)
{
	uint64_t id;

	memset(ret_header, 0, sizeof(*ret_header));
	memcpy(ret_header, packet, len < sizeof(*ret_header) ? len : sizeof(*ret_header));
	talk.exchange = (struct fuzz_exchange){.broker = talk.broker, .request = *ret_header};
	set_fault(ret_header);
	make_event(ret_header);
	(void)well_formed(ret_header, packet, len); /* finds the body */
	talk.changed |= serial_byte(ret_header, FUZZ_SERIAL_EVENT) ||
			(talk.exchange.body && fuzz_answer_is_open(ret_header->op));
	talk.exchange.n_sessions = session_count(talk.broker->sessions);
	if (!talk.exchange.body || !fuzz_answer_is_order(ret_header->op))
		return;
	memcpy(&id, talk.exchange.body, sizeof(id));
	talk.exchange.before = fuzz_answer_look(talk.broker, id);
}

bool fuzz_talk_serve(const char *packet, size_t len)
{
	struct fuzz_exchange *exchange = &talk.exchange;
	struct proto_header header;
	struct peer *peer;
	struct ucred cred;
	bool no_cred;
	int err;

	begin(packet, len, &header);
	peer = requester(&header, &cred);
	no_cred = serial_byte(&header, FUZZ_SERIAL_WHO) & FUZZ_WHO_NO_CRED;
	err = request_serve(peer, packet, len, no_cred ? NULL : &cred);
	if (err)
		trace_leave(peer); /* as one that is dropped */
	fuzz_kernel_fault(NULL);
	fuzz_process_excuse(err || exchange->done);
	FUZZ_CHECK(err <= 0 && (err == 0) == (exchange->n_answers == 1));
	FUZZ_CHECK(well_formed(&header, packet, len) || exchange->n_answers == 0);
	if (!exchange->done)
		fuzz_answer_check_none(exchange);
	FUZZ_CHECK(!exchange->done || (!no_cred && peer->cred.pid == cred.pid && cred.pid &&
				       peer->cred.uid == cred.uid));
	if (exchange->killed) {
		fuzz_process_rewind();
		fuzz_broker_killed(talk.broker);
	}
	exchange->body = NULL; /* the caller's */
	return exchange->done;
}

bool fuzz_talk_changed(void)
{
	return talk.changed;
}

/* Root asks without anything happening to it. Returns the sum of all pages. */
static size_t count_all(unsigned int op)
{
	const uint64_t serial = (uint64_t)FUZZ_ROOT << (8 * FUZZ_SERIAL_WHO);
	struct {
		struct proto_header header;
		struct proto_list list; /* or status_ask, which looks the same */
	} packet = {.header = proto_header(PROTO_REQUEST, op, serial, sizeof(packet.list))};
	size_t n = 0;

	static_assert(sizeof(struct proto_list) == sizeof(struct proto_status_ask), "one for both");
	trace_leave(&talk.peers[FUZZ_ROOT]);
	do {
		FUZZ_CHECK(fuzz_talk_serve((const char *)&packet, sizeof(packet)));
		n += talk.exchange.n_records;
		packet.list.after = talk.exchange.last_id;
	} while (op == PROTO_LIST && talk.exchange.more);
	FUZZ_CHECK(op == PROTO_LIST || !talk.exchange.more); /* not that many */
	return n;
}

void fuzz_talk_list_all(void)
{
	FUZZ_CHECK(count_all(PROTO_LIST) == session_count(talk.broker->sessions));
	FUZZ_CHECK(count_all(PROTO_STATUS) == session_count(talk.broker->sessions));
}
