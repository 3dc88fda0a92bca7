/* SPDX-License-Identifier: MIT */
/*
 * A service manager as far as sd_listen_fds(3) and sd_notify(3) go: activate SOCKET PROGRAM
 * [ARG]... listens on SOCKET, starts PROGRAM at the first connection, and prints what PROGRAM
 * notifies, a line each. When standard input ends it sends SIGTERM, and exits with PROGRAM's
 * status.
 */
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int bound(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	(void)unlink(path); /* of a run before */
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "%s", path);
	return fd;
}

static void start(char **argv, int listener, const char *notify)
{
	char pid[16];

	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (setenv("LISTEN_PID", pid, 1) || setenv("LISTEN_FDS", "1", 1) ||
	    setenv("NOTIFY_SOCKET", notify, 1) || dup2(listener, 3) < 0)
		err(1, "start");
	(void)execv(argv[0], argv);
	err(1, "%s", argv[0]);
}

/* Prints one notice, if there is any. */
static void notice(int fd)
{
	char text[512];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (n < 0)
		return;
	text[n] = '\0';
	(void)printf("%s\n", text);
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	char path[108];
	int listener, notices, status = 0;
	pid_t child;

	if (argc < 3)
		errx(64, "usage: activate SOCKET PROGRAM [ARG]...");
	(void)snprintf(path, sizeof(path), "%s.notify", argv[1]);
	listener = bound(argv[1], SOCK_SEQPACKET);
	notices = bound(path, SOCK_DGRAM);
	if (listen(listener, 16) < 0)
		err(1, "listen");
	/* As systemd does: started by the first connection, which finds it not there yet. */
	if (poll(&(struct pollfd){.fd = listener, .events = POLLIN}, 1, -1) < 0)
		err(1, "poll");
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (child == 0)
		start(argv + 2, listener, path);

	struct pollfd fds[] = {{.fd = notices, .events = POLLIN},
			       {.fd = STDIN_FILENO, .events = POLLIN}};

	while (!fds[1].revents && poll(fds, 2, -1) > 0)
		if (fds[0].revents)
			notice(notices);
	if (kill(child, SIGTERM) < 0 || waitpid(child, &status, 0) < 0)
		err(1, "%s", argv[2]);
	notice(notices);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
