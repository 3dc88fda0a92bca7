/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as packets: to both ends' rules of the wire, and as the requests of one process to a
 * broker on a fake kernel. Whatever it asks, it gets at most one well-formed answer to each packet,
 * and when it exits nothing is left of it.
 *
 * An input is a conversation: packets one after the other, each as long as its header says (what
 * does not hold that much is one packet whatever it says). NUL bytes are shortened, as most of a
 * request is NUL: 00 N stands for N+1 of them. The serial, which is the requester's, tells the fake
 * world what to do during that request: see enum serial_byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accounting/ledger.h"
#include "accounting/policy.h"
#include "common/cleanup.h"
#include "common/device.h"
#include "common/proto.h"
#include "daemon/broker.h"
#include "daemon/budget.h"
#include "daemon/loop.h"
#include "daemon/owner.h"
#include "daemon/peer.h"
#include "daemon/petition.h"
#include "daemon/record.h"
#include "daemon/request.h"
#include "daemon/session.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_kernel.h"

#define INPUT_MAX (2 * PROTO_MESSAGE_MAX)
#define PACKETS_MAX 16
#define REQUESTER 1000

enum serial_byte {
	SERIAL_FAIL_AT, /* the nth system call of the request fails; 0: none does */
	SERIAL_ERROR, /* with which error, see errors[] */
	SERIAL_WHO, /* WHO_* */
};

enum {
	WHO_ROOT = 1, /* else uid 1000 */
	WHO_NO_CRED = 2,
	WHO_OTHER_PID = 4, /* of SCM_CREDENTIALS */
	WHO_OTHER_UID = 8,
	WHO_NO_PID = 16, /* another pid namespace */
};

static const int errors[] = {-EPERM, -ENOENT, -EMFILE, -EAGAIN, -EPIPE, -ENOMEM, -ESRCH, -ENOTTY};

static const char config[] =
	"host-reserve = \"1G\" max-requests = 0\n"
	"policy \"tenants\" { users = {\"0\", \"1000\"} accounting = any limit = \"16G\"\n"
	"  user-limit = \"40G\" max-sessions = 4 devices = {\"0000:*\"} extra-memlock = 64K }\n"
	"policy \"auto\" { users = {\"2000-2999\"} groups = {\"36\"} accounting = task limit = "
	"auto\n"
	"  user-limit = \"8G\" devices = {\"*\"} admins = {\"1000\"} require-reset = true }\n"
	"policy \"scope\" { cgroups = {\"/machine.slice\"} accounting = user limit = 1G }\n";

/* The request being served. */
struct exchange {
	struct proto_header request;
	unsigned int n_answers;
	bool granted;
	size_t n_records; /* in all pages so far */
	uint64_t last_id;
	bool more;
};

static struct broker *broker;
static struct exchange exchange;

/* Answers */

static void check_text(const char *text, size_t size)
{
	FUZZ_CHECK(proto_text_valid(text, size) && !strchr(text, '\n'));
}

static void check_records(const char *body, const char *end)
{
	const char *pos = body + sizeof(struct proto_sessions);
	struct proto_sessions head;

	memcpy(&head, body, sizeof(head));
	for (uint32_t i = 0; i < head.n; i++) {
		struct proto_session session;
		const char *cgroup, (*devices)[40];

		FUZZ_CHECK(proto_session_next(&pos, end, &session, &cgroup, &devices) == 0);
		FUZZ_CHECK(session.id > exchange.last_id || exchange.request.op == PROTO_SHOW);
		exchange.last_id = session.id;
		exchange.n_records++;
	}
	FUZZ_CHECK(pos == end && head.more <= 1);
	exchange.more = head.more;
}

