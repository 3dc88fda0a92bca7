/* SPDX-License-Identifier: MIT */
#include "client/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/cleanup.h"

/* ECMA-48, and the two modes of xterm that all have. */
#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_BELOW "\033[J"

static void screen_measure(struct screen *screen)
{
	struct winsize size = {.ws_row = 0};

	/* A terminal that does not know is taken for the usual one. */
	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	screen->rows = size.ws_row ? size.ws_row : 24;
	screen->columns = size.ws_col ? size.ws_col : 80;
}

static void screen_write(const char *text)
{
	(void)fputs(text, stdout); /* output_finish() looks for errors of the stream */
	(void)fflush(stdout);
}

int screen_open(struct screen *screen)
{
	struct termios raw;
	sigset_t mask;

	if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &screen->saved) < 0)
		return -ENOTTY;
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGWINCH);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGHUP);
	(void)sigaddset(&mask, SIGTSTP); /* it would leave the terminal as it is */
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	screen->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (screen->signal_fd < 0)
		return -errno;
	raw = screen->saved;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0) {
		int err = -errno;

		fd_closep(&screen->signal_fd);
		return err;
	}
	screen_measure(screen);
	screen_write(ENTER);
	return 0;
}

void screen_close(struct screen *screen)
{
	screen_write(LEAVE);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &screen->saved); /* it may be gone */
	fd_closep(&screen->signal_fd);
}

size_t screen_fit(const char *line, size_t len, size_t columns)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		if (((unsigned char)line[i] & 0xc0) == 0x80)
			continue;
		if (used++ == columns)
			return i;
	}
	return len;
}

void screen_show(const struct screen *screen, const char *text)
{
	(void)fputs(HOME, stdout); /* output_finish() looks for errors of the stream */
	for (size_t row = 0; row < screen->rows && *text; row++) {
		size_t len = strcspn(text, "\n");

		(void)fwrite(text, 1, screen_fit(text, len, screen->columns), stdout);
		text += len + (text[len] == '\n');
		(void)fputs(CLEAR_LINE, stdout);
		if (row + 1 < screen->rows && *text)
			(void)fputs("\n", stdout);
	}
	screen_write(CLEAR_BELOW);
}

static int screen_signal(struct screen *screen)
{
	struct signalfd_siginfo info;

	if (read(screen->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return SCREEN_TIMEOUT;
	if (info.ssi_signo == SIGTSTP)
		return SCREEN_TIMEOUT;
	if (info.ssi_signo != SIGWINCH)
		return SCREEN_QUIT;
	screen_measure(screen);
	return SCREEN_RESIZED;
}

int screen_key(struct screen *screen, uint32_t wait_ms)
{
	struct pollfd fds[] = {
		{.fd = STDIN_FILENO, .events = POLLIN},
		{.fd = screen->signal_fd, .events = POLLIN},
	};
	char key;

	if (poll(fds, ARRAY_SIZE(fds), (int)wait_ms) <= 0)
		return SCREEN_TIMEOUT;
	if (fds[1].revents)
		return screen_signal(screen);
	if (read(STDIN_FILENO, &key, 1) != 1)
		return SCREEN_QUIT;
	return (unsigned char)key;
}
