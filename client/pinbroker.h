/* SPDX-License-Identifier: MIT */
/*
 * libpinbroker: ask the broker for an iommufd and VFIO devices, and look at sessions.
 *
 * No globals, no threads, no output. Calls block until the broker answers. Functions return 0 or a
 * negative errno value; -EACCES means that the broker refused: pinbroker_refusal() says why.
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

/* For whom explain decides; uid (uid_t)-1 and cgroup NULL: for the caller. */
struct pinbroker_subject {
	uid_t uid;
	const gid_t *gids; /* with uid */
	size_t n_gids;
	const char *cgroup;
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
};

/**
 * pinbroker_connect() - connect to the broker
 * @path: of its socket; NULL: /run/pinbroker/socket
 * @ret_broker: free with pinbroker_free()
 *
 * Return: 0; -ENOENT, -ECONNREFUSED: no broker; -ENAMETOOLONG; -ENOMEM; -errno of socket(2),
 * connect(2).
 */
int pinbroker_connect(const char *path, struct pinbroker **ret_broker);

/* Closes the connection; sessions live on. NULL is fine. */
void pinbroker_free(struct pinbroker *broker);

/* The connection's descriptor, borrowed, for poll(2). */
int pinbroker_fd(const struct pinbroker *broker);

/**
 * pinbroker_open() - open a session that lives with the calling process
 * @ret_grant: filled on success; close its descriptors when done
 *
 * The broker also sets RLIMIT_MEMLOCK of the calling process.
 *
 * Return: 0; -EACCES refused; -EINVAL for a request that cannot be sent; -ECONNRESET the broker
 * went away or dropped the connection; -EPROTO an answer that makes no sense: the connection is of
 * no use after it.
 */
int pinbroker_open(struct pinbroker *broker, const struct pinbroker_request *request,
		   struct pinbroker_grant *ret_grant);

/* Closes what is left of a grant's descriptors; those that the caller set to -1 are its own. */
void pinbroker_grant_close(struct pinbroker_grant *grant);

/*
 * Called once per session; a value other than 0 ends the walk and is returned. What session points
 * to is gone afterwards. A call on the same connection from in here is -EBUSY.
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

/**
 * pinbroker_explain() - what the broker would say now, and why
 *
 * Return: 0, also when the request would be refused (ret_explanation->granted); -errno as
 * pinbroker_open(): -EACCES when the caller may not ask for that subject.
 */
int pinbroker_explain(struct pinbroker *broker, const struct pinbroker_subject *subject,
		      const struct pinbroker_request *request,
		      struct pinbroker_explanation *ret_explanation);

/* Why the last call on this connection returned -EACCES; valid until the next call. */
const struct pinbroker_refusal *pinbroker_refusal(const struct pinbroker *broker);

#ifdef __cplusplus
}
#endif

#endif
