/* SPDX-License-Identifier: MIT */
/* Inside libpinbroker: what a caller asks for, put into the form of the wire. */
#ifndef CLIENT_ASK_H
#define CLIENT_ASK_H

struct pinbroker_request;
struct pinbroker_subject;
struct proto_open;
struct proto_process;
struct proto_subject;

/* Return: 0; -EINVAL for what the wire has no place for. */
int ask_open(const struct pinbroker_request *request, struct proto_open *ret_open);

/* A process by its pidfd. Return: 0; -EBADF, -EINVAL: it is none; -ESRCH: it has exited; -errno. */
int ask_process(int pidfd, struct proto_process *ret_process);

/* Return: 0; -EINVAL; -errno of ask_process(). */
int ask_subject(const struct pinbroker_subject *subject, struct proto_subject *ret_subject);

#endif
