/* SPDX-License-Identifier: MIT */
/*
 * The policy: bytes of configuration files in, an immutable snapshot or diagnostics out.
 *
 * Pure: opens no file and asks no name service itself (struct policy_env does), so the daemon,
 * `--check`, `explain --config`, the fuzzer and the unit test share it. A snapshot is shared by
 * reference and never changes; a reload makes a new one.
 */
#ifndef ACCOUNTING_POLICY_H
#define ACCOUNTING_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct conffile_set;

#define POLICY_UNLIMITED UINT64_MAX
#define POLICY_NAME_MAX 64

enum policy_accounting {
	POLICY_ACCOUNTING_NONE, /* in a request: what the policy says */
	POLICY_ACCOUNTING_TASK,
	POLICY_ACCOUNTING_USER,
	POLICY_ACCOUNTING_ANY, /* in a policy: the requester chooses, task by default */
};

enum policy_mirror {
	POLICY_MIRROR_OFF,
	POLICY_MIRROR_PROTECT,
	POLICY_MIRROR_CAP,
	POLICY_MIRROR_BOTH,
	POLICY_MIRROR_TRACK,
};

enum policy_unmanaged {
	POLICY_UNMANAGED_ALLOW,
	POLICY_UNMANAGED_DENY,
	POLICY_UNMANAGED_LIMIT,
};

/* What becomes of a session that has more mapped than it may, where the gate can be skipped. */
enum policy_slip {
	POLICY_SLIP_REPORT,
	POLICY_SLIP_KILL,
};

/* What libvirt's hook does where no broker answers it. */
enum policy_fallback {
	POLICY_FALLBACK_REFUSE,
	POLICY_FALLBACK_ALLOW,
};

/* Which devices a session may have together. */
enum policy_multi {
	POLICY_MULTI_ANY,
	POLICY_MULTI_P2P, /* those that are known to have RUNNING_P2P */
};

/* Inclusive. A name that nobody has is resolved to an empty range: it matches nobody. */
struct policy_id_range {
	uint32_t first;
	uint32_t last;
};

struct policy_ids {
	struct policy_id_range *ranges;
	size_t n;
	/* Entries written in the file; 0: the list is empty and matches everybody. */
	size_t n_written;
};

struct policy_patterns {
	char **globs;
	size_t n;
};

/* One `policy "name" { }` block. Bytes unless the name says otherwise. */
struct policy {
	char *name;
	char *file; /* where it stands, for messages */
	unsigned int line;
	struct policy_ids users;
	struct policy_ids groups;
	struct policy_patterns cgroups;
	struct policy_patterns domains;
	struct policy_patterns devices;
	struct policy_ids admins;
	enum policy_accounting accounting; /* never NONE */
	bool limit_auto;
	uint64_t limit; /* per session; 0 with limit_auto */
	uint64_t user_limit; /* POLICY_UNLIMITED: not limited */
	bool max_mappings_auto;
	uint64_t max_mappings; /* POLICY_UNLIMITED: not limited */
	uint64_t max_objects;
	uint64_t max_sessions;
	uint64_t extra_memlock;
	bool require_reset;
	enum policy_multi multi_device;
	bool allow_test_commands; /* of kernels that are built for tests */
	enum policy_mirror mirror;
	char *cgroup_parent; /* "/a/b": cgroups of sessions are made below it; "": none */
	uint64_t headroom;
	uint64_t migration_buffers; /* per device; POLICY_UNLIMITED */
};

/* A snapshot of the whole configuration. */
struct policy_set {
	unsigned int refs;
	bool host_reserve_checked; /* false: host-reserve = "off" */
	uint64_t host_reserve; /* 0 where it is not checked */
	unsigned int max_requests; /* per uid and second; 0: unlimited */
	unsigned int max_connections; /* per uid */
	enum policy_unmanaged unmanaged;
	uint64_t unmanaged_limit; /* bytes, per context; not 0 with LIMIT */
	bool require_gate;
	enum policy_slip slip;
	char *top_cgroup; /* "/a": all machines are below it; "": none */
	enum policy_fallback hook_fallback;
	struct policy *policies; /* in file order */
	size_t n_policies;
};

