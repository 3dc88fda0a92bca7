/* SPDX-License-Identifier: MIT */
/*
 * A service manager as far as its descriptor store goes (sd_pid_notify_with_fds(3)): store SOCKET
 * PROGRAM [ARG]... listens on SOCKET and does what it is told by its standard input, a line each:
 *
 *   start          PROGRAM, with SOCKET and what is kept, the newest first
 *   kill           it, and wait until it is gone
 *   stop           likewise by SIGTERM
 *   put NAME FILE  keep one more descriptor: the file, opened to be read
 *   pin NAME FILE  likewise, something pinned in bpffs
 *   list           the names of all that is kept
 *   drop [NAME]    what has the name; else all of it
 *   room N [say]   keep N descriptors at most, and close what comes then; tell PROGRAM so or, as
 *                  before systemd 254, do not
 *
 * It says what was done, and what PROGRAM notifies: "stored NAME", "removed NAME", or the text. At
 * the end of its input it stops PROGRAM and exits.
 */
#include <bpf/bpf.h>
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEPT_MAX 256
#define FIRST 3 /* SD_LISTEN_FDS_START */

struct kept {
	char *name;
	int fd;
};

struct store {
	char **argv; /* PROGRAM */
	int listener, notices;
	char path[108]; /* where it notifies */
	pid_t child; /* 0: it does not run */
	struct kept kept[KEPT_MAX];
	size_t n_kept, n_room;
	char *said; /* owned: how much that is; NULL: it is not said */
};

static int bound(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	(void)unlink(path); /* of a run before */
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "%s", path);
	return fd;
}

static void keep(struct store *store, const char *name, int fd)
{
	char *copy = strdup(name);

	if (fd < 0 || !copy)
		err(1, "cannot keep %s", name);
	if (store->n_kept >= store->n_room) {
		(void)printf("full %s\n", name);
		free(copy);
		(void)close(fd);
		return;
	}
	store->kept[store->n_kept++] = (struct kept){copy, fd};
	(void)printf("stored %s\n", name);
}

static void forget(struct store *store, const char *name)
{
	for (size_t i = 0; i < store->n_kept;) {
		if (name && strcmp(store->kept[i].name, name) != 0) {
			i++;
			continue;
		}
		(void)printf("removed %s\n", store->kept[i].name);
		free(store->kept[i].name);
		(void)close(store->kept[i].fd);
		store->kept[i] = store->kept[--store->n_kept];
	}
}

/* In the child. First out of the way of the places where they go. */
static void pass(struct store *store)
{
	char names[KEPT_MAX * 128] = "test.socket", number[16];
	int fds[KEPT_MAX + 1];
	size_t len = strlen(names), n = 0;

	fds[n++] = fcntl(store->listener, F_DUPFD_CLOEXEC, FIRST + KEPT_MAX + 1);
	for (size_t i = store->n_kept; i-- > 0;) {
		len += (size_t)snprintf(names + len, sizeof(names) - len, ":%s",
					store->kept[i].name);
		fds[n++] = fcntl(store->kept[i].fd, F_DUPFD_CLOEXEC, FIRST + KEPT_MAX + 1);
	}
	for (size_t i = 0; i < n; i++)
		if (fds[i] < 0 || dup2(fds[i], FIRST + (int)i) < 0)
			err(1, "pass");
	(void)snprintf(number, sizeof(number), "%zu", n);
	if (setenv("LISTEN_FDS", number, 1) || setenv("LISTEN_FDNAMES", names, 1))
		err(1, "setenv");
}

static void start(struct store *store)
{
	char pid[16];

	store->child = fork();
	if (store->child < 0)
		err(1, "fork");
	if (store->child)
		return;
	pass(store);
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (setenv("LISTEN_PID", pid, 1) || setenv("NOTIFY_SOCKET", store->path, 1) ||
	    (store->said && setenv("FDSTORE", store->said, 1)))
		err(1, "setenv");
	(void)execv(store->argv[0], store->argv);
	err(1, "%s", store->argv[0]);
}

