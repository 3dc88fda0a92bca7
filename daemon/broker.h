/* SPDX-License-Identifier: MIT */
/* Everything the daemon knows, in one place; no other mutable state exists. */
#ifndef DAEMON_BROKER_H
#define DAEMON_BROKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/proto.h"
#include "daemon/bucket.h"
#include "daemon/hunt.h"
#include "daemon/lobby.h"

struct budget;
struct closer;
struct fdstore;
struct gate;
struct ledger;
struct listener;
struct loop;
struct mirror;
struct owner_table;
struct peer;
struct petition;
struct policy_set;
struct record;
struct session_table;
struct sys_ops;
struct trace;

struct broker {
	const struct sys_ops *sys;
	struct loop *loop;
	const char *config_path; /* borrowed from argv */
	struct policy_set *policies; /* one reference; replaced by a reload */
	bool journal; /* audit lines go there with their fields */
	bool ask_cgroup; /* some policy matches by cgroup */
	bool ask_groups; /* likewise by group */
	struct ledger *ledger;
	struct budget *budget;
	struct record *record;
	struct session_table *sessions;
	struct owner_table *owners;
	struct listener *listener;
	struct closer *closer;
	struct fdstore *fdstore; /* NULL: nothing was passed */
	struct gate *gate; /* NULL: nothing keeps limits in the kernel */
	bool gate_unseen; /* one of before acts, and what it knows of sessions cannot be read */
	bool gate_denies; /* and it refuses contexts that it does not know */
	bool gate_early; /* there was no iommufd yet: what it gates could not be known */
	uint64_t gate_watch;
	struct hunts hunts;
	char gate_reason[256]; /* what is missing of it, one line; "": nothing */
	struct trace *trace;
	struct mirror *mirror;
	struct peer *peers; /* all connections that are served */
	struct lobby lobby; /* those of them that have made no request yet */
	uint64_t n_peers_ever; /* struct peer::number */
	unsigned int n_connections; /* all, with those that are still being closed */
	struct bucket drop_lines; /* of the log, about connections that were dropped */
	struct bucket unmanaged_lines; /* likewise, about contexts that nobody here handed out */
	uint64_t plug_timer; /* to look at limits again: daemon/plug.c */
	uint64_t reserve_timer; /* for the next session that is reserved and pending to end */
	uint64_t unmanaged_read_ms; /* before that none of those is read for its size */
	unsigned int max_connections; /* of all uids together; root's come on top */
	int sysfs_fd; /* owned; /sys */
	int dev_fd; /* owned; /dev */
	int signal_fd; /* owned */
	uint64_t signal_watch;
	char *features; /* owned; where what root has read of devices is; NULL: nowhere */
	uint64_t mem_total; /* bytes */
	uid_t overflow_uid; /* what ids without a mapping look like */
	struct petition *petition; /* owned; of the request in hand */
	/* A packet in hand or in the making; one thread, used within one handler. */
	union {
		char bytes[PROTO_MESSAGE_MAX];
		struct proto_header align;
	} packet;
};

/**
 * broker_new() - open what the daemon needs and take over from the one before; nothing listens yet
 * @config_path: borrowed for the broker's life
 * @socket_path: its record is beside it, with ".record" appended
 *
 * Return: 0; -ECANCELED: the configuration is bad, and every finding has been logged; -errno,
 * logged.
 */
int broker_new(const char *config_path, const char *socket_path, struct broker **ret_broker);

/* Ends the broker; processes that have a session keep their descriptors and limits. */
void broker_free(struct broker *broker);
void broker_freep(struct broker **broker);

/**
 * broker_run() - serve until SIGTERM
 * @socket_path: where to listen unless systemd passed a socket
 *
 * Return: 0; -errno, logged.
 */
int broker_run(struct broker *broker, const char *socket_path);

/* CLOCK_MONOTONIC in ms. */
uint64_t broker_now_ms(void);

#endif
