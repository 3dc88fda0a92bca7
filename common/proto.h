/* SPDX-License-Identifier: MIT */
/*
 * The wire: SOCK_SEQPACKET, one message per packet, host byte order, version 1.
 *
 * Every message is a struct proto_header and the body of its kind and operation. Bodies have fixed
 * width fields and no padding; text is NUL-terminated and NUL-filled; fields called zero are 0.
 * Only the answers to list, show, status, host and mirror have a variable part, and the packets
 * that follow the answer to trace: records. What does not fit is dropped together with its sender.
 * Operations are added, never changed.
 */
#ifndef COMMON_PROTO_H
#define COMMON_PROTO_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTO_VERSION 1
#define PROTO_SOCKET "/run/pinbroker/socket"
#define PROTO_MESSAGE_MAX 65536 /* bytes, header included */
#define PROTO_DEVICES_MAX 16 /* per request and per session */
#define PROTO_FDS_MAX (1 + PROTO_DEVICES_MAX) /* the iommufd and its devices */
#define PROTO_GIDS_MAX 64
#define PROTO_NAME_MAX 64 /* characters */
#define PROTO_NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@-"
#define PROTO_UNKNOWN UINT64_MAX /* of a figure: not known; never zero */
#define PROTO_UNLIMITED UINT64_MAX /* of a limit */

enum proto_kind {
	PROTO_REQUEST,
	PROTO_REPLY,
	PROTO_REFUSAL, /* struct proto_refusal */
	PROTO_EVENTS, /* struct proto_events, unasked, after the answer to trace */
};

enum proto_op {
	PROTO_OPEN = 1, /* a session for the requester: proto_open -> proto_grant and fds */
	PROTO_OPEN_FOR = 2, /* for another subject: proto_open_for -> as open */
	PROTO_LIST = 3, /* proto_list -> proto_sessions */
	PROTO_SHOW = 4, /* proto_show -> proto_sessions with exactly one */
	PROTO_SET = 5, /* proto_set -> proto_done */
	PROTO_ATTACH = 6, /* proto_attach -> proto_done and the device's fd */
	PROTO_ADOPT = 7, /* proto_adopt -> proto_done */
	PROTO_CLOSE = 8, /* proto_close -> proto_done */
	PROTO_REVOKE = 9, /* proto_revoke -> proto_done */
	PROTO_STATUS = 10, /* proto_status_ask -> proto_status */
	PROTO_EXPLAIN = 11, /* proto_explain -> proto_explanation */
	PROTO_HOST = 12, /* proto_host_ask -> proto_host */
	PROTO_TRACE = 13, /* proto_trace -> proto_traced, then proto_events without end */
	PROTO_MIRROR = 14, /* proto_mirror_ask -> proto_mirrors */
	PROTO_PLACE = 15, /* proto_place -> proto_placed */
	PROTO_RESERVE = 20, /* nothing is opened: proto_reserve -> proto_grant */
	PROTO_HANDOFF = 21, /* for who connects to a socket: proto_handoff -> proto_grant */
	PROTO_PASS = 22, /* that socket: proto_pass and its fd -> proto_done, when it is over */
	PROTO_OPS,
};

struct proto_header {
	uint16_t version;
	uint8_t kind; /* enum proto_kind */
	uint8_t op; /* enum proto_op */
	uint32_t size; /* of the whole packet */
	uint64_t serial; /* the requester's, echoed */
};
static_assert(sizeof(struct proto_header) == 16, "wire format");

enum proto_accounting {
	PROTO_ACCOUNTING_POLICY, /* in a request: as the policy says */
	PROTO_ACCOUNTING_TASK,
	PROTO_ACCOUNTING_USER,
};

#define PROTO_OPEN_VIOMMU 1U /* each device has an address space of its own */
#define PROTO_OPEN_EXEC 2U /* the requester calls exec next, which drops what it has locked */

