/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/fuzz_answer.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/broker.h"
#include "daemon/owner.h"
#include "daemon/peer.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_broker.h"

bool fuzz_answer_is_order(unsigned int op)
{
	return op == PROTO_SET || op == PROTO_ATTACH || op == PROTO_ADOPT || op == PROTO_CLOSE ||
	       op == PROTO_REVOKE;
}

bool fuzz_answer_is_open(unsigned int op)
{
	return op == PROTO_OPEN || op == PROTO_OPEN_FOR;
}

static bool may_manage(const struct fuzz_exchange *exchange, const char *policy)
{
	uid_t uid = exchange->peer->cred.uid;

	return uid == 0 || fuzz_broker_admin(uid, policy);
}

static bool may_see(const struct fuzz_exchange *exchange, uid_t uid, const char *policy)
{
	return exchange->peer->cred.uid == uid || may_manage(exchange, policy);
}

struct fuzz_seen fuzz_answer_look(const struct broker *broker, uint64_t id)
{
	const struct session *s = session_find(broker->sessions, id);
	struct fuzz_seen seen = {.found = s != NULL};

	if (!s)
		return seen;
	seen.id = id;
	seen.uid = s->uid;
	seen.state = s->state;
	seen.numbers = session_numbers(s);
	seen.n_devices = s->n_devices;
	seen.owner = s->owner->inode;
	seen.owner_uid = s->owner->uid;
	memcpy(seen.policy, s->policy, sizeof(seen.policy));
	return seen;
}

/* The form of answers */

static void check_text(const char *text, size_t size)
{
	FUZZ_CHECK(proto_text_valid(text, size) && !strchr(text, '\n'));
}

static void check_records(struct fuzz_exchange *exchange, const char *body, const char *end)
{
	const char *pos = body + sizeof(struct proto_sessions);
	struct proto_sessions head;

	memcpy(&head, body, sizeof(head));
	for (uint32_t i = 0; i < head.n; i++) {
		struct proto_session session;
		const char *cgroup, (*devices)[40];

		FUZZ_CHECK(proto_session_next(&pos, end, &session, &cgroup, &devices) == 0);
		FUZZ_CHECK(session.id > exchange->last_id || exchange->request.op == PROTO_SHOW);
		FUZZ_CHECK(may_see(exchange, session.uid, session.policy));
		exchange->last_id = session.id;
		exchange->n_records++;
	}
	FUZZ_CHECK(pos == end && head.more <= 1);
	exchange->more = head.more;
}

static void check_status(struct fuzz_exchange *exchange, const char *body, const char *end)
{
	uid_t uid = exchange->peer->cred.uid;
	struct proto_status status;
	struct proto_share share;

	memcpy(&status, body, sizeof(status));
	FUZZ_CHECK(proto_status_valid(&status));
	FUZZ_CHECK(status.n_sessions == session_count(exchange->broker->sessions));
	FUZZ_CHECK((size_t)(end - body) == sizeof(status) + status.n * sizeof(share));
	for (uint32_t i = 0; i < status.n; i++) {
		memcpy(&share, body + sizeof(status) + i * sizeof(share), sizeof(share));
		FUZZ_CHECK(proto_share_valid(&share) && (uid == 0 || share.uid == uid));
		FUZZ_CHECK(share.n_sessions && share.sum <= status.host_sum);
		exchange->n_records += share.n_sessions;
	}
	exchange->more = status.more;
}

/* For root alone. */
static void check_host(const struct fuzz_exchange *exchange, const char *body, const char *end)
{
	const char *pos = body + sizeof(struct proto_host), *holders, *cgroup;
	struct proto_holding holding;
	struct proto_host host;

	memcpy(&host, body, sizeof(host));
	FUZZ_CHECK(exchange->peer->cred.uid == 0 && proto_host_valid(&host));
	for (uint32_t i = 0; i < host.n; i++)
		FUZZ_CHECK(proto_holding_next(&pos, end, &holding, &holders, &cgroup) == 0);
	FUZZ_CHECK(pos == end);
}

static void check_mirrors(struct fuzz_exchange *exchange, const char *body, const char *end)
{
	const char *pos = body + sizeof(struct proto_mirrors), *path;
	struct proto_mirrors head;

	memcpy(&head, body, sizeof(head));
	for (uint32_t i = 0; i < head.n; i++) {
		struct proto_mirror mirror;
		struct fuzz_seen seen;

		FUZZ_CHECK(proto_mirror_next(&pos, end, &mirror, &path) == 0);
		FUZZ_CHECK(mirror.id > exchange->last_id);
		seen = fuzz_answer_look(exchange->broker, mirror.id);
		FUZZ_CHECK(seen.found && may_see(exchange, seen.uid, seen.policy));
		exchange->last_id = mirror.id;
	}
	FUZZ_CHECK(pos == end && head.more <= 1);
}

