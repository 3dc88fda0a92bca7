/* SPDX-License-Identifier: MIT */
/*
 * Spares of what the gate has pinned: descriptors of its maps and links that somebody else keeps.
 * As long as they do, its programs go on whatever becomes of the pins, and with them a daemon that
 * starts makes the pins again.
 *
 * A spare has a name: "MAP/gate_sessions" for a map, and "MAP/GENERATION/gate_ioctl" for the link
 * of a program. MAP is the kernel's id of the gate's map gate_control, so that one gate's are not
 * taken for another's.
 */
#ifndef BPF_GATE_SPARE_H
#define BPF_GATE_SPARE_H

#include <stddef.h>
#include <stdint.h>

struct gate;

#define GATE_SPARE_NAME_MAX 96

/* What a name says. */
struct gate_spare_name {
	uint32_t gate; /* id of its gate_control */
	uint32_t generation; /* of a link; 0: it is a map */
	char object[48]; /* the map, or the program */
};

/* What became of one. */
enum gate_spare_state {
	GATE_SPARE_UNTRIED, /* the pins could not be looked at */
	GATE_SPARE_BAD, /* its kind, or the name that the kernel has for it, is another */
	GATE_SPARE_OLD, /* of another gate than the one that acts, or another generation */
	GATE_SPARE_PINNED, /* its pin is there */
	GATE_SPARE_RESTORED, /* its pin is there again */
};

struct gate_spare {
	const char *name; /* borrowed */
	int fd; /* borrowed */
	enum gate_spare_state state; /* out */
};

/* Return: 0; -EINVAL: no such name can be. */
int gate_spare_parse(const char *name, struct gate_spare_name *ret_name);

/**
 * gate_spare_restore() - pin again what is not pinned any more
 * @dir: of the pins, on bpffs; made with mode 0700
 *
 * Before gate_open(), which then finds all as it was. Where two are of one name the first counts,
 * and where a pin is there the pin. Needs CAP_BPF.
 *
 * Return: 0; -EWOULDBLOCK: a daemon has the directory; -EPROTONOSUPPORT: the gate that is pinned is
 * one that this daemon cannot read, or one of them is and none that it can read acts; -errno. In
 * each case some may be restored.
 */
int gate_spare_restore(const char *dir, struct gate_spare *spares, size_t n);

/* @fd: borrowed for the time of the call. Return: 0; -errno, which ends it. */
typedef int (*gate_spare_fn)(const char *name, int fd, void *arg);

/* Calls fn for everything that is pinned of a gate and of the generation that acts. Return: as fn.
 */
int gate_spare_each(const struct gate *gate, gate_spare_fn fn, void *arg);

#endif