struct proto_open {
	uint64_t memory; /* bytes of guest RAM; 0: not given */
	uint32_t flags; /* PROTO_OPEN_* */
	uint32_t accounting; /* enum proto_accounting */
	uint32_t n_devices;
	uint32_t zero;
	char name[72]; /* proto_name_valid(), or "": the broker makes one up */
	char devices[PROTO_DEVICES_MAX][40]; /* those beyond n_devices are zero */
};
static_assert(sizeof(struct proto_open) == 736, "wire format");

/* With it, unless it answers reserve: the iommufd, then the devices in the order of the request. */
struct proto_grant {
	uint64_t id;
	uint64_t limit; /* bytes */
	uint64_t max_mappings; /* PROTO_UNLIMITED */
	uint32_t accounting; /* TASK or USER */
	uint32_t n_devices;
	char name[72];
	char policy[72];
	char warning[512]; /* "": none; one line */
};
static_assert(sizeof(struct proto_grant) == 688, "wire format");

/* Text is one line; whoever prints it escapes it. */
struct proto_refusal {
	uint32_t status; /* a command that fails by it exits with this (sysexits.h): 66, 70, 77 */
	uint32_t zero;
	char reason[24]; /* "host-reserve"; "" with another status than 77 */
	char text[608];
};
static_assert(sizeof(struct proto_refusal) == 640, "wire format");

/* A page of sessions in the order they were made. */
struct proto_list {
	uint64_t after; /* the last id of the page before; 0: from the first */
	uint64_t zero;
};
static_assert(sizeof(struct proto_list) == 16, "wire format");

struct proto_show {
	uint64_t id;
	uint64_t zero;
};
static_assert(sizeof(struct proto_show) == 16, "wire format");

struct proto_sessions {
	uint32_t n; /* records that follow */
	uint32_t more; /* 1: ask again, after the last of these */
};
static_assert(sizeof(struct proto_sessions) == 8, "wire format");

enum proto_state {
	PROTO_STATE_PENDING,
	PROTO_STATE_ACTIVE,
	PROTO_STATE_IDLE,
	PROTO_STATE_ORPHANED,
	PROTO_STATE_REVOKED,
	PROTO_STATE_POISONED,
	PROTO_STATE_UNMANAGED,
	PROTO_STATES,
};

#define PROTO_SESSION_EXACT 1U /* pinned is read in the kernel, not the owner's VmPin */

/* Followed by cgroup_len bytes (no NUL) and n_devices names of 40 bytes. */
struct proto_session {
	uint64_t id;
	uint64_t limit;
	uint64_t pinned; /* bytes; this and the next five: PROTO_UNKNOWN */
	uint64_t pinned_peak;
	uint64_t mapped;
	uint64_t mappings;
	uint64_t denied;
	uint64_t max_mappings; /* PROTO_UNLIMITED */
	uint32_t uid;
	uint32_t pid; /* of the owner, as the broker sees it */
	uint32_t accounting;
	uint32_t state; /* enum proto_state */
	uint32_t flags; /* PROTO_SESSION_* */
	uint16_t cgroup_len; /* 0: not known */
	uint16_t n_devices;
	char name[72];
	char policy[72];
};
static_assert(sizeof(struct proto_session) == 232, "wire format");

/*
 * A process. A pid alone proves nothing: the inode of a pidfd is no other process's in this boot.
 * Who names a process holds a pidfd of it meanwhile, and the broker opens one of its own: a
 * descriptor that somebody sent could be one whose last close never returns.
 */
struct proto_process {
	uint64_t inode; /* st_ino of its pidfd (pidfs, Linux 6.9) */
	uint32_t pid; /* in the broker's pid namespace */
	uint32_t zero;
};
static_assert(sizeof(struct proto_process) == 16, "wire format");

/* What is given of a subject; all of it is for root and for the admins of its policy. */
#define PROTO_SUBJECT_UID 1U
#define PROTO_SUBJECT_CGROUP 2U
#define PROTO_SUBJECT_DOMAIN 4U
/* The process is the subject, but for what else is given, and will be the owner. */
#define PROTO_SUBJECT_PROCESS 8U

