/* SPDX-License-Identifier: MIT */
/*
 * libpinbroker: ask the broker for an iommufd and VFIO devices, and look at sessions.
 *
 * No globals, no threads, no output. Calls block until the broker answers, unless
 * pinbroker_set_nonblocking() says otherwise. Functions return 0 or a negative errno value; -EACCES
 * means that the broker refused: pinbroker_refusal() says why.
 * A connection belongs to the process and credentials that made it: after fork() or a change of
 * uid make a new one.
 */
#ifndef PINBROKER_H
#define PINBROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PINBROKER_DEVICES_MAX 16
#define PINBROKER_NO_UID ((uid_t)-1) /* not given */
#define PINBROKER_UNKNOWN UINT64_MAX /* of a figure */
#define PINBROKER_UNLIMITED UINT64_MAX /* of a limit */

struct pinbroker;

enum pinbroker_accounting {
	PINBROKER_ACCOUNTING_POLICY, /* in a request: as the policy says */
	PINBROKER_ACCOUNTING_TASK, /* IOMMU_OPTION_RLIMIT_MODE 1 */
	PINBROKER_ACCOUNTING_USER, /* IOMMU_OPTION_RLIMIT_MODE 0 */
};

/* What a session is asked for. Zero everything that is not used. */
struct pinbroker_request {
	const char *name; /* 1-64 of [A-Za-z0-9._:@-]; NULL: the broker names it */
	uint64_t memory; /* bytes of guest RAM; 0: not given */
	bool viommu; /* the guest has a vIOMMU: an address space per device */
	enum pinbroker_accounting accounting;
	const char *const *devices; /* PCI addresses or mdev UUIDs */
	size_t n_devices; /* at most PINBROKER_DEVICES_MAX */
	/* The caller calls exec next: what it has locked now is not added to its RLIMIT_MEMLOCK. */
	bool exec;
};

/* What was granted. The descriptors are the caller's and close-on-exec. */
struct pinbroker_grant {
	uint64_t id; /* as text: %llx */
	uint64_t limit; /* bytes */
	uint64_t max_mappings; /* PINBROKER_UNLIMITED */
	enum pinbroker_accounting accounting;
	int iommufd;
	int devices[PINBROKER_DEVICES_MAX]; /* in the order of the request */
	size_t n_devices;
	char name[72];
	char policy[72];
	char warning[512]; /* "": none */
};

/* Why the broker said no. */
struct pinbroker_refusal {
	int status; /* exit status a command ends with: 66 no such session, 70, 77 refused */
	char reason[24]; /* "session-limit"; "" unless status is 77 */
	char text[608]; /* one line, may hold bytes to escape */
};

struct pinbroker_session {
	uint64_t id;
	uint64_t limit; /* bytes, as all sizes */
	uint64_t pinned; /* PINBROKER_UNKNOWN, as the next five */
	uint64_t pinned_peak;
	uint64_t mapped;
	uint64_t mappings;
	uint64_t denied;
	uint64_t max_mappings; /* PINBROKER_UNLIMITED */
	uid_t uid;
	pid_t pid; /* of the owner, in the broker's pid namespace */
	enum pinbroker_accounting accounting;
	bool exact; /* false: pinned is the owner's VmPin */
	const char *state; /* "active"; static */
	const char *cgroup; /* NULL: not known */
	const char *const *devices;
	size_t n_devices;
	char name[72];
	char policy[72];
};

#define PINBROKER_HUGE_MAX 4
#define PINBROKER_PATH_MAX 4096

/* One limit of a cgroup, in bytes. */
struct pinbroker_mirrored {
	uint64_t wanted; /* PINBROKER_UNKNOWN: none is */
	uint64_t now; /* PINBROKER_UNLIMITED: "max"; means nothing where it is not known */
};

/* Of one size of huge pages. */
struct pinbroker_huge {
	uint64_t size; /* bytes */
	struct pinbroker_mirrored max; /* hugetlb.SIZE.max */
};

/*
 * What is mirrored of a session, see pinbroker-cgroup(7). Sessions may share a cgroup: the figures
 * of each are of all of them then.
 */
