/* SPDX-License-Identifier: MIT */
/*
 * The rules of the wire format, the same for both ends. Pure: bytes in, verdict out; whoever asks
 * decides what a broken rule costs its peer.
 */
#include "common/proto.h"

#include <errno.h>
#include <string.h>

static const size_t request_sizes[PROTO_OPS] = {
	[PROTO_OPEN] = sizeof(struct proto_open),
	[PROTO_OPEN_FOR] = sizeof(struct proto_open_for),
	[PROTO_LIST] = sizeof(struct proto_list),
	[PROTO_SHOW] = sizeof(struct proto_show),
	[PROTO_SET] = sizeof(struct proto_set),
	[PROTO_ATTACH] = sizeof(struct proto_attach),
	[PROTO_ADOPT] = sizeof(struct proto_adopt),
	[PROTO_CLOSE] = sizeof(struct proto_close),
	[PROTO_REVOKE] = sizeof(struct proto_revoke),
	[PROTO_STATUS] = sizeof(struct proto_status_ask),
	[PROTO_EXPLAIN] = sizeof(struct proto_explain),
	[PROTO_HOST] = sizeof(struct proto_host_ask),
	[PROTO_TRACE] = sizeof(struct proto_trace),
	[PROTO_MIRROR] = sizeof(struct proto_mirror_ask),
	[PROTO_PLACE] = sizeof(struct proto_place),
	[PROTO_RESERVE] = sizeof(struct proto_reserve),
	[PROTO_HANDOFF] = sizeof(struct proto_handoff),
	[PROTO_PASS] = sizeof(struct proto_pass),
};

static const size_t reply_sizes[PROTO_OPS] = {
	[PROTO_OPEN] = sizeof(struct proto_grant),
	[PROTO_OPEN_FOR] = sizeof(struct proto_grant),
	[PROTO_LIST] = sizeof(struct proto_sessions),
	[PROTO_SHOW] = sizeof(struct proto_sessions),
	[PROTO_SET] = sizeof(struct proto_done),
	[PROTO_ATTACH] = sizeof(struct proto_done),
	[PROTO_ADOPT] = sizeof(struct proto_done),
	[PROTO_CLOSE] = sizeof(struct proto_done),
	[PROTO_REVOKE] = sizeof(struct proto_done),
	[PROTO_STATUS] = sizeof(struct proto_status),
	[PROTO_EXPLAIN] = sizeof(struct proto_explanation),
	[PROTO_HOST] = sizeof(struct proto_host),
	[PROTO_TRACE] = sizeof(struct proto_traced),
	[PROTO_MIRROR] = sizeof(struct proto_mirrors),
	[PROTO_PLACE] = sizeof(struct proto_placed),
	[PROTO_RESERVE] = sizeof(struct proto_grant),
	[PROTO_HANDOFF] = sizeof(struct proto_grant),
	[PROTO_PASS] = sizeof(struct proto_done),
};

/* What exit status a refusal may carry; sysexits.h is no part of the wire. */
enum {
	STATUS_NO_SESSION = 66,
	STATUS_INTERNAL = 70,
	STATUS_REFUSED = 77,
};

size_t proto_body_size(enum proto_kind kind, unsigned int op)
{
	/* A broker must be able to say no to an operation that only its client knows. */
	if (kind == PROTO_REFUSAL)
		return op ? sizeof(struct proto_refusal) : 0;
	if (op >= PROTO_OPS)
		return 0;
	switch (kind) {
	case PROTO_REQUEST:
		return request_sizes[op];
	case PROTO_REPLY:
		return reply_sizes[op];
	case PROTO_EVENTS:
		return op == PROTO_TRACE ? sizeof(struct proto_events) : 0;
	case PROTO_REFUSAL:
		break;
	}
	return 0;
}

/* The messages whose body is only the least size: records follow. */
static bool has_records(const struct proto_header *header)
{
	if (header->kind == PROTO_EVENTS)
		return true;
	return header->kind == PROTO_REPLY &&
	       (header->op == PROTO_LIST || header->op == PROTO_SHOW ||
		header->op == PROTO_STATUS || header->op == PROTO_HOST ||
		header->op == PROTO_MIRROR);
}