/* For whom; flags 0: for the requester. */
struct proto_subject {
	uint32_t flags;
	uint32_t uid; /* 0 without PROTO_SUBJECT_UID, else not (uid_t)-1 */
	uint32_t n_gids; /* 0 without PROTO_SUBJECT_UID */
	uint32_t zero;
	uint32_t gids[PROTO_GIDS_MAX]; /* those beyond n_gids are 0 */
	char cgroup[4096]; /* "/a/b"; "" without PROTO_SUBJECT_CGROUP */
	char domain[256]; /* a virtual machine's name; "" without PROTO_SUBJECT_DOMAIN */
	struct proto_process process; /* 0 without PROTO_SUBJECT_PROCESS */
};
static_assert(sizeof(struct proto_subject) == 4640, "wire format");

struct proto_explain {
	struct proto_subject subject;
	struct proto_open open;
};
static_assert(sizeof(struct proto_explain) == 5376, "wire format");

/* At least one flag of the subject. The owner is its process, or else the requester. */
struct proto_open_for {
	struct proto_subject subject;
	struct proto_open open;
};
static_assert(sizeof(struct proto_open_for) == 5376, "wire format");

#define PROTO_RESERVE_WAIT_MAX_MS 3600000U

/*
 * As open for another, but nothing is opened: who is named, or a process that it starts, does. The
 * session ends after so long, unless one of its devices was bound to a context or a process has
 * become its owner. The devices need not be on VFIO drivers yet.
 */
struct proto_reserve {
	struct proto_subject subject; /* at least one flag, not PROTO_SUBJECT_PROCESS */
	struct proto_open open; /* without PROTO_OPEN_EXEC; not in user mode; at least one device */
	uint32_t wait_ms; /* 1 to PROTO_RESERVE_WAIT_MAX_MS */
	uint32_t zero;
};
static_assert(sizeof(struct proto_reserve) == 5384, "wire format");

/*
 * Nothing is opened yet, either: the first process of the uid in the cgroup, or below it, that
 * connects to the socket that pass brings gets the iommufd and becomes the owner. The session ends
 * after so long if nobody came. Devices are as for reserve.
 */
struct proto_handoff {
	struct proto_subject subject; /* uid, cgroup but "/"; not PROTO_SUBJECT_PROCESS */
	struct proto_open open; /* without PROTO_OPEN_EXEC */
	uint32_t wait_ms; /* 1 to PROTO_RESERVE_WAIT_MAX_MS */
	uint32_t zero;
};
static_assert(sizeof(struct proto_handoff) == 5384, "wire format");

/* The only request that may bring a descriptor: a listening AF_UNIX stream socket. */
struct proto_pass {
	uint64_t id; /* of a session that waits for who connects to it */
	uint64_t zero;
};
static_assert(sizeof(struct proto_pass) == 16, "wire format");

#define PROTO_SET_LIMIT 1U
#define PROTO_SET_MAX_MAPPINGS 2U
#define PROTO_SET_MAX_OBJECTS 4U
#define PROTO_SET_MIGRATION_BUFFERS 8U

/* New limits of a live session. */
struct proto_set {
	uint64_t id;
	uint32_t keys; /* PROTO_SET_*, at least one; the fields of the others are 0 */
	uint32_t zero;
	uint64_t limit; /* bytes; at most INT64_MAX */
	uint64_t max_mappings; /* PROTO_UNLIMITED */
	uint64_t max_objects; /* PROTO_UNLIMITED */
	uint64_t migration_buffers; /* bytes per device; PROTO_UNLIMITED */
};
static_assert(sizeof(struct proto_set) == 48, "wire format");

/* One more device. */
struct proto_attach {
	uint64_t id;
	char device[40];
};
static_assert(sizeof(struct proto_attach) == 48, "wire format");

/* The process becomes the owner. */
struct proto_adopt {
	uint64_t id;
	struct proto_process process;
};
static_assert(sizeof(struct proto_adopt) == 24, "wire format");

struct proto_close {
	uint64_t id;
	uint64_t zero;
};
static_assert(sizeof(struct proto_close) == 16, "wire format");

#define PROTO_REVOKE_KILL 1U