static void check_grant(const char *body, size_t n_fds)
{
	struct proto_grant grant;

	memcpy(&grant, body, sizeof(grant));
	FUZZ_CHECK(proto_grant_valid(&grant) && proto_name_valid(grant.name) && grant.id);
	FUZZ_CHECK(n_fds == 1 + grant.n_devices && grant.limit > 0);
	check_text(grant.warning, sizeof(grant.warning));
	exchange.granted = true;
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

static size_t count_fds(const struct msghdr *msg)
{
	const struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);

	if (!cmsg)
		return 0;
	FUZZ_CHECK(cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS);
	return (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
}

static ssize_t answer_sent(const struct msghdr *msg, int flags, void *arg)
{
	char packet[PROTO_MESSAGE_MAX];
	struct proto_header header;
	size_t len = 0, n_fds = count_fds(msg);
	const char *body = packet + sizeof(header);

	(void)arg;
	FUZZ_CHECK((flags & MSG_NOSIGNAL) && exchange.n_answers++ == 0);
	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		FUZZ_CHECK(msg->msg_iov[i].iov_len <= sizeof(packet) - len);
		memcpy(packet + len, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
		len += msg->msg_iov[i].iov_len;
	}
	FUZZ_CHECK(proto_check(packet, len, PROTO_REPLY, &header) == 0);
	FUZZ_CHECK(header.op == exchange.request.op && header.serial == exchange.request.serial);
	FUZZ_CHECK(n_fds == 0 || (header.kind == PROTO_REPLY && header.op == PROTO_OPEN));
	if (header.kind == PROTO_REFUSAL)
		check_refusal(body);
	else if (header.op == PROTO_OPEN)
		check_grant(body, n_fds);
	else if (header.op == PROTO_EXPLAIN)
		check_explanation(body);
	else
		check_records(body, packet + len);
	return (ssize_t)len;
}

/* The broker */

static void report(enum policy_severity severity, const char *file, unsigned int line,
		   const char *text, void *arg)
{
	(void)arg;
	(void)fprintf(stderr, "%s:%u: %s\n", file, line, text);
	FUZZ_CHECK(severity == POLICY_WARNING);
}

static int nobody(const char *name, uid_t *ret_id, void *arg)
{
	(void)name;
	(void)ret_id;
	(void)arg;
	return -ENOENT;
}

/* Root is to be served as anybody is. */
static void drop_ipc_lock(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	FUZZ_CHECK(syscall(SYS_capget, &header, data) == 0);
	data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &= ~CAP_TO_MASK(CAP_IPC_LOCK);
	FUZZ_CHECK(syscall(SYS_capset, &header, data) == 0);
}

static void broker_make(void)
{
	const struct policy_file file = {"config", config, sizeof(config) - 1};
	const struct policy_env env = {nobody, nobody, report, NULL, 0};
	bool cleared;

	drop_ipc_lock();
	broker = calloc(1, sizeof(*broker));
	FUZZ_CHECK(broker);
	broker->petition = malloc(sizeof(*broker->petition));
	FUZZ_CHECK(broker->petition);
	broker->sys = &fuzz_kernel_ops;
	broker->sysfs_fd = broker->dev_fd = fuzz_kernel_sysfs();
	broker->signal_fd = -1;
	broker->mem_total = UINT64_C(256) << 30;
	broker->overflow_uid = 65534;
	FUZZ_CHECK(loop_new(LOOP_AUTO, &broker->loop) == 0 && ledger_new(&broker->ledger) == 0);
	FUZZ_CHECK(budget_new(&broker->budget) == 0);
	FUZZ_CHECK(record_open_fd(memfd_create("record", MFD_CLOEXEC), "fuzz", &cleared,
				  &broker->record) == 0);
	FUZZ_CHECK(session_table_new(broker->ledger, broker->record, &broker->sessions) == 0);
	FUZZ_CHECK(owner_table_new(broker, &broker->owners) == 0);
	FUZZ_CHECK(policy_parse(&file, 1, &env, &broker->policies) == 0);
}

static unsigned int serial_byte(const struct proto_header *header, enum serial_byte byte)
{
	return (unsigned int)(header->serial >> (8 * byte)) & 0xff;
}

/* What is known of the requester; its pid is ours, so that /proc and prlimit() have one. */
static void requester(const struct proto_header *header, struct peer *peer, struct ucred *ret_cred)
{
	unsigned int who = serial_byte(header, SERIAL_WHO);
	uid_t uid = who & WHO_ROOT ? 0 : REQUESTER;

	peer->cred = (struct ucred){.pid = who & WHO_NO_PID ? 0 : getpid(), .uid = uid, .gid = uid};
	peer->gids[0] = uid;
	*ret_cred = peer->cred;
	ret_cred->pid += who & WHO_OTHER_PID ? 1 : 0;
	ret_cred->uid += who & WHO_OTHER_UID ? 1 : 0;
}

static bool well_formed(const struct proto_header *header, const char *packet, size_t len)
{
	struct proto_header checked;
	int err = proto_check(packet, len, PROTO_REQUEST, &checked);

	return err == 0 || (err == -EOPNOTSUPP && header->op);
}

/* Serves one packet. Returns whether the peer stays connected. */
static bool serve(struct peer *peer, const char *packet, size_t len)
{
	struct proto_header header = {.op = 0};
	struct ucred cred;
	int err;

	memcpy(&header, packet, len < sizeof(header) ? len : sizeof(header));
	exchange = (struct exchange){.request = header};
	requester(&header, peer, &cred);
	fuzz_kernel_fail(serial_byte(&header, SERIAL_FAIL_AT),
			 errors[serial_byte(&header, SERIAL_ERROR) % ARRAY_SIZE(errors)]);
	err = request_serve(peer, packet, len,
			    serial_byte(&header, SERIAL_WHO) & WHO_NO_CRED ? NULL : &cred);
	fuzz_kernel_fail(0, 0);
	FUZZ_CHECK(err <= 0 && (err == 0) == (exchange.n_answers == 1));
	FUZZ_CHECK(err == 0 || !exchange.granted);
	FUZZ_CHECK(well_formed(&header, packet, len) || exchange.n_answers == 0);
	return err == 0;
}

/* Root lists everything: all pages are well-formed and hold every session. */
static void check_list(struct peer *peer)
{
	struct {
		struct proto_header header;
		struct proto_list list;
	} packet = {.header = proto_header(PROTO_REQUEST, PROTO_LIST,
					   (uint64_t)WHO_ROOT << (8 * SERIAL_WHO),
					   sizeof(packet.list))};
	size_t n = 0;

	do {
		FUZZ_CHECK(serve(peer, (const char *)&packet, sizeof(packet)));
		n += exchange.n_records;
		packet.list.after = exchange.last_id;
	} while (exchange.more);
	FUZZ_CHECK(n == session_count(broker->sessions));
}

/* The lowest number that is free: the same as long as nothing is left open. */
static int lowest_fd(void)
{
	CLEANUP(fd_closep) int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

	return fd;
}

static void check_idle(void)
{
	static const uid_t uids[] = {0, REQUESTER};

	FUZZ_CHECK(session_count(broker->sessions) == 0 && ledger_host_sum(broker->ledger) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
		FUZZ_CHECK(ledger_user_sum(broker->ledger, uids[i]) == 0);
		FUZZ_CHECK(ledger_user_mode_sum(broker->ledger, uids[i]) == 0);
	}
	FUZZ_CHECK(fuzz_kernel_watches() == 0);
}

/* The wire */

static void check_requests(const struct proto_header *header, const char *body)
{
	struct proto_open open;
	struct proto_explain explain;
	char name[DEVICE_NAME_MAX], again[DEVICE_NAME_MAX];

	if (header->op == PROTO_EXPLAIN) {
		memcpy(&explain, body, sizeof(explain));
		if (proto_explain_valid(&explain))
			FUZZ_CHECK(explain.subject.n_gids <= PROTO_GIDS_MAX);
	}
	if (header->op != PROTO_OPEN)
		return;
	memcpy(&open, body, sizeof(open));
	if (!proto_open_valid(&open))
		return;
	FUZZ_CHECK(open.n_devices <= PROTO_DEVICES_MAX);
	FUZZ_CHECK(!open.name[0] || proto_name_valid(open.name));
	for (size_t i = 0; i < open.n_devices; i++) {
		if (device_name(open.devices[i], name))
			continue;
		FUZZ_CHECK(device_name(name, again) == 0 && strcmp(name, again) == 0);
		FUZZ_CHECK(!strchr(name, '/') && strspn(name, "0123456789abcdef:.-"));
	}
}

/* What a client does with it. */
static void check_answers(const struct proto_header *header, const char *body, const char *end)
{
	const char *pos = body + sizeof(struct proto_sessions), *cgroup, (*devices)[40];
	struct proto_explanation explanation;
	struct proto_session session;
	struct proto_refusal refusal;
	struct proto_grant grant;

	if (header->kind == PROTO_REFUSAL) {
		memcpy(&refusal, body, sizeof(refusal));
		FUZZ_CHECK(!proto_refusal_valid(&refusal) || strlen(refusal.reason) < 24);
	} else if (header->op == PROTO_OPEN) {
		memcpy(&grant, body, sizeof(grant));
		FUZZ_CHECK(!proto_grant_valid(&grant) || strlen(grant.warning) < 512);
	} else if (header->op == PROTO_EXPLAIN) {
		memcpy(&explanation, body, sizeof(explanation));
		FUZZ_CHECK(!proto_explanation_valid(&explanation) || explanation.granted <= 1);
	} else {
		while (proto_session_next(&pos, end, &session, &cgroup, &devices) == 0) {
			FUZZ_CHECK(pos <= end && cgroup + session.cgroup_len <= end);
			FUZZ_CHECK(!memchr(cgroup, '\0', session.cgroup_len));
			FUZZ_CHECK(strcmp(proto_state_name(session.state), "unknown") != 0);
			for (size_t i = 0; i < session.n_devices; i++)
				FUZZ_CHECK(strlen(devices[i]) > 0 && strlen(devices[i]) < 40);
		}
	}
}

static void check_wire(const char *packet, size_t len)
{
	const char *body = packet + sizeof(struct proto_header);
	struct proto_header header;

	if (proto_check(packet, len, PROTO_REQUEST, &header) == 0) {
		FUZZ_CHECK(header.size == len && header.kind == PROTO_REQUEST);
		check_requests(&header, body);
	}
	if (proto_check(packet, len, PROTO_REPLY, &header) == 0) {
		FUZZ_CHECK(header.size == len && header.kind != PROTO_REQUEST);
		check_answers(&header, body, packet + len);
	}
}

/* The input */

/* Undoes the shortening of NUL bytes. Returns the length, cut to size. */
static size_t unpack(const uint8_t *data, size_t len, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n < size; i++) {
		size_t zeros = 0;

		if (data[i] == 0)
			zeros = i + 1 < len ? data[++i] + (size_t)1 : 1;
		if (zeros > size - n)
			zeros = size - n;
		memset(out + n, 0, zeros);
		n += zeros;
		if (!zeros)
			out[n++] = (char)data[i];
	}
	return n;
}

