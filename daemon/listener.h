/* SPDX-License-Identifier: MIT */
/*
 * The listener: the socket that peers connect to, made here or passed by systemd. Mode 0666:
 * who may do what is policy.
 */
#ifndef DAEMON_LISTENER_H
#define DAEMON_LISTENER_H

struct broker;
struct listener;

/**
 * listener_new() - listen and serve whoever connects
 * @path: of the socket, unless broker->fdstore has one of systemd's; borrowed
 *
 * A socket file that a dead daemon left is replaced; one that somebody answers is not.
 *
 * Return: 0; -EADDRINUSE: another daemon serves the path; -EINVAL: what systemd passed is no
 * listening SOCK_SEQPACKET unix socket; -errno. All logged.
 */
int listener_new(struct broker *broker, const char *path, struct listener **ret_listener);

/* Stops listening, and removes the socket file if it was made here. NULL is fine. */
void listener_free(struct listener *listener);
void listener_freep(struct listener **listener);

#endif
