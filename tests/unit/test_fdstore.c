/* SPDX-License-Identifier: MIT */
/* What a service manager passes, each in a process of its own: descriptors 3 and up are its to
 * fill. */
#include "daemon/fdstore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "bpf/gate_spare.h"
#include "common/cleanup.h"
#include "tests/unit/captured.h"
#include "tests/unit/child.h"
#include "tests/unit/suite.h"

#define FIRST 3 /* SD_LISTEN_FDS_START */

/* One letter for each descriptor: s a socket, n /dev/null. */
static const struct passed {
	const char *name;
	const char *kinds;
	const char *n; /* LISTEN_FDS; NULL: as many as there are */
	const char *names; /* LISTEN_FDNAMES; NULL: not set */
	int err;
	int socket; /* that is the listener's; -1: none */
	size_t said; /* lines of the log */
	const char *kept; /* what is left open besides */
} cases[] = {
	{"nothing", "", NULL, NULL, 0, -1, 0, ""},
	{"a socket", "s", NULL, NULL, 0, 3, 0, ""},
	{"a socket of a unit", "s", NULL, "pinbrokerd.socket", 0, 3, 0, ""},
	{"a socket behind what is kept", "nns", NULL,
	 FDSTORE_PREFIX "1/gate_control:" FDSTORE_PREFIX "1/1/gate_ioctl:pinbrokerd.socket", 0, 5,
	 0, "34"},
	{"two sockets", "ss", NULL, "a:b", -EINVAL, -1, 0, ""},
	{"a socket of a session", "s", NULL, FDSTORE_HANDOFF "1f", 0, -1, 0, "3"},
	{"likewise, and one to listen on", "ss", NULL, FDSTORE_HANDOFF "1f:x", 0, 4, 0, "3"},
	{"a stranger", "n", NULL, "stored", 0, -1, 1, ""},
	{"a stranger and a socket", "ns", NULL, "stored:x", 0, 4, 1, ""},
	{"a stranger whose name begins like ours", "n", NULL, "pinbroker-gat", 0, -1, 1, ""},
	{"a name of ours that says nothing", "n", NULL, FDSTORE_PREFIX, 0, -1, 0, "3"},
	{"two of one name", "nn", NULL, FDSTORE_PREFIX "1/x:" FDSTORE_PREFIX "1/x", 0, -1, 0, "34"},
	{"more names than descriptors", "s", NULL, "a:b", 0, 3, 0, ""},
	{"fewer names, one of them ours", "ns", NULL, FDSTORE_PREFIX "1/x", 0, 4, 1, ""},
	{"no number", "s", "x", NULL, -EINVAL, -1, 0, "3"},
	{"more than there are", "s", "2", NULL, -EBADF, -1, 0, "3"},
};

static int place(char kind, int at)
{
	int fd = kind == 's' ? socket(AF_UNIX, SOCK_SEQPACKET, 0) : open("/dev/null", O_RDONLY);

	return fd == at ? 0 : dup2(fd, at) == at && close(fd) == 0 ? 0 : -1;
}

static int pass(const char *kinds, const char *n, const char *names)
{
	char pid[16], count[24];

	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	(void)snprintf(count, sizeof(count), "%zu", strlen(kinds));
	if (close_range(FIRST, ~0U, 0) < 0)
		return -1;
	for (size_t i = 0; kinds[i]; i++)
		if (place(kinds[i], FIRST + (int)i))
			return -1;
	if (names && setenv("LISTEN_FDNAMES", names, 1))
		return -1;
	if (!*kinds)
		return 0;
	return setenv("LISTEN_PID", pid, 1) || setenv("LISTEN_FDS", n ? n : count, 1) ? -1 : 0;
}

/* Which of the descriptors 3 to 9 are open, but for one. */
static void open_ones(int but, char ret_open[static 8])
{
	size_t n = 0;

	for (int fd = FIRST; fd < 10; fd++)
		if (fd != but && fcntl(fd, F_GETFD) >= 0)
			ret_open[n++] = (char)('0' + fd);
	ret_open[n] = '\0';
}

static int take(void *arg)
{
	const struct passed *c = arg;
	struct fdstore *store = NULL;
	char open[8];
	int fd = -1;

	if (pass(c->kinds, c->n, c->names))
		return 2;
	if (fdstore_new(&store) != c->err || getenv("LISTEN_FDS") || getenv("LISTEN_FDNAMES"))
		return 3;
	if (!c->err)
		fd = fdstore_take_socket(store);
	if (fd != c->socket || fdstore_take_socket(store) != -1)
		return 4;
	open_ones(fd, open);
	if (strcmp(open, c->kept) != 0)
		return 5;
	fdstore_free(store);
	open_ones(fd, open);
	return c->err || !*open ? 0 : 6;
}

static void what_is_passed_has_its_place(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct passed c = cases[i];
		struct child child;

		captured_begin();
		child_run(&child, take, &c);
		CHECK(c.name, child_end(&child) == 0);
		CHECK(c.name, captured_lines() == c.said);
		captured_end();
	}
}

