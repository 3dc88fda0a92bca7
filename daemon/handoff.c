/* SPDX-License-Identifier: MIT */
#include "daemon/handoff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "accounting/admission.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/proto.h"
#include "daemon/audit.h"
#include "daemon/broker.h"
#include "daemon/closer.h"
#include "daemon/fdstore.h"
#include "daemon/grant.h"
#include "daemon/handoff_private.h"
#include "daemon/loop.h"
#include "daemon/mirror.h"
#include "daemon/owner.h"
#include "daemon/peer.h"
#include "daemon/petition.h"
#include "daemon/report.h"
#include "daemon/request.h"
#include "daemon/reserve.h"
#include "daemon/session.h"
#include "daemon/trace.h"
#include "daemon/warden.h"

/* --- what is told */

static struct peer *handoff_peer(const struct handoff *handoff)
{
	struct peer *peer = handoff->broker->peers;

	while (peer && peer->number != handoff->peer)
		peer = peer->next;
	return peer;
}

static int handoff_done(const struct peer *peer, const struct proto_header *header,
			const struct session *session)
{
	struct proto_done body = {.id = session->id, .state = report_state(peer->broker, session)};
	struct peer_answer answer = {
		.request = header,
		.kind = PROTO_REPLY,
		.parts = {{.iov_base = &body, .iov_len = sizeof(body)}},
		.n_parts = 1,
	};

	return peer_send(peer, &answer);
}

/* Who waits hears the end of it. @fault: a phrase after "session 1 "; NULL: it was picked up */
static void handoff_answer(struct handoff *handoff, const char *fault)
{
	struct peer *peer = handoff->peer ? handoff_peer(handoff) : NULL;
	const struct session *session = handoff->session;
	int err;

	handoff->peer = 0;
	if (!peer)
		return;
	if (fault)
		err = request_fail(peer, &handoff->asked, REQUEST_NO_SESSION, "session %llx %s",
				   (unsigned long long)session->id, fault);
	else
		err = handoff_done(peer, &handoff->asked, session);
	if (err) /* its handler may be what runs: it is freed when its hang-up is seen */
		(void)shutdown(peer->fd, SHUT_RDWR);
}

void handoff_tell(const struct handoff *handoff, const char *event, pid_t receiver,
		  const char *text)
{
	struct audit audit UNINITIALIZED;

	trace_audit(handoff->broker, event, handoff->session, NULL);
	audit_begin(&audit, handoff->broker, event);
	audit_session(&audit, handoff->session);
	audit_text(&audit, "receiver_cgroup", handoff->cgroup);
	if (receiver)
		audit_number(&audit, "receiver", (uint64_t)receiver);
	audit_text(&audit, "text", text);
	audit_end(&audit, LOG_LEVEL_INFO);
}

/* --- its life */

int handoff_new(struct broker *broker, struct session *session)
{
	CLEANUP(freep) struct handoff_crowd *crowd = calloc(1, sizeof(*crowd));
	struct handoff *handoff = crowd ? calloc(1, sizeof(*handoff)) : NULL;

	if (!handoff)
		return -ENOMEM;
	crowd->broker = broker;
	*handoff = (struct handoff){.broker = broker,
				    .session = session,
				    .listen_fd = -1,
				    .conn_fd = -1,
				    .crowd = STEAL(crowd)};
	session->handoff = handoff;
	return 0;
}

/* Connections may wait in it, with whatever their ends have sent: it is not ours to wait for. */
static void handoff_drop_socket(struct handoff *handoff)
{
	loop_cancel(handoff->broker->loop, &handoff->watch);
	loop_cancel(handoff->broker->loop, &handoff->timer);
	if (handoff->listen_fd >= 0)
		closer_close_any(handoff->broker->closer, STEAL_FD(handoff->listen_fd));
}

void handoff_shut(struct handoff *handoff)
{
	if (handoff->listen_fd >= 0)
		(void)shutdown(handoff->listen_fd, SHUT_RDWR); /* somebody else may have */
	handoff_drop_socket(handoff);
	fdstore_drop_handoff(handoff->broker->fdstore, handoff->session->id);
}

void handoff_free(struct handoff *handoff)
{
	if (!handoff)
		return;
	handoff_drop_socket(handoff);
	if (handoff->conn_fd >= 0)
		closer_close_stream(handoff->broker->closer, STEAL_FD(handoff->conn_fd), NULL,
				    NULL);
	handoff->session->handoff = NULL;
	handoff->crowd->left = true;
	if (!handoff->crowd->n)
		free(handoff->crowd);
	free(handoff);
}

void handoff_finish(struct handoff *handoff, const char *fault)
{
	handoff_shut(handoff);
	handoff_answer(handoff, fault);
	handoff_unrecord(handoff);
	handoff_free(handoff);
}

void handoff_end(struct session *session)
{
	if (session->handoff)
		handoff_finish(session->handoff, session->state == SESSION_PENDING
							 ? "ended before anybody came for it"
							 : "ended before its receiver said that it "
							   "has it");
}

/* --- requests */

