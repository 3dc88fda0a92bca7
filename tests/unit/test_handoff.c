/* SPDX-License-Identifier: MIT */
/* Hand-offs at a socket, as far as there is no gate and no cgroup: see handoff.sh for those. */
#include "daemon/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "accounting/ledger.h"
#include "common/cleanup.h"
#include "common/sys.h"
#include "daemon/handoff_private.h"
#include "daemon/owner.h"
#include "daemon/process.h"
#include "daemon/record.h"
#include "daemon/reserve.h"
#include "tests/unit/broker_fixture.h"
#include "tests/unit/captured.h"
#include "tests/unit/child.h"
#include "tests/unit/fake_cgroups.h"
#include "tests/unit/fake_sys.h"
#include "tests/unit/poison.h"
#include "tests/unit/record_fixture.h"
#include "tests/unit/suite.h"

#define WAIT_MS 600000
#define LIMIT (UINT64_C(2) << 30) /* "auto" of what broker_fixture_open() asks for */
#define POD "/kubepods/pod1"
#define CHANGELING 65534

/* One that this process asks for in its own name, as root may. */
struct scene {
	struct broker_fixture f;
	struct fake_cgroups cgroups;
	struct fake_cgroup *pod, *below, *other;
	int fd; /* a connection */
	int listen_fd; /* what is passed; ours, too */
	int n_fds; /* of this process, before anything was passed */
	struct sockaddr_un address;
	struct proto_handoff request;
	struct answer answer;
};

/* Whoever runs this: to the broker it is root. */
static void scene_connect(struct scene *s)
{
	s->fd = broker_fixture_connect(&s->f);
	broker_fixture_peer(&s->f)->passes = true;
}

