/* SPDX-License-Identifier: MIT */
/*
 * The daemon's side of the gate (bpf/gate.h): gives each session its slot, tells the kernel the
 * limits, and acts on what the kernel says. Without a gate, or for a session that has no slot in
 * it, everything here does nothing, and RLIMIT_MEMLOCK alone bounds what is pinned.
 */
#ifndef DAEMON_WARDEN_H
#define DAEMON_WARDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct broker;
struct gate_figures;
struct session;

/**
 * warden_start() - open the gate and prove that each of its programs is called
 *
 * Where there is none broker->gate stays NULL, and broker->gate_reason says why.
 *
 * Return: 0, also then; -ENOMEM.
 */
int warden_start(struct broker *broker);

/* The policies have changed. */
void warden_reload(const struct broker *broker);

/* After the sessions of before are back: those the kernel has released end, others are told. */
int warden_resume(struct broker *broker);

/*
 * Whether a gate acts that nothing new is taken into, and that refuses contexts it does not know: a
 * new session could not use its own.
 */
bool warden_denies(const struct broker *broker);

/* Why nothing is granted, for people; NULL: no such reason. */
const char *warden_fault(const struct broker *broker);

/**
 * warden_admit() - a slot with the session's limits
 * @n_files: that will be enrolled
 *
 * Return: 0; -ENOSPC: the gate has no room for one more.
 */
int warden_admit(struct broker *broker, struct session *session, size_t n_files);

/* A file of the session's, before anybody else has it. Return: 0; -errno of gate_enrol(). */
int warden_enrol(const struct broker *broker, const struct session *session, int fd, bool cdev);

/* What that says, for people. */
const char *warden_strerror(int err);

/* A file that was enrolled is closed, and nobody else ever had it. */
void warden_unenrol(const struct broker *broker, const struct session *session);

/* The session's numbers have changed, or it was revoked. */
void warden_limit(const struct broker *broker, const struct session *session);
void warden_revoke(const struct broker *broker, const struct session *session);

/* A process that has called has exited, or is to be told of when it calls again. */
void warden_forget_caller(const struct broker *broker, const struct session *session,
			  uint64_t inode);

/* The session ends. */
void warden_forget(struct broker *broker, struct session *session);

/*
 * Whether its context or a device of it may still be somebody's, though its owner has exited; of
 * one that is reserved: whether its context has come.
 */
bool warden_holds(const struct broker *broker, const struct session *session);

/*
 * SIGKILL for every process of its user that has a descriptor of it (daemon/hunt.h): those there
 * are, and others as they are found. Return: 0; -ESRCH: nothing is known of it; -errno: nobody was
 * killed yet.
 */
int warden_kill(struct broker *broker, const struct session *session);

/* A reading takes the time of whoever waits for the loop: some microseconds for each mapping. */
enum warden_reading {
	WARDEN_LAST, /* none */
	WARDEN_RECENT, /* unless the last one is of this moment, or of this second if it was large
			*/
	WARDEN_NOW, /* unless nothing changed */
};

/* Of what is in a slot. */
void warden_read(const struct broker *broker, uint32_t slot, enum warden_reading reading,
		 struct gate_figures *ret_figures);

/* Return: false: nothing is known of it. */
bool warden_figures(const struct broker *broker, const struct session *session,
		    enum warden_reading reading, struct gate_figures *ret_figures);

/* mirror_changed() comes when what it has changes next. Return: false: nothing is known of it. */
bool warden_watch(const struct broker *broker, const struct session *session);

/* More was found mapped than was reserved. */
bool warden_poisoned(const struct broker *broker, const struct session *session);

#endif
