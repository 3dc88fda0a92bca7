/* SPDX-License-Identifier: MIT */
#include "daemon/audit.h"

#include <ctype.h>
#include <stdio.h>
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
	if (n > size - 1 - *len)
		n = size - 1 - *len;
	memcpy(to + *len, bytes, n);
	*len += n;
	to[*len] = '\0';
}

static void audit_say(struct audit *audit, const char *text)
{
	audit_append(audit->message, sizeof(audit->message), &audit->len, text, strlen(text));
}

/* PINBROKER_KEY=VALUE. The journal takes any bytes. */
static void audit_field(struct audit *audit, const char *key, const char *value)
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
	audit_append(audit->fields, size, len, value, strlen(value));
	*field = (struct iovec){.iov_base = audit->fields + from, .iov_len = *len - from};
	audit->n_fields++;
}

void audit_begin(struct audit *audit, const struct broker *broker, const char *event)
{
	audit->journal = broker->journal;
	audit->len = audit->fields_len = audit->n_fields = 0;
	audit_say(audit, event);
	audit_say(audit, ":");
	audit_field(audit, "event", event);
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
static void audit_word(struct audit *audit, const char *key, const char *value)
{
	audit_field(audit, key, value);
	audit_say(audit, " ");
	audit_say(audit, key);
	audit_say(audit, "=");
	audit_say(audit, value);
}

/* In quotes where it would not be one word; log_line() does the rest. */
void audit_text(struct audit *audit, const char *key, const char *value)
{
	if (*value && !strpbrk(value, " \"=\\")) {
		audit_word(audit, key, value);
		return;
	}
	audit_field(audit, key, value);
	audit_say(audit, " ");
	audit_say(audit, key);
	audit_say(audit, "=\"");
	for (; *value; value++) {
		const char escaped[] = {'\\', *value, '\0'};

		audit_say(audit, *value == '"' || *value == '\\' ? escaped : escaped + 1);
	}
	audit_say(audit, "\"");
}

/* By hand: there are a dozen on the way of every grant, and snprintf(3) is ten times as long. */
void audit_number(struct audit *audit, const char *key, uint64_t value)
{
	char digits[24], *first = &digits[sizeof(digits) - 1];

	if (value == UINT64_MAX) {
		audit_word(audit, key, "unlimited");
		return;
	}
	*first = '\0';
	do {
		*--first = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	audit_word(audit, key, first);
}

void audit_peer(struct audit *audit, const struct peer *peer)
{
	audit_number(audit, "peer", (uint64_t)peer->cred.pid);
	audit_number(audit, "peer_uid", peer->cred.uid);
}

void audit_session(struct audit *audit, const struct session *session)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llx", (unsigned long long)session->id); /* it fits */
	audit_text(audit, "session", text);
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
	struct iovec all[AUDIT_FIELDS_MAX + 2];
	char priority[32], *message = NULL;

	if (!audit->journal) {
		log_line(level, "%s", audit->message);
		return;
	}
	(void)snprintf(priority, sizeof(priority), "PRIORITY=%d", level); /* it fits */
	memcpy(all, audit->field, audit->n_fields * sizeof(all[0]));
	all[audit->n_fields] = (struct iovec){.iov_base = priority, .iov_len = strlen(priority)};
	log_escape(audit->message);
	if (asprintf(&message, "MESSAGE=%s", audit->message) < 0)
		message = NULL; /* its value is undefined then */
	if (message)
		all[audit->n_fields + 1] =
			(struct iovec){.iov_base = message, .iov_len = strlen(message)};
	if (!message || sd_journal_sendv(all, (int)audit->n_fields + 2) < 0)
		log_line(level, "%s", audit->message); /* better there than nowhere */
	free(message);
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

	if (!audit_begin_for(&audit, peer, event))
		return;
	audit_session(&audit, session);
	audit_peer(&audit, peer);
	audit_end(&audit, LOG_LEVEL_INFO);
}