static bool kind_expected(unsigned int kind, enum proto_kind expected)
{
	if (expected == PROTO_REQUEST || expected == PROTO_EVENTS)
		return kind == expected;
	return kind == PROTO_REPLY || kind == PROTO_REFUSAL;
}

int proto_check(const void *buf, size_t len, enum proto_kind kind, struct proto_header *ret_header)
{
	struct proto_header header;
	size_t body;

	if (len < sizeof(header) || len > PROTO_MESSAGE_MAX)
		return -EPROTO;
	memcpy(&header, buf, sizeof(header));
	/* First of all: of another version only this field is known to be in its place. */
	if (header.version != PROTO_VERSION)
		return -EPROTONOSUPPORT;
	if (header.size != len || !kind_expected(header.kind, kind))
		return -EPROTO;
	body = proto_body_size(header.kind, header.op);
	if (!body) {
		*ret_header = header;
		return -EOPNOTSUPP;
	}
	if (len < sizeof(header) + body)
		return -EPROTO;
	if (len > sizeof(header) + body && !has_records(&header))
		return -EPROTO;
	*ret_header = header;
	return 0;
}

struct proto_header proto_header(enum proto_kind kind, unsigned int op, uint64_t serial,
				 size_t body_len)
{
	struct proto_header header = {
		.version = PROTO_VERSION,
		.kind = (uint8_t)kind,
		.op = (uint8_t)op,
		.size = (uint32_t)(sizeof(header) + body_len),
		.serial = serial,
	};

	assert(body_len <= PROTO_MESSAGE_MAX - sizeof(header));
	return header;
}

static bool is_zero(const void *bytes, size_t size)
{
	const char *p = bytes;

	/* Every byte equals the one before it, and the first is 0. */
	return size == 0 || (p[0] == 0 && memcmp(p, p + 1, size - 1) == 0);
}

bool proto_text_valid(const char *field, size_t size)
{
	size_t len = strnlen(field, size);

	return len < size && is_zero(field + len, size - len);
}

void proto_text_set(char *field, size_t size, const char *text)
{
	size_t len = strnlen(text, size - 1);

	memcpy(field, text, len);
	memset(field + len, 0, size - len);
}

void proto_line_set(char *field, size_t size, const char *text)
{
	proto_text_set(field, size, text);
	for (; *field; field++)
		if ((unsigned char)*field < ' ' || *field == 0x7f)
			*field = '?';
}

bool proto_name_valid(const char *name)
{
	size_t len = strspn(name, PROTO_NAME_CHARS);

	return len > 0 && len <= PROTO_NAME_MAX && name[len] == '\0';
}

bool proto_cgroup_valid(const char *name)
{
	return proto_name_valid(name) && name[0] != '.' && strncmp(name, "cgroup.", 7) != 0;
}

/* A text field that must not be empty. */
static bool text_given(const char *field, size_t size)
{
	return proto_text_valid(field, size) && field[0] != '\0';
}

bool proto_open_valid(const struct proto_open *open)
{
	if (open->flags & ~(PROTO_OPEN_VIOMMU | PROTO_OPEN_EXEC) ||
	    open->accounting > PROTO_ACCOUNTING_USER)
		return false;
	if (open->n_devices > PROTO_DEVICES_MAX || open->zero)
		return false;
	if (!proto_text_valid(open->name, sizeof(open->name)))
		return false;
	if (open->name[0] && !proto_name_valid(open->name))
		return false;
	for (size_t i = 0; i < open->n_devices; i++) {
		if (!text_given(open->devices[i], sizeof(open->devices[i])))
			return false;
	}
	return is_zero(open->devices + open->n_devices,
		       (PROTO_DEVICES_MAX - open->n_devices) * sizeof(open->devices[0]));
}

