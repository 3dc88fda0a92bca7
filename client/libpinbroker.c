/* SPDX-License-Identifier: MIT */
/*
 * libpinbroker: one request, one answer, one after the other. What an answer says is believed only
 * after its form was checked whole; until then its descriptors belong to the message and are
 * closed with it. An answer that breaks the protocol ends the connection: what comes next on it
 * could not be matched to a request any more.
 */
#include "client/pinbroker.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/fdmsg.h"
#include "common/proto.h"

static_assert(PINBROKER_DEVICES_MAX == PROTO_DEVICES_MAX, "one limit");
static_assert(PINBROKER_UNKNOWN == PROTO_UNKNOWN, "copied as it is");
static_assert(PINBROKER_UNLIMITED == PROTO_UNLIMITED, "copied as it is");
static_assert((int)PINBROKER_ACCOUNTING_POLICY == PROTO_ACCOUNTING_POLICY &&
		      (int)PINBROKER_ACCOUNTING_TASK == PROTO_ACCOUNTING_TASK &&
		      (int)PINBROKER_ACCOUNTING_USER == PROTO_ACCOUNTING_USER,
	      "copied as it is");

struct pinbroker {
	int fd; /* owned */
	bool walking; /* a callback runs, and buf holds what it is shown */
	uint64_t serial; /* of the last request */
	struct pinbroker_refusal refusal;
	char buf[PROTO_MESSAGE_MAX]; /* the last answer */
};

/* An answer in broker->buf whose header and body size are right. */
struct answer {
	const char *body;
	const char *end;
	struct fdmsg msg;
};

static void answer_fini(struct answer *answer)
{
	fdmsg_close(&answer->msg);
}

static void pinbroker_freep(struct pinbroker **broker)
{
	pinbroker_free(*broker);
}