struct pinbroker_mirror {
	uint64_t id; /* of the session */
	const char *mode; /* "protect", "cap", "both", "track"; static */
	const char *by; /* who writes: "nobody", "broker", "systemd"; static */
	const char *cgroup; /* NULL: none is known */
	bool known; /* what is there now was read */
	bool drift; /* and is not everywhere what is wanted */
	struct pinbroker_mirrored min; /* memory.min */
	struct pinbroker_mirrored max; /* memory.max */
	struct pinbroker_huge huge[PINBROKER_HUGE_MAX]; /* by size */
	size_t n_huge;
	uint64_t oom_kills; /* processes, in that cgroup; PINBROKER_UNKNOWN */
	uint64_t n_writes; /* how often a limit of it was written */
	size_t n_sessions; /* whose cgroup it is */
	char reason[168]; /* why not everything is written, may hold bytes to escape; "": it is */
};

/* For whom; what is not given is the caller's, or with pidfd that process's. */
struct pinbroker_subject {
	uid_t uid; /* PINBROKER_NO_UID */
	const gid_t *gids; /* with uid; at most 64 */
	size_t n_gids;
	const char *cgroup; /* "/a/b"; NULL: not given */
	const char *domain; /* a virtual machine's name, at most 255 bytes; NULL: not given */
	int pidfd; /* borrowed; -1: not given */
};

/* Nothing given: where a subject begins, since 0 is a user and a descriptor. */
#define PINBROKER_SUBJECT_INIT                            \
	{                                                 \
		PINBROKER_NO_UID, NULL, 0, NULL, NULL, -1 \
	}

/* Which limits are given. */
#define PINBROKER_SET_LIMIT 1U
#define PINBROKER_SET_MAX_MAPPINGS 2U
#define PINBROKER_SET_MAX_OBJECTS 4U
#define PINBROKER_SET_MIGRATION_BUFFERS 8U

/* New limits of a session; those whose bit is not in keys stay as they are. */
struct pinbroker_limits {
	unsigned int keys; /* PINBROKER_SET_*, at least one */
	uint64_t limit; /* bytes; not PINBROKER_UNLIMITED */
	uint64_t max_mappings; /* number; this and the next two: PINBROKER_UNLIMITED */
	uint64_t max_objects; /* number */
	uint64_t migration_buffers; /* bytes per device */
};

#define PINBROKER_REVOKE_KILL 1U /* SIGKILL for the owner and other holders */

#define PINBROKER_TRACE_KINDS_MAX 64

/* How the broker is. */
struct pinbroker_status {
	uint64_t mem_total; /* bytes */
	uint64_t host_limit; /* bytes: MemTotal - host-reserve; PINBROKER_UNLIMITED: off */
	uint64_t host_sum; /* bytes, granted to all sessions */
	uint64_t n_sessions; /* of all users */
	uint64_t lost_events; /* PINBROKER_UNKNOWN, as the next */
	uint64_t recursion_misses;
	pid_t pid; /* of the broker, in its own pid namespace */
	const char *gate; /* how the kernel keeps limits: "none" ... "exact"; static */
	char version[32];
	char kernel[72]; /* uname -r */
	char loop[24]; /* "io_uring", "epoll" */
	char gate_reason[256]; /* why the gate is not exact, one line; "": it is */
	bool traced; /* trace tells what the kernel does, not only what the broker does */
	size_t n_trace_missing; /* kinds of events that it cannot tell: none, unless traced */
	const char *trace_missing[PINBROKER_TRACE_KINDS_MAX]; /* static; as in pinbroker_event */
};

/* What the sessions of one uid under one policy have of the sums. */
struct pinbroker_share {
	uid_t uid;
	bool known; /* the policy is still there; else the limits mean nothing */
	uint64_t n_sessions; /* of the uid under the policy */
	uint64_t max_sessions;
	uint64_t sum; /* bytes: limits of all sessions of the uid */
	uint64_t user_mode_sum; /* bytes: of those in user mode */
	uint64_t user_limit; /* bytes, of the policy; PINBROKER_UNLIMITED */
	char policy[72];
};