static void scene_bind(struct scene *s)
{
	s->address.sun_family = AF_UNIX;
	(void)snprintf(s->address.sun_path, sizeof(s->address.sun_path), "%s/handoff", s->f.path);
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_FATAL(s->listen_fd >= 0);
	CU_ASSERT_EQUAL_FATAL(
		bind(s->listen_fd, (struct sockaddr *)&s->address, sizeof(s->address)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(s->listen_fd, 16), 0);
}

static bool scene_init(struct scene *s)
{
	if (!broker_fixture_init(&s->f))
		return false;
	broker_fixture_administer(&s->f);
	fake_cgroups_begin(&s->cgroups);
	(void)fake_cgroups_add(&s->cgroups, "/kubepods");
	s->pod = fake_cgroups_add(&s->cgroups, POD);
	s->below = fake_cgroups_add(&s->cgroups, POD "/compute");
	s->other = fake_cgroups_add(&s->cgroups, POD "0"); /* begins alike */
	scene_connect(s);
	scene_bind(s);
	s->request = (struct proto_handoff){
		.subject = {.flags = PROTO_SUBJECT_UID | PROTO_SUBJECT_CGROUP,
			    .uid = getuid(),
			    .cgroup = POD},
		.open = broker_fixture_open(FIXTURE_DEVICE, NULL),
		.wait_ms = WAIT_MS,
	};
	s->request.open.flags = 0;
	s->n_fds = suite_count_fds();
	return true;
}

static bool scene_rests(void *arg)
{
	const struct scene *s = arg;

	return suite_count_fds() == s->n_fds + 1; /* the run's own */
}

/* What is closed by threads is. */
static void scene_fini(struct scene *s)
{
	fd_closep(&s->fd);
	fd_closep(&s->listen_fd);
	s->n_fds -= 4; /* the two, and the broker's two of the connection */
	broker_fixture_run(&s->f, scene_rests, s);
	fake_cgroups_end(&s->cgroups);
	broker_fixture_fini(&s->f);
}

static const char *answered(struct scene *s)
{
	broker_fixture_answer(&s->f, s->fd, &s->answer);
	CU_ASSERT_EQUAL(s->answer.msg.n_fds, 0);
	return answer_reason(&s->answer);
}

static const char *ask(struct scene *s, unsigned int op, const void *body, size_t len)
{
	broker_fixture_send(s->fd, op, body, len);
	return answered(s);
}

static struct session *handed_off(struct scene *s)
{
	struct session *session;

	CU_ASSERT_STRING_EQUAL_FATAL(ask(s, PROTO_HANDOFF, &s->request, sizeof(s->request)),
				     "granted");
	session = session_find(s->f.broker->sessions, s->answer.body.grant.id);
	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
	return session;
}

/* @fd: -1: none */
static void pass(struct scene *s, uint64_t id, int fd)
{
	struct proto_pass body = {.id = id};
	struct proto_header header =
		proto_header(PROTO_REQUEST, PROTO_PASS, FIXTURE_SERIAL, sizeof(body));
	struct iovec iov[] = {{.iov_base = &header, .iov_len = sizeof(header)},
			      {.iov_base = &body, .iov_len = sizeof(body)}};

	CU_ASSERT_EQUAL_FATAL(fdmsg_send(&sys_real, s->fd, iov, 2, &fd, fd >= 0), 0);
}

struct pending {
	const struct session *session;
};

static bool is_passed(void *arg)
{
	const struct scene *s = arg;

	return suite_count_fds() > s->n_fds + 1; /* the run's own */
}

static void pass_socket(struct scene *s, uint64_t id)
{
	pass(s, id, s->listen_fd);
	broker_fixture_run(&s->f, is_passed, s);
}

/* --- receivers, which are processes of their own */

struct receiver {
	const struct scene *scene;
	bool silent; /* it hangs up instead of its byte */
	bool urgent; /* it sends that as one that readers of others do not see */
	struct child child;
};

/* 0: it got one byte with one descriptor, and nothing else; 1: nothing; 2: something else. */
static int receive(void *arg)
{
	const struct receiver *receiver = arg;
	const struct sockaddr_un *address = &receiver->scene->address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct fdmsg msg = FDMSG_INIT;
	char bytes[16];
	size_t len;

	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return errno == ECONNREFUSED ? 1 : 2;
	if (fdmsg_recv(fd, bytes, sizeof(bytes), FDMSG_FDS_MAX, 0, &len, &msg) || len == 0)
		return 1;
	if (len != 1 || msg.n_fds != 1)
		return 2;
	if (receiver->silent) {
		fd_closep(&fd);
		return pause() < 0 ? 3 : 4; /* until it is killed */
	}
	return send(fd, "k", 1, receiver->urgent ? MSG_OOB : 0) == 1 && read(fd, bytes, 1) == 0 ? 0
												: 2;
}

static void receiver_start(struct scene *s, struct receiver *receiver, struct fake_cgroup *group)
{
	receiver->scene = s;
	child_run(&receiver->child, receive, receiver);
	fake_sys_set_memlock(receiver->child.pid, FIXTURE_SOFT, FIXTURE_HARD);
	fake_cgroups_put(&s->cgroups, receiver->child.pid, group);
}

static bool has_exited(void *arg)
{
	const struct receiver *receiver = arg;

	return procfs_exited(receiver->child.pidfd);
}

static int receiver_end(struct scene *s, struct receiver *receiver)
{
	broker_fixture_run(&s->f, has_exited, receiver);
	return child_end(&receiver->child);
}

static bool nothing_is_left(void *arg)
{
	const struct scene *s = arg;

	return session_count(s->f.broker->sessions) == 0;
}

static bool has_hung_up(void *arg)
{
	return poll(arg, 1, 0) != 0;
}

static bool is_active(void *arg)
{
	const struct pending *pending = arg;

	return pending->session->state != SESSION_PENDING;
}

static void who_comes_has_it(void)
{
	struct receiver receiver = {.silent = false}, late = {.silent = false};
	struct pending pending;
	struct scene s;

	if (!scene_init(&s))
		return;
	pending.session = handed_off(&s);
	CU_ASSERT_EQUAL(s.answer.body.grant.limit, LIMIT);
	CU_ASSERT_EQUAL(pending.session->state, SESSION_PENDING);
	CU_ASSERT_PTR_NULL(pending.session->owner);
	CU_ASSERT_EQUAL(ledger_user_sum(s.f.broker->ledger, getuid()), LIMIT);
	pass_socket(&s, pending.session->id);
	receiver_start(&s, &receiver, s.below);
	broker_fixture_run(&s.f, is_active, &pending);
	CU_ASSERT_PTR_NOT_NULL_FATAL(pending.session->owner);
	CU_ASSERT_EQUAL(pending.session->owner->pid, receiver.child.pid);
	CU_ASSERT_TRUE(fake_sys_memlock_is(receiver.child.pid, LIMIT, LIMIT));
	receiver_start(&s, &late, s.pod);
	CU_ASSERT_STRING_EQUAL(answered(&s), "granted");
	CU_ASSERT_EQUAL(receiver_end(&s, &late), 1);
	CU_ASSERT_EQUAL(receiver_end(&s, &receiver), 0);
	broker_fixture_run(&s.f, nothing_is_left, &s);
	broker_fixture_check_idle(&s.f, "exited");
	CU_ASSERT_EQUAL(captured_count("handed-off: "), 1);
	CU_ASSERT_EQUAL(captured_count("picked-up: "), 1);
	scene_fini(&s);
}

/* Who may not have it gets nothing, and does not keep the right one from it. */
static void others_get_nothing(void)
{
	struct receiver wrong = {.silent = false}, right = {.silent = false};
	struct scene s;

	if (!scene_init(&s))
		return;
	pass_socket(&s, handed_off(&s)->id);
	receiver_start(&s, &wrong, s.other);
	CU_ASSERT_EQUAL(receiver_end(&s, &wrong), 1);
	CU_ASSERT_EQUAL(captured_count("turned-away: "), 1);
	CU_ASSERT_EQUAL(captured_count("it is in cgroup " POD "0"), 1);
	receiver_start(&s, &right, s.pod);
	CU_ASSERT_STRING_EQUAL(answered(&s), "granted");
	CU_ASSERT_EQUAL(receiver_end(&s, &right), 0);
	broker_fixture_run(&s.f, nothing_is_left, &s);
	scene_fini(&s);
}

static void another_user_gets_nothing(void)
{
	struct receiver receiver = {.silent = false};
	struct session *session;
	struct scene s;

	if (!scene_init(&s))
		return;
	session = handed_off(&s);
	session->uid++; /* as if it were for that one */
	pass_socket(&s, session->id);
	receiver_start(&s, &receiver, s.pod);
	CU_ASSERT_EQUAL(receiver_end(&s, &receiver), 1);
	CU_ASSERT_EQUAL(captured_count("it runs as uid"), 1);
	CU_ASSERT_EQUAL(session->state, SESSION_PENDING);
	session->uid--;
	owner_end_session(s.f.broker, session);
	CU_ASSERT_STRING_EQUAL(answered(&s), "failed");
	scene_fini(&s);
}

/* One that connects as another user, and goes on as the session's, as a program with set-uid does.
 */
struct changeling {
	const struct scene *scene;
	int told_fd; /* it has changed */
};

static int change(void *arg)
{
	const struct changeling *changeling = arg;
	const struct sockaddr_un *address = &changeling->scene->address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte = 0;

	if (seteuid(CHANGELING) < 0 ||
	    connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 || seteuid(0) < 0 ||
	    write(changeling->told_fd, &byte, 1) != 1)
		return 2;
	return read(fd, &byte, 1) == 0 ? 1 : 0;
}

static void who_was_another_gets_nothing(void)
{
	struct changeling changeling;
	struct receiver right = {.silent = false};
	struct child child;
	struct scene s;
	int told[2];
	char byte;

	if (geteuid() != 0) {
		suite_skip("not root");
		return;
	}
	if (!scene_init(&s))
		return;
	CU_ASSERT_EQUAL_FATAL(pipe(told), 0);
	CU_ASSERT_EQUAL(chmod(s.f.path, 0755), 0);
	CU_ASSERT_EQUAL(chmod(s.address.sun_path, 0666), 0);
	pass_socket(&s, handed_off(&s)->id);
	changeling = (struct changeling){.scene = &s, .told_fd = told[1]};
	child_run(&child, change, &changeling);
	fake_sys_set_memlock(child.pid, FIXTURE_SOFT, FIXTURE_HARD);
	fake_cgroups_put(&s.cgroups, child.pid, s.pod);
	CU_ASSERT_EQUAL_FATAL(read(told[0], &byte, 1), 1);
	fd_closep(&told[0]);
	fd_closep(&told[1]);
	right.child = child;
	CU_ASSERT_EQUAL(receiver_end(&s, &right), 1);
	CU_ASSERT_EQUAL(captured_count("when it connected"), 1);
	receiver_start(&s, &right, s.pod);
	CU_ASSERT_STRING_EQUAL(answered(&s), "granted");
	CU_ASSERT_EQUAL(receiver_end(&s, &right), 0);
	broker_fixture_run(&s.f, nothing_is_left, &s);
	scene_fini(&s);
}

static void a_crowd_is_looked_at_slowly(void)
{
	struct receiver right = {.silent = false};
	int crowd[12];
	struct scene s;

	if (!scene_init(&s))
		return;
	fake_cgroups_put(&s.cgroups, getpid(), s.other);
	pass_socket(&s, handed_off(&s)->id);
	for (int round = 0; round < 20; round++)
		for (size_t i = 0; i < ARRAY_SIZE(crowd); i++) {
			struct pollfd end = {.events = POLLIN};

			crowd[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
			CU_ASSERT_EQUAL(
				connect(crowd[i], (struct sockaddr *)&s.address, sizeof(s.address)),
				0);
			if (i + 1 < ARRAY_SIZE(crowd))
				continue;
			end.fd = crowd[i];
			broker_fixture_run(&s.f, has_hung_up, &end);
			for (size_t k = 0; k < ARRAY_SIZE(crowd); k++)
				fd_closep(&crowd[k]);
		}
	CU_ASSERT_TRUE(captured_count("turned-away: ") < 20);
	receiver_start(&s, &right, s.pod);
	CU_ASSERT_STRING_EQUAL(answered(&s), "granted");
	CU_ASSERT_EQUAL(receiver_end(&s, &right), 0);
	broker_fixture_run(&s.f, nothing_is_left, &s);
	scene_fini(&s);
}

static bool is_paused(void *arg)
{
	const struct pending *pending = arg;

	return pending->session->handoff->timer;
}

static bool is_closed(void *arg)
{
	const struct scene *s = arg;

	return s->f.broker->n_connections == 1;
}

static bool are_being_closed(void *arg)
{
	const struct scene *s = arg;

	return s->f.broker->n_connections == 1 + 16;
}

/* What is never closed without a wait: of those the broker has only some, and they are not it. */
static void a_poisonous_crowd_is_small(void)
{
	struct receiver right = {.silent = false};
	int crowd[19], readers[19];
	struct pending pending;
	struct iovec iov = {.iov_base = (char[]){"x"}, .iov_len = 1};
	struct scene s;

	if (!scene_init(&s))
		return;
	fake_cgroups_put(&s.cgroups, getpid(), s.other);
	pending.session = handed_off(&s);
	pass_socket(&s, pending.session->id);
	CU_ASSERT_EQUAL(s.f.broker->n_connections, 1);
	for (size_t i = 0; i < ARRAY_SIZE(crowd); i++) {
		/* One each: it is the last close of a socket that waits. */
		CLEANUP(fd_closep) int fd = poison(&readers[i]);

		crowd[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CU_ASSERT_EQUAL(connect(crowd[i], (struct sockaddr *)&s.address, sizeof(s.address)),
				0);
		CU_ASSERT_EQUAL(fdmsg_send(&sys_real, crowd[i], &iov, 1, &fd, 1), 0);
		if (i == 15)
			broker_fixture_run(&s.f, are_being_closed, &s);
	}
	broker_fixture_run(&s.f, is_paused, &pending);
	CU_ASSERT_EQUAL(s.f.broker->n_connections, 1 + 16);
	for (size_t i = 0; i < ARRAY_SIZE(crowd); i++) {
		fd_closep(&crowd[i]);
		fd_closep(&readers[i]); /* the attacker gives in */
	}
	broker_fixture_run(&s.f, is_closed, &s);
	receiver_start(&s, &right, s.pod);
	CU_ASSERT_STRING_EQUAL(answered(&s), "granted");
	CU_ASSERT_EQUAL(receiver_end(&s, &right), 0);
	broker_fixture_run(&s.f, nothing_is_left, &s);
	scene_fini(&s);
}

/* The session ends before they are closed. */
static void a_crowd_outlives_it(void)
{
	int guest, reader, fd;
	struct pollfd end = {.events = POLLIN};
	struct iovec iov = {.iov_base = (char[]){"x"}, .iov_len = 1};
	struct scene s;

	if (!scene_init(&s))
		return;
	fake_cgroups_put(&s.cgroups, getpid(), s.other);
	pass_socket(&s, handed_off(&s)->id);
	fd = poison(&reader);
	guest = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_EQUAL(connect(guest, (struct sockaddr *)&s.address, sizeof(s.address)), 0);
	CU_ASSERT_EQUAL(fdmsg_send(&sys_real, guest, &iov, 1, &fd, 1), 0);
	fd_closep(&fd);
	end.fd = guest;
	broker_fixture_run(&s.f, has_hung_up, &end);
	CU_ASSERT_EQUAL(s.f.broker->n_connections, 2);
	owner_end_session(s.f.broker, session_after(s.f.broker->sessions, 0));
	CU_ASSERT_STRING_EQUAL(answered(&s), "failed");
	CU_ASSERT_EQUAL(s.f.broker->n_connections, 2);
	fd_closep(&guest);
	fd_closep(&reader);
	broker_fixture_run(&s.f, is_closed, &s);
	scene_fini(&s);
}

static void nobody_comes(void)
{
	struct scene s;

	if (!scene_init(&s))
		return;
	s.request.wait_ms = 20;
	pass(&s, handed_off(&s)->id, s.listen_fd);
	CU_ASSERT_STRING_EQUAL(answered(&s), "failed");
	CU_ASSERT_EQUAL(s.answer.body.refusal.status, 66);
	CU_ASSERT_EQUAL(captured_count("nobody came for it in time"), 1);
	CU_ASSERT_EQUAL(connect(s.fd, (struct sockaddr *)&s.address, sizeof(s.address)), -1);
	broker_fixture_check_idle(&s.f, "in time");
	scene_fini(&s);
}

/* What was sent cannot be taken back: nothing new maps. */
static void who_hangs_up_has_a_session_that_is_revoked(void)
{
	struct receiver receiver = {.silent = true};
	struct session *session;
	struct scene s;

	if (!scene_init(&s))
		return;
	session = handed_off(&s);
	pass_socket(&s, session->id);
	receiver_start(&s, &receiver, s.pod);
	CU_ASSERT_STRING_EQUAL(answered(&s), "failed");
	CU_ASSERT_EQUAL(session->state, SESSION_REVOKED);
	CU_ASSERT_FALSE(fake_sys_memlock_is(receiver.child.pid, LIMIT, LIMIT));
	CU_ASSERT_EQUAL(kill(receiver.child.pid, SIGKILL), 0);
	CU_ASSERT_EQUAL(receiver_end(&s, &receiver), -1);
	broker_fixture_run(&s.f, nothing_is_left, &s);
	CU_ASSERT_EQUAL(captured_count("unacknowledged: "), 1);
	broker_fixture_check_idle(&s.f, "hung up");
	scene_fini(&s);
}

/* The loop would be told of it all the time, and find nothing. */
static void urgent_byte_is_one(void)
{
	struct receiver receiver = {.urgent = true};
	struct scene s;

	if (!scene_init(&s))
		return;
	pass_socket(&s, handed_off(&s)->id);
	receiver_start(&s, &receiver, s.pod);
	CU_ASSERT_STRING_EQUAL(answered(&s), "granted");
	CU_ASSERT_EQUAL(receiver_end(&s, &receiver), 0);
	CU_ASSERT_EQUAL(captured_count("picked-up: "), 1);
	broker_fixture_run(&s.f, nothing_is_left, &s);
	scene_fini(&s);
}

static void next_daemon_waits_on(void)
{
	struct receiver receiver = {.silent = false};
	struct session *session;
	struct scene s;
	uint64_t id, deadline_ms;

	if (!scene_init(&s))
		return;
	session = handed_off(&s);
	id = session->id;
	deadline_ms = session->deadline_ms;
	pass_socket(&s, id);
	fd_closep(&s.fd);
	broker_fixture_restart(&s.f);
	CU_ASSERT_EQUAL(handoff_resume(s.f.broker), 0);
	CU_ASSERT_EQUAL(reserve_resume(s.f.broker), 0);
	session = session_find(s.f.broker->sessions, id);
	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
	CU_ASSERT_EQUAL(session->deadline_ms, deadline_ms);
	receiver_start(&s, &receiver, s.pod); /* it is not lost while nobody has the socket */
	scene_connect(&s);
	pass(&s, id, s.listen_fd);
	CU_ASSERT_STRING_EQUAL(answered(&s), "granted");
	CU_ASSERT_EQUAL(receiver_end(&s, &receiver), 0);
	broker_fixture_run(&s.f, nothing_is_left, &s);
	broker_fixture_check_idle(&s.f, "restarted");
	scene_fini(&s);
}

/* In pieces: one, as much as fits in one, a little more, as much as there can be. */
static void record_has_the_cgroup(void)
{
	static const size_t lens[] = {2, RECORD_HANDOFF_PIECE, RECORD_HANDOFF_PIECE + 1,
				      PROTO_CGROUP_MAX - 1};
	struct session *session;
	struct scene s;
	uint64_t id;

	if (!scene_init(&s))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		struct record *record;
		uint32_t slot;

		memset(s.request.subject.cgroup, 0, sizeof(s.request.subject.cgroup));
		memset(s.request.subject.cgroup, 'a', lens[i]);
		s.request.subject.cgroup[0] = '/';
		id = handed_off(&s)->id;
		for (int restart = 0; restart < 2; restart++) {
			fd_closep(&s.fd);
			broker_fixture_restart(&s.f);
			CU_ASSERT_EQUAL(handoff_resume(s.f.broker), 0);
			scene_connect(&s);
			session = session_find(s.f.broker->sessions, id);
			CU_ASSERT_PTR_NOT_NULL_FATAL(session);
			CU_ASSERT_PTR_NOT_NULL(session->handoff);
		}
		/* One piece is lost, and with it who may have it. */
		record = s.f.broker->record;
		slot = record_next(record, RECORD_HANDOFF, RECORD_NONE);
		record_drop(record, &slot);
		fd_closep(&s.fd);
		broker_fixture_restart(&s.f);
		CU_ASSERT_EQUAL(handoff_resume(s.f.broker), 0);
		scene_connect(&s);
		broker_fixture_check_idle(&s.f, "a piece is lost");
	}
	scene_fini(&s);
}

static void only_sockets_that_listen_are_taken(void)
{
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int inet = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), pair[2];
	struct session *session;
	struct scene s;

	if (!scene_init(&s))
		return;
	session = handed_off(&s);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);

	const struct {
		int fd;
		const char *why;
	} cases[] = {
		{-1, "no descriptor came along"}, {file, "is no socket"},
		{inet, "no unix stream socket"},  {s.fd, "no unix stream socket"},
		{pair[0], "does not listen"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		pass(&s, session->id, cases[i].fd);
		CHECK(cases[i].why, strcmp(answered(&s), "bad-request") == 0);
		CHECK(cases[i].why, strstr(s.answer.body.refusal.text, cases[i].why));
	}
	fd_closep(&pair[0]);
	fd_closep(&pair[1]);
	fd_closep(&file);
	fd_closep(&inet);
	s.n_fds -= 2;
	s.f.n_fds -= 2;
	CU_ASSERT_EQUAL(session->state, SESSION_PENDING);
	pass(&s, session->id + 1, s.listen_fd);
	CU_ASSERT_STRING_EQUAL(answered(&s), "failed");
	owner_end_session(s.f.broker, session);
	scene_fini(&s);
}

static void only_root_passes_one(void)
{
	const struct proto_pass body = {.id = 1};
	struct scene s;

	if (!scene_init(&s))
		return;
	broker_fixture_peer(&s.f)->passes = false;
	CU_ASSERT_STRING_EQUAL(ask(&s, PROTO_HANDOFF, &s.request, sizeof(s.request)),
			       "not-permitted");
	CU_ASSERT_STRING_EQUAL(ask(&s, PROTO_PASS, &body, sizeof(body)), "not-permitted");
	pass(&s, 1, s.listen_fd);
	CU_ASSERT_STRING_EQUAL(answered(&s), "hung up");
	fd_closep(&s.fd);
	scene_connect(&s);
	scene_fini(&s);
}

/* With any other request it is as wrong from root. */
static void only_pass_brings_one(void)
{
	struct proto_list body = {.after = 0};
	struct proto_header header =
		proto_header(PROTO_REQUEST, PROTO_LIST, FIXTURE_SERIAL, sizeof(body));
	struct iovec iov[] = {{.iov_base = &header, .iov_len = sizeof(header)},
			      {.iov_base = &body, .iov_len = sizeof(body)}};
	struct scene s;

	if (!scene_init(&s))
		return;
	CU_ASSERT_EQUAL_FATAL(fdmsg_send(&sys_real, s.fd, iov, 2, &s.listen_fd, 1), 0);
	CU_ASSERT_STRING_EQUAL(answered(&s), "hung up");
	fd_closep(&s.fd);
	scene_connect(&s);
	scene_fini(&s);
}

/* Who passed it takes it back. Connections that waited in it would be lost in any case. */
static void what_is_shut_down_ends(void)
{
	static const int hows[] = {SHUT_RD, SHUT_RDWR};

	for (size_t i = 0; i < ARRAY_SIZE(hows); i++) {
		struct scene s;

		if (!scene_init(&s))
			return;
		pass_socket(&s, handed_off(&s)->id);
		CU_ASSERT_EQUAL(shutdown(s.listen_fd, hows[i]), 0);
		CU_ASSERT_STRING_EQUAL(answered(&s), "failed");
		broker_fixture_check_idle(&s.f, "shut down");
		scene_fini(&s);
	}
}

static void no_adoption_of_what_waits(void)
{
	struct child child;
	struct scene s;
	struct stat st;

	if (!scene_init(&s))
		return;
	child_start(&child);
	fake_sys_set_memlock(child.pid, FIXTURE_SOFT, FIXTURE_HARD);
	fake_cgroups_put(&s.cgroups, child.pid, s.pod);
	CU_ASSERT_EQUAL_FATAL(fstat(child.pidfd, &st), 0);

	struct session *session = handed_off(&s);
	const struct proto_adopt body = {
		.id = session->id, .process = {.inode = st.st_ino, .pid = (uint32_t)child.pid}};

	CU_ASSERT_STRING_EQUAL(ask(&s, PROTO_ADOPT, &body, sizeof(body)), "not-permitted");
	CU_ASSERT_EQUAL(session->state, SESSION_PENDING);
	CU_ASSERT_EQUAL(child_end(&child), 0);
	owner_end_session(s.f.broker, session);
	scene_fini(&s);
}

/* Whichever call of the pick-up fails: the receiver has it, or it waits on, or nothing is left. */
static void failure_leaves_nothing(void)
{
	bool worked = false;

	for (unsigned int nth = 1; !worked && nth < 40; nth++) {
		struct receiver receiver = {.silent = false};
		struct pending pending;
		struct scene s;

		if (!scene_init(&s))
			return;
		pending.session = handed_off(&s);
		pass_socket(&s, pending.session->id);
		receiver_start(&s, &receiver, s.pod);
		fake_sys_fail(nth, -EIO);
		switch (receiver_end(&s, &receiver)) {
		case 0:
			worked = true;
			break;
		case 1:
			break;
		default:
			CHECK("receiver", false);
		}
		fake_sys_fail(0, 0);
		if (session_count(s.f.broker->sessions) &&
		    session_after(s.f.broker->sessions, 0)->state == SESSION_PENDING)
			owner_end_session(s.f.broker, session_after(s.f.broker->sessions, 0));
		broker_fixture_run(&s.f, nothing_is_left, &s);
		broker_fixture_check_idle(&s.f, "failed");
		scene_fini(&s);
	}
	CU_ASSERT_TRUE(worked);
}

static const CU_TestInfo tests[] = {
	{"who comes has it", who_comes_has_it},
	{"others get nothing", others_get_nothing},
	{"another user gets nothing", another_user_gets_nothing},
	{"who was another when it connected gets nothing", who_was_another_gets_nothing},
	{"a crowd does not keep the right one out", a_crowd_is_looked_at_slowly},
	{"nor one whose close takes long, and the broker has room", a_poisonous_crowd_is_small},
	{"that may outlive it", a_crowd_outlives_it},
	{"when nobody comes it ends", nobody_comes},
	{"who hangs up has a session that is revoked", who_hangs_up_has_a_session_that_is_revoked},
	{"an urgent byte is one", urgent_byte_is_one},
	{"the next daemon waits on", next_daemon_waits_on},
	{"the record has the cgroup", record_has_the_cgroup},
	{"only sockets that listen are taken", only_sockets_that_listen_are_taken},
	{"only root passes one", only_root_passes_one},
	{"only pass brings one", only_pass_brings_one},
	{"what is shut down ends", what_is_shut_down_ends},
	{"what waits is not adopted", no_adoption_of_what_waits},
	{"a failure leaves nothing", failure_leaves_nothing},
	CU_TEST_INFO_NULL,
};

const struct suite suite_handoff = {"handoff", tests};