int pinbroker_connect(const char *path, struct pinbroker **ret_broker)
{
	CLEANUP(pinbroker_freep) struct pinbroker *broker = calloc(1, sizeof(*broker));
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int err;

	if (!broker)
		return -ENOMEM;
	broker->fd = -1;
	if (!path)
		path = PROTO_SOCKET;
	if (!path[0]) /* would be an abstract name of NULs */
		return -ENOENT;
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	proto_text_set(address.sun_path, sizeof(address.sun_path), path);
	broker->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (broker->fd < 0)
		return -errno;
	/* On a unix socket an interrupted connect() has done nothing: it can be called again. */
	do {
		err = connect(broker->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno
											    : 0;
	} while (err == -EINTR);
	if (err)
		return err;
	*ret_broker = STEAL(broker); /* caller frees with pinbroker_free() */
	return 0;
}

void pinbroker_free(struct pinbroker *broker)
{
	if (!broker)
		return;
	fd_closep(&broker->fd);
	free(broker);
}

int pinbroker_fd(const struct pinbroker *broker)
{
	return broker->fd;
}

const struct pinbroker_refusal *pinbroker_refusal(const struct pinbroker *broker)
{
	return &broker->refusal;
}

/* Ends a connection that lost its place. Its descriptor number stays: someone may poll it. */
static int broken(struct pinbroker *broker)
{
	(void)shutdown(broker->fd, SHUT_RDWR); /* fails only when the peer has gone already */
	return -EPROTO;
}

static int send_request(struct pinbroker *broker, unsigned int op, void *body, size_t len)
{
	struct proto_header header = proto_header(PROTO_REQUEST, op, ++broker->serial, len);
	struct iovec iov[] = {
		{.iov_base = &header, .iov_len = sizeof(header)},
		{.iov_base = body, .iov_len = len},
	};
	int err;

	do {
		err = fdmsg_send_cred(broker->fd, iov, ARRAY_SIZE(iov), NULL, 0);
	} while (err == -EINTR);
	/* A broker that hung up may have said why before: that is still to be read. */
	return err == -EPIPE || err == -ECONNRESET ? 0 : err;
}

static int recv_packet(struct pinbroker *broker, size_t max_fds, struct answer *answer)
{
	size_t len;
	int err;

	do {
		err = fdmsg_recv(broker->fd, broker->buf, sizeof(broker->buf), max_fds, 0, &len,
				 &answer->msg);
	} while (err == -EINTR);
	if (err == -EMSGSIZE)
		return -EPROTO;
	if (err)
		return err == -EACCES ? -EPERM : err;
	if (len == 0)
		return -ECONNRESET;
	answer->body = broker->buf + sizeof(struct proto_header);
	answer->end = broker->buf + len;
	return 0;
}

/* Keeps why the broker said no. */
static int take_refusal(struct pinbroker *broker, const struct answer *answer)
{
	struct proto_refusal refusal;

	memcpy(&refusal, answer->body, sizeof(refusal));
	if (answer->msg.n_fds || !proto_refusal_valid(&refusal))
		return -EPROTO;
	broker->refusal.status = (int)refusal.status;
	proto_text_set(broker->refusal.reason, sizeof(broker->refusal.reason), refusal.reason);
	proto_text_set(broker->refusal.text, sizeof(broker->refusal.text), refusal.text);
	return -EACCES;
}

/* -EACCES: a refusal, which is kept in broker->refusal. */
static int recv_answer(struct pinbroker *broker, unsigned int op, size_t max_fds,
		       struct answer *answer)
{
	struct proto_header header;
	int err;

	err = recv_packet(broker, max_fds, answer);
	if (err)
		return err;
	err = proto_check(broker->buf, (size_t)(answer->end - broker->buf), PROTO_REPLY, &header);
	if (err)
		return -EPROTO; /* another version too: it is not what was asked */
	/* Serial 0: the connection itself was refused, before any request. */
	if (header.kind == PROTO_REFUSAL && header.serial == 0)
		return take_refusal(broker, answer);
	if (header.op != op || header.serial != broker->serial)
		return -EPROTO;
	return header.kind == PROTO_REFUSAL ? take_refusal(broker, answer) : 0;
}

/**
 * call() - send a request, wait for its answer
 * @max_fds: that the answer may carry
 * @ret_answer: holds no descriptors yet; free with answer_fini() whatever is returned;
 *              valid until the next call
 */
static int call(struct pinbroker *broker, unsigned int op, void *body, size_t len, size_t max_fds,
		struct answer *ret_answer)
{
	int err;

	if (broker->walking)
		return -EBUSY;
	memset(&broker->refusal, 0, sizeof(broker->refusal));
	err = send_request(broker, op, body, len);
	if (!err)
		err = recv_answer(broker, op, max_fds, ret_answer);
	else if (err == -EACCES)
		err = -EPERM; /* a security module's; the broker's is told by its answer */
	return err == -EPROTO ? broken(broker) : err;
}

/* A text that must fit into a field with its NUL. */
static bool text_fits(const char *text, size_t size)
{
	return text && text[0] && strlen(text) < size;
}

static int fill_open(const struct pinbroker_request *request, struct proto_open *open)
{
	*open = (struct proto_open){
		.memory = request->memory,
		.flags = (request->viommu ? PROTO_OPEN_VIOMMU : 0) |
			 (request->exec ? PROTO_OPEN_EXEC : 0),
		.accounting = (uint32_t)request->accounting,
		.n_devices = (uint32_t)request->n_devices,
	};
	if (request->n_devices > PROTO_DEVICES_MAX)
		return -EINVAL;
	if (request->name) {
		if (!proto_name_valid(request->name))
			return -EINVAL;
		proto_text_set(open->name, sizeof(open->name), request->name);
	}
	for (size_t i = 0; i < request->n_devices; i++) {
		if (!text_fits(request->devices[i], sizeof(open->devices[i])))
			return -EINVAL;
		proto_text_set(open->devices[i], sizeof(open->devices[i]), request->devices[i]);
	}
	return proto_open_valid(open) ? 0 : -EINVAL;
}

static void copy_grant(const struct proto_grant *grant, struct fdmsg *msg,
		       struct pinbroker_grant *ret_grant)
{
	*ret_grant = (struct pinbroker_grant){
		.id = grant->id,
		.limit = grant->limit,
		.max_mappings = grant->max_mappings,
		.accounting = (enum pinbroker_accounting)grant->accounting,
		.n_devices = grant->n_devices,
	};
	ret_grant->iommufd = STEAL_FD(msg->fds[0]);
	for (size_t i = 0; i < PINBROKER_DEVICES_MAX; i++)
		ret_grant->devices[i] = i < grant->n_devices ? STEAL_FD(msg->fds[1 + i]) : -1;
	proto_text_set(ret_grant->name, sizeof(ret_grant->name), grant->name);
	proto_text_set(ret_grant->policy, sizeof(ret_grant->policy), grant->policy);
	proto_text_set(ret_grant->warning, sizeof(ret_grant->warning), grant->warning);
}

int pinbroker_open(struct pinbroker *broker, const struct pinbroker_request *request,
		   struct pinbroker_grant *ret_grant)
{
	CLEANUP(answer_fini) struct answer answer = {.msg = FDMSG_INIT};
	struct proto_grant grant;
	struct proto_open open;
	int err;

	err = fill_open(request, &open);
	if (err)
		return err;
	err = call(broker, PROTO_OPEN, &open, sizeof(open), PROTO_FDS_MAX, &answer);
	if (err)
		return err;
	memcpy(&grant, answer.body, sizeof(grant));
	if (!proto_grant_valid(&grant) || grant.n_devices != open.n_devices ||
	    answer.msg.n_fds != 1 + grant.n_devices)
		return broken(broker);
	copy_grant(&grant, &answer.msg, ret_grant);
	return 0;
}

void pinbroker_grant_close(struct pinbroker_grant *grant)
{
	fd_closep(&grant->iommufd);
	for (size_t i = 0; i < grant->n_devices; i++)
		fd_closep(&grant->devices[i]);
	grant->n_devices = 0;
}

static void copy_session(const struct proto_session *from, struct pinbroker_session *session)
{
	*session = (struct pinbroker_session){
		.id = from->id,
		.limit = from->limit,
		.pinned = from->pinned,
		.pinned_peak = from->pinned_peak,
		.mapped = from->mapped,
		.mappings = from->mappings,
		.denied = from->denied,
		.max_mappings = from->max_mappings,
		.uid = from->uid,
		.pid = (pid_t)from->pid,
		.accounting = (enum pinbroker_accounting)from->accounting,
		.exact = from->flags & PROTO_SESSION_EXACT,
		.state = proto_state_name(from->state),
		.n_devices = from->n_devices,
	};
	proto_text_set(session->name, sizeof(session->name), from->name);
	proto_text_set(session->policy, sizeof(session->policy), from->policy);
}

/* Who is shown a page of sessions. */
struct walk {
	struct pinbroker *broker;
	pinbroker_session_fn fn;
	void *arg;
};

static int walk_call(const struct walk *walk, const struct pinbroker_session *session)
{
	int ret;

	walk->broker->walking = true;
	ret = walk->fn(session, walk->arg);
	walk->broker->walking = false;
	return ret;
}

/* Takes one record and shows it. */
static int walk_record(const struct walk *walk, const char **pos, const char *end, uint64_t *ret_id)
{
	CLEANUP(freep) char *cgroup = NULL;
	const char *names[PROTO_DEVICES_MAX];
	const char(*devices)[40];
	struct pinbroker_session session;
	struct proto_session record;
	const char *cgroup_bytes;
	int err;

	err = proto_session_next(pos, end, &record, &cgroup_bytes, &devices);
	if (err)
		return broken(walk->broker);
	copy_session(&record, &session);
	if (record.cgroup_len) {
		cgroup = strndup(cgroup_bytes, record.cgroup_len);
		if (!cgroup)
			return -ENOMEM;
		session.cgroup = cgroup;
	}
	for (size_t i = 0; i < record.n_devices; i++)
		names[i] = devices[i];
	session.devices = names;
	*ret_id = record.id;
	return walk_call(walk, &session);
}

/* Whether n records, each well-formed, fill the page exactly: checked before any is shown. */
static bool page_valid(const char *pos, const char *end, uint32_t n)
{
	struct proto_session record;
	const char(*devices)[40];
	const char *cgroup;

	for (uint32_t i = 0; i < n; i++) {
		if (proto_session_next(&pos, end, &record, &cgroup, &devices))
			return false;
	}
	return pos == end;
}

/* Shows every record of an answer to list or show; @last becomes the id of the last. */
static int walk_page(const struct walk *walk, const struct answer *answer, uint64_t *last)
{
	struct proto_sessions page;
	const char *pos = answer->body + sizeof(page);
	int err;

	memcpy(&page, answer->body, sizeof(page));
	if (!page_valid(pos, answer->end, page.n))
		return broken(walk->broker);
	for (uint32_t i = 0; i < page.n; i++) {
		err = walk_record(walk, &pos, answer->end, last);
		if (err)
			return err;
	}
	return 0;
}

int pinbroker_list(struct pinbroker *broker, pinbroker_session_fn fn, void *arg)
{
	struct walk walk = {.broker = broker, .fn = fn, .arg = arg};
	struct proto_sessions page;
	uint64_t last = 0;
	int err;

	do {
		struct proto_list list = {.after = last};
		struct answer answer = {.msg = FDMSG_INIT};

		err = call(broker, PROTO_LIST, &list, sizeof(list), 0, &answer);
		if (err)
			return err;
		memcpy(&page, answer.body, sizeof(page));
		err = walk_page(&walk, &answer, &last);
		if (err)
			return err;
		/* A page that leads nowhere would be asked for without end. */
		if (page.more > 1 || (page.more && last == list.after))
			return broken(broker);
	} while (page.more);
	return 0;
}

int pinbroker_show(struct pinbroker *broker, uint64_t id, pinbroker_session_fn fn, void *arg)
{
	struct walk walk = {.broker = broker, .fn = fn, .arg = arg};
	struct answer answer = {.msg = FDMSG_INIT};
	struct proto_show show = {.id = id};
	struct proto_sessions page;
	uint64_t last;
	int err;

	err = call(broker, PROTO_SHOW, &show, sizeof(show), 0, &answer);
	if (err)
		return err;
	memcpy(&page, answer.body, sizeof(page));
	if (page.n != 1 || page.more)
		return broken(broker);
	return walk_page(&walk, &answer, &last);
}

static int fill_subject(const struct pinbroker_subject *from, struct proto_subject *subject)
{
	*subject = (struct proto_subject){.flags = 0};
	if (from->uid != (uid_t)-1) {
		subject->flags |= PROTO_SUBJECT_UID;
		subject->uid = from->uid;
	} else if (from->n_gids) {
		return -EINVAL;
	}
	if (from->n_gids > PROTO_GIDS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < from->n_gids; i++)
		subject->gids[i] = from->gids[i];
	subject->n_gids = (uint32_t)from->n_gids;
	if (from->cgroup) {
		if (!text_fits(from->cgroup, sizeof(subject->cgroup)))
			return -EINVAL;
		subject->flags |= PROTO_SUBJECT_CGROUP;
		proto_text_set(subject->cgroup, sizeof(subject->cgroup), from->cgroup);
	}
	return proto_subject_valid(subject) ? 0 : -EINVAL;
}

static void copy_explanation(const struct proto_explanation *from, struct pinbroker_explanation *to)
{
	*to = (struct pinbroker_explanation){
		.granted = from->granted,
		.accounting = (enum pinbroker_accounting)from->accounting,
		.limit = from->limit,
		.limit_auto = from->flags & PROTO_EXPLAIN_LIMIT_AUTO,
		.policy_limit = from->policy_limit,
		.auto_limit = from->auto_limit,
		.factor = from->factor,
		.memory = from->memory,
		.user_limit = from->user_limit,
		.user_sum = from->user_sum,
		.host_limit = from->host_limit,
		.host_sum = from->host_sum,
		.max_mappings = from->max_mappings,
		.mappings_auto = from->flags & PROTO_EXPLAIN_MAPPINGS_AUTO,
		.max_objects = from->max_objects,
		.max_sessions = from->max_sessions,
		.n_sessions = from->n_sessions,
		.extra_memlock = from->extra_memlock,
		.headroom = from->headroom,
		.migration_buffers = from->migration_buffers,
		.require_reset = from->flags & PROTO_EXPLAIN_REQUIRE_RESET,
	};
	proto_text_set(to->reason, sizeof(to->reason), from->reason);
	proto_text_set(to->text, sizeof(to->text), from->text);
	proto_text_set(to->warning, sizeof(to->warning), from->warning);
	proto_text_set(to->policy, sizeof(to->policy), from->policy);
}

int pinbroker_explain(struct pinbroker *broker, const struct pinbroker_subject *subject,
		      const struct pinbroker_request *request,
		      struct pinbroker_explanation *ret_explanation)
{
	struct answer answer = {.msg = FDMSG_INIT};
	struct proto_explanation explanation;
	struct proto_explain explain;
	int err;

	err = fill_subject(subject, &explain.subject);
	if (!err)
		err = fill_open(request, &explain.open);
	if (err)
		return err;
	err = call(broker, PROTO_EXPLAIN, &explain, sizeof(explain), 0, &answer);
	if (err)
		return err;
	memcpy(&explanation, answer.body, sizeof(explanation));
	if (!proto_explanation_valid(&explanation))
		return broken(broker);
	copy_explanation(&explanation, ret_explanation);
	return 0;
}