/* What is pinned on the whole host. */
struct pinbroker_host {
	/* Bytes of pins in the kernel's count, nr_foll_pin_acquired less nr_foll_pin_released of
	   /proc/vmstat: a page that is pinned twice counts twice. PINBROKER_UNKNOWN, as the next.
	 */
	uint64_t held;
	uint64_t explained; /* bytes of those that what is listed accounts for; may be more */
	bool kernel; /* false: processes alone are listed, from /proc */
};

enum pinbroker_holding_kind {
	PINBROKER_HOLDING_CONTEXT, /* of iommufd: mapped, pinned, mappings */
	PINBROKER_HOLDING_CONTAINER, /* of VFIO's type1: the same */
	PINBROKER_HOLDING_PROCESS, /* pinned (VmPin), locked (VmLck) */
	/*
	 * locked: what RLIMIT_MEMLOCK of its processes is held against; mapped, pinned, mappings:
	 * through contexts.
	 */
	PINBROKER_HOLDING_USER,
	/*
	 * Of the context before: whom the kernel charges for it. mapped, pinned, mappings; the
	 * process may have exited, comm is "" then; pid 0: several.
	 */
	PINBROKER_HOLDING_PAYER,
	PINBROKER_HOLDING_CGROUP, /* what payers in it have: mapped, pinned, mappings */
};

/* A process that has a context or a container open. */
struct pinbroker_holder {
	pid_t pid; /* in the broker's pid namespace */
	uid_t uid; /* the real one */
	char comm[16]; /* may hold bytes to escape */
};

/* Somebody or something that has memory pinned or locked. */
struct pinbroker_holding {
	enum pinbroker_holding_kind kind;
	const char *kind_name; /* "context", "container", "process", …; static */
	uint64_t session; /* of a context; 0: nobody here handed it out */
	uint64_t mapped; /* bytes, as all sizes; PINBROKER_UNKNOWN, as the next three */
	uint64_t pinned;
	uint64_t mappings;
	uint64_t locked;
	/* Of a context or payer; POLICY: does not apply, or whoever mapped it was privileged. */
	enum pinbroker_accounting accounting;
	bool exact; /* of a session: nothing changed while it was read */
	uid_t uid; /* of a process, user or payer */
	pid_t pid; /* of a process or payer */
	char comm[16]; /* likewise; may hold bytes to escape */
	const struct pinbroker_holder *holders; /* of a context or container, by pid */
	size_t n_holders; /* in holders: 256 at most */
	size_t n_holders_all;
	/*
	 * Of a cgroup or payer: the number of its inode in the v2 hierarchy; 0: several. Of a payer
	 * that has exited where it was then.
	 */
	uint64_t cgroup_id;
	const char *cgroup; /* of a cgroup: "/a/b"; NULL: not known; may hold bytes to escape */
};

/* The decision with every number it came from; bytes unless said otherwise. */
struct pinbroker_explanation {
	bool granted;
	char reason[24];
	char text[608]; /* the sentence of a refusal */
	char warning[512];
	char policy[72]; /* "": none matches; nothing below is set then */
	enum pinbroker_accounting accounting;
	uint64_t limit; /* of the session */
	bool limit_auto; /* the policy says "auto" */
	uint64_t policy_limit; /* PINBROKER_UNLIMITED with limit_auto */
	uint64_t auto_limit; /* factor × memory + 1 GiB; PINBROKER_UNKNOWN without memory */
	unsigned int factor;
	uint64_t memory; /* 0: not given */
	uint64_t user_limit; /* PINBROKER_UNLIMITED */
	uint64_t user_sum; /* of the uid's other sessions */
	uint64_t host_limit; /* MemTotal - host-reserve; PINBROKER_UNLIMITED: off */
	uint64_t host_sum;
	uint64_t max_mappings; /* number */
	bool mappings_auto;
	uint64_t max_objects; /* number */
	uint64_t max_sessions; /* number */
	uint64_t n_sessions; /* number, of this uid and policy */
	uint64_t extra_memlock;
	uint64_t headroom;
	uint64_t migration_buffers; /* PINBROKER_UNLIMITED */
	bool require_reset;
	bool multi_p2p; /* several devices must all have RUNNING_P2P */
};

