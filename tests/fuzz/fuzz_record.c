/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as the record's file, which a daemon starts with. It must start, and what it took over
 * must be a whole: every book tells the same, and another start takes over the same again. It must
 * leave alone the limit of each process that no entry names by both pid and inode, and when all
 * owners have exited nothing may be left.
 *
 * An input is the file, NUL bytes shortened (fuzz_wire.h).
 */
#include <string.h>

#include "common/cleanup.h"
#include "common/proto.h"
#include "daemon/broker.h"
#include "daemon/owner.h"
#include "daemon/session.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_books.h"
#include "tests/fuzz/fuzz_broker.h"
#include "tests/fuzz/fuzz_kernel.h"
#include "tests/fuzz/fuzz_process.h"
#include "tests/fuzz/fuzz_talk.h"
#include "tests/fuzz/fuzz_wire.h"

#define FILE_MAX (64 * sizeof(struct fuzz_entry))

static struct broker *broker;

/* Whether some entry of the file names the process, whatever its kind says. */
static bool named(const char *file, size_t len, unsigned int who)
{
	for (size_t i = 1; i < len / sizeof(struct fuzz_entry); i++) {
		struct fuzz_entry entry;

		memcpy(&entry, file + i * sizeof(entry), sizeof(entry));
		if (entry.body.owner.pid == FUZZ_PID(who) &&
		    entry.body.owner.inode == FUZZ_INODE(who, 0))
			return true;
	}
	return false;
}

static void check_limits(const char *file, size_t len)
{
	const struct rlimit before = fuzz_process_limit_before();

	for (unsigned int i = 0; i < FUZZ_PROCESSES; i++) {
		const struct rlimit *now = &fuzz_process_at(i)->limit;

		FUZZ_CHECK(named(file, len, i) ||
			   (now->rlim_cur == before.rlim_cur && now->rlim_max == before.rlim_max));
	}
}

/* What was taken over is served. */
static void ask(void)
{
	struct {
		struct proto_header header;
		struct proto_open open;
	} packet = {.header = proto_header(PROTO_REQUEST, PROTO_OPEN, 0, sizeof(packet.open)),
		    .open = {.memory = UINT64_C(1) << 30, .flags = PROTO_OPEN_EXEC}};

	fuzz_talk_list_all();
	(void)fuzz_talk_serve((const char *)&packet, sizeof(packet)); /* sums may forbid it */
	fuzz_books_check(broker);
	fuzz_talk_list_all();
}

/* Those that wait for somebody end by their time. */
static void exit_all(void)
{
	struct session *newer;

	for (struct session *s = session_after(broker->sessions, 0); s; s = newer) {
		newer = s->newer;
		if (s->state == SESSION_PENDING)
			owner_end_session(broker, s);
	}
	for (unsigned int i = 0; i < FUZZ_PROCESSES; i++)
		fuzz_process_exit(i);
	fuzz_kernel_ready();
	fuzz_books_check_idle(broker);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static char file[FILE_MAX];
	size_t file_len = fuzz_wire_unpack(data, len, file, sizeof(file)), n;
	int fd;

	fuzz_process_reset(fuzz_talk_killed);
	fuzz_kernel_reset(fuzz_talk_sent, NULL);
	if (!broker)
		broker = fuzz_broker_new();
	fuzz_talk_begin(broker);
	fd = fuzz_broker_lowest_fd();
	fuzz_broker_start_from(broker, file, file_len);
	fuzz_books_check(broker);
	check_limits(file, file_len);
	n = session_count(broker->sessions);
	fuzz_broker_restart(broker);
	fuzz_books_check(broker);
	check_limits(file, file_len);
	FUZZ_CHECK(session_count(broker->sessions) == n);
	ask();
	exit_all();
	FUZZ_CHECK(fuzz_broker_lowest_fd() == fd);
	return 0;
}
