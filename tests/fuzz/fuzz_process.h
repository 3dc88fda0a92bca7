/* SPDX-License-Identifier: MIT */
/*
 * The processes of the fuzzers' world: a table, and no process of the machine's. Whatever the
 * broker does to a process by its pid or a pidfd ends here: this takes the place of
 * daemon/procfs.c, and, by --wrap at the link, of the system calls pidfd_open() and
 * pidfd_send_signal(). A pidfd is a memfd whose inode number fstat() tells as a small one, and the
 * clock stands still, so that sessions are 1, 2, 3, …: an input can name both, and a run is the
 * same each time.
 */
#ifndef TESTS_FUZZ_FUZZ_PROCESS_H
#define TESTS_FUZZ_FUZZ_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* A tenant, root, an admin, a stranger, the tenant again, a guest, a manager, a set-id program. */
enum fuzz_who {
	FUZZ_TENANT,
	FUZZ_ROOT,
	FUZZ_ADMIN,
	FUZZ_STRANGER,
	FUZZ_TENANT_TOO,
	FUZZ_GUEST,
	FUZZ_MANAGER,
	FUZZ_SETID,
	FUZZ_PROCESSES,
};

#define FUZZ_UID_TENANT 1000
#define FUZZ_UID_ADMIN 1001
#define FUZZ_UID_GUEST 2000
#define FUZZ_UID_STRANGER 3000
#define FUZZ_GENERATIONS 4 /* how many processes can have one pid, one after the other */
#define FUZZ_PID(who) (100 + (who))
/* Of a pidfd. */
#define FUZZ_INODE(who, generation) (1 + (uint64_t)(who) + FUZZ_PROCESSES * (uint64_t)(generation))

/* Who never changes; the rest is of the one that has the pid now. */
struct fuzz_process {
	unsigned int generation;
	bool exited; /* a zombie */
	bool gone; /* reaped, and nobody has its pid */
	struct rlimit limit;
	bool limit_failed; /* a call on its limit did */
	bool lowered; /* by itself */
	bool excused; /* from what its limit should be: see fuzz_process_excuse() */
};

/* What the broker is killing; returns only if it may. */
typedef void (*fuzz_kill_fn)(uint64_t inode);

/* All run, as the first of their pids. */
void fuzz_process_reset(fuzz_kill_fn killed);

const struct fuzz_process *fuzz_process_at(unsigned int who);

/* By which it acts, and which it really has; its gids are two. */
uid_t fuzz_process_uid(unsigned int who);
uid_t fuzz_process_real_uid(unsigned int who);
const gid_t *fuzz_process_gids(unsigned int who);
#define FUZZ_GIDS 2

/* What RLIMIT_MEMLOCK is until somebody changes it. */
struct rlimit fuzz_process_limit_before(void);

/* Of a process that has the pid, or had it; borrowed. */
int fuzz_process_pidfd(unsigned int who, unsigned int generation);

/* It becomes a zombie; a zombie is reaped. */
void fuzz_process_exit(unsigned int who);

/* Another process gets the pid. */
void fuzz_process_reuse(unsigned int who);

/* It lowers its own limit, first the soft one, and must not come out with a higher one later. */
void fuzz_process_lower(unsigned int who);

/*
 * After a request that went on although a call on somebody's limit failed: that limit is not what
 * it should be. If the request was refused, it is to be as it was.
 */
void fuzz_process_excuse(bool went_on);

/* What is there when the daemon is killed, and back to that. */
void fuzz_process_save(void);
void fuzz_process_rewind(void);

/* As prlimit(2). */
int fuzz_process_prlimit(pid_t pid, const struct rlimit *new_limit, struct rlimit *ret_old);

#endif