/* The value of a line "KEY=VALUE" of a notice, copied; NULL: there is none. */
static const char *value(const char *text, const char *key, char ret_value[static 256])
{
	const char *at = strstr(text, key);

	if (!at || (at != text && at[-1] != '\n'))
		return NULL;
	at += strlen(key);
	(void)snprintf(ret_value, 256, "%.*s", (int)strcspn(at, "\n"), at);
	return ret_value;
}

static int passed_fd(struct msghdr *msg)
{
	struct cmsghdr *head = CMSG_FIRSTHDR(msg);
	int fd = -1;

	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(head), sizeof(fd));
	return fd;
}

/* Takes one notice, if there is any. */
static bool notice(struct store *store)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char text[1024], name[256], word[256];
	struct iovec iov = {text, sizeof(text) - 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(store->notices, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return false;
	text[n] = '\0';
	if (value(text, "FDSTORE=", word) && value(text, "FDNAME=", name))
		keep(store, name, passed_fd(&msg));
	else if (value(text, "FDSTOREREMOVE=", word) && value(text, "FDNAME=", name))
		forget(store, name);
	else
		(void)printf("%s\n", text);
	return true;
}

static void end(struct store *store, int signal_number)
{
	int status;

	if (!store->child)
		return;
	if (kill(store->child, signal_number) < 0 || waitpid(store->child, &status, 0) < 0)
		err(1, "%s", store->argv[0]);
	store->child = 0;
	while (notice(store))
		;
	(void)printf("ended %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

static void set_room(struct store *store, const char *n, bool say)
{
	unsigned long room = strtoul(n, NULL, 10);

	free(store->said);
	store->said = say ? strdup(n) : NULL;
	store->n_room = room < KEPT_MAX ? room : KEPT_MAX;
}

static void obey(struct store *store, char *line)
{
	char *save = NULL, *word = strtok_r(line, " \n", &save);
	const char *name = strtok_r(NULL, " \n", &save), *path = strtok_r(NULL, " \n", &save);

	if (strcmp(word, "start") == 0) {
		start(store);
		(void)printf("started %d\n", (int)store->child);
	} else if (strcmp(word, "kill") == 0 || strcmp(word, "stop") == 0) {
		end(store, *word == 'k' ? SIGKILL : SIGTERM);
	} else if (strcmp(word, "put") == 0 && path) {
		keep(store, name, open(path, O_RDONLY | O_CLOEXEC));
	} else if (strcmp(word, "pin") == 0 && path) {
		keep(store, name, bpf_obj_get(path));
	} else if (strcmp(word, "drop") == 0) {
		forget(store, name);
	} else if (strcmp(word, "room") == 0 && name) {
		set_room(store, name, path);
	} else if (strcmp(word, "list") == 0) {
		for (size_t i = 0; i < store->n_kept; i++)
			(void)printf("kept %s\n", store->kept[i].name);
		(void)printf("listed\n");
	} else {
		errx(64, "what is %s?", word);
	}
}

int main(int argc, char **argv)
{
	struct store store = {.argv = argv + 2, .n_room = KEPT_MAX};
	char line[512];

	if (argc < 3)
		errx(64, "usage: store SOCKET PROGRAM [ARG]...");
	(void)snprintf(store.path, sizeof(store.path), "%.100s.notify", argv[1]);
	store.listener = bound(argv[1], SOCK_SEQPACKET);
	store.notices = bound(store.path, SOCK_DGRAM);
	if (chmod(argv[1], 0666) < 0 || listen(store.listener, 16) < 0)
		err(1, "listen");
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0); /* or poll() does not see what is in it */

	struct pollfd fds[] = {{.fd = store.notices, .events = POLLIN},
			       {.fd = STDIN_FILENO, .events = POLLIN}};

	while (poll(fds, 2, -1) > 0) {
		/* All that was notified before the order came. */
		while (notice(&store))
			;
		if (fds[1].revents && !fgets(line, sizeof(line), stdin))
			break;
		if (fds[1].revents)
			obey(&store, line);
	}
	end(&store, SIGTERM);
	free(store.said);
	return 0;
}
