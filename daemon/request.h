/* SPDX-License-Identifier: MIT */
/* A request: checked in form and sender, then handed to the one function that serves its kind. */
#ifndef DAEMON_REQUEST_H
#define DAEMON_REQUEST_H

#include <assert.h>
#include <stddef.h>
#include <sys/socket.h>

#include "accounting/admission.h"
#include "accounting/policy.h"
#include "common/proto.h"

struct peer;
struct petition;

/* Exit statuses of <sysexits.h> that a refusal can carry besides EX_NOPERM for "refused". */
#define REQUEST_NO_SESSION 66
#define REQUEST_INTERNAL 70
#define REQUEST_REFUSED 77

/* What is granted goes over the wire as it is; ANY is for policies alone. */
static_assert((int)POLICY_ACCOUNTING_NONE == (int)PROTO_ACCOUNTING_POLICY &&
		      (int)POLICY_ACCOUNTING_TASK == (int)PROTO_ACCOUNTING_TASK &&
		      (int)POLICY_ACCOUNTING_USER == (int)PROTO_ACCOUNTING_USER,
	      "one numbering");

/**
 * request_serve() - serve one packet
 * @bytes, @len: as received, in a buffer that answers may overwrite
 * @cred: of the sender by SCM_CREDENTIALS; NULL: there was none
 *
 * Return: 0: answered; -errno: the peer is to be dropped (-EPROTO and the like: what it sent is no
 * message of this version; of sendmsg(2): it does not take its answer).
 */
int request_serve(struct peer *peer, const void *bytes, size_t len, const struct ucred *cred);

/* Answers with a refusal; returns what a handler returns. */
__attribute__((format(printf, 4, 5))) int request_refuse(const struct peer *peer,
							 const struct proto_header *header,
							 enum refusal refusal, const char *format,
							 ...);

/* Refuses what was weighed, by its text. */
int request_refuse_petition(const struct peer *peer, const struct proto_header *header,
			    const struct petition *petition);

/* Refuses a request whose fields break the rules of common/proto.h. */
int request_malformed(const struct peer *peer, const struct proto_header *header);

/* Answers with a failure that is not a decision: one of REQUEST_*, never REFUSED. */
__attribute__((format(printf, 4, 5))) int request_fail(const struct peer *peer,
						       const struct proto_header *header,
						       unsigned int status, const char *format,
						       ...);

#endif
