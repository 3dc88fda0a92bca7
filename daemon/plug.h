/* SPDX-License-Identifier: MIT */
/*
 * Devices that come to a session later, and go again, without a word to the daemon: libvirt opens
 * the one that it plugs in itself, and no hook says so. The kernel asks when it is bound to the
 * session's context (bpf/plug.bpf.h), and says when it was released.
 */
#ifndef DAEMON_PLUG_H
#define DAEMON_PLUG_H

struct broker;
struct session;

/* Answers what the kernel asks of a session that has a slot, and takes back what has gone. */
void plug_look(struct broker *broker, struct session *session);

#endif
