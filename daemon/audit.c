/* SPDX-License-Identifier: MIT */
#include "daemon/audit.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "accounting/policy.h"
#include "common/cleanup.h"
#include "daemon/broker.h"
#include "daemon/budget.h"
#include "daemon/owner.h"
#include "daemon/peer.h"
#include "daemon/petition.h"
#include "daemon/session.h"
#include "daemon/trace.h"

bool audit_to_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM"); /* "device:inode", systemd.exec(5) */
	unsigned long long device, inode;
	struct stat st;
	char *end;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	device = strtoull(stream, &end, 10);
	if (end == stream || *end != ':')
		return false;
	stream = end + 1;
	inode = strtoull(stream, &end, 10);
	return end != stream && !*end && st.st_dev == device && st.st_ino == inode;
}

static void audit_append(char *to, size_t size, size_t *len, const char *bytes, size_t n)
{
	if (n > size - *len)
		n = size - *len;
	memcpy(to + *len, bytes, n);
	*len += n;
}

/* The line, behind the name of its field. */
static char *audit_line(struct audit *audit)
{
	return audit->message + strlen(AUDIT_MESSAGE);
}

static void audit_say(struct audit *audit, const char *text, size_t n)
{
	audit_append(audit_line(audit), AUDIT_BYTES_MAX, &audit->len, text, n);
}

/* " key=" */
static void audit_say_key(struct audit *audit, const char *key)
{
	audit_say(audit, " ", 1);
	audit_say(audit, key, strlen(key));
	audit_say(audit, "=", 1);
}

/* PINBROKER_KEY=VALUE. The journal takes any bytes. */
static void audit_field(struct audit *audit, const char *key, const char *value, size_t n)
{
	struct iovec *field = &audit->field[audit->n_fields];
	size_t size = sizeof(audit->fields), *len = &audit->fields_len, from = *len;

	if (!audit->journal || audit->n_fields == AUDIT_FIELDS_MAX)
		return;
	audit_append(audit->fields, size, len, "PINBROKER_", strlen("PINBROKER_"));
	for (; *key; key++) {
		const char c = (char)toupper((unsigned char)*key);

		audit_append(audit->fields, size, len, &c, 1);
	}
	audit_append(audit->fields, size, len, "=", 1);
	audit_append(audit->fields, size, len, value, n);
	*field = (struct iovec){.iov_base = audit->fields + from, .iov_len = *len - from};
	audit->n_fields++;
}

void audit_begin(struct audit *audit, const struct broker *broker, const char *event)
{
	audit->journal = broker->journal;
	audit->len = audit->fields_len = audit->n_fields = 0;
	audit_say(audit, event, strlen(event));
	audit_say(audit, ":", 1);
	audit_field(audit, "event", event, strlen(event));
}

bool audit_begin_for(struct audit *audit, const struct peer *peer, const char *event)
{
	unsigned int n = budget_line(peer->account->user, broker_now_ms());

	if (!n)
		return false;
	audit_begin(audit, peer->broker, event);
	if (n > 1)
		audit_number(audit, "left_out", n - 1);
	return true;
}

/* A value that needs no quotes. */
static void audit_word(struct audit *audit, const char *key, const char *value, size_t n)
{
	audit_field(audit, key, value, n);
	audit_say_key(audit, key);
	audit_say(audit, value, n);
}

/* In quotes where it would not be one word; log_escape() does the rest. */
void audit_text(struct audit *audit, const char *key, const char *value)
{
	size_t n = strlen(value);

	if (n && !strpbrk(value, " \"=\\")) {
		audit_word(audit, key, value, n);
		return;
	}
	audit_field(audit, key, value, n);
	audit_say_key(audit, key);
	audit_say(audit, "\"", 1);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			audit_say(audit, "\\", 1);
		audit_say(audit, value, 1);
	}
	audit_say(audit, "\"", 1);
}

