/* SPDX-License-Identifier: MIT */
#include "client/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/sys.h"

void answer_fini(struct answer *answer)
{
	fdmsg_close(&answer->msg);
}

static void connection_freep(struct pinbroker **broker)
{
	pinbroker_free(*broker);
}

int pinbroker_connect(const char *path, struct pinbroker **ret_broker)
{
	CLEANUP(connection_freep) struct pinbroker *broker = calloc(1, sizeof(*broker));
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int err;

	if (!broker)
		return -ENOMEM;
	broker->fd = -1;
	broker->state = "";
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

int connection_broken(struct pinbroker *broker)
{
	/* The descriptor's number stays: someone may poll it. */
	(void)shutdown(broker->fd, SHUT_RDWR); /* fails only when the peer has gone already */
	return -EPROTO;
}

static int send_request(struct pinbroker *broker, const struct question *question)
{
	struct proto_header header =
		proto_header(PROTO_REQUEST, question->op, broker->sent + 1, question->len);
	struct iovec iov[] = {
		{.iov_base = &header, .iov_len = sizeof(header)},
		/* By way of a number: sendmsg() does not write there. */
		{.iov_base = (void *)(uintptr_t)question->body, .iov_len = question->len},
	};
	int err;

	do { /* beside a descriptor the kernel names us: the broker has asked for that by now */
		err = question->fd ? fdmsg_send(&sys_real, broker->fd, iov, ARRAY_SIZE(iov),
						question->fd, 1)
				   : fdmsg_send_cred(broker->fd, iov, ARRAY_SIZE(iov));
	} while (err == -EINTR);
	/* A broker that hung up may have said why before: that is still to be read. */
	if (err == -EPIPE || err == -ECONNRESET)
		return 0;
	/* A security module's; the broker's is told by its answer. */
	return err == -EACCES ? -EPERM : err;
}

/* @flags: of recvmsg(2). */
static int recv_packet(struct pinbroker *broker, size_t max_fds, int flags, struct answer *answer)
{
	size_t len;
	int err;

	do {
		err = fdmsg_recv(broker->fd, broker->buf, sizeof(broker->buf), max_fds, flags, &len,
				 &answer->msg);
	} while (err == -EINTR);
	if (err == -EMSGSIZE)
		return -EPROTO;
	if (err == -EMFILE)
		broker->answered++; /* it was taken: only what came along is lost */
	if (err)
		return err == -EACCES ? -EPERM : err;
	if (len == 0)
		return -ECONNRESET;
	answer->body = broker->buf + sizeof(struct proto_header);
	answer->end = broker->buf + len;
	return 0;
}

const char *pinbroker_state(const struct pinbroker *broker)
{
	return broker->state;
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

/*
 * Takes the next answer there is, and checks that it is the next that there can be.
 * Return: -EACCES: the connection itself was refused, before any request.
 */
static int recv_next(struct pinbroker *broker, size_t max_fds, int flags,
		     struct proto_header *ret_header, struct answer *answer)
{
	int err = recv_packet(broker, max_fds, flags, answer);

	if (err)
		return err;
	err = proto_check(broker->buf, (size_t)(answer->end - broker->buf), PROTO_REPLY,
			  ret_header);
	if (err)
		return -EPROTO; /* another version too: it is not what was asked */
	if (ret_header->kind == PROTO_REFUSAL && ret_header->serial == 0)
		return take_refusal(broker, answer);
	if (ret_header->serial != broker->answered + 1 || ret_header->serial > broker->sent)
		return -EPROTO;
	broker->answered++;
	return 0;
}

/* How many answers are to come to questions that were given up. */
static uint64_t count_late(const struct pinbroker *broker)
{
	return broker->sent - broker->answered - (broker->phase == CONNECTION_RECEIVE);
}

/* Takes those answers and closes what they bring. */
static int drop_late(struct pinbroker *broker, int flags)
{
	struct proto_header header;

	while (count_late(broker)) {
		CLEANUP(answer_fini) struct answer late = {.msg = FDMSG_INIT};
		int err = recv_next(broker, PROTO_FDS_MAX, flags, &header, &late);

		if (err && err != -EMFILE)
			return err;
	}
	return 0;
}

static int send_question(struct pinbroker *broker, const struct question *question)
{
	int err;

	/* Those that are here make room for a broker that answers. */
	err = drop_late(broker, MSG_DONTWAIT);
	if (err && err != -EAGAIN)
		return err;
	err = send_request(broker, question);
	if (err)
		return err;
	broker->sent++;
	broker->phase = CONNECTION_RECEIVE;
	return 0;
}

static int recv_answer(struct pinbroker *broker, const struct question *question,
		       struct answer *answer)
{
	struct proto_header header;
	int err;

	err = drop_late(broker, 0);
	if (!err)
		err = recv_next(broker, question->max_fds, 0, &header, answer);
	if (err)
		return err;
	if (header.op != question->op)
		return -EPROTO;
	return header.kind == PROTO_REFUSAL ? take_refusal(broker, answer) : 0;
}

static void begin_question(struct pinbroker *broker, const struct question *question)
{
	assert(question->len <= sizeof(broker->asked.body));
	broker->asked.op = question->op;
	broker->asked.len = question->len;
	memcpy(broker->asked.body, question->body, question->len);
	memset(&broker->refusal, 0, sizeof(broker->refusal));
	broker->state = "";
	broker->phase = CONNECTION_SEND;
}

static bool is_asked(const struct pinbroker *broker, const struct question *question)
{
	return broker->asked.op == question->op && broker->asked.len == question->len &&
	       memcmp(broker->asked.body, question->body, question->len) == 0;
}

int connection_ask(struct pinbroker *broker, const struct question *question,
		   struct answer *ret_answer)
{
	int err = 0;

	if (broker->walking || broker->streaming)
		return -EBUSY;
	if (broker->phase == CONNECTION_IDLE)
		begin_question(broker, question);
	else if (!is_asked(broker, question))
		return -EBUSY;
	if (broker->phase == CONNECTION_SEND)
		err = send_question(broker, question);
	if (!err)
		err = recv_answer(broker, question, ret_answer);
	if (err == -EAGAIN)
		return err;
	broker->phase = CONNECTION_IDLE;
	return err == -EPROTO ? connection_broken(broker) : err;
}

int connection_next(struct pinbroker *broker, unsigned int op, struct answer *ret_answer)
{
	struct proto_header header;
	int err;

	if (broker->walking)
		return -EBUSY;
	err = recv_packet(broker, 0, 0, ret_answer);
	if (err == -EMFILE)
		err = -EPROTO; /* none may come along */
	if (!err && (proto_check(broker->buf, (size_t)(ret_answer->end - broker->buf), PROTO_EVENTS,
				 &header) ||
		     header.op != op || header.serial != broker->sent))
		err = -EPROTO;
	return err == -EPROTO ? connection_broken(broker) : err;
}

const void *connection_at_hand(const struct pinbroker *broker, unsigned int op)
{
	bool at_hand = broker->phase != CONNECTION_IDLE && broker->asked.op == op;

	return at_hand ? broker->asked.body : NULL;
}

int pinbroker_set_nonblocking(struct pinbroker *broker, bool nonblocking)
{
	int flags = fcntl(broker->fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(broker->fd, F_SETFL, flags) < 0 ? -errno : 0;
}

short pinbroker_events(const struct pinbroker *broker)
{
	bool receive =
		broker->phase == CONNECTION_RECEIVE || count_late(broker) || broker->streaming;

	return (short)((broker->phase == CONNECTION_SEND ? POLLOUT : 0) | (receive ? POLLIN : 0));
}

int pinbroker_cancel(struct pinbroker *broker)
{
	int err;

	if (broker->walking)
		return -EBUSY;
	broker->phase = CONNECTION_IDLE;
	err = drop_late(broker, MSG_DONTWAIT);
	return err == -EPROTO ? connection_broken(broker) : err;
}
