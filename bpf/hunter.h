/* SPDX-License-Identifier: MIT */
/*
 * The daemon's side of bpf/hunt.bpf.c: which sessions are hunted, and who has a descriptor of them.
 * Marks outlive the daemon.
 */
#ifndef BPF_HUNTER_H
#define BPF_HUNTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct gate;
struct hunt_holder;
struct hunter;

/**
 * hunter_open() - of a gate that is open, and stays so until hunter_close()
 *
 * Return: 0; -ENOMEM; -errno.
 */
int hunter_open(struct gate *gate, struct hunter **ret_hunter);

/* NULL is fine. */
void hunter_close(struct hunter *hunter);
void hunter_closep(struct hunter **hunter);

/*
 * From here on processes of that real uid that have a descriptor of the session in the slot are
 * found, and killed when they fork, as long as it is that session's. Twice is fine. Return: 0;
 * -ERANGE: there is no such slot.
 */
int hunter_mark(struct hunter *hunter, uint32_t slot, uint64_t id, uid_t uid);
void hunter_unmark(struct hunter *hunter, uint32_t slot);

/* Whether that is this process: it has descriptors that it hands out or closes. */
bool hunter_is_self(const struct hunter *hunter, const struct hunt_holder *holder);

/* All marks but those that fn wants to keep go. */
typedef bool (*hunter_keep_fn)(uint32_t slot, uint64_t id, uid_t uid, void *arg);
void hunter_keep(struct hunter *hunter, hunter_keep_fn fn, void *arg);

/**
 * hunter_look() - a look at every descriptor of every process begins
 * @ret_fd: for hunter_read(), owned
 *
 * Return: 0; -errno.
 */
int hunter_look(struct hunter *hunter, int *ret_fd);

/* Descriptors of one process come one after the other. */
typedef void (*hunter_fn)(const struct hunt_holder *holder, void *arg);

/**
 * hunter_read() - go on with a look
 * @ms: about so long
 *
 * Return: 1: there is more; 0: that was all; -errno.
 */
int hunter_read(struct hunter *hunter, int fd, unsigned int ms, hunter_fn fn, void *arg);

#endif
