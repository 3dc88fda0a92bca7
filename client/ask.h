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

/**
 * ask_process() - a process by its pidfd
 * @at_hand: whom the question at hand names: it is that one still when it has exited; NULL: none
 *
 * Return: 0; -EBADF, -EINVAL: it is no pidfd; -ESRCH: it has exited; -errno.
 */
int ask_process(int pidfd, const struct proto_process *at_hand, struct proto_process *ret_process);

/* Return: 0; -EINVAL; -errno of ask_process(). */
int ask_subject(const struct pinbroker_subject *subject, const struct proto_process *at_hand,
		struct proto_subject *ret_subject);

#endif