/* What it is told to keep ("+NAME ") and to close ("-NAME "). */
static void notices(int fd, char *ret_text, size_t size)
{
	size_t len = 0;
	char text[512];
	ssize_t got;

	ret_text[0] = '\0';
	while ((got = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT)) > 0) {
		const char *name;

		text[got] = '\0';
		name = strstr(text, "FDNAME=");
		name = name ? strchr(name, '/') : NULL;
		name = name ? name + 1 : "?";
		len += (size_t)snprintf(ret_text + len, size - len, "%c%.*s ",
					strncmp(text, "FDSTORE=1\n", 10) == 0 ? '+' : '-',
					(int)strcspn(name, "\n"), name);
	}
}

static int notify_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[64];

	(void)snprintf(name, sizeof(name), "@pinbroker-unit-%d", (int)getpid());
	memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
	if (bind(fd, (struct sockaddr *)&address,
		 (socklen_t)(sizeof(address.sun_family) + strlen(name))) ||
	    setenv("NOTIFY_SOCKET", name, 1))
		return -1;
	return fd;
}

/* Nothing could be pinned: who keeps the gate goes on, and is not told to close anything. */
static int restore_nowhere(void *arg)
{
	char text[4096];
	struct fdstore *store = NULL;
	int fd;

	(void)arg;
	if (pass("n", NULL, FDSTORE_PREFIX "1/gate_control"))
		return 2;
	fd = notify_socket();
	if (fd < 0 || fdstore_new(&store))
		return 3;
	if (fdstore_restore(store, "/tmp") != -EMEDIUMTYPE)
		return 5;
	if (fcntl(FIRST, F_GETFD) >= 0)
		return 6;
	notices(fd, text, sizeof(text));
	if (*text)
		return 7;
	fdstore_free(store);
	return 0;
}

static void without_bpffs_all_stays_where_it_is(void)
{
	struct child child;

	captured_begin();
	child_run(&child, restore_nowhere, NULL);
	CU_ASSERT_EQUAL(child_end(&child), 0);
	CU_ASSERT_EQUAL(captured_lines(), 0); /* who asked says it */
	captured_end();
}

/* --- with a gate that is none: what the kernel has pinned, and what it says of spares */

static struct {
	const char *states; /* of the spares: see spare_state(); NULL: the real one is asked */
	const char *pinned; /* one letter for each */
} fake;

static enum gate_spare_state spare_state(char letter)
{
	return letter == 'u'   ? GATE_SPARE_UNTRIED
	       : letter == 'b' ? GATE_SPARE_BAD
	       : letter == 'o' ? GATE_SPARE_OLD
	       : letter == 'r' ? GATE_SPARE_RESTORED
			       : GATE_SPARE_PINNED;
}

/* What the linker makes of the names; nothing else calls them.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
int __real_gate_spare_restore(const char *dir, struct gate_spare *spares, size_t n);
int __wrap_gate_spare_restore(const char *dir, struct gate_spare *spares, size_t n);
int __wrap_gate_spare_each(const struct gate *gate, gate_spare_fn fn, void *arg);

int __wrap_gate_spare_restore(const char *dir, struct gate_spare *spares, size_t n)
{
	if (!fake.states)
		return __real_gate_spare_restore(dir, spares, n);
	for (size_t i = 0; i < n; i++)
		spares[i].state = spare_state(fake.states[i]);
	return strchr(fake.states, 'u') ? -EEXIST : 0;
}

int __wrap_gate_spare_each(const struct gate *gate, gate_spare_fn fn, void *arg)
{
	int err = 0;

	(void)gate;
	for (const char *at = fake.pinned; *at && !err; at++) {
		const char name[] = {'1', '/', *at, '\0'};

		err = fn(name, STDERR_FILENO, arg);
	}
	return err;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* Names are "1/" and a letter. */
static const struct filled {
	const char *name;
	const char *kept, *states; /* what was passed */
	const char *pinned; /* of the gate that acts */
	const char *wanted; /* notices */
	const char *room; /* NULL: it does not say */
	size_t said; /* lines of the log */
} fills[] = {
	{"all of a new gate is kept", "", "", "ab", "+1/a +1/b ", NULL, 0},
	{"what is there is not kept twice", "ab", "pr", "ab", "", NULL, 1},
	{"what is missing is kept", "a", "p", "ab", "+1/b ", NULL, 0},
	{"a bad one makes room for one of its name", "ab", "pb", "ab", "-1/b +1/b ", "2", 1},
	{"two of one name become one", "aa", "pp", "a", "-1/a +1/a ", "2", 0},
	{"nothing of a name stays that has one too many", "aa", "po", "a", "-1/a +1/a ", NULL, 0},
	{"what is of another gate goes", "xa", "op", "a", "-1/x ", NULL, 0},
	{"what is of another gate makes room", "xy", "oo", "ab", "-1/x -1/y +1/a +1/b ", "2", 0},
	{"all that is there just fits", "ab", "pp", "abc", "+1/c ", "3", 0},
	{"a part of a gate is not kept", "", "", "ab", "", "1", 1},
	{"nor what was there of it", "ab", "pp", "abc", "-1/a -1/b ", "2", 1},
	{"no number is no limit", "", "", "ab", "+1/a +1/b ", "none", 0},
	{"what is unseen stays", "xa", "up", "a", "", NULL, 0},
	{"what is unseen takes room", "xa", "up", "ab", "-1/a ", "2", 1},
	{"what is unseen is not given up for one of its name", "a", "u", "a", "+1/a ", NULL, 0},
	{"what is unseen stays whatever else has its name", "xxa", "uop", "a", "", NULL, 0},
};

