/* SPDX-License-Identifier: MIT */
/* Inside libpinbroker: what a caller asks for, put into the form of the wire. */
#ifndef CLIENT_ASK_H
#define CLIENT_ASK_H

struct pinbroker_request;
struct pinbroker_subject;
struct proto_open;
struct proto_subject;

/* Return: 0; -EINVAL for what the wire has no place for. */
int ask_open(const struct pinbroker_request *request, struct proto_open *ret_open);

/* The same for a subject. Its pidfd only leaves a flag: it goes along beside the bytes. */
int ask_subject(const struct pinbroker_subject *subject, struct proto_subject *ret_subject);

#endif
