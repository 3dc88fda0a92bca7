/* SPDX-License-Identifier: MIT */
/*
 * Admission: may this subject have this session now, and with which limits? One pure function
 * serves run, explain, hook and preflight, so that they cannot disagree.
 */
#ifndef ACCOUNTING_ADMISSION_H
#define ACCOUNTING_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounting/policy.h"
#include "common/device.h"

/* In the order in which they are looked for: the first that holds is the answer. */
enum refusal {
	REFUSAL_NONE,
	REFUSAL_RATE_LIMIT,
	REFUSAL_BAD_REQUEST,
	REFUSAL_NO_POLICY,
	REFUSAL_CAPABLE_OWNER,
	REFUSAL_NOT_PERMITTED,
	REFUSAL_DEVICE_NOT_ALLOWED,
	REFUSAL_DEVICE_NOT_FOUND,
	REFUSAL_DEVICE_BUSY,
	REFUSAL_SESSION_LIMIT,
	REFUSAL_TOO_MANY_SESSIONS,
	REFUSAL_USER_LIMIT,
	REFUSAL_HOST_RESERVE,
	REFUSAL_KERNEL,
	REFUSALS,
};

/* "session-limit"; "" for REFUSAL_NONE. */
const char *refusal_name(enum refusal refusal);

/* Whether a device can be kept from reaching others before it is stopped. */
enum admission_p2p {
	ADMISSION_P2P_UNKNOWN, /* nobody has asked it, or nobody has looked */
	ADMISSION_P2P_NO,
	ADMISSION_P2P_YES,
};

struct admission_device {
	const struct device *device; /* borrowed */
	uint64_t busy_id; /* session that holds it or a member of its group; 0: none */
	bool busy_hidden; /* that session is none of the requester's business */
	const char *busy_peer; /* the group member it holds, when it is another device; borrowed */
	enum admission_p2p p2p; /* looked at where admission_wants_p2p() */
};

struct admission_request {
	struct policy_subject subject;
	const struct policy *policy; /* policy_match() of the subject; NULL: none matches */
	uint64_t memory; /* bytes; 0: not given */
	bool viommu;
	enum policy_accounting accounting; /* NONE: as the policy says */
	const struct admission_device *devices;
	size_t n_devices;
	/* Who opens them binds them first: on which drivers they and their groups are is its
	 * affair. */
	bool unbound;
	bool capable; /* the owner has CAP_IPC_LOCK in the initial user namespace */
};

/* Sums as they stand without the request: of granted limits, not of usage. */
struct admission_sums {
	uint64_t user; /* bytes, all sessions of the uid */
	uint64_t host; /* bytes, all sessions */
	uint64_t others; /* bytes pinned by contexts that are no sessions, as far as is known */
	uint64_t n_sessions; /* of the uid under the policy that matches */
	uint64_t mem_total; /* bytes; MemTotal */
	bool gate_exact; /* the kernel keeps limits exactly (require-gate) */
};

/* The sums depend on the policy that matches: asked for once it is known. */
typedef void (*admission_sums_fn)(uid_t uid, const struct policy *policy,
				  struct admission_sums *ret_sums, void *arg);

/* A decision with every number it came from. Bytes unless said otherwise. */
struct admission {
	enum refusal refusal;
	char text[608]; /* of a refusal: one sentence with the policy's name and the numbers */
	char warning[512]; /* of a grant; "": none */
	const struct policy *policy; /* NULL: none matches, and nothing below is set */
	enum policy_accounting accounting; /* TASK or USER */
	uint64_t limit; /* of the session */
	uint64_t auto_limit; /* POLICY_UNLIMITED: no memory was given */
	unsigned int factor; /* times that guest RAM is mapped */
	uint64_t memory;
	uint64_t user_limit; /* POLICY_UNLIMITED */
	uint64_t host_limit; /* MemTotal - host-reserve; POLICY_UNLIMITED: not checked */
	uint64_t max_mappings; /* number; POLICY_UNLIMITED */
	struct admission_sums sums;
};

/**
 * admission_decide() - the answer to a request
 * @sums_of: called at most once, with the policy that matches
 *
 * rate-limit, bad-request by form and peer, and kernel (beyond require-gate) are found by the
 * caller, who has the means: before and after this call, in the order of enum refusal.
 * ret_admission->policy is the request's, of @set.
 */
void admission_decide(const struct policy_set *set, const struct admission_request *request,
		      admission_sums_fn sums_of, void *arg, struct admission *ret_admission);

/* Whether it matters of so many devices of a session that each has RUNNING_P2P (multi-device). */
bool admission_wants_p2p(const struct policy *policy, size_t n_devices);

/* MemTotal without the reserve; POLICY_UNLIMITED: not checked. */
uint64_t admission_host_limit(const struct policy_set *set, uint64_t mem_total);

/* A change to a live session. */
struct admission_change {
	const struct policy *policy; /* by the session's word for it; NULL: it is gone */
	const char *policy_name;
	uid_t uid; /* of the session */
	const struct admission_device *others; /* that it has, for admission_attach() */
	size_t n_others;
	enum refusal refusal; /* the answer */
	char text[608]; /* of a refusal */
};

/**
 * admission_raise() - may a session have a higher limit?
 * @sums: as they stand with the session's present limit
 * @from, @to: bytes, to is the larger
 *
 * By user-limit and host-reserve; the policy's own limit per session is for those who ask, not
 * for who administers them.
 */
void admission_raise(const struct policy_set *set, const struct admission_sums *sums, uint64_t from,
		     uint64_t to, struct admission_change *change);

/**
 * admission_attach() - may a session have one more device?
 * @device: busy_id only of another session, or when this one has that very device
 */
void admission_attach(const struct policy_set *set, const struct admission_device *device,
		      struct admission_change *change);

#endif