struct proto_revoke {
	uint64_t id;
	uint32_t flags; /* PROTO_REVOKE_* */
	uint32_t zero;
};
static_assert(sizeof(struct proto_revoke) == 16, "wire format");

/* What was asked of a session has been done. */
struct proto_done {
	uint64_t id;
	uint32_t state; /* enum proto_state: of the session now */
	uint32_t zero;
};
static_assert(sizeof(struct proto_done) == 16, "wire format");

struct proto_status_ask {
	uint64_t skip; /* records that a page before had; 0: from the first */
	uint64_t zero;
};
static_assert(sizeof(struct proto_status_ask) == 16, "wire format");

/* How well the kernel keeps limits here. */
enum proto_gate {
	PROTO_GATE_NONE,
	PROTO_GATE_OBSERVE,
	PROTO_GATE_BEST_EFFORT,
	PROTO_GATE_EXACT,
	PROTO_GATES,
};

/* Followed by n of struct proto_share: root gets all, others their own. */
struct proto_status {
	uint64_t mem_total; /* bytes */
	uint64_t host_limit; /* bytes; PROTO_UNLIMITED: host-reserve = "off" */
	uint64_t host_sum; /* bytes, granted to all sessions */
	uint64_t n_sessions;
	uint64_t lost_events; /* PROTO_UNKNOWN, as the next */
	uint64_t recursion_misses;
	uint64_t trace_missing; /* 1 << enum proto_event_kind; PROTO_UNKNOWN: no tracer */
	uint32_t gate; /* enum proto_gate */
	uint32_t pid; /* of the broker */
	uint32_t n; /* records that follow */
	uint32_t more; /* 1: ask again, skipping those that came */
	char version[32];
	char kernel[72]; /* uname -r */
	char loop[24]; /* "io_uring", "epoll" */
	char gate_reason[256]; /* one line; "": nothing is missing */
};
static_assert(sizeof(struct proto_status) == 72 + 32 + 72 + 24 + 256, "wire format");

#define PROTO_SHARE_POLICY 1U /* the policy is still there, and the limits are known */

/* What the sessions of one uid under one policy have of the sums. Bytes, sums of limits. */
struct proto_share {
	uint32_t uid;
	uint32_t flags; /* PROTO_SHARE_* */
	uint64_t n_sessions; /* of the uid under the policy */
	uint64_t max_sessions;
	uint64_t sum; /* of all sessions of the uid */
	uint64_t user_mode_sum; /* of those in user mode */
	uint64_t user_limit; /* of the policy; PROTO_UNLIMITED */
	char policy[72];
};
static_assert(sizeof(struct proto_share) == 120, "wire format");

/* The decision, whole; accounting/admission.h has the same fields with their meaning. */
struct proto_explanation {
	uint64_t limit;
	uint64_t policy_limit;
	uint64_t auto_limit;
	uint64_t memory;
	uint64_t user_limit;
	uint64_t user_sum;
	uint64_t host_limit;
	uint64_t host_sum;
	uint64_t max_mappings;
	uint64_t max_objects;
	uint64_t max_sessions;
	uint64_t n_sessions;
	uint64_t extra_memlock;
	uint64_t headroom;
	uint64_t migration_buffers;
	uint32_t granted; /* 0 or 1 */
	uint32_t accounting;
	uint32_t factor;
	uint32_t flags; /* PROTO_EXPLAIN_* */
	char policy[72]; /* "": none matches */
	char reason[24]; /* "": granted */
	char text[608];
	char warning[512];
};
static_assert(sizeof(struct proto_explanation) == 120 + 16 + 72 + 24 + 608 + 512, "wire format");

#define PROTO_EXPLAIN_LIMIT_AUTO 1U /* the policy says limit = "auto" */
#define PROTO_EXPLAIN_MAPPINGS_AUTO 2U
#define PROTO_EXPLAIN_REQUIRE_RESET 4U
#define PROTO_EXPLAIN_MULTI_P2P 8U /* multi-device = "p2p" */

/* For root. */
struct proto_host_ask {
	uint64_t skip; /* records that a page before had; 0: from the first */
	uint64_t zero;
};
static_assert(sizeof(struct proto_host_ask) == 16, "wire format");