/* By its owner alone. */
static void check_placed(const struct fuzz_exchange *exchange, const char *body)
{
	struct proto_placed placed;
	struct fuzz_seen seen;

	memcpy(&placed, body, sizeof(placed));
	seen = fuzz_answer_look(exchange->broker, placed.id);
	FUZZ_CHECK(proto_placed_valid(&placed));
	FUZZ_CHECK(seen.found && seen.owner == exchange->peer_inode);
}

static void check_refusal(const char *body)
{
	struct proto_refusal refusal;

	memcpy(&refusal, body, sizeof(refusal));
	FUZZ_CHECK(proto_refusal_valid(&refusal) && refusal.text[0]);
	check_text(refusal.text, sizeof(refusal.text));
}

static void check_explanation(const char *body)
{
	struct proto_explanation explanation;

	memcpy(&explanation, body, sizeof(explanation));
	FUZZ_CHECK(proto_explanation_valid(&explanation));
	check_text(explanation.text, sizeof(explanation.text));
	check_text(explanation.warning, sizeof(explanation.warning));
}

/* Who got a session for whom */

static void check_grant(const struct fuzz_exchange *exchange, const char *body, size_t n_fds)
{
	struct proto_subject subject = {.flags = 0};
	struct proto_grant grant;
	struct fuzz_seen seen;

	memcpy(&grant, body, sizeof(grant));
	FUZZ_CHECK(proto_grant_valid(&grant) && proto_name_valid(grant.name) && grant.id);
	FUZZ_CHECK(n_fds == 1 + grant.n_devices && grant.limit > 0);
	check_text(grant.warning, sizeof(grant.warning));
	if (exchange->request.op == PROTO_OPEN_FOR) {
		memcpy(&subject, exchange->body, sizeof(subject));
		FUZZ_CHECK(subject.flags && may_manage(exchange, grant.policy));
	}
	seen = fuzz_answer_look(exchange->broker, grant.id);
	FUZZ_CHECK(seen.found && seen.state == SESSION_ACTIVE && seen.n_devices == n_fds - 1);
	FUZZ_CHECK(strcmp(seen.policy, grant.policy) == 0 && seen.numbers.limit == grant.limit);
	FUZZ_CHECK(seen.uid == (subject.flags & PROTO_SUBJECT_UID ? subject.uid : seen.owner_uid));
	FUZZ_CHECK(seen.owner == (subject.flags & PROTO_SUBJECT_PROCESS ? subject.process.inode
									: exchange->peer_inode));
	/* Whoever is not named by a manager is the subject, and its descriptors are its own. */
	FUZZ_CHECK(subject.flags || seen.owner_uid == exchange->peer->cred.uid);
}

/* What an order did to the session */

static bool same_numbers(const struct session_numbers *a, const struct session_numbers *b)
{
	return a->limit == b->limit && a->max_mappings == b->max_mappings &&
	       a->max_objects == b->max_objects && a->migration_buffers == b->migration_buffers;
}

static bool none_raised(const struct session_numbers *from, const struct session_numbers *to)
{
	return to->limit <= from->limit && to->max_mappings <= from->max_mappings &&
	       to->max_objects <= from->max_objects &&
	       to->migration_buffers <= from->migration_buffers;
}

static void check_done(const struct fuzz_exchange *exchange, const struct fuzz_seen *before,
		       const struct fuzz_seen *after, size_t n_fds)
{
	bool manages = may_manage(exchange, before->policy);
	struct proto_adopt adopt;

	FUZZ_CHECK(before->found && after->found && may_see(exchange, before->uid, before->policy));
	FUZZ_CHECK(after->n_devices == before->n_devices + n_fds);
	FUZZ_CHECK(n_fds == (exchange->request.op == PROTO_ATTACH));
	switch (exchange->request.op) {
	case PROTO_SET:
		FUZZ_CHECK(manages || none_raised(&before->numbers, &after->numbers));
		break;
	case PROTO_ADOPT:
		memcpy(&adopt, exchange->body, sizeof(adopt));
		FUZZ_CHECK(manages && after->owner == adopt.process.inode);
		FUZZ_CHECK(after->owner_uid == after->uid);
		break;
	case PROTO_REVOKE:
		FUZZ_CHECK(manages);
		break;
	default:
		break;
	}
	FUZZ_CHECK((after->state == SESSION_REVOKED) ==
		   (exchange->request.op == PROTO_CLOSE || exchange->request.op == PROTO_REVOKE));
}

/* What was refused has changed nothing; revoking a session does not depend on killing anybody. */
static void check_not_done(const struct fuzz_exchange *exchange, const struct fuzz_seen *before,
			   const struct fuzz_seen *after)
{
	FUZZ_CHECK(before->found == after->found);
	if (!before->found)
		return;
	FUZZ_CHECK(same_numbers(&before->numbers, &after->numbers));
	FUZZ_CHECK(before->n_devices == after->n_devices && before->owner == after->owner);
	FUZZ_CHECK(before->state == after->state ||
		   (exchange->request.op == PROTO_REVOKE && may_manage(exchange, before->policy)));
}

