/* SPDX-License-Identifier: MIT */
#include "client/connection.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "common/cleanup.h"

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

static int send_question(struct pinbroker *broker, const struct question *question)
{
	struct proto_header header =
		proto_header(PROTO_REQUEST, question->op, ++broker->serial, question->len);
	struct iovec iov[] = {
		{.iov_base = &header, .iov_len = sizeof(header)},
		/* By way of void: sendmsg() does not write there. */
		{.iov_base = (void *)(uintptr_t)question->body, .iov_len = question->len},
	};
	int err;

	do {
		err = fdmsg_send_cred(broker->fd, iov, ARRAY_SIZE(iov));
	} while (err == -EINTR);
	/* A broker that hung up may have said why before: that is still to be read. */
	if (err == -EPIPE || err == -ECONNRESET)
		return 0;
	/* A security module's; the broker's is told by its answer. */
	return err == -EACCES ? -EPERM : err;
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

static int recv_answer(struct pinbroker *broker, const struct question *question,
		       struct answer *answer)
{
	struct proto_header header;
	int err;

	err = recv_packet(broker, question->max_fds, answer);
	if (err)
		return err;
	err = proto_check(broker->buf, (size_t)(answer->end - broker->buf), PROTO_REPLY, &header);
	if (err)
		return -EPROTO; /* another version too: it is not what was asked */
	/* Serial 0: the connection itself was refused, before any request. */
	if (header.kind == PROTO_REFUSAL && header.serial == 0)
		return take_refusal(broker, answer);
	if (header.op != question->op || header.serial != broker->serial)
		return -EPROTO;
	return header.kind == PROTO_REFUSAL ? take_refusal(broker, answer) : 0;
}

int connection_ask(struct pinbroker *broker, const struct question *question,
		   struct answer *ret_answer)
{
	int err;

	if (broker->walking)
		return -EBUSY;
	memset(&broker->refusal, 0, sizeof(broker->refusal));
	broker->state = "";
	err = send_question(broker, question);
	if (!err)
		err = recv_answer(broker, question, ret_answer);
	return err == -EPROTO ? connection_broken(broker) : err;
}