#define PROTO_HOST_KERNEL 1U /* the gate's programs have read it; else it is from /proc alone */

/* Followed by n of struct proto_holding, each with its holders. */
struct proto_host {
	uint64_t held; /* bytes of pins in the kernel's count; PROTO_UNKNOWN, as the next */
	uint64_t explained; /* bytes of those of which is known whose they are */
	uint32_t flags; /* PROTO_HOST_* */
	uint32_t zero;
	uint32_t n; /* records that follow */
	uint32_t more; /* 1: ask again, skipping those that came */
};
static_assert(sizeof(struct proto_host) == 32, "wire format");

enum proto_holding_kind {
	PROTO_HOLDING_CONTEXT,
	PROTO_HOLDING_CONTAINER,
	PROTO_HOLDING_PROCESS,
	PROTO_HOLDING_USER,
	PROTO_HOLDING_PAYER, /* of the context before */
	PROTO_HOLDING_CGROUP, /* what payers in it have mapped */
	PROTO_HOLDING_KINDS,
};

#define PROTO_HOLDING_EXACT 1U /* of a session: nothing changed while it was read */
#define PROTO_HOLDERS_MAX 256 /* in a record */
#define PROTO_CGROUP_MAX 4096 /* bytes of a path, with its NUL */

/*
 * Followed by n_told of struct proto_holder and cgroup_len bytes (no NUL). What does not apply to
 * its kind is PROTO_UNKNOWN.
 */
struct proto_holding {
	uint64_t session; /* of a context or payer; 0: nobody here handed it out */
	uint64_t mapped; /* bytes, as all but mappings */
	uint64_t pinned;
	uint64_t mappings;
	uint64_t locked; /* of a process VmLck, of a user its sum */
	uint64_t cgroup; /* of a cgroup or payer: the number of its inode, 0: several; else 0 */
	uint32_t kind; /* enum proto_holding_kind */
	uint32_t flags; /* PROTO_HOLDING_* */
	uint32_t uid; /* of a process, user or payer, else 0 */
	uint32_t pid; /* of a process or payer, else 0; a payer that is several has 0 */
	uint32_t accounting; /* of a context or payer TASK or USER, else 0 */
	uint32_t n_holders; /* processes that have it open */
	uint32_t n_told; /* at most PROTO_HOLDERS_MAX */
	uint32_t cgroup_len; /* of a cgroup's path, "/a/b"; 0: not known, or another kind */
	char comm[16]; /* of a process, or of a payer that lives, else "" */
};
static_assert(sizeof(struct proto_holding) == 96, "wire format");

struct proto_holder {
	uint32_t pid;
	uint32_t uid;
	char comm[16];
};
static_assert(sizeof(struct proto_holder) == 24, "wire format");

/* The last request on a connection: what comes after it drops the connection. */
struct proto_trace {
	uint64_t id; /* events of this session alone; 0: of all that the requester may see */
	uint64_t zero;
};
static_assert(sizeof(struct proto_trace) == 16, "wire format");

