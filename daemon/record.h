/* SPDX-License-Identifier: MIT */
/*
 * The record: what a restarted daemon must know, in one mapped file of fixed slots beside the
 * socket. It outlives the daemon and is of no use after a boot, whose id it carries.
 *
 * One thread writes, and may be killed between any two stores: a slot is filled while it is free
 * and becomes valid by the store of its kind; it is cleared the other way round. What changes in a
 * valid slot and must not be seen in parts is there twice, and one store says which of them counts.
 * Space is reserved before it is mapped, so that a full file system is an error and not a SIGBUS.
 * The file is locked: one daemon at a time.
 */
#ifndef DAEMON_RECORD_H
#define DAEMON_RECORD_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "accounting/policy.h"
#include "common/device.h"
#include "common/proto.h"
#include "daemon/session.h"

struct record;

#define RECORD_NONE UINT32_MAX /* no slot */

enum record_kind {
	RECORD_FREE,
	RECORD_SESSION,
	RECORD_DEVICE, /* one device of a session */
	RECORD_OWNER,
	RECORD_LIMIT, /* one of a cgroup that was changed */
	RECORD_PLACE, /* a cgroup that was made */
	RECORD_TARGET, /* the cgroup of a session: its processes may be gone at the next start */
	RECORD_HANDOFF, /* a part of the cgroup that a session is handed off to */
	RECORD_KINDS,
};

/* As struct session has it. */
struct record_session {
	uint64_t id;
	uint64_t owner; /* inode of the owner's pidfd; 0: none yet */
	uint64_t extra_memlock; /* bytes */
	struct session_numbers numbers[2]; /* old and new, or new and old: written by session.c */
	uint32_t uid;
	uint32_t headroom_mib;
	uint8_t state; /* enum session_state */
	uint8_t accounting; /* enum policy_accounting */
	_Atomic uint8_t which; /* of the numbers; 0 or 1, stored after them */
	uint8_t mirror; /* enum policy_mirror */
	uint8_t factor;
	uint8_t reserved; /* enum session_reserved */
	char name[PROTO_NAME_MAX + 1];
	char policy[POLICY_NAME_MAX + 1];
};

struct record_device {
	uint64_t session; /* its id */
	int32_t group;
	uint32_t nth; /* of the session's: slots are reused, and have no order */
	char name[DEVICE_NAME_MAX];
};

/* RLIMIT_MEMLOCK as owner.c keeps it; bytes. */
struct record_owner {
	uint64_t inode; /* of its pidfd */
	uint64_t locked_besides;
	uint64_t original_cur, original_max;
	uint64_t ours; /* soft and hard */
	uint64_t next; /* what is just being set, or was last: such a value is ours, too */
	uint32_t pid;
	uint32_t uid;
	uint32_t changed;
	uint32_t exempt;
};

/* A file of a cgroup as daemon/mirror_group.c keeps it; bytes. */
struct record_limit {
	uint64_t cgroup; /* its id, never used twice in one boot */
	uint64_t original;
	uint64_t ours; /* what was written last */
	uint64_t before; /* what was there before that: the service manager may take its time */
	uint64_t next; /* what is just being written, or was last */
	uint32_t key; /* enum cgm_key */
	uint32_t foreign; /* somebody else has set it since: it is left alone */
};

/* To be removed when nobody is in it any more. */
struct record_place {
	uint64_t cgroup; /* its id */
	uint64_t session; /* whose it is; 0: one above those of sessions */
	uint64_t above; /* the id of the one above it; 0: the broker has not made that */
	uint64_t kept; /* by systemd, which removes it */
};

struct record_target {
	uint64_t session; /* its id */
	uint64_t cgroup; /* likewise */
};

#define RECORD_HANDOFF_PIECE 224 /* bytes of a path */

struct record_handoff {
	uint64_t session; /* its id */
	uint64_t deadline_ms; /* of CLOCK_MONOTONIC */
	uint32_t at; /* where in the path this is: a multiple of the size of a piece */
	uint32_t len; /* of the whole path */
	char text[RECORD_HANDOFF_PIECE]; /* without a NUL, which the last one is filled with */
};

union record_body {
	struct record_session session;
	struct record_device device;
	struct record_owner owner;
	struct record_limit limit;
	struct record_place place;
	struct record_target target;
	struct record_handoff handoff;
	char bytes[248];
};
static_assert(sizeof(union record_body) == 248, "a slot of 256 bytes with its kind");

/**
 * record_open() - the record of this boot, locked
 * @path: of its file, made with mode 0600 if it is not there; no symlink, and nobody else's
 * @boot_id: a line of text; a record with another is of no use and is cleared
 *
 * What another version of the daemon left is not understood and is cleared: *ret_cleared.
 *
 * Return: 0; -EWOULDBLOCK: another daemon has it; -EPERM: it is not a file of ours; -ENOTUNIQ,
 * which no call on files says: its directory is not ours, so that its name may come to be another
 * file's; -ENOSPC; -errno.
 */
int record_open(const char *path, const char *boot_id, bool *ret_cleared,
		struct record **ret_record);

/* Where the record of a daemon with this socket is. NULL: -ENOMEM. free() it. */
char *record_path(const char *socket_path);

/* The directory that a record's path is in, "." without a slash. NULL: -ENOMEM. free() it. */
char *record_directory(const char *path);

/* As record_open(), in a file that is open; fd is the record's from here on, also on failure. */
int record_open_fd(int fd, const char *boot_id, bool *ret_cleared, struct record **ret_record);

/* Unmaps and unlocks; the file stays. NULL is fine. */
void record_close(struct record *record);
void record_closep(struct record **record);

/**
 * record_add() - store a new entry
 * @body: copied
 * @ret_slot: where it is, until record_drop()
 *
 * Return: 0; -ENOSPC: the file system is full; -errno.
 */
int record_add(struct record *record, enum record_kind kind, const union record_body *body,
	       uint32_t *ret_slot);

/* Frees a slot and sets it to RECORD_NONE; fine on RECORD_NONE. */
void record_drop(struct record *record, uint32_t *slot);

/* The entry in a slot, to read and to change field by field; moves with the next record_add(). */
union record_body *record_at(struct record *record, uint32_t slot);

/*
 * The id of the session made last, in the record itself: none is used twice in one boot, also if
 * that session has ended and the clock was set back. Moves with the next record_add().
 */
uint64_t *record_last_id(struct record *record);

/*
 * Between two stores into a valid entry where the second must not be seen without the first. Who
 * reads them is this process's successor, after a kill: the order of the program is enough.
 */
static inline __attribute__((unused)) void record_barrier(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

/**
 * record_next() - walk the entries of a kind
 * @slot: the one before; RECORD_NONE: from the first
 *
 * Return: the next one's slot, RECORD_NONE after the last.
 */
uint32_t record_next(const struct record *record, enum record_kind kind, uint32_t slot);

#endif