#define SUBJECT_FLAGS \
	(PROTO_SUBJECT_UID | PROTO_SUBJECT_CGROUP | PROTO_SUBJECT_DOMAIN | PROTO_SUBJECT_PROCESS)

static bool process_valid(const struct proto_process *process)
{
	return process->inode && process->pid && process->pid <= INT32_MAX && !process->zero;
}

bool proto_subject_valid(const struct proto_subject *subject)
{
	if (subject->flags & ~SUBJECT_FLAGS || subject->zero)
		return false;
	if (subject->n_gids > PROTO_GIDS_MAX)
		return false;
	if (subject->flags & PROTO_SUBJECT_UID) {
		if (subject->uid == UINT32_MAX) /* (uid_t)-1 is nobody's */
			return false;
	} else if (subject->uid || subject->n_gids) {
		return false;
	}
	if (!is_zero(subject->gids + subject->n_gids,
		     (PROTO_GIDS_MAX - subject->n_gids) * sizeof(subject->gids[0])))
		return false;
	if (!proto_text_valid(subject->cgroup, sizeof(subject->cgroup)) ||
	    !proto_text_valid(subject->domain, sizeof(subject->domain)))
		return false;
	if (subject->flags & PROTO_SUBJECT_PROCESS
		    ? !process_valid(&subject->process)
		    : !is_zero(&subject->process, sizeof(subject->process)))
		return false;
	if ((subject->domain[0] != '\0') != ((subject->flags & PROTO_SUBJECT_DOMAIN) != 0))
		return false;
	return subject->cgroup[0] == (subject->flags & PROTO_SUBJECT_CGROUP ? '/' : '\0');
}

bool proto_explain_valid(const struct proto_explain *explain)
{
	return proto_subject_valid(&explain->subject) && proto_open_valid(&explain->open);
}

bool proto_reserve_valid(const struct proto_reserve *reserve)
{
	return proto_subject_valid(&reserve->subject) && reserve->subject.flags &&
	       !(reserve->subject.flags & PROTO_SUBJECT_PROCESS) &&
	       proto_open_valid(&reserve->open) && reserve->open.n_devices &&
	       !(reserve->open.flags & PROTO_OPEN_EXEC) &&
	       reserve->open.accounting != PROTO_ACCOUNTING_USER && reserve->wait_ms &&
	       reserve->wait_ms <= PROTO_RESERVE_WAIT_MAX_MS && !reserve->zero;
}

/* Everybody is below "/", and nobody below what ends with a slash. */
static bool handoff_cgroup_valid(const char *cgroup)
{
	size_t len = strlen(cgroup);

	return len > 1 && cgroup[len - 1] != '/';
}

bool proto_handoff_valid(const struct proto_handoff *handoff)
{
	const uint32_t needed = PROTO_SUBJECT_UID | PROTO_SUBJECT_CGROUP;

	return proto_subject_valid(&handoff->subject) &&
	       (handoff->subject.flags & (needed | PROTO_SUBJECT_PROCESS)) == needed &&
	       handoff_cgroup_valid(handoff->subject.cgroup) && proto_open_valid(&handoff->open) &&
	       !(handoff->open.flags & PROTO_OPEN_EXEC) && handoff->wait_ms &&
	       handoff->wait_ms <= PROTO_RESERVE_WAIT_MAX_MS && !handoff->zero;
}

#define SET_KEYS                                                            \
	(PROTO_SET_LIMIT | PROTO_SET_MAX_MAPPINGS | PROTO_SET_MAX_OBJECTS | \
	 PROTO_SET_MIGRATION_BUFFERS)

bool proto_set_valid(const struct proto_set *set)
{
	if (!set->keys || set->keys & ~SET_KEYS || set->zero || set->limit > INT64_MAX)
		return false;
	return (set->keys & PROTO_SET_LIMIT || !set->limit) &&
	       (set->keys & PROTO_SET_MAX_MAPPINGS || !set->max_mappings) &&
	       (set->keys & PROTO_SET_MAX_OBJECTS || !set->max_objects) &&
	       (set->keys & PROTO_SET_MIGRATION_BUFFERS || !set->migration_buffers);
}