enum proto_event_kind {
	/* The broker's own doing; pid and comm are the requester's. */
	PROTO_EVENT_GRANT, /* bytes: the limit */
	PROTO_EVENT_REFUSAL, /* what: the reason; session 0; uid: the requester's */
	PROTO_EVENT_SET, /* bytes: the limit */
	PROTO_EVENT_DEVICE, /* one more */
	PROTO_EVENT_ADOPT,
	PROTO_EVENT_CLOSE,
	PROTO_EVENT_REVOKE,
	PROTO_EVENT_ORPHAN, /* its owner has exited, others have its descriptors */
	PROTO_EVENT_NEAR_LIMIT, /* 80% of one */
	PROTO_EVENT_SLIP, /* more is mapped than is allowed, where the gate can be skipped */
	PROTO_EVENT_END, /* the session is no more */
	/* What a thread had the kernel do; error: the errno it got. */
	PROTO_EVENT_OPEN, /* a context, by whoever; session 0 */
	PROTO_EVENT_MAP,
	PROTO_EVENT_COPY,
	PROTO_EVENT_UNMAP, /* bytes: that are gone */
	PROTO_EVENT_CHARGE, /* pinned bytes, to whom the kernel charges */
	PROTO_EVENT_UNCHARGE,
	PROTO_EVENT_BIND, /* what: the device, as the next */
	PROTO_EVENT_ATTACH,
	PROTO_EVENT_RELEASE, /* the context, with all that was mapped through it */
	/* The gate's doing, in a thread of the session or in a timer (pid 0). */
	PROTO_EVENT_DENY, /* what: the limit that is reached, or another reason */
	PROTO_EVENT_RECOUNT, /* mappings: that were found */
	PROTO_EVENT_POISON, /* more was found than was let in */
	PROTO_EVENT_KILL, /* SIGKILL, also by revoke */
	/* Of the cgroup that a session is mirrored into; bytes: what it has in memory. */
	PROTO_EVENT_MEMORY_MAX, /* it is at memory.max; what: how often since the last one */
	PROTO_EVENT_OOM_KILL, /* processes were killed for want of memory; what: how many */
	PROTO_EVENT_PRESSURE, /* it stalls for want of memory */
	PROTO_EVENT_MIRROR, /* limits were written; what: the file; bytes: the value */
	/* Of a device's migration; what: the device. */
	PROTO_EVENT_MIGRATE, /* bytes: enum proto_migration_state it leaves; mappings: it goes to */
	PROTO_EVENT_DISORDER, /* another was stopped while this one runs; bytes: its state, as far
				 as it is known */
	PROTO_EVENT_KINDS,
};
static_assert(PROTO_EVENT_KINDS < 64,
	      "proto_status.trace_missing has a bit for each, and is known");

/* Of a device; the kernel's numbers (enum vfio_device_mig_state in linux/vfio.h). */
enum proto_migration_state {
	PROTO_MIGRATION_ERROR,
	PROTO_MIGRATION_STOP,
	PROTO_MIGRATION_RUNNING,
	PROTO_MIGRATION_STOP_COPY,
	PROTO_MIGRATION_RESUMING,
	PROTO_MIGRATION_RUNNING_P2P,
	PROTO_MIGRATION_PRE_COPY,
	PROTO_MIGRATION_PRE_COPY_P2P,
	PROTO_MIGRATION_STATES,
};

/* From here on there are events. */
struct proto_traced {
	uint64_t kinds; /* 1 << enum proto_event_kind: those that can come; others the host has not
			 */
	uint64_t zero;
};
static_assert(sizeof(struct proto_traced) == 16, "wire format");

/* Followed by n of struct proto_event, in the order of their making. */
struct proto_events {
	uint32_t n; /* may be 0: then events were lost */
	uint32_t zero;
	/* Events that did not arrive, since the packet before. */
	uint64_t slow; /* because the requester did not read fast enough */
	uint64_t full; /* because the broker did not, of whatever sessions */
	uint64_t skipped; /* because the kernel did not tell, likewise */
};
static_assert(sizeof(struct proto_events) == 32, "wire format");

struct proto_event {
	uint64_t id; /* of the session; 0: of none */
	uint64_t ns; /* CLOCK_REALTIME, when it was over */
	uint64_t took_ns; /* this and the next two: PROTO_UNKNOWN */
	uint64_t bytes;
	uint64_t mappings;
	uint32_t kind; /* enum proto_event_kind */
	uint32_t error; /* errno; 0: none */
	uint32_t uid; /* of the session; UINT32_MAX: not known */
	uint32_t pid; /* 0: not known, or nobody's doing */
	char comm[16];
	char name[72]; /* of the session; "" */
	char what[40]; /* "" */
};
static_assert(sizeof(struct proto_event) == 184, "wire format");

/* A page of what is mirrored into cgroups, of sessions in the order they were made. */
struct proto_mirror_ask {
	uint64_t after; /* the last id of the page before; 0: from the first */
	uint64_t zero;
};
static_assert(sizeof(struct proto_mirror_ask) == 16, "wire format");