/* Something that happened. */
struct pinbroker_event {
	const char *kind; /* "map": see pinbroker(1); static */
	uint64_t id; /* of the session; 0: of none */
	uint64_t ns; /* CLOCK_REALTIME, when it was over */
	uint64_t took_ns; /* PINBROKER_UNKNOWN, as the next two */
	uint64_t bytes;
	uint64_t mappings;
	int error; /* errno; 0: none */
	uid_t uid; /* of the session; PINBROKER_NO_UID: not known */
	pid_t pid; /* 0: not known, or nobody's doing */
	char comm[16]; /* this and the next two may be "", and hold bytes to escape */
	char name[72]; /* of the session */
	char what[40]; /* of a device, a limit, a reason */
	const char *from; /* a device's state, "RUNNING"; "": not known, or none; static */
	const char *to; /* that it goes to; "" likewise */
};

/* How many events did not arrive. */
struct pinbroker_lost {
	uint64_t slow; /* because the caller did not take them fast enough */
	uint64_t full; /* because the broker did not, of whatever sessions */
	uint64_t skipped; /* because the kernel did not tell, likewise */
};

/**
 * pinbroker_connect() - connect to the broker
 * @path: of its socket; NULL: /run/pinbroker/socket
 * @ret_broker: free with pinbroker_free()
 *
 * The broker closes a connection that makes no request within 10 seconds; after the first one it
 * may stay idle for as long as it likes.
 *
 * Return: 0; -ENOENT, -ECONNREFUSED: no broker; -ENAMETOOLONG; -ENOMEM; -errno of socket(2),
 * connect(2).
 */
int pinbroker_connect(const char *path, struct pinbroker **ret_broker);

/* Closes the connection; sessions live on. NULL is fine. */
void pinbroker_free(struct pinbroker *broker);

/* The connection's descriptor, borrowed, for poll(2) with pinbroker_events(). */
int pinbroker_fd(const struct pinbroker *broker);

/**
 * pinbroker_set_nonblocking() - for programs with a loop of their own
 *
 * A call that would wait returns -EAGAIN from then on. It is to be called again with the same
 * arguments when pinbroker_fd() is ready for pinbroker_events(), and goes on where it was: nothing
 * is asked for twice, and a callback is not called again for what it has been shown. Any other call
 * in between is -EBUSY; pinbroker_cancel() gives up. Only pinbroker_connect() may still wait, while
 * the broker has more connections to accept than its queue holds.
 *
 * Return: 0; -errno of fcntl(2).
 */
int pinbroker_set_nonblocking(struct pinbroker *broker, bool nonblocking);

/* What to wait for before the next call: POLLIN, POLLOUT, both; 0: nothing is under way. */
short pinbroker_events(const struct pinbroker *broker);

/**
 * pinbroker_cancel() - give up a call that returned -EAGAIN
 *
 * What was asked may be done nevertheless, a session be opened, say: pinbroker_list() shows it.
 * The answer, when it comes, is thrown away and its descriptors are closed: by the next call, of
 * whatever kind, or by calling this again when pinbroker_events() are there. Never waits.
 *
 * Return: 0: nothing is to come; -EAGAIN: an answer is; -EBUSY in a callback; -errno as
 * pinbroker_open().
 */
int pinbroker_cancel(struct pinbroker *broker);

/**
 * pinbroker_open() - open a session that lives with the calling process
 * @ret_grant: filled on success; close its descriptors when done
 *
 * The broker also sets RLIMIT_MEMLOCK of the calling process.
 *
 * Return: 0; -EACCES refused; -EINVAL for a request that cannot be sent; -EAGAIN, -EBUSY: see
 * pinbroker_set_nonblocking(); -ECONNRESET the broker went away or dropped the connection; -EMFILE
 * this process has no room for the descriptors, the session was opened all the same; -EPROTO an
 * answer that makes no sense: the connection is of no use after it; -errno of sendmsg(2),
 * recvmsg(2).
 */