static void check_order(const struct fuzz_exchange *exchange, const char *body, bool done,
			size_t n_fds)
{
	struct proto_done answer;
	struct fuzz_seen after;
	uint64_t id;

	memcpy(&id, exchange->body, sizeof(id)); /* first of every order */
	after = fuzz_answer_look(exchange->broker, id);
	if (!done) {
		check_not_done(exchange, &exchange->before, &after);
		return;
	}
	memcpy(&answer, body, sizeof(answer));
	FUZZ_CHECK(proto_done_valid(&answer) && answer.id == id);
	check_done(exchange, &exchange->before, &after, n_fds);
}

void fuzz_answer_check_none(const struct fuzz_exchange *exchange)
{
	const struct fuzz_seen *before = &exchange->before;

	FUZZ_CHECK(session_count(exchange->broker->sessions) == exchange->n_sessions);
	FUZZ_CHECK(!before->found ||
		   fuzz_answer_look(exchange->broker, before->id).n_devices == before->n_devices);
}

void fuzz_answer_check_kill(const struct fuzz_exchange *exchange, uint64_t inode)
{
	const struct fuzz_seen *before = &exchange->before;
	uid_t uid = exchange->peer->cred.uid;

	FUZZ_CHECK(exchange->request.op == PROTO_REVOKE && before->found);
	FUZZ_CHECK(before->owner == inode && may_manage(exchange, before->policy));
	FUZZ_CHECK(uid == 0 || before->owner_uid == before->uid || before->owner_uid == uid);
}

/* Answers */

static size_t count_fds(const struct msghdr *msg)
{
	const struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	size_t n;

	if (!cmsg)
		return 0;
	FUZZ_CHECK(cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS);
	n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
		FUZZ_CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	}
	return n;
}

/* To a listener, at any time. */
static void check_events(const char *body, const char *end)
{
	struct proto_events head;
	struct proto_event event;

	memcpy(&head, body, sizeof(head));
	FUZZ_CHECK((size_t)(end - body) == sizeof(head) + head.n * sizeof(event));
	for (uint32_t i = 0; i < head.n; i++) {
		memcpy(&event, body + sizeof(head) + i * sizeof(event), sizeof(event));
		FUZZ_CHECK(proto_event_valid(&event));
	}
}

static void check_answer(struct fuzz_exchange *exchange, const struct proto_header *header,
			 const char *body, const char *end, size_t n_fds)
{
	bool done = header->kind == PROTO_REPLY;

	FUZZ_CHECK(n_fds == 0 ||
		   (done && (fuzz_answer_is_open(header->op) || header->op == PROTO_ATTACH)));
	exchange->done = done;
	if (fuzz_answer_is_order(header->op) && exchange->body)
		check_order(exchange, body, done, n_fds);
	if (!done)
		check_refusal(body);
	else if (fuzz_answer_is_open(header->op))
		check_grant(exchange, body, n_fds);
	else if (header->op == PROTO_EXPLAIN)
		check_explanation(body);
	else if (header->op == PROTO_STATUS)
		check_status(exchange, body, end);
	else if (header->op == PROTO_HOST)
		check_host(exchange, body, end);
	else if (header->op == PROTO_MIRROR)
		check_mirrors(exchange, body, end);
	else if (header->op == PROTO_PLACE)
		check_placed(exchange, body);
	else if (header->op == PROTO_LIST || header->op == PROTO_SHOW)
		check_records(exchange, body, end);
}

ssize_t fuzz_answer_check(struct fuzz_exchange *exchange, const struct msghdr *msg, int flags)
{
	char packet[PROTO_MESSAGE_MAX];
	struct proto_header header;
	size_t len = 0;

	FUZZ_CHECK(flags & MSG_NOSIGNAL);
	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		FUZZ_CHECK(msg->msg_iov[i].iov_len <= sizeof(packet) - len);
		memcpy(packet + len, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
		len += msg->msg_iov[i].iov_len;
	}
	if (proto_check(packet, len, PROTO_EVENTS, &header) == 0) {
		check_events(packet + sizeof(header), packet + len);
		return (ssize_t)len;
	}
	FUZZ_CHECK(exchange->n_answers++ == 0);
	FUZZ_CHECK(proto_check(packet, len, PROTO_REPLY, &header) == 0);
	FUZZ_CHECK(header.op == exchange->request.op && header.serial == exchange->request.serial);
	check_answer(exchange, &header, packet + sizeof(header), packet + len, count_fds(msg));
	return (ssize_t)len;
}