bool proto_adopt_valid(const struct proto_adopt *adopt)
{
	return process_valid(&adopt->process);
}

bool proto_attach_valid(const struct proto_attach *attach)
{
	return text_given(attach->device, sizeof(attach->device));
}

bool proto_revoke_valid(const struct proto_revoke *revoke)
{
	return !(revoke->flags & ~PROTO_REVOKE_KILL) && !revoke->zero;
}

bool proto_place_valid(const struct proto_place *place)
{
	return !place->zero && proto_text_valid(place->name, sizeof(place->name)) &&
	       proto_cgroup_valid(place->name);
}

bool proto_grant_valid(const struct proto_grant *grant)
{
	if (grant->accounting != PROTO_ACCOUNTING_TASK &&
	    grant->accounting != PROTO_ACCOUNTING_USER)
		return false;
	return grant->n_devices <= PROTO_DEVICES_MAX &&
	       proto_text_valid(grant->name, sizeof(grant->name)) &&
	       proto_text_valid(grant->policy, sizeof(grant->policy)) &&
	       proto_text_valid(grant->warning, sizeof(grant->warning));
}

bool proto_refusal_valid(const struct proto_refusal *refusal)
{
	bool reason;

	if (refusal->zero || !proto_text_valid(refusal->reason, sizeof(refusal->reason)) ||
	    !proto_text_valid(refusal->text, sizeof(refusal->text)))
		return false;
	reason = refusal->reason[0] != '\0';
	switch (refusal->status) {
	case STATUS_REFUSED:
		return reason;
	case STATUS_NO_SESSION:
	case STATUS_INTERNAL:
		return !reason;
	default:
		return false;
	}
}

bool proto_explanation_valid(const struct proto_explanation *explanation)
{
	/* Flags that are not known here only add to what is said: ignored, unlike a request's. */
	return explanation->granted <= 1 && explanation->accounting <= PROTO_ACCOUNTING_USER &&
	       proto_text_valid(explanation->policy, sizeof(explanation->policy)) &&
	       proto_text_valid(explanation->reason, sizeof(explanation->reason)) &&
	       proto_text_valid(explanation->text, sizeof(explanation->text)) &&
	       proto_text_valid(explanation->warning, sizeof(explanation->warning)) &&
	       (explanation->reason[0] == '\0') == (explanation->granted == 1);
}

bool proto_done_valid(const struct proto_done *done)
{
	return done->state < PROTO_STATES && !done->zero;
}

bool proto_status_valid(const struct proto_status *status)
{
	return status->gate < PROTO_GATES && status->more <= 1 &&
	       proto_text_valid(status->version, sizeof(status->version)) &&
	       proto_text_valid(status->kernel, sizeof(status->kernel)) &&
	       proto_text_valid(status->loop, sizeof(status->loop)) &&
	       proto_text_valid(status->gate_reason, sizeof(status->gate_reason));
}

bool proto_share_valid(const struct proto_share *share)
{
	return proto_text_valid(share->policy, sizeof(share->policy));
}

bool proto_host_valid(const struct proto_host *host)
{
	return host->more <= 1 && !host->zero;
}

bool proto_holder_valid(const struct proto_holder *holder)
{
	return proto_text_valid(holder->comm, sizeof(holder->comm));
}

static bool holding_valid(const struct proto_holding *holding)
{
	return holding->kind < PROTO_HOLDING_KINDS &&
	       holding->accounting <= PROTO_ACCOUNTING_USER &&
	       holding->n_told <= PROTO_HOLDERS_MAX && holding->n_told <= holding->n_holders &&
	       holding->cgroup_len < PROTO_CGROUP_MAX &&
	       proto_text_valid(holding->comm, sizeof(holding->comm));
}