int pinbroker_open(struct pinbroker *broker, const struct pinbroker_request *request,
		   struct pinbroker_grant *ret_grant);

/**
 * pinbroker_open_for() - open a session for another subject
 * @subject: at least one thing given; for root and the admins of the policy that matches it
 * @ret_grant: as for pinbroker_open(): the descriptors come to the caller
 *
 * With a pidfd that process is the subject, but for what else is given, and the session lives with
 * it. Without, the session lives with the calling process until pinbroker_adopt(). The broker sets
 * RLIMIT_MEMLOCK of the process that the session lives with.
 *
 * Return: as pinbroker_open(); -EBADF, -EINVAL: pidfd is none; -ESRCH: it has exited.
 */
int pinbroker_open_for(struct pinbroker *broker, const struct pinbroker_subject *subject,
		       const struct pinbroker_request *request, struct pinbroker_grant *ret_grant);

/**
 * pinbroker_reserve() - a session for an iommufd that somebody else opens
 * @subject: at least one thing given, and no pidfd; as for pinbroker_open_for()
 * @request: at least one device, and not exec; they need not be on VFIO drivers yet
 * @wait_ms: 1 to 3,600,000: the session ends if it was not used by then
 * @ret_grant: without descriptors: all are -1
 *
 * The first process that binds one of the devices brings its iommufd into the session, and the
 * limits hold for that from there on. pinbroker_adopt() makes it the owner; pinbroker_close() gives
 * up what nobody came for.
 *
 * Return: as pinbroker_open().
 */
int pinbroker_reserve(struct pinbroker *broker, const struct pinbroker_subject *subject,
		      const struct pinbroker_request *request, unsigned int wait_ms,
		      struct pinbroker_grant *ret_grant);

/**
 * pinbroker_handoff() - a session for who connects to a socket
 * @subject: a user and a cgroup, and no pidfd; as for pinbroker_open_for()
 * @request: not exec; the devices need not be on VFIO drivers yet
 * @wait_ms: 1 to 3,600,000: the session ends if nobody has come by then
 * @ret_grant: without descriptors: all are -1
 *
 * For root. The first process of the user in the cgroup, or below it, that connects to the socket
 * that pinbroker_pass() brings reads one byte with the iommufd, and answers with one byte. The
 * session lives with it.
 *
 * Return: as pinbroker_open().
 */
int pinbroker_handoff(struct pinbroker *broker, const struct pinbroker_subject *subject,
		      const struct pinbroker_request *request, unsigned int wait_ms,
		      struct pinbroker_grant *ret_grant);

/**
 * pinbroker_pass() - the socket for a session of pinbroker_handoff(), and wait until it is over
 * @id: of the session
 * @listen_fd: a unix stream socket that listens; the broker has one of its own, made not to block,
 *             and shuts it down when somebody has come
 *
 * The broker goes on without the caller. One that was restarted is passed the socket again, after
 * any other question: who has just connected cannot pass one (-EPERM).
 *
 * Return: 0: somebody has it, and said so; -EACCES with status 66: the session has ended, or was
 * revoked as who came did not answer; -ECONNRESET: the broker is gone; as pinbroker_open().
 */
int pinbroker_pass(struct pinbroker *broker, uint64_t id, int listen_fd);

/* Closes what is left of a grant's descriptors; those that the caller set to -1 are its own. */
void pinbroker_grant_close(struct pinbroker_grant *grant);

/*
 * Called once per session; a value other than 0 ends the walk and is returned (-EAGAIN would be
 * mistaken for pinbroker_set_nonblocking()'s). What session points to is gone afterwards. A call on
 * the same connection from in here is -EBUSY.
 */
typedef int (*pinbroker_session_fn)(const struct pinbroker_session *session, void *arg);