static int handoff_make(struct broker *broker, const struct petition *petition,
			const struct proto_handoff *request, struct session **ret_session,
			const char **ret_fault)
{
	struct session_plan plan = grant_plan(petition);
	struct session *session;
	int err;

	plan.reserved = SESSION_RESERVED_HANDOFF;
	*ret_fault = "cannot reserve and record a session";
	err = session_new(broker->sessions, &plan, &session);
	if (err)
		return err;
	session->deadline_ms = broker_now_ms() + request->wait_ms;
	err = handoff_new(broker, session);
	if (!err) {
		proto_text_set(session->handoff->cgroup, sizeof(session->handoff->cgroup),
			       request->subject.cgroup);
		err = handoff_record(session->handoff);
	}
	if (!err) {
		*ret_fault = "the gate has no room for one more session";
		err = warden_admit(broker, session, 1);
	}
	if (!err)
		err = reserve_arm(broker);
	if (err)
		owner_end_session(broker, session);
	else
		*ret_session = session;
	return err;
}

static int handoff_grant(struct peer *peer, const struct proto_header *header,
			 const struct petition *petition, const struct proto_handoff *request)
{
	struct peer_answer answer = {.request = header};
	struct session *session = NULL;
	const char *fault;
	int err = handoff_make(peer->broker, petition, request, &session, &fault);

	if (err)
		return request_refuse(peer, header, REFUSAL_KERNEL, "policy \"%s\": %s: %s",
				      petition->admission.policy->name, fault, strerror(-err));
	err = grant_answer(peer, &answer, session, petition);
	if (err) {
		owner_end_session(peer->broker, session);
		return err;
	}
	mirror_begin(peer->broker->mirror, session); /* nothing of it is, while it has no process */
	grant_audit(peer, "reserved", session, petition);
	return 0;
}

static int handoff_not_root(const struct peer *peer, const struct proto_header *header)
{
	return request_refuse(peer, header, REFUSAL_NOT_PERMITTED,
			      "handing off at a socket is for root: the broker shares that with "
			      "whoever passes it, who could make the broker wait");
}

int handoff_open(struct peer *peer, const struct proto_header *header, const void *body)
{
	const char *fault = warden_fault(peer->broker);
	struct petition *petition = peer->broker->petition;
	struct proto_handoff request;
	int err;

	memcpy(&request, body, sizeof(request));
	if (!proto_handoff_valid(&request))
		return request_malformed(peer, header);
	if (!peer->passes)
		return handoff_not_root(peer, header);
	petition_weigh(peer, PETITION_RESERVE, &request.open, &request.subject, petition);
	if (petition->admission.refusal)
		err = request_refuse_petition(peer, header, petition);
	else if (fault)
		err = request_refuse(peer, header, REFUSAL_KERNEL, "policy \"%s\": %s",
				     petition->admission.policy->name, fault);
	else
		err = handoff_grant(peer, header, petition, &request);
	petition_fini(petition);
	return err;
}

static bool handoff_option_is(int fd, int option, int wanted)
{
	socklen_t size = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

const char *handoff_socket_fault(int fd)
{
	struct stat st;

	if (fd < 0)
		return "no descriptor came along";
	if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
		return "what came along is no socket";
	if (!handoff_option_is(fd, SO_DOMAIN, AF_UNIX) ||
	    !handoff_option_is(fd, SO_TYPE, SOCK_STREAM))
		return "what came along is no unix stream socket";
	if (!handoff_option_is(fd, SO_ACCEPTCONN, 1))
		return "the socket that came along does not listen";
	return NULL;
}

/* Whether it is the one that is there, kept by the service manager. */
static bool handoff_has(const struct handoff *handoff, int fd)
{
	struct stat a, b;

	return handoff->listen_fd >= 0 && fstat(handoff->listen_fd, &a) == 0 &&
	       fstat(fd, &b) == 0 && a.st_ino == b.st_ino;
}

/* Takes the socket over, in place of one that was passed before. */
static void handoff_take(struct handoff *handoff, const struct peer *peer,
			 const struct proto_header *header, int *fd)
{
	handoff_answer(handoff, "has another socket now");
	handoff->peer = peer->number;
	handoff->asked = *header;
	if (handoff->session->state != SESSION_PENDING) /* somebody has it, and is to say so */
		return;
	if (handoff_has(handoff, *fd))
		return;
	handoff_drop_socket(handoff);
	fdstore_drop_handoff(handoff->broker->fdstore, handoff->session->id);
	handoff->listen_fd = STEAL_FD(*fd);
	(void)fdstore_keep_handoff(handoff->broker->fdstore, handoff->session->id,
				   handoff->listen_fd); /* if not, it is passed again */
	handoff_listen(handoff);
}

int handoff_pass(struct peer *peer, const struct proto_header *header, const void *body)
{
	struct session *session;
	struct proto_pass pass;
	const char *fault;

	memcpy(&pass, body, sizeof(pass));
	if (pass.zero)
		return request_malformed(peer, header);
	if (!peer->passes)
		return handoff_not_root(peer, header);
	session = session_find(peer->broker->sessions, pass.id);
	if (!session)
		return request_fail(peer, header, REQUEST_NO_SESSION, "no session %llx",
				    (unsigned long long)pass.id);
	fault = session->handoff ? handoff_socket_fault(peer->passed_fd)
				 : "it waits for nobody at a socket";
	if (fault)
		return request_refuse(peer, header, REFUSAL_BAD_REQUEST, "session %llx: %s",
				      (unsigned long long)pass.id, fault);
	handoff_take(session->handoff, peer, header, &peer->passed_fd);
	return 0;
}