static int fill(void *arg)
{
	const struct filled *c = arg;
	struct fdstore *store = NULL;
	char names[256] = "", kinds[32] = "", text[1024];
	int fd;

	for (const char *at = c->kept; *at; at++) {
		(void)snprintf(names + strlen(names), sizeof(names) - strlen(names),
			       "%s" FDSTORE_PREFIX "1/%c", *names ? ":" : "", *at);
		(void)strcat(kinds, "n");
	}
	if (pass(kinds, NULL, *names ? names : NULL) || (c->room && setenv("FDSTORE", c->room, 1)))
		return 2;
	fd = notify_socket();
	if (fd < 0 || fdstore_new(&store))
		return 3;
	fake.states = c->states;
	fake.pinned = c->pinned;
	if (fdstore_restore(store, "/") != (strchr(c->states, 'u') ? -EEXIST : 0))
		return 4;
	fdstore_fill(store, NULL);
	notices(fd, text, sizeof(text));
	fdstore_free(store);
	return strcmp(text, c->wanted) == 0 ? 0 : 5;
}

static void what_the_gate_has_is_kept_once(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(fills); i++) {
		struct filled c = fills[i];
		struct child child;

		captured_begin();
		child_run(&child, fill, &c);
		CHECK(c.name, child_end(&child) == 0);
		CHECK(c.name, captured_lines() == c.said);
		captured_end();
	}
}

/* Sockets of sessions: 1f is taken, 20 is nobody's any more, the third says no id. */
static int keep_handoffs(void *arg)
{
	struct fdstore *store = NULL;
	char text[1024];
	bool kept = true;
	int fd;

	(void)arg;
	if (pass("sss", NULL,
		 FDSTORE_HANDOFF "1f:" FDSTORE_HANDOFF "20:" FDSTORE_HANDOFF "20/../x"))
		return 2;
	fd = notify_socket();
	if (fd < 0 || fdstore_new(&store))
		return 3;
	if (fdstore_take_handoff(store, 0x1f) != FIRST || fdstore_take_handoff(store, 0x1f) != -1 ||
	    fdstore_take_handoff(store, 0x21) != -1)
		return 4;
	fdstore_drop_handoffs(store);
	if (fcntl(FIRST, F_GETFD) < 0 || fcntl(FIRST + 1, F_GETFD) >= 0 ||
	    fcntl(FIRST + 2, F_GETFD) >= 0)
		return 5;
	notices(fd, text, sizeof(text));
	if (strcmp(text, "-20 -20/../x ") != 0)
		return 6;
	/* There is room for so many, the one that is there included. */
	for (uint64_t id = 1; id <= FDSTORE_HANDOFFS_MAX; id++) {
		kept = fdstore_keep_handoff(store, 0x100 + id, FIRST);
		if (kept != (id < FDSTORE_HANDOFFS_MAX))
			return 7;
		notices(fd, text, sizeof(text));
	}
	fdstore_drop_handoff(store, 0x1f);
	fdstore_drop_handoff(store, 0x102);
	fdstore_drop_handoff(store, 0x102);
	notices(fd, text, sizeof(text));
	fdstore_free(store);
	return strcmp(text, "-1f -102 ") == 0 ? 0 : 8;
}

static void sockets_of_sessions_are_kept(void)
{
	struct child child;

	captured_begin();
	child_run(&child, keep_handoffs, NULL);
	CU_ASSERT_EQUAL(child_end(&child), 0);
	captured_end();
}

static void without_a_service_manager_nothing_happens(void)
{
	CU_ASSERT_FALSE(fdstore_keep_handoff(NULL, 1, 0));
	CU_ASSERT_EQUAL(fdstore_take_handoff(NULL, 1), -1);
	fdstore_drop_handoff(NULL, 1);
	fdstore_drop_handoffs(NULL);

	CU_ASSERT_EQUAL(fdstore_take_socket(NULL), -1);
	CU_ASSERT_EQUAL(fdstore_restore(NULL, "/nowhere"), 0);
	fdstore_fill(NULL, NULL);
	fdstore_free(NULL);
}

static const CU_TestInfo tests[] = {
	{"what is passed has its place, or is said and closed", what_is_passed_has_its_place},
	{"without bpffs all stays where it is", without_bpffs_all_stays_where_it_is},
	{"what the gate has is kept once, and nothing else but what is unseen",
	 what_the_gate_has_is_kept_once},
	{"some sockets of sessions are kept", sockets_of_sessions_are_kept},
	{"without a service manager nothing happens", without_a_service_manager_nothing_happens},
	CU_TEST_INFO_NULL,
};

const struct suite suite_fdstore = {"fdstore", tests};
