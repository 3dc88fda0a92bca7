/* SPDX-License-Identifier: MIT */
/*
 * The audit: one line for each thing that was granted, refused, changed or taken, with who asked,
 * for whom, under which policy, and the numbers. "granted: session=5f3a name=vm …"; where stderr
 * is the journal, each KEY is a field PINBROKER_KEY of the entry too, and the event is
 * PINBROKER_EVENT (systemd.journal-fields(7)).
 */
#ifndef DAEMON_AUDIT_H
#define DAEMON_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "accounting/admission.h"
#include "common/log.h"

struct broker;
struct peer;
struct petition;
struct session;

#define AUDIT_FIELDS_MAX 32
#define AUDIT_BYTES_MAX 4096
#define AUDIT_MESSAGE "MESSAGE=" /* the field that the line is in the journal */

/* A line in the making. What does not fit is cut. */
struct audit {
	bool journal;
	size_t len; /* of the line */
	size_t fields_len;
	size_t n_fields;
	char message[sizeof(AUDIT_MESSAGE) - 1 + AUDIT_BYTES_MAX]; /* the line as a field */
	char fields[AUDIT_BYTES_MAX + AUDIT_FIELDS_MAX * 32];
	struct iovec field[AUDIT_FIELDS_MAX + 2]; /* and those of the journal: level, line */
};

/* Whether stderr is the journal, as systemd says and the descriptor proves. */
bool audit_to_journal(void);

/* Begins a line. @event: a word */
void audit_begin(struct audit *audit, const struct broker *broker, const char *event);

/**
 * audit_begin_for() - begin a line that a peer can cause as often as it likes
 *
 * Such lines are counted (budget_line()): nobody fills the log. One that comes after some were left
 * out says how many: left_out.
 *
 * Return: false: this one is left out.
 */
bool audit_begin_for(struct audit *audit, const struct peer *peer, const char *event);

/* Adds KEY=VALUE; in lower case. */
void audit_text(struct audit *audit, const char *key, const char *value);
void audit_number(struct audit *audit, const char *key, uint64_t value);

/* Which session: session. */
void audit_id(struct audit *audit, uint64_t id);

/* Who asked: peer, peer_uid. */
void audit_peer(struct audit *audit, const struct peer *peer);

/* A session: session, name, policy, uid, owner and its memlock, accounting, limit, devices. */
void audit_session(struct audit *audit, const struct session *session);

/* For whom it was asked, and the numbers that decided: subject, cgroup, domain, sums. */
void audit_petition(struct audit *audit, const struct petition *petition);

/* Writes the line. */
void audit_end(struct audit *audit, enum log_level level);

/* A whole line about a refusal; @petition: what was asked for, NULL: it did not come to that. */
void audit_refusal(const struct peer *peer, enum refusal refusal, const char *text,
		   const struct petition *petition);

/* A whole line about what a peer did with a session. */
void audit_order(const struct peer *peer, const struct session *session, const char *event);

#endif