static size_t packet_len(const char *bytes, size_t left)
{
	struct proto_header header;

	if (left < sizeof(header))
		return left;
	memcpy(&header, bytes, sizeof(header));
	return header.size >= sizeof(header) && header.size <= left ? header.size : left;
}

static void converse(struct peer *peer, const char *bytes, size_t len)
{
	bool connected = true;

	for (int i = 0; i < PACKETS_MAX && len > 0 && connected; i++) {
		size_t n = packet_len(bytes, len);
		/* In a block of its size, so that a read beyond it is found. */
		CLEANUP(freep) char *packet = malloc(n);

		FUZZ_CHECK(packet);
		memcpy(packet, bytes, n);
		check_wire(packet, n);
		connected = serve(peer, packet, n);
		FUZZ_CHECK(session_count(broker->sessions) || fuzz_kernel_limit_untouched());
		bytes += n;
		len -= n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static char bytes[INPUT_MAX];
	gid_t gids[1];
	struct peer_account account = {.user = NULL};
	struct peer peer = {.fd = -1, .gids = gids, .n_gids = 1, .account = &account};
	int fd;

	if (!broker)
		broker_make();
	fd = lowest_fd();
	fuzz_kernel_reset(answer_sent, NULL);
	peer.broker = broker;
	peer.pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	FUZZ_CHECK(peer.pidfd >= 0);
	FUZZ_CHECK(budget_connect(broker->budget, REQUESTER, 1, 0, 0, &account.user) == 0);
	converse(&peer, bytes, unpack(data, len, bytes, sizeof(bytes)));
	if (session_count(broker->sessions))
		check_list(&peer);
	budget_disconnect(broker->budget, account.user, 0);
	fuzz_kernel_ready(); /* the process exits */
	check_idle();
	fd_closep(&peer.pidfd);
	FUZZ_CHECK(lowest_fd() == fd);
	return 0;
}
