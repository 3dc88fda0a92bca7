/* SPDX-License-Identifier: MIT */
/*
 * A broker that serves this process: real sockets and a real loop over a fake kernel (fake_sys.h)
 * and a sysfs of its own. What it logs is captured.
 */
#ifndef TESTS_UNIT_BROKER_FIXTURE_H
#define TESTS_UNIT_BROKER_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/fdmsg.h"
#include "common/proto.h"
#include "daemon/broker.h"
#include "daemon/peer.h"
#include "daemon/session.h"

struct child;

#define FIXTURE_MEM_TOTAL (UINT64_C(256) << 30)
#define FIXTURE_LIMIT (UINT64_C(16) << 30)
/* The soft and hard RLIMIT_MEMLOCK that a process has before the broker touches it. */
#define FIXTURE_SOFT (UINT64_C(64) << 10)
#define FIXTURE_HARD (UINT64_C(128) << 10)

/* Two of IOMMU group 7, one of group 8, all on vfio-pci; and one that the host drives. */
#define FIXTURE_DEVICE "0000:65:00.0"
#define FIXTURE_DEVICE_PEER "0000:65:00.1"
#define FIXTURE_DEVICE_ALONE "0000:66:00.0"
#define FIXTURE_DEVICE_HOST "0000:67:00.0"

struct broker_fixture {
	struct broker *broker;
	/*
	 * The only one: covers everybody, accounting = any, limit 16G, max-sessions 16, every PCI
	 * device, nothing else limited. host-reserve = off, max-requests = 0, max-connections = 64.
	 */
	struct policy *policy;
	char path[32]; /* a directory for the test */
	int n_fds; /* that were open before */
	int record_fd; /* owned; the record's file */
	int snapshot_fd; /* owned; a copy of it; -1: none */
};

/**
 * broker_fixture_init() - a broker without any session
 *
 * This process is known to the fake prlimit(). Until the end it has no CAP_IPC_LOCK in effect, so
 * that root is served as anybody is.
 *
 * Return: whether there is one; if not, the test was counted as skipped.
 */
bool broker_fixture_init(struct broker_fixture *f);

/* Frees the broker and asserts that no descriptor is left that was not there before. */
void broker_fixture_fini(struct broker_fixture *f);

/* Asserts that nothing is granted, charged or claimed, and nothing is changed in this process. */
void broker_fixture_check_idle(const struct broker_fixture *f, const char *row);

/*
 * A daemon is killed, and another one starts: what is in memory is forgotten, the record is read
 * again. Connections are gone.
 */
void broker_fixture_restart(struct broker_fixture *f);

/* The same, as far as the other one gets: what restore_sessions() returned. */
int broker_fixture_try_restart(struct broker_fixture *f);

/* Keeps a copy of the record; that restart goes on from it, if there is one. @arg: the fixture */
void broker_fixture_snapshot(void *arg);

/* Runs the loop until done() holds. Fails the test after 10 s. */
void broker_fixture_run(struct broker_fixture *f, bool (*done)(void *arg), void *arg);

/*
 * Takes CAP_IPC_LOCK out of what is in force, and, unless it stays permitted, for good: the kernel
 * gives nothing back. Fine without it.
 */
void broker_fixture_ipc_lock(bool permitted);

/* Makes our user the policy's only one and its admin: may do what root may, whoever runs this. */
void broker_fixture_administer(struct broker_fixture *f);

/* broker_fixture_init() gives the capability up, so that root is served like anyone else. */
bool broker_fixture_init_as_is(struct broker_fixture *f);

/* A connection of this process. Returns its end of it, which the caller closes. */
int broker_fixture_connect(struct broker_fixture *f);

/* The peer that was connected last. */
struct peer *broker_fixture_peer(const struct broker_fixture *f);

/* Sends a well-formed request; serial is 0x5e41a1. */
#define FIXTURE_SERIAL 0x5e41a1
void broker_fixture_send(int fd, unsigned int op, const void *body, size_t len);

struct answer {
	bool hung_up; /* the broker did; the rest means nothing */
	size_t len; /* of the body */
	struct proto_header header;
	union {
		char bytes[PROTO_MESSAGE_MAX];
		struct proto_refusal refusal;
		struct proto_grant grant;
		struct proto_sessions sessions;
		struct proto_explanation explanation;
	} body;
	struct fdmsg msg;
};

/* Runs the loop until the broker has answered on fd; the descriptors are the caller's. */
void broker_fixture_answer(struct broker_fixture *f, int fd, struct answer *ret_answer);

/* The reason of a refusal; "granted", "hung up" or "failed" (a refusal without a reason). */
const char *answer_reason(const struct answer *answer);

/* A request for 1 GiB of guest RAM with up to two devices (NULL: none), exec to follow. */
struct proto_open broker_fixture_open(const char *device, const char *other);

/* Sends it and takes the answer. */
void broker_fixture_ask(struct broker_fixture *f, int fd, const struct proto_open *open,
			struct answer *ret_answer);

/* Starts a process with FIXTURE_SOFT and FIXTURE_HARD, an owner from here on; child_end() it. */
struct owner *broker_fixture_owner(struct broker_fixture *f, uid_t uid, struct child *child);

/* A session without devices and without an owner. */
struct session *broker_fixture_session(struct broker_fixture *f, uid_t uid, const char *name,
				       enum policy_accounting accounting, uint64_t limit);

#endif