/**
 * pinbroker_list() - every session the caller may see, in the order they were made
 *
 * An ordinary user sees its own, root sees all. A session that begins or ends meanwhile may be
 * missing or listed.
 *
 * Return: 0; what fn returned; -errno as pinbroker_open().
 */
int pinbroker_list(struct pinbroker *broker, pinbroker_session_fn fn, void *arg);

/**
 * pinbroker_show() - one session
 * @id: as in struct pinbroker_session
 *
 * Return: what fn returned; -EACCES with status 66: no such session that the caller may see; -errno
 * as pinbroker_open().
 */
int pinbroker_show(struct pinbroker *broker, uint64_t id, pinbroker_session_fn fn, void *arg);

/* As pinbroker_session_fn, once per session that anything is mirrored of. */
typedef int (*pinbroker_mirror_fn)(const struct pinbroker_mirror *mirror, void *arg);

/**
 * pinbroker_mirrors() - what is mirrored into cgroups, in the order of pinbroker_list()
 *
 * Of the sessions that the caller may see; those that nothing is mirrored of are left out.
 *
 * Return: 0; what fn returned; -EACCES, reason "bad-request": the broker is too old to mirror;
 * -errno as pinbroker_open().
 */
int pinbroker_mirrors(struct pinbroker *broker, pinbroker_mirror_fn fn, void *arg);

/**
 * pinbroker_place() - go into a cgroup of the session's own
 * @name: of the cgroup; 1-64 of [A-Za-z0-9._:@-], not beginning with a dot or "cgroup."
 * @ret_path: of the cgroup, as in struct pinbroker_mirror; NULL: not wanted
 *
 * For the process that the session lives with. The broker makes the cgroup below the policy's
 * cgroup-parent, puts the caller into it with all its threads, and removes it when the session has
 * ended.
 *
 * Return: 0: the caller is in it; -EINVAL for a name that cannot be sent; -EACCES with status 66:
 * no such session that the caller may see; -errno as pinbroker_open().
 */
int pinbroker_place(struct pinbroker *broker, uint64_t id, const char *name,
		    char ret_path[PINBROKER_PATH_MAX]);

/**
 * pinbroker_set() - change the limits of a live session
 * @id: as in struct pinbroker_session, like every id
 *
 * The session's own user may only lower them, root and the policy's admins set any that the sums
 * leave room for. A limit below what is pinned is fine: nothing new maps then.
 *
 * Return: 0, pinbroker_state() says what the session is in; -EINVAL for limits that cannot be sent;
 * -EACCES with status 66: no such session that the caller may see; -errno as pinbroker_open().
 */
int pinbroker_set(struct pinbroker *broker, uint64_t id, const struct pinbroker_limits *limits);

/**
 * pinbroker_attach() - one more device for a live session
 * @device: PCI address or mdev UUID; admitted by the policy as those of pinbroker_open()
 * @ret_fd: the caller's, close-on-exec
 *
 * For the session's own user, root and the policy's admins. The session keeps the device until it
 * ends, also when ret_fd is closed.
 *
 * Return: as pinbroker_set().
 */
int pinbroker_attach(struct pinbroker *broker, uint64_t id, const char *device, int *ret_fd);

/**
 * pinbroker_adopt() - let a session live with another process
 * @pidfd: of that process; borrowed
 *
 * For root and the policy's admins. The process must run as the session's user, without
 * CAP_IPC_LOCK. Its RLIMIT_MEMLOCK is set, that of the owner before it goes back.
 *
 * Return: as pinbroker_set(); -EBADF, -EINVAL: pidfd is none; -ESRCH: it has exited.
 */
int pinbroker_adopt(struct pinbroker *broker, uint64_t id, int pidfd);

/**
 * pinbroker_close() - give a session up
 *
 * For the session's own user, root and the policy's admins. RLIMIT_MEMLOCK of its owner goes back
 * at once; the session is "revoked" and keeps its share and its devices until the owner exits.
 *
 * Return: as pinbroker_set().
 */
int pinbroker_close(struct pinbroker *broker, uint64_t id);