int proto_holding_next(const char **pos, const char *end, struct proto_holding *ret_holding,
		       const char **ret_holders, const char **ret_cgroup)
{
	struct proto_holding holding;
	size_t left = (size_t)(end - *pos), told;
	const char *holders, *cgroup;

	if (left < sizeof(holding))
		return -EPROTO;
	memcpy(&holding, *pos, sizeof(holding));
	left -= sizeof(holding);
	holders = *pos + sizeof(holding);
	if (!holding_valid(&holding))
		return -EPROTO;
	told = holding.n_told * sizeof(struct proto_holder);
	cgroup = holders + told;
	if (left < told + holding.cgroup_len || memchr(cgroup, '\0', holding.cgroup_len))
		return -EPROTO;
	for (size_t i = 0; i < holding.n_told; i++) {
		struct proto_holder holder;

		memcpy(&holder, holders + i * sizeof(holder), sizeof(holder));
		if (!proto_holder_valid(&holder))
			return -EPROTO;
	}
	*pos = cgroup + holding.cgroup_len;
	*ret_holding = holding;
	*ret_holders = holders;
	*ret_cgroup = cgroup;
	return 0;
}

bool proto_event_valid(const struct proto_event *event)
{
	return event->kind < PROTO_EVENT_KINDS &&
	       proto_text_valid(event->comm, sizeof(event->comm)) &&
	       proto_text_valid(event->name, sizeof(event->name)) &&
	       proto_text_valid(event->what, sizeof(event->what));
}

static bool session_valid(const struct proto_session *session)
{
	return session->state < PROTO_STATES && session->accounting <= PROTO_ACCOUNTING_USER &&
	       session->n_devices <= PROTO_DEVICES_MAX &&
	       proto_text_valid(session->name, sizeof(session->name)) &&
	       proto_text_valid(session->policy, sizeof(session->policy));
}

int proto_session_next(const char **pos, const char *end, struct proto_session *ret_session,
		       const char **ret_cgroup, const char (**ret_devices)[40])
{
	struct proto_session session;
	size_t left = (size_t)(end - *pos);
	const char *cgroup;
	const char(*devices)[40];

	if (left < sizeof(session))
		return -EPROTO;
	memcpy(&session, *pos, sizeof(session));
	left -= sizeof(session);
	cgroup = *pos + sizeof(session);
	if (!session_valid(&session))
		return -EPROTO;
	if (left < session.cgroup_len + session.n_devices * sizeof(devices[0]))
		return -EPROTO;
	if (memchr(cgroup, '\0', session.cgroup_len))
		return -EPROTO;
	/* By way of void: gcc 12 takes a direct cast to an array of const for one that drops it. */
	devices = (const void *)(cgroup + session.cgroup_len);
	for (size_t i = 0; i < session.n_devices; i++) {
		if (!text_given(devices[i], sizeof(devices[i])))
			return -EPROTO;
	}
	*pos = (const char *)(devices + session.n_devices);
	*ret_session = session;
	*ret_cgroup = cgroup;
	*ret_devices = devices;
	return 0;
}

bool proto_placed_valid(const struct proto_placed *placed)
{
	return proto_text_valid(placed->path, sizeof(placed->path)) && placed->path[0] == '/';
}

static bool mirror_valid(const struct proto_mirror *mirror)
{
	return mirror->mode < PROTO_MIRROR_MODES && mirror->by < PROTO_MIRROR_BYS &&
	       mirror->known <= 1 && !mirror->zero &&
	       proto_text_valid(mirror->reason, sizeof(mirror->reason));
}

int proto_mirror_next(const char **pos, const char *end, struct proto_mirror *ret_mirror,
		      const char **ret_path)
{
	struct proto_mirror mirror;
	size_t left = (size_t)(end - *pos);
	const char *path;

	if (left < sizeof(mirror))
		return -EPROTO;
	memcpy(&mirror, *pos, sizeof(mirror));
	left -= sizeof(mirror);
	path = *pos + sizeof(mirror);
	if (!mirror_valid(&mirror) || left < mirror.path_len)
		return -EPROTO;
	if (memchr(path, '\0', mirror.path_len))
		return -EPROTO;
	*pos = path + mirror.path_len;
	*ret_mirror = mirror;
	*ret_path = path;
	return 0;
}
