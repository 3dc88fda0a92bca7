/* SPDX-License-Identifier: MIT */
/*
 * A terminal that shows one page and takes single keys. While it is open the terminal is in another
 * mode, with an empty page of its own; signals that would end the process come as keys, so that it
 * is always put back.
 */
#ifndef CLIENT_SCREEN_H
#define CLIENT_SCREEN_H

#include <stddef.h>
#include <stdint.h>
#include <termios.h>

#define SCREEN_QUIT 'q' /* also a signal, or the end of standard input */
#define SCREEN_RESIZED (-1)
#define SCREEN_TIMEOUT (-2)

struct screen {
	struct termios saved;
	int signal_fd; /* owned */
	size_t rows, columns;
};

/* Standard input and output are terminals. Return: 0; -ENOTTY; -errno. */
int screen_open(struct screen *screen);
void screen_close(struct screen *screen);

/* Shows text from its first line; what does not fit is cut. */
void screen_show(const struct screen *screen, const char *text);

/* Waits for a key, at most so long. Return: it, or one of the above. */
int screen_key(struct screen *screen, uint32_t wait_ms);

/* The bytes of a line that fit into so many columns: one for each character. */
size_t screen_fit(const char *line, size_t len, size_t columns);

#endif