/**
 * pinbroker_revoke() - take a session away from its owner
 * @flags: PINBROKER_REVOKE_*
 *
 * As pinbroker_close(), for root and the policy's admins. What the owner has mapped stays mapped
 * until it exits.
 *
 * Return: as pinbroker_set(); -EINVAL for other flags.
 */
int pinbroker_revoke(struct pinbroker *broker, uint64_t id, unsigned int flags);

/*
 * State of the session that the last call on this connection changed: "revoked", as in struct
 * pinbroker_session; "" if it was none of the five above or failed. Static.
 */
const char *pinbroker_state(const struct pinbroker *broker);

/* As pinbroker_session_fn, once per share. */
typedef int (*pinbroker_share_fn)(const struct pinbroker_share *share, void *arg);

/**
 * pinbroker_status() - how the broker is, and who has what of the sums
 * @ret_status: filled before fn is called for the first time
 * @fn: NULL: the shares are not wanted
 *
 * An ordinary user sees its own shares, root sees all. A share that changes meanwhile may be
 * missing or told twice.
 *
 * Return: 0; what fn returned; -errno as pinbroker_open().
 */
int pinbroker_status(struct pinbroker *broker, struct pinbroker_status *ret_status,
		     pinbroker_share_fn fn, void *arg);

/* As pinbroker_session_fn, once per holding. */
typedef int (*pinbroker_holding_fn)(const struct pinbroker_holding *holding, void *arg);

/**
 * pinbroker_host() - who has what pinned and locked on the whole host, for root
 * @ret_host: filled before fn is called for the first time
 * @fn: NULL: only the sums are wanted
 *
 * Sessions, other contexts, each with its payers, containers, processes, users, in this order. What
 * changes meanwhile may be missing or told twice.
 *
 * Return: 0; what fn returned; -EACCES: the caller is not root; -errno as pinbroker_open().
 */
int pinbroker_host(struct pinbroker *broker, struct pinbroker_host *ret_host,
		   pinbroker_holding_fn fn, void *arg);

/**
 * pinbroker_explain() - what the broker would say now, and why
 *
 * A subject without anything given is the caller.
 *
 * Return: 0, also when the request would be refused (ret_explanation->granted); -errno as
 * pinbroker_open(): -EACCES when the caller may not ask for that subject.
 */
int pinbroker_explain(struct pinbroker *broker, const struct pinbroker_subject *subject,
		      const struct pinbroker_request *request,
		      struct pinbroker_explanation *ret_explanation);

/**
 * pinbroker_trace() - be told what happens from now on
 * @id: of a session; 0: of all that the caller may see
 *
 * The last question on a connection: afterwards only pinbroker_trace_next() and
 * pinbroker_trace_offers() work on it, others are -EBUSY. pinbroker_free() ends it.
 *
 * Return: 0; -EACCES with status 66: no such session that the caller may see; -errno as
 * pinbroker_open().
 */
int pinbroker_trace(struct pinbroker *broker, uint64_t id);

/* Whether events of this kind can come: a broker or a kernel may have none. */
bool pinbroker_trace_offers(const struct pinbroker *broker, const char *kind);

/* As pinbroker_session_fn, once per event. */
typedef int (*pinbroker_event_fn)(const struct pinbroker_event *event, void *arg);

/**
 * pinbroker_trace_next() - wait for events, and take some of them
 * @ret_lost: how many did not arrive, since the call before
 *
 * Who takes too long loses events; the broker does not wait. ret_lost is filled before fn is called
 * for the first time.
 *
 * Return: 0; what fn returned, the rest of these events is lost then; -EAGAIN: there are none, with
 * pinbroker_set_nonblocking(); -EINVAL without pinbroker_trace(); -ECONNRESET, -EPROTO, -errno as
 * pinbroker_open().
 */
int pinbroker_trace_next(struct pinbroker *broker, struct pinbroker_lost *ret_lost,
			 pinbroker_event_fn fn, void *arg);

/* Why the last call on this connection returned -EACCES; valid until the next call. */
const struct pinbroker_refusal *pinbroker_refusal(const struct pinbroker *broker);

#ifdef __cplusplus
}
#endif

#endif