/* Who is asking, or for whom. Strings are borrowed. */
struct policy_subject {
	uid_t uid;
	const gid_t *gids; /* primary and supplementary */
	size_t n_gids;
	const char *cgroup; /* "/a/b", NULL: not known: matches no cgroup pattern */
	const char *domain; /* NULL: none was named: matches no domain pattern */
};

enum policy_severity {
	POLICY_WARNING,
	POLICY_ERROR,
};

/* What the parser asks of the world; every member is required. */
struct policy_env {
	/* 0 and the id, or -ENOENT when nobody has that name, or another -errno. */
	int (*uid_of)(const char *name, uid_t *ret_uid, void *arg);
	int (*gid_of)(const char *name, gid_t *ret_gid, void *arg);
	/* Called in file order for each finding; line is 0 where none is known. */
	void (*report)(enum policy_severity severity, const char *file, unsigned int line,
		       const char *text, void *arg);
	void *arg;
	uint64_t mem_total; /* bytes, for warnings about sums; 0: not known */
};

/* One file's bytes; the first is the configuration itself, the others its drop-ins. */
struct policy_file {
	const char *name;
	const char *bytes; /* need not end in NUL */
	size_t len;
};

/**
 * policy_parse() - turn configuration files into a snapshot
 * @files: in the order in which their policies are matched
 * @n_files: at least 1
 * @env: name lookups and where findings go
 * @ret_set: the snapshot, with one reference that the caller owns
 *
 * Every error of every file is reported before the call fails, as far as the grammar allows.
 *
 * Return: 0; -EINVAL after at least one POLICY_ERROR was reported; -ENOMEM.
 */
int policy_parse(const struct policy_file *files, size_t n_files, const struct policy_env *env,
		 struct policy_set **ret_set);

/**
 * policy_parse_read() - the same of a configuration that was read
 *
 * Return: as policy_parse().
 */
int policy_parse_read(const struct conffile_set *read, const struct policy_env *env,
		      struct policy_set **ret_set);

struct policy_set *policy_ref(struct policy_set *set);

/* Drops a reference; NULL is fine. */
void policy_unref(struct policy_set *set);
void policy_unrefp(struct policy_set **set);

/**
 * policy_match() - the first policy whose every non-empty list matches
 *
 * Return: the policy, owned by @set, or NULL when none matches (a refusal).
 */
const struct policy *policy_match(const struct policy_set *set,
				  const struct policy_subject *subject);

/* The policy of that name; NULL: there is none (any more). */
const struct policy *policy_find(const struct policy_set *set, const char *name);

/*
 * Whether a policy is for a process that is there: each of its lists of users, groups and cgroups
 * matches, and there is one of them. By domains alone, which somebody says, it is for nobody.
 */
bool policy_is_for(const struct policy *policy, const struct policy_subject *subject);

/* Whether a policy lists users, and uid is one of them. */
bool policy_lists_user(const struct policy *policy, uid_t uid);

/**
 * policy_knows() - whether a policy could have to do with a user, as subject or as admin
 *
 * By everything but the domain, which only an admin names. Whom no policy knows can only be
 * refused.
 */
bool policy_knows(const struct policy_set *set, const struct policy_subject *subject);

/* Whether uid is one of the policy's admins. */
bool policy_admin(const struct policy *policy, uid_t uid);

/**
 * policy_device_allowed() - whether a policy's device globs cover a device
 * @name: PCI address in lower case, or mdev UUID
 * @vendor, @device: PCI ids; 0 and 0 where there are none (mdev, absent): "vendor:device" globs
 *                   then do not match
 */
bool policy_device_allowed(const struct policy *policy, const char *name, uint16_t vendor,
			   uint16_t device);

const char *policy_accounting_name(enum policy_accounting accounting);
const char *policy_mirror_name(enum policy_mirror mirror);
const char *policy_unmanaged_name(enum policy_unmanaged unmanaged);
const char *policy_slip_name(enum policy_slip slip);

#endif
