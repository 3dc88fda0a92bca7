/* SPDX-License-Identifier: MIT */
/* libpinbroker: orders to a live session, each by its id and answered with its state. */
#include <errno.h>
#include <string.h>

#include "client/ask.h"
#include "client/connection.h"
#include "common/cleanup.h"

static_assert(PINBROKER_SET_LIMIT == PROTO_SET_LIMIT, "copied as it is");
static_assert(PINBROKER_SET_MAX_MAPPINGS == PROTO_SET_MAX_MAPPINGS, "copied as it is");
static_assert(PINBROKER_SET_MAX_OBJECTS == PROTO_SET_MAX_OBJECTS, "copied as it is");
static_assert(PINBROKER_SET_MIGRATION_BUFFERS == PROTO_SET_MIGRATION_BUFFERS, "copied as it is");
static_assert(PINBROKER_REVOKE_KILL == PROTO_REVOKE_KILL, "copied as it is");

/* @ret_fd: NULL: none may come along, else one must. */
static int order_ask(struct pinbroker *broker, struct question *question, uint64_t id, int *ret_fd)
{
	CLEANUP(answer_fini) struct answer answer = {.msg = FDMSG_INIT};
	struct proto_done done;
	int err;

	question->max_fds = ret_fd ? 1 : 0;
	err = connection_ask(broker, question, &answer);
	if (err)
		return err;
	memcpy(&done, answer.body, sizeof(done));
	if (!proto_done_valid(&done) || done.id != id || answer.msg.n_fds != question->max_fds)
		return connection_broken(broker);
	broker->state = proto_state_name(done.state);
	if (ret_fd)
		*ret_fd = STEAL_FD(answer.msg.fds[0]);
	return 0;
}

int pinbroker_set(struct pinbroker *broker, uint64_t id, const struct pinbroker_limits *limits)
{
	unsigned int keys = limits->keys;
	struct proto_set set = {
		.id = id,
		.keys = keys,
		.limit = keys & PROTO_SET_LIMIT ? limits->limit : 0,
		.max_mappings = keys & PROTO_SET_MAX_MAPPINGS ? limits->max_mappings : 0,
		.max_objects = keys & PROTO_SET_MAX_OBJECTS ? limits->max_objects : 0,
		.migration_buffers =
			keys & PROTO_SET_MIGRATION_BUFFERS ? limits->migration_buffers : 0,
	};
	struct question question = {.op = PROTO_SET, .body = &set, .len = sizeof(set)};

	return proto_set_valid(&set) ? order_ask(broker, &question, id, NULL) : -EINVAL;
}

int pinbroker_attach(struct pinbroker *broker, uint64_t id, const char *device, int *ret_fd)
{
	struct proto_attach attach = {.id = id};
	struct question question = {.op = PROTO_ATTACH, .body = &attach, .len = sizeof(attach)};

	if (!device || !device[0] || strlen(device) >= sizeof(attach.device))
		return -EINVAL;
	proto_text_set(attach.device, sizeof(attach.device), device);
	return order_ask(broker, &question, id, ret_fd);
}

int pinbroker_adopt(struct pinbroker *broker, uint64_t id, int pidfd)
{
	struct proto_adopt adopt = {.id = id};
	struct question question = {.op = PROTO_ADOPT, .body = &adopt, .len = sizeof(adopt)};
	const struct proto_adopt *at_hand = connection_at_hand(broker, PROTO_ADOPT);
	int err = ask_process(pidfd, at_hand ? &at_hand->process : NULL, &adopt.process);

	return err ? err : order_ask(broker, &question, id, NULL);
}

int pinbroker_pass(struct pinbroker *broker, uint64_t id, int listen_fd)
{
	struct proto_pass pass = {.id = id};
	struct question question = {
		.op = PROTO_PASS, .body = &pass, .len = sizeof(pass), .fd = &listen_fd};

	return listen_fd < 0 ? -EBADF : order_ask(broker, &question, id, NULL);
}

int pinbroker_close(struct pinbroker *broker, uint64_t id)
{
	struct proto_close close_body = {.id = id};
	struct question question = {
		.op = PROTO_CLOSE, .body = &close_body, .len = sizeof(close_body)};

	return order_ask(broker, &question, id, NULL);
}

int pinbroker_revoke(struct pinbroker *broker, uint64_t id, unsigned int flags)
{
	struct proto_revoke revoke = {.id = id, .flags = flags};
	struct question question = {.op = PROTO_REVOKE, .body = &revoke, .len = sizeof(revoke)};

	return proto_revoke_valid(&revoke) ? order_ask(broker, &question, id, NULL) : -EINVAL;
}