struct proto_mirrors {
	uint32_t n; /* records that follow: sessions that nothing is mirrored of have none */
	uint32_t more; /* 1: ask again, after the last of these */
};
static_assert(sizeof(struct proto_mirrors) == 8, "wire format");

enum proto_mirror_mode {
	PROTO_MIRROR_OFF,
	PROTO_MIRROR_PROTECT,
	PROTO_MIRROR_CAP,
	PROTO_MIRROR_BOTH,
	PROTO_MIRROR_TRACK,
	PROTO_MIRROR_MODES,
};

/* Who writes. */
enum proto_mirror_by {
	PROTO_MIRROR_BY_NOBODY, /* see reason */
	PROTO_MIRROR_BY_BROKER,
	PROTO_MIRROR_BY_SYSTEMD, /* huge pages by the broker all the same */
	PROTO_MIRROR_BYS,
};

#define PROTO_HUGE_MAX 4

/* Of one limit of a cgroup, in bytes. */
struct proto_mirrored {
	uint64_t wanted; /* PROTO_UNKNOWN: nothing */
	uint64_t now; /* PROTO_UNLIMITED: "max" */
};

/*
 * Of one session's target, which others may share: the figures are of all of them. Followed by
 * path_len bytes (no NUL).
 */
struct proto_mirror {
	uint64_t id; /* of the session */
	struct proto_mirrored min; /* memory.min */
	struct proto_mirrored max; /* memory.max */
	struct proto_mirrored huge[PROTO_HUGE_MAX]; /* hugetlb.SIZE.max, by huge_size */
	uint64_t huge_size[PROTO_HUGE_MAX]; /* bytes, ascending; 0: there are no more */
	uint64_t oom_kills; /* in it; PROTO_UNKNOWN */
	uint64_t written; /* how often a limit of it was */
	uint32_t mode; /* enum proto_mirror_mode */
	uint32_t by; /* enum proto_mirror_by */
	uint32_t known; /* 1: now is known: it was read */
	uint32_t n_sessions; /* whose target it is */
	uint32_t path_len; /* 0: there is none yet */
	uint32_t zero;
	char reason[168]; /* why nothing, or not everything, is written; "": all is; one line */
};
static_assert(sizeof(struct proto_mirror) == 8 + 6 * 16 + 32 + 16 + 24 + 168, "wire format");

/* Its owner goes into a cgroup of the session's own, by its own request. */
struct proto_place {
	uint64_t id;
	uint64_t zero;
	char name[72]; /* proto_cgroup_valid() */
};
static_assert(sizeof(struct proto_place) == 88, "wire format");

/* It is there. */
struct proto_placed {
	uint64_t id;
	char path[4096]; /* of the cgroup */
};
static_assert(sizeof(struct proto_placed) == 4104, "wire format");

/**
 * proto_body_size() - bytes after the header of a well-formed message
 *
 * A refusal may answer any operation but 0, also one that only the client knows.
 *
 * Return: the size, the least size of an answer with records, or 0 for what version 1 does not
 * have (also what it reserves).
 */
size_t proto_body_size(enum proto_kind kind, unsigned int op);

/**
 * proto_check() - whether a received packet is a message of this version
 * @buf, @len: the packet
 * @kind: what the receiver expects; a request, events, or an answer (then a refusal is fine too)
 * @ret_header: copied out; with -EOPNOTSUPP too, so that the sender can be told
 *
 * Checks version, kind, size and that the body has exactly the size of its operation (at least,
 * for answers with records). Does not look into the body: proto_open_valid() and its like do.
 *
 * Return: 0; -EPROTONOSUPPORT for another version; -EOPNOTSUPP for an operation that this end does
 * not have (of any size that the header tells truly); -EPROTO for anything else.
 */
int proto_check(const void *buf, size_t len, enum proto_kind kind, struct proto_header *ret_header);

/* Writes a header for a body of body_len bytes, at most PROTO_MESSAGE_MAX with it. */
struct proto_header proto_header(enum proto_kind kind, unsigned int op, uint64_t serial,
				 size_t body_len);

