/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as packets: to both ends' rules of the wire, and as the requests of eight processes to
 * a broker on a fake kernel. Whatever they ask, each gets at most one well-formed answer to each
 * packet and nothing that is not for it; between any two requests all books of the broker are in
 * balance, also when calls fail, processes exit and the daemon is killed and started again; and
 * when all have exited nothing is left of them.
 *
 * An input is a conversation: packets one after the other, each as long as its header says (what
 * does not hold that much is one packet whatever it says), NUL bytes shortened (fuzz_wire.h). The
 * serial of a packet tells who sends it and what happens meanwhile: enum fuzz_serial.
 */
#include <string.h>

#include "common/cleanup.h"
#include "common/proto.h"
#include "daemon/broker.h"
#include "daemon/session.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_books.h"
#include "tests/fuzz/fuzz_broker.h"
#include "tests/fuzz/fuzz_kernel.h"
#include "tests/fuzz/fuzz_process.h"
#include "tests/fuzz/fuzz_talk.h"
#include "tests/fuzz/fuzz_wire.h"

#define INPUT_MAX (2 * PROTO_MESSAGE_MAX)
#define PACKETS_MAX 24

static struct broker *broker;

static void converse(const char *bytes, size_t len)
{
	for (int i = 0; i < PACKETS_MAX && len > 0; i++) {
		size_t n = fuzz_wire_packet_len(bytes, len);
		/* In a block of its size, so that a read beyond it is found. */
		CLEANUP(freep) char *packet = malloc(n);

		FUZZ_CHECK(packet);
		memcpy(packet, bytes, n);
		fuzz_wire_check(packet, n);
		(void)fuzz_talk_serve(packet, n); /* who is dropped connects again */
		fuzz_books_check(broker);
		fuzz_books_check_policy(broker);
		fuzz_books_check_limits(broker);
		bytes += n;
		len -= n;
	}
}

/* Everybody exits, and the next input finds a broker that has never seen a session. */
static void end(void)
{
	for (unsigned int i = 0; i < FUZZ_PROCESSES; i++)
		while (!fuzz_process_at(i)->exited)
			fuzz_process_exit(i);
	fuzz_kernel_ready();
	fuzz_books_check_idle(broker);
	fuzz_broker_reload(broker, false);
	if (fuzz_talk_changed())
		fuzz_broker_restart(broker);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static char bytes[INPUT_MAX];
	int fd;

	fuzz_process_reset(fuzz_talk_killed);
	fuzz_kernel_reset(fuzz_talk_sent, NULL);
	if (!broker)
		broker = fuzz_broker_new();
	fuzz_talk_begin(broker);
	fd = fuzz_broker_lowest_fd();
	converse(bytes, fuzz_wire_unpack(data, len, bytes, sizeof(bytes)));
	fuzz_talk_list_all();
	end();
	FUZZ_CHECK(fuzz_broker_lowest_fd() == fd);
	return 0;
}