/* By hand: there are a dozen on the way of every grant, and snprintf(3) is ten times as long. */
static void audit_digits(struct audit *audit, const char *key, uint64_t value, unsigned int base)
{
	char digits[24], *end = &digits[sizeof(digits)], *first = end;

	do {
		*--first = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	audit_word(audit, key, first, (size_t)(end - first));
}

void audit_number(struct audit *audit, const char *key, uint64_t value)
{
	if (value == UINT64_MAX)
		audit_word(audit, key, "unlimited", strlen("unlimited"));
	else
		audit_digits(audit, key, value, 10);
}

void audit_id(struct audit *audit, uint64_t id)
{
	audit_digits(audit, "session", id, 16);
}

void audit_peer(struct audit *audit, const struct peer *peer)
{
	audit_number(audit, "peer", (uint64_t)peer->cred.pid);
	audit_number(audit, "peer_uid", peer->cred.uid);
}

void audit_session(struct audit *audit, const struct session *session)
{
	audit_id(audit, session->id);
	audit_text(audit, "name", session->name);
	audit_text(audit, "policy", session->policy);
	audit_number(audit, "uid", session->uid);
	if (session->owner)
		audit_number(audit, "owner", (uint64_t)session->owner->pid);
	if (session->owner && session->owner->changed)
		audit_number(audit, "memlock", session->owner->ours.rlim_cur);
	audit_text(audit, "accounting", policy_accounting_name(session->accounting));
	audit_number(audit, "limit", session->share.limit);
	for (const struct session_claim *c = session->claims; c; c = c->next_claim)
		audit_text(audit, "device", c->name);
}

void audit_petition(struct audit *audit, const struct petition *petition)
{
	const struct admission *admission = &petition->admission;

	if (!petition->identified)
		return;
	audit_number(audit, "subject_uid", petition->who.uid);
	if (petition->who.cgroup)
		audit_text(audit, "cgroup", petition->who.cgroup);
	if (petition->who.domain)
		audit_text(audit, "domain", petition->who.domain);
	audit_number(audit, "memory", petition->open->memory);
	if (!admission->policy)
		return;
	audit_number(audit, "user_sum", admission->sums.user);
	audit_number(audit, "user_limit", admission->user_limit);
	audit_number(audit, "host_sum", admission->sums.host);
	audit_number(audit, "host_limit", admission->host_limit);
}

void audit_end(struct audit *audit, enum log_level level)
{
	char priority[] = "PRIORITY=?";
	struct iovec *all = audit->field;
	size_t n = audit->n_fields;

	if (audit->journal) {
		memcpy(audit->message, AUDIT_MESSAGE, strlen(AUDIT_MESSAGE));
		log_escape(audit_line(audit), audit->len);
		priority[strlen(priority) - 1] = (char)('0' + level);
		all[n++] = (struct iovec){priority, strlen(priority)};
		all[n++] = (struct iovec){audit->message, strlen(AUDIT_MESSAGE) + audit->len};
		if (sd_journal_sendv(all, (int)n) >= 0)
			return;
	}
	log_text(level, audit_line(audit), audit->len); /* or better there than nowhere */
}

/* What a session of it would have had; a session says so itself. */
static void audit_refused(struct audit *audit, const struct admission *admission)
{
	if (!admission->policy)
		return;
	audit_text(audit, "policy", admission->policy->name);
	audit_number(audit, "limit", admission->limit);
}

void audit_refusal(const struct peer *peer, enum refusal refusal, const char *text,
		   const struct petition *petition)
{
	struct audit audit UNINITIALIZED;

	trace_refusal(peer, refusal);
	/* Who asks too often must not write the log, too. */
	if (refusal == REFUSAL_RATE_LIMIT || !audit_begin_for(&audit, peer, "refused"))
		return;
	audit_text(&audit, "reason", refusal_name(refusal));
	audit_peer(&audit, peer);
	if (petition) {
		audit_petition(&audit, petition);
		audit_refused(&audit, &petition->admission);
	}
	audit_text(&audit, "text", text);
	audit_end(&audit, LOG_LEVEL_NOTICE);
}

void audit_order(const struct peer *peer, const struct session *session, const char *event)
{
	struct audit audit UNINITIALIZED;

	trace_audit(peer->broker, event, session, peer);
	if (!audit_begin_for(&audit, peer, event))
		return;
	audit_session(&audit, session);
	audit_peer(&audit, peer);
	audit_end(&audit, LOG_LEVEL_INFO);
}