/* Whether a text field holds a NUL and nothing after it. */
bool proto_text_valid(const char *field, size_t size);

/* Copies text into a field, cut to fit, and fills the rest with NUL. */
void proto_text_set(char *field, size_t size, const char *text);

/* As proto_text_set(), for people: control characters, which somebody may have sent, become '?'. */
void proto_line_set(char *field, size_t size, const char *text);

/* Whether a session may be called that: 1-64 of PROTO_NAME_CHARS. */
bool proto_name_valid(const char *name);

/* Whether a session's cgroup may be: the same, but for "..", and what the kernel has there. */
bool proto_cgroup_valid(const char *name);

/*
 * Whether every field of a request is within its rules. The form of a device's name is not looked
 * at, only that there is one: device_name() of common/device.h knows it. Of the requests without a
 * function only the field called zero can be wrong.
 */
bool proto_open_valid(const struct proto_open *open);
bool proto_subject_valid(const struct proto_subject *subject);
bool proto_explain_valid(const struct proto_explain *explain);
bool proto_reserve_valid(const struct proto_reserve *reserve);
bool proto_handoff_valid(const struct proto_handoff *handoff);
bool proto_set_valid(const struct proto_set *set);
bool proto_adopt_valid(const struct proto_adopt *adopt);
bool proto_attach_valid(const struct proto_attach *attach);
bool proto_revoke_valid(const struct proto_revoke *revoke);
bool proto_place_valid(const struct proto_place *place);

/* The same for the answers. Flags that are not known are ignored in them. */
bool proto_grant_valid(const struct proto_grant *grant);
bool proto_refusal_valid(const struct proto_refusal *refusal);
bool proto_explanation_valid(const struct proto_explanation *explanation);
bool proto_done_valid(const struct proto_done *done);
bool proto_status_valid(const struct proto_status *status);
bool proto_share_valid(const struct proto_share *share);
bool proto_host_valid(const struct proto_host *host);
bool proto_holder_valid(const struct proto_holder *holder);
bool proto_event_valid(const struct proto_event *event);
bool proto_placed_valid(const struct proto_placed *placed);

/**
 * proto_session_next() - take one record off an answer to list or show
 * @pos: where the next record starts; moved behind it
 * @end: of the packet
 * @ret_cgroup: into the packet, ret_session->cgroup_len bytes; checked to hold no NUL
 * @ret_devices: into the packet, each NUL-terminated
 *
 * Return: 0; -EPROTO when the record does not fit, its text is malformed or its state unknown.
 */
int proto_session_next(const char **pos, const char *end, struct proto_session *ret_session,
		       const char **ret_cgroup, const char (**ret_devices)[40]);

/**
 * proto_holding_next() - take one record off an answer to host
 * @pos: where the next record starts; moved behind it
 * @end: of the packet
 * @ret_holders: into the packet: holding->n_told of struct proto_holder, each valid
 * @ret_cgroup: into the packet: holding->cgroup_len bytes, none of them NUL
 *
 * Return: 0; -EPROTO when the record does not fit, its text is malformed or its kind unknown.
 */
int proto_holding_next(const char **pos, const char *end, struct proto_holding *ret_holding,
		       const char **ret_holders, const char **ret_cgroup);

/**
 * proto_mirror_next() - take one record off an answer to mirror
 * @pos: where the next record starts; moved behind it
 * @end: of the packet
 * @ret_path: into the packet, ret_mirror->path_len bytes; checked to hold no NUL
 *
 * Return: 0; -EPROTO when the record does not fit, its text is malformed or its mode unknown.
 */
int proto_mirror_next(const char **pos, const char *end, struct proto_mirror *ret_mirror,
		      const char **ret_path);

/* "unknown" for a number that this version does not have. */
const char *proto_state_name(uint32_t state);
const char *proto_gate_name(uint32_t gate);
const char *proto_holding_name(uint32_t kind);
const char *proto_event_name(uint32_t kind);
const char *proto_migration_name(uint64_t state);
const char *proto_mirror_mode_name(uint32_t mode);
const char *proto_mirror_by_name(uint32_t by);

#endif
